//! The program with all mutants in it: a copy of the tree, woven and built, without the mutants that do not compile.

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::list::Listed;
use crate::weave::{Mutant, Region, weave};

/// A build that has all mutants which compile.
#[derive(Debug)]
pub struct Program {
    /// The tests.
    pub executable: PathBuf,
    /// Where they run.
    pub folder: PathBuf,
    /// What is in it, each by its number.
    pub mutants: BTreeSet<usize>,
    /// What does not compile, each with the compiler's word for why.
    pub failed: BTreeMap<usize, String>,
    /// What was not woven.
    pub left_out: BTreeSet<usize>,
}

const SWITCH: &str = r#"
#[doc(hidden)]
#[allow(clippy::all, missing_docs, unused)]
pub(crate) mod mutants {
    extern crate std;
    use std::io::Write as _;

    /// Whether this mutant is the one of this run.
    pub(crate) fn on(number: usize) -> bool {
        static CHOSEN: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
        static SEEN: std::sync::OnceLock<Option<std::sync::Mutex<(std::fs::File, std::collections::BTreeSet<usize>)>>> =
            std::sync::OnceLock::new();
        let chosen = *CHOSEN.get_or_init(|| {
            std::env::var("MUTANT").ok().and_then(|text| text.parse().ok()).unwrap_or(0)
        });
        if chosen == 0 {
            let seen = SEEN.get_or_init(|| {
                let path = std::env::var_os("MUTANTS_SEEN")?;
                let file = std::fs::OpenOptions::new().append(true).create(true).open(path).ok()?;
                Some(std::sync::Mutex::new((file, Default::default())))
            });
            if let Some(seen) = seen {
                let mut seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if seen.1.insert(number) {
                    let _ = std::writeln!(seen.0, "{number}");
                }
            }
        }
        chosen == number
    }
}
"#;

