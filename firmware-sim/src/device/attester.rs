//! How a device on the microcontroller's stack proves what it is, from what the factory put into it.

use agent_core::evidence::{
    ClaimAttester, DiceAttester, Firmware, IdevidAttester, PsaAttester, SymmetricAttester,
};
use agent_core::keystore::SoftKey;
use agent_core::platform::{AttestError, Attester, PublicPoint};
use rustls_pki_types::CertificateDer;
use shared::DeviceId;
use shared::evidence::{DebugStatus, Digest, Measurement};
use shared::limits::MAX_CHAIN;
use shared::message::latest::{EvidenceKind, Nonce};
use zeroize::Zeroizing;

use super::{DeviceError, DeviceSpec, root_of_trust};
use crate::factory::Evidence;
use crate::psa::RootOfTrust;

/// What the factory put into the device.
pub(crate) struct Factory {
    chain: Vec<CertificateDer<'static>>,
    secret: Secret,
}

enum Secret {
    Claim(SoftKey),
    Symmetric(Zeroizing<String>),
    Dice(SoftKey),
    Idevid(SoftKey),
    Psa(Box<RootOfTrust>),
}

impl Factory {
    pub(crate) fn read(spec: &DeviceSpec) -> Result<Self, DeviceError> {
        Ok(match spec.settings.evidence {
            Evidence::Idevid => {
                let (chain, key) = spec.read_idevid()?;
                Self { chain, secret: Secret::Idevid(SoftKey::from(p256::ecdsa::SigningKey::from(key))) }
            }
            Evidence::Symmetric => {
                Self { chain: Vec::new(), secret: Secret::Symmetric(spec.read_symmetric()?) }
            }
            Evidence::Claim => {
                let (chain, key) = spec.read_claim()?;
                Self { chain, secret: Secret::Claim(SoftKey::from(p256::ecdsa::SigningKey::from(key))) }
            }
            Evidence::Dice => {
                let booted = spec.boot()?;
                let chain = booted.chain.into_iter().map(CertificateDer::from).collect();
                let key = SoftKey::from(p256::ecdsa::SigningKey::from(booted.alias));
                Self { chain, secret: Secret::Dice(key) }
            }
            Evidence::Psa => {
                let (root_of_trust, chain) = root_of_trust(&spec.dir)?;
                Self { chain, secret: Secret::Psa(Box::new(root_of_trust)) }
            }
        })
    }

    /// The attester over it.
    pub(crate) fn attester<'f>(&'f self, spec: &'f DeviceSpec) -> Result<SimAttester<'f>, DeviceError> {
        let chain: Vec<&[u8]> = self.chain.iter().map(AsRef::as_ref).collect();
        match &self.secret {
            Secret::Idevid(key) => IdevidAttester::new(key.clone(), &chain, firmware(spec)?)
                .map(|attester| SimAttester::Idevid(Box::new(attester)))
                .map_err(|_| spec.form("idevid.pem", "the IDevID of the key beside it")),
            Secret::Symmetric(text) => SymmetricAttester::new(spec.device_id()?, text, firmware(spec)?)
                .map(|attester| SimAttester::Symmetric(Box::new(attester)))
                .map_err(|_| spec.form("device.key", "the symmetric key of a device")),
            Secret::Claim(key) => ClaimAttester::new(key.clone(), spec.device_id()?, &chain, firmware(spec)?)
                .map(|attester| SimAttester::Claim(Box::new(attester)))
                .map_err(|_| spec.form("claim.pem", "the claim certificate of the key beside it")),
            Secret::Dice(key) => DiceAttester::new(key.clone(), &chain)
                .map(|attester| SimAttester::Dice(Box::new(attester)))
                .map_err(|_| spec.form("uds.pem", "the root certificate of the secret beside it")),
            Secret::Psa(root_of_trust) => {
                PsaAttester::new(spec.device_id()?, &chain, RootOfTrust::clone(root_of_trust))
                    .map(|attester| SimAttester::Psa(Box::new(attester)))
                    .map_err(|_| spec.form("iak.pem", "a chain of 4 certificates at most"))
            }
        }
    }
}

/// What the device says of its hardware and firmware.
pub(crate) fn firmware<'s>(spec: &'s DeviceSpec) -> Result<Firmware<'s>, DeviceError> {
    let settings = &spec.settings;
    let unfit = || spec.form("device.toml", "measurements that fit evidence");
    let mut measurements = heapless::Vec::new();
    for measured in &settings.firmware.measurement {
        let mut digest: Digest = [0; 32];
        hex::decode_to_slice(&measured.digest, &mut digest).map_err(|_| unfit())?;
        let (component, version) = (measured.component.as_str(), measured.version.as_str());
        measurements.push(Measurement { component, version, digest }).map_err(|_| unfit())?;
    }
    Ok(Firmware {
        oemid: settings.hardware.maker_number,
        hwmodel: &settings.hardware.model,
        hwversion: &settings.hardware.version,
        swname: &settings.firmware.name,
        swversion: &settings.firmware.version,
        debug: DebugStatus::Disabled,
        measurements,
    })
}

/// [`Attester`] over any of them.
pub(crate) enum SimAttester<'f> {
    Idevid(Box<IdevidAttester<'f, SoftKey>>),
    Dice(Box<DiceAttester<'f, SoftKey>>),
    Psa(Box<PsaAttester<'f, RootOfTrust>>),
    Symmetric(Box<SymmetricAttester<'f>>),
    Claim(Box<ClaimAttester<'f, SoftKey>>),
}

impl Attester for SimAttester<'_> {
    fn device_id(&self) -> &DeviceId {
        match self {
            Self::Idevid(attester) => attester.device_id(),
            Self::Dice(attester) => attester.device_id(),
            Self::Psa(attester) => attester.device_id(),
            Self::Symmetric(attester) => attester.device_id(),
            Self::Claim(attester) => attester.device_id(),
        }
    }

    fn kind(&self) -> EvidenceKind {
        match self {
            Self::Idevid(attester) => attester.kind(),
            Self::Dice(attester) => attester.kind(),
            Self::Psa(attester) => attester.kind(),
            Self::Symmetric(attester) => attester.kind(),
            Self::Claim(attester) => attester.kind(),
        }
    }

    fn attest(&mut self, nonce: &Nonce, csr_key: &PublicPoint, out: &mut [u8]) -> Result<usize, AttestError> {
        match self {
            Self::Idevid(attester) => attester.attest(nonce, csr_key, out),
            Self::Dice(attester) => attester.attest(nonce, csr_key, out),
            Self::Psa(attester) => attester.attest(nonce, csr_key, out),
            Self::Symmetric(attester) => attester.attest(nonce, csr_key, out),
            Self::Claim(attester) => attester.attest(nonce, csr_key, out),
        }
    }

    fn endorsements(&self) -> heapless::Vec<&[u8], MAX_CHAIN> {
        match self {
            Self::Idevid(attester) => attester.endorsements(),
            Self::Dice(attester) => attester.endorsements(),
            Self::Psa(attester) => attester.endorsements(),
            Self::Symmetric(attester) => attester.endorsements(),
            Self::Claim(attester) => attester.endorsements(),
        }
    }
}
