//! The certificates of a simulated DICE device: the root of the maker's, one a layer, and the alias.
//!
//! A layer's has both extensions: the inputs of the Open Profile, and a DiceTcbInfo that names the code.

use p256::SecretKey;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyUsagePurpose, SerialNumber, string::PrintableString,
};
use shared::{DeviceId, UnixTime};

use super::derive::{Inputs, Mode, id};
use super::{BootError, Code};

/// DeviceID or UDS certificate: its subject names the device.
pub(super) fn root(
    device: &DeviceId,
    key: &SecretKey,
    now: UnixTime,
) -> Result<CertificateParams, BootError> {
    let mut params = ca(key);
    let serial = PrintableString::try_from(device.as_str())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(serial_number(), DnValue::PrintableString(serial));
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + core::time::Duration::from_secs(now.as_secs());
    Ok(params)
}

/// A layer's certificate ("X.509 CDI Certificates").
pub(super) fn layer(key: &SecretKey, number: u8, code: &Code<'_>, inputs: &Inputs) -> CertificateParams {
    let mut params = ca(key);
    params.custom_extensions = vec![open_dice(inputs), tcb_info(number, code, inputs.mode)];
    params
}

/// The certificate of the attestation key: no CA, for attestation by this layer (tcg-dice-kp-attestLoc).
pub(super) fn alias(key: &SecretKey) -> CertificateParams {
    let mut params = named(key);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(vec![2, 23, 133, 5, 4, 100, 9])];
    params
}

fn ca(key: &SecretKey) -> CertificateParams {
    let mut params = named(key);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// Serial number, subject and key identifier follow from the key. "In the absence of a better value", a certificate
/// is valid from the day on which TCG's specification was published.
fn named(key: &SecretKey) -> CertificateParams {
    let id = id(key);
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&id));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(serial_number(), hex::encode(id));
    params.key_identifier_method = KeyIdMethod::PreSpecified(id.to_vec());
    params.use_authority_key_identifier_extension = true;
    let last_second = core::time::Duration::from_secs(86_399);
    params.not_before = rcgen::date_time_ymd(2018, 3, 22) + last_second;
    params.not_after = rcgen::date_time_ymd(9999, 12, 31) + last_second;
    params
}

fn serial_number() -> DnType {
    DnType::CustomDnType(vec![2, 5, 4, 5])
}

fn open_dice(inputs: &Inputs) -> CustomExtension {
    let octets = |tag, content: &[u8]| tlv(tag, &[&tlv(0x04, &[content])]);
    let value = tlv(
        0x30,
        &[
            &octets(0xa0, &inputs.code),
            &octets(0xa2, &inputs.configuration),
            &octets(0xa3, inputs.configuration_descriptor.as_bytes()),
            &octets(0xa4, &inputs.authority),
            &tlv(0xa6, &[&tlv(0x02, &[&[inputs.mode.value()]])]),
        ],
    );
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 1, 24], value);
    extension.set_criticality(true);
    extension
}

fn tcb_info(number: u8, code: &Code<'_>, mode: Mode) -> CustomExtension {
    let flags: &[u8] = match mode {
        Mode::Normal => &[0],
        // Bit 3, debug; four bits are unused.
        Mode::Debug => &[4, 0x10],
    };
    let value = tlv(
        0x30,
        &[
            &tlv(0x81, &[code.model.as_bytes()]),
            &tlv(0x82, &[code.version.as_bytes()]),
            &tlv(0x84, &[&[number]]),
            &tlv(0x87, &[flags]),
            &tlv(0x89, &[code.name.as_bytes()]),
        ],
    );
    CustomExtension::from_oid_content(&[2, 23, 133, 5, 4, 1], value)
}

/// One element of DER (X.690); contents of up to 65,535 bytes.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [.., high, low] = content.len().to_be_bytes();
    let mut der = match (high, low) {
        (0, 0..=0x7f) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    der.extend(content);
    der
}
