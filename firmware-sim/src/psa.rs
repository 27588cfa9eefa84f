//! A simulated PSA root of trust: an attestation key and what it says about the device (RFC 9783).
//!
//! The tokens are real; the root of trust is not, since its key lies in a file. What a token says stands in
//! [`State`], so that a test can have a device that is wrong.

use agent_core::evidence::{AttestationService, PsaChallenge};
use agent_core::platform::AttestError;
use minicbor::Encoder;
use minicbor::data::Tag;
use minicbor::encode::write::Cursor;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use sha2::{Digest as _, Sha256};
use shared::limits::MAX_EVIDENCE;

/// One software component: measurement type, version, digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Measurement type, for example `App`.
    pub kind: String,
    /// Version of what was loaded.
    pub version: String,
    /// Its SHA-256.
    pub digest: [u8; 32],
}

/// What a root of trust says about its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Which attestation key: 32 bytes.
    pub instance: [u8; 32],
    /// Which make of root of trust.
    pub implementation_id: [u8; 32],
    /// Security lifecycle, major state in the upper byte.
    pub lifecycle: u16,
    /// Differs from boot to boot.
    pub boot_seed: [u8; 32],
    /// What was loaded.
    pub components: Vec<Component>,
}

/// The lifecycle state "secured" (RFC 9783, section 4.3.1).
pub const SECURED: u16 = 0x3000;
/// The lifecycle state in which the application can be debugged.
pub const NON_ROT_DEBUG: u16 = 0x4000;

/// A root of trust.
#[derive(Clone)]
pub struct RootOfTrust {
    key: SigningKey,
    /// What it says.
    pub state: State,
}

impl core::fmt::Debug for RootOfTrust {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RootOfTrust").field("state", &self.state).finish_non_exhaustive()
    }
}

impl RootOfTrust {
    /// A root of trust with this attestation key in a secured device of `model`.
    #[must_use]
    pub fn new(key: SigningKey, model: &str, components: Vec<Component>) -> Self {
        let state = State {
            instance: instance(&key),
            implementation_id: implementation_id(model),
            lifecycle: SECURED,
            // A simulated device boots once.
            boot_seed: Sha256::digest(instance(&key)).into(),
            components,
        };
        Self { key, state }
    }

    /// A token over `challenge`.
    ///
    /// # Errors
    /// Where there is so much to say that the token is longer than evidence may be.
    pub fn sign(&self, challenge: &[u8]) -> Result<Vec<u8>, AttestError> {
        let too_long = |_| AttestError::TooLong;
        let payload = written(|e| self.state.encode(challenge, e)).map_err(too_long)?;
        let signed =
            written(|e| e.array(4)?.str("Signature1")?.bytes(PROTECTED)?.bytes(&[])?.bytes(&payload)?.ok());
        let signature: Signature = self.key.sign(&signed.map_err(too_long)?);
        written(|e| {
            e.tag(Tag::new(COSE_SIGN1))?.array(4)?.bytes(PROTECTED)?.map(0)?;
            e.bytes(&payload)?.bytes(signature.to_bytes().as_slice())?.ok()
        })
        .map_err(too_long)
    }
}

impl AttestationService for RootOfTrust {
    fn token(&mut self, challenge: &PsaChallenge, out: &mut [u8]) -> Result<usize, AttestError> {
        let token = self.sign(challenge)?;
        out.get_mut(..token.len()).ok_or(AttestError::TooLong)?.copy_from_slice(&token);
        Ok(token.len())
    }
}

/// The instance identifier of an attestation key: the hash of its public half, as TF-M makes it.
#[must_use]
pub fn instance(key: &SigningKey) -> [u8; 32] {
    Sha256::digest(key.verifying_key().to_encoded_point(false)).into()
}

/// The implementation identifier of the simulated roots of trust of `model`.
#[must_use]
pub fn implementation_id(model: &str) -> [u8; 32] {
    Sha256::digest(format!("simulated root of trust of {model}")).into()
}

impl State {
    fn encode(&self, challenge: &[u8], e: &mut Out<'_>) -> Result<(), Full> {
        e.map(8)?.u32(10)?.bytes(challenge)?;
        let mut ueid = [0x01; 33];
        for (to, from) in ueid.iter_mut().skip(1).zip(self.instance) {
            *to = from;
        }
        e.u32(256)?.bytes(&ueid)?;
        e.u32(265)?.str("tag:psacertified.org,2023:psa#tfm")?;
        e.u32(268)?.bytes(&self.boot_seed)?;
        // The caller lives outside of the secure world.
        e.u32(2394)?.i32(-1)?;
        e.u32(2395)?.u16(self.lifecycle)?;
        e.u32(2396)?.bytes(&self.implementation_id)?;
        e.u32(2399)?.array(self.components.len() as u64)?;
        for component in &self.components {
            e.map(5)?.u8(1)?.str(&component.kind)?.u8(2)?.bytes(&component.digest)?;
            e.u8(4)?.str(&component.version)?.u8(5)?.bytes(&SIGNER)?.u8(6)?.str("sha-256")?;
        }
        Ok(())
    }
}

/// The protected header: ES256.
const PROTECTED: &[u8] = &[0xa1, 0x01, 0x26];
/// CBOR tag of COSE_Sign1 (RFC 9052, table 1).
const COSE_SIGN1: u64 = 18;
/// Stands for the hash of the key that signed the components.
const SIGNER: [u8; 32] = [0x51; 32];

type Out<'b> = Encoder<Cursor<&'b mut [u8]>>;
type Full = minicbor::encode::Error<minicbor::encode::write::EndOfSlice>;

fn written(write: impl FnOnce(&mut Out<'_>) -> Result<(), Full>) -> Result<Vec<u8>, Full> {
    let mut buffer = vec![0; MAX_EVIDENCE];
    let mut e = Encoder::new(Cursor::new(buffer.as_mut_slice()));
    write(&mut e)?;
    let length = e.writer().position();
    buffer.truncate(length);
    Ok(buffer)
}
