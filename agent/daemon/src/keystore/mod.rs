//! Where operational keys live. Now: in files of the state directory.

mod file;

pub use file::{FileKey, FileKeyStore};
pub(crate) use file::{LENGTH as KEY_RECORD_LENGTH, record as key_record};
