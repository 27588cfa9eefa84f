//! TLS client authentication with an IDevID (RFC 7030, section 3.3.2), in the connection that the CSR came over.
//!
//! That the client has the key of the chain's leaf is for the server's TLS to see to: whoever makes an [`IdevidTls`]
//! says that the handshake of this very connection proved it, over randomness of the server's. It binds the IDevID to
//! the CSR by the connection only, and says nothing about firmware.

use shared::{DeviceId, Reject, UnixTime};

use crate::Verified;
use crate::device::Shown;
use crate::idevid;
use crate::key::hex;
use crate::maker::Endorsements;
use crate::record::{Refusal, Trail, Verdict, rule};
use crate::revocation;

/// The client of a TLS connection that has proved possession of its key.
#[derive(Clone, Copy, Debug)]
pub struct IdevidTls<'a> {
    /// Its chain in DER, leaf first, as it came; a trust anchor at its end does no harm.
    pub chain: &'a [&'a [u8]],
}

pub(crate) fn verify(
    device: &DeviceId,
    client: &IdevidTls<'_>,
    makers: &Endorsements,
    now: UnixTime,
    trail: &mut Trail,
) -> Result<Verified, Refusal> {
    let wanted = "TLS client authentication with an IDevID that leads to a maker this server knows";
    let idevid = idevid::verify_client(client.chain, makers, now).map_err(|error| {
        let source = core::error::Error::source(&error).map(|s| format!(": {s}")).unwrap_or_default();
        trail.refuse(rule::ENDORSEMENT, error.reject(), format!("{error}{source}"), wanted)
    })?;
    let module = idevid.hardware_module().map(|module| format!(" ({module})")).unwrap_or_default();
    let (owner, maker, key) = (idevid.device(), &idevid.maker().name, hex(idevid.spki_sha256()));
    let found = format!("the key {key} of the IDevID of {owner}{module} by maker {maker:?}");
    trail.note(Verdict::Passed, rule::ENDORSEMENT, found, wanted);
    trail.require(
        owner == device,
        rule::EVIDENCE_DEVICE,
        Reject::EvidenceDevice,
        format!("the IDevID of {owner}"),
        format!("that of {device}, who asks"),
    )?;
    let verified = Verified {
        shown: Shown::Identity(*idevid.spki_sha256()),
        maker: Some(idevid.maker().clone()),
        claims: None,
        model: None,
        token: None,
        credential: None,
        group: None,
        revocation: revocation::Findings::default(),
    };
    Ok(verified.looked_up(revocation::look_up(idevid.links(), makers, now)))
}
