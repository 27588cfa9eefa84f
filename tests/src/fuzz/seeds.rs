//! The seeds: from the test vectors, the recorded exchange and the sample files.

use std::path::Path;

use serde_json::Value as Json;

use super::pieces::join;
use crate::{dice, exchange, tpm_exchange};

/// Inputs to begin with, each with the name of its file in `tests/fuzz/corpus/TARGET`. There are more files
/// there: what a fuzzer found stays.
///
/// # Panics
/// Where there is no such target.
#[must_use]
pub fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let elsewhere = [
        super::attestation_seeds::seeds,
        super::log::seeds,
        super::tpm_answers::seeds,
        super::keys::seeds,
        super::peers::seeds,
        super::emqx::seeds,
        super::boards::seeds,
        super::tls_session::seeds,
        super::flash::seeds,
        super::records::seeds,
    ];
    if let Some(seeds) = elsewhere.iter().find_map(|seeds| seeds(target)) {
        return seeds;
    }
    match target {
        "cbor_check" => {
            [vectors("claims", None), vectors("challenge-request", None), malformed(None)].concat()
        }
        "challenge_request" => vectors("challenge-request", Some("challenge_request")),
        "challenge" => vectors("challenge", Some("challenge")),
        "enroll_request" => vectors("enroll-request", Some("enroll_request")),
        "renew_request" => vectors("renew-request", Some("renew_request")),
        "answer" => [vectors("answer", Some("enroll_answer")), recorded(&["renew_answer"])].concat(),
        "trust_bundle" => vectors("trust-bundle", None),
        "trust_report" => vectors("trust-report", None),
        "claims" => vectors("claims", None),
        "cose_sign1" => {
            [vectors("cose-sign1", Some("evidence")), recorded(&["trust_bundle"]), malformed(Some("eat"))]
                .concat()
        }
        "cose_mac0" => [vectors("cose-mac0", None), vectors("cose-sign1", None)].concat(),
        "key_text" => ["device-key:", "group-key:", "other:"]
            .iter()
            .map(|word| {
                let text = format!("{word}{}:{}\n", "1f".repeat(8), "a0".repeat(32));
                (word.trim_end_matches(':').to_owned(), text.into_bytes())
            })
            .collect(),
        "token_text" => ["0000-0000-0000-0000", "oooo-llll-0000-1111", "not a token"]
            .iter()
            .zip(["zeros", "spelled", "other"])
            .map(|(text, name)| (name.to_owned(), text.as_bytes().to_vec()))
            .collect(),
        "csr" => recorded(&["csr"]),
        "est_body" => {
            let line = enroll_server::est::to_base64(&bytes("csr"));
            let ragged =
                line.as_bytes().chunks(60).map(<[u8]>::to_vec).collect::<Vec<_>>().join(&b"\r\n"[..]);
            vec![("line".into(), line.into_bytes()), ("lines".into(), ragged), ("der".into(), bytes("csr"))]
        }
        "est_basic" => vec![
            // SN-1:0123456789abcdef0123456789abcdef, and a user that is no device.
            ("token".into(), b"Basic U04tMTowMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg==".to_vec()),
            ("nobody".into(), b"Basic OnRva2Vu".to_vec()),
            ("bearer".into(), b"Bearer U04tMTp0b2tlbg==".to_vec()),
        ],
        "idevid_chain" => vec![pieces("one", &["idevid"]), pieces("with-root", &["idevid", "maker_ca"])],
        "maker_ca" => recorded(&["maker_ca", "root_ca", "idevid"]),
        "evidence" => {
            vec![("recorded".into(), join(&[&NONCE, &bytes("csr"), &bytes("evidence"), &bytes("idevid")]))]
        }
        "signed_trust_bundle" => recorded(&["trust_bundle"]),
        "device_x509_parse" => {
            recorded(&["server_certificate", "root_ca", "issuing_ca", "idevid", "maker_ca"])
        }
        "device_x509_path" => vec![
            pieces("server", &["server_certificate", "issuing_ca"]),
            pieces("leaf-only", &["server_certificate"]),
            pieces("with-root", &["server_certificate", "issuing_ca", "root_ca"]),
            pieces("other", &["idevid", "maker_ca"]),
        ],
        "dice_extensions" => dice_extensions(),
        "dice_binding" => vec![("recorded".into(), dice::bytes("binding"))],
        "dice_evidence" => {
            let (csr, evidence, chain) = (dice::bytes("csr"), dice::bytes("evidence"), dice::chain());
            let mut all: Vec<&[u8]> = vec![&csr, &evidence];
            all.extend(chain.iter().map(Vec::as_slice));
            vec![("recorded".into(), join(&all))]
        }
        "maker_crl" => {
            vec![("recorded".into(), join(&[&dice::bytes("maker_ca"), &dice::bytes("maker_crl")]))]
        }
        // Certificates named by hashes of nobody: by SHA-1, with a nonce, two by SHA-256.
        "ocsp_request" => [
            (
                "sha1",
                "3051304f304d304b3049300906052b0e03021a0500041411111111111111111111111111111111111111110414\
                 2222222222222222222222222222222222222222021042424242424242424242424242424242",
            ),
            (
                "nonce",
                "308187308184304d304b3049300906052b0e03021a050004141111111111111111111111111111111111111111\
                 04142222222222222222222222222222222222222222021042424242424242424242424242424242a233303130\
                 2f06092b0601050507300102042204203333333333333333333333333333333333333333333333333333333333\
                 333333",
            ),
            (
                "two-sha256",
                "3081df3081dc3081c330673065300d060960864801650304020105000420111111111111111111111111111111\
                 111111111111111111111111111111111104202222222222222222222222222222222222222222222222222222\
                 22222222222202104242424242424242424242424242424230583056300d060960864801650304020105000420\
                 111111111111111111111111111111111111111111111111111111111111111104202222222222222222222222\
                 222222222222222222222222222222222222222222020101a2143012301006092b060105050730010204030401\
                 33",
            ),
        ]
        .into_iter()
        .map(|(name, text)| (name.to_owned(), hex::decode(text).expect("hexadecimal digits")))
        .collect(),
        "pem" => vec![
            ("chain".into(), ca::pem::chain([bytes("idevid").as_slice(), &bytes("maker_ca")]).into_bytes()),
            ("crl".into(), ca::pem::crl(&bytes("csr")).into_bytes()),
        ],
        "doctor_file" => vec![
            ("certificate".into(), bytes("server_certificate")),
            ("bundle".into(), bytes("trust_bundle")),
            ("request".into(), bytes("csr")),
            ("pem".into(), ca::pem::chain([bytes("idevid").as_slice(), &bytes("maker_ca")]).into_bytes()),
        ],
        "policy" => vec![
            file("enroll-server/appraisal/policy.sample.toml"),
            ("empty".into(), Vec::new()),
            ("wrong".into(), b"[certificate]\ndays = 181\n[firmware]\nmeasurements = 7\n".to_vec()),
        ],
        "profile" => vec![
            file("enroll-server/ca/profile.sample.toml"),
            ("empty".into(), Vec::new()),
            ("full".into(), PROFILE.as_bytes().to_vec()),
            ("wrong".into(), b"[validity]\nmost = \"181d\"\n[names]\ndns = [\"{id}.example\"]\n".to_vec()),
        ],
        "recorded_profile" => {
            ["", PROFILE].into_iter().zip(["empty", "full"]).map(recorded_profile).collect()
        }
        "inventory" => vec![
            (
                "csv".into(),
                format!(
                    "device,model,idevid_sha256,group,tags\nSN-1,a,{},lot-7,old red\n\"SN-2\",,,,\n",
                    "a9".repeat(32)
                )
                .into_bytes(),
            ),
            (
                "json-lines".into(),
                b"{\"device\":\"SN-1\",\"tags\":[\"a\"]}\n{\"device\":\"SN-2\",\"model\":\"b\"}\n".to_vec(),
            ),
            ("wrong".into(), b"device,colour\nS N,red\n".to_vec()),
        ],
        "reference_values" => {
            let one = format!(
                "[[measurement]]\ncomponent = \"a\"\nversion = \"1.0.0\"\ndigest = \"{}\"\n",
                "a9".repeat(32)
            );
            vec![
                ("one".into(), one.clone().into_bytes()),
                ("model".into(), format!("{one}model = \"m\"\n").into_bytes()),
            ]
        }
        "corim" => ["unsigned", "signed", "all-parts", "all-parts-signed"]
            .map(|name| (name.to_owned(), corim(name)))
            .to_vec(),
        "release_list" => release_lists(),
        "server_config" => vec![
            ("least".into(), b"tenant = \"Example\"\n".to_vec()),
            ("wrong".into(), b"tenant = \"two words\"\n[listen]\nhttps = \"nowhere\"\n".to_vec()),
        ],
        "agent_config" => vec![("sample".into(), agent::config::sample().into_bytes())],
        "command" => [
            "{\"command\":\"renew\"}",
            "{\"command\":\"status\"}",
            "{\"command\": \"\\u0072enew\", \"more\": [1]}",
        ]
        .iter()
        .zip(["renew", "status", "escaped"])
        .map(|(text, name)| (name.into(), text.as_bytes().to_vec()))
        .collect(),
        "mqtt_packets" => mqtt(),
        "tpm_introduction" => tpm(&["introduction"]),
        "tpm_evidence" | "tpm_appraisal" => tpm(&["evidence"]),
        "tpm_public" => tpm(&["ek_public", "ak_public", "key_public"]),
        "tpm_attest" => tpm(&["certify", "quote", "quote_signature"]),
        "tpm_event_log" => tpm(&["event_log"]),
        other => panic!("there is no target '{other}'"),
    }
}

