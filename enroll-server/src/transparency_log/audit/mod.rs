//! Audits a log: reads all of it, and compares it with an earlier checkpoint and with the database.
//!
//! Reads only. What is wrong is a [`Finding`], with a stable name; what cannot be read at all is an [`AuditError`].

mod columns;
mod database;
mod devices;
mod export;
mod finding;
mod grants;
mod inclusion;
mod log;
mod lost;
mod record;
mod trust;

pub use database::compare;
pub use export::{ExportError, export};
pub use finding::{Finding, FindingKind};
pub use inclusion::{InclusionError, Logged, prove};
pub use log::{AuditError, Consistency, LogReport, Progress, Walked, walk};
pub use record::{Counts, Record};
