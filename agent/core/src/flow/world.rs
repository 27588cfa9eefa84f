//! What an agent is put together from.

use rand_core::CryptoRngCore;

use crate::platform::{Attester, Broker, Clock, KeyStore, Observer, Storage, Transport};

/// The parts of a device, each an implementation of a trait of [`crate::platform`].
#[derive(Debug)]
pub struct Platform<KS, ST, CL, RN, AT, TR, BR, OB> {
    /// Operational keys.
    pub keys: KS,
    /// Durable records.
    pub storage: ST,
    /// Time.
    pub clock: CL,
    /// Randomness for keys, jitter and blinding.
    pub rng: RN,
    /// Proof of what the device is.
    pub attester: AT,
    /// HTTPS to the enrollment server.
    pub transport: TR,
    /// MQTT.
    pub broker: BR,
    /// Told what happens.
    pub observer: OB,
}

/// The types behind a [`Platform`], under one name. Implemented for [`Platform`]; nothing else needs it.
pub trait World {
    /// Operational keys.
    type Keys: KeyStore;
    /// Durable records.
    type Storage: Storage;
    /// Time.
    type Clock: Clock;
    /// Randomness.
    type Rng: CryptoRngCore;
    /// Proof of what the device is.
    type Attester: Attester;
    /// HTTPS to the enrollment server.
    type Transport: Transport<KeyOf<Self>>;
    /// MQTT.
    type Broker: Broker<KeyOf<Self>>;
    /// Told what happens.
    type Observer: Observer;

    /// All parts at once, each borrowed apart.
    fn parts(&mut self) -> Parts<'_, Self>;
}

/// An opened key of a [`World`].
pub type KeyOf<W> = <<W as World>::Keys as KeyStore>::Key;

/// The parts of a [`World`], borrowed.
#[derive(Debug)]
pub struct Parts<'w, W: World + ?Sized> {
    /// Operational keys.
    pub keys: &'w mut W::Keys,
    /// Durable records.
    pub storage: &'w mut W::Storage,
    /// Time.
    pub clock: &'w mut W::Clock,
    /// Randomness.
    pub rng: &'w mut W::Rng,
    /// Proof of what the device is.
    pub attester: &'w mut W::Attester,
    /// HTTPS to the enrollment server.
    pub transport: &'w mut W::Transport,
    /// MQTT.
    pub broker: &'w mut W::Broker,
    /// Told what happens.
    pub observer: &'w mut W::Observer,
}

impl<KS, ST, CL, RN, AT, TR, BR, OB> World for Platform<KS, ST, CL, RN, AT, TR, BR, OB>
where
    KS: KeyStore,
    ST: Storage,
    CL: Clock,
    RN: CryptoRngCore,
    AT: Attester,
    TR: Transport<KS::Key>,
    BR: Broker<KS::Key>,
    OB: Observer,
{
    type Keys = KS;
    type Storage = ST;
    type Clock = CL;
    type Rng = RN;
    type Attester = AT;
    type Transport = TR;
    type Broker = BR;
    type Observer = OB;

    fn parts(&mut self) -> Parts<'_, Self> {
        Parts {
            keys: &mut self.keys,
            storage: &mut self.storage,
            clock: &mut self.clock,
            rng: &mut self.rng,
            attester: &mut self.attester,
            transport: &mut self.transport,
            broker: &mut self.broker,
            observer: &mut self.observer,
        }
    }
}
