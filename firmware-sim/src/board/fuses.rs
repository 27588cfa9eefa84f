//! The secret that a simulated chip has of its own.

use std::fs;
use std::io;
use std::path::Path;

use rand_core::{OsRng, RngCore as _};
use zeroize::Zeroizing;

use crate::device::DeviceError;
use crate::factory::write_private;

/// The secret of the device in `folder`: 32 bytes in `fuses.bin`, made up when it is first looked for, as a chip's is
/// when it is made.
///
/// # Errors
/// Where the file cannot be read or written, or has another length.
pub fn fuses(folder: &Path) -> Result<Zeroizing<[u8; 32]>, DeviceError> {
    let path = folder.join("fuses.bin");
    let mut secret = Zeroizing::new([0; 32]);
    match fs::read(&path).map(Zeroizing::new) {
        Ok(found) => {
            let expected = "32 bytes, the secret of a simulated chip";
            let found = found.as_slice().try_into().map_err(|_| DeviceError::Form { path, expected })?;
            *secret = found;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let failed = |source| DeviceError::Read { path: path.clone(), source };
            OsRng.try_fill_bytes(secret.as_mut()).map_err(|error| failed(io::Error::other(error)))?;
            write_private(&path, secret.as_ref()).map_err(|error| failed(io::Error::other(error)))?;
        }
        Err(source) => return Err(DeviceError::Read { path, source }),
    }
    Ok(secret)
}
