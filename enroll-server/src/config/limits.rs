//! `[limits]`: deadlines, caps and rates.

use core::time::Duration;
use std::collections::BTreeMap;

use super::Limits;
use super::reader::{Reader, Section, duration, number, text};
use crate::admission::AdmissionLimits;
use crate::store::Rate;
use appraisal::GroupName;

const HOUR: Duration = Duration::from_secs(3_600);

const FIELDS: &str = "connections, reserve, handshakes, per_address, address_rate, requests, bodies_mib, rate, \
                      identity_rate, group_rate, longest_wait, handshake, header, body, request, connection, shutdown, \
                      store_mib and the table groups";

pub(super) fn read<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>) -> (Limits, AdmissionLimits) {
    let mut section = reader.section(root, "limits");
    let groups = groups(reader, &mut section);
    let limits = deadlines(reader, &mut section);
    let default = AdmissionLimits::default();
    let mut count = |name: &str, low: u64, default: usize| {
        let found = reader.field(&mut section, name, |value| number(value, low, 1_000_000));
        found.and_then(|found| usize::try_from(found).ok()).unwrap_or(default)
    };
    let connections = count("connections", 1, default.connections);
    let admission = AdmissionLimits {
        connections,
        reserve: count("reserve", 0, default.reserve),
        // Where more connections are allowed, so are more that are not far yet.
        handshakes: count("handshakes", 1, default.handshakes.max(connections / 4 * 3)),
        per_address: count("per_address", 1, default.per_address.max(connections / 4)),
        requests: count("requests", 1, default.requests),
        bodies: count("bodies_mib", 1, default.bodies >> 20) << 20,
        ..default
    };
    let mut rate = |name: &str, default: Option<Rate>| {
        reader.field(&mut section, name, |value| text(value, RATE, rate_or_off)).unwrap_or(default)
    };
    let admission = AdmissionLimits {
        address_rate: rate("address_rate", admission.address_rate),
        rate: rate("rate", admission.rate),
        identity_rate: rate("identity_rate", admission.identity_rate),
        group_rate: rate("group_rate", admission.group_rate),
        groups,
        ..admission
    };
    let wait = reader
        .field(&mut section, "longest_wait", |value| duration(value, Duration::from_secs(60), 24 * HOUR));
    reader.close(section, FIELDS);
    (limits, AdmissionLimits { longest_wait: wait.unwrap_or(admission.longest_wait), ..admission })
}

fn deadlines<'t>(reader: &mut Reader<'t>, section: &mut Section<'t>) -> Limits {
    let default = Limits::default();
    let mut deadline = |name: &str, default: Duration| {
        let found = reader.field(section, name, |value| duration(value, Duration::from_millis(100), HOUR));
        found.unwrap_or(default)
    };
    let limits = Limits {
        handshake: deadline("handshake", default.handshake),
        header: deadline("header", default.header),
        body: deadline("body", default.body),
        request: deadline("request", default.request),
        connection: deadline("connection", default.connection),
        shutdown: deadline("shutdown", default.shutdown),
        store_mib: None,
    };
    let store_mib = reader.field(section, "store_mib", |value| number(value, 1, 1_000_000));
    Limits { store_mib: store_mib.and_then(|mib| u32::try_from(mib).ok()), ..limits }
}

fn groups<'t>(reader: &mut Reader<'t>, section: &mut Section<'t>) -> BTreeMap<GroupName, Rate> {
    let mut table = reader.section(section, "groups");
    let mut groups = BTreeMap::new();
    for name in table.names() {
        match name.parse::<GroupName>() {
            Ok(group) => {
                let rate = reader.field(&mut table, &name, |value| {
                    text(value, "a rate such as \"5/s\"", |found| found.parse().ok())
                });
                groups.extend(rate.map(|rate| (group, rate)));
            }
            Err(error) => reader.mistake(&table, &name, format!("is no name of a group: {error}")),
        }
    }
    let known: Vec<String> = groups.keys().map(ToString::to_string).collect();
    reader.close(table, &known.join(", "));
    groups
}

const RATE: &str = "a rate such as \"1000/s\", \"600/m\" or \"5000/h\", or \"off\"";

fn rate_or_off(text: &str) -> Option<Option<Rate>> {
    if text == "off" { Some(None) } else { text.parse().ok().map(Some) }
}
