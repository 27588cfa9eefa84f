//! `policy explain` has to name the rule that refused a request: from the request itself, and from what the server
//! recorded of the device.

use serde_json::Value as Json;
use shared::Reject;

use super::{Spoil, Subject};
use crate::harness::wait::until;
use crate::harness::world::World;

/// Checks both explanations of a request that was just refused.
///
/// # Panics
/// Where either names another rule.
pub(super) fn check(
    world: &World,
    subject: &impl Subject,
    fault: Option<Spoil>,
    request: &[u8],
    (reject, rule): (Reject, &str),
) {
    let file = world.path("refused-request");
    std::fs::write(&file, request).expect("to write the request");
    let file = file.to_str().expect("a path in UTF-8");
    let explained = world.server_json(&["policy", "explain", "--evidence", file]);
    let what = format!("{:?}, {fault:?}: {explained:#}", subject.kind());
    assert_eq!(explained["rule"], rule, "{what}");
    assert_eq!(explained["refusal"], reject.name(), "{what}");
    assert_eq!(explained["outcome"], "refused", "{what}");
    let rules = explained["rules"].as_array().expect("rules");
    let refuses = |found: &&Json| found["rule"] == rule && found["verdict"] == "refused";
    assert!(rules.iter().any(|found| refuses(&found)), "{what}");
    // A message that cannot be read is of nobody: there is no device to record it for.
    if rule == "message" {
        return;
    }
    let device = subject.device().as_str();
    until(&format!("a record of {device} with the rule {rule} ({fault:?})"), || {
        let recorded = world.server(&["policy", "explain", "--device", device, "--json"]);
        let recorded: Json = serde_json::from_str(&recorded.stdout).ok()?;
        let newest = recorded.get(0)?;
        let same = newest["rule"] == rule
            && newest["refusal"] == reject.name()
            && newest["evidence_sha256"] == explained["evidence_sha256"];
        same.then_some(())
    });
}
