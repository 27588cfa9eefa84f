//! A collector of traces, which reads them by definitions that are not ours.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value as Json;

use super::binaries::python_peer;
use super::process::Process;
use crate::page::repository;

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    process: Process,
    /// Its port on this machine.
    pub port: u16,
}

/// A span, as it was decoded.
#[derive(Clone, Debug)]
pub struct Span(Json);

impl Collector {
    /// Starts one.
    ///
    /// # Panics
    /// Where the Python package of the definitions is not installed.
    #[must_use]
    pub fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/harness/otlp_receiver.py");
        let process = Process::start(Command::new(python()).arg(script));
        let port = process.wait_for("the collector's port", |line| {
            serde_json::from_str::<Json>(line).ok()?["port"].as_u64()
        });
        Self { process, port: u16::try_from(port).expect("a port") }
    }

    /// What was posted until now.
    #[must_use]
    pub fn posts(&self) -> Vec<Json> {
        let output = self.process.output();
        let lines = output.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
        lines.filter(|line| line["spans"].is_array()).collect()
    }

    /// All spans until now.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let posts = self.posts();
        posts.iter().flat_map(|post| post["spans"].as_array().cloned()).flatten().map(Span).collect()
    }

    /// Everything that was posted, as bytes.
    ///
    /// # Panics
    /// Where the collector prints something else.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let body = |post: &Json| hex::decode(post["body"].as_str().expect("a body")).expect("hexadecimal");
        self.posts().iter().flat_map(body).collect()
    }
}

impl Span {
    /// A field's text: name, trace, span, parent.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    /// An attribute; null where it is not there.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &Json {
        &self.0["attributes"][name]
    }

    /// Names of all attributes.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        self.0["attributes"].as_object().into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// All of it.
    #[must_use]
    pub const fn json(&self) -> &Json {
        &self.0
    }
}

/// A Python that has the definitions: that of scripts/test, or the system's.
fn python() -> PathBuf {
    let here = repository().join("target/otlp/bin/python3");
    python_peer(("otlp", "opentelemetry-proto==1.45.2"), [here, PathBuf::from("python3")], |python| {
        let mut tried = Command::new(python);
        tried.args(["-c", "import opentelemetry.proto.trace.v1.trace_pb2"]);
        tried.output().is_ok_and(|tried| tried.status.success())
    })
}
