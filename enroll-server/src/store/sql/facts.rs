//! The facts by which a request is decided, as they stand in the database, and what a request is bound to.

use ca::Serial;
use shared::message::latest::Nonce;

use super::convert::{certificate_state, serial};
use super::{credentials, quota, read, tokens};
use crate::authorization::{Authorized, CredentialFacts, Facts, SameRequest};
use crate::issuance::sha256;
use crate::store::database::{Connection, params};
use crate::store::{Binding, StoreError, held};

/// Nothing is equal to NULL. The CA that signs is that of the last rollover that came so far, and the settings' before. No list
/// of states: SQLite would make a table of it.
pub(super) const ELSEWHERE: &str = "SELECT EXISTS (SELECT 1 FROM certificates WHERE key_sha256 = ?1), \
    EXISTS (SELECT 1 FROM certificates WHERE nonce = ?2), \
    EXISTS (SELECT 1 FROM devices WHERE idevid_sha256 = ?3 AND device <> ?4), \
    EXISTS (SELECT 1 FROM certificates WHERE device = ?4 AND state = 'intent') \
    OR EXISTS (SELECT 1 FROM certificates WHERE device = ?4 AND state = 'issued') \
    OR EXISTS (SELECT 1 FROM certificates WHERE device = ?4 AND state = 'revoked'), \
    coalesce((SELECT rollovers.issuer IS NOT DISTINCT FROM (SELECT sha256 FROM issuers WHERE issuers.number = ?5) \
    FROM rollovers WHERE step = 'switched' OR step = 'retired' ORDER BY rollovers.number DESC LIMIT 1), TRUE)";

/// All facts.
pub(super) fn facts(c: &Connection, request: &Authorized) -> Result<Facts, StoreError> {
    let basis = request.basis();
    let key = request.appraised().csr().spki_sha256();
    let bound = bound(request);
    let (nonce, parent) = bound.columns();
    let idevid = request.appraised().idevid_spki_sha256();
    let mut same = c.prepare_cached(
        "SELECT serial, state, shown FROM certificates \
         WHERE key_sha256 = ? AND device = ? AND nonce IS NOT DISTINCT FROM ? \
         AND (nonce IS NOT NULL OR parent IS NOT DISTINCT FROM ?)",
    )?;
    let same = same.find(params![key, request.device().as_str(), nonce, parent], |row| {
        let shown: Option<String> = row.get("shown")?;
        let same_proof = shown.is_some_and(|shown| held::same_proof(&shown, request.appraised()));
        Ok(SameRequest { serial: serial(row)?, state: certificate_state(row)?, same_proof })
    });
    let (token_is_good, token_is_its_own) = match &basis.token {
        Some(sha256) => match tokens::find(c, sha256)?.filter(|token| !token.revoked) {
            Some(token) => (token.used_by_key.is_none(), token.used_by_key.as_ref() == Some(key)),
            None => (false, false),
        },
        None => (true, true),
    };
    let presented = match basis.presented {
        Some(serial) => read::certificate(c, serial)?.map(|found| (found.device, found.state)),
        None => None,
    };
    let mut elsewhere = c.prepare_cached(ELSEWHERE)?;
    let values = params![key, nonce, idevid, request.device().as_str(), basis.issuer.get()];
    let (key_known, nonce_used, idevid_elsewhere, had_identity, issuer_in_force) = elsewhere
        .query_row(values, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?;
    Ok(Facts {
        known: read::known(c, request.device(), basis.now)?,
        same_request: same?,
        key_known,
        nonce_used,
        idevid_elsewhere,
        token_is_good,
        token_is_its_own,
        group_is_full: quota::is_full(c, request)?,
        credential: match request.appraised().credential() {
            Some(id) => credentials::facts(c, id, request.device(), basis.now)?,
            None => CredentialFacts::NONE,
        },
        had_identity,
        presented,
        issuer_in_force,
    })
}

/// What a request is bound to, as it stands in the database.
pub(super) enum Bound {
    Nonce(Nonce),
    Parent(Serial),
}

impl Bound {
    /// The nonce, and the certificate that it was sent with, as columns.
    pub(super) const fn columns(&self) -> (Option<&Nonce>, Option<&[u8; 16]>) {
        match self {
            Self::Nonce(nonce) => (Some(nonce), None),
            Self::Parent(serial) => (None, Some(serial.as_bytes())),
        }
    }
}

/// What the request is bound to.
pub(super) fn bound(request: &Authorized) -> Bound {
    match request.basis().binding {
        Binding::Nonce(nonce) => Bound::Nonce(nonce),
        Binding::Certificate(serial) => Bound::Parent(serial),
        // In the place of a nonce: no nonce of ours, which is authenticated, is ever the same.
        Binding::Key => {
            let key = request.appraised().csr().spki_sha256().as_slice();
            let device = request.device().as_str().as_bytes();
            Bound::Nonce(sha256(&[b"bound to its key\0".as_slice(), key, device].concat()))
        }
    }
}
