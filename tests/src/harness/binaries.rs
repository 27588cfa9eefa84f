//! Where the programs are: ours beside the test executable, peers where the distribution puts them.

use std::path::{Path, PathBuf};

/// The shipped script that has a process read its revocation list again, by SIGHUP.
pub const CRL_HOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/crl-hook.sh");

/// One of our binaries, from the same build as the tests.
///
/// # Panics
/// Where it was not built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    // target/PROFILE/deps/TEST
    let profile = test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps");
    let path = profile.join(name);
    assert!(path.is_file(), "{} is missing; to make it: cargo build --workspace --bins", path.display());
    path
}

/// A program of a Python package (PyPI): the first of `places` that `works`. scripts/test puts it into `target/FOLDER`.
///
/// # Panics
/// Where none does; says how to install it.
#[must_use]
pub fn python_peer(
    (folder, package): (&str, &str),
    places: impl IntoIterator<Item = PathBuf>,
    works: impl Fn(&Path) -> bool,
) -> PathBuf {
    places.into_iter().find(|path| works(path)).unwrap_or_else(|| {
        panic!(
            "{package} is not there; install it: python3 -m venv target/{folder} && \
             target/{folder}/bin/pip install {package}"
        )
    })
}

/// A program of the distribution.
///
/// # Panics
/// Where it is not installed; says which package has it.
#[must_use]
pub fn peer(name: &str, package: &str) -> PathBuf {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    // Debian puts daemons where only root's PATH leads.
    let folders = std::env::split_paths(&on_path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")]);
    folders
        .map(|folder| folder.join(name))
        .find(|path| Path::is_file(path))
        .unwrap_or_else(|| panic!("{name} is not installed; to install it: apt-get install {package}"))
}
