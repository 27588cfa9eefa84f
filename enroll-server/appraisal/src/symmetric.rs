//! Verification of an EAT authenticated with a symmetric key (RFC 9711 in COSE_Mac0), and its binding to this request.
//!
//! Proves that whoever made it holds the device's key, or that of its group, from which the device's is derived. So
//! whoever has a group's key can be any device of the group.

use core::fmt;

use aws_lc_rs::hmac;
use shared::cose::{Kid, Mac0};
use shared::evidence::{Claims, ueid_of_name};
use shared::message::latest::Nonce;
use shared::{DeviceId, Reject, UnixTime, limits};
use zeroize::Zeroizing;

use crate::credential::{CredentialGrant, CredentialScope, group_key_identity, own_key_identity};
use crate::csr::CheckedCsr;
use crate::device::{KnownDevice, Shown};
use crate::key::hex;
use crate::record::{Refusal, Trail, Verdict, rule};
use crate::revocation::Findings;
use crate::{Verified, eat};

/// Evidence of this kind, as it came.
#[derive(Clone, Debug)]
pub struct SymmetricEat<'a> {
    /// The COSE_Mac0.
    pub eat: &'a [u8],
    /// The nonce of the challenge, as for [`IdevidEat`](crate::IdevidEat::nonce).
    pub nonce: &'a Nonce,
    /// The credential that the evidence names, where the server has one of this name.
    pub credential: Option<SymmetricCredential>,
}

/// A key that the server holds, for the device that asks.
#[derive(Clone, Debug)]
pub struct SymmetricCredential {
    /// Whom it is for, until when.
    pub grant: CredentialGrant,
    /// The device's key.
    pub key: DeviceKey,
}

/// A device's key, ready to verify with. The library wipes it when it is dropped.
#[derive(Clone)]
pub struct DeviceKey(Box<hmac::Key>);

impl DeviceKey {
    /// A device's own key.
    #[must_use]
    pub fn own(key: &[u8]) -> Self {
        Self(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// The key of `device`, derived from its group's.
    #[must_use]
    pub fn derived(group_key: &[u8], device: &DeviceId) -> Self {
        Self::own(derive(group_key, device).as_slice())
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey(redacted)")
    }
}

/// The key of a device of a group: HMAC-SHA256 over the device identifier's text, under the group's key.
#[must_use]
pub fn derive(group_key: &[u8], device: &DeviceId) -> Zeroizing<[u8; 32]> {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, group_key), device.as_str().as_bytes());
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(tag.as_ref());
    key
}

/// The name of the key that evidence is authenticated with, by which a server finds it; not yet to be believed.
#[must_use]
pub fn named_key(eat: &[u8]) -> Option<Kid> {
    Mac0::decode(eat, limits::MAX_EVIDENCE).ok().map(|mac0| *mac0.kid())
}

pub(crate) fn verify(
    device: &DeviceId,
    csr: &CheckedCsr,
    evidence: &SymmetricEat<'_>,
    known: Option<&KnownDevice>,
    now: UnixTime,
    trail: &mut Trail,
) -> Result<Verified, Refusal> {
    let form = "an EAT of this protocol in COSE_Mac0";
    let mac0 = Mac0::decode(evidence.eat, limits::MAX_EVIDENCE)
        .map_err(|error| eat::refuse_form(trail, error, form))?;
    let kid = hex(mac0.kid());
    let Some(SymmetricCredential { grant, key }) = &evidence.credential else {
        let wanted = "one that this server made (enroll-server key create)";
        return Err(trail.refuse(
            rule::CREDENTIAL,
            Reject::BadCredential,
            format!("a key named {kid}"),
            wanted,
        ));
    };
    grant.check(device, known, now, trail)?;
    let mut covered = Vec::with_capacity(evidence.eat.len());
    mac0.mac_bytes(|part| covered.extend_from_slice(part));
    trail.require(
        // In constant time.
        hmac::verify(&key.0, &covered, mac0.tag()).is_ok(),
        rule::EVIDENCE_SIGNATURE,
        Reject::EvidenceSignature,
        "a tag",
        format!("one that verifies under the key of {device} by credential {kid}"),
    )?;
    // The claims are read only once it is known who made them.
    let claims =
        Claims::decode(mac0.unverified_payload()).map_err(|error| eat::refuse_form(trail, error, form))?;
    trail.note(Verdict::Passed, rule::EVIDENCE_FORM, form, form);
    eat::check_binding(&claims, evidence.nonce, csr, trail)?;
    eat::check_ueid(&claims, &ueid_of_name(device), device.as_str(), trail)?;
    grant.check_quota(trail)?;

    let (identity, names_device) = match &grant.scope {
        CredentialScope::Device(device) => (own_key_identity(device), true),
        CredentialScope::Many => (group_key_identity(&grant.id, device), false),
    };
    Ok(Verified {
        shown: Shown::Credential { identity, names_device },
        maker: None,
        claims: Some((&claims).into()),
        model: None,
        token: None,
        credential: Some(grant.id.clone()),
        group: grant.group.clone(),
        revocation: Findings::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::derive;
    use shared::DeviceId;

    /// The vector of `shared/vectors/cose-mac0.json`, made with another HMAC.
    #[test]
    fn a_devices_key_is_an_hmac_over_its_name() {
        let group: Vec<u8> = (0xc0..0xe0).collect();
        let key = derive(&group, &DeviceId::new("SN-0001").unwrap());
        let vectors = include_str!("../../../shared/vectors/cose-mac0.json");
        assert!(vectors.contains(&format!("\"device_key\": \"{}\"", crate::key::hex(key.as_slice()))));
    }
}
