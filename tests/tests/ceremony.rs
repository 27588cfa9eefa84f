//! An offline root, by the real programs: the guide in docs/keys.md command by command on two "machines" (two folders),
//! a device that enrolls below the root, and what each command refuses without losing anything.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tests::harness::{Finished, Process, Wishes, World, binary, exchange, peer, run, until};
use tests::page::Page;

const PASSPHRASE: &str = "correct horse battery staple";

/// The machine of the root, the server's machine, and the medium between them.
struct Stage(TempDir);

impl Stage {
    fn new() -> Self {
        let folder = TempDir::with_prefix("ceremony-").unwrap();
        for name in ["root-machine", "server-machine", "stick"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self(folder)
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.0.path().join(relative)
    }

    fn command(&self, machine: &str, program: &Path, line: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(line).current_dir(self.path(machine)).env("STICK", self.path("stick"));
        command.env("ENROLL_SERVER_PASSPHRASE", PASSPHRASE);
        command
    }

    /// Runs `enroll-server` on one of the machines; words are split at spaces, `@` is the stick.
    fn enroll(&self, machine: &str, line: &str) -> Finished {
        let stick = self.path("stick");
        let words: Vec<String> =
            line.split(' ').map(|word| word.replace('@', stick.to_str().unwrap())).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        run(&mut self.command(machine, &binary("enroll-server"), &words))
    }

    fn root(&self, line: &str) -> Finished {
        self.enroll("root-machine", line)
    }

    fn server(&self, line: &str) -> Finished {
        self.enroll("server-machine", &format!("--config server/enroll-server.toml {line}"))
    }

    fn openssl(&self, line: &str) -> Finished {
        let stick = self.path("stick");
        let words: Vec<String> =
            line.split(' ').map(|word| word.replace('@', stick.to_str().unwrap())).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        run(&mut self.command("stick", &peer("openssl", "openssl"), &words))
    }

    /// Until the issuing CA's certificate is on the stick.
    fn until_signed() -> Self {
        let stage = Self::new();
        let _made = stage.root("ca root-ceremony --dir root --tenant Acme").success();
        for name in ["root-ca.crt", "root-ca.crl.pem"] {
            fs::copy(stage.path("root-machine/root").join(name), stage.path("stick").join(name)).unwrap();
        }
        let init = "init --dir server --tenant Acme --host localhost --host 127.0.0.1 --offline-root \
                    @/root-ca.crt --root-crl @/root-ca.crl.pem";
        let _made = stage.enroll("server-machine", init).success();
        let _made = stage.server("ca csr --out @/issuing-ca.csr").success();
        let _made = stage.root("ca sign --root root --out @/issuing-ca.crt @/issuing-ca.csr").success();
        stage
    }

    /// All files below a folder, with their content.
    fn content(&self, folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let (mut found, mut folders) = (Vec::new(), vec![self.path(folder)]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push((path.clone(), fs::read(path).unwrap()));
                }
            }
        }
        found.sort();
        found
    }
}

/// The shell blocks of the guide: where each is to run, and what.
fn guide() -> Vec<(&'static str, String)> {
    let page = Page::load("docs/keys.md");
    let blocks: Vec<_> =
        page.fenced().into_iter().filter(|block| block.mark.contains("ceremony.rs")).collect();
    let blocks = blocks.iter().map(|block| match block.text.split_once('\n').unwrap() {
        ("# on the machine of the root", commands) => ("root-machine", commands.to_owned()),
        ("# on the server", commands) => ("server-machine", commands.to_owned()),
        (other, _) => panic!("where does this run: {other}"),
    });
    blocks.collect()
}

