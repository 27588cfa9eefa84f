//! Writes the flash of a board as the factory does: settings, identity and its key in front, blank records behind.

use agent_mcu::custody;
use agent_mcu::layout::Layout;
use agent_mcu::provision::{MAX_REGION, Provision};
use core::ops::Range;
use zeroize::Zeroizing;

use crate::device::{DeviceError, DeviceSpec};

/// The flash of `device`, from the first byte of `layout` to the last. Holds its IDevID key in the clear, which the
/// device wraps at its first start.
///
/// # Errors
/// Names the file that cannot be read, or does not hold what it should.
pub fn flash_image(device: &DeviceSpec, layout: &Layout) -> Result<Zeroizing<Vec<u8>>, DeviceError> {
    let (chain, key) = device.read_idevid()?;
    let views: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
    let scalar = Zeroizing::new(<[u8; 32]>::from(key.to_bytes()));
    let trust_bundle = device.read_trust_bundle()?;
    let provision = Provision {
        host: &device.server.host,
        port: device.server.port,
        trust_bundle: &trust_bundle,
        idevid_chain: heapless::Vec::from_slice(&views)
            .map_err(|_| device.form("idevid.pem", "a chain as short as devices take"))?,
        oemid: device.settings.hardware.maker_number,
        hwmodel: &device.settings.hardware.model,
        hwversion: &device.settings.hardware.version,
    };
    let mut flash = Zeroizing::new(vec![0xff; layout.whole().len()]);
    let mut region = Zeroizing::new(vec![0xff; MAX_REGION]);
    provision
        .write(&mut region)
        .map_err(|_| device.form("trust.bundle", "what fits the factory's region"))?;
    put(&mut flash, layout, &layout.settings, &region);
    put(&mut flash, layout, &layout.factory_key, custody::factory_record(&scalar).as_ref());
    Ok(flash)
}

fn put(flash: &mut [u8], layout: &Layout, range: &Range<u32>, content: &[u8]) {
    // The layout's own test says that each range has room for what is written here.
    let part = flash.get_mut(layout.in_image(range));
    if let Some(place) = part.and_then(|part| part.get_mut(..content.len())) {
        place.copy_from_slice(content);
    }
}
