//! Overwrites files with a key in them, before they are unlinked.
//!
//! What a file system does with overwritten blocks is its own affair; see [`storage`](crate::storage). Unlinks nothing.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

/// Opens a file of `directory` to be overwritten, never what a link in its place leads to; `None` where there is none.
pub(crate) fn open(directory: impl AsFd, name: &Path) -> io::Result<Option<File>> {
    match openat(directory, name, OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => Ok(Some(file.into())),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Zeros over its whole length, on the disk when this returns.
pub(crate) fn overwrite(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    io::copy(&mut io::repeat(0).take(length), file)?;
    file.sync_all()
}
