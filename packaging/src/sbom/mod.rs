//! Software bills of materials (CycloneDX 1.6, JSON): what a program is made of, with versions, licences, hashes, and what
//! needs what.
//!
//! What is in it is what `cargo tree -e normal` says for the program alone and for its target. Crates that only run while the
//! program is compiled (procedural macros, and what they alone need) have the scope `excluded`. Libraries in C that crates
//! bring along, and Rust's own library, are parts too. There is no time and no random number in it: the same source gives the
//! same bytes.
//!
//! It does not look into a program that was built: `scripts/test-packages` holds the two against each other.

mod bundled;
mod metadata;
mod tree;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value as Json, json};

use metadata::{Origin, Packages};
use tree::{Crate, Tree};

/// A program that is given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// The name of its crate.
    pub name: &'static str,
    /// The folder of the workspace that it is in, below the repository.
    workspace: &'static str,
    /// The target that it is for; none: the one of this machine.
    target: Option<&'static str>,
}

impl Program {
    /// The device's program, the server's, and the images for boards.
    pub const ALL: [Self; 4] = [
        Self { name: "agent", workspace: ".", target: None },
        Self { name: "enroll-server", workspace: ".", target: None },
        Self { name: "lm3s6965evb", workspace: BOARDS, target: Some("thumbv7m-none-eabi") },
        Self { name: "stm32h573i-dk", workspace: BOARDS, target: Some("thumbv8m.main-none-eabihf") },
    ];

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|program| program.name == name)
    }

    /// The folder of its workspace.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(self.workspace)
    }

    /// The target that it is for, where that is always the same.
    #[must_use]
    pub const fn target(&self) -> Option<&'static str> {
        self.target
    }

    /// Images run without an operating system.
    fn is_firmware(&self) -> bool {
        self.workspace == BOARDS
    }
}

const BOARDS: &str = "firmware-sim/boards";

/// Why there is no bill.
#[derive(Debug, thiserror::Error)]
pub enum SbomError {
    /// A program that is needed does not start.
    #[error("cannot start {program}")]
    Start {
        /// Which.
        program: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// It failed.
    #[error("{command} failed: {said}")]
    Failed {
        /// The command.
        command: String,
        /// What it said.
        said: String,
    },
    /// Its answer, or a file, is not as expected.
    #[error("{what}: expected {expected}, found {found}")]
    Unexpected {
        /// What was read.
        what: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The bill of a program for `target`, or for its own one.
///
/// # Errors
/// Where cargo fails, or a crate has no licence or no hash.
pub fn bill(program: Program, target: Option<&str>) -> Result<Json, SbomError> {
    let target = match program.target.or(target) {
        Some(target) => target.to_owned(),
        None => host()?,
    };
    let folder = program.folder();
    let tree = Tree::read(&folder, program.name, &target, "normal")?;
    let linked: BTreeSet<Crate> =
        Tree::read(&folder, program.name, &target, "normal,no-proc-macro")?.crates.into_keys().collect();
    let packages = Packages::read(&folder)?;

    let mut components = Vec::new();
    for part in tree.crates.keys().filter(|part| **part != tree.root) {
        components.push(component(part, &packages, linked.contains(part))?);
        if linked.contains(part)
            && let Some(library) = bundled::in_crate(part, &packages)?
        {
            components.push(library);
        }
    }
    if !program.is_firmware() {
        components.push(standard_library()?);
    }
    let mut root = component(&tree.root, &packages, true)?;
    if let Some(root) = root.as_object_mut() {
        let kind = if program.is_firmware() { "firmware" } else { "application" };
        let _library = root.insert("type".to_owned(), kind.into());
        let _required = root.remove("scope");
    }
    let mut dependencies = Vec::new();
    for (part, needs) in &tree.crates {
        let mut needs: Vec<String> =
            needs.iter().map(|need| reference(need, &packages)).collect::<Result<_, _>>()?;
        if linked.contains(part) {
            needs.extend(bundled::reference(part, &packages)?);
        }
        dependencies.push(json!({ "ref": reference(part, &packages)?, "dependsOn": needs }));
    }
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": root,
            "properties": [{ "name": "cargo:target", "value": target }],
            "tools": { "components": [{
                "type": "application", "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION"),
            }] },
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

/// As the file that goes into a package.
///
/// # Errors
/// As [`bill`].
pub fn text(program: Program, target: Option<&str>) -> Result<String, SbomError> {
    Ok(format!("{:#}\n", bill(program, target)?))
}

fn component(part: &Crate, packages: &Packages, linked: bool) -> Result<Json, SbomError> {
    let package = packages.get(part)?;
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(part, packages)?,
        "name": part.name,
        "version": part.version,
        "scope": if linked { "required" } else { "excluded" },
        "licenses": [{ "expression": package.licence }],
    });
    if let (Origin::Registry { sha256 }, Some(fields)) = (&package.origin, component.as_object_mut()) {
        let _none = fields.insert("purl".to_owned(), purl(part).into());
        let _none = fields.insert("hashes".to_owned(), json!([{ "alg": "SHA-256", "content": sha256 }]));
    }
    Ok(component)
}

/// The name of a part within the bill. A crate of this repository is in no registry, so that a package URL would mean another.
fn reference(part: &Crate, packages: &Packages) -> Result<String, SbomError> {
    Ok(match packages.get(part)?.origin {
        Origin::Registry { .. } => purl(part),
        Origin::Here => format!("{}@{}", part.name, part.version),
    })
}

fn purl(part: &Crate) -> String {
    // Build metadata begins with a plus sign, which a package URL holds encoded.
    format!("pkg:cargo/{}@{}", part.name, part.version.replace('+', "%2B"))
}

fn standard_library() -> Result<Json, SbomError> {
    let said = run(Command::new("rustc").arg("--version"), "rustc")?;
    let version = said.split_whitespace().nth(1).unwrap_or_default().to_owned();
    Ok(json!({
        "type": "library",
        "bom-ref": format!("pkg:generic/rust-std@{version}"),
        "name": "rust-std",
        "version": version,
        "scope": "required",
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
        "purl": format!("pkg:generic/rust-std@{version}"),
    }))
}

/// The target of this machine.
fn host() -> Result<String, SbomError> {
    let said = run(Command::new("rustc").arg("-vV"), "rustc")?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| SbomError::Unexpected {
        what: "rustc -vV".to_owned(),
        expected: "a line with the host",
        found: said.clone(),
    })
}

fn run(command: &mut Command, program: &'static str) -> Result<String, SbomError> {
    let output = command.output().map_err(|source| SbomError::Start { program, source })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(SbomError::Failed { command: format!("{command:?}"), said });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Cargo, as it was called.
fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder);
    command
}
