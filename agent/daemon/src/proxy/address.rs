//! Where the proxy listens. No other address than one of this machine can be said.

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;
use std::path::PathBuf;

/// Longest path of a socket that can be bound, in bytes: 107 (unix(7)) less what is added while it is made.
const MAX_PATH: usize = 100;

/// A place on this machine where programs reach the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP port of the loopback interface: for every user of this machine.
    Tcp(Loopback),
    /// A Unix socket: for those that its mode and owner let in.
    Unix(PathBuf),
}

/// An address of the loopback interface; there is no way to one of another interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loopback(SocketAddr);

impl Loopback {
    /// The address.
    #[must_use]
    pub const fn address(self) -> SocketAddr {
        self.0
    }
}

/// Why a text is no place to listen at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoListen {
    /// The address is not of the loopback interface.
    #[error(
        "not a loopback address: whoever reaches this port speaks to the broker as this device, without a password, \
         so it is never opened to the network; use 127.0.0.1, [::1] or a Unix socket"
    )]
    NotLoopback,
    /// The path is relative, empty or too long.
    #[error("expected an absolute path of at most {MAX_PATH} bytes after unix:")]
    Path,
    /// Something else.
    #[error(
        "expected a loopback address with a port, such as 127.0.0.1:1883 or [::1]:1883, or unix: and a path"
    )]
    Unknown,
}

impl FromStr for Listen {
    type Err = NoListen;

    fn from_str(text: &str) -> Result<Self, NoListen> {
        if let Some(path) = text.strip_prefix("unix:") {
            let fits = path.len() <= MAX_PATH && path.starts_with('/') && !path.ends_with('/');
            return if fits && !path.contains('\0') {
                Ok(Self::Unix(path.into()))
            } else {
                Err(NoListen::Path)
            };
        }
        // A name is not taken: what it stands for is decided elsewhere, and may change.
        let address: SocketAddr = text.parse().map_err(|_| NoListen::Unknown)?;
        if address.ip().is_loopback() { Ok(Self::Tcp(Loopback(address))) } else { Err(NoListen::NotLoopback) }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(Loopback(address)) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Listen, NoListen};
    use core::net::{IpAddr, SocketAddr};
    use proptest::prelude::*;

    #[test]
    fn places_of_this_machine_are_taken() {
        for good in ["127.0.0.1:1883", "127.8.8.8:0", "[::1]:1883", "unix:/run/agent/mqtt.sock"] {
            assert_eq!(good.parse::<Listen>().unwrap().to_string(), good);
        }
    }

    #[test]
    fn others_are_refused_with_the_reason() {
        for bad in
            ["0.0.0.0:1883", "[::]:1883", "192.0.2.1:1883", "[fe80::1]:1883", "[::ffff:127.0.0.1]:1883"]
        {
            let error = bad.parse::<Listen>().unwrap_err();
            assert_eq!(error, NoListen::NotLoopback, "{bad}");
            assert!(error.to_string().contains("never opened to the network"));
        }
        for bad in ["", "1883", "localhost:1883", "127.0.0.1", ":1883", "127.0.0.1:99999"] {
            assert_eq!(bad.parse::<Listen>(), Err(NoListen::Unknown), "{bad}");
        }
        let long = format!("unix:/{}", "x".repeat(100));
        for bad in ["unix:", "unix:mqtt.sock", "unix:/run/", "unix:/a\0b", &long] {
            assert_eq!(bad.parse::<Listen>(), Err(NoListen::Path), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_address_of_a_network_is_ever_taken(ip: IpAddr, port: u16) {
            let address = SocketAddr::new(ip, port);
            let taken = address.to_string().parse::<Listen>();
            prop_assert_eq!(taken.is_ok(), ip.is_loopback());
        }

        #[test]
        fn any_text_is_answered(text in ".{0,120}") {
            if let Ok(Listen::Tcp(address)) = text.parse::<Listen>() {
                prop_assert!(address.address().ip().is_loopback());
            }
        }
    }
}
