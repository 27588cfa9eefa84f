//! Keys in files of operators: PKCS#8 in PEM, encrypted or not, and what a TPM encrypted.

use ca::key::{FileKey, IssuerKey as _, KeyFile, MAX_ITERATIONS, MAX_MEMORY, MAX_PASSES, Passphrase};
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use pkcs8::pkcs5::pbes2::{Kdf, Parameters};
use pkcs8::pkcs5::scrypt;
use pkcs8::{EncryptedPrivateKeyInfo, PrivateKeyInfo};
use tpm_client::objects::KeyBlob;

/// The text of a key file. What is no PEM is put into it under each of the labels, so that what is changed in it is read.
pub(super) fn operator_key(data: &[u8]) -> bool {
    match core::str::from_utf8(data) {
        Ok(text) if text.contains("-----BEGIN") => {
            let blob = ca::pem::read_tpm_key(text).is_ok_and(|blob| of_a_tpm(&blob));
            in_file(text) || blob
        }
        _ => {
            let open = in_file(&ca::pem::private_key(data));
            let locked = in_file(&ca::pem::encrypted_private_key(data));
            open || locked || of_a_tpm(data)
        }
    }
}

fn in_file(text: &str) -> bool {
    match KeyFile::parse(text) {
        Ok(KeyFile::Open(key)) => {
            reads_the_same(&key);
            true
        }
        Ok(KeyFile::Locked(locked)) => {
            let der = ca::pem::read_encrypted_private_key(text).expect("it was read");
            let file = EncryptedPrivateKeyInfo::try_from(der.as_slice()).expect("it was read");
            let scheme = file.encryption_algorithm.pbes2().expect("no other scheme is taken");
            // A fuzzer has no seconds for one input: only what costs little is opened.
            if cost(scheme) <= 4_096
                && let Ok(key) = locked.unlock(&passphrase())
            {
                reads_the_same(&key);
            }
            true
        }
        Err(_) => false,
    }
}

/// Some thousandths of a millisecond; within its limits, whatever a file says.
fn cost(scheme: &Parameters<'_>) -> u64 {
    match &scheme.kdf {
        Kdf::Pbkdf2(parameters) => {
            assert!(
                parameters.iteration_count <= MAX_ITERATIONS,
                "{} iterations",
                parameters.iteration_count
            );
            parameters.iteration_count.into()
        }
        Kdf::Scrypt(parameters) => {
            let (n, r, p) = (parameters.cost_parameter, parameters.block_size, parameters.parallelization);
            let memory = u128::from(r) * 128 * (u128::from(n) + u128::from(p));
            assert!(memory <= MAX_MEMORY.into() && p <= MAX_PASSES, "scrypt with {n}, {r}, {p}");
            n * u64::from(r) * u64::from(p)
        }
        _ => panic!("a derivation that is not bounded was taken"),
    }
}

/// What was read and written again is the same key, and another decoder finds it too.
fn reads_the_same(key: &FileKey) {
    let Ok(KeyFile::Open(again)) = KeyFile::parse(&ca::pem::private_key(key.pkcs8())) else {
        panic!("a key that was read is not read again")
    };
    assert_eq!(again.public_point(), key.public_point());
    if let Ok(other) = p256::SecretKey::from_pkcs8_der(key.pkcs8()) {
        let point = p256::ecdsa::SigningKey::from(other).verifying_key().to_encoded_point(false);
        assert_eq!(point.as_bytes(), key.public_point());
    }
}

/// A key that a TPM encrypted; there is one spelling.
fn of_a_tpm(blob: &[u8]) -> bool {
    let Ok(read) = KeyBlob::from_bytes(blob) else { return false };
    assert_eq!(read.to_bytes(), blob);
    read.point().is_ok()
}

fn passphrase() -> Passphrase {
    Passphrase::new(b"correct horse".to_vec().into()).expect("a passphrase")
}

/// Seeds of this target, made without randomness so that they can be made again. The cost of encrypted ones is next to nothing.
pub(super) fn seeds(target: &str) -> Option<Vec<(String, Vec<u8>)>> {
    if target != "operator_key" {
        return None;
    }
    let key = p256::SecretKey::from_slice(&[7; 32]).expect("a number below the order of P-256");
    let der = key.to_pkcs8_der().expect("a key").as_bytes().to_vec();
    let (salt, iv) = ([1; 16], [2; 16]);
    let pbkdf2 = Parameters::pbkdf2_sha256_aes256cbc(2, &salt, &iv).expect("parameters");
    let cost = scrypt::Params::new(4, 8, 1, 32).expect("a cost");
    let scrypt = Parameters::scrypt_aes256cbc(cost, &salt, &iv).expect("parameters");
    let [pbkdf2, scrypt] = [pbkdf2, scrypt].map(|scheme| {
        let key = PrivateKeyInfo::try_from(der.as_slice()).expect("a key");
        key.encrypt_with_params(scheme, "correct horse").expect("an encrypted key").as_bytes().to_vec()
    });
    let blob = KeyBlob { public: crate::tpm_exchange::bytes("key_public"), private: vec![9; 126] }.to_bytes();
    Some(vec![
        ("open".into(), ca::pem::private_key(&der).as_bytes().to_vec()),
        ("pbkdf2".into(), ca::pem::encrypted_private_key(&pbkdf2).as_bytes().to_vec()),
        ("tpm".into(), ca::pem::tpm_key(&blob).as_bytes().to_vec()),
        ("open-der".into(), der),
        ("pbkdf2-der".into(), pbkdf2),
        ("scrypt-der".into(), scrypt),
        ("tpm-blob".into(), blob),
    ])
}
