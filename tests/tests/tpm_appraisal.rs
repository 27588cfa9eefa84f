//! The rules for a TPM's evidence, over live TPMs (swtpm): what three of them say is mixed in every way that matters,
//! and each mixture is refused by the rule that is there for it.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

use appraisal::tpm::{ActivationKey, Tpm2};
use appraisal::{
    Appraised, Basis, Endorsements, MakerCa, Policy, Presented, Proof, ReferenceValues, Refusal,
};
use enroll_server::tpm_credential::{CredentialError, Introduced};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose};
use shared::DeviceId;
use shared::evidence::{DebugStatus, Introduction};
use shared::message::latest::Nonce;
use tempfile::TempDir;
use tests::harness::device::{Csr, written};
use tests::harness::hand_tpm::{HandTpm, Parts, prove};
use tests::harness::matrix::tpm::{ek_certificate, stranger};
use tests::harness::measured_boot::Firmware;
use tests::harness::{Swtpm, TpmMaker, now};
use tpm_client::EkKind;

const NONCE: Nonce = [0x5a; 32];
const GOOD: &str = "1.2.0";

/// TPMs of one maker, each on a platform that booted good firmware, and a server that knows the maker.
struct Bench {
    devices: Vec<HandTpm>,
    tpms: Vec<Swtpm>,
    makers: Vec<MakerCa>,
    policy: Policy,
    activation: ActivationKey,
    _folder: TempDir,
}

impl Bench {
    fn new(count: usize) -> Self {
        let folder = TempDir::with_prefix("tpms-").expect("a temporary folder");
        let maker = TpmMaker::new(&folder.path().join("maker"));
        let tpms: Vec<Swtpm> = (0..count)
            .map(|index| {
                let mut tpm = Swtpm::make(&folder.path().join(format!("{index}")), &maker);
                tpm.boot(&Firmware::new(GOOD));
                tpm
            })
            .collect();
        let read = |path| ca::pem::read_certificates(&std::fs::read(path).expect("a file")).expect("PEM");
        let above = read(maker.issuer());
        let devices = tpms
            .iter()
            .map(|tpm| HandTpm { tpm: tpm.tpm(), ek: EkKind::Rsa2048, above: above.clone() })
            .collect();
        let makers = vec![MakerCa::new("swtpm", &read(maker.root())[0]).expect("an RSA root")];
        let policy = "[evidence]\nkinds = [\"tpm2\"]\n[inventory]\nrequired = false\n".to_owned()
            + &Firmware::new(GOOD).reference_values(GOOD);
        Self {
            devices,
            tpms,
            makers,
            policy: Policy::parse("policy.toml", &policy).expect("a policy"),
            activation: ActivationKey::new(&[7; 32]),
            _folder: folder,
        }
    }

    /// The credential for an introduction.
    fn credential(&self, introduction: &[u8]) -> Result<Vec<u8>, CredentialError> {
        let introduced = Introduced::read(introduction)?;
        introduced.credential(&self.activation.secret(&NONCE, introduced.ek(), introduced.ak()))
    }

    fn log(&self, index: usize) -> Option<Vec<u8>> {
        Some(std::fs::read(self.tpms[index].event_log()).expect("an event log"))
    }

    /// Good evidence of a device.
    fn good(&self, index: usize) -> (Csr, Parts) {
        let device = &self.devices[index];
        let csr = device.csr();
        let credential = self.credential(&device.introduction()).expect("a credential");
        let parts = device.parts(&NONCE, &credential, &csr.key, self.log(index));
        (csr, parts)
    }

    fn appraise(&self, csr: &Csr, body: &[u8]) -> Result<Appraised, Refusal> {
        let checked = appraisal::csr::check(&csr.der).expect("a CSR");
        let device = DeviceId::new("TPM-1").expect("an identifier");
        let proof = Proof::Tpm2(Tpm2 { body, nonce: &NONCE, activation: &self.activation });
        let presented = Presented { device: &device, csr: &checked, proof: &proof };
        let makers = Endorsements::new(self.makers.clone());
        let reference_values = ReferenceValues::default();
        let basis = Basis { makers: &makers, policy: &self.policy, reference_values: &reference_values };
        appraisal::appraise(&presented, &basis, None, now())
    }

