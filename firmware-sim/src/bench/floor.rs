//! The floor: what the bare cryptography in a piece of work costs on this machine, by the library that the server
//! uses (aws-lc-rs), in processor time of one thread.
//!
//! No X.509, no HTTP, no store: only what nobody can leave out.

use core::time::Duration;

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, digest};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
};
use serde::Serialize;

use super::BenchError;
use super::process::thread_cpu;

/// How often each operation is done by the server in one piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Operations {
    /// Makes a P-256 key share.
    pub generate: u32,
    /// Agrees on a secret by ECDH.
    pub agree: u32,
    /// Signs with ECDSA, SHA-256 over the message included.
    pub sign: u32,
    /// Verifies an ECDSA signature, SHA-256 over the message included.
    pub verify: u32,
    /// Goes through TLS 1.3 beside its public-key operations: transcript, key schedule, records.
    pub tls: u32,
    /// The same with SHA-384, at the listener of EST.
    pub tls_sha384: u32,
    /// Hashes a kilobyte for the protocol: thumbprints, identifiers of keys, nonces.
    pub hash: u32,
}

/// Processor time of one of each of the [`Operations`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Costs {
    /// Making a key share, in microseconds.
    pub generate_us: f64,
    /// Agreeing, in microseconds.
    pub agree_us: f64,
    /// Signing, in microseconds.
    pub sign_us: f64,
    /// Verifying, in microseconds.
    pub verify_us: f64,
    /// The symmetric part of a TLS connection, in microseconds.
    pub tls_us: f64,
    /// The same with SHA-384, in microseconds.
    pub tls_sha384_us: f64,
    /// Hashing a kilobyte, in microseconds.
    pub hash_us: f64,
}

impl Costs {
    /// Measures all of them, on the calling thread.
    ///
    /// # Errors
    /// Where the library or the system's clock fails.
    pub fn measure() -> Result<Self, BenchError> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
        let random = SystemRandom::new();
        let message = [0x5a; MESSAGE];
        let signed = key.sign(&random, &message)?;
        let public = key.public_key().as_ref().to_vec();
        let other = EphemeralPrivateKey::generate(&ECDH_P256, &random)?.compute_public_key()?;
        let generate = time(|| {
            EphemeralPrivateKey::generate(&ECDH_P256, &random)?.compute_public_key()?;
            Ok(())
        })?;
        // A private key is good for one agreement, so that making it comes with each and is taken off again.
        let both = time(|| {
            let own = EphemeralPrivateKey::generate(&ECDH_P256, &random)?;
            own.compute_public_key()?;
            agree_ephemeral(own, UnparsedPublicKey::new(&ECDH_P256, &other), Unspecified, |_| Ok(()))
        })?;
        Ok(Self {
            generate_us: generate,
            agree_us: (both - generate).max(0.0),
            sign_us: time(|| key.sign(&random, &message).map(|_| ()))?,
            verify_us: time(|| {
                signature::UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &public)
                    .verify(&message, signed.as_ref())
            })?,
            tls_us: time(|| tls(SHA_256))?,
            tls_sha384_us: time(|| tls(SHA_384))?,
            hash_us: time(|| {
                core::hint::black_box(digest(&SHA256, &[0x5a; 1024]));
                Ok(())
            })?,
        })
    }

    /// The floor of a piece of work, in microseconds.
    #[must_use]
    pub fn of(&self, operations: Operations) -> f64 {
        let Operations { generate, agree, sign, verify, tls, tls_sha384, hash } = operations;
        [
            (generate, self.generate_us),
            (agree, self.agree_us),
            (sign, self.sign_us),
            (verify, self.verify_us),
            (tls, self.tls_us),
            (tls_sha384, self.tls_sha384_us),
            (hash, self.hash_us),
        ]
        .into_iter()
        .map(|(times, cost)| f64::from(times) * cost)
        .sum()
    }

    /// The middle between this and a later measurement, by which a machine that becomes slower or faster meanwhile
    /// is the same for the floor as for the server.
    #[must_use]
    pub fn between(&self, later: &Self) -> Self {
        let middle = |a: f64, b: f64| f64::midpoint(a, b);
        Self {
            generate_us: middle(self.generate_us, later.generate_us),
            agree_us: middle(self.agree_us, later.agree_us),
            sign_us: middle(self.sign_us, later.sign_us),
            verify_us: middle(self.verify_us, later.verify_us),
            tls_us: middle(self.tls_us, later.tls_us),
            tls_sha384_us: middle(self.tls_sha384_us, later.tls_sha384_us),
            hash_us: middle(self.hash_us, later.hash_us),
        }
    }
}

