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
    let corpus = Corpus::load();
    let verdicts: BTreeMap<&str, &str> =
        corpus.cases.iter().map(|case| (case.id.as_str(), verdict(case))).collect();
    println!("{}", corpus.summary(&verdicts));
    let failures = corpus.judge(&verdicts);
    assert_eq!(corpus.cases.len(), 208);
    assert!(
        failures.is_empty(),
        "{}\nAll verdicts:\n{}",
        failures.join("\n"),
        serde_json::to_string_pretty(&verdicts).unwrap()
    );
}

/// The test above can fail: a verifier that leaves any one of its checks out, and accepts what that one alone
/// refused, is found. So is one that is stricter than it was.
#[test]
fn a_check_that_is_left_out_is_found() {
    let corpus = Corpus::load();
    let real: BTreeMap<&str, &str> =
        corpus.cases.iter().map(|case| (case.id.as_str(), verdict(case))).collect();
    let reasons: BTreeSet<&str> = real.values().copied().filter(|verdict| *verdict != ACCEPTED).collect();
    assert!(reasons.len() > 10, "{reasons:?}");
    for left_out in reasons {
        let lax =
            real.iter().map(|(id, verdict)| (*id, if *verdict == left_out { ACCEPTED } else { verdict }));
        assert!(
            corpus.judge(&lax.collect()).iter().any(|failure| by_expectation(failure)),
            "stays green without {left_out}"
        );
    }
    let strict = real.keys().map(|id| (*id, "signature"));
    assert!(
        corpus.judge(&strict.collect()).iter().any(|failure| by_expectation(failure)),
        "stays green if all is refused"
    );
}

/// Whether the corpus itself tells, not only the record of what the verifier said before.
fn by_expectation(failure: &str) -> bool {
    !failure.contains(": the verdict is ")
}

struct Corpus {
    cases: Vec<Case>,
    divergences: Divergences,
    /// The verdicts that are on record.
    recorded: BTreeMap<String, String>,
}

impl Corpus {
    fn load() -> Self {
        Self {
            cases: serde_json::from_str(include_str!("data/x509-limbo.json")).unwrap(),
            divergences: serde_json::from_str(include_str!("data/limbo-divergences.json")).unwrap(),
            recorded: serde_json::from_str(include_str!("data/limbo-verdicts.json")).unwrap(),
        }
    }

    /// What is wrong with these verdicts.
    fn judge(&self, verdicts: &BTreeMap<&str, &str>) -> Vec<String> {
        let Self { cases, divergences, recorded } = self;
        let mut failures = Vec::new();
        let mut diverging = BTreeSet::new();
        for case in cases {
            let (id, verdict) = (case.id.as_str(), verdicts[case.id.as_str()]);
            match (case.expected, verdict == ACCEPTED) {
                (Expected::Success, true) | (Expected::Failure, false) => {}
                (Expected::Success, false) => {
                    diverging.insert(id);
                    if !divergences.refused.contains_key(id) {
                        failures.push(format!("{id} is refused ({verdict}) without a listed reason"));
                    }
                }
                (Expected::Failure, true) => {
                    diverging.insert(id);
                    let revoked = case.features.iter().any(|feature| feature == "has-crl");
                    if !(revoked && divergences.no_revocation_list.contains_key(id)) {
                        failures.push(format!("{id} is accepted and must be refused"));
                    }
                }
            }
            if recorded.get(id).map(String::as_str) != Some(verdict) {
                let listed = recorded.get(id).map_or("not listed", String::as_str);
                failures.push(format!("{id}: the verdict is {verdict}; listed: {listed}"));
            }
        }
        for id in divergences.refused.keys().chain(divergences.no_revocation_list.keys()) {
            if !diverging.contains(id.as_str()) {
                failures.push(format!("{id} is listed as a divergence and is none"));
            }
        }
        for id in recorded.keys().filter(|id| !verdicts.contains_key(id.as_str())) {
            failures.push(format!("{id} has a listed verdict and is no case"));
        }
        failures
    }

    /// The divergences with their reasons, and the figures.
    fn summary(&self, verdicts: &BTreeMap<&str, &str>) -> String {
        let mut lines = Vec::new();
        for (id, reason) in &self.divergences.refused {
            lines.push(format!("refused though good   {id} ({}): {reason}", verdicts[id.as_str()]));
        }
        for (id, reason) in &self.divergences.no_revocation_list {
            lines.push(format!("not applicable        {id}: {reason}"));
        }
        let accepted = verdicts.values().filter(|verdict| **verdict == ACCEPTED).count();
        let (too_strict, no_list) =
            (self.divergences.refused.len(), self.divergences.no_revocation_list.len());
        lines.push(format!(
            "{} cases: {} accepted rightly, {} refused rightly, {too_strict} refused though good, {no_list} not \
             applicable (no revocation list)",
            self.cases.len(),
            accepted - no_list,
            verdicts.len() - accepted - too_strict,
        ));
        lines.join("\n")
    }
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
