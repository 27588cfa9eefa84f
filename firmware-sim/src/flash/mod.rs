//! A device's NOR flash, in a file.
//!
//! It keeps the rules of the real thing: a write only clears bits, only an erase sets them, and an erase takes
//! whole pages. What a program does wrong by these rules is an error here, not a silent success. The file is
//! written through but not synced: the simulation is about the device's power, not the host's.

mod image;

pub use image::{ERASE_SIZE, Fault, FileFlash, ImageError, SIZE, WRITE_SIZE, Wear, blank};
