//! Carries out, over the traits of [`crate::platform`], what the lifecycle decides. Decides nothing itself.

mod acceptance;
mod agent;
mod answer;
mod command;
mod connect;
mod control;
mod drive;
mod error;
mod exchange;
mod notice;
mod payload;
mod session;
mod settings;
mod status;
mod world;

pub use crate::lifecycle::Cause;
pub use acceptance::BrokerAccepted;
pub use agent::Agent;
pub use command::Command;
pub use control::Control;
pub use error::{AnswerError, OnceError, RunError};
pub use notice::{Notice, Peer, Publication};
pub use settings::Settings;
pub use status::{IdentityStatus, Status};
pub use world::{KeyOf, Parts, Platform, World};
