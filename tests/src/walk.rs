//! Walks through a page as a reader does who copies and pastes: its shell blocks run in order in one shell, as they stand,
//! and what the page shows after a block has to be seen before the next one is run.
//!
//! What differs from a reader's machine: the programs are built already, the ports are free ones, and the folder is a
//! new one that holds a copy of `examples/`.

use core::time::Duration;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::harness::{Process, binary, free_port, peer, until};
use crate::page::{Block, Page, repository};

/// A folder to walk in.
#[derive(Debug)]
pub struct Stage {
    home: TempDir,
    /// Usual ports and those that take their place.
    ports: Vec<(&'static str, String)>,
    variables: Vec<(&'static str, String)>,
    /// Other texts, such as folders of the system, and those that take their place.
    texts: Vec<(&'static str, String)>,
}

/// A shell with all that it started; none of it outlives the walk.
#[derive(Debug)]
pub struct Walk<'s> {
    /// Its folder has to be there as long as the shell.
    _stage: &'s Stage,
    process: Process,
    /// How long each block took until what is shown after it was seen: the block's first line.
    pub steps: Vec<(String, Duration)>,
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        self.process.signal_group(Signal::KILL);
    }
}

/// The service that a stage's `systemctl` started belongs to no walk.
impl Drop for Stage {
    fn drop(&mut self) {
        let number =
            fs::read_to_string(self.path(".walk/pid")).ok().and_then(|text| text.trim().parse().ok());
        if let Some(service) = number.and_then(Pid::from_raw) {
            let _gone = kill_process(service, Signal::KILL).is_err();
        }
    }
}

impl Stage {
    /// An empty folder with the examples in it.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let home = TempDir::with_prefix("walk-").expect("a temporary folder");
        let ports = ["8443", "8080", "8883", "8444", "8445"].map(|usual| (usual, free_port().to_string()));
        let stage = Self { home, ports: ports.into(), variables: Vec::new(), texts: Vec::new() };
        fs::create_dir_all(stage.path("examples")).expect("a folder");
        fs::create_dir_all(stage.path(".walk/bin")).expect("a folder");
        for file in fs::read_dir(repository().join("examples")).expect("the examples") {
            let path = file.expect("an entry").path();
            if path.is_file() {
                let name = Path::new("examples").join(path.file_name().expect("a name"));
                fs::write(stage.path(&name), stage.here(&fs::read_to_string(&path).expect("a text")))
                    .expect("to write");
            }
        }
        // `init` writes the usual ports into the settings.
        let edits: String = stage.ports.iter().map(|(usual, free)| format!("s/:{usual}/:{free}/;")).collect();
        let broker = stage.port("8883");
        let shim = format!(
            "#!/bin/sh\n[ \"$1\" = init ] || exec {real} \"$@\"\n{real} \"$@\" || exit $?\n\
             while [ \"$1\" != --dir ]; do shift; done\n\
             exec sed -i '{edits}s/0.0.0.0:/127.0.0.1:/;s/^port = 8883/port = {broker}/' \"$2/enroll-server.toml\"\n",
            real = binary("enroll-server").display(),
        );
        stage.program("enroll-server", &shim);
        stage
    }

    /// Takes folders of the stage for those of an installed service, and a script for the `systemctl` that runs it.
    ///
    /// # Panics
    /// Where they cannot be made.
    #[must_use]
    pub fn as_service(mut self) -> Self {
        for folder in ["/var/lib/enroll-server", "/var/backups/enroll-server", "/media/stick", "/tmp/trial"] {
            let here = self.path(folder.trim_start_matches('/'));
            fs::create_dir_all(here.parent().expect("a folder above")).expect("a folder");
            self.texts.push((folder, here.display().to_string()));
        }
        for made in ["var/lib/enroll-server", "media/stick"] {
            fs::create_dir_all(self.path(made)).expect("a folder");
        }
        let script = format!(
            "#!/bin/sh\nset -e\ncd {home}\n\
             stop() {{ kill \"$(cat .walk/pid)\"; while kill -0 \"$(cat .walk/pid)\" 2>/dev/null; do sleep 0.02; done; rm .walk/pid; }}\n\
             start() {{ enroll-server --config var/lib/enroll-server/server/enroll-server.toml serve & echo $! >.walk/pid\n\
             until curl -sf http://127.0.0.1:{port}/healthz >/dev/null; do sleep 0.05; done; }}\n\
             case \"$*\" in\n'stop enroll-server') stop ;;\n'start enroll-server' | 'enable --now enroll-server') start ;;\n\
             'restart enroll-server') stop; start ;;\n*) echo \"systemctl $*: not on this stage\"; exit 1 ;;\nesac\n",
            home = self.home.path().display(),
            port = self.port("8080"),
        );
        self.program("systemctl", &script);
        self
    }

    fn program(&self, name: &str, script: &str) {
        let program = self.path(".walk/bin").join(name);
        fs::write(&program, script).expect("to write");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("to set a mode");
    }

