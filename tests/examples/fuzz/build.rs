//! Builds the targets with coverage, by the toolchain that builds everything else.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What cargo-fuzz sets too. The sanitizers of memory need an unstable flag and are left out: there is no `unsafe` to
/// watch.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// The folder of the package with the targets.
pub(crate) fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Builds these targets; gives the folder of their programs.
pub(crate) fn build(targets: &[&str]) -> io::Result<PathBuf> {
    let host = host()?;
    let folder = package().join("target");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--target", &host, "--target-dir"]).arg(&folder);
    cargo.arg("--manifest-path").arg(package().join("Cargo.toml")).env("RUSTFLAGS", FLAGS);
    cargo.stdout(Stdio::null());
    for target in targets {
        cargo.args(["--bin", target]);
    }
    if cargo.status()?.success() {
        Ok(folder.join(host).join("release"))
    } else {
        Err(io::Error::other("the targets were not built; see above"))
    }
}

fn host() -> io::Result<String> {
    let output = Command::new("rustc").arg("-vV").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| io::Error::other("rustc -vV does not say its host"))
}
