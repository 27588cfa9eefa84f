//! What an operator does with reference values: registers makers' release keys, imports, lists, withdraws.

use appraisal::ReferenceValues;
use appraisal::policy::KnownGood;
use aws_lc_rs::digest::{SHA256, digest};
use reference_values::{
    Authority, Format, Manifest, Note, Offer, Release, ReleaseError, ReleaseKey, ReleaseKeyError, Trust,
};
use serde_json::{Value, json};

use super::{Admin, AdminError, not_found};
use crate::issuance::endorsements;
use crate::store::{
    ImportTerms, KeyAdded, ReferenceSetRow, ReferenceState, ReleaseOutcome, SetImport, SetRefused, Sha256,
    StoreError, StoredKey,
};

/// Why reference values or a release key were not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// The file is not taken.
    #[error("nothing was imported")]
    Release(#[source] ReleaseError),
    /// What is there must not be replaced by what is offered.
    #[error("nothing was imported: {}; --force does it all the same", lines(.0))]
    Refused(Vec<SetRefused>),
    /// A name or a number is given for a manifest that has its own.
    #[error("a CoRIM names and numbers its sets itself: leave --set and --release out")]
    Named,
    /// A list says another number than the operator.
    #[error("the list says release {found}; --release says {wanted}")]
    OtherRelease {
        /// What the list says.
        found: u64,
        /// What the operator says.
        wanted: u64,
    },
    /// A list says another name than the operator.
    #[error("the list is named {found:?}; --set says {wanted:?}")]
    OtherName {
        /// What the list says.
        found: String,
        /// What the operator says.
        wanted: String,
    },
    /// The name of the set is no name.
    #[error("a set's name has 1 to {MAX_SET_NAME} bytes and no control characters; give one with --set")]
    SetName,
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] ReleaseKeyError),
    /// The key is another maker's.
    #[error("this key is registered for maker {maker:?} already; two makers have no key in common")]
    KeyOfAnother {
        /// Whose it is.
        maker: String,
    },
    /// Several makers have a set of this name.
    #[error("several makers have a set {name:?}: {}; say which with --maker", makers.join(", "))]
    Ambiguous {
        /// The name.
        name: String,
        /// The makers.
        makers: Vec<String>,
    },
    /// The digest is none.
    #[error("a digest is 64, 96 or 128 hexadecimal digits (SHA-256, SHA-384 or SHA-512)")]
    Digest,
}

/// Longest name of a set, in bytes.
const MAX_SET_NAME: usize = 128;

/// What is to be imported, and on which terms.
#[derive(Clone, Debug, Default)]
pub struct ReferenceImport {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its detached signature.
    pub signature: Option<Vec<u8>>,
    /// Whose devices it is for; by default the signer's, or what the file says.
    pub maker: Option<String>,
    /// Whether a file without a signature is taken.
    pub unsigned: bool,
    /// Name of a list that says none, from the operator.
    pub set: Option<String>,
    /// Name of a list that says none, and for which the operator gives none.
    pub default_set: String,
    /// Number of a list that says none.
    pub release: Option<u64>,
    /// Whether older versions and withdrawn ones are taken.
    pub force: bool,
    /// Whether nothing is changed.
    pub dry_run: bool,
}

/// What was imported, or would be.
#[derive(Clone, Debug)]
pub struct ReferenceReport {
    /// What the file says, and who stands behind it.
    pub release: Release,
    /// What became of its sets.
    pub sets: Vec<SetImport>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

impl ReferenceReport {
    /// The report as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let manifest = self.release.manifest();
        json!({
            "dry_run": self.dry_run,
            "maker": self.release.maker(),
            "authority": authority(self.release.authority()),
            "format": manifest.format.name(),
            "manifest": manifest.id,
            "profile": manifest.profile,
            "entities": manifest.entities,
            "vendors": manifest.vendors,
            "not_before": manifest.validity.not_before.map(|time| time.to_string()),
            "not_after": manifest.validity.not_after.map(|time| time.to_string()),
            "sets": self.sets,
            "notes": manifest.notes.list().iter().map(note).collect::<Vec<_>>(),
            "notes_left_out": manifest.notes.more(),
        })
    }
}

