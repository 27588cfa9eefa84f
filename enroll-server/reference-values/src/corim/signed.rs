//! Signed CoRIM (draft-ietf-rats-corim, section 4.2): COSE_Sign1 with a protected header that says what is
//! signed, by whom and for how long.
//!
//! Takes it apart and makes the bytes that are signed. Whose key it is, is for [`crate::release`] to find out.

use super::{clean, read_validity, tag, time};
use crate::MAX_CORIM;
use crate::cbor::{self, Item, Map, Place, Value};
use crate::error::ManifestError;
use crate::key::Algorithm;
use crate::manifest::Validity;

/// A signed CoRIM, its signature not checked yet.
#[derive(Debug)]
pub(crate) struct SignedCorim<'b> {
    /// The algorithm it names.
    pub(crate) algorithm: Algorithm,
    /// Who says to have signed it.
    pub(crate) signer: String,
    /// For how long the signature counts.
    pub(crate) validity: Validity,
    /// The certificates of `x5chain` (RFC 9360), leaf first.
    pub(crate) chain: Vec<&'b [u8]>,
    /// The manifest, not to be read before the signature is verified, and where it begins in the file.
    pub(crate) unverified_payload: (&'b [u8], usize),
    protected: &'b [u8],
    /// r and s.
    pub(crate) signature: &'b [u8],
}

/// Whether this is a COSE_Sign1, by its tag.
pub(crate) fn is_signed(bytes: &[u8]) -> bool {
    bytes.first() == Some(&(0xc0 | u8::try_from(tag::SIGN1).unwrap_or(0)))
}

/// Most certificates in a chain.
const MAX_CHAIN: usize = 4;

impl<'b> SignedCorim<'b> {
    pub(crate) fn read(bytes: &'b [u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_CORIM {
            return Err(ManifestError::TooLong { found: bytes.len(), limit: MAX_CORIM });
        }
        let item = cbor::parse(bytes, 0)?;
        let place = Place::root("signed-corim");
        let wanted = "COSE_Sign1: tag 18 on an array of four";
        let Some(inner) = item.tagged(tag::SIGN1) else {
            return Err(item.refuse(&place, item.describe(), wanted));
        };
        let [protected, unprotected, payload, signature] = inner.array(&place)? else {
            return Err(inner.refuse(&place, inner.describe(), wanted));
        };
        let header_place = place.field("protected");
        let header = protected.embedded(&header_place)?;
        let header_map = header.map(&header_place)?;
        let algorithm = read_header(&header, &header_map, &header_place)?;
        let (signer, validity) = read_signer(&header, &header_map, &header_place)?;
        let chain = read_chain(&header_map, &unprotected.map(&place.field("unprotected"))?, &header_place)?;
        let payload_place = place.field("payload");
        if payload.value == Value::Null {
            let wanted = "the manifest inside of its signature; detached payloads are not supported";
            return Err(payload.refuse(&payload_place, "null", wanted));
        }
        let content = payload.bytes(&payload_place)?;
        Ok(Self {
            algorithm,
            signer,
            validity,
            chain,
            unverified_payload: (content, payload.end - content.len()),
            protected: protected.bytes(&header_place)?,
            signature: signature.bytes(&place.field("signature"))?,
        })
    }

    /// The Sig_structure (RFC 9052, section 4.4), without external data.
    pub(crate) fn signed_bytes(&self) -> Vec<u8> {
        let (payload, _) = self.unverified_payload;
        let mut signed = Vec::with_capacity(self.protected.len() + payload.len() + 32);
        signed.extend_from_slice(b"\x84\x6aSignature1");
        push_bytes(&mut signed, self.protected);
        push_bytes(&mut signed, &[]);
        push_bytes(&mut signed, payload);
        signed
    }
}

/// A byte string in the shortest form.
fn push_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len().to_be_bytes();
    match bytes.len() {
        0..24 => to.extend([0x40 | length.last().copied().unwrap_or(0)]),
        24..0x100 => to.extend([0x58].iter().chain(length.iter().skip(length.len() - 1))),
        0x100..0x1_0000 => to.extend([0x59].iter().chain(length.iter().skip(length.len() - 2))),
        _ => to.extend([0x5a].iter().chain(length.iter().skip(length.len() - 4))),
    }
    to.extend_from_slice(bytes);
}