/// Copies the tree, weaves all mutants but the `failed` ones, and builds until what is left compiles.
pub fn build(
    tree: &Path,
    work: &Path,
    package: &str,
    listed: &[Listed],
    mut failed: BTreeMap<usize, String>,
) -> Result<Program, String> {
    let copy = work.join("tree");
    copy_tree(tree, &copy).map_err(|error| format!("the tree cannot be copied: {error}"))?;
    let folder = folder_of(&copy, package)?;
    let mut files = BTreeMap::<&str, Vec<Mutant>>::new();
    for (index, listed) in listed.iter().enumerate() {
        files.entry(&listed.file).or_default().push(Mutant {
            number: index + 1,
            genre: listed.genre.clone(),
            replacement: listed.replacement.clone(),
            at: listed.span.start,
        });
    }
    let root = folder.join("src/lib.rs");
    let text = fs::read_to_string(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    write(&root, &(text + SWITCH))?;
    let (mut woven, mut constants) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let mut regions = BTreeMap::new();
        for (file, mutants) in &files {
            let from = fs::read_to_string(tree.join(file)).map_err(|error| format!("{file}: {error}"))?;
            let left: Vec<_> =
                mutants.iter().filter(|mutant| !failed.contains_key(&mutant.number)).cloned().collect();
            let mut new = weave(&from, &left, &constants).map_err(|error| format!("{file}: {error}"))?;
            if copy.join(file) == root {
                new.text += SWITCH;
            }
            write(&copy.join(file), &new.text)?;
            regions.insert(*file, new.regions);
        }
        woven.extend(regions.values().flatten().map(|region| region.number));
        match compile(&copy, package)? {
            Ok(executable) => {
                let all = 1..=listed.len();
                let left_out =
                    all.filter(|number| !woven.contains(number) && !failed.contains_key(number)).collect();
                let mutants = woven.into_iter().filter(|number| !failed.contains_key(number)).collect();
                return Ok(Program { executable, folder, mutants, failed, left_out });
            }
            Err(complaints) => {
                let before = failed.len() + constants.len();
                for complaint in &complaints {
                    if complaint.code() == "E0015" {
                        constants.extend(complaint.function());
                    }
                    for number in complaint.blamed(&regions) {
                        failed.entry(number).or_insert_with(|| complaint.code());
                    }
                }
                eprintln!("{} mutants do not compile so far", failed.len());
                if failed.len() + constants.len() == before {
                    let complaints: Vec<_> = complaints.iter().map(|found| found.rendered.as_str()).collect();
                    return Err(format!("what is left does not compile:\n{}", complaints.join("\n")));
                }
            }
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Copies what git knows or would take, where it differs.
fn copy_tree(tree: &Path, copy: &Path) -> std::io::Result<()> {
    let output = Command::new("git")
        .current_dir(tree)
        .args(["ls-files", "-z", "-co", "--exclude-standard"])
        .output()?;
    for name in String::from_utf8_lossy(&output.stdout).split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (tree.join(name), copy.join(name));
        let Ok(bytes) = fs::read(&from) else { continue };
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(&from, &to)?;
    }
    Ok(())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
}

fn folder_of(copy: &Path, package: &str) -> Result<PathBuf, String> {
    let output = Command::new("cargo")
        .current_dir(copy)
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .map_err(|error| format!("cargo does not run: {error}"))?;
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let found = metadata.packages.into_iter().find(|found| found.name == package);
    let manifest = found.ok_or_else(|| format!("there is no package {package}"))?.manifest_path;
    Ok(manifest.parent().unwrap_or(copy).to_owned())
}

#[derive(Deserialize)]
struct Line {
    reason: String,
    message: Option<Complaint>,
    executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Complaint {
    level: String,
    message: String,
    rendered: String,
    code: Option<Code>,
    spans: Vec<Place>,
}

#[derive(Debug, Deserialize)]
struct Code {
    code: String,
}

#[derive(Debug, Deserialize)]
struct Place {
    file_name: String,
    byte_start: usize,
    byte_end: usize,
    is_primary: bool,
}

impl Complaint {
    fn code(&self) -> String {
        self.code.as_ref().map_or_else(|| self.message.clone(), |code| code.code.clone())
    }

    /// The function in its text, `a::b::function`.
    fn function(&self) -> Option<String> {
        let path = self.message.split('`').nth(1)?;
        path.rsplit("::").next().map(str::to_owned)
    }

    /// Which mutants it is about: those where it points to, or else the other values of the function around it.
    fn blamed(&self, regions: &BTreeMap<&str, Vec<Region>>) -> BTreeSet<usize> {
        for (primary, body) in [(true, false), (false, false), (true, true)] {
            let places = self.spans.iter().filter(|place| place.is_primary == primary);
            let hit = |place: &Place| {
                let bytes = place.byte_start..place.byte_end;
                let regions = regions.iter().find(|(file, _)| place.file_name.ends_with(**file));
                let regions = regions.into_iter().flat_map(|(_, regions)| regions);
                let within = regions.filter(|region| region.body == body && overlap(&region.bytes, &bytes));
                within.map(|region| region.number).collect::<Vec<_>>()
            };
            let hit: BTreeSet<_> = places.flat_map(hit).collect();
            if !hit.is_empty() {
                return hit;
            }
        }
        BTreeSet::new()
    }
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end.max(other.start + 1) && other.start < one.end
}

fn compile(copy: &Path, package: &str) -> Result<Result<PathBuf, Vec<Complaint>>, String> {
    let output = Command::new("cargo")
        .current_dir(copy)
        .args(["test", "--locked", "-p", package, "--lib", "--no-run", "--message-format", "json"])
        .env("CARGO_INCREMENTAL", "1")
        .output()
        .map_err(|error| format!("cargo does not run: {error}"))?;
    let (mut complaints, mut executable) = (Vec::new(), None);
    for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let Ok(line) = serde_json::from_slice::<Line>(line) else { continue };
        match line.reason.as_str() {
            "compiler-message" => complaints.extend(line.message.filter(|found| found.level == "error")),
            "compiler-artifact" => executable = line.executable.or(executable),
            _ => {}
        }
    }
    match executable {
        Some(executable) if output.status.success() => Ok(Ok(executable)),
        _ if complaints.is_empty() => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        _ => Ok(Err(complaints)),
    }
}
