//! The device identifier in a maker's certificate, as the server finds it: the subject's serialNumber (IEEE
//! 802.1AR, section 8.6), else the serial number of the hardware module (RFC 4108, section 5).

use shared::DeviceId;
use shared::id::DeviceIdError;
use shared::limits::MAX_DEVICE_ID;

use super::IdevidError;
use crate::x509::{AltName, Certificate};

/// The device that `certificate` names. Whether it names two that contradict each other is the server's to find.
pub(super) fn device(certificate: &Certificate<'_>) -> Result<DeviceId, IdevidError> {
    if let Some(serial) = certificate.subject_serial_number() {
        return Ok(DeviceId::new(serial)?);
    }
    let module = certificate.alt_names().into_iter().flatten().find_map(|name| match name {
        AltName::HardwareModule(serial) => Some(serial),
        _ => None,
    });
    Ok(of_module(module.ok_or(IdevidError::NoSerialNumber)?)?)
}

/// As text where the bytes are a legal identifier, else in lower-case hexadecimal.
fn of_module(serial: &[u8]) -> Result<DeviceId, DeviceIdError> {
    if let Some(device) = core::str::from_utf8(serial).ok().and_then(|text| DeviceId::new(text).ok()) {
        return Ok(device);
    }
    let mut text = heapless::String::<MAX_DEVICE_ID>::new();
    for byte in serial {
        for digit in [byte >> 4, byte & 15] {
            let digit = char::from_digit(digit.into(), 16).unwrap_or('0');
            text.push(digit).map_err(|_| DeviceIdError::Length { found: serial.len() * 2 })?;
        }
    }
    DeviceId::new(&text)
}

#[cfg(test)]
mod tests {
    use super::of_module;

    #[test]
    fn a_modules_serial_number_is_text_or_hexadecimal() {
        assert_eq!(of_module(b"HW-77").unwrap().as_str(), "HW-77");
        assert_eq!(of_module(&[0x00, 0xa1, 0xff]).unwrap().as_str(), "00a1ff");
        assert_eq!(of_module(b"a b").unwrap().as_str(), "612062");
        assert!(of_module(&[0xee; 24]).is_ok());
        assert!(of_module(&[0xee; 25]).is_err());
        assert!(of_module(&[]).is_err());
    }
}
