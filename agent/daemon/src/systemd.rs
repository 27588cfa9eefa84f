//! Tells the service manager how the agent is: the datagrams of sd_notify(3).
//!
//! Where no service manager listens, nothing happens; a message that cannot be sent is left aside, because the
//! agent's own work goes on without it.

use core::time::Duration;
use std::collections::BTreeMap;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;

/// Sends states to the service manager. Clones share one socket.
#[derive(Clone, Debug, Default)]
pub struct Notifier(Option<Arc<Target>>);

#[derive(Debug)]
struct Target {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Notifier {
    /// A notifier that nobody listens to.
    #[must_use]
    pub const fn silent() -> Self {
        Self(None)
    }

    /// Speaks to the socket that `NOTIFY_SOCKET` names: a path, or an abstract name after `@`.
    #[must_use]
    pub fn from_environment(environment: &BTreeMap<String, String>) -> Self {
        let target = environment.get("NOTIFY_SOCKET").and_then(|name| {
            let address = match name.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(name),
            };
            let socket = UnixDatagram::unbound().ok()?;
            // A full queue must never stop the agent.
            socket.set_nonblocking(true).ok()?;
            Some(Arc::new(Target { socket, address: address.ok()? }))
        });
        Self(target)
    }

    /// Sends one state, for example `READY=1`.
    pub fn notify(&self, state: &str) {
        let Some(target) = &self.0 else { return };
        if let Err(error) = target.socket.send_to_addr(state.as_bytes(), &target.address) {
            tracing::debug!(%error, state, "the service manager was not told");
        }
    }

    /// Sends a sentence for `systemctl status`.
    pub fn status(&self, sentence: &str) {
        self.notify(&format!("STATUS={}", sentence.replace('\n', " ")));
    }
}

/// After how long without a sign of life the service manager restarts this process, if it does.
#[must_use]
pub fn watchdog_period(environment: &BTreeMap<String, String>, process: u32) -> Option<Duration> {
    let meant = environment.get("WATCHDOG_PID").is_none_or(|pid| pid.parse() == Ok(process));
    let microseconds = environment.get("WATCHDOG_USEC")?.parse().ok().filter(|period| *period > 0)?;
    meant.then(|| Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::{Notifier, watchdog_period};
    use crate::heartbeat::Heartbeat;
    use core::time::Duration;
    use std::collections::BTreeMap;
    use std::os::unix::net::UnixDatagram;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn states_arrive_and_the_watchdog_hears_of_every_half_period() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let notifier = Notifier::from_environment(&environment(&[("NOTIFY_SOCKET", path.to_str().unwrap())]));
        let next = || {
            let mut buffer = [0; 100];
            manager.recv(&mut buffer).ok().map(|n| String::from_utf8(buffer[..n].to_vec()).unwrap())
        };
        notifier.status("all\nwell");
        assert_eq!(next().as_deref(), Some("STATUS=all well"));

        let heartbeat = Heartbeat::new(notifier, Duration::from_secs(10));
        for expected in [Some("WATCHDOG=1"), None, Some("WATCHDOG=1"), None] {
            heartbeat.beat();
            assert_eq!(next().as_deref(), expected);
            tokio::time::advance(Duration::from_secs(3)).await;
        }
    }

    #[test]
    fn the_watchdog_is_meant_for_one_process() {
        assert_eq!(watchdog_period(&environment(&[]), 7), None);
        let both = environment(&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "7")]);
        assert_eq!(watchdog_period(&both, 7), Some(Duration::from_secs(30)));
        assert_eq!(watchdog_period(&both, 8), None);
        assert_eq!(watchdog_period(&environment(&[("WATCHDOG_USEC", "0")]), 7), None);
    }

    #[test]
    fn without_a_service_manager_nothing_happens() {
        Notifier::silent().notify("READY=1");
        Notifier::from_environment(&environment(&[("NOTIFY_SOCKET", "/nowhere/at/all")])).notify("READY=1");
    }
}
