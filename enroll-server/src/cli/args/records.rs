//! What can be written behind `cert` and `event`: what the server wrote down.

use core::time::Duration;
use std::path::PathBuf;

use ca::Serial;
use ca::crl::Reason;
use clap::Subcommand;
use shared::DeviceId;

use super::device::reason;
use super::values::{self, Part};
use crate::audit::{EventKind, Severity};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Cert {
    /// List certificates, the newest first, page by page.
    List {
        /// Only those of this device.
        #[arg(long)]
        device: Option<DeviceId>,
        #[command(flatten)]
        part: Part,
    },
    /// Show one certificate and the evidence it was issued on.
    Show {
        /// Its serial number, 32 hexadecimal digits.
        serial: Serial,
    },
    /// Revoke a certificate that is no device's, for good: a broker's, a server's, or this server's own at brokers.
    ///
    /// It goes on the complete list of its CA, which brokers read, and OCSP says so. Devices look at no list: whoever has the
    /// key of a broker or a server can play it towards them until the certificate ends or the CA is replaced.
    Revoke {
        /// The certificate in PEM; of several in the file, the first.
        #[arg(long, value_name = "FILE")]
        certificate: PathBuf,
        /// Why: unspecified, key-compromise, affiliation-changed, superseded, cessation-of-operation or
        /// privilege-withdrawn.
        #[arg(long, default_value = "unspecified", value_parser = reason)]
        reason: Reason,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Event {
    /// List the latest events, newest first.
    List {
        #[command(flatten)]
        filter: EventFilter,
        /// How many at most.
        #[arg(long, default_value_t = 50)]
        count: u32,
    },
    /// Print events as they happen, until it is stopped; with --json one object a line.
    Follow {
        #[command(flatten)]
        filter: EventFilter,
    },
    /// List the kinds of events: what each means, and what to do.
    Kinds,
}

/// Which events.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct EventFilter {
    /// Only this kind; may be repeated. `event kinds` lists them.
    #[arg(long = "kind", value_name = "KIND", value_parser = event_kind)]
    pub(in crate::cli) kinds: Vec<EventKind>,
    /// Only those about this device.
    #[arg(long)]
    pub(in crate::cli) device: Option<DeviceId>,
    /// Only those of the time since, such as 7d, 12h or 30m ago.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub(in crate::cli) since: Option<Duration>,
    /// Only those at least so severe: info, notice, warning or critical.
    #[arg(long, value_parser = severity)]
    pub(in crate::cli) severity: Option<Severity>,
}

fn event_kind(text: &str) -> Result<EventKind, String> {
    EventKind::from_name(text).ok_or_else(|| "there is no such kind; `event kinds` lists them".to_owned())
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::from_name(text).ok_or_else(|| "expected info, notice, warning or critical".to_owned())
}
