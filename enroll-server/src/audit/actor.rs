//! Who caused an event, from where, and by what.

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
    /// Whoever holds a credential of the admin API: its name.
    AdminApi(String),
    /// Who signed in to the dashboard: label and session, as `ada/5f3a9c`.
    Dashboard(String),
}

/// Name of the credential that `init` makes for the admin API, and of the only one so far.
pub const ADMIN_TOKEN: &str = "admin-token";

/// Who causes changes, from where, and by what: an administrator's call, as the audit trail has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub actor: Actor,
    /// From where.
    pub source: Option<String>,
    /// By what: a call of the API or a command line.
    pub action: Option<String>,
}

tokio::task_local! {
    static UNDER_WAY: Caller;
}

impl Caller {
    /// The server by itself.
    pub(crate) const SYSTEM: Self = Self { actor: Actor::System, source: None, action: None };

    /// The operator who runs this process, with its command line. No argument of ours holds a secret: those come from
    /// files, the environment or the terminal.
    #[must_use]
    pub fn this_operator() -> Self {
        // `SSH_CONNECTION` is set by sshd: client address, client port, and the server's.
        let remote = std::env::var("SSH_CONNECTION").ok();
        let remote =
            remote.as_deref().and_then(|text| text.split(' ').next()).filter(|text| !text.is_empty());
        let source = remote.map_or_else(|| "local".to_owned(), |client| plain(&format!("ssh:{client}")));
        Self {
            actor: Actor::this_operator(),
            source: Some(source),
            action: Some(command_line(std::env::args())),
        }
    }

    /// A call of the admin API.
    #[must_use]
    pub fn of_call(
        credential: &str,
        peer: Option<core::net::SocketAddr>,
        method: &str,
        target: &str,
    ) -> Self {
        Self::over_http(Actor::AdminApi(credential.to_owned()), peer, method, target)
    }

    /// A request to the dashboard; `label` and `session` are of who signed in, `path` has no query.
    #[must_use]
    pub fn of_dashboard(
        label: &str,
        session: &str,
        peer: Option<core::net::SocketAddr>,
        method: &str,
        path: &str,
    ) -> Self {
        Self::over_http(Actor::Dashboard(plain(&format!("{label}/{session}"))), peer, method, path)
    }

    fn over_http(actor: Actor, peer: Option<core::net::SocketAddr>, method: &str, target: &str) -> Self {
        let action = text(&format!("{method} {target}"));
        Self { actor, source: peer.map(|peer| peer.to_string()), action: Some(action) }
    }

    /// Runs `call`, in which everything that is changed is caused by this caller: no function in between has to hand
    /// it on, and none can forget to. What `call` leaves to other tasks is not.
    pub async fn during<F: Future>(self, call: F) -> F::Output {
        UNDER_WAY.scope(self, call).await
    }

    /// The call that is under way in this task.
    pub(crate) fn of_this_task() -> Option<Self> {
        UNDER_WAY.try_with(Clone::clone).ok()
    }
}

impl From<Actor> for Caller {
    fn from(actor: Actor) -> Self {
        Self { actor, source: None, action: None }
    }
}

/// The words of a command, as they can be typed again; without the folder of the program.
fn command_line(words: impl Iterator<Item = String>) -> String {
    let quoted = |(place, word): (usize, String)| {
        if place == 0 {
            return word.rsplit('/').next().unwrap_or_default().to_owned();
        }
        let bare = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/@+%".contains(c);
        if !word.is_empty() && word.chars().all(bare) { word } else { format!("'{word}'") }
    };
    let words: Vec<String> = words.enumerate().map(quoted).collect();
    text(&words.join(" "))
}

/// Longest name of an operator.
const MAX_OPERATOR: usize = 128;
/// Longest call or command line that is kept; what is longer is cut off.
const MAX_ACTION: usize = 400;

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

/// As [`plain`], with spaces.
fn text(text: &str) -> String {
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '_' };
    text.chars().map(printable).take(MAX_ACTION).collect()
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Device => f.write_str("device"),
            Self::Operator(name) => write!(f, "operator:{name}"),
            Self::AdminApi(credential) => write!(f, "admin-api:{credential}"),
            Self::Dashboard(who) => write!(f, "dashboard:{who}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Actor, Caller, command_line, plain};

    #[test]
    fn names_cannot_break_a_line() {
        assert_eq!(plain("a\nb c\u{1b}[1m@h"), "a_b_c_[1m@h");
        assert_eq!(plain(&"x".repeat(1_000)).len(), super::MAX_OPERATOR);
        let operator = Actor::this_operator().to_string();
        assert!(operator.starts_with("operator:") && operator.contains('@'), "{operator}");
    }

    #[test]
    fn a_call_is_one_line_of_bounded_length() {
        let words = ["/usr/bin/enroll-server", "device", "deny", "SN-1", "--reason", "not\nours", "--json"];
        let line = command_line(words.iter().map(|word| (*word).to_owned()));
        assert_eq!(line, "enroll-server device deny SN-1 --reason 'not_ours' --json");
        let peer = "192.0.2.7:4711".parse().ok();
        let call = Caller::of_call("admin-token", peer, "POST", "/admin/v1/x\u{1b}[1m");
        assert_eq!(call.action.as_deref(), Some("POST /admin/v1/x_[1m"));
        assert_eq!(call.source.as_deref(), Some("192.0.2.7:4711"));
        assert_eq!(call.actor.to_string(), "admin-api:admin-token");
        assert_eq!(command_line(core::iter::repeat_n("word".to_owned(), 1_000)).len(), super::MAX_ACTION);
    }

    #[tokio::test]
    async fn a_call_ends_with_its_future() {
        let call = Caller::of_call("admin-token", None, "GET", "/");
        let seen = call.clone().during(async { Caller::of_this_task() }).await;
        assert_eq!((seen, Caller::of_this_task()), (Some(call), None));
    }
}
