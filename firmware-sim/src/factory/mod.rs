//! The factory: a maker's CA, and a lot of devices with the identities a maker would put in.
//!
//! Everything is written into a new directory, which appears under its name only when it is complete; an
//! existing one is never touched. It is a stand-in: a real maker keeps its CA key in hardware, and a device's
//! IDevID key never leaves the device.

mod files;
mod lot;
mod maker;
mod settings;

use std::path::{Path, PathBuf};

use shared::keytext::{KeyText, Scope};
use shared::{DeviceId, UnixTime, limits};

pub use files::write_private;
pub use lot::{
    ATTESTATION_KEYS, INVENTORY, Lot, MAKER_CERTIFICATE, REFERENCE_VALUES, provision, write_device,
};
pub use maker::{Idevid, Maker, spki_sha256};
pub use settings::{
    DeviceSettings, Evidence, Firmware, Hardware, MAKER_NUMBER, MeasurementSettings, ServerAddress,
    SettingsError,
};

/// What to make.
#[derive(Clone, Debug)]
pub struct Order {
    /// Directory to make; must not exist, or be empty.
    pub dir: PathBuf,
    /// Number of devices.
    pub count: u32,
    /// Model of all devices: 1 to 32 printable characters.
    pub model: String,
    /// Name of the maker: the O of its certificates.
    pub maker: String,
    /// Version of the firmware, as `MAJOR.MINOR.PATCH`.
    pub version: String,
    /// How the devices prove what they are.
    pub evidence: Evidence,
    /// The key of the group that the devices' own are derived from; there for [`Evidence::Symmetric`] alone.
    pub group_key: Option<KeyText>,
    /// The enrollment server and its trust bundle, if they are known already.
    pub server: Option<Provision>,
}