    /// The rule that refuses this.
    fn refused_by(&self, csr: &Csr, parts: &Parts) -> &'static str {
        match self.appraise(csr, &parts.encode()) {
            Ok(_) => panic!("accepted"),
            Err(refusal) => refusal.rule,
        }
    }
}

#[test]
fn good_evidence_leads_from_the_maker_to_the_registers() {
    let bench = Bench::new(1);
    let (csr, parts) = bench.good(0);
    let appraised = bench.appraise(&csr, &parts.encode()).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let claims = appraised.claims().expect("claims");
    assert_eq!(claims.debug, Some(DebugStatus::Disabled));
    let components: Vec<_> = claims.measurements.iter().map(|m| m.component.as_str()).collect();
    assert_eq!(components, ["pcr-0", "pcr-2", "pcr-4", "pcr-7"]);
    let identity = appraised.idevid_spki_sha256().expect("an identity");
    assert_eq!(hex::encode(identity), bench.tpms[0].identity(EkKind::Rsa2048));
}

#[test]
fn the_makers_revocation_lists_are_asked() {
    let mut bench = Bench::new(1);
    let text = bench.policy.to_toml().replace("crl = \"if-present\"", "crl = \"require\"");
    bench.policy = Policy::parse("policy.toml", &text).expect("a policy");
    let (csr, parts) = bench.good(0);
    let refusal = bench.appraise(&csr, &parts.encode()).expect_err("no list is there");
    assert_eq!(refusal.rule, "endorsement-revocation");
    let found = "no revocation list of the CA that issued certificate";
    assert!(refusal.explanation.contains(found), "{}", refusal.explanation);
}

#[test]
fn what_three_tpms_say_cannot_be_mixed() {
    let bench = Bench::new(3);
    let (csr, mine) = bench.good(0);
    let (_, others) = bench.good(1);
    let (_, third) = bench.good(2);
    assert!(bench.appraise(&csr, &mine.encode()).is_ok());

    let certificate = Parts { ek_chain: others.ek_chain.clone(), ..mine.clone() };
    assert_eq!(bench.refused_by(&csr, &certificate), "evidence-device");
    // Certificate and endorsement key of one, attestation key of another, whatever its proof.
    let ek = Parts { ek_chain: others.ek_chain.clone(), ek_public: others.ek_public.clone(), ..mine.clone() };
    assert_eq!(bench.refused_by(&csr, &ek), "tpm-activation");
    let all_three = Parts { ek_chain: third.ek_chain, ek_public: third.ek_public, ..ek };
    assert_eq!(
        bench.refused_by(&csr, &Parts { activation: others.activation, ..all_three }),
        "tpm-activation"
    );

    // The mixture is introduced: neither TPM can open the credential.
    let introduction = Introduction { ek_public: &others.ek_public, ak_public: &mine.ak_public };
    let introduction = written(|out| introduction.encode(out));
    let credential = bench.credential(&introduction).expect("a credential");
    for device in &bench.devices {
        assert!(
            device.tpm.activate(device.ek, &credential).is_err(),
            "a TPM opened a credential for another pair"
        );
    }

    let quote = Parts {
        quote: others.quote.clone(),
        quote_signature: others.quote_signature.clone(),
        ..mine.clone()
    };
    assert_eq!(bench.refused_by(&csr, &quote), "evidence-signature");
    let key = Parts { key_public: others.key_public.clone(), ..mine.clone() };
    assert_eq!(bench.refused_by(&csr, &key), "tpm-activation");
    // The CSR is for a key of another TPM, or of none.
    assert_eq!(bench.refused_by(&bench.devices[1].csr(), &mine), "evidence-key");
    assert_eq!(bench.refused_by(&Csr::new(), &mine), "evidence-key");
}