impl Admin {
    /// Registers the public key in `pem` for a maker's releases. Gives the key, and whether it is new.
    ///
    /// # Errors
    /// Where there is no such maker, the key is none, or is another maker's.
    pub async fn add_release_key(&self, maker: &str, pem: &[u8]) -> Result<(StoredKey, bool), AdminError> {
        let known = self.store.makers().await?;
        if !known.iter().any(|known| known.name == maker) {
            return Err(not_found("maker", maker));
        }
        let key = ReleaseKey::from_pem(maker, pem).map_err(ReferenceError::from)?;
        let now = self.clock.now();
        let stored =
            StoredKey { maker: maker.into(), sha256: *key.sha256(), added: now, spki: key.spki().to_vec() };
        match self.store.add_release_key(key, now).await? {
            KeyAdded::Added => Ok((stored, true)),
            KeyAdded::Known => Ok((stored, false)),
            KeyAdded::OfAnother(maker) => Err(ReferenceError::KeyOfAnother { maker }.into()),
        }
    }

    /// The keys that makers' releases are verified with.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn release_keys(&self) -> Result<Vec<StoredKey>, AdminError> {
        Ok(self.store.release_keys().await?)
    }

    /// Removes a release key: nothing it signs is taken any more. What it signed before stays in force.
    ///
    /// # Errors
    /// Where there is no such key.
    pub async fn remove_release_key(&self, sha256: Sha256) -> Result<(), AdminError> {
        let removed = self.store.remove_release_key(sha256, self.clock.now()).await?;
        if removed { Ok(()) } else { Err(not_found("release key", hex::encode(sha256))) }
    }

    /// Imports reference values: all of the file or nothing. A running server judges by them at once.
    ///
    /// # Errors
    /// Where nobody known stands behind the file, it has mistakes, or it is older than what is known.
    pub async fn import_reference(&self, import: ReferenceImport) -> Result<ReferenceReport, AdminError> {
        let now = self.clock.now();
        let (keys, makers) = (self.trusted_keys().await?, endorsements(self.store.as_ref()).await?);
        let trust = Trust {
            keys: &keys,
            makers: &makers,
            maker: import.maker.as_deref(),
            allow_unsigned: import.unsigned,
            now,
        };
        let offer = Offer { bytes: &import.bytes, signature: import.signature.as_deref() };
        let release = reference_values::open(&offer, &trust).map_err(ReferenceError::Release)?;
        let terms = ImportTerms {
            file_sha256: sha256(&import.bytes),
            name: set_name(release.manifest(), &import)?,
            version: import.release,
            force: import.force,
            dry_run: import.dry_run,
            now,
        };
        match self.store.import_release(release.clone(), terms).await? {
            ReleaseOutcome::Imported(sets) => Ok(ReferenceReport { release, sets, dry_run: import.dry_run }),
            ReleaseOutcome::Refused(refused) => Err(ReferenceError::Refused(refused).into()),
        }
    }

    /// All versions of all sets of reference values, or those in force only.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn reference_sets(&self, all: bool) -> Result<Vec<ReferenceSetRow>, AdminError> {
        let mut sets = self.store.reference_sets().await?;
        sets.retain(|set| all || set.state == ReferenceState::Active);
        Ok(sets)
    }

    /// The imported reference values that are in force, as an appraisal wants them.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn imported_reference_values(&self) -> Result<ReferenceValues, AdminError> {
        Ok(self.store.active_reference().await?.1)
    }

    /// One set by its name: the version in force, else the newest; with its values, `limit` at most.
    ///
    /// # Errors
    /// Where there is none, or several makers have one of this name.
    pub async fn reference_set(
        &self,
        name: &str,
        maker: Option<&str>,
        limit: u32,
    ) -> Result<(ReferenceSetRow, Vec<KnownGood>), AdminError> {
        let set = self.find_set(name, maker, false).await?;
        let values = self.store.reference_values_of(set.id, limit).await?;
        Ok((set, values))
    }

    /// Withdraws a set: its values do not count any more, at once and for good. Gives what was withdrawn.
    ///
    /// # Errors
    /// Where no such set is in force, or several makers have one of this name.
    pub async fn withdraw_reference(
        &self,
        name: &str,
        maker: Option<&str>,
        reason: &str,
    ) -> Result<ReferenceSetRow, AdminError> {
        let set = self.find_set(name, maker, true).await?;
        let withdrawn = self.store.withdraw_reference(set.id, reason.into(), self.clock.now()).await?;
        if withdrawn { Ok(set) } else { Err(not_found("set of reference values in force", name)) }
    }

    /// The sets that hold a digest, in force or not, and the value in each.
    ///
    /// # Errors
    /// Where the digest is none.
    pub async fn find_reference(
        &self,
        digest: &str,
    ) -> Result<Vec<(ReferenceSetRow, KnownGood)>, AdminError> {
        let bytes = hex::decode(digest.replace(':', "")).map_err(|_| ReferenceError::Digest)?;
        if !matches!(bytes.len(), 32 | 48 | 64) {
            return Err(ReferenceError::Digest.into());
        }
        Ok(self.store.find_digest(bytes).await?)
    }

    async fn find_set(
        &self,
        name: &str,
        maker: Option<&str>,
        active: bool,
    ) -> Result<ReferenceSetRow, AdminError> {
        let mut sets = self.store.reference_sets().await?;
        sets.retain(|set| {
            set.name == name
                && maker.is_none_or(|maker| set.maker == maker)
                && (!active || set.state == ReferenceState::Active)
        });
        let mut makers: Vec<_> = sets.iter().map(|set| set.maker.clone()).collect();
        makers.dedup();
        if makers.len() > 1 {
            return Err(ReferenceError::Ambiguous { name: name.into(), makers }.into());
        }
        // Newest first; the one in force may be an older one that was forced.
        let at = sets.iter().position(|set| set.state == ReferenceState::Active).unwrap_or(0);
        let what = if active { "set of reference values in force" } else { "set of reference values" };
        if sets.is_empty() { Err(not_found(what, name)) } else { Ok(sets.swap_remove(at)) }
    }

    async fn trusted_keys(&self) -> Result<Vec<ReleaseKey>, AdminError> {
        let keys = self.store.release_keys().await?;
        let keys: Result<Vec<_>, _> = keys.iter().map(|key| ReleaseKey::new(&key.maker, &key.spki)).collect();
        // Every key was checked when it was added.
        Ok(keys.map_err(|_| StoreError::Damaged { field: "spki" })?)
    }
}

