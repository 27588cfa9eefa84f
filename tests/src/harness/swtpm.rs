//! TPMs to test with: swtpm, a TPM 2.0 in software, with endorsement key and certificate as its own tools make them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::Digest as _;
use tpm_client::{EkKind, Tpm};

use super::binaries::peer;
use super::measured_boot::Firmware;
use super::process::{Process, run};
use super::wait::until;

/// A maker of TPMs: swtpm's local CA, in a folder of its own. Its root has signed the CA that signs EK certificates;
/// all keys are RSA.
#[derive(Debug)]
pub struct TpmMaker {
    folder: PathBuf,
}

impl TpmMaker {
    /// Sets a maker up in `folder`; its keys are made with its first TPM.
    ///
    /// # Panics
    /// Where the folder cannot be written.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).expect("a folder for the maker");
        let path = |name: &str| folder.join(name).display().to_string();
        let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("to write");
        write(
            "localca.conf",
            format!(
                "statedir = {}\nsigningkey = {}\nissuercert = {}\ncertserial = {}\n",
                folder.display(),
                path("signkey.pem"),
                path("issuercert.pem"),
                path("certserial")
            ),
        );
        let options = "--platform-manufacturer Example\n--platform-version 1\n--platform-model Example\n";
        write("localca.options", options.to_owned());
        let tool = peer("swtpm_localca", "swtpm-tools");
        write(
            "setup.conf",
            format!(
                "create_certs_tool = {}\ncreate_certs_tool_config = {}\ncreate_certs_tool_options = {}\n",
                tool.display(),
                path("localca.conf"),
                path("localca.options")
            ),
        );
        Self { folder: folder.to_owned() }
    }

    /// The root's certificate, PEM. Exists once a TPM was made.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.join("swtpm-localca-rootca-cert.pem")
    }

    /// The certificate of the CA that signs EK certificates, PEM. Exists once a TPM was made.
    #[must_use]
    pub fn issuer(&self) -> PathBuf {
        self.folder.join("issuercert.pem")
    }
}

/// A TPM, and the platform around it.
#[derive(Debug)]
pub struct Swtpm {
    folder: PathBuf,
    process: Option<Process>,
}

impl Swtpm {
    /// Makes a TPM in `folder`, with an RSA endorsement key and its certificate in non-volatile memory. It is off.
    ///
    /// # Panics
    /// Where swtpm's tools are not installed or fail.
    #[must_use]
    pub fn make(folder: &Path, maker: &TpmMaker) -> Self {
        let state = folder.join("state");
        fs::create_dir_all(&state).expect("a folder for the TPM");
        let mut setup = Command::new(peer("swtpm_setup", "swtpm-tools"));
        setup.args(["--tpm2", "--create-ek-cert", "--pcr-banks", "sha256", "--tpmstate"]).arg(&state);
        setup.arg("--config").arg(maker.folder.join("setup.conf"));
        let _report = run(&mut setup).success();
        Self { folder: folder.to_owned(), process: None }
    }

    /// Makes a TPM that no maker has endorsed. It is off.
    ///
    /// # Panics
    /// As [`make`](Self::make).
    #[must_use]
    pub fn make_bare(folder: &Path) -> Self {
        let state = folder.join("state");
        fs::create_dir_all(&state).expect("a folder for the TPM");
        let mut setup = Command::new(peer("swtpm_setup", "swtpm-tools"));
        setup.args(["--tpm2", "--pcr-banks", "sha256", "--tpmstate"]).arg(&state);
        let _report = run(&mut setup).success();
        Self { folder: folder.to_owned(), process: None }
    }

    /// Turns the platform on, off before if it was on: the firmware measures itself into the registers and writes
    /// its event log.
    ///
    /// # Panics
    /// Where swtpm does not start.
    pub fn boot(&mut self, firmware: &Firmware) {
        self.process = None;
        _ = fs::remove_file(self.socket());
        let mut command = Command::new(peer("swtpm", "swtpm"));
        command.args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear", "--tpmstate"]);
        command.arg(format!("dir={}", self.folder.join("state").display()));
        command.arg("--server").arg(format!("type=unixio,path={}", self.socket().display()));
        // Other programs want a second socket; its name is the first one's with an ending.
        command.arg("--ctrl").arg(format!("type=unixio,path={}.ctrl", self.socket().display()));
        let mut process = Process::start(&mut command);
        until("a TPM that answers", || {
            assert!(process.is_running(), "swtpm ended:\n{}", process.output());
            self.tpm().open().ok()
        });
        self.process = Some(process);
        let mut session = self.tpm().open().expect("a TPM");
        for (register, digest) in firmware.digests() {
            session.extend(register, &digest).expect("to extend a register");
        }
        fs::write(self.event_log(), firmware.event_log()).expect("to write the event log");
    }

    /// Turns the platform off, as a power cut does.
    pub fn turn_off(&mut self) {
        self.process = None;
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("tpm.sock")
    }

    /// The firmware's event log.
    #[must_use]
    pub fn event_log(&self) -> PathBuf {
        self.folder.join("event-log")
    }

    /// The way to it.
    #[must_use]
    pub fn tpm(&self) -> Tpm {
        Tpm::new(&self.socket())
    }

    /// What identifies it: SHA-256 of the endorsement key's SubjectPublicKeyInfo, in hexadecimal.
    ///
    /// # Panics
    /// Where it is off.
    #[must_use]
    pub fn identity(&self, ek: EkKind) -> String {
        let (ek_public, _) = self.tpm().identity(ek).expect("a TPM that is on");
        let area = shared::tpm2::PublicArea::parse(&ek_public).expect("a public area");
        hex::encode(sha2::Sha256::digest(appraisal::tpm::spki_der(&area)))
    }
}