/// Values that another encoder wrote (Python's asn1tools), as in the tests of the appraisal.
fn dice_extensions() -> Vec<(String, Vec<u8>)> {
    let (aa, bb, cc) = ("aa".repeat(64), "bb".repeat(64), "cc".repeat(64));
    let values = [
        (
            "tcb-info",
            format!(
                "3081c380074578616d706c65810873656e736f722d618205312e322e308302012c840101850102a67e\
                 302d06096086480165030402010420{}304d06096086480165030402030440{}\
                 8705000000000188020102890b6170706c69636174696f6e8a0500ff800001",
                "11".repeat(32),
                "33".repeat(64)
            ),
        ),
        ("tcb-info-debug", "300784010087020410".into()),
        (
            "multi-tcb-info",
            format!("303e3034810161a62f302d06096086480165030402010420{}3006810162850101", "44".repeat(32)),
        ),
        (
            "open-profile",
            format!(
                "3081eea0420440{aa}a103040163a2420440{bb}a3060404636f6e66a4420440{cc}a503040161\
                 a603020101a7090c076578616d706c65"
            ),
        ),
    ];
    values.into_iter().map(|(name, value)| (name.into(), hex::decode(value).unwrap())).collect()
}

/// The nonce of the recorded exchange.
const NONCE: [u8; 32] = {
    let mut nonce = [0xa5; 32];
    let mut i = 0;
    while i < 32 {
        #[expect(clippy::cast_possible_truncation, reason = "32 numbers")]
        let byte = i as u8;
        nonce[i] ^= byte;
        i += 1;
    }
    nonce
};

