//! Reads the README as its readers do: which commands it tells them to run, what it says they will see, where it
//! sends them.
//!
//! It knows as much of a shell as the README uses, not more: words, double quotes, comments, and what stands between
//! commands.

use std::fs;
use std::path::{Path, PathBuf};

/// The README, taken apart.
#[derive(Debug)]
pub struct Readme {
    text: String,
}

/// One command: a program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellCommand(pub Vec<String>);

impl Readme {
    /// The repository's own.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn load() -> Self {
        let path = repository().join("README.md");
        Self { text: fs::read_to_string(path).expect("a README") }
    }

    /// The code blocks of one language.
    #[must_use]
    pub fn blocks(&self, language: &str) -> Vec<&str> {
        let fences = self.text.split("```").collect::<Vec<_>>();
        // Between every second pair of fences is text, not code.
        let code = fences.iter().skip(1).step_by(2);
        code.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect()
    }

    /// What the text, outside of blocks, shows as code.
    #[must_use]
    pub fn inline_code(&self) -> Vec<&str> {
        let text = self.text.split("```").step_by(2);
        text.flat_map(|text| text.split('`').skip(1).step_by(2)).collect()
    }

    /// The files and folders it links to, relative to the repository.
    #[must_use]
    pub fn links(&self) -> Vec<&str> {
        let targets = self.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        targets.filter(|target| !target.contains("://") && !target.starts_with('#')).collect()
    }
}

/// The commands of a shell script.
#[must_use]
pub fn commands(script: &str) -> Vec<ShellCommand> {
    let mut found = Vec::new();
    for line in script.replace("\\\n", " ").lines() {
        let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
        for char in line.chars().chain(['\n']) {
            match char {
                '"' => quoted = !quoted,
                _ if quoted => word.push(char),
                '#' if word.is_empty() => break,
                ' ' | '\n' | '&' | '|' | ';' => {
                    words.extend((!word.is_empty()).then(|| core::mem::take(&mut word)));
                    if char != ' ' && !words.is_empty() {
                        found.push(ShellCommand(core::mem::take(&mut words)));
                    }
                }
                _ => word.push(char),
            }
        }
        found.extend((!words.is_empty()).then_some(ShellCommand(words)));
    }
    found
}

impl ShellCommand {
    /// The program of ours that it runs and that one's arguments, whether by itself or through `cargo run`.
    #[must_use]
    pub fn ours(&self) -> Option<(&str, &[String])> {
        let settings = self.0.iter().take_while(|word| word.contains('=')).count();
        let words = &self.0[settings..];
        let program =
            |name: &str| ["agent", "enroll-server", "firmware-sim"].into_iter().find(|p| *p == name);
        if let [cargo, run, rest @ ..] = words
            && (cargo.as_str(), run.as_str()) == ("cargo", "run")
        {
            let package = rest.iter().position(|word| word == "-p").and_then(|at| rest.get(at + 1))?;
            let end = rest.iter().position(|word| word == "--").unwrap_or(rest.len() - 1);
            return Some((program(package)?, &rest[end + 1..]));
        }
        Some((program(words.first()?)?, &words[1..]))
    }
}

/// The folder of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder above").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_its_commands() {
        let script =
            "# nothing\na b && c \"d $(e | f) g\" & # h\n\nAGENT=1 cargo run \\\n  -p agent -- run --json\n";
        let found = commands(script);
        let words: Vec<Vec<&str>> = found.iter().map(|c| c.0.iter().map(String::as_str).collect()).collect();
        let last = vec!["AGENT=1", "cargo", "run", "-p", "agent", "--", "run", "--json"];
        assert_eq!(words, [vec!["a", "b"], vec!["c", "d $(e | f) g"], last]);
        assert_eq!(found[2].ours(), Some(("agent", &["run".to_owned(), "--json".to_owned()][..])));
        assert_eq!(commands("cargo build --release")[0].ours(), None);
    }
}
