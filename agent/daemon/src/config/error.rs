//! What can be wrong with a configuration, and where: every error names its place and its field.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In the file, on this line, from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag, without its dashes.
    Flag(String),
    /// Nowhere: the value is missing or the file as a whole is meant.
    Configuration,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Configuration => f.write_str("configuration"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {field}: {problem}")]
pub struct ConfigError {
    /// Where.
    pub origin: Origin,
    /// The field's dotted name.
    pub field: String,
    /// What.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The value is of another kind, or outside its bounds.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What would be right.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// The text means nothing, or something that is not allowed.
    #[error("{found}: {reason}")]
    Invalid {
        /// What stands there.
        found: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// No such field exists.
    #[error("there is no such field{}", hint.as_ref().map(|h| format!("; is {h} meant?")).unwrap_or_default())]
    Unknown {
        /// The field with the most similar name.
        hint: Option<String>,
    },
    /// A field that must be given is not.
    #[error("missing; set it in the configuration file, with --{flag} or with {variable}")]
    Missing {
        /// The flag that would set it.
        flag: String,
        /// The environment variable that would set it.
        variable: String,
    },
    /// Two fields do not go together, or one needs another.
    #[error("{0}")]
    Combination(&'static str),
    /// The text is no TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(std::io::ErrorKind),
    /// The file is longer than a configuration can be.
    #[error("the file is longer than {0} bytes")]
    TooLong(u64),
}

/// Everything that is wrong with a configuration, at once; at least one error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl core::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<_> = self.0.iter().collect();
        sorted.sort_by(|a, b| (&a.origin, &a.field).cmp(&(&b.origin, &b.field)));
        for (index, error) in sorted.into_iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}
