//! The policies of all groups, and which of them decides about a device.
//!
//! Reads texts, not files. A group without a file of its own has no policy, and its devices get nothing: a file
//! that was deleted or misspelt must not put them under a policy that nobody meant for them.

use std::collections::BTreeMap;

use shared::DeviceId;
use shared::message::latest::EvidenceKind;

use super::file::{FileError, FilesError, Problem};
use super::{Policy, PolicyDigest, Rollout};
use crate::group::GroupName;

/// A policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name in errors.
    pub file: String,
    /// Its content.
    pub text: String,
}

/// All policy files of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    default: Source,
    candidate: Option<Source>,
    groups: BTreeMap<GroupName, (Option<Source>, Option<Source>)>,
}

/// The policies of all groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySet {
    default: GroupPolicy,
    groups: BTreeMap<GroupName, GroupPolicy>,
}

/// The policy of one group, and what may take its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPolicy {
    policy: Policy,
    digest: PolicyDigest,
    candidate: Option<Candidate>,
}

/// A policy that is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The policy.
    pub policy: Policy,
    /// Its digest.
    pub digest: PolicyDigest,
    /// How it is tried.
    pub rollout: Rollout,
}

/// Which policy decides about a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling<'p> {
    /// The one that decides.
    pub policy: &'p Policy,
    /// Its digest.
    pub digest: PolicyDigest,
    /// Whether that is the candidate.
    pub by_candidate: bool,
    /// Where there is a candidate, the one of the two that does not decide.
    pub other: Option<(&'p Policy, PolicyDigest)>,
}

impl Sources {
    /// The policy of the group `default`, on which all others are based.
    #[must_use]
    pub const fn new(default: Source) -> Self {
        Self { default, candidate: None, groups: BTreeMap::new() }
    }

    /// Sets the candidate of the group `default`. Groups without a candidate of their own try it too, as the base
    /// of their policy.
    pub fn set_candidate(&mut self, candidate: Source) {
        self.candidate = Some(candidate);
    }

    /// Puts another file in the place of a group's policy, and leaves all candidates out: what would be in force.
    #[must_use]
    pub fn with(mut self, group: &GroupName, source: Source) -> Self {
        self.candidate = None;
        self.groups.values_mut().for_each(|(_, candidate)| *candidate = None);
        if group.is_default() {
            self.default = source;
        } else {
            self.groups.insert(group.clone(), (Some(source), None));
        }
        self
    }

    /// The files of a group: of its policy, and of its candidate.
    #[must_use]
    pub fn of_group(&self, group: &GroupName) -> (Option<&Source>, Option<&Source>) {
        if group.is_default() {
            return (Some(&self.default), self.candidate.as_ref());
        }
        self.groups.get(group).map_or((None, None), |(own, candidate)| (own.as_ref(), candidate.as_ref()))
    }

    /// Adds a file of the folder of groups by its name there: `GROUP.toml` or `GROUP.candidate.toml`. Other
    /// files are passed over.
    ///
    /// # Errors
    /// Where the name is no group's.
    pub fn add(&mut self, name: &str, source: Source) -> Result<(), FileError> {
        let Some((group, is_candidate)) = group_of(name) else { return Ok(()) };
        let refuse = |message: String| {
            let problem = Problem { line: 1, field: String::new(), message };
            Err(FileError { file: source.file.clone(), problems: vec![problem] })
        };
        let group: GroupName = match group.parse() {
            Ok(group) => group,
            Err(error) => return refuse(format!("{group:?} is no group: {error}")),
        };
        if group.is_default() {
            return refuse("the policy of the group \"default\" is the policy file itself".into());
        }
        let entry = self.groups.entry(group).or_default();
        *(if is_candidate { &mut entry.1 } else { &mut entry.0 }) = Some(source);
        Ok(())
    }
}

/// Whether a file of the folder of groups is a policy file, and of which group; `true`: of its candidate.
#[must_use]
pub fn group_of(name: &str) -> Option<(&str, bool)> {
    let stem = name.strip_suffix(".toml").filter(|_| !name.starts_with('.'))?;
    Some(stem.strip_suffix(".candidate").map_or((stem, false), |group| (group, true)))
}