/// Which name a set without one gets. What the file says and what the operator says must not differ.
fn set_name(manifest: &Manifest, import: &ReferenceImport) -> Result<String, ReferenceError> {
    if manifest.format == Format::Corim {
        let named = import.set.is_some() || import.release.is_some();
        return if named { Err(ReferenceError::Named) } else { Ok(String::new()) };
    }
    let set = manifest.sets.first();
    if let (Some(found), Some(wanted)) = (set.and_then(|set| set.version), import.release)
        && found != wanted
    {
        return Err(ReferenceError::OtherRelease { found, wanted });
    }
    let wanted = import.set.as_deref();
    if let (Some(found), Some(wanted)) = (set.and_then(|set| set.name.as_deref()), wanted)
        && found != wanted
    {
        return Err(ReferenceError::OtherName { found: found.into(), wanted: wanted.into() });
    }
    let name = wanted.unwrap_or(&import.default_set);
    let good = !name.is_empty() && name.len() <= MAX_SET_NAME && !name.contains(char::is_control);
    if good || set.is_some_and(|set| set.name.is_some()) {
        Ok(name.into())
    } else {
        Err(ReferenceError::SetName)
    }
}

fn sha256(bytes: &[u8]) -> Sha256 {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

fn authority(authority: &Authority) -> Value {
    match authority {
        Authority::Operator => json!({ "kind": "operator" }),
        Authority::Key { sha256 } => json!({ "kind": "release-key", "sha256": hex::encode(sha256) }),
        Authority::Certificate { subject, sha256 } => {
            json!({ "kind": "certificate", "subject": subject, "sha256": hex::encode(sha256) })
        }
    }
}

fn note(note: &Note) -> Value {
    json!({ "kind": note.kind.name(), "place": note.place, "what": note.what })
}

fn lines(refused: &[SetRefused]) -> String {
    refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
