//! Every command of every page, held against the program's own command line; every shell block is run, or says why not.

use std::collections::BTreeMap;
use std::process::Command;

use clap::CommandFactory as _;
use clap::error::ErrorKind;
use serde_json::Value as Json;
use tests::harness::run;
use tests::page::{Page, ShellCommand, commands, repository};

/// Programs of others that pages may run. One that is not here is more likely a slip.
const OTHERS: &[&str] = &[
    "apt-get",
    "break",
    "call",
    "true",
    "awk",
    "cat",
    "cd",
    "chmod",
    "chown",
    "cp",
    "curl",
    "cut",
    "date",
    "dd",
    "diff",
    "done",
    "echo",
    "export",
    "find",
    "for",
    "git",
    "grep",
    "head",
    "[",
    ":",
    "install",
    "jobs",
    "jq",
    "kill",
    "ls",
    "mdbook",
    "mkdir",
    "mosquitto",
    "mosquitto_ctrl",
    "mosquitto_pub",
    "mosquitto_sub",
    "mv",
    "nginx",
    "node",
    "openssl",
    "pg_dump",
    "pg_restore",
    "pki",
    "probe-rs",
    "psql",
    "python3",
    "rm",
    "rsync",
    "runuser",
    "sed",
    "sha256sum",
    "sleep",
    "softhsm2-util",
    "sort",
    "sudo",
    "sqlite3",
    "systemctl",
    "tar",
    "tee",
    "test",
    "trap",
    "umask",
    "until",
    "wait",
    "wc",
];

/// Why a block may be read only.
const REASONS: &[&str] = &["test", "host", "hardware", "long", "build", "fragment"];

/// Where pages are run block by block.
const WALKS: &str = "tests/tests/book/walks.rs";

/// The pages whose shell blocks are run as they stand, and the test that runs them.
const RUN_BY: &[(&str, &str)] = &[
    ("docs/admin-api.md", "tests/tests/openapi/main.rs"),
    ("docs/dashboard.md", WALKS),
    ("docs/events.md", WALKS),
    ("docs/evidence.md", WALKS),
    ("docs/guide-firmware.md", WALKS),
    ("docs/guide-manufacturing.md", WALKS),
    ("docs/guide-platform.md", WALKS),
    ("docs/guide-security.md", WALKS),
    ("docs/inventory.md", WALKS),
    ("docs/log.md", WALKS),
    ("docs/observability.md", WALKS),
    ("docs/operations.md", WALKS),
    ("docs/quick-start.md", WALKS),
    ("docs/reference-values.md", WALKS),
];

/// All programs of ours, as they read their command lines.
struct Programs {
    ours: BTreeMap<&'static str, clap::Command>,
    /// Targets of cargo: package, kind and name.
    targets: Vec<(String, String, String)>,
}

impl Programs {
    fn new() -> Self {
        let ours = [
            ("agent", agent::cli::command()),
            ("enroll-server", enroll_server::cli::Args::command()),
            ("firmware-sim", firmware_sim::cli::Cli::command()),
        ];
        let mut metadata = Command::new(env!("CARGO"));
        metadata.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
        let printed = run(metadata.current_dir(repository())).success();
        let metadata: Json = serde_json::from_str(&printed).unwrap();
        let text = |value: &Json| value.as_str().unwrap().to_owned();
        let mut targets = Vec::new();
        for package in metadata["packages"].as_array().unwrap() {
            for target in package["targets"].as_array().unwrap() {
                targets.push((text(&package["name"]), text(&target["kind"][0]), text(&target["name"])));
            }
        }
        Self { ours: ours.into(), targets }
    }

    /// What is wrong with a command. One that is `mentioned` in a sentence may leave arguments away.
    fn mistake(&self, command: &ShellCommand, mentioned: bool) -> Option<String> {
        if let Some((program, arguments)) = command.ours() {
            // Words in capitals stand for something.
            let arguments = arguments.iter().map(|word| match word.as_str() {
                "HEX" => "00".repeat(32),
                "SERIAL" => "01".repeat(16),
                "TIME" => "2026-11-25T19:00:00Z".to_owned(),
                _ => without_variables(word),
            });
            let line = [program.to_owned()].into_iter().chain(arguments);
            let parsed = self.ours.get(program)?.clone().try_get_matches_from(line);
            let error = parsed.err()?;
            let incomplete = matches!(
                error.kind(),
                ErrorKind::MissingRequiredArgument
                    | ErrorKind::MissingSubcommand
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            ) || error.to_string().contains("but none was supplied");
            let asks_for_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let fine = asks_for_help || (mentioned && incomplete);
            return (!fine).then(|| error.to_string());
        }
        let words = command.words();
        match words.first().map(String::as_str) {
            Some("cargo") => self.cargo(words),
            Some(script) if script.starts_with("./") || script.contains('/') => {
                let found = repository().join(script).is_file() || script.starts_with('/');
                (!found).then(|| format!("there is no {script}"))
            }
            Some(other) if OTHERS.contains(&other) || mentioned => None,
            Some(other) => Some(format!("{other} is no program that pages run: is it a slip?")),
            None => None,
        }
    }

    /// Whether the packages, tests, examples and binaries that cargo is told are there.
    fn cargo(&self, words: &[String]) -> Option<String> {
        let own = words.split(|word| word == "--").next().unwrap_or_default();
        let value = |option: &str| {
            let at = own.iter().position(|word| word == option)?;
            own.get(at + 1).map(String::as_str)
        };
        let package = value("-p");
        let among = |kind: Option<&str>, name: Option<&str>| {
            self.targets.iter().any(|(of, k, n)| {
                package.is_none_or(|package| package == of)
                    && kind.is_none_or(|kind| k == kind)
                    && name.is_none_or(|name| n == name)
            })
        };
        if !among(None, None) {
            return Some(format!("there is no package {package:?}"));
        }
        for (option, kind) in [("--test", "test"), ("--example", "example"), ("--bin", "bin")] {
            let name = value(option);
            if name.is_some() && !among(Some(kind), name) {
                return Some(format!("there is no {kind} {name:?} in {package:?}"));
            }
        }
        None
    }

