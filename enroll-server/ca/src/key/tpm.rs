//! A key in a TPM 2.0: made by the TPM, and never outside of it.
//!
//! It lies in a file, encrypted by the TPM for itself, or in the TPM at a persistent handle. What comes back from the
//! TPM is verified before anybody sees it. A connection that broke (the TPM was reset, the machine slept) is opened
//! again once per signature.

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use shared::tpm2::{Key, PublicArea, Tpm2Error, attribute};
use tpm_client::objects::KeyBlob;
use tpm_client::{AuthValue, MAX_AUTH, StandingKey, Tpm, TpmError};

use super::file::write;
use super::{IssuerKey, KeyError};
use crate::secret::{SecretError, read_secret};
use crate::{der, pem};

/// Shortest authorization value, in characters. Wrong ones do not count towards the TPM's lockout, which would let
/// anybody lock the CA out; so they must be too many to try.
pub const MIN_AUTH: usize = 16;

/// Where a TPM's key lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TpmPlace {
    /// In a file that [`make_tpm_key`] wrote, encrypted by the TPM.
    File(PathBuf),
    /// In the TPM for good, at this handle (0x81000000 to 0x81ffffff).
    Handle(u32),
}

/// A P-256 key in a TPM.
pub struct TpmKey {
    tpm: Tpm,
    place: TpmPlace,
    auth: AuthValue,
    point: [u8; 65],
    standing: Mutex<Option<StandingKey>>,
    /// Whether a connection is kept. A simulator serves one at a time, and others may want it too.
    keeps: bool,
}

/// Why a key in a TPM cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TpmKeyError {
    /// The file is none of ours.
    #[error("{}: is no key that `enroll-server ca tpm-create` wrote", path.display())]
    NotABlob {
        /// The file.
        path: PathBuf,
    },
    /// The TPM does not know it.
    #[error("the TPM at {} cannot load the key: another one made it, or it was cleared since", tpm.display())]
    Foreign {
        /// The TPM.
        tpm: PathBuf,
    },
    /// A key that should not sign for a CA.
    #[error(
        "the key in the TPM is not fit for a CA: {lacks}; wanted is ECDSA on P-256 with SHA-256 that was made by the \
         TPM, cannot leave it (fixedtpm|fixedparent|sensitivedataorigin|userwithauth), is never locked (noda) and does \
         nothing but sign"
    )]
    Unfit {
        /// What it lacks.
        lacks: &'static str,
    },
    /// Its public area is of a kind that is not understood.
    #[error("the key in the TPM is of another kind")]
    Kind(#[from] Tpm2Error),
    /// The authorization value is not the key's.
    #[error("the TPM does not take the key's authorization value: it is missing or wrong")]
    Authorization,
    /// An authorization value that is too short or too long.
    #[error("{}: an authorization value has {MIN_AUTH} to {MAX_AUTH} characters, found {found}", path.display())]
    AuthLength {
        /// Its file.
        path: PathBuf,
        /// Its characters.
        found: usize,
    },
}

/// Has the TPM at `tpm` make a key, and writes it, encrypted by that TPM, to a new file of mode 0600. Gives its public
/// half. `auth_file` holds the authorization value that the key is then used with.
///
/// # Errors
/// Where the TPM fails, the authorization value does not do, or the file is there already.
pub fn make_tpm_key(tpm: &Path, auth_file: Option<&Path>, file: &Path) -> Result<[u8; 65], KeyError> {
    let auth = read_auth(auth_file)?;
    if file.try_exists().unwrap_or(true) {
        return Err(KeyError::Exists { path: file.into() });
    }
    let blob = Tpm::new(tpm).make_guarded_key(&auth).map_err(unavailable)?;
    let point = fit(&blob.public)?;
    write(file, &pem::tpm_key(&blob.to_bytes()))?;
    Ok(point)
}

impl TpmKey {
    /// Finds the key, checks that it is one that cannot leave its TPM, and has it sign once.
    ///
    /// # Errors
    /// Where TPM or key is missing, the key is of another kind, or its authorization value is another one.
    pub fn open(tpm: &Path, place: TpmPlace, auth_file: Option<&Path>) -> Result<Self, KeyError> {
        let (tpm, auth) = (Tpm::new(tpm), read_auth(auth_file)?);
        let standing = stand(&tpm, &place)?;
        let point = fit(standing.public())?;
        let keeps = tpm.is_shared();
        let key = Self { tpm, place, auth, point, standing: Mutex::new(keeps.then_some(standing)), keeps };
        // The authorization value shows with the first use only, and that shall be now. No certificate and no list
        // begins like this.
        key.sign(b"enroll-server: trial of a key in a TPM")?;
        Ok(key)
    }

