//! Who the client of an EST connection is: nobody, an LDevID of ours, or a certificate that may be an IDevID.
//!
//! What our CAs have signed is never anything else than an LDevID, even where an operator has named one of them as a
//! maker's: so no LDevID enrolls as an IDevID.

use rustls::pki_types::{CertificateDer, TrustAnchor};
use shared::UnixTime;

use super::Connection;
use crate::authorities::{Authorities, Authority};
use crate::issuance::ClientIdentity;
use crate::tls::verify_ldevid;

/// The client of a connection.
#[derive(Debug)]
pub(crate) enum Client<'c> {
    /// It showed no certificate.
    Nobody,
    /// It has the key of an LDevID that a CA of ours has signed, and that CA still signs. Whether it was revoked, and
    /// whether its end is long enough ago, is asked of the store at each use.
    Ldevid(ClientIdentity),
    /// It has the key of the first of these certificates. Whether that leads to a maker is for the appraisal to say.
    Idevid(Vec<&'c [u8]>),
}

/// Why the client of a connection is nobody that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClientError {
    /// An LDevID of a CA that was taken out of use.
    #[error("the client's LDevID is of an issuing CA that this server does not use any more")]
    RetiredCa,
}

impl<'c> Client<'c> {
    /// Looks at what the connection showed.
    pub(crate) fn of(
        connection: &'c Connection,
        authorities: &Authorities,
        now: UnixTime,
    ) -> Result<Self, ClientError> {
        let chain = connection.chain();
        let Some(leaf) = chain.first() else { return Ok(Self::Nobody) };
        let Ok(identity) = ClientIdentity::from_der(leaf) else { return Ok(Self::Idevid(chain)) };
        let signed_by = |with_key: bool| {
            let wanted = |authority: &&Authority| authority.signer().is_some() || !with_key;
            let certificates = authorities.all().iter().filter(wanted).map(|a| a.certificate().der());
            let anchors: Vec<TrustAnchor<'static>> = certificates
                .filter_map(|der| {
                    Some(webpki::anchor_from_trusted_cert(&CertificateDer::from(der)).ok()?.to_owned())
                })
                .collect();
            verify_ldevid(&CertificateDer::from(*leaf), &identity, &anchors, now).is_ok()
        };
        if !signed_by(false) {
            return Ok(Self::Idevid(chain));
        }
        if signed_by(true) { Ok(Self::Ldevid(identity)) } else { Err(ClientError::RetiredCa) }
    }
}
