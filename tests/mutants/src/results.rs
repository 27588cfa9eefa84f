//! What came of each mutant, by its name, and a file of it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use crate::list::Listed;

const UNVIABLE: &str = "does not compile: ";

#[derive(Debug)]
pub struct Results {
    file: File,
    ends: BTreeMap<String, String>,
}

impl Results {
    /// Opens the file, and reads what came of earlier runs; that some were missed is forgotten where they are tried `again`.
    pub fn open(path: &Path, again: bool) -> Result<Self, String> {
        let named = |error| format!("{}: {error}", path.display());
        let text = fs::read_to_string(path).unwrap_or_default();
        let ends = text.lines().filter_map(|line| line.split_once('\t'));
        let mut ends: BTreeMap<_, _> = ends.map(|(end, name)| (name.to_owned(), end.to_owned())).collect();
        ends.retain(|_, end| !(again && end.starts_with("missed")));
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(named)?;
        Ok(Self { file, ends })
    }

    /// What did not compile before, each by its number, with the compiler's word for why.
    pub fn failed(&self, listed: &[Listed]) -> BTreeMap<usize, String> {
        let end = |mutant: &Listed| self.ends.get(&mutant.name)?.strip_prefix(UNVIABLE).map(str::to_owned);
        (1..).zip(listed).filter_map(|(number, mutant)| Some((number, end(mutant)?))).collect()
    }

    pub fn has(&self, mutant: &Listed) -> bool {
        self.ends.contains_key(&mutant.name)
    }

    pub fn add_failed(&mut self, mutant: &Listed, code: &str) -> Result<(), String> {
        self.add(mutant, &format!("{UNVIABLE}{code}"))
    }

    pub fn add(&mut self, mutant: &Listed, end: &str) -> Result<(), String> {
        if self.ends.insert(mutant.name.clone(), end.to_owned()).as_deref() == Some(end) {
            return Ok(());
        }
        writeln!(self.file, "{end}\t{}", mutant.name).map_err(|error| format!("results: {error}"))
    }

    /// Prints what was missed and how many there are of each end; gives whether none was missed.
    pub fn report(&self, listed: &[Listed]) -> bool {
        let mut counts = BTreeMap::<&str, usize>::new();
        for mutant in listed {
            let Some(end) = self.ends.get(&mutant.name) else { continue };
            if end.starts_with("missed") {
                println!("{end}\t{}", mutant.name);
            }
            *counts.entry(end.split(':').next().unwrap_or_default()).or_default() += 1;
        }
        for (kind, count) in &counts {
            println!("{kind}: {count}");
        }
        !counts.contains_key("missed")
    }
}
