//! Who stands behind a file. The one way from bytes to a [`Release`] is [`open`]: the signature is checked before
//! the content is read, a wrong one is never as good as none, and no signature at all has to be asked for.

use appraisal::Endorsements;
use appraisal::release::{ReleaseSignerError, signer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shared::UnixTime;

use crate::corim::signed::{SignedCorim, is_signed};
use crate::error::ManifestError;
use crate::key::{ReleaseKey, ReleaseKeyError};
use crate::list::ListError;
use crate::manifest::{Manifest, Notes, Validity};
use crate::{MAX_SIGNATURE, corim, list};

/// What is offered for import.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The file.
    pub bytes: &'a [u8],
    /// Its detached signature: ECDSA in DER as `openssl dgst -sign` makes it, or that in Base64.
    pub signature: Option<&'a [u8]>,
}

/// What is believed.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// The keys that are registered for releases.
    pub keys: &'a [ReleaseKey],
    /// The makers that are known.
    pub makers: &'a Endorsements,
    /// Whose devices the values are to be for. By default the signer says, or the file.
    pub maker: Option<&'a str>,
    /// Whether a file without a signature is taken.
    pub allow_unsigned: bool,
    /// The time.
    pub now: UnixTime,
}

/// A file whose values may be used; made by [`open`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    manifest: Manifest,
    maker: String,
    authority: Authority,
}

/// Who stands behind a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Only the operator who imports it.
    Operator,
    /// The holder of a key that is registered for the maker's releases.
    Key {
        /// SHA-256 of its SubjectPublicKeyInfo.
        sha256: [u8; 32],
    },
    /// The holder of a certificate that leads to the maker's CA.
    Certificate {
        /// Its subject.
        subject: String,
        /// SHA-256 of its SubjectPublicKeyInfo.
        sha256: [u8; 32],
    },
}

impl Release {
    /// What it says. Its validity is that of the signature too.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Name of the maker whose devices it is for.
    #[must_use]
    pub fn maker(&self) -> &str {
        &self.maker
    }

    /// Who stands behind it.
    #[must_use]
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }
}

/// Why a file is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// It is no CoRIM as the draft has it.
    #[error("this is no CoRIM that can be used")]
    Manifest(#[from] ManifestError),
    /// It is no release list.
    #[error("the release list has mistakes")]
    List(#[from] ListError),
    /// It has no signature, and that was not allowed.
    #[error(
        "the file is not signed: give its signature with --signature FILE, or say --unsigned if you know where \
         it comes from"
    )]
    Unsigned,
    /// It is signed, but by none of the keys that could have.
    #[error("the signature was made by none of the {tried} release keys that fit ({algorithm})")]
    Signature {
        /// How many keys were tried.
        tried: usize,
        /// The algorithm of the signature.
        algorithm: &'static str,
    },
    /// No key is there to check it with.
    #[error("no release key of {} is registered: add it with `enroll-server maker release-key MAKER FILE`",
        maker.as_deref().map_or_else(|| "any maker".to_owned(), |maker| format!("maker {maker:?}")))]
    NoKey {
        /// The maker that was asked for.
        maker: Option<String>,
    },
    /// The certificate that comes with the signature is not good for it.
    #[error("the certificate that comes with the signature may not sign releases")]
    Signer(#[from] ReleaseSignerError),
    /// The key in that certificate cannot be used.
    #[error("the key in the certificate that comes with the signature cannot be used")]
    SignerKey(#[from] ReleaseKeyError),
    /// A signature inside and one beside it.
    #[error("the file is signed in itself; a detached signature does not belong to it")]
    TwoSignatures,
    /// The detached signature is no ECDSA signature.
    #[error(
        "the signature file is no ECDSA signature in DER or Base64; make one with \
         `openssl dgst -sha256 -sign release-key.pem -out FILE.sig FILE`"
    )]
    SignatureForm,
    /// The signature's time is over, or not there yet.
    #[error("the signature by {signer:?} counts {validity}; it is {now}")]
    SignatureTime {
        /// Who signed.
        signer: String,
        /// From when until when.
        validity: String,
        /// The time.
        now: UnixTime,
    },
    /// The manifest's time is over.
    #[error("the values count {validity}; it is {now}")]
    Over {
        /// From when until when.
        validity: String,
        /// The time.
        now: UnixTime,
    },
    /// Nobody says whose devices it is for.
    #[error("whose devices are these values for? Say --maker NAME")]
    NoMaker,
    /// Two different makers are named.
    #[error("the values are for devices of {found:?}, by {by}; wanted {wanted:?}")]
    WrongMaker {
        /// The maker found.
        found: String,
        /// Who says so.
        by: &'static str,
        /// The maker wanted.
        wanted: String,
    },
    /// No such maker is known.
    #[error("there is no maker {name:?}; known are {known}")]
    UnknownMaker {
        /// The name.
        name: String,
        /// The names that are known.
        known: String,
    },
    /// Nothing of it can be used.
    #[error("none of its values can be used")]
    NoValues {
        /// What was left out and why.
        notes: Notes,
    },
}