impl PolicySet {
    /// Reads all files.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn parse(sources: &Sources) -> Result<Self, FilesError> {
        let mut reader = Reader::default();
        let default = Policy::default();
        let policy = reader.policy(&default, &sources.default);
        let candidate = sources.candidate.as_ref().map(|source| reader.candidate(&default, source));
        let mut groups = BTreeMap::new();
        for (group, (source, own)) in &sources.groups {
            let Some(source) = source else {
                if let Some(own) = own {
                    let message =
                        format!("a candidate needs {group}.toml beside it, whose place it is to take");
                    let problems = vec![Problem { line: 1, field: String::new(), message }];
                    reader.errors.push(FileError { file: own.file.clone(), problems });
                }
                continue;
            };
            let in_force = reader.policy(&policy, source);
            let candidate = match (own, &candidate) {
                (Some(own), _) => Some(reader.candidate(&policy, own)),
                // What the group would have if the candidate were its base. The file is good: it was just read.
                (None, Some((base, rollout))) => {
                    Policy::parse_over(base, &source.file, &source.text).ok().map(|over| (over, *rollout))
                }
                (None, None) => None,
            };
            groups.insert(group.clone(), GroupPolicy::new(in_force, candidate));
        }
        if reader.errors.is_empty() {
            Ok(Self { default: GroupPolicy::new(policy, candidate), groups })
        } else {
            Err(FilesError { files: reader.errors })
        }
    }

    /// One policy for the group `default`, and no other group.
    #[must_use]
    pub fn only(policy: Policy) -> Self {
        Self { default: GroupPolicy::new(policy, None), groups: BTreeMap::new() }
    }

    /// The policy of a group; `None` where it has none, and then its devices get nothing.
    #[must_use]
    pub fn for_group(&self, group: &GroupName) -> Option<&GroupPolicy> {
        if group.is_default() { Some(&self.default) } else { self.groups.get(group) }
    }

    /// All groups that have a policy, `default` first.
    pub fn iter(&self) -> impl Iterator<Item = (GroupName, &GroupPolicy)> {
        let default = core::iter::once((GroupName::default(), &self.default));
        default.chain(self.groups.iter().map(|(group, policy)| (group.clone(), policy)))
    }

    /// The kind of evidence to ask a device for, that is not known and may come to belong to any group: the best
    /// that any policy accepts, in the order of the group `default`, then of the others by name.
    #[must_use]
    pub fn choose_for_stranger(&self, offered: &[EvidenceKind]) -> Option<EvidenceKind> {
        self.iter().find_map(|(_, policy)| {
            let candidate = policy.candidate.as_ref().and_then(|c| c.policy.choose(offered));
            policy.policy.choose(offered).or(candidate)
        })
    }
}

impl GroupPolicy {
    fn new(policy: Policy, candidate: Option<(Policy, Rollout)>) -> Self {
        let digest = policy.digest();
        let candidate = candidate.map(|(policy, rollout)| {
            let digest = policy.digest();
            Candidate { policy, digest, rollout }
        });
        // A candidate that demands the same has nothing to try.
        let candidate = candidate.filter(|candidate| candidate.digest != digest);
        Self { policy, digest, candidate }
    }

    /// The policy in force.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Its digest.
    #[must_use]
    pub const fn digest(&self) -> PolicyDigest {
        self.digest
    }

    /// The candidate, where there is one that differs.
    #[must_use]
    pub const fn candidate(&self) -> Option<&Candidate> {
        self.candidate.as_ref()
    }

    /// Which policy decides about `device`.
    #[must_use]
    pub fn ruling(&self, device: &DeviceId) -> Ruling<'_> {
        let in_force = (&self.policy, self.digest);
        let Some(Candidate { policy, digest, rollout }) = &self.candidate else {
            return Ruling { policy: in_force.0, digest: in_force.1, by_candidate: false, other: None };
        };
        let by_candidate = rollout.enforces(digest, device);
        let candidate = (policy, *digest);
        let (decides, other) = if by_candidate { (candidate, in_force) } else { (in_force, candidate) };
        Ruling { policy: decides.0, digest: decides.1, by_candidate, other: Some(other) }
    }
}

/// Reads on after a mistake, so that all are found.
#[derive(Default)]
struct Reader {
    errors: Vec<FileError>,
}

impl Reader {
    fn policy(&mut self, base: &Policy, source: &Source) -> Policy {
        self.candidate(base, source).0
    }

    fn candidate(&mut self, base: &Policy, source: &Source) -> (Policy, Rollout) {
        Policy::parse_candidate(base, &source.file, &source.text).unwrap_or_else(|error| {
            self.errors.push(error);
            (base.clone(), Rollout::default())
        })
    }
}
