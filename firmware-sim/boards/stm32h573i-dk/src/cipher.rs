//! AES-GCM in SAES under the chip's derived hardware unique key (RM0481, section 34): made for this one chip, and never
//! readable, not by this program either. ST says that it is so only once the product state is closed: before that, all
//! chips give the same key.

use agent_core::keystore::WrapNonce;
use agent_core::platform::KeyError;
use agent_mcu::wrap::DeviceCipher;
use embassy_stm32::mode::Blocking;
use embassy_stm32::peripherals::SAES;
use embassy_stm32::saes::{AesGcm, Direction, HardwareKeySource, Saes};

/// The chip's cipher.
pub struct ChipCipher {
    /// The unit.
    pub saes: Saes<'static, SAES, Blocking>,
    /// Whether the product state is closed or locked.
    pub closed: bool,
}

impl ChipCipher {
    /// Encrypts or decrypts `data` in place; returns the tag.
    fn run(
        &mut self,
        direction: Direction,
        nonce: &WrapNonce,
        associated_data: &[u8],
        data: &mut [u8; 32],
    ) -> Result<[u8; 16], KeyError> {
        // Only its length counts: the key is the hardware's.
        let cipher = AesGcm::new(&[0; 16], nonce);
        let mut context = self.saes.start_with_hw_key(HardwareKeySource::DHUK, &cipher, direction);
        let mut output = [0; 32];
        let mut work = || {
            self.saes.aad_blocking(&mut context, associated_data, true)?;
            self.saes.payload_blocking(&mut context, data, &mut output, true)
        };
        work().map_err(|_| KeyError::Hardware)?;
        let tag = self.saes.finish_blocking(context).map_err(|_| KeyError::Hardware)?;
        *data = output;
        tag.ok_or(KeyError::Hardware)
    }
}

impl DeviceCipher for ChipCipher {
    fn is_own(&self) -> bool {
        self.closed
    }

    fn seal(
        &mut self,
        nonce: &WrapNonce,
        associated_data: &[u8],
        data: &mut [u8; 32],
    ) -> Result<[u8; 16], KeyError> {
        self.run(Direction::Encrypt, nonce, associated_data, data)
    }

    fn open(
        &mut self,
        nonce: &WrapNonce,
        associated_data: &[u8],
        data: &mut [u8; 32],
        tag: &[u8; 16],
    ) -> Result<(), KeyError> {
        let found = self.run(Direction::Decrypt, nonce, associated_data, data)?;
        // In constant time: how many bytes of a forged tag were right is nobody's business.
        let difference = found.iter().zip(tag).fold(0, |sum, (found, expected)| sum | (found ^ expected));
        if core::hint::black_box(difference) == 0 { Ok(()) } else { Err(KeyError::Damaged) }
    }
}
