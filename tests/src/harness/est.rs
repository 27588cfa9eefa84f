//! EST (RFC 7030) from the client's side: curl and openssl as an operator would use them, strongSwan's `pki`, and a bare
//! client over TLS that can send anything.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustls::{ClientConnection, StreamOwned};

use super::https::{ClientKey, Reply, client_config, connect, parse, read_answer};
use super::process::{Finished, run};
use super::wait::free_port;
use super::world::{Wishes, World};
use super::{binaries::peer, process::Process};

/// A server with its EST listener, a lot of devices, and a place for keys and requests.
#[derive(Debug)]
pub struct EstSite {
    /// The server and the lot.
    pub world: World,
    /// Port of the EST listener.
    pub port: u16,
}

/// Versions of TLS that clients in the field speak, as curl and openssl name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2.
    V12,
    /// 1.3.
    V13,
}

impl EstSite {
    /// A world whose policy takes these kinds of evidence, and whose server listens for EST.
    ///
    /// # Panics
    /// Where one of the binaries fails.
    #[must_use]
    pub fn new(wishes: Wishes, kinds: &str) -> Self {
        let world = World::new(wishes);
        let port = free_port();
        world.configure(&[("est", "listen", &format!("\"127.0.0.1:{port}\""))]);
        let site = Self { world, port };
        site.policy(|policy| {
            let line =
                policy.lines().find(|line| line.starts_with("kinds = ")).expect("the kinds").to_owned();
            policy.replace(&line, &format!("kinds = [{kinds}]"))
        });
        site
    }

    /// Changes the policy of the group `default`; a server that runs takes it over by itself.
    ///
    /// # Panics
    /// Where the file cannot be written.
    pub fn policy(&self, change: impl FnOnce(String) -> String) {
        let changed = change(self.world.text("server/policy.toml"));
        fs::write(self.world.path("server/policy.toml"), changed).expect("to write the policy");
    }

    /// Starts the server.
    ///
    /// # Panics
    /// Where it does not become ready.
    #[must_use]
    pub fn serve(&self) -> Process {
        self.world.serve()
    }

    /// A path below the world's folder, as text.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.world.path(name).to_str().expect("a path in UTF-8").to_owned()
    }

    /// A file of a device of the lot.
    #[must_use]
    pub fn of_device(&self, device: &str, name: &str) -> String {
        self.file(&format!("lot/devices/{device}/{name}"))
    }

    /// The address of an operation.
    #[must_use]
    pub fn url(&self, operation: &str) -> String {
        format!("https://localhost:{}/.well-known/est/{operation}", self.port)
    }

    /// Runs openssl.
    #[must_use]
    pub fn openssl(&self, arguments: &[&str]) -> Finished {
        run(Command::new(peer("openssl", "openssl")).args(arguments))
    }

    /// Makes a key and a CSR for `subject`; their files are NAME.key, NAME.csr in DER, and NAME.b64.
    ///
    /// # Panics
    /// Where openssl fails.
    pub fn key_and_csr(&self, name: &str, subject: &str) {
        let file = |end: &str| self.file(&format!("{name}.{end}"));
        let (key, csr, base64) = (file("key"), file("csr"), file("b64"));
        let _key =
            self.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key]).success();
        let _csr = self
            .openssl(&["req", "-new", "-key", &key, "-subj", subject, "-outform", "DER", "-out", &csr])
            .success();
        let _text = self.openssl(&["base64", "-in", &csr, "-out", &base64]).success();
    }

    /// Runs curl on an operation, verifying the server as a client should; the status, and the body in `out`.
    ///
    /// # Panics
    /// Where curl gets no answer.
    #[must_use]
    pub fn curl(&self, operation: &str, arguments: &[&str], out: &str) -> u16 {
        let mut command = Command::new(peer("curl", "curl"));
        command.args(["--silent", "--show-error", "--write-out", "%{http_code}", "--max-time", "60"]);
        command.args(["--cacert", &self.file("server/root-ca.crt"), "--output", &self.file(out)]);
        command.args(arguments).arg(self.url(operation));
        run(&mut command).success().parse().expect("an HTTP status")
    }

    /// Sends NAME.b64 with curl; the body goes to NAME.p7 in base64.
    #[must_use]
    pub fn enroll(&self, operation: &str, name: &str, arguments: &[&str]) -> u16 {
        let data = format!("@{}", self.file(&format!("{name}.b64")));
        let send = ["--header", "Content-Type: application/pkcs10", "--data-binary", &data];
        self.curl(operation, &[&send, arguments].concat(), &format!("{name}.p7"))
    }

    /// The certificates in NAME.p7, by openssl; they are in NAME.crt too.
    ///
    /// # Panics
    /// Where it is not a certs-only message in base64.
    #[must_use]
    pub fn certificates(&self, name: &str) -> Vec<Vec<u8>> {
        let file = |end: &str| self.file(&format!("{name}.{end}"));
        let (p7, der, crt) = (file("p7"), file("p7.der"), file("crt"));
        let _der = self.openssl(&["base64", "-d", "-A", "-in", &p7, "-out", &der]).success();
        let _pem =
            self.openssl(&["pkcs7", "-inform", "DER", "-in", &der, "-print_certs", "-out", &crt]).success();
        self.world.certificates(&format!("{name}.crt"))
    }

    /// What went wrong, as the client was told.
    #[must_use]
    pub fn told(&self, name: &str) -> String {
        self.world.text(&format!("{name}.p7"))
    }

    /// strongSwan's `pki`, speaking TLS of at most this version.
    ///
    /// # Panics
    /// Where its configuration cannot be written.
    #[must_use]
    pub fn pki(&self, version: TlsVersion, arguments: &[&str]) -> Command {
        let number = if version == TlsVersion::V12 { "1.2" } else { "1.3" };
        let settings = self.world.path(&format!("strongswan-{number}.conf"));
        fs::write(&settings, format!("libtls {{\n  version_max = {number}\n}}\n")).expect("settings");
        let mut command = Command::new(peer("pki", "strongswan-pki"));
        command.env("STRONGSWAN_CONF", settings).args(arguments);
        command
    }

    /// A one-time token for a device.
    #[must_use]
    pub fn token(&self, device: &str) -> String {
        let made = self.world.server_json(&["token", "create", "--device", device]);
        made["token"].as_str().expect("a token").to_owned()
    }

    /// The arguments that make curl a client with this certificate and key.
    #[must_use]
    pub fn as_client(certificate: &str, key: &str) -> [String; 4] {
        ["--cert".to_owned(), certificate.to_owned(), "--key".to_owned(), key.to_owned()]
    }

    /// The identity of a device of the lot, for the bare client.
    #[must_use]
    pub fn idevid(&self, device: &str) -> ClientKey {
        let key = self.world.text(&format!("lot/devices/{device}/idevid.key"));
        ClientKey {
            chain: self.world.certificates(&format!("lot/devices/{device}/idevid.pem")),
            key: ca::pem::read_private_key(&key).expect("a key in PEM").to_vec(),
        }
    }

    /// A connection of the bare client, before its handshake.
    #[must_use]
    pub fn connect(&self, client: Option<&ClientKey>) -> StreamOwned<ClientConnection, std::net::TcpStream> {
        connect(self.port, client_config(&self.world.root(), client))
    }

    /// Sends one request of the bare client.
    ///
    /// # Panics
    /// Where the connection breaks or the answer is not HTTP.
    #[must_use]
    pub fn send(&self, client: Option<&ClientKey>, request: &Request<'_>) -> Reply {
        send_over(&mut self.connect(client), request)
    }

    /// Everything that was ever recorded of certificates.
    #[must_use]
    pub fn issued(&self) -> serde_json::Value {
        self.world.server_json(&["cert", "list"])["certificates"].take()
    }
}

