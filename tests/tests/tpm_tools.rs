//! Independent vectors: what tpm2-tools make a TPM say is read and verified here, and what is made here for a TPM they
//! can open. Neither side knows the other's code.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use appraisal::tpm::{ActivationKey, name};
use enroll_server::tpm_credential::Introduced;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use shared::evidence::Introduction;
use shared::tpm2::{Attest, Attested, PublicArea, ecdsa_signature};
use tempfile::TempDir;
use tests::harness::device::written;
use tests::harness::measured_boot::{Firmware, REGISTERS};
use tests::harness::{Swtpm, peer, run};
use tpm_client::EkKind;

/// A TPM, and a folder where tpm2-tools leave their files.
struct Tools {
    folder: TempDir,
    tpm: Swtpm,
    transport: String,
}

impl Tools {
    fn new() -> Self {
        let folder = TempDir::with_prefix("tools-").expect("a temporary folder");
        let mut tpm = Swtpm::make_bare(&folder.path().join("tpm"));
        tpm.boot(&Firmware::new("1.0.0"));
        let transport = format!("swtpm:path={}", tpm.socket().display());
        Self { folder, tpm, transport }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs one of the tools in the folder. What it leaves loaded is flushed, as a resource manager would.
    fn run(&self, line: &str) {
        self.run_only(line);
        self.run_only("tpm2_flushcontext -t");
    }

    fn run_only(&self, line: &str) {
        let mut words = line.split(' ');
        let program = words.next().expect("a tool");
        let mut command = Command::new(peer(program, "tpm2-tools"));
        command.args(words).args(["-T", &self.transport]).current_dir(self.folder.path());
        let _output = run(&mut command).success();
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A file with TPM2B_PUBLIC, without its length.
    fn public(&self, name: &str) -> Vec<u8> {
        self.file(name).split_off(2)
    }

    fn make_keys(&self, ek: &str) {
        self.run(&format!("tpm2_createek -c ek.ctx -G {ek} -u ek.pub"));
        self.run("tpm2_createak -C ek.ctx -c ak.ctx -G ecc -g sha256 -s ecdsa -u ak.pub -n ak.name");
    }
}

fn verify(ak: &PublicArea<'_>, message: &[u8], signature: &[u8]) {
    let point = ak.point().expect("a P-256 key");
    let key = VerifyingKey::from_sec1_bytes(&point).expect("a point");
    let raw = ecdsa_signature(signature).expect("a signature");
    let signature = Signature::from_slice(&raw).expect("a signature");
    key.verify(message, &signature).expect("a signature that verifies");
}

#[test]
fn a_credential_that_is_made_here_is_opened_by_tpm2_activatecredential() {
    for ek in ["rsa", "ecc"] {
        let tools = Tools::new();
        tools.make_keys(ek);
        let (ek_public, ak_public) = (tools.public("ek.pub"), tools.public("ak.pub"));
        let introduction = Introduction { ek_public: &ek_public, ak_public: &ak_public };
        let introduction = written(|out| introduction.encode(out));
        let introduced = Introduced::read(&introduction).unwrap_or_else(|error| panic!("{ek}: {error:?}"));
        assert_eq!(name(introduced.ak()).as_slice(), tools.file("ak.name"), "the name is computed alike");

        let secret = ActivationKey::new(&[1; 32]).secret(&[2; 32], introduced.ek(), introduced.ak());
        let credential = introduced.credential(&secret).expect("a credential");
        // The tools' file begins with a magic number and a version.
        let file = [&[0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1], credential.as_slice()].concat();
        fs::write(tools.path("credential"), file).expect("to write");
        tools.run("tpm2_startauthsession --policy-session -S session.ctx");
        tools.run("tpm2_policysecret -S session.ctx -c e");
        tools.run(
            "tpm2_activatecredential -c ak.ctx -C ek.ctx -i credential -o secret -P session:session.ctx",
        );
        assert_eq!(tools.file("secret"), secret.expose(), "{ek}");
    }
}

/// A process that died had opened sessions; nobody but the next one can flush them.
#[test]
fn a_credential_is_opened_although_the_tpm_is_full_of_sessions_that_were_left() {
    let tools = Tools::new();
    let tpm = tools.tpm.tpm();
    let (ek_public, ak_public) = tpm.identity(EkKind::P256).expect("a TPM");
    let introduction = Introduction { ek_public: &ek_public, ak_public: &ak_public };
    let introduction = written(|out| introduction.encode(out));
    let introduced = Introduced::read(&introduction).expect("an introduction");
    let secret = ActivationKey::new(&[1; 32]).secret(&[2; 32], introduced.ek(), introduced.ak());
    let credential = introduced.credential(&secret).expect("a credential");

    let mut stream = UnixStream::connect(tools.tpm.socket()).expect("a TPM");
    let mut start = |kind: u8| {
        // TPM2_StartAuthSession (part 3, section 11.1): no key, nothing bound, a nonce of 16 bytes, no salt, the kind
        // of the session, no symmetric algorithm, SHA-256.
        let mut command =
            vec![0x80, 0x01, 0, 0, 0, 43, 0, 0, 0x01, 0x76, 0x40, 0, 0, 7, 0x40, 0, 0, 7, 0, 16];
        command.extend([9; 16]);
        command.extend([0, 0, kind, 0, 0x10, 0, 0x0b]);
        stream.write_all(&command).expect("to write");
        let mut answer = [0; 64];
        let length = stream.read(&mut answer).expect("an answer");
        assert!(length >= 10, "{length} bytes");
        u32::from_be_bytes([answer[6], answer[7], answer[8], answer[9]])
    };
    // HMAC sessions and policy sessions.
    let codes: Vec<u32> = [0, 1].into_iter().cycle().take(16).map(&mut start).collect();
    assert!(codes.contains(&0) && codes.last() == Some(&0x903), "{codes:x?}");
    drop(stream);
    let opened = tpm.activate(EkKind::P256, &credential).expect("the secret");
    assert_eq!(opened.as_slice(), secret.expose());
}

#[test]
fn a_quote_of_tpm2_quote_is_verified() {
    let tools = Tools::new();
    tools.make_keys("rsa");
    let nonce = [0x3c; 32];
    tools.run(&format!(
        "tpm2_quote -c ak.ctx -l sha256:0,2,4,7 -q {} -m quote -s signature -f tss -g sha256",
        hex::encode(nonce)
    ));
    let (quote, ak_public) = (tools.file("quote"), tools.public("ak.pub"));
    let attest = Attest::parse(&quote).expect("a quote");
    assert_eq!(attest.extra_data, nonce);
    let Attested::Quote { registers, digest } = attest.attested else { panic!("no quote") };
    assert_eq!(registers.iter().collect::<Vec<_>>(), REGISTERS);
    let firmware = Firmware::new("1.0.0");
    let values: Vec<u8> = REGISTERS.iter().flat_map(|register| firmware.register(*register)).collect();
    let expected: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(values).into();
    assert_eq!(digest, expected, "the registers are those that the firmware measured");
    verify(&PublicArea::parse(&ak_public).expect("a public area"), &quote, &tools.file("signature"));
}

#[test]
fn a_certification_of_tpm2_certify_is_verified() {
    let tools = Tools::new();
    tools.make_keys("rsa");
    tools.run("tpm2_createprimary -C o -c root.ctx");
    let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign";
    tools.run(&format!("tpm2_create -C root.ctx -G ecc256 -u key.pub -r key.priv -a {attributes}"));
    tools.run("tpm2_load -C root.ctx -u key.pub -r key.priv -c key.ctx");
    tools.run("tpm2_certify -c key.ctx -C ak.ctx -g sha256 -o attest -s signature -f tss");
    let (certify, ak_public, key_public) =
        (tools.file("attest"), tools.public("ak.pub"), tools.public("key.pub"));
    let attest = Attest::parse(&certify).expect("a certification");
    let Attested::Certify { name: certified } = attest.attested else { panic!("no certification") };
    assert_eq!(certified, name(&PublicArea::parse(&key_public).expect("a public area")));
    verify(&PublicArea::parse(&ak_public).expect("a public area"), &certify, &tools.file("signature"));
}
