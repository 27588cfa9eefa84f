//! The checkpoint that is out, which gives way to a larger one only.
//!
//! Who keeps the log has the lease for it, and a process that was frozen after it had signed does not know that it lost
//! it. What stands in the file by then is another one's, and newer. A process that is frozen between the look at the file
//! and the writing still puts it back: whoever has the lease looks at it in each round, and puts its own out again.

use transparency::Checkpoint;

use super::divergence::{Divergence, KeepError};
use super::folder::Folder;
use super::key::LogKey;

/// The checkpoint that is out.
pub(super) fn published(folder: &Folder, key: &LogKey) -> Result<Option<Checkpoint>, KeepError> {
    let note = folder.checkpoint()?;
    let opened = note.map(|note| Checkpoint::open(&note, key.verifier())).transpose();
    Ok(opened.map_err(Divergence::Published)?)
}

/// Puts the checkpoint `note` over `size` leaves out, unless one over more leaves is.
pub(super) fn publish(folder: &Folder, key: &LogKey, note: &str, size: u64) -> Result<(), KeepError> {
    if let Some(newer) = published(folder, key)?.filter(|found| found.size > size) {
        tracing::info!(size, published = newer.size, "a newer checkpoint is out already, and stays");
        return Ok(());
    }
    folder.publish(note)?;
    tracing::debug!(size, "checkpoint published");
    Ok(())
}
