//! `[traces]`: where spans are sent.

use core::time::Duration;
use std::path::{Path, PathBuf};

use super::reader::{Reader, Section, duration, flag, number, share, text};
use crate::outgoing::Target;

/// Where spans of traces are sent, and of which requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// The collector, with the path: OTLP over HTTP, protobuf.
    pub collector: Target,
    /// Headers that the collector wants, which are secret: a file of mode 0600.
    pub headers_file: Option<PathBuf>,
    /// CA certificates that are believed instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The share of requests that begin a trace, from 0 to 1; the others have none.
    pub ratio: f64,
    /// Deadline of one attempt to send.
    pub timeout: Duration,
    /// Most spans that wait to be sent; more are dropped.
    pub queue: usize,
    /// Whether a trace that a device says it is in is believed. That of an operator's call is in any case.
    pub from_devices: bool,
}

const FIELDS: &str = "endpoint, headers_file, ca_file, ratio, timeout, queue and from_devices";
const ENDPOINT: &str = "\"off\", or an address such as https://collector.example:4318/v1/traces; http:// goes to this \
                        machine only";

/// Off unless an endpoint is named.
pub(super) fn read<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>, folder: &Path) -> Option<Traces> {
    let mut section = reader.section(root, "traces");
    let collector =
        reader.field(&mut section, "endpoint", |value| {
            text(value, ENDPOINT, |found| {
                if found == "off" { Some(None) } else { Target::parse(found).ok().map(Some) }
            })
        });
    let path = |value: &_| text(value, "a path", |found| (!found.is_empty()).then(|| folder.join(found)));
    let headers_file = reader.field(&mut section, "headers_file", path);
    let ca_file = reader.field(&mut section, "ca_file", path);
    let ratio = reader.field(&mut section, "ratio", share);
    let second = Duration::from_secs(1);
    let timeout = reader.field(&mut section, "timeout", |value| duration(value, second, 60 * second));
    let queue = reader.field(&mut section, "queue", |value| number(value, 64, 1_000_000));
    let from_devices = reader.field(&mut section, "from_devices", flag);
    reader.close(section, FIELDS);
    Some(Traces {
        collector: collector.flatten()?,
        headers_file,
        ca_file,
        ratio: ratio.unwrap_or(0.01),
        timeout: timeout.unwrap_or(5 * second),
        queue: queue.and_then(|queue| usize::try_from(queue).ok()).unwrap_or(4_096),
        from_devices: from_devices.unwrap_or(false),
    })
}