/// What the recorded TPM said.
fn tpm(names: &[&str]) -> Vec<(String, Vec<u8>)> {
    names.iter().map(|name| (format!("recorded-{name}"), tpm_exchange::bytes(name))).collect()
}

/// A vector of the crate that reads manifests.
fn corim(name: &str) -> Vec<u8> {
    let (_, text) = file("enroll-server/reference-values/tests/vectors/corim.txt");
    let text = String::from_utf8(text).unwrap();
    let line = text.lines().filter_map(|line| line.split_once(' ')).find(|(found, _)| *found == name);
    hex::decode(line.unwrap_or_else(|| panic!("no vector '{name}'")).1).unwrap()
}

/// Lists in both forms, with everything a list can say.
fn release_lists() -> Vec<(String, Vec<u8>)> {
    let digest = "a9".repeat(32);
    let csv = format!(
        "# a list\n# name: sensor-a\n# release: 7\n# maker: acme\n# not-before: 2026-01-01\n\
         # not-after: 2099-12-31T23:59:59Z\nmodel,component,version,digest,maker\n\
         sensor-a,\"boot, \"\"first\"\"\",0.9.1,{digest},acme\n,application,,{},\n",
        "B7".repeat(48)
    );
    let json = format!(
        "{{\"name\": \"sensor-a\", \"release\": 7, \"maker\": \"acme\", \"not-before\": \"2026-01-01\",\n\
         \"not-after\": \"2099-12-31\", \"values\": [\n{{\"model\": \"m\", \"component\": \"\\u0061\", \
         \"version\": \"1.0.0\",\n\"digest\": \"{digest}\", \"maker\": \"acme\"}}]}}"
    );
    vec![
        ("csv".into(), csv.into_bytes()),
        ("json".into(), json.into_bytes()),
        ("wrong-csv".into(), b"# name: a\n# name: b\ncomponent,digest\na\n\"b,00\n".to_vec()),
        ("wrong-json".into(), b"{\"values\": [{\"component\": 5}, {\"digest\": \"00\"}]}".to_vec()),
    ]
}

