//! The files of policies and reference values: which there are, whether they changed, what stands in them.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use appraisal::ReferenceValues;
use appraisal::policy::{FileError, FilesError, PolicySet, Source, Sources, group_of};

use super::{InForce, ProfileSet};
use crate::config::Files;

/// Where policies and reference values stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFiles {
    /// The policy of the group `default`, and the base of all others.
    pub policy: PathBuf,
    /// The folder of the other groups' policies; it need not be there.
    pub groups: PathBuf,
    /// The profile `default`; where it is not there, that of an empty file.
    pub profile: PathBuf,
    /// The folder of the other profiles; it need not be there.
    pub profiles: PathBuf,
    /// The file of reference values, where one is named.
    pub reference_values: Option<PathBuf>,
}

/// Why the files cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFilesError {
    /// One cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// They have mistakes; all of them are here.
    #[error(transparent)]
    Mistakes(#[from] FilesError),
}

/// How files look from outside; another one where any of them changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<(PathBuf, Option<[i64; 6]>)>);

/// Longest file, in bytes, as [`appraisal`] takes it.
const MAX_FILE: u64 = 1024 * 1024;

impl PolicyFiles {
    /// Those that a configuration names.
    #[must_use]
    pub fn of(files: &Files) -> Self {
        Self {
            policy: files.policy.clone(),
            groups: files.policy_groups.clone(),
            profile: files.profile.clone(),
            profiles: files.profiles.clone(),
            reference_values: files.reference_values.clone(),
        }
    }

    /// The file that holds the policy of a group, and the one that holds its candidate.
    #[must_use]
    pub fn of_group(&self, group: &appraisal::GroupName) -> (PathBuf, PathBuf) {
        let policy =
            if group.is_default() { self.policy.clone() } else { self.groups.join(format!("{group}.toml")) };
        let candidate = candidate_of(&policy);
        (policy, candidate)
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut paths = vec![self.policy.clone(), candidate_of(&self.policy)];
        paths.extend(self.reference_values.clone());
        paths.push(self.profile.clone());
        paths.extend(toml_files(&self.profiles).unwrap_or_default().into_iter().map(|(_, path)| path));
        // A folder that cannot be read is found out when its files are read.
        paths.extend(self.group_files().unwrap_or_default().into_iter().map(|(_, path)| path));
        let look = |path: PathBuf| {
            let metadata = fs::metadata(&path).ok();
            let looks = metadata.map(|m| {
                let number = |value: u64| i64::from_ne_bytes(value.to_ne_bytes());
                [m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec(), number(m.size()), number(m.ino())]
            });
            (path, looks)
        };
        Fingerprint(paths.into_iter().map(look).collect())
    }

    /// All policy files, unread mistakes and all.
    ///
    /// # Errors
    /// Where one cannot be read, or has a name that no group can have.
    pub fn sources(&self) -> Result<Sources, PolicyFilesError> {
        let mut sources = Sources::new(source(&self.policy)?);
        let candidate = candidate_of(&self.policy);
        if candidate.exists() {
            sources.set_candidate(source(&candidate)?);
        }
        let mut misnamed: Vec<FileError> = Vec::new();
        for (name, path) in self.group_files()? {
            misnamed.extend(sources.add(&name, source(&path)?).err());
        }
        if misnamed.is_empty() { Ok(sources) } else { Err(FilesError { files: misnamed }.into()) }
    }

    /// Reads everything.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn read(&self) -> Result<InForce, PolicyFilesError> {
        self.in_force(&self.sources()?)
    }

    /// What would be in force with another file in the place of a group's policy, and without candidates.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn read_with(&self, group: &appraisal::GroupName, path: &Path) -> Result<InForce, PolicyFilesError> {
        self.in_force(&self.sources()?.with(group, source(path)?))
    }

    fn in_force(&self, sources: &Sources) -> Result<InForce, PolicyFilesError> {
        let set = PolicySet::parse(sources)?;
        let profiles = ProfileSet::read(self)?;
        let wrong = profiles.check(&set, sources);
        if !wrong.is_empty() {
            return Err(FilesError { files: wrong }.into());
        }
        Ok(InForce { set, profiles, reference_values: self.reference_values()? })
    }

    fn reference_values(&self) -> Result<ReferenceValues, PolicyFilesError> {
        let Some(path) = &self.reference_values else { return Ok(ReferenceValues::default()) };
        let Source { file, text } = source(path)?;
        Ok(ReferenceValues::parse(&file, &text).map_err(FilesError::from)?)
    }

    /// The policy files in the folder of groups, by name.
    pub(crate) fn group_files(&self) -> Result<Vec<(String, PathBuf)>, PolicyFilesError> {
        toml_files(&self.groups)
    }
}

/// The files of a folder that are meant to be read, by name; none where the folder is not there.
pub(super) fn toml_files(folder: &Path) -> Result<Vec<(String, PathBuf)>, PolicyFilesError> {
    let unreadable = |source| PolicyFilesError::Unreadable { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if group_of(&name).is_some() {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// The file of the candidate beside a policy file: `policy.candidate.toml` beside `policy.toml`.
#[must_use]
pub fn candidate_of(policy: &Path) -> PathBuf {
    policy.with_extension("candidate.toml")
}

/// Where the policy is kept that a candidate took the place of: `policy.toml.previous`.
#[must_use]
pub fn previous_of(policy: &Path) -> PathBuf {
    let mut name = policy.file_name().unwrap_or_default().to_owned();
    name.push(".previous");
    policy.with_file_name(name)
}

pub(crate) fn source(path: &Path) -> Result<Source, PolicyFilesError> {
    let unreadable = |source| PolicyFilesError::Unreadable { path: path.to_owned(), source };
    let mut text = String::new();
    // One byte more than is allowed, so that the parser sees that it is too long.
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(unreadable)?;
    Ok(Source { file: path.display().to_string(), text })
}
