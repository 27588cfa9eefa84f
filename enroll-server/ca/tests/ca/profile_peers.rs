//! What programs that we did not write make of the certificates of profiles: openssl, rustls-webpki and pkilint look at
//! those of every profile that is shipped, and of a few hundred random ones. They have to be there: a check that did not
//! run proves nothing.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ca::hierarchy::{ROOT_LIFETIME, root_ca};
use ca::{FileKey, IssuerKey as _, Profile, SAMPLE_PROFILE, pem, rehearse, sample};
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::TestRunner;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::profiles::{FACTS, FULL, device, server, uncommented};
use crate::support::{NOW, tlv};

/// Random profiles; each is one that the reader took and that was rehearsed.
const RANDOM: usize = 200;

/// A certificate, and the one of the CA that signed it, in DER.
struct Made {
    name: String,
    certificate: Vec<u8>,
    issuer: Vec<u8>,
}

fn made(name: String, text: &str) -> Option<Made> {
    let profile = Profile::parse(&name, text).ok()?;
    rehearse("p", &profile, NOW).ok()?;
    let made = sample("p", &profile, &FACTS, &device("sn-0001"), &server(), NOW).ok()?;
    Some(Made { name, certificate: made.certificate, issuer: made.issuer })
}

/// Those that come with the server or stand in its documentation, and one with everything.
fn shipped() -> Vec<Made> {
    let docs = include_str!("../../../../docs/profiles.md");
    let example = docs.split_once("# profiles.d/plant.toml\n").unwrap().1.split_once("```").unwrap().0;
    let texts = [
        ("none", ""),
        ("sample", SAMPLE_PROFILE),
        ("sample-with-all-its-lines", &uncommented()),
        ("plant", example),
        ("full", FULL),
    ];
    texts
        .into_iter()
        .map(|(name, text)| made(name.to_owned(), text).unwrap_or_else(|| panic!("{name}")))
        .collect()
}

/// The same ones in every run.
fn random() -> Vec<Made> {
    let mut runner = TestRunner::deterministic();
    let profiles = legal();
    let texts = (0..2 * RANDOM).map(|_| profiles.new_tree(&mut runner).unwrap().current());
    let legal = texts.enumerate().filter_map(|(number, text)| made(format!("random-{number}"), &text));
    let legal: Vec<Made> = legal.take(RANDOM).collect();
    assert_eq!(legal.len(), RANDOM, "half of them were not legal");
    legal
}

/// Files with every field that there is, nearly all of them legal.
fn legal() -> impl Strategy<Value = String> {
    let text = "\\{tenant\\} [a-z]{1,9}|\\{(group|label|model)\\}|[A-Za-z0-9äßéЖ中][A-Za-z0-9 .,&'()äßéЖ中-]{0,40}[a-z0-9ä]";
    let uri = "urn:dev:os:\\{enterprise\\}-\\{id\\}|https://[a-z]{1,9}\\.example/\\{group\\}/\\{id\\}(\\?[a-z]=%20)?|\
               spiffe://[a-z0-9]{1,9}\\.example/\\{id-hash\\}|tag:[a-z]{1,9}\\.example,2026:\\{id\\}";
    let dns = "\\{(id|id-hash)\\}(\\.\\{label\\})?\\.[a-z0-9]{1,20}\\.example|\\{id-hash\\}\\.[a-z](-?[a-z0-9]){0,20}\\.de";
    let oid = "1\\.3\\.6\\.1\\.4\\.1\\.32473(\\.[1-9][0-9]{0,4}){1,3}";
    let value = "0c0474657374|0500|02017f|30030101ff|0403000102|300a0c02c3a402047fffffff";
    let few = |pattern: &'static str, most| proptest::collection::btree_set(pattern, 0..most);
    let subject = proptest::collection::vec(proptest::option::of(text), 4);
    let usage = (
        proptest::sample::subsequence(vec!["non-repudiation", "key-agreement"], 0..=2),
        proptest::sample::subsequence(vec!["eap-over-lan", "ipsec-ike"], 0..=2),
        few(oid, 2),
    );
    let policies = proptest::collection::btree_map(
        oid,
        proptest::option::of("https?://[a-z]{1,9}\\.example(/[a-z]{1,6})?"),
        0..4,
    );
    let extensions = proptest::collection::btree_map(oid, value, 0..4);
    let life = (1..24_u32, 2..30_u32, 30..=180_u32);
    (life, subject, proptest::option::of("[A-Z]{2}"), few(uri, 4), few(dns, 4), usage, policies, extensions)
        .prop_map(
            |(
                (least, default, most),
                subject,
                country,
                uris,
                dns,
                (keys, purposes, own),
                policies,
                extensions,
            )| {
                let mut file = format!(
                    "[validity]\nleast = \"{least}h\"\ndefault = \"{default}d\"\nmost = \"{most}d\"\n"
                );
                let list = |fixed: &[&str], more: &[&str]| format!("{:?}", [fixed, more].concat());
                file += "[subject]\n";
                let names = ["organization", "organizational_unit", "locality", "state"];
                for (name, value) in names.into_iter().zip(subject).chain([("country", country)]) {
                    if let Some(value) = value.filter(|value| name != "organization" || !value.contains('{'))
                    {
                        file += &format!("{name} = \"{value}\"\n");
                    }
                }
                let quoted = |set: BTreeSet<String>| {
                    set.into_iter().map(|one| format!("\"{one}\"")).collect::<Vec<_>>().join(", ")
                };
                file += &format!("[names]\nuri = [{}]\ndns = [{}]\n", quoted(uris), quoted(dns));
                let own: Vec<&str> = own.iter().map(String::as_str).collect();
                file += &format!("[usage]\nkey = {}\n", list(&["digital-signature"], &keys));
                file += &format!("extended = {}\n", list(&["client-auth"], &[purposes, own].concat()));
                for (oid, cps) in policies {
                    file += &format!("[[certificate_policy]]\noid = \"{oid}\"\n");
                    file += &cps.map_or_else(String::new, |cps| format!("cps = \"{cps}\"\n"));
                }
                for (oid, der) in extensions {
                    file += &format!("[[extension]]\noid = \"{oid}\"\nder = \"{der}\"\n");
                }
                file
            },
        )
}