/// Checks who stands behind a file, and reads it.
///
/// # Errors
/// Says why it is not taken; nothing of it is to be used then.
pub fn open(offer: &Offer<'_>, trust: &Trust<'_>) -> Result<Release, ReleaseError> {
    let (mut manifest, authority, signed_for) = if is_signed(offer.bytes) {
        if offer.signature.is_some() {
            return Err(ReleaseError::TwoSignatures);
        }
        open_signed(offer.bytes, trust)?
    } else if let Some(signature) = offer.signature {
        let key = detached(offer.bytes, signature, trust)?;
        let authority = Authority::Key { sha256: *key.sha256() };
        (read_unsigned(offer.bytes)?, authority, Some(key.maker().to_owned()))
    } else if trust.allow_unsigned {
        (read_unsigned(offer.bytes)?, Authority::Operator, None)
    } else {
        return Err(ReleaseError::Unsigned);
    };
    let maker = whose(signed_for, &manifest, trust)?;
    if manifest.validity.is_over(trust.now) {
        let validity = shown(&manifest.validity);
        return Err(ReleaseError::Over { validity, now: trust.now });
    }
    if manifest.is_empty() {
        return Err(ReleaseError::NoValues { notes: manifest.notes });
    }
    // A tag without a value that can be used takes the place of none that has some.
    manifest.sets.retain(|set| !set.known.is_empty());
    Ok(Release { manifest, maker, authority })
}

pub(crate) fn read_unverified(bytes: &[u8]) -> Result<Manifest, ReleaseError> {
    if is_signed(bytes) {
        let signed = SignedCorim::read(bytes)?;
        let (payload, base) = signed.unverified_payload;
        return Ok(corim::read(payload, base)?);
    }
    read_unsigned(bytes)
}

/// A CoRIM begins with a tag, as no text does; arrays and maps without one are told so.
fn read_unsigned(bytes: &[u8]) -> Result<Manifest, ReleaseError> {
    match bytes.first() {
        Some(0x80..=0xdb) => Ok(corim::read(bytes, 0)?),
        _ => Ok(list::read(bytes)?),
    }
}

type Opened = (Manifest, Authority, Option<String>);

