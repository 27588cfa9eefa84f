//! Finds a Rust toolchain that can build for a microcontroller.
//!
//! Two are known: rustup's with the target added, and the one that Debian packages for building Firefox, which brings
//! the sources of `core` and so needs no target, only a flag of the nightly kind.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A toolchain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// rustup's, which has the target.
    Rustup,
    /// Debian's `rustc-web`, `cargo-web` and `rust-web-src`; builds `core` itself.
    Debian {
        /// The folder of its `cargo` and `rustc`.
        bin: PathBuf,
        /// A linker.
        linker: &'static str,
    },
}

/// None was found.
#[derive(Debug, thiserror::Error)]
#[error(
    "no toolchain here can build for {0}; with rustup: rustup target add {0}; \
     on Debian: apt-get install rustc-web cargo-web rust-web-src lld"
)]
pub struct NoToolchain(&'static str);

impl Toolchain {
    /// Finds a toolchain for `target`, rustup's first.
    ///
    /// # Errors
    /// Says how to install one.
    pub fn find(target: &'static str) -> Result<Self, NoToolchain> {
        let library = |sysroot: &str| Path::new(sysroot).join("lib/rustlib");
        if sysroot("rustc").is_some_and(|found| library(&found).join(target).is_dir()) {
            return Ok(Self::Rustup);
        }
        let bin = PathBuf::from("/usr/bin");
        let debian = bin.join("rustc");
        let has_sources =
            sysroot(&debian).is_some_and(|found| library(&found).join("src/rust/library").is_dir());
        let linker = ["ld.lld", "rust-lld"].into_iter().find(|name| bin.join(name).exists());
        match linker {
            Some(linker) if has_sources && bin.join("cargo").exists() => Ok(Self::Debian { bin, linker }),
            _ => Err(NoToolchain(target)),
        }
    }

    /// `cargo build --release` for `target` with this toolchain; the caller adds folder and package.
    #[must_use]
    pub fn cargo_build(&self, target: &str) -> Command {
        let mut command = Command::new(match self {
            Self::Rustup => PathBuf::from("cargo"),
            Self::Debian { bin, .. } => bin.join("cargo"),
        });
        command.args(["build", "--release", "--locked", "--target", target]);
        match self {
            Self::Rustup => {}
            Self::Debian { bin, linker } => {
                command.arg("-Zbuild-std=core");
                // Not rustup's, which may come first on the path and in what a parent cargo has set.
                command.env("RUSTC", bin.join("rustc")).env_remove("RUSTUP_TOOLCHAIN");
                command.env("RUSTC_BOOTSTRAP", "1");
                let name = target.replace(['-', '.'], "_").to_uppercase();
                command.env(format!("CARGO_TARGET_{name}_LINKER"), linker);
            }
        }
        command
    }
}

fn sysroot(rustc: impl AsRef<std::ffi::OsStr>) -> Option<String> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
