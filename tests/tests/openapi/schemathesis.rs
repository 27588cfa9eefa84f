//! Runs schemathesis, a program that others wrote (PyPI).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tests::harness::{Finished, python_peer, run};
use tests::page::repository;

use crate::Site;

/// Requests that are made up for an operation, by each way of making them up.
const EXAMPLES: &str = "8";

/// What is to be asked of whom.
pub(crate) struct Run<'a> {
    pub(crate) site: &'a Site,
    pub(crate) document: &'a Value,
    /// Which operations: the kind of the filter, and its value.
    pub(crate) filter: (&'a str, &'a str),
    pub(crate) url: &'a str,
    /// Bearer token; empty: none.
    pub(crate) token: &'a str,
}

/// Which statuses an operation answered with.
#[derive(Default)]
pub(crate) struct Seen(BTreeMap<String, BTreeSet<u16>>);

impl Seen {
    pub(crate) fn statuses(&self, operation: &str) -> BTreeSet<u16> {
        self.0.get(operation).cloned().unwrap_or_default()
    }

    pub(crate) fn extend(&mut self, more: Self) {
        for (operation, statuses) in more.0 {
            self.0.entry(operation).or_default().extend(statuses);
        }
    }

    fn read(text: &str) -> Self {
        let mut seen = Self::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            if let (Some(operation), Some(status)) = (words.next(), words.next()) {
                seen.0.entry(operation.to_owned()).or_default().insert(status.parse().unwrap());
            }
        }
        seen
    }
}

impl Run<'_> {
    pub(crate) fn go(&self) -> (Finished, Seen) {
        let world = &self.site.world;
        let folder = world.path("schemathesis");
        std::fs::create_dir_all(&folder).unwrap();
        let (document, seen) = (folder.join("openapi.json"), folder.join("seen"));
        std::fs::write(&document, self.document.to_string()).unwrap();
        if seen.exists() {
            std::fs::remove_file(&seen).unwrap();
        }
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi");
        let examples = std::env::var("API_EXAMPLES").ok();
        let mut command = Command::new(program());
        command.arg("--config-file").arg(here.join("schemathesis.toml"));
        command.arg("run").arg(&document).args(["--url", self.url]);
        command.arg("--tls-verify").arg(world.path("server/root-ca.crt"));
        command.arg(format!("--include-{}", self.filter.0)).arg(self.filter.1);
        command.args(["--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-color"]);
        command.args(["--suppress-health-check", "all", "--max-examples"]);
        match &examples {
            Some(examples) => command.arg(examples),
            None => command.args([EXAMPLES, "--generation-deterministic"]),
        };
        if !self.token.is_empty() {
            command.args(["--header", &format!("Authorization: Bearer {}", self.token)]);
        }
        command
            .env("SCHEMATHESIS_HOOKS", here.join("hooks.py"))
            .env("API_DEVICES", self.site.devices().to_string());
        command.env("API_CERTIFICATE", STANDARD.encode(&self.site.certificate)).env("API_SEEN", &seen);
        command.env("API_TILE", self.site.tile()).env("API_PEER", STANDARD.encode(&self.site.peer));
        command.current_dir(&folder);
        let told = run(&mut command);
        let seen = std::fs::read_to_string(&seen)
            .unwrap_or_else(|error| panic!("{error}: {}{}", told.stdout, told.stderr));
        (told, Seen::read(&seen))
    }
}

/// Schemathesis: the one named in `SCHEMATHESIS`, or that of scripts/test.
fn program() -> PathBuf {
    let here = repository().join("target/schemathesis/bin/schemathesis");
    let named = std::env::var_os("SCHEMATHESIS").map(PathBuf::from);
    let places = named.into_iter().chain([here]);
    python_peer(("schemathesis", "schemathesis==4.32.5"), places, Path::is_file)
}
