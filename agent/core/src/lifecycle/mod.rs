//! What a device does next: a state machine without I/O, clock or random generator.
//!
//! [`Machine::next_action`] says what to do, [`Machine::handle`] takes what came of it, with the time and a
//! random number as arguments. The machine changes durable state only through [`crate::slots::State`], so it
//! can neither drop an identity that the broker has not seen replaced nor skip a write.

mod action;
mod blame;
mod event;
mod machine;
mod pace;
mod phase;
mod schedule;
mod time;

pub use action::{Action, Cause};
pub use event::{Asker, Errand, Event, Now, Verdict};
pub use machine::Machine;
pub use pace::Pace;
pub use phase::Phase;
pub use schedule::renewal_point;
pub use time::Time;
