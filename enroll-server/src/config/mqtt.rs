//! `[mqtt]`: the server's own place at the brokers.

use core::time::Duration;
use std::path::{Path, PathBuf};

use super::reader::{Reader, Section, duration, flag, number, text};

/// How devices are told of what is wanted of them: by commands through their brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mqtt {
    /// The server's client certificate at the brokers, PEM, with the certificates above it. The server makes it, and
    /// renews it, unless there is one under another name.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// CA certificates that the brokers' certificates lead to, PEM; `None`: the root CA.
    pub ca_file: Option<PathBuf>,
    /// Most commands in a second, over all brokers.
    pub rate: u32,
    /// When a device that was told and did not renew is told again; doubles each time, up to a day.
    pub again: Duration,
    /// Deadline of a connection, and of one acknowledgement.
    pub timeout: Duration,
}

const FIELDS: &str = "enabled, certificate, key, ca_file, rate, again and timeout";

/// Off unless it is switched on.
pub(super) fn read<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>, folder: &Path) -> Option<Mqtt> {
    let mut section = reader.section(root, "mqtt");
    let enabled = reader.field(&mut section, "enabled", flag).unwrap_or(false);
    let path = |value: &_| text(value, "a path", |found| (!found.is_empty()).then(|| folder.join(found)));
    let certificate = reader.field(&mut section, "certificate", path);
    let key = reader.field(&mut section, "key", path);
    let ca_file = reader.field(&mut section, "ca_file", path);
    let rate = reader.field(&mut section, "rate", |value| number(value, 1, 10_000));
    let second = Duration::from_secs(1);
    let again =
        reader.field(&mut section, "again", |value| duration(value, second, Duration::from_secs(86_400)));
    let timeout = reader.field(&mut section, "timeout", |value| duration(value, second, 60 * second));
    reader.close(section, FIELDS);
    enabled.then(|| Mqtt {
        certificate: certificate.unwrap_or_else(|| folder.join("mqtt-client.crt")),
        key: key.unwrap_or_else(|| folder.join("mqtt-client.key")),
        ca_file,
        rate: rate.and_then(|rate| u32::try_from(rate).ok()).unwrap_or(50),
        again: again.unwrap_or(Duration::from_secs(900)),
        timeout: timeout.unwrap_or(10 * second),
    })
}