#[test]
fn each_fault_has_its_rule() {
    let bench = Bench::new(1);
    let (csr, good) = bench.good(0);
    let device = &bench.devices[0];
    let with = |change: &dyn Fn(&mut Parts)| {
        let mut parts = good.clone();
        change(&mut parts);
        bench.refused_by(&csr, &parts)
    };
    assert_eq!(with(&|p| p.certify.push(0)), "evidence-form");
    assert_eq!(with(&|p| p.quote[0] ^= 1), "evidence-form");
    assert_eq!(with(&|p| p.quote[8] ^= 1), "evidence-signature");
    assert_eq!(with(&|p| p.certify_signature[10] ^= 1), "evidence-signature");
    assert_eq!(with(&|p| p.activation[0] ^= 1), "tpm-activation");
    assert_eq!(with(&|p| p.activation = prove(&[0; 32], &NONCE, &p.key_public)), "tpm-activation");
    assert_eq!(with(&|p| p.pcrs[0].1[0] ^= 1), "tpm-registers");
    assert_eq!(with(&|p| drop(p.pcrs.pop())), "tpm-registers");
    assert_eq!(with(&|p| p.pcrs[0].0 = 1), "tpm-registers");
    // Quote and certification change places.
    let swap = |p: &mut Parts| {
        core::mem::swap(&mut p.certify, &mut p.quote);
        core::mem::swap(&mut p.certify_signature, &mut p.quote_signature);
    };
    assert_eq!(with(&swap), "evidence-form");
    // A key that signs what it is told is no attestation key.
    assert_eq!(with(&|p| p.ak_public.clone_from(&p.key_public)), "tpm-key");
    // A key that could leave its TPM: TPMA_OBJECT stands at byte 4, fixedTPM is bit 1.
    assert_eq!(with(&|p| p.key_public[7] &= !2), "tpm-key");
    assert_eq!(with(&|p| p.ek_chain = vec![stranger(&p.ek_public)]), "endorsement");
    assert_eq!(with(&|p| p.ek_chain.truncate(1)), "endorsement");
    assert_eq!(with(&|p| p.event_log = None), "debug");
    assert_eq!(
        with(&|p| p.event_log = p.event_log.take().map(|log| log[..log.len() - 1].to_vec())),
        "event-log"
    );
    let other_firmware = Firmware::new("1.3.0").event_log();
    assert_eq!(with(&|p| p.event_log = Some(other_firmware.clone())), "event-log");

    // An earlier nonce.
    let credential = bench.credential(&device.introduction()).expect("a credential");
    let earlier = device.parts(&[1; 32], &credential, &csr.key, bench.log(0));
    assert_eq!(bench.refused_by(&csr, &earlier), "evidence-nonce");
}

#[test]
fn a_debugger_cannot_be_left_out_of_the_event_log() {
    let mut bench = Bench::new(1);
    bench.tpms[0].boot(&Firmware::new(GOOD).with_debugger());
    let (csr, open) = bench.good(0);
    assert_eq!(bench.refused_by(&csr, &open), "debug");
    let honest_looking = Parts { event_log: Some(Firmware::new(GOOD).event_log()), ..open };
    assert_eq!(bench.refused_by(&csr, &honest_looking), "event-log");
}

#[test]
fn an_elliptic_endorsement_key_works_as_well_and_only_ek_certificates_count() {
    let mut bench = Bench::new(1);
    let mut maker = CertificateParams::default();
    maker.distinguished_name = DistinguishedName::new();
    maker.distinguished_name.push(DnType::CommonName, "EC TPM CA");
    maker.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    maker.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().expect("a key");
    let root = maker.self_signed(&key).expect("a root");
    bench.makers.push(MakerCa::new("ec", root.der()).expect("a maker"));
    bench.devices[0].ek = EkKind::P256;

    let (csr, mut parts) = bench.good(0);
    parts.ek_chain = vec![ek_certificate(&parts.ek_public, &maker, &key, true)];
    let appraised = bench.appraise(&csr, &parts.encode()).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    assert_eq!(appraised.maker().map(|maker| maker.name.as_str()), Some("ec"));
    let identity = appraised.idevid_spki_sha256().expect("an identity");
    assert_eq!(hex::encode(identity), bench.tpms[0].identity(EkKind::P256));

    parts.ek_chain = vec![ek_certificate(&parts.ek_public, &maker, &key, false)];
    assert_eq!(bench.refused_by(&csr, &parts), "endorsement");
}

