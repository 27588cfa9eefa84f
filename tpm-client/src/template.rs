//! The public areas that keys are made from.

use shared::tpm2::{algorithm, attribute};

/// The kinds of endorsement key (TCG EK Credential Profile, annex B.3): templates L-1 and L-2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EkKind {
    /// RSA-2048: every TPM for PCs has it.
    #[default]
    Rsa2048,
    /// P-256.
    P256,
}

impl EkKind {
    /// The index in non-volatile memory where the maker puts the certificate (section 2.2.1.4).
    #[must_use]
    pub const fn certificate_index(self) -> u32 {
        match self {
            Self::Rsa2048 => 0x01c0_0002,
            Self::P256 => 0x01c0_000a,
        }
    }

    /// Where such a key is kept, if it is (TCG TPM v2.0 Provisioning Guidance, section 7.8).
    pub(super) const fn persistent_handle(self) -> Option<u32> {
        match self {
            Self::Rsa2048 => Some(0x8101_0001),
            Self::P256 => None,
        }
    }

    /// The public area it is made from.
    #[must_use]
    pub fn template(self) -> Vec<u8> {
        let head = Head {
            kind: match self {
                Self::Rsa2048 => algorithm::RSA,
                Self::P256 => algorithm::ECC,
            },
            attributes: attribute::OF_THIS_TPM
                | attribute::ADMIN_WITH_POLICY
                | attribute::RESTRICTED
                | attribute::DECRYPT,
            policy: &EK_POLICY,
        };
        let body = match self {
            // Scheme, length of the key, exponent 65537; the modulus as a placeholder.
            Self::Rsa2048 => {
                let parameters = [algorithm::NULL.to_be_bytes(), 2048_u16.to_be_bytes(), [0, 0], [0, 0]];
                [parameters.as_flattened(), &sized(&[0; 256])].concat()
            }
            Self::P256 => [p256_parameters(None), sized(&[0; 32]), sized(&[0; 32])].concat(),
        };
        [head.to_bytes(), aes_128_cfb(), body].concat()
    }
}

/// The indices where the maker puts the certificates above those of the endorsement keys (section 2.2.1.5.2).
pub(super) const CHAIN_INDICES: core::ops::RangeInclusive<u32> = 0x01c0_0100..=0x01c0_01ff;

/// PolicySecret of the endorsement hierarchy (annex B.6.2, policy A).
const EK_POLICY: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd,
    0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];

/// The storage root key, P-256 (TCG TPM v2.0 Provisioning Guidance, section 7.5.1). It is made anew from the
/// owner's seed whenever it is wanted, so that nothing has to be provisioned.
#[must_use]
pub fn storage_root() -> Vec<u8> {
    let attributes = USABLE | attribute::RESTRICTED | attribute::DECRYPT;
    let head = Head { kind: algorithm::ECC, attributes, policy: &[] };
    [head.to_bytes(), aes_128_cfb(), p256_parameters(None), sized(&[0; 32]), sized(&[0; 32])].concat()
}

/// The attestation key: restricted, P-256 with ECDSA. A primary key of the endorsement hierarchy, so that it is
/// the same one whenever it is made.
#[must_use]
pub fn attestation_key() -> Vec<u8> {
    let attributes = USABLE | attribute::RESTRICTED | attribute::SIGN;
    let head = Head { kind: algorithm::ECC, attributes, policy: &[] };
    // Keeps it apart from other primary keys of this form.
    let unique = sized(b"agent attestation key v1");
    [head.to_bytes(), none(), p256_parameters(Some(algorithm::SHA256)), unique, sized(&[])].concat()
}

/// An operational key: not restricted, since it signs TLS handshakes.
#[must_use]
pub fn signing_key() -> Vec<u8> {
    let head = Head { kind: algorithm::ECC, attributes: USABLE | attribute::SIGN, policy: &[] };
    [head.to_bytes(), none(), p256_parameters(Some(algorithm::SHA256)), sized(&[]), sized(&[])].concat()
}

/// Bound to this TPM, used with an empty authorization, which nobody can be locked out of.
const USABLE: u32 = attribute::OF_THIS_TPM | attribute::USER_WITH_AUTH | attribute::NO_DA;

struct Head<'t> {
    kind: u16,
    attributes: u32,
    policy: &'t [u8],
}

impl Head<'_> {
    fn to_bytes(&self) -> Vec<u8> {
        let algorithms = [self.kind.to_be_bytes(), algorithm::SHA256.to_be_bytes()];
        [algorithms.as_flattened(), &self.attributes.to_be_bytes(), &sized(self.policy)].concat()
    }
}

fn aes_128_cfb() -> Vec<u8> {
    [algorithm::AES, 128, algorithm::CFB].map(u16::to_be_bytes).as_flattened().to_vec()
}

fn none() -> Vec<u8> {
    algorithm::NULL.to_be_bytes().to_vec()
}

/// Scheme, curve, no key derivation.
fn p256_parameters(ecdsa_hash: Option<u16>) -> Vec<u8> {
    let scheme: &[u16] = match ecdsa_hash {
        Some(hash) => &[algorithm::ECDSA, hash],
        None => &[algorithm::NULL],
    };
    let fields = scheme.iter().chain(&[algorithm::NIST_P256, algorithm::NULL]);
    fields.flat_map(|field| field.to_be_bytes()).collect()
}

fn sized(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), content].concat()
}
