//! `policy show`, `policy status` and `policy promote`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use appraisal::GroupName;
use appraisal::policy::PolicySet;
use serde_json::{Value, json};

use super::super::args::Global;
use super::super::failure::Failure;
use super::super::output::Output;
use crate::admin::Admin;
use crate::config::Config;
use crate::files;
use crate::issuance::chain;
use crate::policies::{InForce, PolicyFiles, Report, previous_of};
use crate::store::{Difference, Ruled};

pub(super) fn show(
    global: &Global,
    group: &GroupName,
    candidate: bool,
    output: &Output,
) -> Result<(), Failure> {
    let config = Config::load(&global.config)?;
    let in_force = PolicyFiles::of(&config.files).read()?;
    let nothing = |what: &str| Failure::Nothing { what: format!("{what} of the group '{group}'") };
    let of_group = in_force.set.for_group(group).ok_or_else(|| nothing("policy"))?;
    let (policy, digest, rollout) = if candidate {
        let candidate = of_group.candidate().ok_or_else(|| nothing("candidate that differs"))?;
        (&candidate.policy, candidate.digest, Some(candidate.rollout))
    } else {
        (of_group.policy(), of_group.digest(), None)
    };
    let value = json!({
        "group": group.as_str(),
        "digest": digest.to_string(),
        "mode": rollout.map(|rollout| rollout.mode.name()),
        "percent": rollout.map(|rollout| rollout.percent),
        "policy": policy.to_toml(),
    });
    output.result(&value, || format!("# Group {group}, digest {digest}\n{}", policy.to_toml().trim_end()));
    Ok(())
}

/// What the server reported, what the files say now, and how candidates differ.
pub(super) async fn status(admin: Admin, files: PolicyFiles, output: &Output) -> Result<(), Failure> {
    let report: Option<Report> =
        admin.note("policies").await?.and_then(|text| serde_json::from_str(&text).ok());
    let on_disk = files.read();
    let waiting = match (&report, &on_disk) {
        (Some(report), Ok(read)) => Report::new(read, admin.now(), None).groups != report.groups,
        _ => false,
    };
    let problem = on_disk.as_ref().err().map(|error| chain(error));
    let differences = of_candidates(&admin.differences().await?, on_disk.as_ref().ok());
    let value = json!({
        "server": report,
        "files": { "good": problem.is_none(), "problem": problem, "in_force": !waiting },
        "candidates": differences.iter().map(|(group, sums)| sums.value(group)).collect::<Vec<_>>(),
    });
    output.result(&value, || {
        let mut text = match &report {
            Some(report) => {
                format!("In force since {}: {}", shared::UnixTime::from_secs(report.since), report.line())
            }
            None => "No server has loaded a policy yet.".to_owned(),
        };
        if let Some(problem) = report.as_ref().and_then(|report| report.problem.as_ref()) {
            text += &format!("\nThe server keeps it, because the files had mistakes:\n{problem}");
        }
        match &problem {
            Some(problem) => text += &format!("\nThe files have mistakes now:\n{problem}"),
            None if waiting => text += "\nThe files are good and differ: a running server takes them over.",
            None => {}
        }
        for (group, sums) in &differences {
            text += &sums.text(group);
        }
        text
    });
    Ok(())
}

/// How a candidate's judgements compare with those of the policy in force.
#[derive(Default)]
struct Sums {
    same: u64,
    would_refuse: BTreeMap<String, u64>,
    would_accept: BTreeMap<String, u64>,
    otherwise: u64,
    decided: u64,
}

/// Sums up by group, of the candidates that there are now.
fn of_candidates(all: &[Difference], on_disk: Option<&InForce>) -> BTreeMap<String, Sums> {
    let mut groups: BTreeMap<String, Sums> = BTreeMap::new();
    for difference in all {
        let candidate = if difference.by_candidate { difference.policy } else { difference.other.policy };
        let now = on_disk.and_then(|on_disk| {
            let group: GroupName = difference.group.parse().ok()?;
            Some(on_disk.set.for_group(&group)?.candidate()?.digest)
        });
        if now != Some(candidate) {
            continue;
        }
        let sums = groups.entry(difference.group.clone()).or_default();
        let own = (difference.ruled, difference.rule.as_ref());
        let other = (difference.other.ruled, difference.other.rule.as_ref());
        // From the policy in force to the candidate, whichever of the two decided.
        let (from, to) = if difference.by_candidate { (other, own) } else { (own, other) };
        let count = difference.count;
        sums.decided += if difference.by_candidate { count } else { 0 };
        let rule = |rule: Option<&String>| rule.cloned().unwrap_or_else(|| "-".to_owned());
        match (from.0, to.0) {
            (from, to) if from == to => sums.same += count,
            (_, Ruled::Refused) => *sums.would_refuse.entry(rule(to.1)).or_default() += count,
            (Ruled::Refused, _) => *sums.would_accept.entry(rule(from.1)).or_default() += count,
            _ => sums.otherwise += count,
        }
    }
    groups
}

impl Sums {
    fn value(&self, group: &str) -> Value {
        json!({
            "group": group,
            "same": self.same,
            "refused_only_by_candidate": self.would_refuse,
            "refused_only_by_policy": self.would_accept,
            "otherwise": self.otherwise,
            "decided_by_candidate": self.decided,
        })
    }

    fn text(&self, group: &str) -> String {
        let total = |by_rule: &BTreeMap<String, u64>| by_rule.values().sum::<u64>();
        let list = |by_rule: &BTreeMap<String, u64>| {
            let parts: Vec<String> = by_rule.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
            if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
        };
        format!(
            "\nCandidate of {group}: the same {} times; refuses {} more{}, {} less{}; otherwise {}; decided {}.",
            self.same,
            total(&self.would_refuse),
            list(&self.would_refuse),
            total(&self.would_accept),
            list(&self.would_accept),
            self.otherwise,
            self.decided,
        )
    }
}

/// Puts a candidate in the place of the policy, in one step each: at any moment there is a whole policy file.
pub(super) fn promote(global: &Global, group: &GroupName, output: &Output) -> Result<(), Failure> {
    let config = Config::load(&global.config)?;
    let policies = PolicyFiles::of(&config.files);
    let (policy, candidate) = policies.of_group(group);
    if !candidate.exists() {
        return Err(Failure::Nothing {
            what: format!("candidate of the group '{group}': {}", candidate.display()),
        });
    }
    let sources = policies.sources()?.with(group, crate::policies::source(&candidate)?);
    let set = PolicySet::parse(&sources).map_err(crate::policies::PolicyFilesError::from)?;
    let previous = previous_of(&policy);
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |source| Failure::Unwritable { path, source }
    };
    let old = fs::read(&policy).map_err(unwritable(&policy))?;
    files::replace(&previous, &old, 0o644).map_err(unwritable(&previous))?;
    fs::rename(&candidate, &policy).map_err(unwritable(&policy))?;
    files::sync_folder(&policy).map_err(unwritable(&policy))?;
    let digest = set.for_group(group).map(|policy| policy.digest().to_string());
    let value = json!({
        "group": group.as_str(), "policy": policy, "previous": previous, "digest": digest,
    });
    output.result(&value, || {
        format!(
            "{} is the policy of the group {group} now; the old one is {}.\nA running server takes it over by itself.",
            policy.display(),
            previous.display()
        )
    });
    Ok(())
}
