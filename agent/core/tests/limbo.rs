//! Holds the certificate verifier to x509-limbo, case by case.
//!
//! `data/x509-limbo.json` has the cases, `data/limbo-verdicts.json` the verifier's answer to each,
//! `data/limbo-divergences.json` the cases where the answer is not the expected one, each with its reason.
//! Nothing that should be refused may be accepted, except what only a revocation list could tell. An answer
//! that changes, an unlisted divergence and a listed one that is gone all fail.

#![expect(clippy::unwrap_used, reason = "test code")]

use std::collections::{BTreeMap, BTreeSet};

use agent_core::x509::{self, Limits, Validity};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use shared::UnixTime;

#[derive(Deserialize)]
struct Case {
    id: String,
    features: Vec<String>,
    expected: Expected,
    host: Option<String>,
    time: Option<String>,
    max_depth: Option<usize>,
    leaf: String,
    sent: Vec<String>,
    anchors: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Expected {
    Success,
    Failure,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Divergences {
    /// Should be accepted, but is refused.
    refused: BTreeMap<String, String>,
    /// Should be refused for what a revocation list says, but there is none on a device.
    no_revocation_list: BTreeMap<String, String>,
}

#[test]
fn every_verdict_is_the_expected_one_or_a_listed_divergence() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/x509-limbo.json")).unwrap();
    let divergences: Divergences = serde_json::from_str(include_str!("data/limbo-divergences.json")).unwrap();
    let verdicts: BTreeMap<String, String> =
        serde_json::from_str(include_str!("data/limbo-verdicts.json")).unwrap();

    let mut failures = Vec::new();
    let (mut accepted, mut refused) = (0, 0);
    let mut diverging = BTreeSet::new();
    let mut actual = BTreeMap::new();
    for case in &cases {
        let verdict = verdict(case);
        match (case.expected, verdict == ACCEPTED) {
            (Expected::Success, true) => accepted += 1,
            (Expected::Failure, false) => refused += 1,
            (Expected::Success, false) => {
                diverging.insert(case.id.as_str());
                match divergences.refused.get(&case.id) {
                    Some(reason) => println!("refused though good   {} ({verdict}): {reason}", case.id),
                    None => {
                        failures.push(format!("{} is refused ({verdict}) without a listed reason", case.id))
                    }
                }
            }
            (Expected::Failure, true) => {
                diverging.insert(case.id.as_str());
                match divergences.no_revocation_list.get(&case.id) {
                    Some(reason) if case.features.iter().any(|feature| feature == "has-crl") => {
                        println!("not applicable        {}: {reason}", case.id);
                    }
                    _ => failures.push(format!("{} is accepted and must be refused", case.id)),
                }
            }
        }
        if verdicts.get(&case.id).map(String::as_str) != Some(verdict) {
            let listed = verdicts.get(&case.id).map_or("not listed", String::as_str);
            failures.push(format!("{}: the verdict is {verdict}; listed: {listed}", case.id));
        }
        actual.insert(case.id.as_str(), verdict);
    }
    for id in divergences.refused.keys().chain(divergences.no_revocation_list.keys()) {
        if !diverging.contains(id.as_str()) {
            failures.push(format!("{id} is listed as a divergence and is none"));
        }
    }
    for id in verdicts.keys().filter(|id| !actual.contains_key(id.as_str())) {
        failures.push(format!("{id} has a listed verdict and is no case"));
    }
    println!(
        "{} cases: {accepted} accepted rightly, {refused} refused rightly, {} refused though good, \
         {} not applicable (no revocation list)",
        cases.len(),
        divergences.refused.len(),
        divergences.no_revocation_list.len(),
    );
    assert_eq!(cases.len(), 208);
    assert!(
        failures.is_empty(),
        "{}\nAll verdicts:\n{}",
        failures.join("\n"),
        serde_json::to_string_pretty(&actual).unwrap()
    );
}

const ACCEPTED: &str = "accepted";
/// For cases that name no time.
const NOW: &str = "2026-11-23T00:00:00";
/// For cases that name no host; the verifier always wants one.
const NO_HOST: &str = "host.invalid";

fn verdict(case: &Case) -> &'static str {
    let sent: Vec<Vec<u8>> =
        core::iter::once(&case.leaf).chain(&case.sent).map(|text| decode(text)).collect();
    let anchors: Vec<Vec<u8>> = case.anchors.iter().map(|text| decode(text)).collect();
    let sent: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
    let anchors: Vec<&[u8]> = anchors.iter().map(Vec::as_slice).collect();
    let default = Limits::default();
    let limits = Limits {
        intermediates: case.max_depth.map_or(default.intermediates, |most| most.min(default.intermediates)),
        ..default
    };
    let host = case.host.as_deref().unwrap_or(NO_HOST);
    let validity = Validity::At(time(case.time.as_deref().unwrap_or(NOW)));
    match x509::verify_server_within(&sent, &anchors, host, validity, limits) {
        Ok(_) => ACCEPTED,
        Err(reason) => reason.name(),
    }
}

fn decode(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

/// Reads `YYYY-MM-DDThh:mm:ss`, and leaves out what follows: fractions of a second, and the offset, which is
/// `+00:00` in every case.
fn time(text: &str) -> UnixTime {
    let (date_and_time, rest) = text.split_at(19);
    assert!(rest.is_empty() || rest.ends_with("+00:00"), "{text}");
    let fields: Vec<u64> = date_and_time.split(['-', 'T', ':']).map(|field| field.parse().unwrap()).collect();
    let [year, month, day, hour, minute, second] = *fields.as_slice() else { unreachable!("{text}") };
    UnixTime::from_civil(year, month, day, hour, minute, second).unwrap()
}
