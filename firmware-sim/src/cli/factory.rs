//! `firmware-sim factory`.

use core::sync::atomic::{AtomicBool, Ordering};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use enroll_server::clock::{Clock as _, SystemClock};
use shared::keytext::KeyText;
use shared::limits;

use super::{Failure, INTERRUPTED, interrupted};
use crate::board::{Board, flash_image};
use crate::device::{DeviceSpec, Overrides};
use crate::factory::{self, Evidence, FactoryError, Lot, Order, Provision, ServerAddress};
use crate::progress::bar;

/// Make devices: a maker's CA, IDevID keys and certificates, flash images, inventory and reference values
///
/// Afterwards, on the enrollment server:
///
///   enroll-server maker add DIR/maker/maker-ca.pem
///
///   enroll-server device import DIR/inventory.csv
///
/// and append DIR/reference-values.toml to its policy.toml. An existing directory is never overwritten.
///
/// With --flash, the flash of one device is written for a programmer: of the only one of the new lot, or, with
/// --device in place of --dir, of one that was made before.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Arguments {
    /// Directory to make; must not exist, or be empty
    #[arg(long, required_unless_present = "device", conflicts_with = "device")]
    dir: Option<PathBuf>,
    /// Number of devices
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// Model of the devices
    #[arg(long, default_value = "demo-sensor")]
    model: String,
    /// Name of the maker
    #[arg(long, default_value = "Example Devices")]
    maker: String,
    /// Version of the firmware, MAJOR.MINOR.PATCH
    #[arg(long, default_value = "1.2.0")]
    version: String,
    /// How the devices prove what they are
    ///
    /// With psa, also tell the server: enroll-server attestation-key import DIR/attestation-keys.csv
    ///
    /// With claim, tell it about the lot's CA in place of a maker: enroll-server batch add DIR/maker/maker-ca.pem
    /// --group NAME --quota N
    ///
    /// With symmetric, it is the server that makes the key of the group, before: see --group-key
    #[arg(long, value_enum, default_value_t)]
    evidence: Evidence,
    /// The key of the group that the devices' own keys are derived from, as the server wrote it:
    /// enroll-server key create --group NAME --out FILE
    #[arg(long, value_name = "FILE", required_if_eq("evidence", "symmetric"))]
    group_key: Option<PathBuf>,
    /// Put the enrollment server's address into the devices
    #[arg(long, value_name = "HOST:PORT", requires = "trust")]
    server: Option<ServerAddress>,
    /// Put the server's signed trust bundle into the devices (trust.bundle in the server's directory)
    #[arg(long, value_name = "FILE", requires = "server")]
    trust: Option<PathBuf>,
    /// Write the factory's image of a board's flash to a new file: settings, IDevID and its key in the clear
    #[arg(long, value_name = "FILE")]
    flash: Option<PathBuf>,
    /// The board that the flash image is for
    #[arg(long, value_enum, default_value_t, requires = "flash")]
    board: Board,
    /// Folder of the device that the flash image is for, such as DIR/devices/SN-1
    #[arg(long, value_name = "DIR", requires = "flash")]
    device: Option<PathBuf>,
}

