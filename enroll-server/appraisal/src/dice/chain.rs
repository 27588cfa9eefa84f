//! The path of a layered certificate chain (TCG DICE Attestation Architecture, section 5; Open Profile for DICE,
//! "Certificate Details"): from the alias certificate over the layers to the device's root, and from there to a
//! maker.
//!
//! Each certificate was made by the layer above it, so the chain has one order and is not searched. It is
//! validated here (RFC 5280, section 6.1), since its extensions may be critical, which no library knows.
//!
//! **The last certificate is the device's root** (DeviceID, UDS), and a maker that the server knows has issued it
//! directly. Were intermediates allowed above it, a device could issue a certificate with another device's name
//! and pass its own root off as one. CAs between the maker and its devices are therefore makers of their own; that
//! a device sends their certificates along does no harm.

use shared::{DeviceId, Reject, UnixTime, limits};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;

use crate::der::{Malformed, Reader, tag};
use crate::device_name::{self, NameError};
use crate::key::{PublicKey, SpkiHash};
use crate::maker::{Endorsements, Maker, MakerCa, time};
use crate::path::{self, PathError};
use crate::revocation::Link;
use crate::{key, oid};

/// A chain whose every link was verified; made by [`verify`] only.
#[derive(Debug)]
pub(super) struct DiceChain<'c> {
    /// Root first, alias last.
    certificates: Vec<X509Certificate<'c>>,
    device: DeviceId,
    maker: Maker,
    alias: PublicKey,
    link: Link,
}

impl<'c> DiceChain<'c> {
    /// All certificates, the device's root first, the alias last.
    pub(super) fn certificates(&self) -> &[X509Certificate<'c>] {
        &self.certificates
    }

    /// The device that the root names.
    pub(super) const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Who issued the root.
    pub(super) const fn maker(&self) -> &Maker {
        &self.maker
    }

    /// The key that signs evidence.
    pub(super) const fn alias(&self) -> &PublicKey {
        &self.alias
    }

    /// The root certificate and its issuer, for the maker's revocation lists.
    pub(super) const fn link(&self) -> &Link {
        &self.link
    }

    /// SHA-256 of the root's SubjectPublicKeyInfo: what identifies the device.
    pub(super) fn root_spki_sha256(&self) -> SpkiHash {
        let spki = self.certificates.first().map_or(&[][..], |root| root.public_key().raw);
        key::sha256(spki)
    }
}

/// Why a chain is no device's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChainError {
    /// A certificate's own form, or the way to the maker.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Too few certificates.
    #[error("a chain of {found} certificates below the maker; a device's root and an alias are the least")]
    TooShort {
        /// Certificates found.
        found: usize,
    },
    /// A certificate was not issued by the one above it.
    #[error("certificate {at} of the chain was not issued by the one above it: another {what}")]
    Unlinked {
        /// Which, the alias being 0.
        at: usize,
        /// What differs.
        what: &'static str,
    },
    /// A certificate is not in force.
    #[error("certificate {at} of the chain is valid from {from} to {to}, which is not now")]
    Dates {
        /// Which, the alias being 0.
        at: usize,
        /// Its first second.
        from: UnixTime,
        /// Its last second.
        to: UnixTime,
    },
    /// More CAs below a certificate than it allows.
    #[error("more certificates below certificate {at} of the chain than its path length allows")]
    PathLength {
        /// Which, the alias being 0.
        at: usize,
    },
    /// A critical extension, or one that would have to be obeyed.
    #[error("certificate {at} of the chain has an extension that is not supported: {id}")]
    Extension {
        /// Which, the alias being 0.
        at: usize,
        /// Its object identifier.
        id: String,
    },
    /// The alias may not sign evidence.
    #[error("an alias certificate that is a CA's, or whose usages do not allow it to sign evidence")]
    AliasUsage,
    /// The alias key is not a P-256 key.
    #[error("an alias key that is not an uncompressed point on P-256")]
    AliasKey,
    /// The root names no device.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl ChainError {
    /// What the device is told.
    pub(super) const fn reject(&self) -> Reject {
        match self {
            Self::Path(error) => error.reject(),
            _ => Reject::BadEndorsement,
        }
    }
}

