//! The device's own secret. A chip has it in fuses, or makes it up from its silicon; here it is a file.

use agent_mcu::wrap::SoftCipher;
use zeroize::Zeroizing;

use super::file::{File, HostError, READ};

/// The cipher under the secret in `fuses.bin`.
pub fn fused_cipher() -> Result<SoftCipher, HostError> {
    let mut secret = Zeroizing::new([0; 32]);
    File::open(b"fuses.bin\0", READ)?.read(secret.as_mut())?;
    Ok(SoftCipher::new(&secret))
}
