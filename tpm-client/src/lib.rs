//! A TPM 2.0: keys that cannot leave it, and what it says about itself and the platform. For the agent, whose
//! device it vouches for, and for the CA, whose issuing key it may hold.
//!
//! Speaks the TPM's own protocol (TPM 2.0 Library, part 3) to the kernel's resource manager, or to a simulator
//! behind a Unix socket; no library in C, no daemon between. Calls block for as long as the TPM takes, some tenths
//! of a second on real chips: whoever serves others meanwhile calls from a thread of its own. Decides nothing, and
//! knows neither devices nor CAs.
//!
//! Hierarchies with an owner or endorsement authorization are not supported: both are taken to be empty, as they
//! are on most devices.

#![forbid(unsafe_code)]

mod auth;
mod command;
mod connection;
mod error;
pub mod objects;
mod session;
mod standing;
pub mod template;

use std::path::{Path, PathBuf};

use shared::tpm2::{Bank, PcrSet, PublicArea, ecdsa_signature};
use zeroize::Zeroizing;

pub use auth::{AuthValue, MAX_AUTH};
pub use error::TpmError;
pub use session::Session;
pub use standing::StandingKey;
pub use template::EkKind;

use objects::KeyBlob;

/// A TPM, by the path of its device or socket. A connection is made for each piece of work, so that a second
/// process, `agent status` for one, gets its turn.
#[derive(Clone, Debug)]
pub struct Tpm {
    path: PathBuf,
}

/// What TPM2_Certify and TPM2_Quote give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// TPMS_ATTEST.
    pub attest: Vec<u8>,
    /// TPMT_SIGNATURE.
    pub signature: Vec<u8>,
}

/// A quote, and the values it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// The quote.
    pub signed: Signed,
    /// Register and value, ascending.
    pub values: Vec<(u8, Vec<u8>)>,
}

impl Tpm {
    /// The TPM at this path: a device such as `/dev/tpmrm0`, or a Unix socket. Nothing is opened yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// Where nothing answers there.
    pub fn open(&self) -> Result<Session, TpmError> {
        Session::open(&self.path)
    }

