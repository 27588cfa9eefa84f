//! What can be wrong with a configuration, and where: every error names its place and its field.

use std::fmt;
use std::io::ErrorKind;
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
    Unreadable(ErrorKind),
    /// The file is longer than a configuration can be.
    #[error("the file is longer than {0} bytes")]
    TooLong(u64),
}

/// Everything that is wrong with a configuration, at once; at least one error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl ConfigErrors {
    /// Whether the file is there and was only not to be had, as with a disk or a network file system that fails for a
    /// moment: the configuration may be right, and another start may read it.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        self.0.iter().any(|error| match error.problem {
            // No file at all, or one that is no text: somebody has to write it.
            Problem::Unreadable(kind) => !matches!(kind, ErrorKind::NotFound | ErrorKind::InvalidData),
            _ => false,
        })
    }
}

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

#[cfg(test)]
mod tests {
    use super::{ConfigError, ConfigErrors, Origin, Problem};
    use std::io::ErrorKind;

    #[test]
    fn only_what_another_attempt_may_mend_is_out_of_reach() {
        for (problem, out_of_reach) in [
            (Problem::Unreadable(ErrorKind::Other), true),
            (Problem::Unreadable(ErrorKind::PermissionDenied), true),
            (Problem::Unreadable(ErrorKind::StaleNetworkFileHandle), true),
            (Problem::Unreadable(ErrorKind::NotFound), false),
            (Problem::Unreadable(ErrorKind::InvalidData), false),
            (Problem::TooLong(1), false),
            (Problem::Syntax(String::new()), false),
        ] {
            let error = ConfigError { origin: Origin::Configuration, field: String::new(), problem };
            assert_eq!(ConfigErrors(vec![error.clone()]).is_out_of_reach(), out_of_reach, "{error}");
        }
    }
}
