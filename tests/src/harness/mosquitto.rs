//! Mosquitto, set up the way the README tells operators to.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::binaries::peer;
use super::process::Process;
use super::wait::{free_port, until};

/// A broker with mutual TLS: identity from the certificate, rights from the identity, our revocation list.
#[derive(Debug)]
pub struct Mosquitto {
    process: Process,
    port: u16,
    folder: PathBuf,
}

/// What the broker needs of the enrollment server's folder.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// Root and issuing CA, PEM.
    pub authorities: &'a Path,
    /// The broker's own certificate chain, PEM.
    pub certificate: &'a Path,
    /// Its key, PEM.
    pub key: &'a Path,
    /// The revocation list, PEM.
    pub crl: &'a Path,
}

/// A mistake in an operator's configuration: the tests of the right one must turn red on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// No certificate is asked for.
    NoCertificate,
    /// No revocation list is read.
    NoRevocationList,
    /// A client may call itself what it likes.
    FreeClientId,
    /// No rights are checked.
    NoAcl,
}

impl Weakness {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::NoCertificate, Self::NoRevocationList, Self::FreeClientId, Self::NoAcl];

    /// Plants it in a good configuration.
    fn plant(self, config: &str) -> String {
        let (line, instead) = match self {
            Self::NoCertificate => ("require_certificate true", "require_certificate false"),
            Self::NoRevocationList => ("crlfile", "#"),
            Self::FreeClientId => ("use_username_as_clientid true", "use_username_as_clientid false"),
            Self::NoAcl => ("acl_file", "#"),
        };
        assert!(config.contains(line), "{line} in {config}");
        let config = config.replace(line, instead);
        // Without a certificate there is no name either.
        if self == Self::NoCertificate {
            config
                .replace("allow_anonymous false", "allow_anonymous true")
                .replace("use_identity_as_username true\nuse_username_as_clientid true\n", "")
        } else {
            config
        }
    }
}

impl Mosquitto {
    /// Starts a broker on `port` of the loopback interface, its files in `folder`: among them `mosquitto.pid`, once it can be
    /// told to reload.
    ///
    /// # Panics
    /// Where Mosquitto is not installed or does not start.
    #[must_use]
    pub fn start(folder: &Path, port: u16, files: Files<'_>, weakness: Option<Weakness>) -> Self {
        Self::start_with(folder, port, files, weakness, "")
    }

    /// As [`start`](Self::start), with more lines of configuration behind the listener's.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(
        folder: &Path,
        port: u16,
        files: Files<'_>,
        weakness: Option<Weakness>,
        more: &str,
    ) -> Self {
        fs::create_dir_all(folder).expect("a folder for the broker");
        let acl = folder.join("acl");
        fs::write(&acl, ACL).expect("to write the ACL");
        let config = folder.join("mosquitto.conf");
        let Files { authorities, certificate, key, crl } = files;
        // The user name comes from the certificate, and the client identifier from the user name: else a device could
        // log in as another one's client and so end that one's session.
        let text = format!(
            "per_listener_settings false\nallow_anonymous false\nacl_file {acl}\nlog_dest stderr\nlog_type all\n\
             user root\nlistener {port} 127.0.0.1\ncafile {authorities}\ncertfile {certificate}\nkeyfile {key}\n\
             crlfile {crl}\nrequire_certificate true\nuse_identity_as_username true\n\
             use_username_as_clientid true\ntls_version tlsv1.3\n",
            acl = acl.display(),
            authorities = authorities.display(),
            certificate = certificate.display(),
            key = key.display(),
            crl = crl.display(),
        );
        let text = weakness.map_or_else(|| text.clone(), |weakness| weakness.plant(&text));
        fs::write(&config, text + more).expect("to write the configuration");
        let process = Process::start(Command::new(peer("mosquitto", "mosquitto")).arg("-c").arg(&config));
        process.wait_for_text("running");
        until("the broker's port", || TcpStream::connect(("127.0.0.1", port)).ok());
        // Not by Mosquitto, whose file is there before it can be told anything: a hook's SIGHUP at that moment ends it.
        fs::write(folder.join("mosquitto.pid"), process.id().to_string()).expect("to write the process file");
        Self { process, port, folder: folder.to_owned() }
    }

    /// A port for [`start`](Self::start), to be told to the enrollment server before.
    #[must_use]
    pub fn port_to_be() -> u16 {
        free_port()
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes it read the revocation list again, and waits until it has.
    pub fn reload(&self) {
        self.process.signal(Signal::HUP);
        self.process.wait_for_text("Reloading config");
    }

    /// Stops it dead: its connections stay open, and nothing answers.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// The broker's log.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// Waits for a text in the broker's log.
    pub fn wait_for_log(&self, text: &str) {
        self.process.wait_for_text(text);
    }
}

/// The rights that operators are told to give, and those of somebody who sees everything.
const ACL: &str =
    concat!(include_str!("../../../examples/mosquitto.acl"), "\nuser operator\ntopic readwrite devices/#\n");
