//! Reads `cargo metadata` and `Cargo.lock`: licences, hashes and folders of crates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::tree::Crate;
use super::{SbomError, cargo, run};

/// Where a crate is from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The registry; the hash is that of the archive.
    Registry { sha256: String },
    /// This repository.
    Here,
}

/// What is known of a crate.
#[derive(Debug)]
pub(super) struct Package {
    /// An SPDX expression.
    pub(super) licence: String,
    pub(super) origin: Origin,
    /// Its source.
    pub(super) folder: PathBuf,
}

/// All crates of a workspace.
#[derive(Debug)]
pub(super) struct Packages(BTreeMap<Crate, Package>);

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Described>,
}

#[derive(Deserialize)]
struct Described {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

impl Packages {
    /// Asks cargo in `folder`, a workspace's.
    pub(super) fn read(folder: &Path) -> Result<Self, SbomError> {
        let mut command = cargo(folder);
        command.args(["metadata", "--locked", "--format-version", "1"]);
        let said = run(&mut command, "cargo")?;
        let path = folder.join("Cargo.lock");
        let lock = std::fs::read_to_string(&path).map_err(|source| SbomError::Read { path, source })?;
        Self::parse(&said, &lock)
    }

    fn parse(metadata: &str, lock: &str) -> Result<Self, SbomError> {
        let unexpected = |what: &str, expected, found: String| SbomError::Unexpected {
            what: what.to_owned(),
            expected,
            found,
        };
        let metadata: Metadata = serde_json::from_str(metadata)
            .map_err(|error| unexpected("cargo metadata", "JSON of version 1", error.to_string()))?;
        let lock: Lock =
            toml::from_str(lock).map_err(|error| unexpected("Cargo.lock", "TOML", error.to_string()))?;
        let hashes: BTreeMap<Crate, String> = lock
            .package
            .into_iter()
            .filter_map(|Locked { name, version, checksum }| Some((Crate { name, version }, checksum?)))
            .collect();
        let mut packages = BTreeMap::new();
        for Described { name, version, license, source, manifest_path } in metadata.packages {
            let part = Crate { name, version };
            let what = format!("{} {}", part.name, part.version);
            let licence = license.ok_or_else(|| unexpected(&what, "a licence", "none".to_owned()))?;
            let origin = match (source, hashes.get(&part)) {
                (None, _) => Origin::Here,
                (Some(source), Some(sha256)) if source.starts_with("registry+") => {
                    Origin::Registry { sha256: sha256.clone() }
                }
                (Some(source), _) => return Err(unexpected(&what, "a registry, and a hash", source)),
            };
            // What crates wrote before cargo knew SPDX (`A/B`).
            let licence = licence.replace('/', " OR ").split_whitespace().collect::<Vec<_>>().join(" ");
            let folder = manifest_path.parent().map(Path::to_owned).unwrap_or_default();
            let _none = packages.insert(part, Package { licence, origin, folder });
        }
        Ok(Self(packages))
    }

    /// One of them.
    pub(super) fn get(&self, part: &Crate) -> Result<&Package, SbomError> {
        self.0.get(part).ok_or_else(|| SbomError::Unexpected {
            what: format!("{} {}", part.name, part.version),
            expected: "a crate that cargo metadata knows",
            found: "one that only cargo tree knows".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, Packages};
    use crate::sbom::tree::Crate;

    const LOCK: &str = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"00ff\"\n";

    fn parse(licence: &str, source: &str) -> Result<Packages, super::SbomError> {
        let metadata = format!(
            "{{\"packages\": [{{\"name\": \"a\", \"version\": \"1.0.0\", \"license\": {licence}, \"source\": {source}, \
             \"manifest_path\": \"/a/Cargo.toml\"}}]}}"
        );
        Packages::parse(&metadata, LOCK)
    }

    #[test]
    fn licences_become_expressions_and_hashes_come_from_the_lock() {
        let part = Crate { name: "a".to_owned(), version: "1.0.0".to_owned() };
        let packages = parse("\"MIT/Apache-2.0\"", "\"registry+somewhere\"").unwrap();
        let package = packages.get(&part).unwrap();
        assert_eq!(package.licence, "MIT OR Apache-2.0");
        assert_eq!(package.origin, Origin::Registry { sha256: "00ff".to_owned() });
        assert_eq!(parse("\"MIT\"", "null").unwrap().get(&part).unwrap().origin, Origin::Here);
    }

    #[test]
    fn without_licence_or_from_elsewhere_there_is_no_bill() {
        assert!(parse("null", "null").is_err());
        assert!(parse("\"MIT\"", "\"git+somewhere\"").is_err());
    }
}