    /// Sets a variable of the shell.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, self.here(value)));
        self
    }

    /// Reads another text in the place of one that a page shows: what is no command of this machine.
    #[must_use]
    pub fn reading(mut self, shown: &'static str, here: &str) -> Self {
        self.texts.push((shown, here.to_owned()));
        self
    }

    /// A path below the folder.
    #[must_use]
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.home.path().join(relative)
    }

    /// The free port in the place of a usual one.
    ///
    /// # Panics
    /// For a port that nobody uses.
    #[must_use]
    pub fn port(&self, usual: &str) -> &str {
        &self.ports.iter().find(|(name, _)| *name == usual).expect("a usual port").1
    }

    /// A text with this stage's ports and folders in the place of the usual ones.
    fn here(&self, text: &str) -> String {
        let texts = self.texts.iter().map(|(usual, here)| (*usual, here));
        let ports = self.ports.iter().map(|(usual, free)| (*usual, free));
        ports.chain(texts).fold(text.to_owned(), |text, (usual, here)| text.replace(usual, here))
    }

    /// Walks through the blocks of a page that are to be run, and gives the shell as it is then.
    ///
    /// # Panics
    /// Where a command fails, or what is shown is not seen.
    #[must_use]
    pub fn walk(&self, page: &Page) -> Walk<'_> {
        self.walk_with(page, |_| {})
    }

    /// As [`walk`](Self::walk), with what happens meanwhile, before each of the blocks.
    ///
    /// # Panics
    /// As [`walk`](Self::walk).
    #[must_use]
    pub fn walk_with(&self, page: &Page, mut meanwhile: impl FnMut(&Block<'_>)) -> Walk<'_> {
        let blocks = page.fenced();
        let marks = format!(".walk/{}", page.path.file_stem().unwrap_or_default().to_string_lossy());
        let run = |block: &Block<'_>| block.language == "sh" && block.mark.is_empty();
        let mut script = String::from("set -eo pipefail\ntrap 'echo the walk ended in vain' ERR\n");
        for (number, block) in blocks.iter().filter(|block| run(block)).enumerate() {
            let (text, at) = (self.here(block.text), format!("{}:{}", page.path.display(), block.line));
            script += &format!(
                "until [ -e {walk}-{number}-go ]; do sleep 0.02; done\necho '== {at}'\n{text}\n: >{walk}-{number}-at\n",
                walk = self.path(&marks).display(),
            );
        }
        let mut walk = Walk { _stage: self, process: self.start(&script), steps: Vec::new() };
        let to_run = blocks.iter().enumerate().filter(|(_, block)| run(block));
        for (number, (index, block)) in to_run.enumerate() {
            meanwhile(block);
            fs::write(self.path(format!("{marks}-{number}-go")), "").expect("to write");
            let began = now();
            let at = self.path(format!("{marks}-{number}-at"));
            until(&format!("{}:{}", page.path.display(), block.line), || {
                let failed = walk.process.output().contains("the walk ended in vain");
                assert!(!failed, "{}:{}: a command failed", page.path.display(), block.line);
                at.exists().then_some(())
            });
            let shown = blocks.get(index + 1).filter(|next| next.language == "text");
            for line in shown.into_iter().flat_map(|shown| shown.text.lines()) {
                let line = self.here(line);
                walk.process.wait_for(&line, |printed| is_shown(&line, printed).then_some(()));
            }
            walk.steps.push((block.text.lines().next().unwrap_or_default().to_owned(), began.elapsed()));
        }
        walk
    }

    /// Runs a script that is no page's, to its end.
    ///
    /// # Panics
    /// Where a command fails.
    pub fn run(&self, script: &str) -> String {
        let mut process = self.start(&format!("set -eo pipefail\n{}", self.here(script)));
        let status = process.wait();
        assert!(status.success(), "{status}: {}", process.output());
        process.output()
    }

    fn start(&self, script: &str) -> Process {
        let programs = binary("firmware-sim").parent().expect("a folder").to_owned();
        let mosquitto = peer("mosquitto", "mosquitto").parent().expect("a folder").to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path =
            [self.path(".walk/bin"), programs, mosquitto].into_iter().chain(std::env::split_paths(&path));
        let mut shell = Command::new("bash");
        shell.args(["-c", script]).current_dir(self.home.path()).process_group(0);
        shell.env("PATH", std::env::join_paths(path).expect("a path")).env_remove("RUST_LOG");
        shell.envs(self.variables.iter().map(|(name, value)| (name, value)));
        Process::start(&mut shell)
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Walk<'_> {
    /// What was printed until now.
    #[must_use]
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Waits for a line with this text in it.
    ///
    /// # Panics
    /// After the harness's limit.
    pub fn wait_for_text(&self, text: &str) {
        self.process.wait_for_text(text);
    }
}

#[expect(clippy::disallowed_methods, reason = "says how long a reader waits, and decides nothing")]
fn now() -> Instant {
    Instant::now()
}

/// Whether a line is what a page shows, but for figures and widths; `...` stands for anything.
#[must_use]
pub fn is_shown(shown: &str, printed: &str) -> bool {
    let printed = pattern(printed);
    let mut rest = printed.as_str();
    let mut parts = shown.split("...").map(pattern).filter(|part| !part.is_empty());
    parts.all(|part| rest.split_once(&part).map(|(_, after)| rest = after).is_some())
}

/// A line without its figures and widths.
#[must_use]
pub fn pattern(line: &str) -> String {
    let mut pattern = String::new();
    for char in line.trim().chars() {
        let char = if char.is_ascii_digit() || char == '.' { '0' } else { char };
        if !(pattern.ends_with(char) && matches!(char, '0' | ' ' | '─' | '═')) {
            pattern.push(char);
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_found_whatever_its_figures() {
        assert!(is_shown("  37 ms  certificate ... until 2026", "112 ms certificate 4711 until  1999"));
        assert!(!is_shown("37 ms  certificate", "37 ms  nothing"));
        assert!(!is_shown("a ... b", "b a"));
    }

    #[test]
    #[should_panic(expected = "a command failed")]
    fn a_command_that_fails_ends_the_walk() {
        let stage = Stage::new();
        let _walk = stage.walk(&Page::of("planted.md", "```sh\ntrue\n```\n```sh\nls no-such-file\n```\n"));
    }
}
