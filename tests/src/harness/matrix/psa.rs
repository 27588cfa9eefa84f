//! Evidence by PSA token.

use firmware_sim::device::root_of_trust;
use firmware_sim::psa::{NON_ROT_DEBUG, RootOfTrust};
use p256::ecdsa::SigningKey;
use p256::pkcs8::DecodePrivateKey as _;
use rcgen::KeyPair;
use shared::DeviceId;
use shared::evidence::key_thumbprint;
use shared::message::latest::EvidenceKind;

use super::idevid::endorse;
use super::{Challenged, Presented, Spoil, Subject};
use crate::harness::device::Csr;
use crate::harness::world::World;

/// Where the server has the attestation key from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// An operator registered it.
    Registered,
    /// A chain that goes with the evidence.
    Chain,
}

/// A device of the world's lot, and a root of trust of the same device by a maker nobody knows.
#[derive(Debug)]
pub struct PsaSubject {
    id: DeviceId,
    genuine: RootOfTrust,
    chain: Vec<Vec<u8>>,
    stranger: RootOfTrust,
    strange_chain: Vec<Vec<u8>>,
}

impl PsaSubject {
    /// A device of the world's lot.
    ///
    /// # Panics
    /// Where the factory's files cannot be used.
    #[must_use]
    pub fn new(world: &World, id: &str, source: KeySource) -> Self {
        let folder = world.path(&format!("lot/devices/{id}"));
        let (genuine, chain) = root_of_trust(&folder).expect("a root of trust");
        let chain = match source {
            KeySource::Registered => Vec::new(),
            KeySource::Chain => chain.iter().map(|der| der.to_vec()).collect(),
        };
        let key = KeyPair::generate().expect("a key");
        let signing = SigningKey::from_pkcs8_der(&key.serialize_der()).expect("a P-256 key");
        let stranger = RootOfTrust::new(signing, "any", genuine.state.components.clone());
        let id = DeviceId::new(id).expect("an identifier");
        Self { strange_chain: vec![endorse(id.as_str(), &key)], id, genuine, chain, stranger }
    }
}

impl Subject for PsaSubject {
    fn device(&self) -> &DeviceId {
        &self.id
    }

    fn kind(&self) -> EvidenceKind {
        EvidenceKind::PsaToken
    }

    fn present(&self, challenged: &Challenged, csr: &Csr, spoil: Option<Spoil>) -> Presented {
        let (mut root_of_trust, endorsements) = match spoil {
            Some(Spoil::WrongMaker) => (self.stranger.clone(), self.strange_chain.clone()),
            _ => (self.genuine.clone(), self.chain.clone()),
        };
        match spoil {
            Some(Spoil::OldVersion) => {
                for component in &mut root_of_trust.state.components {
                    component.version = "0.0.1".to_owned();
                }
            }
            Some(Spoil::OpenDebug) => root_of_trust.state.lifecycle = NON_ROT_DEBUG,
            _ => {}
        }
        let challenge = [challenged.nonce, key_thumbprint(&csr.point)].concat();
        Presented { body: root_of_trust.sign(&challenge).expect("a token"), endorsements }
    }
}