pub(super) async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.flash.is_some() && arguments.dir.is_some() && arguments.count != 1 {
        return Err("--flash is for one device: leave --count away, or name a device with --device".into());
    }
    let device = match (&arguments.dir, &arguments.device) {
        (Some(dir), _) => match make(arguments, dir).await? {
            Some(lot) => told(arguments, &lot)?,
            None => return Ok(ExitCode::from(INTERRUPTED)),
        },
        (None, device) => device.clone(),
    };
    if let (Some(file), Some(device)) = (&arguments.flash, device) {
        write_flash(arguments, &device, file)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a lot; `None` where it was interrupted, and nothing is left of it.
async fn make(arguments: &Arguments, dir: &Path) -> Result<Option<Lot>, Failure> {
    let order = Order {
        dir: dir.to_owned(),
        count: arguments.count,
        model: arguments.model.clone(),
        maker: arguments.maker.clone(),
        version: arguments.version.clone(),
        evidence: arguments.evidence,
        group_key: group_key(arguments)?,
        server: provision(arguments)?,
    };
    let progress = bar(order.count.into(), "devices");
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), interrupted());
    let stopped = Arc::clone(&stop);
    let mut making = tokio::task::spawn_blocking(move || {
        let lot = factory::make_while(&order, SystemClock.now(), |made| {
            progress.set_position(made.into());
            !stopped.load(Ordering::Relaxed)
        });
        progress.finish_and_clear();
        lot
    });
    let made = tokio::select! {
        made = &mut making => made?,
        () = asked => {
            stop.store(true, Ordering::Relaxed);
            making.await?
        }
    };
    match made {
        Ok(lot) => Ok(Some(lot)),
        Err(FactoryError::Stopped) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Says what to do with a lot; returns the folder of its first device.
fn told(arguments: &Arguments, lot: &Lot) -> Result<Option<PathBuf>, Failure> {
    let mut out = io::stdout();
    writeln!(out, "{} devices are in {}.", lot.devices.len(), lot.dir.display())?;
    if out.is_terminal() {
        let dir = lot.dir.display();
        writeln!(out, "\nTell the enrollment server about them:")?;
        match arguments.evidence {
            Evidence::Symmetric => {}
            Evidence::Claim => writeln!(
                out,
                "  enroll-server batch add {dir}/{} --group NAME --quota {}",
                factory::MAKER_CERTIFICATE,
                arguments.count
            )?,
            _ => writeln!(out, "  enroll-server maker add {dir}/{}", factory::MAKER_CERTIFICATE)?,
        }
        writeln!(out, "  enroll-server device import {dir}/{}", factory::INVENTORY)?;
        if arguments.evidence == Evidence::Psa {
            writeln!(out, "  enroll-server attestation-key import {dir}/{}", factory::ATTESTATION_KEYS)?;
        }
        writeln!(out, "  and add {dir}/{} to its policy", factory::REFERENCE_VALUES)?;
        if let Some(id) = lot.devices.first() {
            writeln!(out, "Then run one:\n  firmware-sim device --dir {dir}/devices/{id}")?;
        }
    }
    Ok(lot.devices.first().map(|id| factory::device_dir(&lot.dir, id)))
}

fn write_flash(arguments: &Arguments, device: &Path, file: &Path) -> Result<(), Failure> {
    let overrides = Overrides { server: arguments.server.clone(), trust_bundle: arguments.trust.clone() };
    let layout = arguments.board.layout();
    let image = flash_image(&DeviceSpec::load(device, &overrides)?, &layout)?;
    factory::write_private(file, &image)?;
    let mut out = io::stdout();
    writeln!(
        out,
        "The flash of {} is in {}: {} bytes for address {:#010x}. It holds a private key: keep it where the lot is.",
        device.file_name().unwrap_or_default().to_string_lossy(),
        file.display(),
        image.len(),
        arguments.board.flash_address() + layout.whole().start,
    )?;
    Ok(())
}

fn group_key(arguments: &Arguments) -> Result<Option<KeyText>, Failure> {
    let Some(path) = &arguments.group_key else { return Ok(None) };
    let text = enroll_server::files::read_secret(path)?;
    let key = KeyText::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Some(key))
}

fn provision(arguments: &Arguments) -> Result<Option<Provision>, Failure> {
    let (Some(address), Some(path)) = (&arguments.server, &arguments.trust) else { return Ok(None) };
    let unreadable = |error| format!("cannot read {}: {error}", path.display());
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > limits::MAX_TRUST_BUNDLE as u64 {
        return Err(format!("{} is too long to be a trust bundle", path.display()).into());
    }
    let trust_bundle = std::fs::read(path).map_err(unreadable)?;
    Ok(Some(Provision { address: address.clone(), trust_bundle }))
}
