//! The profiles of certificates: read from their files, rehearsed, and held against the policies that name them.
//!
//! They are taken over together with the policies: a profile with a mistake, or a policy that names none, leaves
//! everything as it was.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use appraisal::policy::{FileError, FilesError, PolicySet, Problem, Source, Sources};
use appraisal::{GroupName, Policy};
use ca::{BindError, Bound, DEFAULT_PROFILE, Facts, LdevidProfile, Profile, is_profile_name, rehearse};
use shared::UnixTime;

use super::bound::BoundBefore;
use super::files::{PolicyFiles, PolicyFilesError, source, toml_files};
use crate::issuance::chain;

/// When profiles are rehearsed: any time does, because nothing of it is kept.
pub(crate) const REHEARSED_AT: UnixTime = UnixTime::from_secs(1_767_225_600);

/// All profiles, by name. There is always one for groups that name none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileSet {
    by_name: BTreeMap<String, Profile>,
    bound: BoundBefore,
}

/// What a certificate is to contain and how long it is to live, pinned for one request.
#[derive(Clone, Debug)]
pub(crate) struct Pinned {
    pub(crate) bound: Arc<Bound>,
    pub(crate) lifetime: Duration,
}

impl Default for ProfileSet {
    fn default() -> Self {
        let by_name = BTreeMap::from([(DEFAULT_PROFILE.to_owned(), Profile::default())]);
        Self { by_name, bound: BoundBefore::default() }
    }
}

impl ProfileSet {
    /// Reads and rehearses all files.
    ///
    /// # Errors
    /// All that is wrong with any of them.
    pub fn read(files: &PolicyFiles) -> Result<Self, PolicyFilesError> {
        let mut profiles = Self::default();
        let mut wrong = Vec::new();
        match source(&files.profile) {
            Ok(source) => profiles.add(DEFAULT_PROFILE, &source, &mut wrong),
            Err(PolicyFilesError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        for (name, path) in toml_files(&files.profiles)? {
            let name = name.strip_suffix(".toml").unwrap_or(&name);
            let source = source(&path)?;
            if !is_profile_name(name) || name == DEFAULT_PROFILE {
                wrong.push(problem(
                    &source,
                    1,
                    "",
                    format!("{name:?} is no name for a profile of this folder"),
                ));
                continue;
            }
            profiles.add(name, &source, &mut wrong);
        }
        if wrong.is_empty() { Ok(profiles) } else { Err(FilesError { files: wrong }.into()) }
    }

    fn add(&mut self, name: &str, source: &Source, wrong: &mut Vec<FileError>) {
        match Profile::parse(&source.file, &source.text) {
            Ok(profile) => match rehearse(name, &profile, REHEARSED_AT) {
                Ok(()) => {
                    self.by_name.insert(name.to_owned(), profile);
                }
                Err(error) => {
                    let message = format!("its certificates must not be signed: {}", chain(&error));
                    wrong.push(problem(source, 1, "", message));
                }
            },
            Err(error) => wrong.push(error),
        }
    }

    /// The profile with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Profile> {
        self.by_name.get(name)
    }

    /// All profiles, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Profile)> {
        self.by_name.iter().map(|(name, profile)| (name.as_str(), profile))
    }

    /// Where policies do not go with the profiles that they name.
    #[must_use]
    pub fn check(&self, set: &PolicySet, sources: &Sources) -> Vec<FileError> {
        let mut wrong = Vec::new();
        for (group, policy) in set.iter() {
            let (own, candidate) = sources.of_group(&group);
            wrong.extend(own.and_then(|source| self.mistake(policy.policy(), source)));
            let tried = policy.candidate().map(|candidate| &candidate.policy);
            let source = candidate.or(own);
            wrong.extend(tried.zip(source).and_then(|(policy, source)| self.mistake(policy, source)));
        }
        wrong
    }

    fn mistake(&self, policy: &Policy, source: &Source) -> Option<FileError> {
        let told = |key: &str, message: String| {
            let line = toml_places::line_of(&source.text, "certificate", key);
            Some(problem(source, line, &format!("certificate.{key}"), message))
        };
        let name = policy.certificate_profile();
        let Some(profile) = self.get(name) else {
            return told("profile", format!("there is no profile {name:?}"));
        };
        if profile.needs_label() && policy.certificate_label().is_none() {
            return told("label", format!("is missing; the profile {name:?} uses {{label}}"));
        }
        let (least, most) = profile.bounds();
        match policy.certificate_lifetime() {
            Some(life) if life < least || life > most => {
                let hours = |span: Duration| span.as_secs() / 3600;
                told(
                    "days",
                    format!(
                        "{} hours; the profile {name:?} allows {} to {}",
                        hours(life),
                        hours(least),
                        hours(most)
                    ),
                )
            }
            _ => None,
        }
    }

    /// What a certificate of a group's device is to be like.
    pub(crate) fn pin(
        &self,
        policy: &Policy,
        group: &GroupName,
        model: Option<&str>,
        server: &LdevidProfile,
    ) -> Result<Pinned, BindError> {
        let name = policy.certificate_profile();
        // The policies were held against the profiles before they came into force.
        let profile = self.get(name).ok_or(BindError::Recorded)?;
        let facts = Facts {
            tenant: server.tenant(),
            enterprise: server.enterprise(),
            group: group.as_str(),
            label: policy.certificate_label(),
            model,
        };
        let bound = self.bound.bind(name, profile, &facts)?;
        let lifetime = policy.certificate_lifetime().unwrap_or_else(|| profile.default_lifetime());
        Ok(Pinned { bound, lifetime })
    }
}

fn problem(source: &Source, line: usize, field: &str, message: String) -> FileError {
    FileError { file: source.file.clone(), problems: vec![Problem { line, field: field.into(), message }] }
}
