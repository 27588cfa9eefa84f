//! What QEMU's host lends to the simulated board by semihosting: a flash image, randomness and a secret.
//!
//! SIMULATION. A real board has a flash of its own, a hardware random generator, and a key that never leaves the chip.

mod entropy;
mod file;
mod flash;
mod fuses;

pub use entropy::HostEntropy;
pub use flash::HostFlash;
pub use fuses::fused_cipher;
