//! Everything the command line prints: answers to standard output, complaints to standard error.

use core::error::Error;
use std::io::{self, IsTerminal as _, Write};

use agent_core::flow::{IdentityStatus, Status};
use agent_core::platform::Slot;
use serde::Serialize;
use shared::Reject;

use crate::live::Snapshot;
use crate::startup::StartError;

/// Prints an answer.
pub(super) fn say(text: &str) -> Result<(), StartError> {
    answer(&format!("{text}\n"))
}

/// Prints what clap answers, such as the help, coloured on a terminal.
pub(super) fn help(coloured: &str, plain: &str) -> Result<(), StartError> {
    answer(if io::stdout().is_terminal() { coloured } else { plain })
}

/// Prints the mistake that clap found, coloured on a terminal.
pub(super) fn complain(coloured: &str, plain: &str) {
    mention(if io::stderr().is_terminal() { coloured } else { plain });
}

/// Prints why a command failed.
pub(super) fn failure(text: &str) {
    mention(&format!("agent: {text}\n"));
}

/// Writes as far as somebody reads: a reader that has seen enough, such as `head`, is no failure. A full disk is one:
/// whoever keeps answers in files would take a part for the whole.
fn answer(text: &str) -> Result<(), StartError> {
    match put(io::stdout(), text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(StartError::Answer(error)),
        _ => Ok(()),
    }
}

/// Where standard error takes nothing, there is nobody left to tell; the exit status says the same.
fn mention(text: &str) {
    let _heard = put(io::stderr(), text);
}

fn put(mut out: impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// What `agent status --json` prints.
#[derive(Debug, Serialize)]
struct StatusJson<'a> {
    device: &'a str,
    phase: &'static str,
    identity: Option<IdentityJson>,
    candidate: Option<IdentityJson>,
    last_refusal: Option<RefusalJson>,
    trust_bundle: Option<u64>,
    running: Option<&'a Snapshot>,
}

#[derive(Debug, Serialize)]
struct IdentityJson {
    slot: &'static str,
    serial: String,
    not_before: String,
    not_after: String,
    renew_at: String,
    accepted: bool,
}

#[derive(Debug, Serialize)]
struct RefusalJson {
    code: u16,
    name: Option<&'static str>,
    operator: Option<&'static str>,
}

/// The status as one line of JSON.
pub(super) fn status_json(status: &Status, running: Option<&Snapshot>) -> Result<String, serde_json::Error> {
    serde_json::to_string(&StatusJson {
        device: status.device.as_str(),
        phase: status.phase.name(),
        identity: status.identity.as_ref().map(identity_json),
        candidate: status.candidate.as_ref().map(identity_json),
        last_refusal: status.last_refusal.map(|code| {
            let reject = Reject::from_code(code);
            RefusalJson {
                code,
                name: reject.map(Reject::name),
                operator: reject.map(Reject::operator_action),
            }
        }),
        trust_bundle: status.trust_number,
        running,
    })
}

/// The status for people.
pub(super) fn status_text(status: &Status, running: Option<&Snapshot>) -> String {
    let mut lines = vec![("device", status.device.to_string()), ("state", status.phase.name().to_owned())];
    lines.push(("agent", running.map_or_else(|| "not running".to_owned(), running_text)));
    if let Some(trouble) = running.and_then(|snapshot| snapshot.trouble.as_deref()) {
        lines.push(("trouble", trouble.to_owned()));
    }
    match &status.identity {
        Some(identity) => {
            lines.push(("certificate", identity_text(identity)));
            lines.push(("renews", identity.renew_at.to_string()));
        }
        None => lines.push(("certificate", "none".to_owned())),
    }
    if let Some(candidate) = &status.candidate {
        lines.push(("on trial", identity_text(candidate)));
    }
    if let Some(code) = status.last_refusal {
        lines.push(("refused", refusal_text(code)));
    }
    let trust = status.trust_number.map_or_else(|| "none".to_owned(), |number| format!("number {number}"));
    lines.push(("trust bundle", trust));
    lines.iter().map(|(name, value)| format!("{name:<13} {value}")).collect::<Vec<_>>().join("\n")
}

/// A refusal's name and what the operator does.
pub(super) fn refusal_text(code: u16) -> String {
    match Reject::from_code(code) {
        Some(reject) => format!("{} ({code}). {}", reject.name(), reject.operator_action()),
        None => format!("code {code}, which this version does not know; see the server's log"),
    }
}

fn running_text(snapshot: &Snapshot) -> String {
    let connection =
        if snapshot.connected { "connected to the broker" } else { "not connected to the broker" };
    format!("running as process {}, {connection}, {} publications", snapshot.process, snapshot.published)
}

fn identity_text(identity: &IdentityStatus) -> String {
    format!(
        "serial {}, valid {} to {}{}",
        serial(&identity.serial),
        identity.not_before,
        identity.not_after,
        if identity.accepted { ", accepted by the broker" } else { ", not yet accepted by the broker" }
    )
}

fn identity_json(identity: &IdentityStatus) -> IdentityJson {
    IdentityJson {
        slot: match identity.slot {
            Slot::A => "a",
            Slot::B => "b",
        },
        serial: serial(&identity.serial),
        not_before: identity.not_before.to_string(),
        not_after: identity.not_after.to_string(),
        renew_at: identity.renew_at.to_string(),
        accepted: identity.accepted,
    }
}

/// The serial number as the enrollment server prints it and takes it: hexadecimal, without a leading zero octet.
pub(crate) fn serial(octets: &[u8]) -> String {
    let octets = octets.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(octets);
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
