//! Key usage and extended key usage, and that they fit the key and each other.

use super::{Rule, unless};
use crate::der;
use crate::lint::view::View;
use crate::lint::walk::Element;
use crate::template::{EXTENDED_KEY_USAGE, KEY_USAGE};

pub(super) const RULES: &[Rule] = &[
    Rule { name: "key-usage-form", section: "RFC 5280, 4.2.1.3", check: form },
    Rule { name: "key-usage-ca", section: "RFC 5280, 4.2.1.3 and 4.2.1.9", check: of_ca },
    Rule { name: "key-usage-ecc", section: "RFC 8813, 3", check: of_ecc },
    Rule { name: "extended-key-usage-form", section: "RFC 5280, 4.2.1.12", check: purposes_form },
    Rule { name: "extended-key-usage-allowed", section: "profile", check: allowed },
    Rule { name: "extended-key-usage-consistent", section: "RFC 5280, 4.2.1.12", check: consistent },
];

/// 2.5.29.37.0.
const ANY: &[u8] = &[0x55, 0x1d, 0x25, 0x00];
/// id-kp (RFC 5280, section 4.2.1.12).
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
/// codeSigning, emailProtection, timeStamping, OCSPSigning: others believe what is signed for these.
const POWERS: [u8; 4] = [3, 4, 8, 9];

const DIGITAL_SIGNATURE: u8 = 0x80;
const KEY_AGREEMENT: u8 = 0x08;
const ENCIPHERMENT: u8 = 0x20 | 0x10;
const ENCIPHER_ONLY: u8 = 0x01;
const CA_BITS: u8 = 0x04 | 0x02;

/// The bits in the first octet, where the BIT STRING has only that one and is in DER.
fn bits(view: &View<'_>) -> Option<u8> {
    let value = view.extension(KEY_USAGE)?.value;
    let [der::BIT_STRING, 2, unused, bits] = *value else { return None };
    (bits != 0 && u32::from(unused) == bits.trailing_zeros()).then_some(bits)
}

fn purposes<'a>(view: &View<'a>) -> Option<Vec<Element<'a>>> {
    let value = view.extension(EXTENDED_KEY_USAGE)?.value;
    Element::only(value)?.children_of(der::SEQUENCE)
}

fn form(view: &View<'_>) -> Result<(), String> {
    unless(bits(view).is_none(), || "no key usage, an empty one, or one that is not in DER".into())
}

fn of_ca(view: &View<'_>) -> Result<(), String> {
    let bits = bits(view).unwrap_or(0);
    let good = if view.against.is_ca { bits & CA_BITS == CA_BITS } else { bits & CA_BITS == 0 };
    unless(!good, || "keyCertSign and cRLSign, which a CA has and nobody else".into())
}

fn of_ecc(view: &View<'_>) -> Result<(), String> {
    let bits = bits(view).unwrap_or(0);
    unless(bits & ENCIPHERMENT != 0, || "an ECC key that is to encipher".into())?;
    unless(bits & ENCIPHER_ONLY != 0 && bits & KEY_AGREEMENT == 0, || {
        "encipherOnly without keyAgreement".into()
    })
}

fn purposes_form(view: &View<'_>) -> Result<(), String> {
    if view.extension(EXTENDED_KEY_USAGE).is_none() {
        return unless(!view.against.is_ca, || "no extended key usage: that is any use".into());
    }
    let purposes = purposes(view).unwrap_or_default();
    let twice = |oid: &Element<'_>| purposes.iter().filter(|other| other.value == oid.value).count() > 1;
    let good = !purposes.is_empty() && purposes.iter().all(|oid| oid.tag == der::OID && !twice(oid));
    unless(!good, || "an extended key usage that is empty, or has a purpose twice".into())
}

fn allowed(view: &View<'_>) -> Result<(), String> {
    let purposes = purposes(view).unwrap_or_default();
    unless(purposes.iter().any(|oid| oid.value == ANY), || "anyExtendedKeyUsage".into())?;
    if view.against.device.is_none() {
        return Ok(());
    }
    let has = |wanted: &[u8]| purposes.iter().any(|oid| oid.value == wanted);
    unless(!has(CLIENT_AUTH), || "no clientAuth, without which no broker takes a device".into())?;
    unless(has(SERVER_AUTH), || "serverAuth: a device could stand in for a server".into())?;
    let power = POWERS.iter().any(|last| {
        purposes
            .iter()
            .any(|oid| oid.value.split_last().is_some_and(|(found, arc)| found == last && is_id_kp(arc)))
    });
    unless(power, || "a purpose that is not for devices".into())
}

fn is_id_kp(arc: &[u8]) -> bool {
    CLIENT_AUTH.split_last().is_some_and(|(_, id_kp)| id_kp == arc)
}

fn consistent(view: &View<'_>) -> Result<(), String> {
    let tls =
        purposes(view).unwrap_or_default().iter().any(|oid| [CLIENT_AUTH, SERVER_AUTH].contains(&oid.value));
    let signs = bits(view).unwrap_or(0) & DIGITAL_SIGNATURE != 0;
    unless(tls && !signs, || "TLS without digitalSignature, which every handshake needs".into())
}
