//! What a device does next: a state machine without I/O.

mod pace;
mod phase;

pub use pace::Pace;
pub use phase::Phase;
