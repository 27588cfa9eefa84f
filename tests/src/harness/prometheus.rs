//! Prometheus: a process that scrapes a server, and the tool that checks its files.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;
use tempfile::TempDir;

use super::binaries::peer;
use super::process::{Finished, Process, run};
use super::wait::{LIMIT, free_port, until};

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    port: u16,
    _process: Process,
    _folder: TempDir,
}

impl Prometheus {
    /// Scrapes the server at this port of the machine every second, with these rules. It has scraped it three times when
    /// this returns.
    ///
    /// # Panics
    /// Where Prometheus is not installed, or does not start.
    #[must_use]
    pub fn start(server: u16, rules: &Path) -> Self {
        let folder = TempDir::with_prefix("prometheus-").expect("a temporary folder");
        let (config, port) = (folder.path().join("prometheus.yml"), free_port());
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{rules:?}]\nscrape_configs:\n\
             - job_name: enroll-server\n  static_configs: [{{ targets: [\"127.0.0.1:{server}\"] }}]\n"
        );
        fs::write(&config, text).expect("to write a configuration");
        let mut command = Command::new(peer("prometheus", "prometheus"));
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut process = Process::start(&mut command);
        until("three scrapes of the server", || {
            assert!(process.is_running(), "Prometheus ended:\n{}", process.output());
            let query = encoded("count_over_time(up{job=\"enroll-server\"}[1m]) >= 3 and up == 1");
            let found = ask(port, &format!("query?query={query}")).ok()?;
            found["data"]["result"].as_array().is_some_and(|list| !list.is_empty()).then_some(())
        });
        Self { port, _process: process, _folder: folder }
    }

    /// What it answers to a path of its API.
    ///
    /// # Panics
    /// Where that is no success.
    #[must_use]
    pub fn api(&self, path: &str) -> Json {
        let answer = ask(self.port, path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    }

    /// How many series an expression gives now.
    ///
    /// # Panics
    /// Where it does not take the expression.
    #[must_use]
    pub fn series(&self, expression: &str) -> usize {
        let data = self.api(&format!("query?query={}", encoded(expression)));
        data["result"].as_array().map_or(0, Vec::len)
    }
}

/// By HTTP/1.0, so that the answer ends with its connection and is in one piece.
fn ask(port: u16, path: &str) -> std::io::Result<Json> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET /api/v1/{path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok(serde_json::from_str(body)?)
}

/// Runs promtool in a folder.
///
/// # Panics
/// Where it is not installed.
#[must_use]
pub fn promtool(folder: &Path, arguments: &[&str]) -> Finished {
    let tool: PathBuf = peer("promtool", "prometheus");
    run(Command::new(tool).current_dir(folder).args(arguments))
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}
