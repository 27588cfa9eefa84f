//! Key usages and purposes that a profile may ask for. The lists are closed: what is not here cannot be written.

use super::oid::Oid;

/// A bit of the key usage (RFC 5280, section 4.2.1.3) that an ECDSA key of a device may have. Others are for keys that
/// encrypt, or for CAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KeyUse {
    DigitalSignature,
    NonRepudiation,
    KeyAgreement,
}

impl KeyUse {
    pub(super) const NAMES: &'static [(&'static str, Self)] = &[
        ("digital-signature", Self::DigitalSignature),
        ("non-repudiation", Self::NonRepudiation),
        ("key-agreement", Self::KeyAgreement),
    ];

    /// The bit in the first octet of the BIT STRING.
    pub(crate) const fn bit(self) -> u8 {
        match self {
            Self::DigitalSignature => 0x80,
            Self::NonRepudiation => 0x40,
            Self::KeyAgreement => 0x08,
        }
    }

    pub(crate) const fn rcgen(self) -> rcgen::KeyUsagePurpose {
        match self {
            Self::DigitalSignature => rcgen::KeyUsagePurpose::DigitalSignature,
            Self::NonRepudiation => rcgen::KeyUsagePurpose::ContentCommitment,
            Self::KeyAgreement => rcgen::KeyUsagePurpose::KeyAgreement,
        }
    }

    pub(super) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, found)| *found == self).map_or("", |(name, _)| name)
    }
}

/// The purpose that every profile has: a TLS client.
pub(super) const CLIENT_AUTH: &str = "client-auth";

/// Purposes besides the TLS client that have a name.
const PURPOSES: &[(&str, &str)] = &[
    // RFC 4334, section 2: network access control by EAP over a wire (IEEE 802.1X).
    ("eap-over-lan", "1.3.6.1.5.5.7.3.14"),
    // RFC 4945, section 5.1.3.12.
    ("ipsec-ike", "1.3.6.1.5.5.7.3.17"),
];

/// Reads a purpose: one with a name, or one below the number of an enterprise. `None` inside: the TLS client.
pub(super) fn purpose(text: &str) -> Result<Option<Oid>, String> {
    if text == CLIENT_AUTH {
        return Ok(None);
    }
    let named = PURPOSES.iter().find(|(name, _)| *name == text).and_then(|(_, oid)| Oid::parse(oid));
    named.or_else(|| Oid::parse(text).filter(Oid::is_private)).map(Some).ok_or_else(|| {
        let names: Vec<_> = PURPOSES.iter().map(|(name, _)| format!("{name:?}")).collect();
        format!(
            "{CLIENT_AUTH:?}, {} or an identifier below the number of an enterprise (1.3.6.1.4.1.N); a device is \
             never certified as a server, a signer of code, or for any purpose",
            names.join(", ")
        )
    })
}

/// The text that [`purpose`] reads.
pub(super) fn purpose_name(oid: &Oid) -> String {
    let dotted = oid.to_string();
    PURPOSES.iter().find(|(_, found)| *found == dotted).map_or(dotted, |(name, _)| (*name).to_owned())
}
