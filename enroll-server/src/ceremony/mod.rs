//! The ceremony of an offline root: the root's key never meets the server, and only requests, certificates and
//! revocation lists are carried between the two.
//!
//! On the machine of the root, which has no network: [`make_root`], [`sign`], [`list`]. On the server: [`request`],
//! [`import`]. No function here does a part of the other side's work.

mod error;
mod import;
mod list;
mod request;
mod root;
mod sign;

use core::fmt::Write as _;
use std::io::{self, Read as _};
use std::path::Path;

pub use error::CeremonyError;
pub(crate) use import::{HeldList, newest_list};
pub use import::{ImportOptions, Imported, import};
pub use list::{ListOptions, Listed, list};
pub use request::{RequestOptions, Requested, request};
pub use root::{MadeRoot, ROOT_LIST_VALID, RootFolder, RootOptions, make_root};
pub(crate) use root::{ROOT_CERTIFICATE, ROOT_LIST, first_list, read_list, read_root};
pub use sign::{SignOptions, Signed, sign};

use crate::issuance::sha256;

/// SHA-256 of `der` as `openssl x509 -fingerprint -sha256` prints it: pairs of hexadecimal digits with colons, for
/// people to read out to each other.
#[must_use]
pub fn fingerprint(der: &[u8]) -> String {
    let mut text = String::with_capacity(95);
    for (i, byte) in sha256(der).iter().enumerate() {
        let separator = if i == 0 { "" } else { ":" };
        // Writing to a String does not fail.
        let _written = write!(text, "{separator}{byte:02X}");
    }
    text
}

/// Longest request or certificate file.
const MAX_FILE: u64 = 64 * 1024;

/// Reads a file that came from elsewhere, up to `most` bytes of it.
fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, CeremonyError> {
    let unreadable = |source| CeremonyError::Unreadable { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > most {
        return Err(unreadable(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("more than {most} bytes"),
        )));
    }
    Ok(bytes)
}
