//! A key file that is encrypted under a passphrase: EncryptedPrivateKeyInfo (RFC 5958, section 3) with PBES2
//! (RFC 8018, section 6.2) in PEM.
//!
//! Written with scrypt (RFC 7914) and AES-256-CBC, read with whatever PBES2 scheme `openssl pkcs8 -topk8` writes.
//! Where the passphrase comes from is for the caller to say.

use core::fmt;
use std::path::Path;

use pkcs8::pkcs5::pbes2::{Kdf, ScryptParams};
use pkcs8::pkcs5::{EncryptionScheme, pbes2, scrypt};
use pkcs8::{EncryptedPrivateKeyInfo, PrivateKeyInfo};
use rand_core::{OsRng, RngCore as _};
use zeroize::Zeroizing;

use super::{FileKey, KeyError};
use crate::pem;
use crate::secret::read_secret;

/// Cost of scrypt: 16 MiB five times over. openssl reads nothing that takes more than 32 MiB.
const LOG_N: u8 = 14;

/// Most iterations of PBKDF2 that are computed, in a file of somebody else's: some seconds.
pub const MAX_ITERATIONS: u32 = 10_000_000;
/// Most memory for scrypt, in bytes, as openssl has it.
pub const MAX_MEMORY: u64 = 32 << 20;
/// How often scrypt goes through its memory at most.
pub const MAX_PASSES: u16 = 16;

/// Longest passphrase, in bytes.
pub const MAX_PASSPHRASE: usize = 1024;

/// What a key is encrypted under. Wiped when dropped, and never shown.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Takes a text; line ends behind it, as editors and `echo` leave them, do not count.
    ///
    /// # Errors
    /// Where nothing is left of it, or more than [`MAX_PASSPHRASE`] bytes.
    pub fn new(text: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        let mut text = text;
        while matches!(text.last(), Some(b'\n' | b'\r')) {
            text.pop();
        }
        if text.is_empty() || text.len() > MAX_PASSPHRASE {
            return Err(KeyError::Passphrase);
        }
        Ok(Self(text))
    }

    /// Reads a file that is for its owner only.
    ///
    /// # Errors
    /// Where others have access to it, or it holds no passphrase.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = read_secret(path)?;
        Self::new(Zeroizing::new(text.as_bytes().to_vec()))
    }

    /// Whether the other one is the same; in constant time but for the length.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase([redacted])")
    }
}

/// A key file as it was read: open, or waiting for its passphrase.
#[derive(Debug)]
pub enum KeyFile {
    /// PKCS#8 in the clear.
    Open(Box<FileKey>),
    /// Encrypted.
    Locked(LockedKey),
}

impl KeyFile {
    /// Reads the text of a key file, encrypted or not.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] where it holds no key, [`KeyError::TooCostly`] where opening it would take too much.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if let Ok(locked) = pem::read_encrypted_private_key(text) {
            return LockedKey::from_der(&locked).map(Self::Locked);
        }
        let pkcs8 = pem::read_private_key(text).map_err(|_| KeyError::Malformed)?;
        FileKey::from_pkcs8(&pkcs8).map(|key| Self::Open(Box::new(key)))
    }

    /// The key; `passphrase` is asked only where it is needed.
    ///
    /// # Errors
    /// Where there is no passphrase, or it is not the key's.
    pub fn unlock(
        self,
        passphrase: impl FnOnce() -> Result<Passphrase, KeyError>,
    ) -> Result<FileKey, KeyError> {
        match self {
            Self::Open(key) => Ok(*key),
            Self::Locked(locked) => locked.unlock(&passphrase()?),
        }
    }
}

/// An encrypted key.
pub struct LockedKey {
    der: Vec<u8>,
}

impl LockedKey {
    /// Takes an EncryptedPrivateKeyInfo in DER.
    ///
    /// # Errors
    /// Where it is none, not by a scheme that is understood, or [`KeyError::TooCostly`] to decrypt.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let locked = EncryptedPrivateKeyInfo::try_from(der).map_err(|_| KeyError::Malformed)?;
        check_cost(&locked.encryption_algorithm)?;
        Ok(Self { der: der.to_vec() })
    }

    /// Decrypts it. Takes a noticeable part of a second on purpose.
    ///
    /// # Errors
    /// [`KeyError::WrongPassphrase`], or [`KeyError::Malformed`] where no P-256 key comes out.
    pub fn unlock(&self, passphrase: &Passphrase) -> Result<FileKey, KeyError> {
        let locked =
            EncryptedPrivateKeyInfo::try_from(self.der.as_slice()).map_err(|_| KeyError::Malformed)?;
        let opened = locked.decrypt(passphrase.as_bytes()).map_err(|_| KeyError::WrongPassphrase)?;
        FileKey::from_pkcs8(opened.as_bytes())
    }
}

