//! The policies in force: read from their files, taken over while the server runs.
//!
//! Whoever serves a request takes [`Policies::current`] once and judges by that to the end, whatever is loaded in
//! between. Files with a mistake change nothing: what was in force stays in force, and the mistake is told. Judges
//! nothing itself.

mod bound;
mod comparison;
mod files;
mod profiles;
mod reload;
mod replay;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use appraisal::policy::PolicySet;
use appraisal::{GroupName, Policy, ReferenceValues};
use serde::{Deserialize, Serialize};
use shared::UnixTime;

pub use comparison::{Comparison, compare};
pub(crate) use files::source;
pub use files::{PolicyFiles, PolicyFilesError, candidate_of, previous_of};
pub use profiles::ProfileSet;
pub(crate) use profiles::{Pinned, REHEARSED_AT};
pub(crate) use reload::watch;

pub use replay::{Change, Replay, Verdict};

use files::Fingerprint;

/// What judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The policies of all groups.
    pub set: PolicySet,
    /// What certificates contain, by the profiles that policies name.
    pub profiles: ProfileSet,
    /// What is known to be good, by the file of reference values.
    pub reference_values: ReferenceValues,
}

/// The policies in force, and where they come from.
#[derive(Debug)]
pub struct Policies {
    files: PolicyFiles,
    in_force: crate::in_force::InForce<InForce>,
    seen: Mutex<Seen>,
}

/// What the files were when they were last looked at.
#[derive(Debug, Default)]
struct Seen {
    /// `None` where they could not be read: it may have been the moment, and leaves no trace on them.
    taken: Option<Fingerprint>,
    /// A change that is not taken yet: files that are still being written change once more.
    changing: Option<Fingerprint>,
    problem: Option<String>,
}

/// How the files are read; tests have one that fails.
type ReadFiles = fn(&PolicyFiles) -> Result<InForce, PolicyFilesError>;

/// What came of a look at the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// They are as they were, or still changing.
    Nothing,
    /// They were taken over.
    Taken(Arc<InForce>),
    /// They have mistakes: what was in force stays in force.
    Broken(String),
}

impl Policies {
    /// Reads the files.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn load(files: PolicyFiles) -> Result<Self, PolicyFilesError> {
        // Before they are read: what changes in between is seen as a change.
        let taken = files.fingerprint();
        let in_force = crate::in_force::InForce::new(files.read()?);
        Ok(Self { files, in_force, seen: Mutex::new(Seen { taken: Some(taken), ..Seen::default() }) })
    }

    /// What is in force now; to be taken once a request.
    #[must_use]
    pub fn current(&self) -> Arc<InForce> {
        self.in_force.now()
    }

    /// What is wrong with the files as they are now.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).problem.clone()
    }

    /// Takes the files over where they changed and have stood still since the last look.
    pub fn look(&self) -> Look {
        self.look_by(PolicyFiles::read)
    }

    fn look_by(&self, read: ReadFiles) -> Look {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.files.fingerprint();
        if seen.taken.as_ref() == Some(&found) {
            seen.changing = None;
            return Look::Nothing;
        }
        if seen.changing.as_ref() != Some(&found) {
            seen.changing = Some(found);
            return Look::Nothing;
        }
        let before = seen.problem.clone();
        match self.take(&mut seen, found, read) {
            // They are tried again and again: it is told once.
            Look::Broken(problem) if seen.taken.is_none() && before.as_ref() == Some(&problem) => {
                Look::Nothing
            }
            look => look,
        }
    }

    /// Takes the files over as they are now, whether or not they changed.
    pub fn reload(&self) -> Look {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.files.fingerprint();
        self.take(&mut seen, found, PolicyFiles::read)
    }

    fn take(&self, seen: &mut Seen, found: Fingerprint, read: ReadFiles) -> Look {
        seen.changing = None;
        let read = read(&self.files);
        seen.taken = Some(found).filter(|_| !matches!(read, Err(PolicyFilesError::Unreadable { .. })));
        match read {
            Ok(read) => {
                seen.problem = None;
                self.in_force.replace(read);
                // Whoever replaces holds `seen`: this is what was read.
                Look::Taken(self.in_force.now())
            }
            Err(error) => {
                let problem = crate::issuance::chain(&error);
                seen.problem = Some(problem.clone());
                Look::Broken(problem)
            }
        }
    }
}

/// What a server judges by, as it reports it to the store for operators to see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When it was loaded, in seconds since 1970.
    pub since: u64,
    /// What is wrong with the files since then, and when that was found.
    pub problem: Option<String>,
    /// All groups that have a policy.
    pub groups: Vec<GroupReport>,
}

/// What a server judges a group by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupReport {
    /// The group.
    pub group: String,
    /// Digest of the policy in force.
    pub policy: String,
    /// The candidate, where there is one that differs.
    pub candidate: Option<CandidateReport>,
}

/// A candidate, and how it is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateReport {
    /// Its digest.
    pub policy: String,
    /// `observe` or `enforce`.
    pub mode: String,
    /// The share of devices it decides for, where it is enforced.
    pub percent: u8,
}

impl Report {
    /// Of what is in force since `since`.
    #[must_use]
    pub fn new(in_force: &InForce, since: UnixTime, problem: Option<String>) -> Self {
        let groups = in_force.set.iter().map(|(group, policy)| GroupReport {
            group: group.to_string(),
            policy: policy.digest().to_string(),
            candidate: policy.candidate().map(|candidate| CandidateReport {
                policy: candidate.digest.to_string(),
                mode: candidate.rollout.mode.name().to_owned(),
                percent: candidate.rollout.percent,
            }),
        });
        Self { since: since.as_secs(), problem, groups: groups.collect() }
    }

    /// One line for a person.
    #[must_use]
    pub fn line(&self) -> String {
        let groups: Vec<String> = self.groups.iter().map(GroupReport::line).collect();
        groups.join("; ")
    }
}

impl GroupReport {
    fn line(&self) -> String {
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        let mut text = format!("{} {}", self.group, short(&self.policy));
        if let Some(CandidateReport { policy, mode, percent }) = &self.candidate {
            text += &format!(" (candidate {}, {mode}", short(policy));
            text += &if mode == "enforce" { format!(" {percent} %)") } else { ")".to_owned() };
        }
        text
    }
}

impl From<Policy> for InForce {
    fn from(policy: Policy) -> Self {
        Self {
            set: PolicySet::only(policy),
            profiles: ProfileSet::default(),
            reference_values: ReferenceValues::default(),
        }
    }
}

impl InForce {
    /// Whether `group` has a policy.
    #[must_use]
    pub fn knows(&self, group: &GroupName) -> bool {
        self.set.for_group(group).is_some()
    }
}
