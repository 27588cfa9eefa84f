//! The chip's random generator, for several owners on the one executor.

use core::cell::RefCell;

use embassy_stm32::peripherals::RNG;
use embassy_stm32::rng::Rng;
use rand_core::{CryptoRng, Error, RngCore};

/// The generator; SP 800-90B health tests run in the hardware. It waits for as long as they fail, while it is set up too, and
/// the watchdog, which runs before that, ends it: no byte ever comes from anywhere else.
#[derive(Clone, Copy)]
pub struct ChipRandom(pub &'static RefCell<Rng<'static, RNG>>);

impl CryptoRng for ChipRandom {}

impl RngCore for ChipRandom {
    fn next_u32(&mut self) -> u32 {
        self.0.borrow_mut().next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.borrow_mut().next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.borrow_mut().fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}
