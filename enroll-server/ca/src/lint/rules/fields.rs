//! Version, serial number, algorithm, issuer, dates, key and size.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use shared::limits::MAX_CERTIFICATE;

use super::{Rule, unless};
use crate::der::{self, tlv};
use crate::lint::view::View;
use crate::lint::walk::Element;
use crate::template::{ECDSA_WITH_SHA256, spki};
use crate::to_be_signed::{MAX_SIGNATURE, assemble};

pub(super) const RULES: &[Rule] = &[
    Rule { name: "version-3", section: "RFC 5280, 4.1.2.1", check: version },
    Rule { name: "serial-form", section: "RFC 5280, 4.1.2.2", check: serial_form },
    Rule { name: "serial-entropy", section: "CA/B BR 7.1", check: serial_entropy },
    Rule { name: "signature-algorithm", section: "RFC 5758, 3.2", check: algorithm },
    Rule { name: "issuer-name", section: "RFC 5280, 4.1.2.4", check: issuer },
    Rule { name: "time-form", section: "RFC 5280, 4.1.2.5", check: time_form },
    Rule { name: "time-order", section: "RFC 5280, 4.1.2.5", check: time_order },
    Rule { name: "public-key", section: "RFC 5480, 2", check: key },
    Rule { name: "unique-identifiers", section: "RFC 5280, 4.1.2.8", check: unique_ids },
    Rule { name: "size", section: "shared::limits", check: size },
];

fn version(view: &View<'_>) -> Result<(), String> {
    let three = view.version.is_some_and(|version| version.value == [der::INTEGER, 1, 2]);
    unless(!three, || "another version than 3".into())
}

fn serial_form(view: &View<'_>) -> Result<(), String> {
    let serial = view.serial.value;
    let positive = matches!(serial, [0x01..=0x7f, ..] | [0, 0x80..=0xff, ..]);
    unless(!positive || serial.len() > 20, || {
        format!(
            "a serial number of {} bytes; wanted a positive one in its shortest form, 20 at most",
            serial.len()
        )
    })
}

fn serial_entropy(view: &View<'_>) -> Result<(), String> {
    // At least 64 bits out of a CSPRNG; ours have 128.
    let digits = view.serial.value.iter().skip_while(|byte| **byte == 0).count();
    let same = view.serial.value.windows(2).filter(|pair| pair.first() == pair.last()).count();
    unless(digits < 16 || same + 4 > digits, || {
        format!("a serial number of {digits} significant bytes that does not look random; wanted 16")
    })
}

fn algorithm(view: &View<'_>) -> Result<(), String> {
    let wanted = tlv(der::OID, &[ECDSA_WITH_SHA256]);
    unless(view.algorithm.value != wanted, || {
        "another algorithm than ecdsa-with-SHA256 without parameters".into()
    })
}

fn issuer(view: &View<'_>) -> Result<(), String> {
    unless(view.issuer.value.is_empty(), || "an empty issuer".into())?;
    // RFC 5280, section 6.1.3 (a)(4): path validation compares the two.
    let wanted = view.against.issuer.unwrap_or(view.subject.whole);
    unless(view.issuer.whole != wanted, || {
        "an issuer that is not the subject of the CA, byte for byte".into()
    })
}

fn time_form(view: &View<'_>) -> Result<(), String> {
    view.validity.iter().try_for_each(|time| {
        let digits = |text: &[u8]| {
            text.strip_suffix(b"Z").filter(|d| d.iter().all(u8::is_ascii_digit)).map(<[u8]>::len)
        };
        let good = match (time.tag, digits(time.value)) {
            (0x17, Some(12)) => true,
            // Years through 2049 are UTCTime.
            (0x18, Some(14)) => time.value >= &b"2050"[..],
            _ => false,
        };
        unless(!good, || "a date that is not YYMMDDHHMMSSZ, or from 2050 YYYYMMDDHHMMSSZ".into())
    })
}

fn time_order(view: &View<'_>) -> Result<(), String> {
    let full = |time: &Element<'_>| -> Vec<u8> {
        // RFC 5280, section 4.1.2.5.1: YY from 50 on is the last century.
        let century: &[u8] = match time.value {
            [b'5'..=b'9', ..] => b"19",
            _ => b"20",
        };
        if time.tag == 0x17 { [century, time.value].concat() } else { time.value.to_vec() }
    };
    let times: Vec<_> = view.validity.iter().map(full).collect();
    unless(times.first() >= times.last(), || "a life that ends before it begins".into())
}

fn key(view: &View<'_>) -> Result<(), String> {
    let point = view.key.whole.last_chunk::<65>();
    let good = point.is_some_and(|point| {
        let on_curve = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).parse().is_ok();
        point.first() == Some(&4) && view.key.whole == spki(point) && on_curve
    });
    unless(!good, || "a key that is not an uncompressed point on P-256, the curve by its name".into())
}

fn unique_ids(view: &View<'_>) -> Result<(), String> {
    unless(view.unique_ids, || "a unique identifier".into())
}

fn size(view: &View<'_>) -> Result<(), String> {
    let length = assemble(view.der, &[0; MAX_SIGNATURE]).len();
    unless(length > MAX_CERTIFICATE, || {
        format!("{length} bytes when it is signed; a device can hold {MAX_CERTIFICATE}")
    })
}
