//! The files of a lot.

use std::path::{Path, PathBuf};

use serde::Serialize;
use shared::DeviceId;

use super::files::{create_private_dir, replace, write_private, write_public};
use super::maker::{Idevid, Maker};
use super::settings::{DeviceSettings, Evidence, known_good};
use super::{FactoryError, Order, Provision, device_dir};
use crate::flash;

/// What the factory made.
#[derive(Debug)]
pub struct Lot {
    /// Where it lies.
    pub dir: PathBuf,
    /// The maker, able to endorse more.
    pub maker: Maker,
    /// The devices.
    pub devices: Vec<DeviceId>,
}

/// The maker's CA certificate, for `enroll-server maker add`, or `batch add` where it made a claim certificate; relative to the lot's directory.
pub const MAKER_CERTIFICATE: &str = "maker/maker-ca.pem";
/// The list of devices, for `enroll-server device import`.
pub const INVENTORY: &str = "inventory.csv";
/// The attestation keys of a lot with PSA tokens, for `enroll-server attestation-key import`.
pub const ATTESTATION_KEYS: &str = "attestation-keys.csv";
/// The known-good measurements, for the enrollment server.
pub const REFERENCE_VALUES: &str = "reference-values.toml";

impl Lot {
    /// Gives all devices the address of their enrollment server and the trust bundle, as a provisioning station
    /// would.
    ///
    /// # Errors
    /// Names the file that could not be read or written.
    pub fn provision(&self, server: &Provision) -> Result<(), FactoryError> {
        self.devices.iter().try_for_each(|id| provision(&device_dir(&self.dir, id), server))
    }
}

/// Gives the device in `dir` the address of its enrollment server and the trust bundle.
///
/// # Errors
/// Names the file that could not be read or written.
pub fn provision(dir: &Path, server: &Provision) -> Result<(), FactoryError> {
    let path = dir.join("device.toml");
    let mut settings = DeviceSettings::read(&path)?;
    settings.server = Some(server.address.clone());
    replace(&path, toml::to_string(&settings)?.as_bytes())?;
    replace(&dir.join("trust.bundle"), &server.trust_bundle)
}

/// Writes a lot, device by device.
pub(super) struct Writer<'o> {
    dir: PathBuf,
    order: &'o Order,
    inventory: String,
    attestation_keys: String,
    devices: Vec<DeviceId>,
}

#[derive(Serialize)]
struct ReferenceValues<'o> {
    measurement: Vec<KnownGood<'o>>,
}

/// A measurement as the server's reference values have it.
#[derive(Serialize)]
struct KnownGood<'o> {
    model: &'o str,
    component: String,
    version: String,
    digest: String,
}

impl<'o> Writer<'o> {
    /// Writes what all devices share.
    pub(super) fn begin(dir: &Path, order: &'o Order, maker: &Maker) -> Result<Self, FactoryError> {
        create_private_dir(&dir.join("maker"))?;
        create_private_dir(&dir.join("devices"))?;
        write_public(&dir.join(MAKER_CERTIFICATE), maker.certificate_pem().as_bytes())?;
        write_private(&dir.join("maker/maker-ca.key"), maker.key_pem().as_bytes())?;
        let measurement = known_good(&order.model, &order.version, order.evidence)
            .into_iter()
            .map(|good| KnownGood {
                model: &order.model,
                component: good.component,
                version: good.version,
                digest: good.digest,
            })
            .collect();
        let values = ReferenceValues { measurement };
        write_public(&dir.join(REFERENCE_VALUES), toml::to_string(&values)?.as_bytes())?;
        Ok(Self {
            dir: dir.to_owned(),
            order,
            inventory: "device,model,idevid_sha256\n".to_owned(),
            attestation_keys: "instance_id,device,key,maker,model\n".to_owned(),
            devices: Vec::new(),
        })
    }

    /// Writes one device's folder.
    pub(super) fn device(&mut self, id: &DeviceId, idevid: &Idevid) -> Result<(), FactoryError> {
        write_device(&device_dir(&self.dir, id), id, idevid, self.order)?;
        let (model, evidence) = (&self.order.model, self.order.evidence);
        let identity = match evidence {
            Evidence::Idevid | Evidence::Dice => idevid.spki_sha256.as_str(),
            Evidence::Psa => idevid.instance_id.as_str(),
            // The server notes it at the first enrollment.
            Evidence::Symmetric | Evidence::Claim => "",
        };
        self.inventory.push_str(&format!("{id},{model},{identity}\n"));
        if evidence == Evidence::Psa {
            let line = format!("{},{id},{},,{model}\n", idevid.instance_id, idevid.spki);
            self.attestation_keys.push_str(&line);
        }
        self.devices.push(id.clone());
        Ok(())
    }

    /// Writes the inventory.
    pub(super) fn finish(self) -> Result<Vec<DeviceId>, FactoryError> {
        write_public(&self.dir.join(INVENTORY), self.inventory.as_bytes())?;
        if self.order.evidence == Evidence::Psa {
            write_public(&self.dir.join(ATTESTATION_KEYS), self.attestation_keys.as_bytes())?;
        }
        Ok(self.devices)
    }
}

/// Writes the folder of a device with this identity, as `order` says.
///
/// # Errors
/// Names the file that could not be written.
pub fn write_device(dir: &Path, id: &DeviceId, idevid: &Idevid, order: &Order) -> Result<(), FactoryError> {
    create_private_dir(dir)?;
    let stem = order.evidence.stem();
    if !idevid.certificate_pem.is_empty() {
        write_public(&dir.join(format!("{stem}.pem")), idevid.certificate_pem.as_bytes())?;
    }
    write_private(&dir.join(format!("{stem}.key")), idevid.key_pem.as_bytes())?;
    write_private(&dir.join("flash.img"), &flash::blank())?;
    let address = order.server.as_ref().map(|server| server.address.clone());
    let settings = DeviceSettings::new(id, &order.model, &order.version, order.evidence, address);
    write_public(&dir.join("device.toml"), toml::to_string(&settings)?.as_bytes())?;
    if let Some(server) = &order.server {
        write_public(&dir.join("trust.bundle"), &server.trust_bundle)?;
    }
    Ok(())
}
