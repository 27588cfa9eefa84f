//! Every command has its page and its completion, and the packages name files that are there.
#![expect(clippy::unwrap_used, reason = "a test may end anywhere")]

use std::fs;
use std::path::Path;
use std::process::Command as Process;

use clap::Command;

fn made() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    packaging::write(folder.path()).unwrap();
    folder
}

/// A command's own name with those before it, and the same of all below.
fn names(command: &Command, before: &str) -> Vec<String> {
    let name = if before.is_empty() {
        command.get_name().to_owned()
    } else {
        format!("{before}-{}", command.get_name())
    };
    let below = command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help");
    let below: Vec<String> = below.flat_map(|one| names(one, &name)).collect();
    [vec![name], below].concat()
}

#[test]
fn every_command_has_a_page() {
    let folder = made();
    for program in packaging::programs() {
        let all = names(&program, "");
        assert!(all.len() > 8, "{all:?}");
        for name in all {
            let page = folder.path().join(program.get_name()).join(format!("man/{name}.1"));
            let text =
                fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
            assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{name}");
        }
    }
}

#[test]
fn man_reads_the_pages_without_a_complaint() {
    let folder = made();
    for page in ["agent/man/agent.1", "agent/man/agent-proxy.1", "enroll-server/man/enroll-server.1"] {
        let output = Process::new("man")
            .args(["--warnings", "-l"])
            .arg(folder.path().join(page))
            .env("MANWIDTH", "100")
            .output()
            .expect("this test needs man; install it with: apt-get install man-db");
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && complaints.is_empty(), "{page}: {complaints}");
    }
}

#[test]
fn bash_completes_commands_and_options() {
    let folder = made();
    for (program, line, expected) in [
        ("agent", "agent pro", "proxy"),
        ("agent", "agent proxy --proxy-lis", "--proxy-listen"),
        ("enroll-server", "enroll-server dev", "device"),
    ] {
        let file = folder.path().join(program).join(format!("completions/{program}.bash"));
        let words: Vec<&str> = line.split(' ').collect();
        let script = format!(
            "source {}; COMP_WORDS=({line}); COMP_CWORD={}; COMP_LINE='{line}'; \
             $(complete -p {program} | sed 's/.*-F \\([^ ]*\\).*/\\1/') {program} {} {}; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            file.display(),
            words.len() - 1,
            words.last().unwrap(),
            words.get(words.len() - 2).unwrap(),
        );
        let output = Process::new("bash").args(["-c", &script]).output().unwrap();
        let found = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(found.lines().any(|word| word == expected), "{line}: {found}{output:?}");
    }
}

/// The files that a package is made of, by the `assets` in its crate's manifest. Those below `target` are made first.
/// Whether there is such a file, or one at least for a name such as `*.yml`.
fn is_there(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    let Some(end) = name.strip_prefix('*') else { return path.exists() };
    let files = fs::read_dir(path.parent().unwrap()).into_iter().flatten();
    files.flatten().any(|file| file.file_name().to_str().unwrap().ends_with(end))
}

#[test]
fn packages_are_made_of_files_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = made();
    for (program, manifest) in [("agent", "agent/daemon"), ("enroll-server", "enroll-server")] {
        let manifest = root.join(manifest);
        let text = fs::read_to_string(manifest.join("Cargo.toml")).unwrap();
        let assets: Vec<&str> =
            text.lines().filter_map(|line| line.trim().strip_prefix("[\"")?.split('"').next()).collect();
        assert!(assets.len() > 8, "{assets:?}");
        assert!(!is_there(&manifest.join("packaging/*.none")), "planted");
        for asset in assets {
            if asset.starts_with("target/release/") {
                continue;
            }
            // tests/sbom.rs makes them.
            if asset.ends_with(packaging::BILL) {
                continue;
            }
            let path = match asset.split_once("target/manuals/") {
                Some((_, made)) => folder.path().join(made),
                None => manifest.join(asset),
            };
            assert!(is_there(&path), "{program}: {asset}");
        }
        for script in ["postinst", "prerm", "postrm"] {
            let script = manifest.join("packaging/debian").join(script);
            let checked = Process::new("sh").arg("-n").arg(&script).status().unwrap();
            assert!(checked.success(), "{}", script.display());
        }
    }
}

#[test]
fn the_servers_unit_is_a_sandbox_of_its_own_user() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = root.join("enroll-server/packaging/enroll-server.service");
    let unit = fs::read_to_string(&path).unwrap();
    for line in [
        "User=enroll-server",
        "StateDirectoryMode=0700",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "MemoryDenyWriteExecute=yes",
        "UMask=0077",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    // Where systemd is there, it reads the unit as well.
    let Ok(output) = Process::new("systemd-analyze").arg("verify").arg(path).output() else { return };
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!complaints.contains("Unknown") && !complaints.contains("Failed to parse"), "{complaints}");
}