    /// Everything that is wrong with the commands of a page.
    fn mistakes(&self, page: &Page) -> Vec<String> {
        let path = page.path.display();
        let mut wrong = Vec::new();
        for block in page.fenced() {
            let is_script = block.language == "sh";
            for command in commands(block.text) {
                if !is_script && command.ours().is_none() {
                    continue;
                }
                if !is_script && block.language != "text" {
                    wrong.push(format!("{path}:{}: a command in a block that is not sh", block.line));
                } else if is_script && let Some(mistake) = self.mistake(&command, false) {
                    wrong.push(format!("{path}:{}: {:?}: {mistake}", block.line, command.0.join(" ")));
                }
            }
            if page.path.starts_with("docs")
                && is_script
                && let Some(problem) = unwalked(page, block.mark)
            {
                wrong.push(format!("{path}:{}: {problem}", block.line));
            }
        }
        for code in page.inline_code() {
            for command in commands(&code.replace(['[', ']'], "").replace("...", "")) {
                if let Some((_, rest)) = command.ours()
                    && !rest.iter().any(|word| word.contains('|'))
                    && let Some(mistake) = self.mistake(&command, true)
                {
                    wrong.push(format!("{path}: `{code}`: {mistake}"));
                }
            }
        }
        for (line, text) in page.prose() {
            let first = text.split_whitespace().next().unwrap_or_default();
            let program = first.trim_start_matches('$');
            let command = self.ours.contains_key(program) || ["cargo", "openssl", "curl"].contains(&program);
            if text.starts_with("    ") && command {
                wrong.push(format!("{path}:{line}: a command outside of a fenced block"));
            }
        }
        wrong
    }
}

/// A word with something in the place of variables and of what commands would print.
fn without_variables(word: &str) -> String {
    let mut parts = word.split('$');
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let rest = if part.starts_with('(') { "" } else { part.trim_start_matches(name) };
        // Some numbers have a form of their own.
        let value = if part.starts_with("SESSION") || part.starts_with("KEY") || part.starts_with("BATCH") {
            "5f3a9c0d12ab".to_owned()
        } else if part.starts_with("INSTANCE") {
            "01".repeat(32)
        } else if part.starts_with("TIME") {
            "2026-11-25T19:00:00Z".to_owned()
        } else if part.starts_with("SERIAL") {
            "01".repeat(16)
        } else {
            "X1".to_owned()
        };
        filled += &(value + rest);
    }
    filled
}

/// Why nobody runs a shell block with this mark on this page, although somebody should.
fn unwalked(page: &Page, mark: &str) -> Option<String> {
    if mark.is_empty() {
        let by = RUN_BY.iter().find(|(path, _)| page.path == std::path::Path::new(path));
        let Some((_, test)) = by else { return Some("is run by no test, and says not why".to_owned()) };
        return unread(page, test);
    }
    let (reason, why) = mark.split_once(": ").unwrap_or((mark, ""));
    if !REASONS.contains(&reason) || why.is_empty() {
        return Some(format!("expected one of {REASONS:?}, a colon and why, found {mark:?}"));
    }
    if reason == "test" { unread(page, why) } else { None }
}

/// What is wrong where a test is said to run a page and does not read it.
fn unread(page: &Page, test: &str) -> Option<String> {
    let text = std::fs::read_to_string(repository().join(test)).unwrap_or_default();
    let name = page.path.to_string_lossy();
    (!text.contains(name.as_ref())).then(|| format!("{test} does not read {name}"))
}

#[test]
fn every_command_is_one_that_its_program_takes() {
    let programs = Programs::new();
    let mut wrong = Vec::new();
    for page in Page::all() {
        wrong.extend(programs.mistakes(&page));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_slip_in_a_page_is_found() {
    let programs = Programs::new();
    let block = |text: &str| format!("```sh host: planted\n{text}\n```\n");
    for (text, told) in [
        (block("enroll-server device list --gadgets 3"), "--gadgets"),
        (block("enroll-server device lost"), "lost"),
        (block("x=1 firmware-sim demo \\\n  --devices many"), "many"),
        (block("agent run fast"), "fast"),
        (block("enroll-server token create | enrol-server"), "is it a slip?"),
        (block("cargo test -p tests --test boook"), "there is no test"),
        (block("cargo run -p tets --example fuzz"), "there is no package"),
        (block("./scripts/tset"), "there is no ./scripts/tset"),
        ("Say `agent renew --farce` now.".to_owned(), "--farce"),
        ("    enroll-server serve\n".to_owned(), "outside of a fenced block"),
        ("```\nagent run\n```\n".to_owned(), "not sh"),
        ("```sh\nagent run\n```\n".to_owned(), "is run by no test"),
        ("```sh later: someday\nagent run\n```\n".to_owned(), "expected one of"),
        ("```sh long:\nagent run\n```\n".to_owned(), "expected one of"),
        ("```sh test: tests/tests/year.rs\nagent run\n```\n".to_owned(), "does not read docs/planted.md"),
    ] {
        let wrong = programs.mistakes(&Page::of("docs/planted.md", &text)).join("\n");
        assert!(wrong.contains(told), "{text}: {wrong}");
    }
    let good = block("enroll-server device list --json | grep SN && agent --help")
        + "`agent proxy`, `enroll-server device`, `agent`";
    assert_eq!(programs.mistakes(&Page::of("good.md", &good)), Vec::<String>::new());
}
