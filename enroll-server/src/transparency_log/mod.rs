//! The log of what was issued and revoked: keeps its tiles and checkpoints, and audits it.
//!
//! The store fixes the leaves and their order, in the transaction that a leaf tells of; here they become tiles
//! (C2SP tlog-tiles) and a signed checkpoint, a moment later. The log's mathematics and formats are the crate
//! [`transparency`]'s. docs/log.md says what the log proves and what it does not.

pub mod audit;
mod behind;
mod divergence;
mod folder;
mod keeper;
mod key;
mod published;
mod rewriting;
mod source;
mod tile_check;

pub use behind::behind;
pub use divergence::{Divergence, KeepError, Status};
pub use folder::{Folder, FolderError};
pub use keeper::Keeper;
pub use key::{LogKey, LogKeyError};
pub use source::{HttpSource, Source, SourceError};