fn open_signed(bytes: &[u8], trust: &Trust<'_>) -> Result<Opened, ReleaseError> {
    let signed = SignedCorim::read(bytes)?;
    let message = signed.signed_bytes();
    let made_by = |key: &ReleaseKey| key.signed_fixed(signed.algorithm, &message, signed.signature);
    let mut tried = 0;
    let registered = candidates(trust).inspect(|_| tried += 1).find(|key| made_by(key));
    let (maker, authority) = if let Some(key) = registered {
        (key.maker().to_owned(), Authority::Key { sha256: *key.sha256() })
    } else if signed.chain.is_empty() {
        return Err(if tried == 0 {
            ReleaseError::NoKey { maker: trust.maker.map(Into::into) }
        } else {
            ReleaseError::Signature { tried, algorithm: signed.algorithm.name() }
        });
    } else {
        let signer = signer(&signed.chain, trust.makers, trust.now)?;
        let key = ReleaseKey::new(&signer.maker().name, signer.spki())?;
        if !made_by(&key) {
            return Err(ReleaseError::Signature { tried: tried + 1, algorithm: signed.algorithm.name() });
        }
        let subject = signer.subject().to_owned();
        (signer.maker().name.clone(), Authority::Certificate { subject, sha256: *key.sha256() })
    };
    let early = signed.validity.not_before.is_some_and(|first| trust.now < first);
    if early || signed.validity.is_over(trust.now) {
        let validity = shown(&signed.validity);
        return Err(ReleaseError::SignatureTime { signer: signed.signer, validity, now: trust.now });
    }
    // The content is read only now that it is known who signed it.
    let (payload, base) = signed.unverified_payload;
    let mut manifest = corim::read(payload, base)?;
    manifest.validity = manifest.validity.and(signed.validity);
    if !manifest.entities.contains(&signed.signer) {
        manifest.entities.push(signed.signer);
    }
    Ok((manifest, authority, Some(maker)))
}

/// The registered keys that could have signed.
fn candidates<'t>(trust: &Trust<'t>) -> impl Iterator<Item = &'t ReleaseKey> {
    let maker = trust.maker;
    trust.keys.iter().filter(move |key| maker.is_none_or(|maker| key.maker() == maker))
}

fn detached<'t>(bytes: &[u8], signature: &[u8], trust: &Trust<'t>) -> Result<&'t ReleaseKey, ReleaseError> {
    let der = signature_der(signature)?;
    let mut tried = 0;
    let found = candidates(trust).inspect(|_| tried += 1).find(|key| key.signed_der(bytes, &der));
    found.ok_or_else(|| match tried {
        0 => ReleaseError::NoKey { maker: trust.maker.map(Into::into) },
        tried => ReleaseError::Signature { tried, algorithm: "ECDSA" },
    })
}

/// DER begins with a SEQUENCE; else it is Base64, with line breaks or without.
fn signature_der(file: &[u8]) -> Result<Vec<u8>, ReleaseError> {
    if file.is_empty() || file.len() > MAX_SIGNATURE {
        return Err(ReleaseError::SignatureForm);
    }
    if file.first() == Some(&0x30) {
        return Ok(file.to_vec());
    }
    let digits: Vec<u8> = file.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    let der = STANDARD.decode(digits).map_err(|_| ReleaseError::SignatureForm)?;
    if der.first() == Some(&0x30) { Ok(der) } else { Err(ReleaseError::SignatureForm) }
}

/// Everyone who says whose devices the values are for has to say the same, and the maker has to be known.
fn whose(signed_for: Option<String>, manifest: &Manifest, trust: &Trust<'_>) -> Result<String, ReleaseError> {
    let said = [
        (trust.maker.map(Into::into), "the operator"),
        (signed_for, "its signature"),
        (manifest.maker.clone(), "the file"),
    ];
    let mut agreed: Option<String> = None;
    for (name, by) in said {
        match (name, &agreed) {
            (Some(found), Some(wanted)) if found != *wanted => {
                return Err(ReleaseError::WrongMaker { found, by, wanted: wanted.clone() });
            }
            (Some(name), None) => agreed = Some(name),
            _ => {}
        }
    }
    let name = agreed.ok_or(ReleaseError::NoMaker)?;
    let mut known: Vec<_> = trust.makers.iter().map(|ca| ca.maker().name.as_str()).collect();
    if known.contains(&name.as_str()) {
        return Ok(name);
    }
    known.sort_unstable();
    known.dedup();
    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
    Err(ReleaseError::UnknownMaker { name, known })
}

fn shown(validity: &Validity) -> String {
    let time = |at: Option<UnixTime>| at.map(|at| at.to_string());
    match (time(validity.not_before), time(validity.not_after)) {
        (Some(first), Some(last)) => format!("from {first} to {last}"),
        (Some(first), None) => format!("from {first}"),
        (None, Some(last)) => format!("until {last}"),
        (None, None) => "always".into(),
    }
}
