//! Randomness of the host. The chip itself has no random generator.

use core::num::NonZeroU32;

use rand_core::{CryptoRng, Error, RngCore};

use super::file::{File, HostError, READ};

/// Reads the host's `/dev/urandom`.
#[derive(Clone, Copy)]
pub struct HostEntropy(File);

impl HostEntropy {
    /// Opens the source.
    pub fn open() -> Result<Self, HostError> {
        File::open(b"/dev/urandom\0", READ).map(Self)
    }
}

const NO_ENTROPY: NonZeroU32 = NonZeroU32::MIN.saturating_add(Error::CUSTOM_START);

impl CryptoRng for HostEntropy {}

impl RngCore for HostEntropy {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Stops the machine where the host gives nothing: going on with zeros would give keys away.
    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        if self.try_fill_bytes(bytes).is_err() {
            cortex_m_semihosting::debug::exit(cortex_m_semihosting::debug::EXIT_FAILURE);
            loop {
                cortex_m::asm::wfi();
            }
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.0.read(bytes).map_err(|_| Error::from(NO_ENTROPY))
    }
}