fn all() -> Vec<Made> {
    let mut all = shipped();
    all.extend(random());
    all
}

fn write(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path
}

/// Whether openssl takes it by its strict rules, and what it says.
fn openssl(folder: &Path, made: &Made) -> Result<(), String> {
    write(folder, "ca.pem", pem::certificate(&made.issuer).as_bytes());
    write(folder, "device.pem", pem::certificate(&made.certificate).as_bytes());
    let verify = format!(
        "verify -x509_strict -check_ss_sig -purpose sslclient -attime {} -CAfile ca.pem device.pem",
        NOW.as_secs()
    );
    let mut shown = String::new();
    for arguments in [verify.as_str(), "x509 -in device.pem -noout -text"] {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
        let output = output.unwrap_or_else(|error| {
            panic!("openssl does not start ({error}); install it: sudo apt-get install -y openssl")
        });
        shown = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if !output.status.success() {
            return Err(shown);
        }
    }
    // So it shows what it cannot take apart.
    let problems =
        ["<INVALID", "<unsupported>", "<Not Supported>", "<Unsupported", "Unable to load", "<Parse"];
    let problem = problems.iter().find(|problem| shown.contains(**problem));
    problem.map_or(Ok(()), |problem| Err(format!("{problem} in {shown}")))
}

fn webpki(made: &Made) -> Result<(), webpki::Error> {
    let (ca, device) = (made.issuer.as_slice().into(), made.certificate.as_slice().into());
    let anchor = anchor_from_trusted_cert(&ca)?;
    let certificate = EndEntityCert::try_from(&device)?;
    certificate
        .verify_for_usage(
            &[webpki::aws_lc_rs::ECDSA_P256_SHA256],
            &[anchor],
            &[],
            rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(NOW.as_secs())),
            KeyUsage::client_auth(),
            None,
            None,
        )
        .map(|_| ())
}

/// A Python that has pkilint: the one named in `PKILINT_PYTHON`, that of scripts/test, or the system's.
fn python() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/pkilint/bin/python3");
    let named = std::env::var_os("PKILINT_PYTHON").map(PathBuf::from);
    let has = |python: &PathBuf| {
        let tried = Command::new(python).args(["-c", "import pkilint"]).output();
        tried.is_ok_and(|output| output.status.success())
    };
    let found = named.into_iter().chain([here, "python3".into()]).find(has);
    found.unwrap_or_else(|| {
        panic!(
            "pkilint is not there; install it: python3 -m venv target/pkilint && \
             target/pkilint/bin/pip install pkilint==0.13.3"
        )
    })
}

