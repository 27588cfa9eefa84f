//! Carries out, over the traits of [`crate::platform`], what the lifecycle decides. Decides nothing itself.

mod agent;
mod control;
mod error;
mod notice;
mod settings;
mod status;
mod world;

pub use agent::Agent;
pub use control::Control;
pub use error::{AnswerError, OnceError, RunError};
pub use notice::{Cause, Notice, Peer, Publication};
pub use settings::Settings;
pub use status::{IdentityStatus, Status};
pub use world::{KeyOf, Parts, Platform, World};
