//! What is wrong with a configuration file.

use core::fmt;
use std::path::PathBuf;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file has mistakes; all of them are here.
    #[error("{}", List { path, mistakes })]
    Mistakes {
        /// The file.
        path: PathBuf,
        /// At least one, in the order of their lines.
        mistakes: Vec<Mistake>,
    },
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line, from 1.
    pub line: usize,
    /// The field with its table, for example `listen.https`; empty where the file is no TOML there.
    pub field: String,
    /// What was expected, and what was found.
    pub problem: String,
}

impl Mistake {
    /// Several mistakes of one short text, in one line.
    pub(crate) fn list(mistakes: &[Self]) -> String {
        let shown = |mistake: &Self| format!("line {}: {}: {}", mistake.line, mistake.field, mistake.problem);
        mistakes.iter().map(shown).collect::<Vec<_>>().join("; ")
    }
}

struct List<'a> {
    path: &'a PathBuf,
    mistakes: &'a [Mistake],
}

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.mistakes.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{}:{}: ", self.path.display(), mistake.line)?;
            if !mistake.field.is_empty() {
                write!(f, "{}: ", mistake.field)?;
            }
            f.write_str(&mistake.problem)?;
        }
        Ok(())
    }
}
