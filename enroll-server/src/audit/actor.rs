//! Who caused an event.

use core::fmt;

/// Who caused an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Actor {
    /// The server by itself.
    #[default]
    System,
    /// The device that the event is about; where no proof of it is needed to cause the event, someone in its name.
    Device,
    /// An operator at the command line: user and host, as the system tells them.
    Operator(String),
    /// Whoever holds the token of the admin API.
    AdminApi,
}

/// Longest name of an operator.
const MAX_OPERATOR: usize = 128;

impl Actor {
    /// The operator who runs this process: user and host. Told by the system and not proved; it tells operators
    /// apart who have nothing to hide.
    #[must_use]
    pub fn this_operator() -> Self {
        let user = rustix_user();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self::Operator(plain(&format!("{user}@{host}")))
    }
}

/// The name behind the real user id: environment variables can be set by anyone, so the id stands beside.
fn rustix_user() -> String {
    let id = rustix::process::getuid().as_raw();
    match std::env::var("USER") {
        Ok(name) if !name.is_empty() => format!("{name}({id})"),
        _ => format!("uid-{id}"),
    }
}

/// Printable ASCII, so that no name can break a line or a table.
fn plain(text: &str) -> String {
    let printable = |c: char| if c.is_ascii_graphic() { c } else { '_' };
    text.chars().map(printable).take(MAX_OPERATOR).collect()
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Device => f.write_str("device"),
            Self::Operator(name) => write!(f, "operator:{name}"),
            Self::AdminApi => f.write_str("admin-api"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Actor, plain};

    #[test]
    fn names_cannot_break_a_line() {
        assert_eq!(plain("a\nb c\u{1b}[1m@h"), "a_b_c_[1m@h");
        assert_eq!(plain(&"x".repeat(1_000)).len(), super::MAX_OPERATOR);
        let operator = Actor::this_operator().to_string();
        assert!(operator.starts_with("operator:") && operator.contains('@'), "{operator}");
    }
}
