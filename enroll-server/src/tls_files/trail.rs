//! Certificates that were made where no database was, or by a program that ended before it wrote that down.

use ca::CaCertificate;
use shared::UnixTime;

use super::renew::leaf;
use super::{Files, Made, Seen};
use crate::audit::EventKind;
use crate::store::{NewEvent, Store, StoreError};

/// Puts the certificate in `files` into the audit trail, if it is by one of `ours` and not there: whoever looks for one that
/// nobody should have knows all that were signed. What is wrong with the files themselves is told by who tends them.
pub(crate) async fn put_in_trail(
    store: &dyn Store,
    (name, files): (&str, &Files),
    ours: &[CaCertificate],
    now: UnixTime,
) -> Result<(), StoreError> {
    let Some(der) = leaf(&files.certificate).ok().flatten() else { return Ok(()) };
    if !ours.iter().any(|ca| ca.has_signed(&der)) {
        return Ok(());
    }
    let Some(made) = Seen::read(&der).and_then(Made::of) else { return Ok(()) };
    let event = NewEvent::new(now, EventKind::PeerIssued, format!("{name}, found in its file: {made}"));
    store.add_peer_event(made.serial, event).await
}
