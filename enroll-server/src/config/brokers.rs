//! `[broker]`, `[[brokers]]` and `[assignment]`: the brokers there are, and who gets which.

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use appraisal::GroupName;
use appraisal::policy::is_host;

use super::reader::{Reader, Section, duration, number, text};

use super::Broker;
use crate::outgoing::Target;

/// A broker with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedBroker {
    /// What rules and webhooks call it.
    pub name: String,
    /// Its share of the devices, where they are assigned by weight.
    pub weight: u32,
    /// What devices are told.
    pub broker: Broker,
}

/// Who gets which broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// For groups without a rule of their own.
    pub default: Rule,
    /// By group.
    pub groups: BTreeMap<GroupName, Rule>,
}

/// How a broker is found for a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// A service that is asked first.
    pub webhook: Option<AssignmentService>,
    /// What decides without one, or where it does not answer well.
    pub choice: Choice,
}

/// How a broker is chosen here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// This one.
    Fixed(String),
    /// By a hash of the device's identifier, each broker by its weight.
    #[default]
    Weighted,
    /// By a hash of the device's identifier, all alike.
    Hash,
}

/// A service of the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignmentService {
    /// Where it is.
    pub url: Target,
    /// How long it is waited for.
    pub timeout: Duration,
    /// CA certificates it is verified with; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
}

const NAME: &str = "1 to 32 letters, digits and hyphens";
const RULE: &str = "\"fixed\", \"weighted\", \"hash\" or \"webhook\"";

/// Reads `[[brokers]]`; what one does not say is as in `[broker]`.
pub(super) fn list<'t>(
    reader: &mut Reader<'t>,
    root: &mut Section<'t>,
    default: &Broker,
    topic: impl Fn(&str) -> bool,
) -> Vec<NamedBroker> {
    let mut list: Vec<NamedBroker> = Vec::new();
    for mut section in reader.sections(root, "brokers") {
        let name = reader.required(&mut section, "name", NAME, |value| {
            text(value, NAME, |found| {
                let good = (1..=32).contains(&found.len())
                    && found.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                    && list.iter().all(|other| other.name != found);
                good.then(|| found.to_owned())
            })
        });
        let wanted = "a host name or an IP address";
        let host = reader.required(&mut section, "host", wanted, |value| {
            text(value, wanted, |found| is_host(found).then(|| found.to_owned()))
        });
        let port = reader.field(&mut section, "port", |value| number(value, 1, 65_535));
        let weight = reader.field(&mut section, "weight", |value| number(value, 1, 1_000_000));
        let mut template = |name: &str, default: &str| {
            let found = reader.field(&mut section, name, |value| {
                text(value, "a topic with \"{id}\", without \"+\" and \"#\"", |found| {
                    topic(found).then(|| found.to_owned())
                })
            });
            found.unwrap_or_else(|| default.to_owned())
        };
        let telemetry_topic = template("telemetry_topic", &default.telemetry_topic);
        let status_topic = template("status_topic", &default.status_topic);
        let command_topic = template("command_topic", &default.command_topic);
        let keep_alive = reader.field(&mut section, "keep_alive", |value| {
            duration(value, Duration::from_secs(5), Duration::from_secs(65_535))
        });
        reader.close(
            section,
            "name, host, port, weight, telemetry_topic, status_topic, command_topic and keep_alive",
        );
        list.push(NamedBroker {
            name: name.unwrap_or_default(),
            weight: weight.and_then(|weight| u32::try_from(weight).ok()).unwrap_or(1),
            broker: Broker {
                host: host.unwrap_or_default(),
                port: port.and_then(|port| u16::try_from(port).ok()).unwrap_or(default.port),
                telemetry_topic,
                status_topic,
                command_topic,
                keep_alive: keep_alive.unwrap_or(default.keep_alive),
            },
        });
    }
    list
}

/// Reads `[assignment]` and `[assignment.groups.NAME]`.
pub(super) fn assignment<'t>(
    reader: &mut Reader<'t>,
    root: &mut Section<'t>,
    list: &[NamedBroker],
    folder: &Path,
) -> Assignment {
    let mut section = reader.section(root, "assignment");
    let mut groups = BTreeMap::new();
    let mut inner = reader.section(&mut section, "groups");
    for name in inner.names() {
        let mut section = reader.section(&mut inner, &name);
        let found = rule(reader, &mut section, list, folder);
        match name.parse::<GroupName>() {
            Ok(group) => {
                groups.insert(group, found);
            }
            Err(error) => reader.wrong(&section, error.to_string()),
        }
        reader.close(section, FIELDS);
    }
    let default = rule(reader, &mut section, list, folder);
    reader.close(section, "rule, broker, url, timeout, ca_file, fallback and the table groups");
    Assignment { default, groups }
}

const FIELDS: &str = "rule, broker, url, timeout, ca_file and fallback";

fn rule<'t>(reader: &mut Reader<'t>, section: &mut Section<'t>, list: &[NamedBroker], folder: &Path) -> Rule {
    let names: Vec<_> = list.iter().map(|broker| broker.name.as_str()).collect();
    let known = format!("the name of one of [[brokers]]: {}", names.join(", "));
    let named = |found: &str| names.contains(&found).then(|| found.to_owned());
    let kind = reader.field(section, "rule", |value| {
        text(value, RULE, |found| {
            matches!(found, "fixed" | "weighted" | "hash" | "webhook").then(|| found.to_owned())
        })
    });
    let choice = |found: &str| match found {
        "weighted" => Some(Choice::Weighted),
        "hash" => Some(Choice::Hash),
        name => named(name).map(Choice::Fixed),
    };
    match kind.as_deref() {
        Some("fixed") => {
            let name = reader.required(section, "broker", &known, |value| text(value, &known, named));
            Rule { webhook: None, choice: name.map(Choice::Fixed).unwrap_or_default() }
        }
        Some("hash") => Rule { webhook: None, choice: Choice::Hash },
        Some("webhook") => {
            let wanted = "an address such as https://hooks.example/broker, or http:// to this machine";
            let url = reader.required(section, "url", wanted, |value| {
                text(value, wanted, |found| Target::parse(found).ok())
            });
            let timeout = reader.field(section, "timeout", |value| {
                duration(value, Duration::from_millis(50), Duration::from_secs(10))
            });
            let ca_file = reader.field(section, "ca_file", |value| {
                text(value, "a path", |found| (!found.is_empty()).then(|| folder.join(found)))
            });
            let wanted = format!("\"weighted\", \"hash\" or {known}");
            let fallback = reader.field(section, "fallback", |value| text(value, &wanted, choice));
            let timeout = timeout.unwrap_or(Duration::from_secs(2));
            Rule {
                webhook: url.map(|url| AssignmentService { url, timeout, ca_file }),
                choice: fallback.unwrap_or_default(),
            }
        }
        _ => Rule::default(),
    }
}