/// Verifies a chain in DER, the alias first.
pub(super) fn verify<'c>(
    chain: &[&'c [u8]],
    makers: &Endorsements,
    now: UnixTime,
) -> Result<DiceChain<'c>, ChainError> {
    let allowed = limits::MAX_CHAIN;
    if chain.is_empty() || chain.len() > allowed {
        return Err(PathError::ChainLength { found: chain.len(), allowed }.into());
    }
    if let Some(long) = chain.iter().find(|der| der.len() > limits::MAX_CERTIFICATE) {
        let (found, allowed) = (long.len(), limits::MAX_CERTIFICATE);
        return Err(PathError::TooLong { found, allowed }.into());
    }
    // What a device sends along of the makers' own certificates is left out.
    let known = chain.iter().rev().take_while(|der| makers.iter().any(|ca| ca.der() == **der)).count();
    let chain = chain.get(..chain.len() - known).unwrap_or_default();
    let [alias, above @ ..] = chain else { return Err(ChainError::TooShort { found: 0 }) };
    if above.is_empty() {
        return Err(ChainError::TooShort { found: 1 });
    }
    let mut certificates = vec![path::parse(alias)?];
    for der in above {
        certificates.push(path::parse_ca(der, limits::MAX_CERTIFICATE)?);
    }
    for (at, (der, certificate)) in chain.iter().zip(&certificates).enumerate() {
        check_form(der, certificate).map_err(|Malformed| PathError::Malformed)?;
        check_dates(at, certificate, now)?;
        check_extensions(at, certificate)?;
        if at > 0 {
            check_path_length(at, &certificates)?;
        }
    }
    for (at, (below, above)) in certificates.iter().zip(certificates.iter().skip(1)).enumerate() {
        check_issued(below, above).map_err(|what| ChainError::Unlinked { at, what })?;
    }
    let alias = certificates.first().ok_or(ChainError::AliasKey).and_then(check_alias)?;
    let root = certificates.last().ok_or(ChainError::TooShort { found: 0 })?;
    let ca = issuer_of(root, certificates.len() - 1, makers, now)?;
    let (device, _module) = device_name::device(root)?;
    let (maker, link) = (ca.maker().clone(), Link::under(root, *ca.issuer_id()));
    certificates.reverse();
    Ok(DiceChain { certificates, device, maker, alias, link })
}

/// The frame around what is signed has one form: SEQUENCE { what is signed, algorithm, BIT STRING }.
fn check_form(der: &[u8], certificate: &X509Certificate<'_>) -> Result<(), Malformed> {
    let mut outer = Reader::new(der);
    let mut parts = outer.nested(tag::SEQUENCE)?;
    outer.finish()?;
    parts.read(tag::SEQUENCE)?;
    parts.read(tag::SEQUENCE)?;
    let signature = parts.read(tag::BIT_STRING)?;
    parts.finish()?;
    device_name::check_subject(certificate.subject().as_raw())?;
    let algorithm = &certificate.signature_algorithm;
    let supported = matches!(
        algorithm.algorithm.as_bytes(),
        oid::ECDSA_WITH_SHA256 | oid::ECDSA_WITH_SHA384 | oid::ED25519
    );
    // RFC 5758, section 3.2, and RFC 8410, section 3: no parameters; RFC 5280, section 4.1.1.2: twice the same.
    let same = *algorithm == certificate.tbs_certificate.signature && algorithm.parameters.is_none();
    if supported && same && signature.first() == Some(&0) { Ok(()) } else { Err(Malformed) }
}

fn check_dates(at: usize, certificate: &X509Certificate<'_>, now: UnixTime) -> Result<(), ChainError> {
    let validity = certificate.validity();
    let (from, to) = (time(validity.not_before.timestamp()), time(validity.not_after.timestamp()));
    if from <= now && now <= to { Ok(()) } else { Err(ChainError::Dates { at, from, to }) }
}

/// Every critical extension is understood, and there is none that would restrict the rest of the path in a way that
/// is not followed here.
fn check_extensions(at: usize, certificate: &X509Certificate<'_>) -> Result<(), ChainError> {
    for extension in certificate.iter_extensions() {
        let id = extension.oid.as_bytes();
        let understood = matches!(
            id,
            oid::BASIC_CONSTRAINTS
                | oid::KEY_USAGE
                | oid::EXT_KEY_USAGE
                | oid::SUBJECT_ALT_NAME
                | oid::DICE_TCB_INFO
                | oid::DICE_MULTI_TCB_INFO
                | oid::DICE_UEID
                | oid::OPEN_DICE
        );
        if extension.critical && !understood || id == oid::NAME_CONSTRAINTS {
            return Err(ChainError::Extension { at, id: extension.oid.to_id_string() });
        }
    }
    Ok(())
}