/// What pkilint finds: the certificate's name, the code, and the details.
fn pkilint(folder: &Path, list: &[Made]) -> Vec<(String, String, String)> {
    let write = |made: &Made| {
        write(folder, &format!("{}.der", made.name), &made.certificate);
        format!("{}.der", made.name)
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ca/lint_certificates.py");
    let output = Command::new(python()).arg(script).args(list.iter().map(write)).current_dir(folder).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(said.ends_with(&format!("linted {}\n", list.len())), "pkilint failed: {failed}{said}");
    let findings = said.lines().filter_map(|line| {
        let mut fields = line.split('\t').map(str::to_owned);
        let (file, severity, code) = (fields.next()?, fields.next()?, fields.next()?);
        let details = fields.next().unwrap_or_default();
        Some((file.trim_end_matches(".der").to_owned(), code, format!("{severity}: {details}")))
    });
    findings.collect()
}

/// What pkilint finds and we keep: the code, what stands in the details, and the reason. One that is not found any more
/// has to go.
const ACCEPTED: &[(&str, &str, &str)] = &[
    (
        "pkix.unknown_subject_key_identifier_calculation_method",
        "NOTICE",
        "RFC 5280, section 4.2.1.2, leaves the method open; ours is method 4 of RFC 7093, cut to 160 bits",
    ),
    (
        "pkix.certificate_policies_policy_has_qualifier",
        "NOTICE",
        "the operator asked for the CPS by `cps` (RFC 5280, section 4.2.1.4, allows it)",
    ),
    (
        "pkix.invalid_uri_syntax",
        "\"urn:dev:os:",
        "RFC 3986 has URIs without an authority, and RFC 9039 this one; pkilint asks for the syntax of a URL",
    ),
    ("pkix.invalid_uri_syntax", "\"tag:", "RFC 4151; as before"),
    ("pkix.invalid_uri_syntax", "\"spiffe://", "RFC 3986 leaves schemes open; pkilint's library knows a few"),
];

fn is_accepted(code: &str, details: &str) -> bool {
    ACCEPTED.iter().any(|(accepted, holds, _)| *accepted == code && details.contains(holds))
}

#[test]
fn programs_of_others_find_nothing_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let all = all();
    for made in &all {
        assert_eq!(openssl(folder.path(), made), Ok(()), "{}", made.name);
        assert_eq!(webpki(made), Ok(()), "{}", made.name);
    }
    let found = pkilint(folder.path(), &all);
    let wrong = found.iter().filter(|(_, code, details)| !is_accepted(code, details));
    // One of each kind.
    let wrong: BTreeMap<_, _> = wrong.map(|(name, code, details)| (code, (name, details))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (code, holds, reason) in ACCEPTED {
        let still = found.iter().any(|(_, found, details)| found == code && details.contains(holds));
        assert!(still, "{code} ({holds}) is not found any more ({reason})");
    }
}

/// The planted bugs: a certificate with extensions that says it is of version 1, and one that may sign certificates and
/// is no CA's. Both are signed as they are.
#[test]
fn programs_of_others_find_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, key) = root_ca("Acme", ROOT_LIFETIME, NOW).unwrap();
    key.save(&folder.path().join("ca.key")).unwrap();
    let hierarchy = ca::Issuer::new(ca.clone(), Box::new(key)).unwrap();
    let key = FileKey::load(&folder.path().join("ca.key")).unwrap();
    let good = crate::support::device_of(&hierarchy, "SN-0001");
    let planted = |from: &[u8], to: &[u8]| {
        let (_, parsed) = X509Certificate::from_der(good.der()).unwrap();
        let mut tbs = parsed.tbs_certificate.as_ref().to_vec();
        let places: Vec<usize> = (0..tbs.len()).filter(|at| tbs[*at..].starts_with(from)).collect();
        assert_eq!(places.len(), 1);
        tbs[places[0]..places[0] + to.len()].copy_from_slice(to);
        let algorithm = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
        let signature = tlv(3, &[&[0], &key.sign(&tbs).unwrap()]);
        let certificate = tlv(0x30, &[&tbs, &algorithm, &signature]);
        Made { name: "planted".into(), certificate, issuer: ca.der().to_vec() }
    };
    let unchanged = planted(&[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 2]);
    assert_eq!((openssl(folder.path(), &unchanged), webpki(&unchanged)), (Ok(()), Ok(())));
    let found = pkilint(folder.path(), &[unchanged]);
    assert!(found.iter().all(|(_, code, details)| is_accepted(code, details)), "{found:?}");

    let version = planted(&[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 0]);
    assert!(openssl(folder.path(), &version).is_err() && webpki(&version).is_err());
    let codes = |made: Made| -> Vec<String> {
        pkilint(folder.path(), &[made]).into_iter().map(|(_, code, _)| code).collect()
    };
    let found = codes(version);
    assert!(found.iter().any(|code| code == "cannot-be-read"), "{found:?}");
    // keyCertSign in place of digitalSignature.
    let signs = planted(&[3, 2, 7, 0x80], &[3, 2, 2, 4]);
    assert!(openssl(folder.path(), &signs).is_err());
    let found = codes(signs);
    assert!(found.iter().any(|code| code.contains("keycertsign")), "{found:?}");
}
