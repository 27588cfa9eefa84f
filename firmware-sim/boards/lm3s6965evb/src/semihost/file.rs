//! A file of the host (Arm semihosting, "Semihosting for AArch32 and AArch64", operations SYS_OPEN to SYS_SEEK).

use cortex_m_semihosting::{nr, syscall};

/// An open file.
#[derive(Clone, Copy)]
pub struct File(usize);

/// The host did not do it.
#[derive(Clone, Copy, Debug)]
pub struct HostError;

impl File {
    /// Opens a file; `path` ends with a zero byte, `mode` is one of [`nr::open`].
    pub fn open(path: &'static [u8], mode: usize) -> Result<Self, HostError> {
        if path.last() != Some(&0) {
            return Err(HostError);
        }
        // SAFETY: SYS_OPEN reads `path`, which ends with a zero byte and lives for ever, and its length.
        let handle = unsafe { syscall!(OPEN, path.as_ptr(), mode, path.len() - 1) };
        if handle == usize::MAX { Err(HostError) } else { Ok(Self(handle)) }
    }

    /// Reads exactly as much as `bytes` hold.
    pub fn read(self, bytes: &mut [u8]) -> Result<(), HostError> {
        // SAFETY: SYS_READ writes at most `bytes.len()` bytes to `bytes`, which is ours until it returns.
        let left = unsafe { syscall!(READ, self.0, bytes.as_mut_ptr(), bytes.len()) };
        if left == 0 { Ok(()) } else { Err(HostError) }
    }

    /// Writes all of `bytes`.
    pub fn write(self, bytes: &[u8]) -> Result<(), HostError> {
        // SAFETY: SYS_WRITE reads `bytes.len()` bytes from `bytes`, and nothing else.
        let left = unsafe { syscall!(WRITE, self.0, bytes.as_ptr(), bytes.len()) };
        if left == 0 { Ok(()) } else { Err(HostError) }
    }

    /// Goes to byte `at`.
    pub fn seek(self, at: usize) -> Result<(), HostError> {
        // SAFETY: SYS_SEEK takes two numbers and touches no memory of ours.
        let failed = unsafe { syscall!(SEEK, self.0, at) };
        if failed == 0 { Ok(()) } else { Err(HostError) }
    }
}

/// For reading, binary.
pub const READ: usize = nr::open::R_BINARY;
/// For reading and writing, binary; the file has to exist.
pub const READ_WRITE: usize = nr::open::RW_BINARY;
