//! Faults of the server's machine, and what has to hold after each: kills, lost power, disks that fail, answers that
//! get lost. docs/faults.md has the figures.
//!
//! [`invariants`] is the one home of what has to hold; every harness has its plant, which it must find.

mod answers;
mod child;
mod database;
mod database_errors;
mod disk;
mod fleet;
pub mod invariants;
mod io_errors;
mod kill;
mod ledger;
mod power;
mod progress;
mod second_cut;
mod site;
mod soak;
mod trace;

pub use answers::LostAnswers;
pub use child::{Child, Death, Place, serve};
pub use database::{Cluster, StoreKind};
pub use database_errors::DatabaseErrors;
pub use disk::Loss;
pub use fleet::{Fleet, Request};
pub use invariants::{Invariant, Violation, check};
pub use io_errors::{Failed, Failure, IoErrors};
pub use kill::{Killed, Kills};
pub use ledger::{Asked, KeyHash, Ledger};
pub use power::{Cut, Recording};
pub use site::StateFolder;
pub use soak::{Soak, Soaked, Usage};