/// A request of the bare client: every part of it as the test wants it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// What follows `/.well-known/est/`.
    pub operation: &'a str,
    /// Header lines, each with its CR and LF.
    pub headers: &'a str,
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// A CSR in base64.
    #[must_use]
    pub const fn csr(operation: &'a str, body: &'a [u8]) -> Self {
        Self { method: "POST", operation, headers: "Content-Type: application/pkcs10\r\n", body }
    }

    /// Nothing but a question.
    #[must_use]
    pub const fn get(operation: &'a str) -> Self {
        Self { method: "GET", operation, headers: "", body: &[] }
    }
}

/// Sends one request over `stream` and reads the answer to its end.
///
/// # Panics
/// Where the connection breaks or the answer is not HTTP.
pub fn send_over(
    stream: &mut StreamOwned<ClientConnection, std::net::TcpStream>,
    request: &Request<'_>,
) -> Reply {
    let Request { method, operation, headers, body } = request;
    let length = body.len();
    let head = format!(
        "{method} /.well-known/est/{operation} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
         Content-Length: {length}\r\n\r\n"
    );
    // A server that refuses early does not read the rest.
    let _written = stream.write_all(&[head.as_bytes(), body].concat()).and_then(|()| stream.flush());
    let answer = read_answer(stream).unwrap_or_else(|error| panic!("{operation}: {error}"));
    parse(&answer)
}

/// Makes a maker's CA with this key, by openssl: NAME.key and NAME.crt.
///
/// # Panics
/// Where openssl fails.
pub fn make_maker(site: &EstSite, name: &str, key: &[&str]) {
    let file = |end: &str| site.file(&format!("{name}.{end}"));
    let (key_file, certificate) = (file("key"), file("crt"));
    let _key = site.openssl(&[&["genpkey"], key, &["-out", &key_file]].concat()).success();
    let subject = format!("/O=Example/CN={name}");
    let made = site.openssl(&[
        "req",
        "-x509",
        "-new",
        "-key",
        &key_file,
        "-subj",
        &subject,
        "-days",
        "30",
        "-out",
        &certificate,
        "-addext",
        "basicConstraints=critical,CA:TRUE",
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign",
    ]);
    let _made = made.success();
}

/// Makes an IDevID for `device` with this key, by openssl, under a maker of [`make_maker`]: DEVICE.key and DEVICE.crt.
///
/// # Panics
/// Where openssl fails.
pub fn make_idevid(site: &EstSite, maker: &str, device: &str, key: &[&str]) {
    let file = |name: &str, end: &str| site.file(&format!("{name}.{end}"));
    let (key_file, csr, certificate) = (file(device, "key"), file(device, "req"), file(device, "crt"));
    let _key = site.openssl(&[&["genpkey"], key, &["-out", &key_file]].concat()).success();
    let subject = format!("/O=Example/serialNumber={device}");
    let _csr = site.openssl(&["req", "-new", "-key", &key_file, "-subj", &subject, "-out", &csr]).success();
    let extensions = site.world.path("idevid.cnf");
    fs::write(&extensions, "keyUsage=critical,digitalSignature\nauthorityKeyIdentifier=keyid\n")
        .expect("a file");
    let signed = site.openssl(&[
        "x509",
        "-req",
        "-in",
        &csr,
        "-CA",
        &file(maker, "crt"),
        "-CAkey",
        &file(maker, "key"),
        "-CAcreateserial",
        "-days",
        "30",
        "-extfile",
        &path_text(&extensions),
        "-out",
        &certificate,
    ]);
    let _signed = signed.success();
}

fn path_text(path: &Path) -> String {
    PathBuf::from(path).to_str().expect("a path in UTF-8").to_owned()
}
