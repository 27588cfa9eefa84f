//! Writes the flash of a board as the factory does: identity, trust bundle and settings in front, blank records behind.

use std::fs;
use std::path::Path;

use agent_mcu::provision::{MAX_REGION, Provision};
use p256::pkcs8::DecodePrivateKey as _;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use crate::device::{DeviceError, DeviceSpec};
use crate::factory::write_private;

/// Bytes of the flash image: 8 KiB for the factory's region, 40 KiB for records.
pub const FLASH: usize = 48 * 1024;

/// Writes the flash image of `device` to `path`, with mode 0600.
///
/// # Errors
/// Names the file that cannot be read, or does not hold what it should.
pub fn write(device: &DeviceSpec, path: &Path) -> Result<(), DeviceError> {
    let read = |name: &str| {
        let path = device.file(name);
        fs::read_to_string(&path).map_err(|source| DeviceError::Read { path, source })
    };
    let form = |name: &str, expected| DeviceError::Form { path: device.file(name), expected };
    let chain = CertificateDer::pem_slice_iter(read("idevid.pem")?.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| form("idevid.pem", "certificates in PEM"))?;
    let views: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
    let key = Zeroizing::new(read("idevid.key")?);
    let key = p256::SecretKey::from_pkcs8_pem(&key)
        .map_err(|_| form("idevid.key", "a P-256 key in PEM (PKCS#8)"))?;
    let scalar = Zeroizing::new(<[u8; 32]>::from(key.to_bytes()));
    let trust_bundle = device.read_trust_bundle()?;
    let provision = Provision {
        host: &device.server.host,
        port: device.server.port,
        trust_bundle: &trust_bundle,
        idevid_chain: heapless::Vec::from_slice(&views)
            .map_err(|_| form("idevid.pem", "a chain as short as devices take"))?,
        idevid_key: scalar.as_ref(),
        oemid: device.settings.hardware.maker_number,
        hwmodel: &device.settings.hardware.model,
        hwversion: &device.settings.hardware.version,
    };
    let mut flash = Zeroizing::new(vec![0xff; FLASH]);
    let region = flash.get_mut(..MAX_REGION).unwrap_or_default();
    provision.write(region).map_err(|_| form("trust.bundle", "what fits the factory's region"))?;
    write_private(path, &flash).map_err(|_| DeviceError::Read {
        path: path.to_owned(),
        source: std::io::Error::other("it cannot be written, or is there already"),
    })
}
