//! What QEMU's host lends to the simulated board by semihosting: a flash image and randomness.
//!
//! SIMULATION. A real board has a flash of its own and a hardware random generator.

mod entropy;
mod file;
mod flash;

pub use entropy::HostEntropy;
pub use flash::HostFlash;