impl fmt::Debug for LockedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LockedKey({} bytes)", self.der.len())
    }
}

/// The file says what it costs to open it, and the library believes that: terabytes and days, if it says so.
fn check_cost(scheme: &EncryptionScheme<'_>) -> Result<(), KeyError> {
    let EncryptionScheme::Pbes2(scheme) = scheme else { return Err(KeyError::Malformed) };
    let bearable = match &scheme.kdf {
        Kdf::Pbkdf2(parameters) => (1..=MAX_ITERATIONS).contains(&parameters.iteration_count),
        Kdf::Scrypt(parameters) => is_bearable(parameters),
        _ => return Err(KeyError::Malformed),
    };
    if bearable { Ok(()) } else { Err(KeyError::TooCostly) }
}

/// RFC 7914, section 6: 128 r N bytes and 128 r p beside them. The library panics at a cost of zero where overflow is checked.
fn is_bearable(parameters: &ScryptParams<'_>) -> bool {
    let ScryptParams { cost_parameter, block_size, parallelization, .. } = *parameters;
    let blocks = cost_parameter.checked_add(parallelization.into());
    let memory = blocks.and_then(|blocks| blocks.checked_mul(128 * u64::from(block_size)));
    cost_parameter > 1
        && (1..=MAX_PASSES).contains(&parallelization)
        && memory.is_some_and(|memory| (1..=MAX_MEMORY).contains(&memory))
}

