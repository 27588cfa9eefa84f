//! How candidates judge, compared with the policies in force: sums of what was recorded. Pure.

use std::collections::BTreeMap;

use appraisal::GroupName;

use super::InForce;
use crate::store::{Difference, Ruled};

/// How a candidate's judgements compare with those of the policy in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// How often both came to the same end.
    pub same: u64,
    /// How often only the candidate refuses, by its rule.
    pub would_refuse: BTreeMap<String, u64>,
    /// How often only the policy in force refuses, by its rule.
    pub would_accept: BTreeMap<String, u64>,
    /// How often they differ in another way.
    pub otherwise: u64,
    /// How often the candidate decided.
    pub decided: u64,
}

/// Sums up by group, of the candidates that `now` has.
#[must_use]
pub fn compare(all: &[Difference], now: Option<&InForce>) -> BTreeMap<String, Comparison> {
    let mut groups: BTreeMap<String, Comparison> = BTreeMap::new();
    for difference in all {
        let candidate = if difference.by_candidate { difference.policy } else { difference.other.policy };
        let is = now.and_then(|now| {
            let group: GroupName = difference.group.parse().ok()?;
            Some(now.set.for_group(&group)?.candidate()?.digest)
        });
        if is != Some(candidate) {
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
