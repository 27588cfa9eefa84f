//! Reads a page of the documentation as its readers do: which commands it tells them to run, what it says they will see,
//! where it sends them.
//!
//! It knows as much of Markdown and of a shell as the pages use, not more: fences, links and headings; words, quotes,
//! comments, redirections, and what stands between commands.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A page, taken apart.
#[derive(Debug)]
pub struct Page {
    /// Where it is, relative to the repository.
    pub path: PathBuf,
    text: String,
}

/// A block of code between fences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'p> {
    /// The line of its opening fence, from 1.
    pub line: usize,
    /// The first word behind the fence; empty where there is none.
    pub language: &'p str,
    /// What else stands behind the fence.
    pub mark: &'p str,
    /// What is between the fences, with its last newline.
    pub text: &'p str,
}

/// One command: a program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellCommand(pub Vec<String>);

impl Page {
    /// A page of the repository.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn load(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let file = repository().join(path);
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self { path: path.to_owned(), text }
    }

    /// All pages: those of the book, and those beside it.
    ///
    /// # Panics
    /// Where a folder cannot be read.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut pages: Vec<PathBuf> =
            ["README.md", "CONTRIBUTING.md", "THREATS.md"].map(PathBuf::from).into();
        let mut folders = vec![PathBuf::from("docs")];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(repository().join(&folder)).expect("a folder of pages");
            for entry in entries {
                let entry = entry.expect("an entry");
                let path = folder.join(entry.file_name());
                if entry.path().is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "md") {
                    pages.push(path);
                }
            }
        }
        pages.sort();
        pages.iter().map(Self::load).collect()
    }

    /// A page that is not a file.
    #[must_use]
    pub fn of(path: &str, text: &str) -> Self {
        Self { path: PathBuf::from(path), text: text.to_owned() }
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The code between fences.
    ///
    /// # Panics
    /// Where a fence is not closed.
    #[must_use]
    pub fn fenced(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut open: Option<(usize, &str, usize)> = None;
        let mut at = 0;
        for (index, line) in self.text.split_inclusive('\n').enumerate() {
            let next = at + line.len();
            if let Some(info) = line.trim_start().strip_prefix("```") {
                open = match open {
                    None => Some((index + 1, info.trim(), next)),
                    Some((line, info, from)) => {
                        let (language, mark) = info.split_once(' ').unwrap_or((info, ""));
                        blocks.push(Block {
                            line,
                            language,
                            mark: mark.trim(),
                            text: self.text.get(from..at).unwrap_or_default(),
                        });
                        None
                    }
                };
            }
            at = next;
        }
        assert!(open.is_none(), "{}: a fence is open to the end: {open:?}", self.path.display());
        blocks
    }

    /// The code blocks of one language.
    #[must_use]
    pub fn blocks(&self, language: &str) -> Vec<&str> {
        self.fenced().iter().filter(|block| block.language == language).map(|block| block.text).collect()
    }

    /// The text outside of fences, by line, with its number from 1.
    #[must_use]
    pub fn prose(&self) -> Vec<(usize, &str)> {
        let mut inside = false;
        let lines = self.text.lines().enumerate().filter(|(_, line)| {
            let fence = line.trim_start().starts_with("```");
            inside ^= fence;
            !inside && !fence
        });
        lines.map(|(index, line)| (index + 1, line)).collect()
    }

    /// What the text, outside of blocks, shows as code.
    #[must_use]
    pub fn inline_code(&self) -> Vec<&str> {
        let text = self.text.split("```").step_by(2);
        text.flat_map(|text| text.split('`').skip(1).step_by(2)).collect()
    }

    /// The files and folders it links to, as they stand there, some with a `#` and an anchor.
    #[must_use]
    pub fn links(&self) -> Vec<&str> {
        let text = self.text.split("```").step_by(2);
        let targets =
            text.flat_map(|text| text.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
        targets.filter(|target| !target.contains("://")).collect()
    }

    /// The anchors of its headings, as forges and mdBook make them.
    #[must_use]
    pub fn anchors(&self) -> BTreeSet<String> {
        let prose = self.prose();
        let headings = prose.iter().filter_map(|(_, line)| {
            let text = line.trim_start_matches('#');
            (text.len() < line.len()).then(|| text.strip_prefix(' ')).flatten()
        });
        headings
            .map(|heading| {
                let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
                kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
            })
            .collect()
    }
}

/// The commands of a shell script. What a `$(...)` holds is not looked into.
#[must_use]
pub fn commands(script: &str) -> Vec<ShellCommand> {
    let mut found = Vec::new();
    let script = script.replace("\\\n", " ");
    let mut lines = script.lines();
    while let Some(line) = lines.next() {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        let mut depth = 0_u32;
        for char in line.chars().chain(['\n']) {
            match char {
                _ if quote == Some(char) => quote = None,
                '"' | '\'' if quote.is_none() => quote = Some(char),
                _ if quote.is_some() && char != '\n' => word.push(char),
                '(' if word.ends_with('$') || depth > 0 => {
                    depth += 1;
                    word.push(char);
                }
                ')' if depth > 0 => {
                    depth -= 1;
                    word.push(char);
                }
                _ if depth > 0 && char != '\n' => word.push(char),
                '#' if word.is_empty() => break,
                '&' if word.ends_with('>') => word.push(char),
                ' ' | '\n' | '&' | '|' | ';' | '(' | ')' => {
                    words.extend((!word.is_empty()).then(|| core::mem::take(&mut word)));
                    if char != ' ' && !words.is_empty() {
                        found.push(ShellCommand(core::mem::take(&mut words)));
                    }
                }
                _ => word.push(char),
            }
        }
        found.extend((!words.is_empty()).then_some(ShellCommand(words)));
        // A text that follows is no command.
        if let Some((_, name)) = line.split_once("<<") {
            let name = name.trim().trim_matches('\'');
            lines.by_ref().find(|line| *line == name);
        }
    }
    found
        .into_iter()
        .map(ShellCommand::without_redirections)
        .filter(|command| !command.0.is_empty())
        .collect()
}

impl ShellCommand {
    /// Leaves the files away that it reads and writes.
    fn without_redirections(self) -> Self {
        let mut kept = Vec::new();
        let mut words = self.0.into_iter();
        while let Some(word) = words.next() {
            match word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix(['>', '<']) {
                Some(target) if target.trim_start_matches(['>', '<']).is_empty() => _ = words.next(),
                Some(_) => {}
                None => kept.push(word),
            }
        }
        Self(kept)
    }

    /// The words without what stands before a program: settings of variables, and words of the shell.
    #[must_use]
    pub fn words(&self) -> &[String] {
        let shells = |word: &str| ["until", "while", "do", "if", "then", "!", "{", "}"].contains(&word);
        let before = |word: &&String| (word.contains('=') && !word.starts_with('-')) || shells(word);
        let settings = self.0.iter().take_while(before).count();
        &self.0[settings..]
    }

    /// The program of ours that it runs and that one's arguments, whether by itself or through `cargo run`.
    #[must_use]
    pub fn ours(&self) -> Option<(&str, &[String])> {
        let words = self.words();
        let program =
            |name: &str| ["agent", "enroll-server", "firmware-sim"].into_iter().find(|p| *p == name);
        if let [cargo, run, rest @ ..] = words
            && (cargo.as_str(), run.as_str()) == ("cargo", "run")
        {
            // What stands behind is the program's.
            let end = rest.iter().position(|word| word == "--").unwrap_or(rest.len());
            let own = &rest[..end];
            if own.iter().any(|word| word == "--example") {
                return None;
            }
            let package = own.iter().position(|word| word == "-p").and_then(|at| own.get(at + 1))?;
            return Some((program(package)?, rest.get(end + 1..).unwrap_or_default()));
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

    fn words(script: &str) -> Vec<Vec<String>> {
        commands(script).into_iter().map(|command| command.0).collect()
    }

    #[test]
    fn a_script_is_its_commands() {
        let script =
            "# nothing\na b && c \"d $(e | f) g\" & # h\n\nAGENT=1 cargo run \\\n  -p agent -- run --json\n";
        let last = vec!["AGENT=1", "cargo", "run", "-p", "agent", "--", "run", "--json"];
        assert_eq!(words(script), [vec!["a", "b"], vec!["c", "d $(e | f) g"], last]);
        let found = commands(script);
        assert_eq!(found[2].ours(), Some(("agent", &["run".to_owned(), "--json".to_owned()][..])));
        assert_eq!(commands("cargo build --release")[0].ours(), None);
        assert_eq!(commands("cargo run -p agent --example x -- y")[0].ours(), None);
    }

    #[test]
    fn quotes_substitutions_and_redirections_are_as_in_a_shell() {
        assert_eq!(words("a 'b \"c' >d 2>&1 <e"), [vec!["a", "b \"c"]]);
        assert_eq!(words("(umask 077; a -b > c)"), [vec!["umask", "077"], vec!["a", "-b"]]);
        assert_eq!(words("a=$(b c | d) && e --f=$(g h)"), [vec!["a=$(b c | d)"], vec!["e", "--f=$(g h)"]]);
        assert_eq!(words("cat >>a <<'EOF'\nno command\nEOF\nb"), [vec!["cat"], vec!["b"]]);
        assert_eq!(commands("A=1 agent run")[0].words(), ["agent", "run"]);
        assert_eq!(commands("until agent status; do sleep 1; done")[0].words(), ["agent", "status"]);
    }

    #[test]
    fn a_page_is_its_blocks_links_and_anchors() {
        let text = "# A page: `x`\n[l](b.md#c) `d e`\n```sh host: root\nagent run\n```\n## Two (2)\n```\n](no)\n```\n";
        let page = Page::of("p.md", text);
        let block = Block { line: 3, language: "sh", mark: "host: root", text: "agent run\n" };
        assert_eq!(page.fenced()[0], block);
        assert_eq!(page.fenced()[1].language, "");
        assert_eq!((page.links(), page.inline_code()), (vec!["b.md#c"], vec!["x", "d e"]));
        assert_eq!(page.anchors(), ["a-page-x", "two-2"].map(str::to_owned).into());
        assert_eq!(page.prose().len(), 3);
    }
}