#[test]
fn an_introduction_with_the_wrong_keys_gets_no_credential() {
    let bench = Bench::new(1);
    let (_, good) = bench.good(0);
    let credential = |ek_public: &[u8], ak_public: &[u8]| {
        let introduction = Introduction { ek_public, ak_public };
        bench.credential(&written(|out| introduction.encode(out)))
    };
    assert!(credential(&good.ek_public, &good.ak_public).is_ok());
    // An unrestricted key as attestation key; an attestation key as endorsement key.
    assert!(matches!(credential(&good.ek_public, &good.key_public), Err(CredentialError::Key(_))));
    assert!(matches!(credential(&good.ak_public, &good.ak_public), Err(CredentialError::Key(_))));
    let cut = &good.ek_public[..good.ek_public.len() - 1];
    assert!(matches!(credential(cut, &good.ak_public), Err(CredentialError::Public(_))));
    assert!(matches!(bench.credential(&[0xa0]), Err(CredentialError::Form(_))));
}

/// The recorded evidence stays good, and no piece of it is; `UPDATE_TPM_VECTORS=1` records it anew.
#[test]
fn recorded_evidence_is_accepted_and_nothing_shorter() {
    let mut bench = Bench::new(1);
    if std::env::var_os("UPDATE_TPM_VECTORS").is_some() {
        record(&bench);
    }
    let bytes = tests::tpm_exchange::bytes;
    bench.makers = vec![MakerCa::new("swtpm", &bytes("maker_ca")).expect("a maker")];
    bench.activation = ActivationKey::new(&bytes("activation_key").try_into().expect("32 bytes"));
    assert_eq!(bytes("nonce"), NONCE);
    let csr = Csr { der: bytes("csr"), point: [4; 65], key: Vec::new() };
    let evidence = bytes("evidence");
    assert!(bench.appraise(&csr, &evidence).is_ok());
    for length in 0..evidence.len() {
        let refusal = bench.appraise(&csr, &evidence[..length]).expect_err("a piece of evidence");
        assert_eq!(refusal.rule, "evidence-form", "{length} bytes");
    }
    // One bit of what is signed, hashed or compared; the data of events is looked at by nobody.
    let end = evidence.len() - bytes("event_log").len();
    for at in 0..end {
        let mut changed = evidence.clone();
        changed[at] ^= 1;
        assert!(bench.appraise(&csr, &changed).is_err(), "byte {at} changed");
    }
}

fn record(bench: &Bench) {
    let (csr, parts) = bench.good(0);
    let hex = |bytes: &[u8]| hex::encode(bytes);
    let file = serde_json::json!({
        "about": "What swtpm 0.7.1 said in an enrollment by kind tpm2. All keys were made for this file.",
        "now": now().as_secs(),
        "maker_ca": hex(bench.makers[0].der()),
        "activation_key": hex(&[7; 32]),
        "nonce": hex(&NONCE),
        "csr": hex(&csr.der),
        "introduction": hex(&bench.devices[0].introduction()),
        "evidence": hex(&parts.encode()),
        "ek_public": hex(&parts.ek_public),
        "ak_public": hex(&parts.ak_public),
        "key_public": hex(&parts.key_public),
        "certify": hex(&parts.certify),
        "quote": hex(&parts.quote),
        "quote_signature": hex(&parts.quote_signature),
        "event_log": hex(parts.event_log.as_deref().unwrap_or_default()),
    });
    let text = serde_json::to_string_pretty(&file).expect("JSON") + "\n";
    std::fs::write(tests::tpm_exchange::PATH, text).expect("to write the vectors");
}