/// pathLenConstraint (RFC 5280, section 4.2.1.9) counts the CAs below, the alias and self-issued ones left out.
fn check_path_length(at: usize, certificates: &[X509Certificate<'_>]) -> Result<(), ChainError> {
    let below = certificates.iter().take(at).skip(1);
    let below = below.filter(|ca| ca.subject().as_raw() != ca.issuer().as_raw()).count();
    let constraint = certificates.get(at).and_then(|ca| ca.basic_constraints().ok().flatten());
    let most = constraint.and_then(|constraint| constraint.value.path_len_constraint);
    if most.is_some_and(|most| usize::try_from(most).is_ok_and(|most| below > most)) {
        return Err(ChainError::PathLength { at });
    }
    Ok(())
}

/// Name, key identifier and signature lead from `below` to `above`.
fn check_issued(below: &X509Certificate<'_>, above: &X509Certificate<'_>) -> Result<(), &'static str> {
    if below.issuer().as_raw() != above.subject().as_raw() {
        return Err("name");
    }
    let wanted = authority(below);
    let found = above.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    });
    if let (Some(wanted), Some(found)) = (wanted, found)
        && wanted != found
    {
        return Err("key identifier");
    }
    below.verify_signature(Some(above.public_key())).map_err(|_| "key: the signature does not verify")
}

/// The alias signs evidence and nothing else.
fn check_alias(alias: &X509Certificate<'_>) -> Result<PublicKey, ChainError> {
    let usage = alias.key_usage().map_err(|_| PathError::Malformed)?;
    let signs = usage.is_none_or(|usage| usage.value.digital_signature() && !usage.value.key_cert_sign());
    let purposes = alias.extended_key_usage().map_err(|_| PathError::Malformed)?;
    let purpose = purposes.is_none_or(|purposes| {
        let purposes = purposes.value;
        purposes.any
            || purposes.client_auth
            || purposes.other.iter().any(|id| id.as_bytes().starts_with(oid::DICE_KEY_PURPOSES))
    });
    if alias.is_ca() || !signs || !purpose {
        return Err(ChainError::AliasUsage);
    }
    PublicKey::from_spki_der(alias.public_key().raw).ok_or(ChainError::AliasKey)
}

/// Finds the maker's CA that issued the root, above so many CAs of the chain. Only a signature tells makers of one
/// name apart.
fn issuer_of<'m>(
    root: &X509Certificate<'_>,
    below: usize,
    makers: &'m Endorsements,
    now: UnixTime,
) -> Result<&'m MakerCa, ChainError> {
    let mut ended = None;
    let mut broken = None;
    for ca in makers.iter() {
        let Some(anchor) = ca.certificate() else { continue };
        match check_issued(root, &anchor) {
            Ok(()) => {
                let constraints = anchor.basic_constraints().map_err(|_| PathError::Malformed)?;
                let most = constraints.and_then(|constraints| constraints.value.path_len_constraint);
                if most.is_some_and(|most| usize::try_from(most).is_ok_and(|most| below > most)) {
                    broken = Some(ChainError::PathLength { at: below + 1 });
                } else if ca.is_valid_at(now) {
                    return Ok(ca);
                } else {
                    ended = Some(ca);
                }
            }
            // The name is anyone's to take; a key identifier is not met by chance.
            Err(what) if ca.key_id.is_some() && authority(root) == ca.key_id.as_deref() => {
                broken = Some(ChainError::Unlinked { at: below, what });
            }
            Err(_) => {}
        }
    }
    if let Some(ca) = ended {
        let (maker, ended) = (ca.maker().name.clone(), ca.not_after());
        return Err(PathError::MakerExpired { maker, ended }.into());
    }
    Err(broken.unwrap_or_else(|| PathError::UnknownMaker { issuer: root.issuer().to_string() }.into()))
}

/// The key identifier of a certificate's issuer.
fn authority<'c>(certificate: &'c X509Certificate<'_>) -> Option<&'c [u8]> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    })
}