/// `alg` and `content-type`; everything that would change what the signature means is refused.
fn read_header(item: &Item<'_>, map: &Map<'_, '_>, place: &Place<'_>) -> Result<Algorithm, ManifestError> {
    // RFC 9052, section 3.1: what is critical and not understood ends the processing.
    if map.get(2).is_some() {
        return Err(item.refuse(place, "critical header parameters", "none (crit)"));
    }
    if map.get(258).is_some() || map.get(259).is_some() {
        let wanted = "a signature over the manifest itself";
        return Err(item.refuse(place, "a hash envelope (payload-hash-alg)", wanted));
    }
    let content = map.required(3, place, "content-type")?;
    if content.value != Value::Text("application/rim+cbor") {
        return Err(content.refuse(place, content.describe(), "content-type \"application/rim+cbor\""));
    }
    let algorithm = map.required(1, place, "alg")?;
    match algorithm.value {
        Value::Negative(6) => Ok(Algorithm::Es256),
        Value::Negative(34) => Ok(Algorithm::Es384),
        _ => Err(algorithm.refuse(place, algorithm.describe(), "alg -7 (ES256) or -35 (ES384)")),
    }
}

/// `corim-meta` (section 4.2.3) or CWT claims (RFC 9597); where both are there, they have to say the same.
fn read_signer(
    header: &Item<'_>,
    map: &Map<'_, '_>,
    place: &Place<'_>,
) -> Result<(String, Validity), ManifestError> {
    let meta = match map.get(8) {
        Some(meta) => {
            Some(read_meta(&meta.embedded(&place.field("corim-meta"))?, &place.field("corim-meta"))?)
        }
        None => None,
    };
    let claims = match map.get(15) {
        Some(claims) => Some(read_claims(claims, &place.field("CWT-Claims"))?),
        None => None,
    };
    match (meta, claims) {
        (Some(meta), Some(claims)) if meta != claims => {
            let wanted = "the same signer and validity in corim-meta and CWT-Claims";
            Err(header.refuse(place, "two that differ", wanted))
        }
        (Some(said), _) | (None, Some(said)) => Ok(said),
        (None, None) => map.required(8, place, "corim-meta or CWT-Claims").map(|_| Default::default()),
    }
}

/// `corim-meta-map`.
fn read_meta(item: &Item<'_>, place: &Place<'_>) -> Result<(String, Validity), ManifestError> {
    let map = item.map(place)?;
    let signer_place = place.field("signer");
    let signer = map.required(0, place, "signer")?.map(&signer_place)?;
    let name = signer.required(0, &signer_place, "signer-name")?.text(&signer_place.field("signer-name"))?;
    let validity = match map.get(1) {
        Some(validity) => read_validity(validity, &place.field("signature-validity"))?,
        None => Validity::default(),
    };
    Ok((clean(name), validity))
}

/// `cwt-claims`.
fn read_claims(item: &Item<'_>, place: &Place<'_>) -> Result<(String, Validity), ManifestError> {
    let map = item.map(place)?;
    let issuer = map.required(1, place, "iss")?.text(&place.field("iss"))?;
    let not_after = map.get(4).map(|exp| time(exp, &place.field("exp"))).transpose()?;
    let not_before = map.get(5).map(|nbf| time(nbf, &place.field("nbf"))).transpose()?;
    Ok((clean(issuer), Validity { not_before, not_after }))
}

/// `x5chain` (RFC 9360, section 2): one certificate, or an array of two and more.
fn read_chain<'b>(
    protected: &Map<'_, 'b>,
    unprotected: &Map<'_, 'b>,
    place: &Place<'_>,
) -> Result<Vec<&'b [u8]>, ManifestError> {
    let place = place.field("x5chain");
    let chain = match (protected.get(33), unprotected.get(33)) {
        (Some(chain), Some(_)) => {
            return Err(chain.refuse(&place, "a chain in both headers", "one (RFC 9052, section 3)"));
        }
        (Some(chain), None) | (None, Some(chain)) => chain,
        (None, None) => return Ok(Vec::new()),
    };
    let certificates = match &chain.value {
        Value::Bytes(der) => return Ok(vec![*der]),
        _ => chain.array(&place)?,
    };
    if !(2..=MAX_CHAIN).contains(&certificates.len()) {
        return Err(chain.refuse(&place, chain.describe(), "one certificate, or an array of 2 to 4"));
    }
    certificates.iter().enumerate().map(|(at, der)| der.bytes(&place.index(at))).collect()
}
