//! One connection to a TPM: a command goes in whole, its answer comes out whole.

use core::time::Duration;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::TpmError;

/// Longest command and answer (PC Client Platform TPM Profile, section 5.1).
const MAX_MESSAGE: usize = 4096;
const HEADER: usize = 10;
/// Longest that a TPM may take: making an RSA key can take tens of seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// A connection.
#[derive(Debug)]
pub(super) enum Connection {
    /// A character device; the kernel has time limits of its own.
    Device(File),
    /// A simulator.
    Socket(UnixStream),
}

/// Whether the kernel's resource manager stands between a connection and the TPM. It keeps connections apart, and
/// cleans up after them. Behind a socket there is a simulator, and any other device is the TPM itself: they serve one
/// connection at a time, and what it leaves loaded stays.
pub(super) fn is_managed(path: &Path) -> bool {
    let Ok(path) = std::fs::canonicalize(path) else { return false };
    let is_socket = std::fs::metadata(&path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let name = path.file_name().unwrap_or_default();
    !is_socket && name.as_encoded_bytes().starts_with(RESOURCE_MANAGER)
}

/// What the names of the resource manager's devices begin with (Linux, drivers/char/tpm/tpm-chip.c); a number follows.
const RESOURCE_MANAGER: &[u8] = b"tpmrm";

impl Connection {
    pub(super) fn open(path: &Path) -> Result<Self, TpmError> {
        Self::try_open(path).map_err(|source| TpmError::Unreachable { path: path.to_owned(), source })
    }

    fn try_open(path: &Path) -> io::Result<Self> {
        if std::fs::metadata(path)?.file_type().is_socket() {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.set_write_timeout(Some(LIMIT))?;
            return Ok(Self::Socket(stream));
        }
        Ok(Self::Device(OpenOptions::new().read(true).write(true).open(path)?))
    }

    /// Sends a command and reads the answer to it.
    pub(super) fn exchange(&mut self, command: &[u8]) -> Result<Vec<u8>, TpmError> {
        if command.len() > MAX_MESSAGE {
            return Err(TpmError::TooLong);
        }
        match self {
            Self::Device(file) => exchange_whole(file, command),
            Self::Socket(stream) => exchange_stream(stream, command),
        }
        .map_err(TpmError::Broken)
    }
}

/// The device takes a command by one write and gives the answer by one read.
fn exchange_whole(file: &mut File, command: &[u8]) -> io::Result<Vec<u8>> {
    file.write_all(command)?;
    let mut answer = vec![0; MAX_MESSAGE];
    let length = file.read(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

/// On a stream, the header says how long the answer is.
fn exchange_stream(stream: &mut (impl Read + Write), command: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(command)?;
    let mut answer = vec![0; HEADER];
    stream.read_exact(&mut answer)?;
    let length = match answer.as_slice() {
        [_, _, a, b, c, d, ..] => u32::from_be_bytes([*a, *b, *c, *d]),
        _ => 0,
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if !(HEADER..=MAX_MESSAGE).contains(&length) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer of an impossible length"));
    }
    answer.resize(length, 0);
    stream.read_exact(answer.get_mut(HEADER..).unwrap_or_default())?;
    Ok(answer)
}
