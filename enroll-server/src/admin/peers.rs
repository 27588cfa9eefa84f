//! Certificates that are no device's: of brokers, of servers, and of this server at brokers. The trail has their serial numbers and
//! nobody has the certificates themselves, so an operator shows the one to revoke.

use ca::crl::Reason;
use ca::{CaCertificate, Serial};
use shared::UnixTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::{Admin, AdminError};
use crate::store::{KnownIssuer, Revocation, RevokedPeer};

impl Admin {
    /// As [`revoke_peer_der`](Self::revoke_peer_der), the first certificate in `pem`.
    ///
    /// # Errors
    /// As [`revoke_peer_der`](Self::revoke_peer_der), and where there is none in it.
    pub async fn revoke_peer(&self, pem: &[u8], reason: Reason) -> Result<(RevokedPeer, bool), AdminError> {
        let found = ca::pem::read_certificates(pem).map_err(|error| not_a_peer(error.to_string()))?;
        let der = found.first().ok_or_else(|| not_a_peer("there is no certificate in PEM"))?;
        self.revoke_peer_der(der, reason).await
    }

    /// Revokes a certificate, for good: it goes on the complete list of its CA. Says whether it was not revoked before.
    ///
    /// # Errors
    /// Where it is a device's, has ended, or none of this server's issuing CAs signed it; where the reason is not for good.
    pub async fn revoke_peer_der(
        &self,
        der: &[u8],
        reason: Reason,
    ) -> Result<(RevokedPeer, bool), AdminError> {
        if !reason.is_final() {
            return Err(AdminError::NotFinal);
        }
        let now = self.now();
        let issuers = self.store.add_issuers(Vec::new(), now).await?;
        let peer = read(der, &issuers, Revocation { at: now, reason })?;
        if let Some(known) = self.store.certificate(peer.serial).await? {
            let device = known.device;
            return Err(not_a_peer(format!(
                "it is a certificate of the device {device}; its own way is: enroll-server device return {device}, or revoke"
            )));
        }
        let is_new = self.store.revoke_peer(peer.clone()).await?;
        Ok((peer, is_new))
    }
}

fn not_a_peer(problem: impl Into<String>) -> AdminError {
    AdminError::NotAPeer { problem: problem.into() }
}

fn read(der: &[u8], issuers: &[KnownIssuer], revocation: Revocation) -> Result<RevokedPeer, AdminError> {
    let unreadable = || not_a_peer("the first certificate is not X.509");
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| unreadable())?;
    let is_of = |issuer: &&KnownIssuer| {
        CaCertificate::from_der(&issuer.der).is_ok_and(|issuer| issuer.has_signed(der))
    };
    let issuer = issuers.iter().find(is_of).ok_or_else(|| {
        not_a_peer(
            "none of this server's issuing CAs signed it; a CA's own certificate is its root's to revoke",
        )
    })?;
    let not_after =
        UnixTime::from_secs(u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0));
    if not_after < revocation.at {
        return Err(not_a_peer(format!("it ended at {not_after}")));
    }
    let serial = Serial::from_der_value(certificate.raw_serial());
    let serial = serial.ok_or_else(|| not_a_peer("its serial number is not one of this server's"))?;
    let subject = certificate.subject().to_string();
    Ok(RevokedPeer { serial, issuer: issuer.number, not_after, subject, revocation })
}
