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
use crate::policies::{Comparison, PolicyFiles, Report, compare, previous_of};

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
    let differences = compare(&admin.differences().await?, on_disk.as_ref().ok());
    let value = json!({
        "server": report,
        "files": { "good": problem.is_none(), "problem": problem, "in_force": !waiting },
        "candidates": differences.iter().map(|(group, sums)| value(sums, group)).collect::<Vec<_>>(),
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
            text += &self::text(sums, group);
        }
        text
    });
    Ok(())
}

fn value(sums: &Comparison, group: &str) -> Value {
    json!({
        "group": group,
        "same": sums.same,
        "refused_only_by_candidate": sums.would_refuse,
        "refused_only_by_policy": sums.would_accept,
        "otherwise": sums.otherwise,
        "decided_by_candidate": sums.decided,
    })
}

fn text(sums: &Comparison, group: &str) -> String {
    let total = |by_rule: &BTreeMap<String, u64>| by_rule.values().sum::<u64>();
    let list = |by_rule: &BTreeMap<String, u64>| {
        let parts: Vec<String> = by_rule.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
        if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
    };
    format!(
        "\nCandidate of {group}: the same {} times; refuses {} more{}, {} less{}; otherwise {}; decided {}.",
        sums.same,
        total(&sums.would_refuse),
        list(&sums.would_refuse),
        total(&sums.would_accept),
        list(&sums.would_accept),
        sums.otherwise,
        sums.decided,
    )
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