    /// One signature over the connection that is open, or over a new one.
    fn sign_once(&self, held: &mut Option<StandingKey>, hash: &[u8; 32]) -> Result<[u8; 64], KeyError> {
        let mut standing = match held.take() {
            Some(standing) => standing,
            None => stand(&self.tpm, &self.place)?,
        };
        let signature = standing.sign(&self.auth, hash).map_err(|error| {
            if error.is_wrong_authorization() {
                TpmKeyError::Authorization.into()
            } else {
                unavailable(error)
            }
        })?;
        if self.keeps {
            *held = Some(standing);
        }
        Ok(signature)
    }
}

impl IssuerKey for TpmKey {
    fn public_point(&self) -> &[u8; 65] {
        &self.point
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, message).as_ref());
        let mut held = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let signature = match self.sign_once(&mut held, &hash) {
            Ok(signature) => signature,
            // What the TPM said of the key does not change by asking again.
            Err(KeyError::Tpm(error)) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, tpm = %self.tpm.path().display(), "the TPM did not sign; it is opened again");
                self.sign_once(&mut held, &hash)?
            }
        };
        drop(held);
        // Another key may lie at the handle now.
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point);
        public.verify(message, &signature).map_err(|_| KeyError::Signing)?;
        der::ecdsa_signature(&signature).ok_or(KeyError::Signing)
    }
}

impl fmt::Debug for TpmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TpmKey({:?} of {:?})", self.place, self.tpm.path())
    }
}

/// Makes the key ready over a new connection.
fn stand(tpm: &Tpm, place: &TpmPlace) -> Result<StandingKey, KeyError> {
    let opened = match place {
        TpmPlace::File(path) => StandingKey::load(tpm, &read_blob(path)?),
        TpmPlace::Handle(handle) => StandingKey::persistent(tpm, *handle),
    };
    opened.map_err(|error| {
        if error.is_foreign_key() {
            TpmKeyError::Foreign { tpm: tpm.path().into() }.into()
        } else {
            unavailable(error)
        }
    })
}

fn read_blob(path: &Path) -> Result<KeyBlob, KeyError> {
    let text = read_secret(path)?;
    let blob = pem::read_tpm_key(&text).ok().and_then(|bytes| KeyBlob::from_bytes(&bytes).ok());
    blob.ok_or_else(|| TpmKeyError::NotABlob { path: path.into() }.into())
}

/// The public half of a key that is fit for a CA.
fn fit(public: &[u8]) -> Result<[u8; 65], TpmKeyError> {
    let area = PublicArea::parse(public)?;
    let unfit = |lacks| Err(TpmKeyError::Unfit { lacks });
    if !area.has(attribute::OF_THIS_TPM) {
        return unfit("it was not made by the TPM, or can leave it");
    }
    // A restricted key signs only what the TPM itself has hashed.
    if !area.has(attribute::SIGN) || area.has(attribute::DECRYPT) || area.has(attribute::RESTRICTED) {
        return unfit("it does not sign, or does more than that");
    }
    if !area.has(attribute::USER_WITH_AUTH) {
        return unfit("it is used by a policy, not by an authorization value");
    }
    if !area.has(attribute::NO_DA) {
        return unfit(
            "wrong authorization values count towards the TPM's lockout, so anybody could lock the CA out",
        );
    }
    match (area.key, area.point()) {
        (Key::P256 { ecdsa_sha256: true, .. }, Some(point)) => Ok(point),
        _ => unfit("it does not sign by ECDSA on P-256 with SHA-256 alone"),
    }
}

fn read_auth(file: Option<&Path>) -> Result<AuthValue, KeyError> {
    let Some(path) = file else { return Ok(AuthValue::default()) };
    let text = read_secret(path).map_err(|error: SecretError| KeyError::from(error))?;
    let value = text.trim_end_matches(['\r', '\n']).as_bytes();
    let wrong = || TpmKeyError::AuthLength { path: path.into(), found: value.len() };
    if value.len() < MIN_AUTH {
        return Err(wrong().into());
    }
    AuthValue::new(value).map_err(|_| wrong().into())
}

fn unavailable(error: TpmError) -> KeyError {
    KeyError::Unavailable(Box::new(error))
}

#[cfg(test)]
#[path = "tpm_tests.rs"]
mod tests;
