//! The README tells the truth: its commands exist, its blocks run as they stand, the demonstration prints what is
//! shown, links lead somewhere.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use tests::harness::{Process, binary, free_port, peer, run};
use tests::readme::{Readme, commands, repository};

#[test]
fn every_command_it_names_exists_with_its_options() {
    let readme = Readme::load();
    let mut checked = BTreeSet::new();
    for code in [readme.blocks("sh"), readme.inline_code()].concat() {
        for command in commands(code) {
            if let Some((program, arguments)) = command.ours() {
                exists(program, arguments).unwrap_or_else(|wrong| panic!("`{code}`: {wrong}"));
                checked.insert(program.to_owned() + " " + &arguments.join(" "));
            }
        }
    }
    assert!(checked.len() >= 8, "hardly any command was found: {checked:#?}");

    // Planted: a command that is gone, an option that is gone, an argument nobody takes.
    for (program, arguments) in [
        ("firmware-sim", ["demonstrate"].as_slice()),
        ("firmware-sim", &["demo", "--gadgets", "3"]),
        ("enroll-server", &["--config", "x", "maker", "addd", "x"]),
        ("agent", &["run", "fast"]),
    ] {
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        assert!(exists(program, &arguments).is_err(), "stays green on: {program} {arguments:?}");
    }
}

/// Looks a command line up in the help of its program and of its subcommands.
fn exists(program: &str, arguments: &[String]) -> Result<(), String> {
    let mut path: Vec<&str> = Vec::new();
    let mut pages = vec![help(program, &path)?];
    let mut words = arguments.iter().map(String::as_str).take_while(|word| !word.starts_with('>'));
    while let Some(word) = words.next() {
        let page = pages.last().cloned().unwrap_or_default();
        if let Some(option) = word.strip_prefix("--").and_then(|option| option.split('=').next()) {
            let long = format!("--{option}");
            let entry = |line: &&str| {
                line.split([',', ' ']).find(|word| !word.is_empty() && !is_short(word)) == Some(long.as_str())
            };
            let line = pages.iter().flat_map(|page| page.lines()).find(entry);
            let line = line.ok_or_else(|| format!("{program} {path:?} has no {long}"))?;
            if line.contains(&format!("{long} <")) && !word.contains('=') {
                words.next().ok_or_else(|| format!("{long} takes a value"))?;
            }
        } else if page.contains("\nCommands:\n") {
            if !subcommands(&page).any(|name| name == word) {
                return Err(format!("{program} {path:?} has no subcommand {word}"));
            }
            path.push(word);
            pages.push(help(program, &path)?);
        } else if !page.contains("\nArguments:\n") {
            return Err(format!("{program} {path:?} takes no argument such as {word}"));
        }
    }
    Ok(())
}

fn is_short(word: &str) -> bool {
    word.len() == 2 && word.starts_with('-')
}

fn subcommands(page: &str) -> impl Iterator<Item = &str> {
    let list = page.split("\nCommands:\n").nth(1).unwrap_or_default();
    let lines = list.lines().take_while(|line| !line.is_empty());
    lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next())
}

fn help(program: &str, path: &[&str]) -> Result<String, String> {
    let finished = run(Command::new(binary(program)).args(path).arg("--help"));
    if finished.status.success() { Ok(finished.stdout) } else { Err(finished.stderr) }
}

#[test]
fn the_way_by_hand_can_be_walked() {
    let readme = Readme::load();
    let blocks = readme.blocks("sh");
    let [block] =
        *blocks.into_iter().filter(|block| block.contains("enroll-server init")).collect::<Vec<_>>()
    else {
        panic!("one block shows the way by hand");
    };
    // All as it stands, but for the build, which is there, and the ports, which may be taken.
    let (build, rest) = block.split_once('\n').unwrap();
    assert!(build.starts_with("cargo build --release && export PATH="), "{build}");
    let init = rest.lines().find(|line| line.starts_with("enroll-server init")).unwrap();
    let config = "sed -i 's/0.0.0.0:8443/127.0.0.1:8443/' server/enroll-server.toml";
    let mut script =
        rest.replace(init, &format!("{init}\n{config} && sed -i PORTS server/enroll-server.toml"));
    let home = tempfile::tempdir().unwrap();
    let mut edits = String::new();
    let mut examples = Vec::new();
    for file in fs::read_dir(repository().join("examples")).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            examples.push((path.file_name().unwrap().to_owned(), fs::read_to_string(&path).unwrap()));
        }
    }
    for port in ["8443", "8080", "8883"] {
        let free = free_port().to_string();
        edits += &format!("s/{port}/{free}/;");
        script = script.replace(port, &free);
        for (_, text) in &mut examples {
            *text = text.replace(port, &free);
        }
    }
    let script = format!("set -e\n{}", script.replace("PORTS", &format!("'{edits}'")));
    fs::create_dir(home.path().join("examples")).unwrap();
    for (name, text) in examples {
        fs::write(home.path().join("examples").join(name), text).unwrap();
    }

    let walk = Walk::start(home.path(), &script);
    walk.0.wait_for_text("the broker accepted the identity");
    walk.0.wait_for_text("telemetry published");
}

/// A shell with all that it started; none of it outlives the test.
struct Walk(Process);

impl Walk {
    fn start(home: &Path, script: &str) -> Self {
        let programs = binary("firmware-sim").parent().unwrap().to_owned();
        let mosquitto = peer("mosquitto", "mosquitto").parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path =
            std::env::join_paths([programs, mosquitto].into_iter().chain(std::env::split_paths(&path)));
        let mut shell = Command::new("bash");
        shell.args(["-c", script]).current_dir(home).env("PATH", path.unwrap()).process_group(0);
        Self(Process::start(&mut shell))
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.0.signal_group(Signal::KILL);
    }
}

#[test]
fn the_demonstration_prints_what_is_shown() {
    let readme = Readme::load();
    let [shown] =
        *readme.blocks("text").into_iter().filter(|block| block.contains("Broker")).collect::<Vec<_>>()
    else {
        panic!("one block shows what the demonstration prints");
    };
    let printed = run(Command::new(binary("firmware-sim")).arg("demo")).success();
    let printed: BTreeSet<String> = printed.lines().map(pattern).collect();
    let mut compared = 0;
    // Rows of the table differ in each run.
    for line in shown.lines().filter(|line| !line.contains("SN-") && !line.contains("│ ...")) {
        assert!(printed.contains(&pattern(line)), "not printed: {line}\nprinted: {printed:#?}");
        compared += 1;
    }
    assert!(compared > 10, "{shown}");
}

/// A line without its figures and widths.
fn pattern(line: &str) -> String {
    let mut pattern = String::new();
    for char in line.trim().chars() {
        let char = if char.is_ascii_digit() || char == '.' { '0' } else { char };
        if !(pattern.ends_with(char) && matches!(char, '0' | ' ' | '─' | '═')) {
            pattern.push(char);
        }
    }
    pattern
}

#[test]
fn its_links_lead_somewhere_and_its_scripts_can_be_run() {
    let readme = Readme::load();
    let links = readme.links();
    assert!(links.len() >= 4, "{links:?}");
    for link in links {
        assert!(repository().join(link).exists(), "{link} is not there");
    }
    let scripts: Vec<_> =
        readme.blocks("sh").into_iter().flat_map(commands).filter(|c| c.0[0].starts_with("./")).collect();
    assert!(!scripts.is_empty());
    for script in scripts {
        assert!(fs::metadata(repository().join(&script.0[0])).unwrap().is_file());
        let _parsed = run(Command::new("bash").arg("-n").arg(repository().join(&script.0[0]))).success();
    }
}