    /// Whether it takes several connections at once: the kernel's resource manager does, a simulator and the TPM
    /// itself do not.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        connection::is_managed(&self.path)
    }

    /// Makes a signing key that is used with an empty authorization.
    ///
    /// # Errors
    /// Where the TPM fails.
    pub fn make_key(&self) -> Result<KeyBlob, TpmError> {
        self.make_guarded_key(&AuthValue::default())
    }

    /// Makes a signing key that is used with this authorization value.
    ///
    /// # Errors
    /// Where the TPM fails.
    pub fn make_guarded_key(&self, auth: &AuthValue) -> Result<KeyBlob, TpmError> {
        self.open()?.with_storage_root(|tpm, root| tpm.create(root, &template::signing_key(), auth))
    }

    /// Whether the TPM can load this key: it made it, and was not cleared since.
    ///
    /// # Errors
    /// Where it cannot.
    pub fn check_key(&self, key: &KeyBlob) -> Result<(), TpmError> {
        self.open()?.with_key(key, |_, _| Ok(()))
    }

    /// Signs a SHA-256 digest.
    ///
    /// # Errors
    /// Where the TPM fails.
    pub fn sign(&self, key: &KeyBlob, digest: &[u8; 32]) -> Result<[u8; 64], TpmError> {
        self.open()?.with_key(key, |tpm, handle| {
            let signature = tpm.sign(handle, &AuthValue::default(), digest)?;
            Ok(ecdsa_signature(&signature)?)
        })
    }

    /// The public areas of endorsement key and attestation key (TPMT_PUBLIC).
    ///
    /// # Errors
    /// Where the TPM fails.
    pub fn identity(&self, ek: EkKind) -> Result<(Vec<u8>, Vec<u8>), TpmError> {
        let mut tpm = self.open()?;
        let ek = tpm.with_endorsement_key(ek, |_, ek| Ok(ek.public.clone()))?;
        let ak = tpm.with_attestation_key(|_, ak| Ok(ak.public.clone()))?;
        Ok((ek, ak))
    }

    /// The certificate of the endorsement key that the maker left in the TPM, in DER (TCG EK Credential Profile,
    /// section 2.2.1.4); `None` where there is none.
    ///
    /// # Errors
    /// Where the TPM fails.
    pub fn ek_certificate(&self, ek: EkKind) -> Result<Option<Vec<u8>>, TpmError> {
        Ok(self.open()?.read_nv(ek.certificate_index())?.map(without_padding))
    }

    /// The certificates that the maker left in the TPM to lead from the endorsement keys' own to its root, in DER (TCG EK
    /// Credential Profile, section 2.2.1.5.2): a chain may go over several indices, and an index may hold several
    /// certificates. What cannot be read there is left out.
    ///
    /// # Errors
    /// Where the TPM fails.
    pub fn ek_certificate_chain(&self) -> Result<Vec<Vec<u8>>, TpmError> {
        let mut tpm = self.open()?;
        let indices = tpm.handles(*template::CHAIN_INDICES.start())?;
        let mut chain = Vec::new();
        for index in indices.into_iter().filter(|index| template::CHAIN_INDICES.contains(index)) {
            match tpm.read_nv(index) {
                Ok(part) => chain.extend(part.unwrap_or_default()),
                // An index that not everybody may read is not meant for this.
                Err(TpmError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(certificates(&chain))
    }

    /// Opens a credential: TPM2B_ID_OBJECT, then TPM2B_ENCRYPTED_SECRET.
    ///
    /// # Errors
    /// Where it is not for this TPM, or the TPM fails.
    pub fn activate(&self, ek: EkKind, credential: &[u8]) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        self.open()?.with_attestation_key(|tpm, ak| {
            let ak = ak.handle;
            tpm.with_endorsement_key(ek, |tpm, ek| tpm.activate_credential(ak, ek.handle, credential))
        })
    }

    /// Lets the attestation key vouch for a key, with this extra data.
    ///
    /// # Errors
    /// Where the TPM fails.
    pub fn certify(&self, key: &KeyBlob, extra_data: &[u8]) -> Result<Signed, TpmError> {
        self.open()?.with_key(key, |tpm, key| {
            tpm.with_attestation_key(|tpm, ak| tpm.certify(key, ak.handle, extra_data))
        })
    }

    /// Lets the attestation key vouch for these registers of the SHA-256 bank, with this extra data.
    ///
    /// # Errors
    /// Where the TPM fails, or a register keeps changing.
    pub fn quote(&self, registers: &[u8], extra_data: &[u8]) -> Result<Quoted, TpmError> {
        let set = PcrSet::new(Bank::Sha256, registers).ok_or(TpmError::NoRegisters)?;
        let mut tpm = self.open()?;
        // A register may be extended between reading and quoting.
        for _ in 0..ATTEMPTS {
            let values = tpm.read_registers(set)?;
            let signed = tpm.with_attestation_key(|tpm, ak| tpm.quote(ak.handle, set, extra_data))?;
            let again = tpm.read_registers(set)?;
            if again == values {
                return Ok(Quoted { signed, values });
            }
        }
        Err(TpmError::Restless)
    }
}

/// How often a quote is tried while registers change.
const ATTEMPTS: usize = 4;

/// A certificate in non-volatile memory may stand in a larger index, filled up behind it.
fn without_padding(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(length) = certificate_length(&bytes) {
        bytes.truncate(length);
    }
    bytes
}

/// The certificates that stand one behind the other, with or without padding between them.
fn certificates(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    loop {
        let padding = bytes.iter().take_while(|byte| matches!(byte, 0 | 0xff)).count();
        bytes = bytes.get(padding..).unwrap_or_default();
        let Some((der, rest)) = certificate_length(bytes).and_then(|length| bytes.split_at_checked(length))
        else {
            return found;
        };
        found.push(der.to_vec());
        bytes = rest;
    }
}

/// How long the certificate is that the bytes begin with: SEQUENCE with a length of two bytes, for no X.509 certificate
/// is shorter than 256 bytes.
fn certificate_length(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [0x30, 0x82, high, low, ..] => Some(4 + usize::from(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}

/// Reads a public area that came from the TPM.
fn public(bytes: &[u8]) -> Result<PublicArea<'_>, TpmError> {
    Ok(PublicArea::parse(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::{Tpm, certificates, without_padding};
    use std::path::Path;

    /// As long as a certificate says it is.
    fn der(length: u16, filling: u8) -> Vec<u8> {
        let [high, low] = length.to_be_bytes();
        [vec![0x30, 0x82, high, low], vec![filling; length.into()]].concat()
    }

    #[test]
    fn certificates_are_told_apart_by_their_lengths_whatever_fills_the_space_between_them() {
        let (one, two) = (der(300, 0), der(700, 0xff));
        assert_eq!(without_padding([&one[..], &[0xff; 40]].concat()), one);
        assert_eq!(certificates(&[&one[..], &two].concat()), [one.clone(), two.clone()]);
        let padded = [&[0; 3], &one[..], &[0xff; 9], &[0; 9], &two, &[0xff; 500]].concat();
        assert_eq!(certificates(&padded), [one.clone(), two.clone()]);
        // One that is not all there, and what is none.
        assert_eq!(certificates(&[&one[..], &two[..two.len() - 1]].concat()), vec![one.clone()]);
        assert_eq!(certificates(&[&one[..], b"text", &two].concat()), [one]);
        assert_eq!(certificates(&[0xff; 700]), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn only_the_resource_managers_device_is_shared() {
        let folder = std::env::temp_dir().join(format!("tpm-client-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let make = |name: &str| {
            std::fs::write(folder.join(name), "").unwrap();
            Tpm::new(&folder.join(name)).is_shared()
        };
        assert!(make("tpmrm0") && make("tpmrm12"));
        assert!(!make("tpm0") && !make("tpm1"));
        // By another name for it.
        std::os::unix::fs::symlink("tpmrm0", folder.join("tpm")).unwrap();
        assert!(Tpm::new(&folder.join("tpm")).is_shared());
        let socket = std::os::unix::net::UnixListener::bind(folder.join("tpmrm.sock")).unwrap();
        assert!(!Tpm::new(&folder.join("tpmrm.sock")).is_shared());
        assert!(!Tpm::new(Path::new("/nowhere/tpmrm0")).is_shared());
        drop(socket);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