/// Length of what is signed: about that of a certificate's or a request's content, in bytes.
const MESSAGE: usize = 400;
/// HMACs of a TLS 1.3 handshake (RFC 8446, section 7.1): three extractions, eight secrets, a key and an IV for each of
/// four directions, two keys for Finished and two Finished.
const HMACS: usize = 23;
/// Bytes of the handshake's messages, which the transcript covers.
const TRANSCRIPT: usize = 2_048;
/// Bytes in protected records, both ways: the server's flight, two requests, two answers.
const PROTECTED: usize = 6_144;

/// The algorithms of a suite, and the length of its keys.
type Suite = (hmac::Algorithm, &'static Algorithm, &'static aead::Algorithm, usize);
/// What the native listener prefers: TLS_AES_128_GCM_SHA256.
const SHA_256: Suite = (hmac::HMAC_SHA256, &SHA256, &aead::AES_128_GCM, 16);
/// What the listener of EST comes to with the clients of the load, whose order it goes by: TLS_AES_256_GCM_SHA384.
const SHA_384: Suite = (hmac::HMAC_SHA384, &SHA384, &aead::AES_256_GCM, 32);

/// The symmetric cryptography of one connection.
fn tls((mac, hash, cipher, key): Suite) -> Result<(), Unspecified> {
    let secret = vec![0x5a; hash.output_len];
    let mac = hmac::Key::new(mac, &secret);
    for _ in 0..HMACS {
        core::hint::black_box(hmac::sign(&mac, &[0x5a; 64]));
    }
    core::hint::black_box(digest(hash, &[0x5a; TRANSCRIPT]));
    let key = LessSafeKey::new(UnboundKey::new(cipher, &vec![0x5a; key])?);
    let mut record = vec![0x5a; PROTECTED];
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from([0x17; 5]), &mut record)?;
    let _sealed = core::hint::black_box((tag, record));
    Ok(())
}

/// How often an operation is done for one reading of the clock, and how many readings the middle one is taken of.
const BATCH: u32 = 200;
const BATCHES: usize = 9;

/// Processor time of `operation`, in microseconds: the median of some batches.
fn time(mut operation: impl FnMut() -> Result<(), Unspecified>) -> Result<f64, BenchError> {
    let mut took = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let begun = thread_cpu();
        for _ in 0..BATCH {
            operation()?;
        }
        took.push(thread_cpu().saturating_sub(begun));
    }
    took.sort_unstable();
    let median = took.get(BATCHES / 2).copied().unwrap_or(Duration::ZERO);
    Ok(median.as_secs_f64() * 1e6 / f64::from(BATCH))
}

impl From<Unspecified> for BenchError {
    fn from(_: Unspecified) -> Self {
        Self::Cryptography
    }
}

#[cfg(test)]
mod tests {
    use super::{Costs, Operations};
    use crate::bench::Work;

    #[test]
    fn the_floor_is_the_sum_of_what_is_done() {
        let costs = Costs {
            generate_us: 1.0,
            agree_us: 10.0,
            sign_us: 100.0,
            verify_us: 1_000.0,
            tls_us: 10_000.0,
            tls_sha384_us: 100_000.0,
            hash_us: 1_000_000.0,
        };
        let work = Operations { generate: 1, agree: 2, sign: 3, verify: 4, tls: 5, tls_sha384: 6, hash: 7 };
        assert!((costs.of(work) - 7_654_321.0).abs() < 1e-6);
        assert_eq!(costs.between(&costs), costs);
    }

    #[test]
    fn a_connection_is_reckoned_with_the_suite_of_its_listener() {
        for (work, expected) in [
            (Work::Enroll, (1, 0)),
            (Work::Renew, (1, 0)),
            (Work::Connect, (1, 0)),
            (Work::Resume, (1, 0)),
            (Work::EstEnroll, (0, 1)),
            (Work::EstReenroll, (0, 1)),
            (Work::Ocsp, (0, 0)),
        ] {
            let Operations { tls, tls_sha384, .. } = work.operations();
            assert_eq!((tls, tls_sha384), expected, "{work:?}");
        }
    }

    #[test]
    fn each_operation_takes_some_time() {
        let costs = Costs::measure().unwrap();
        for cost in [
            costs.generate_us,
            costs.sign_us,
            costs.verify_us,
            costs.tls_us,
            costs.tls_sha384_us,
            costs.hash_us,
        ] {
            assert!(cost > 0.0, "{costs:?}");
        }
    }
}