/// What a device must be given to find and to believe its enrollment server.
#[derive(Clone, Debug)]
pub struct Provision {
    /// Where the server is.
    pub address: ServerAddress,
    /// The first signed trust bundle.
    pub trust_bundle: Vec<u8>,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum FactoryError {
    /// The directory is there and holds something.
    #[error("{0} exists already; choose another directory or remove it first")]
    Exists(PathBuf),
    /// A number of devices outside 1 to [`MAX_DEVICES`].
    #[error("a lot has 1 to {MAX_DEVICES} devices, not {0}")]
    Count(u32),
    /// A text that does not fit a certificate or a claim.
    #[error("{field} has 1 to {limit} printable ASCII characters without quotes, commas or backslashes")]
    Text {
        /// Which text.
        field: &'static str,
        /// Most characters.
        limit: usize,
    },
    /// A firmware version that is not `MAJOR.MINOR.PATCH`.
    #[error("firmware version '{0}' is not MAJOR.MINOR.PATCH")]
    Version(String),
    /// Symmetric keys without the key of a group to derive them from, or such a key for other devices.
    #[error(
        "symmetric keys, and nothing else, are derived from the key of a group; make one on the server with \
         'enroll-server key create --group NAME --out FILE'"
    )]
    GroupKey,
    /// The trust bundle is too long to be one.
    #[error("the trust bundle has {found} bytes; {} are allowed", limits::MAX_TRUST_BUNDLE)]
    TrustBundle {
        /// Its length.
        found: usize,
    },
    /// The host name is too long.
    #[error("the server's host name has {found} characters; {} are allowed", limits::MAX_HOST)]
    Host {
        /// Its length.
        found: usize,
    },
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Certificate(#[from] rcgen::Error),
    /// The root of a DICE device could not be made.
    #[error("the root of a DICE device could not be made")]
    Dice(#[source] Box<crate::dice::BootError>),
    /// The random generator failed.
    #[error("the random generator failed")]
    Random,
    /// An identifier broke its rules.
    #[error("a device identifier could not be made")]
    Identifier(#[from] shared::id::DeviceIdError),
    /// A file could not be written.
    #[error("cannot write {path}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A device's settings could not be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// It was told to stop.
    #[error("stopped before the lot was complete")]
    Stopped,
    /// A file could not be encoded.
    #[error("cannot encode the settings of a device")]
    Encode(#[from] toml::ser::Error),
}

/// CAs on a DICE device: its root, and one for each component of the firmware.
const DICE_LAYERS: u8 = 3;

/// Most devices of one lot.
pub const MAX_DEVICES: u32 = 100_000;

/// Makes everything in `order`, dated `now`; `made` is told the number of devices that are ready.
///
/// # Errors
/// Says what is wrong with the order or which file could not be written; nothing is left behind then.
pub fn make(order: &Order, now: UnixTime, mut made: impl FnMut(u32)) -> Result<Lot, FactoryError> {
    make_while(order, now, |ready| {
        made(ready);
        true
    })
}

/// As [`make`], as long as `made` says that it should go on.
///
/// # Errors
/// As [`make`], and [`FactoryError::Stopped`].
pub fn make_while(
    order: &Order,
    now: UnixTime,
    mut made: impl FnMut(u32) -> bool,
) -> Result<Lot, FactoryError> {
    check(order)?;
    let parent = files::parent(&order.dir);
    files::create_dir_all(&parent)?;
    // Built beside its place and moved there at the end: half a lot never has the lot's name.
    let building = tempfile::Builder::new()
        .prefix(".factory-")
        .tempdir_in(&parent)
        .map_err(|source| FactoryError::Write { path: parent.clone(), source })?;

    let layers = if order.evidence == Evidence::Dice { DICE_LAYERS } else { 0 };
    let maker = Maker::above(&order.maker, layers, now)?;
    let mut writer = lot::Writer::begin(building.path(), order, &maker)?;
    let lot_number = random_lot_number()?;
    let shared = match order.evidence {
        Evidence::Claim => Some(maker.endorse(&DeviceId::new(&format!("LOT-{lot_number}"))?, now)?),
        _ => None,
    };
    for number in 1..=order.count {
        let id = DeviceId::new(&format!("SN-{lot_number}-{number:05}"))?;
        let own = match (order.evidence, &order.group_key) {
            (Evidence::Idevid | Evidence::Psa, _) => Some(maker.endorse(&id, now)?),
            (Evidence::Dice, _) => Some(maker.endorse_dice(&id, now)?),
            (Evidence::Symmetric, Some(group)) => Some(Idevid::derived(group, &id)),
            (Evidence::Symmetric | Evidence::Claim, _) => None,
        };
        let identity = own.as_ref().or(shared.as_ref()).ok_or(FactoryError::GroupKey)?;
        writer.device(&id, identity)?;
        if !made(number) {
            return Err(FactoryError::Stopped);
        }
    }
    let devices = writer.finish()?;
    std::fs::rename(building.path(), &order.dir)
        .map_err(|source| FactoryError::Write { path: order.dir.clone(), source })?;
    // The directory has moved; there is nothing left to remove under its building name.
    let _moved = building.keep();
    Ok(Lot { dir: order.dir.clone(), maker, devices })
}

/// A random lot number, so that two factories never make devices of one name.
fn random_lot_number() -> Result<String, FactoryError> {
    use rand_core::RngCore as _;
    let mut bytes = [0; 4];
    rand_core::OsRng.try_fill_bytes(&mut bytes).map_err(|_| FactoryError::Random)?;
    Ok(hex::encode_upper(bytes))
}

fn check(order: &Order) -> Result<(), FactoryError> {
    if !files::is_free(&order.dir) {
        return Err(FactoryError::Exists(order.dir.clone()));
    }
    if order.count == 0 || order.count > MAX_DEVICES {
        return Err(FactoryError::Count(order.count));
    }
    text("model", &order.model, 32)?;
    text("maker", &order.maker, limits::MAX_CLAIM_TEXT)?;
    let parts: Vec<&str> = order.version.split('.').collect();
    if parts.len() != 3 || parts.iter().any(|part| part.parse::<u16>().is_err()) {
        return Err(FactoryError::Version(order.version.clone()));
    }
    let groups = order.group_key.as_ref().map(KeyText::scope) == Some(Scope::Group);
    if groups != (order.evidence == Evidence::Symmetric) || groups != order.group_key.is_some() {
        return Err(FactoryError::GroupKey);
    }
    if let Some(server) = &order.server {
        let (bundle, host) = (server.trust_bundle.len(), server.address.host.len());
        if bundle > limits::MAX_TRUST_BUNDLE {
            return Err(FactoryError::TrustBundle { found: bundle });
        }
        if host > limits::MAX_HOST {
            return Err(FactoryError::Host { found: host });
        }
    }
    Ok(())
}

fn text(field: &'static str, value: &str, limit: usize) -> Result<(), FactoryError> {
    let plain = |b: u8| (b.is_ascii_graphic() || b == b' ') && !matches!(b, b'"' | b',' | b'\\' | b'\'');
    if value.is_empty() || value.len() > limit || !value.bytes().all(plain) {
        return Err(FactoryError::Text { field, limit });
    }
    Ok(())
}

/// The folder of one device of the lot in `dir`.
#[must_use]
pub fn device_dir(dir: &Path, id: &DeviceId) -> PathBuf {
    dir.join("devices").join(id.as_str())
}