/// Packets in the order in which a device sends them.
fn mqtt() -> Vec<(String, Vec<u8>)> {
    let connect = b"\x10\x14\x00\x04MQTT\x05\x02\x00\x1e\x00\x00\x07SN-0001";
    let subscribe = b"\x82\x1d\x00\x01\x00\x00\x17devices/SN-0001/command\x01";
    let publish = b"\x32\x20\x00\x19devices/SN-0001/telemetry\x00\x02\x00{}";
    let (ping, leave) = (b"\xc0\x00", b"\xe0\x00");
    let all = [connect.as_slice(), subscribe, publish, ping, leave].concat();
    vec![("connect".into(), connect.to_vec()), ("publish".into(), publish.to_vec()), ("session".into(), all)]
}

/// The messages of a file of vectors, and one of the recorded exchange.
fn vectors(name: &str, from_exchange: Option<&str>) -> Vec<(String, Vec<u8>)> {
    let mut found = from_exchange.map_or_else(Vec::new, |name| recorded(&[name]));
    for vector in list(name) {
        found.push((slug(&vector["name"]), hex::decode(vector["hex"].as_str().unwrap()).unwrap()));
    }
    found.extend(malformed(Some(name)));
    found
}

/// What has to be refused: of one message, or of all where none is named.
fn malformed(message: Option<&str>) -> Vec<(String, Vec<u8>)> {
    list("malformed")
        .iter()
        .filter(|vector| message.is_none_or(|message| vector["message"] == message))
        .map(|vector| (slug(&vector["name"]), hex::decode(vector["hex"].as_str().unwrap()).unwrap()))
        // A seed of many kilobytes slows a fuzzer down and teaches it nothing.
        .filter(|(_, bytes)| bytes.len() <= 2_500)
        .collect()
}

fn list(name: &str) -> Vec<Json> {
    let (_, text) = file(&format!("shared/vectors/{name}.json"));
    let file: Json = serde_json::from_slice(&text).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

fn slug(name: &Json) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.as_str().unwrap().chars().map(plain).collect()
}

fn recorded(names: &[&str]) -> Vec<(String, Vec<u8>)> {
    names.iter().map(|name| (format!("recorded-{name}"), bytes(name))).collect()
}

fn pieces(name: &str, parts: &[&str]) -> (String, Vec<u8>) {
    let parts: Vec<Vec<u8>> = parts.iter().map(|part| bytes(part)).collect();
    (name.into(), join(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>()))
}

fn bytes(name: &str) -> Vec<u8> {
    exchange::bytes(name)
}

/// A file of the repository.
fn file(path: &str) -> (String, Vec<u8>) {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    let content = std::fs::read(&full).unwrap_or_else(|error| panic!("{}: {error}", full.display()));
    ("sample".into(), content)
}

/// A profile with every field.
const PROFILE: &str = r#"[validity]
default = "30d"
least = "12h"
most = "60d"
[subject]
country = "DE"
locality = "Town"
organization = "Acme Ltd"
organizational_unit = "{model}"
[names]
uri = ["urn:dev:os:{enterprise}-{id}", "https://id.example/{group}/{id}"]
dns = ["{id-hash}.{label}.devices.example"]
[usage]
key = ["key-agreement", "digital-signature"]
extended = ["client-auth", "eap-over-lan", "1.3.6.1.4.1.32473.9"]
[[certificate_policy]]
oid = "1.3.6.1.4.1.32473.1.1"
cps = "https://pki.example/cps"
[[extension]]
oid = "1.3.6.1.4.1.32473.2.1"
der = "0c0474657374"
"#;

/// The profile `text` as it is recorded with a certificate.
fn recorded_profile((text, name): (&str, &str)) -> (String, Vec<u8>) {
    let facts = ca::Facts {
        tenant: "Acme",
        enterprise: 32473,
        group: "lab",
        label: Some("plant-7"),
        model: Some("M1"),
    };
    let profile = ca::Profile::parse("profile.toml", text).expect("a good profile");
    let bound = profile.bind("p", &facts).expect("facts that fit");
    (name.to_owned(), bound.text().as_bytes().to_vec())
}
