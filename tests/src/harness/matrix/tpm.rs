//! Evidence by TPM.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SubjectPublicKeyInfo,
};
use shared::message::latest::EvidenceKind;
use shared::tpm2::PublicArea;
use shared::{DeviceId, Reject};
use tpm_client::EkKind;

use super::{Challenged, Expected, Presented, Spoil, Subject, of_signed_evidence};
use crate::harness::device::Csr;
use crate::harness::hand_tpm::{HandTpm, Parts};
use crate::harness::measured_boot::Firmware;
use crate::harness::swtpm::Swtpm;
use crate::harness::tpm_fleet::{GOOD, OLD, TpmFleet};

/// A device of a fleet with TPMs.
#[derive(Debug)]
pub struct TpmSubject {
    id: DeviceId,
    device: HandTpm,
    event_log: PathBuf,
    swtpm: Mutex<Swtpm>,
}

impl TpmSubject {
    /// Takes the last device out of a fleet.
    ///
    /// # Panics
    /// Where the fleet has none.
    #[must_use]
    pub fn take(fleet: &mut TpmFleet) -> Self {
        let (id, swtpm) = fleet.devices.pop().zip(fleet.tpms.pop()).expect("a device");
        let above = std::fs::read(fleet.maker.issuer()).expect("the maker's issuing CA");
        let device = HandTpm {
            tpm: swtpm.tpm(),
            ek: EkKind::Rsa2048,
            above: ca::pem::read_certificates(&above).expect("certificates"),
        };
        let event_log = swtpm.event_log();
        Self { id: DeviceId::new(&id).expect("an identifier"), device, event_log, swtpm: Mutex::new(swtpm) }
    }

    fn boot(&self, firmware: &Firmware) {
        self.swtpm.lock().unwrap_or_else(PoisonError::into_inner).boot(firmware);
    }

    fn parts(&self, challenged: &Challenged, csr: &Csr) -> Parts {
        let log = std::fs::read(&self.event_log).expect("an event log");
        let credential = challenged.credential.as_deref().unwrap_or_default();
        self.device.parts(&challenged.nonce, credential, &csr.key, Some(log))
    }
}

impl Subject for TpmSubject {
    fn device(&self) -> &DeviceId {
        &self.id
    }

    fn kind(&self) -> EvidenceKind {
        EvidenceKind::Tpm2
    }

    fn introduction(&self) -> Option<Vec<u8>> {
        Some(self.device.introduction())
    }

    fn csr(&self) -> Csr {
        self.device.csr()
    }

    fn present(&self, challenged: &Challenged, csr: &Csr, spoil: Option<Spoil>) -> Presented {
        let firmware = match spoil {
            Some(Spoil::OldVersion) => Some(Firmware::new(OLD)),
            Some(Spoil::OpenDebug) => Some(Firmware::new(GOOD).with_debugger()),
            _ => None,
        };
        if let Some(firmware) = &firmware {
            self.boot(firmware);
        }
        let mut parts = self.parts(challenged, csr);
        if firmware.is_some() {
            self.boot(&Firmware::new(GOOD));
        }
        if spoil == Some(Spoil::WrongMaker) {
            parts.ek_chain = vec![stranger(&parts.ek_public)];
        }
        Presented { body: parts.encode(), endorsements: Vec::new() }
    }

    fn break_signature(&self, presented: &mut Presented) {
        let mut parts = Parts::decode(&presented.body);
        *parts.certify_signature.last_mut().expect("a signature") ^= 1;
        presented.body = parts.encode();
    }

    fn expected(&self, spoil: Spoil) -> Expected {
        match spoil {
            Spoil::OtherDevice => Expected::Refused(Reject::EvidenceDevice, "tpm-activation"),
            _ => of_signed_evidence(spoil),
        }
    }
}

/// An EK certificate for this key by a maker that is made here and forgotten.
///
/// # Panics
/// Where it is no key.
#[must_use]
pub fn stranger(ek_public: &[u8]) -> Vec<u8> {
    let mut maker = CertificateParams::default();
    maker.distinguished_name = DistinguishedName::new();
    maker.distinguished_name.push(DnType::CommonName, "Stranger TPM CA");
    maker.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    maker.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let maker_key = KeyPair::generate().expect("a key");
    ek_certificate(ek_public, &maker, &maker_key, true)
}

/// An EK certificate for this key by this maker; without the usage of EK certificates where `is_ek` is false.
///
/// # Panics
/// Where it is no key.
#[must_use]
pub fn ek_certificate(
    ek_public: &[u8],
    maker: &CertificateParams,
    maker_key: &KeyPair,
    is_ek: bool,
) -> Vec<u8> {
    let area = PublicArea::parse(ek_public).expect("a public area");
    let key = SubjectPublicKeyInfo::from_der(&appraisal::tpm::spki_der(&area)).expect("a key");
    let mut device = CertificateParams::default();
    device.distinguished_name = DistinguishedName::new();
    device.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    if is_ek {
        device.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(vec![2, 23, 133, 8, 1])];
    }
    device.use_authority_key_identifier_extension = true;
    let issuer = Issuer::from_params(maker, maker_key);
    device.signed_by(&key, &issuer).expect("a certificate").der().to_vec()
}