/// A PKCS#8 key in PEM, encrypted.
pub(super) fn encrypt(pkcs8: &[u8], passphrase: &Passphrase) -> Result<Zeroizing<String>, KeyError> {
    let key = PrivateKeyInfo::try_from(pkcs8).map_err(|_| KeyError::Malformed)?;
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    OsRng
        .try_fill_bytes(&mut salt)
        .and_then(|()| OsRng.try_fill_bytes(&mut iv))
        .map_err(|_| KeyError::Random)?;
    let cost = scrypt::Params::new(LOG_N, 8, 5, 32).map_err(|_| KeyError::Malformed)?;
    let scheme = pbes2::Parameters::scrypt_aes256cbc(cost, &salt, &iv).map_err(|_| KeyError::Malformed)?;
    let locked = key.encrypt_with_params(scheme, passphrase.as_bytes()).map_err(|_| KeyError::Malformed)?;
    Ok(pem::encrypted_private_key(locked.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::{FileKey, KeyError, KeyFile, LOG_N, LockedKey, MAX_ITERATIONS, MAX_PASSES, Passphrase};
    use crate::key::IssuerKey as _;
    use pkcs8::EncryptedPrivateKeyInfo;
    use pkcs8::der::Encode as _;
    use pkcs8::pkcs5::pbes2::{self, EncryptionScheme, Kdf, Pbkdf2Params, Pbkdf2Prf, ScryptParams};
    use proptest::prelude::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;
    use zeroize::Zeroizing;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.into())).unwrap()
    }

    #[test]
    fn an_encrypted_key_opens_with_its_passphrase_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.key");
        let key = FileKey::generate().unwrap();
        key.save_encrypted(&path, &passphrase("correct horse")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{text}");

        assert!(matches!(FileKey::load(&path), Err(KeyError::Locked { .. })));
        let read = || FileKey::read(&path).unwrap();
        assert_eq!(
            read().unlock(|| Ok(passphrase("correct horse\n"))).unwrap().public_point(),
            key.public_point()
        );
        let wrong = read().unlock(|| Ok(passphrase("battery staple")));
        assert!(matches!(wrong, Err(KeyError::WrongPassphrase)), "{wrong:?}");
        let none = read().unlock(|| Err(KeyError::Passphrase));
        assert!(matches!(none, Err(KeyError::Passphrase)), "{none:?}");
        assert!(!format!("{:?} {:?}", read(), passphrase("secret")).contains("secret"));
    }

    #[test]
    fn an_open_key_asks_for_no_passphrase() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.key");
        FileKey::generate().unwrap().save(&path).unwrap();
        let KeyFile::Open(_) = FileKey::read(&path).unwrap() else { panic!("locked") };
        FileKey::read(&path).unwrap().unlock(|| panic!("it asked")).unwrap();
    }

    #[test]
    fn openssl_reads_ours_and_we_read_openssls() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        let key = FileKey::generate().unwrap();
        key.save_encrypted(&file("ours.key"), &passphrase("hunter2")).unwrap();
        let openssl = |arguments: &[&str]| {
            let done = Command::new("openssl").args(arguments).current_dir(directory.path()).output();
            let done = done.expect("openssl; to have it: apt-get install openssl");
            assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
            done.stdout
        };
        let public =
            openssl(&["pkey", "-in", "ours.key", "-passin", "pass:hunter2", "-pubout", "-outform", "DER"]);
        assert!(public.ends_with(key.public_point()));

        openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "open.key"]);
        for (name, scheme) in
            [("scrypt.key", &["-scrypt"] as &[&str]), ("pbkdf2.key", &["-v2", "aes-256-cbc"])]
        {
            let convert = ["pkcs8", "-topk8", "-in", "open.key", "-out", name, "-passout", "pass:hunter2"];
            openssl(&[&convert, scheme].concat());
            fs::set_permissions(file(name), fs::Permissions::from_mode(0o600)).unwrap();
            let key = FileKey::read(&file(name)).unwrap().unlock(|| Ok(passphrase("hunter2"))).unwrap();
            let public = openssl(&["pkey", "-in", "open.key", "-pubout", "-outform", "DER"]);
            assert!(public.ends_with(key.public_point()), "{name}");
        }
    }

    #[test]
    fn a_passphrase_has_a_length() {
        for bad in [Vec::new(), b"\n\r\n".to_vec(), vec![b'a'; super::MAX_PASSPHRASE + 1]] {
            assert!(matches!(Passphrase::new(Zeroizing::new(bad)), Err(KeyError::Passphrase)));
        }
    }

    /// What a file with this derivation comes to.
    fn taken(kdf: impl Into<Kdf<'static>>) -> Result<LockedKey, KeyError> {
        let scheme =
            pbes2::Parameters { kdf: kdf.into(), encryption: EncryptionScheme::Aes256Cbc { iv: &[2; 16] } };
        let locked =
            EncryptedPrivateKeyInfo { encryption_algorithm: scheme.into(), encrypted_data: &[3; 16] };
        LockedKey::from_der(&locked.to_der().unwrap())
    }

    #[test]
    fn a_file_does_not_say_what_it_costs_to_open_it() {
        let pbkdf2 = |iteration_count| Pbkdf2Params {
            salt: &[1; 16],
            iteration_count,
            key_length: None,
            prf: Pbkdf2Prf::HmacWithSha256,
        };
        let scrypt = |cost_parameter, block_size, parallelization| ScryptParams {
            salt: &[1; 16],
            cost_parameter,
            block_size,
            parallelization,
            key_length: None,
        };
        // openssl's default of old and of today, and the most.
        for iterations in [2_048, 600_000, MAX_ITERATIONS] {
            taken(pbkdf2(iterations)).unwrap();
        }
        for iterations in [0, MAX_ITERATIONS + 1, u32::MAX] {
            assert!(matches!(taken(pbkdf2(iterations)), Err(KeyError::TooCostly)), "{iterations}");
        }
        // openssl's, ours, and what has just room.
        for (n, r, p) in [(1 << 14, 8, 1), (1 << LOG_N, 8, 5), ((1 << 15) - 16, 8, 16)] {
            taken(scrypt(n, r, p)).unwrap();
        }
        for (n, r, p) in [
            (0, 8, 1),
            (1, 8, 1),
            (1 << 15, 8, 1),
            (1 << 62, 8, 1),
            (u64::MAX, u16::MAX, u16::MAX),
            (1 << 10, 8, MAX_PASSES + 1),
            (1 << 10, 0, 1),
            (1 << 10, 8, 0),
        ] {
            assert!(matches!(taken(scrypt(n, r, p)), Err(KeyError::TooCostly)), "{n} {r} {p}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(der in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(LockedKey::from_der(&der).is_err());
        }
    }
}
