//! The files that follow from what is in force: the CAs for brokers, the trust bundle for the factory.

use std::io;
use std::path::Path;

use super::lineup::Lineup;
use crate::files;

/// The CAs by which a broker verifies devices, in PEM.
pub(crate) fn authorities_pem(lineup: &Lineup) -> String {
    ca::pem::chain(lineup.for_brokers().map(ca::CaCertificate::der))
}

/// Replaces a file where its content is another; says whether it was.
pub(super) fn put(path: &Path, content: &[u8]) -> io::Result<bool> {
    match std::fs::read(path) {
        Ok(found) if found == content => return Ok(false),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    files::replace(path, content, 0o644)?;
    Ok(true)
}