#[test]
fn the_guide_works_command_by_command() {
    let stage = Stage::new();
    let folder = binary("enroll-server").parent().unwrap().to_owned();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let blocks = guide();
    assert_eq!(blocks.len(), 6, "{blocks:?}");
    let mut told = String::new();
    for (machine, commands) in &blocks {
        let mut shell = stage.command(machine, Path::new("sh"), &["-e", "-c", commands]);
        told.push_str(&run(shell.env("PATH", &path)).success());
    }
    // What was read out on one side is what the other side saw.
    let printed = run(&mut stage.command(
        "root-machine",
        &peer("openssl", "openssl"),
        &["x509", "-in", "root/root-ca.crt", "-noout", "-fingerprint", "-sha256"],
    ))
    .success();
    let print = printed.trim().split_once('=').unwrap().1.to_owned();
    assert!(told.contains(&print.split(':').take(8).collect::<Vec<_>>().join(":")), "{told}");
    let text = |relative: &str| fs::read_to_string(stage.path(relative)).unwrap();
    let key = text("root-machine/root/root-ca.key");
    assert!(key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{key}");
    let mode = fs::metadata(stage.path("root-machine/root/root-ca.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    // The keys stayed where they were made.
    for (path, content) in stage.content("stick").into_iter().chain(stage.content("server-machine")) {
        let is_key = String::from_utf8_lossy(&content).contains("PRIVATE KEY-----");
        let may = ["issuing-ca.key", "server.key", "trust-signer.key"].map(|name| path.ends_with(name));
        assert!(!is_key || may.contains(&true), "{}", path.display());
        assert!(!path.ends_with("root-ca.key"), "{}", path.display());
    }
    let purpose = ["-purpose", "sslserver"];
    let mut verify = stage.command("server-machine/server", &peer("openssl", "openssl"), &["verify"]);
    verify.args(["-x509_strict", "-crl_check_all", "-CAfile", "root-ca.crt", "-untrusted", "issuing-ca.crt"]);
    verify.args(purpose).args(["-CRLfile", "root-ca.crl.pem"]);
    // The listener's certificate: its CA's own list comes with the first start, so the root's alone is not enough.
    let told = run(verify.arg("server.crt")).failure();
    assert!(told.contains("unable to get certificate CRL"), "{told}");
    let list = run(&mut stage.command(
        "server-machine/server",
        &peer("openssl", "openssl"),
        &["crl", "-in", "root-ca.crl.pem", "-CAfile", "root-ca.crt", "-noout", "-crlnumber"],
    ));
    assert!(list.stderr.contains("verify OK") && list.stdout.contains("0x02"), "{list:?}");
}

#[test]
fn nothing_is_overwritten_and_every_refusal_says_why() {
    let stage = Stage::until_signed();
    let before = stage.content("root-machine");
    // On the machine of the root.
    for (line, told) in [
        ("ca root-ceremony --dir root --tenant Acme", "is not empty; nothing was overwritten"),
        ("ca root-ceremony --dir other --tenant A.B", "expected 1 to 64 letters and digits"),
        ("ca sign --root root --out @/issuing-ca.crt @/issuing-ca.csr", "issuing-ca.crt: is there already"),
        (
            "ca sign --root root --out @/second.crt @/issuing-ca.csr",
            "has signed a certificate for this key already",
        ),
        ("ca sign --root root --out @/second.crt @/root-ca.crt", "no certification request"),
        ("ca sign --root nowhere --out @/second.crt @/issuing-ca.csr", "nowhere/root-ca.crt: cannot be read"),
        ("ca root-crl --root root --revoke @/root-ca.crt", "the root did not issue it"),
    ] {
        let output = stage.root(line).failure();
        assert!(output.contains(told), "{line}: {output}");
    }
    let mut wrong =
        stage.command("root-machine", &binary("enroll-server"), &["ca", "root-crl", "--root", "root"]);
    let output = run(wrong.env("ENROLL_SERVER_PASSPHRASE", "another one")).failure();
    assert!(output.contains("the passphrase is wrong"), "{output}");
    let mut none =
        stage.command("root-machine", &binary("enroll-server"), &["ca", "root-crl", "--root", "root"]);
    let output = run(none.env_remove("ENROLL_SERVER_PASSPHRASE")).failure();
    assert!(output.contains("is encrypted; give its passphrase"), "{output}");
    // Requests: damaged, by another kind of key, for another organisation, for the root's own key.
    let csr = fs::read_to_string(stage.path("stick/issuing-ca.csr")).unwrap();
    let mut der = ca::pem::read_request(csr.as_bytes()).unwrap();
    *der.last_mut().unwrap() ^= 1;
    fs::write(stage.path("stick/damaged.csr"), &der).unwrap();
    for (name, new, subject) in
        [("p384", "ec_paramgen_curve:P-384", "/O=Acme"), ("other", "ec_paramgen_curve:P-256", "/O=Other")]
    {
        let line = format!(
            "req -new -newkey ec -pkeyopt {new} -nodes -keyout {name}.key -out {name}.csr -subj {subject} -sha256"
        );
        let _made = stage.openssl(&line).success();
    }
    let root_key =
        "ec -in ../root-machine/root/root-ca.key -passin env:ENROLL_SERVER_PASSPHRASE -out root.key";
    let _key = stage.openssl(root_key).success();
    let _made = stage.openssl("req -new -key root.key -out root.csr -subj /O=Acme -sha256").success();
    fs::remove_file(stage.path("stick/root.key")).unwrap();
    for (name, told) in [
        ("damaged", "signature does not verify under the key in it"),
        ("p384", "the CSR's key is not"),
        ("other", "asks for the organisation \"Other\"; the root is that of \"Acme\""),
        ("root", "the key to be certified is the CA's own"),
    ] {
        let output = stage.root(&format!("ca sign --root root --out @/second.crt @/{name}.csr")).failure();
        assert!(output.contains(told), "{name}: {output}");
    }
    // Without the last list nobody knows what was revoked.
    let list = stage.path("root-machine/root/root-ca.crl.pem");
    fs::rename(&list, stage.path("list")).unwrap();
    let output = stage.root("ca root-crl --root root").failure();
    assert!(output.contains("is missing; without it nobody knows"), "{output}");
    fs::rename(stage.path("list"), &list).unwrap();
    assert_eq!(stage.content("root-machine"), before, "something was changed");
    assert!(!stage.path("stick/second.crt").exists());
}

#[test]
fn the_server_takes_the_right_certificate_only() {
    let stage = Stage::until_signed();
    let output = stage.server("serve").failure();
    assert!(output.contains("there is no issuing CA yet") && output.contains("ca import"), "{output}");
    let output = stage.server("ca csr --out @/issuing-ca.csr").failure();
    assert!(output.contains("issuing-ca.csr: is there already"), "{output}");

    // Another root of the same name, a root that is given out for an issuing CA, a leaf, too many rights or too few.
    let _made = stage.root("ca root-ceremony --dir other --tenant Acme").success();
    let _made = stage.root("ca sign --root other --out @/other.crt @/issuing-ca.csr").success();
    let sign = |name: &str, days: &str, extensions: &str| {
        fs::write(stage.path("stick/ext.cnf"), format!("[e]\nauthorityKeyIdentifier=keyid\n{extensions}\n"))
            .unwrap();
        let line = format!(
            "x509 -req -in issuing-ca.csr -CA root-ca.crt -CAkey ../root-machine/root/root-ca.key -passin \
             env:ENROLL_SERVER_PASSPHRASE -days {days} -sha256 -extfile ext.cnf -extensions e -out {name}.crt"
        );
        let _signed = stage.openssl(&line).success();
    };
    let ca = "subjectKeyIdentifier=hash\nbasicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign";
    sign(
        "leaf",
        "30",
        "subjectKeyIdentifier=hash\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature",
    );
    sign("deep", "30", &ca.replace("pathlen:0", "pathlen:1"));
    sign("unbound", "30", &ca.replace(",pathlen:0", ""));
    sign("usage", "30", &ca.replace("keyCertSign,", "digitalSignature,keyCertSign,"));
    sign("narrow", "30", &format!("{ca}\nnameConstraints=critical,permitted;DNS:example.com"));
    sign("long", "3700", ca);
    let _key =
        stage.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out else.key").success();
    let _made = stage.openssl("req -new -key else.key -out else.csr -subj /O=Acme -sha256").success();
    let _made = stage.root("ca sign --root root --out @/else.crt @/else.csr").success();
    let mut der =
        ca::pem::read_certificates(&fs::read(stage.path("stick/issuing-ca.crt")).unwrap()).unwrap().remove(0);
    *der.last_mut().unwrap() ^= 1;
    fs::write(stage.path("stick/damaged.crt"), der).unwrap();
    let before = stage.content("server-machine");
    for (name, told) in [
        ("leaf", "may not sign certificates and revocation lists"),
        ("other", "the root of this server did not sign it"),
        ("root-ca", "it is for another key"),
        ("else", "it is for another key than the issuing CA has here"),
        ("deep", "its path length is Some(1)"),
        ("unbound", "its path length is None"),
        ("usage", "its key usage is more or less than"),
        ("narrow", "an extension that an issuing CA's certificate does not have"),
        ("long", "longer than its root, or than 3650 days"),
        ("damaged", "does not verify under the root's key"),
        ("issuing-ca.csr", "cannot be read"),
    ] {
        let output = stage.server(&format!("ca import @/{name}.crt")).failure();
        assert!(output.contains(told), "{name}: {output}");
    }
    assert_eq!(stage.content("server-machine"), before, "something was changed");

    // Revoked; a list that is older than the one that is held.
    let _list =
        stage.root("ca root-crl --root root --revoke @/issuing-ca.crt --reason key-compromise").success();
    fs::copy(stage.path("root-machine/root/root-ca.crl.pem"), stage.path("stick/new.crl.pem")).unwrap();
    let output = stage.server("ca import --root-crl @/new.crl.pem @/issuing-ca.crt").failure();
    assert!(output.contains("the root has revoked it"), "{output}");
    fs::copy(stage.path("stick/new.crl.pem"), stage.path("server-machine/server/root-ca.crl.pem")).unwrap();
    let output = stage.server("ca import --root-crl @/root-ca.crl.pem @/issuing-ca.crt").failure();
    assert!(output.contains("has number 1; number 2 is held already"), "{output}");
    fs::copy(stage.path("stick/root-ca.crl.pem"), stage.path("server-machine/server/root-ca.crl.pem"))
        .unwrap();

    // Other software's certificate that fits; the same once more is no mistake, another one is.
    sign("fits", "300", ca);
    let _taken = stage.server("ca import @/fits.crt --host localhost").success();
    let again = stage.server("ca import @/fits.crt --host localhost").success();
    assert!(again.contains("was in place already"), "{again}");
    let before = stage.content("server-machine");
    let output = stage.server("ca import @/issuing-ca.crt").failure();
    assert!(output.contains("issuing-ca.crt: is there already; nothing was overwritten"), "{output}");
    let output = stage.server("ca csr --out @/next.csr").failure();
    assert!(output.contains("issuing-ca.crt: is there already"), "{output}");
    assert_eq!(stage.content("server-machine"), before, "something was changed");
}

#[test]
fn devices_enroll_below_an_offline_root_which_can_revoke_the_issuing_ca() {
    let stage = Stage::new();
    let _made = stage.root("ca root-ceremony --dir root --tenant Example").success();
    let root = stage.path("root-machine/root");
    let world = World::with_steps(
        Wishes::default(),
        |init| {
            init.arg("--offline-root").arg(root.join("root-ca.crt"));
            init.arg("--root-crl").arg(root.join("root-ca.crl.pem"));
        },
        |world| {
            let path = |name: &str| stage.path(name).to_str().unwrap().to_owned();
            let _csr = world.server(&["ca", "csr", "--out", &path("stick/ca.csr")]).success();
            let _signed = stage.root("ca sign --root root --out @/ca.crt @/ca.csr").success();
            let import =
                ["ca", "import", "--host", "localhost", "--host", "127.0.0.1", &path("stick/ca.crt")];
            let _taken = world.server(&import).success();
        },
    );
    let server: Process = world.serve();
    let _enrolled = world.agent(&world.devices[0], &["enroll"]).success();

    // The chain with both lists, as nginx checks it.
    let mut verify = Command::new(peer("openssl", "openssl"));
    verify
        .args(["verify", "-x509_strict", "-crl_check_all", "-CAfile"])
        .arg(world.path("server/root-ca.crt"));
    verify.arg("-untrusted").arg(world.path("server/issuing-ca.crt"));
    verify.arg("-CRLfile").arg(world.path("server/crl.pem"));
    verify.arg(world.path(&format!("agents/{}-export/current/cert.pem", world.devices[0])));
    let _verified = run(&mut verify).success();
    let get = |path: &str| {
        let stream = std::net::TcpStream::connect(("127.0.0.1", world.http_port)).unwrap();
        exchange(stream, path, None).unwrap()
    };
    let served = get("/crl/root.crl");
    let held = ca::pem::read_crl(&fs::read(root.join("root-ca.crl.pem")).unwrap()).unwrap();
    assert_eq!((served.status, served.body), (200, held));

    // A file that is not the root's changes nothing.
    let place = world.path("server/root-ca.crl.pem");
    fs::write(
        &place,
        world.text("server/crl.pem").split_inclusive("-----END X509 CRL-----\n").next().unwrap(),
    )
    .unwrap();
    server.wait_for_text("the root's revocation list was not taken");
    assert_eq!(get("/readyz").status, 200);

    // The root revokes the issuing CA.
    let _list = stage.root("ca root-crl --root root --revoke @/ca.crt --reason key-compromise").success();
    fs::copy(root.join("root-ca.crl.pem"), &place).unwrap();
    until("a server that is not ready", || (get("/readyz").status == 503).then_some(()));
    until("the list in the published file", || {
        let told = run(&mut verify).failure_or_empty();
        told.contains("certificate revoked").then_some(())
    });
    let (status, log) = server.stop();
    assert!(status.success() && log.contains("the root has revoked the issuing CA"), "{log}");
    let output = world.server(&["serve"]).failure();
    assert!(output.contains("the root has revoked this issuing CA"), "{output}");
}
