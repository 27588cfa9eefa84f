//! Profiles: what a file may say, what it may never say, and what certificates come of it.

use ca::{
    BindError, Bound, Facts, LdevidProfile, LintError, MAX_LIFETIME, Profile, RehearsalError, SAMPLE_PROFILE,
    is_profile_name, rehearse, sample,
};
use proptest::prelude::*;
use shared::DeviceId;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::support::NOW;

pub(crate) const FACTS: Facts<'_> = Facts {
    tenant: "Acme",
    enterprise: 32473,
    group: "lab",
    label: Some("plant-7"),
    model: Some("M1 rev B"),
};

pub(crate) const FULL: &str = r#"
[validity]
default = "30d"
least = "12h"
most = "60d"
[subject]
country = "DE"
state = "Region"
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
[[certificate_policy]]
oid = "2.16.840.1.101.3.2.1.3.7"
[[extension]]
oid = "1.3.6.1.4.1.32473.2.1"
der = "0c0474657374"
"#;

pub(crate) fn server() -> LdevidProfile {
    let server = LdevidProfile::new("Acme", 32473).unwrap();
    server.with_crl_url("http://ca.example/crl.der").unwrap()
}

pub(crate) fn device(id: &str) -> DeviceId {
    DeviceId::new(id).unwrap()
}

#[test]
fn the_sample_is_the_default_and_so_is_an_empty_file() {
    assert_eq!(Profile::parse("sample", SAMPLE_PROFILE), Ok(Profile::default()));
    assert_eq!(Profile::parse("empty", ""), Ok(Profile::default()));
    // The lines that are commented out are good ones.
    let profile = Profile::parse("uncommented", &uncommented()).unwrap();
    assert!(profile.to_toml().contains("cps = \"https://pki.example/cps\""));
    rehearse("default", &profile, NOW).unwrap();
}

/// The sample with the lines in force that are commented out.
pub(crate) fn uncommented() -> String {
    let is_field = |line: &&str| {
        let key = line.split_once(" = ").map_or("", |(key, _)| key);
        line.starts_with("[[") || (!key.is_empty() && !key.contains(|c: char| c != '_' && !c.is_lowercase()))
    };
    let lines = SAMPLE_PROFILE.lines().map(|line| line.strip_prefix("# ").filter(is_field).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_profile_reads_back_as_it_is_written() {
    for text in ["", FULL] {
        let profile = Profile::parse("p", text).unwrap();
        rehearse("full", &profile, NOW).unwrap();
        assert_eq!(Profile::parse("again", &profile.to_toml()).as_ref(), Ok(&profile));
        let bound = profile.bind("full", &FACTS).unwrap();
        assert_eq!(Bound::from_record("full", bound.text()).as_ref(), Ok(&bound));
        assert_eq!(bound.sha256(), Bound::from_record("full", bound.text()).unwrap().sha256());
        assert_ne!(bound.sha256(), Bound::from_record("other", bound.text()).unwrap().sha256());
    }
}

#[test]
fn the_certificate_is_what_the_profile_says() {
    let profile = Profile::parse("p", FULL).unwrap();
    let made = sample("full", &profile, &FACTS, &device("SN-1"), &server(), NOW).unwrap();
    let (_, certificate) = X509Certificate::from_der(&made.certificate).unwrap();
    assert_eq!(
        certificate.subject().to_string(),
        "C=DE, ST=Region, L=Town, O=Acme Ltd, OU=M1 rev B, CN=SN-1, serialNumber=SN-1"
    );
    let life = certificate.validity().not_after.timestamp() - i64::try_from(NOW.as_secs()).unwrap();
    assert_eq!(life, 30 * 86_400);
    let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
    // printf SN-1 | sha256sum | cut -c 1-32
    let hash = "3dbe0e9ee31b3eebfe4ba9d12d1de2d9";
    let dns: Vec<_> = names
        .iter()
        .filter_map(|name| if let GeneralName::DNSName(dns) = name { Some(*dns) } else { None })
        .collect();
    assert_eq!(dns.len(), 1);
    assert!(dns[0].ends_with(".plant-7.devices.example") && dns[0].len() == hash.len() + 24, "{dns:?}");
    assert!(names.contains(&GeneralName::URI("urn:dev:os:32473-SN-1")));
    assert!(names.contains(&GeneralName::URI("https://id.example/lab/SN-1")));
    let usage = certificate.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.digital_signature() && usage.value.key_agreement());
    assert!(!usage.value.key_cert_sign() && !usage.value.non_repudiation());
    let purposes = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.client_auth && !purposes.server_auth && !purposes.any && purposes.other.len() == 2);
    assert!(!certificate.is_ca());
    let oids: Vec<_> = certificate.extensions().iter().map(|e| e.oid.to_id_string()).collect();
    for oid in ["2.5.29.32", "2.5.29.31", "1.3.6.1.4.1.32473.2.1"] {
        assert!(oids.iter().any(|found| found == oid), "{oid} in {oids:?}");
    }
}

#[test]
fn an_attribute_that_asks_for_an_unknown_model_is_left_out() {
    let profile = Profile::parse("p", FULL).unwrap();
    let facts = Facts { model: None, ..FACTS };
    let made = sample("full", &profile, &facts, &device("SN-1"), &server(), NOW).unwrap();
    let (_, certificate) = X509Certificate::from_der(&made.certificate).unwrap();
    assert!(!certificate.subject().to_string().contains("OU="));
}

#[test]
fn a_model_that_breaks_the_rules_gets_nothing() {
    let profile = Profile::parse("p", FULL).unwrap();
    for model in [" M1", "M1\u{200b}", "M\n1", "a\u{202e}b"] {
        let facts = Facts { model: Some(model), ..FACTS };
        let error = sample("full", &profile, &facts, &device("SN-1"), &server(), NOW).unwrap_err();
        let RehearsalError::Issue(ca::IssueError::Lint(error)) = error else { panic!("{error}") };
        assert!(matches!(error, LintError::Rules(_)), "{model:?}: {error}");
    }
    let facts = Facts { model: Some("{id} {{x"), ..FACTS };
    let made = sample("full", &profile, &facts, &device("SN-1"), &server(), NOW).unwrap();
    let (_, certificate) = X509Certificate::from_der(&made.certificate).unwrap();
    assert!(certificate.subject().to_string().contains("OU={id} {{x"), "text of others is no pattern");
}

#[test]
fn two_devices_never_come_to_one_dns_name() {
    let profile = Profile::parse("p", "[names]\ndns = [\"{id}.devices.example\"]\n").unwrap();
    rehearse("p", &profile, NOW).unwrap();
    for id in ["SN-1", "a.b", "a.-b", "ab--c", "A"] {
        let bound = profile.bind("p", &FACTS).unwrap();
        assert_eq!(
            bound.check(&device(id)),
            Err(BindError::Dns { profile: "p".into(), device: device(id) }),
            "{id}"
        );
        assert!(sample("p", &profile, &FACTS, &device(id), &server(), NOW).is_err());
    }
    sample("p", &profile, &FACTS, &device("sn-1"), &server(), NOW).unwrap();
}

#[test]
fn a_profile_that_needs_a_label_gets_one() {
    let profile = Profile::parse("p", FULL).unwrap();
    assert!(profile.needs_label() && !Profile::default().needs_label());
    let facts = Facts { label: None, ..FACTS };
    assert_eq!(profile.bind("full", &facts), Err(BindError::Label { profile: "full".into() }));
}

#[test]
fn what_was_recorded_is_read_whole_or_not_at_all() {
    let text = Profile::parse("p", FULL).unwrap().bind("full", &FACTS).unwrap().text().to_owned();
    for bad in [
        text.replace("\"60d\"", "\"61\""),
        format!("{text}\n"),
        text.replace("plant-7", "{label}"),
        text.replace("client-auth", "server-auth"),
        String::new(),
    ] {
        assert_eq!(Bound::from_record("full", &bad), Err(BindError::Recorded));
    }
    assert_eq!(Bound::from_record("../x", &text), Err(BindError::Recorded));
    assert!(
        is_profile_name("lab-2")
            && !is_profile_name("Lab")
            && !is_profile_name("")
            && !is_profile_name("a/b")
    );
}

/// Each with the field that is told.
const MISTAKES: &[(&str, &str)] = &[
    ("[validity]\nmost = \"181d\"", "validity.most"),
    ("[validity]\nleast = \"30m\"", "validity.least"),
    ("[validity]\nleast = \"3d\"\nmost = \"2d\"", "validity.least"),
    ("[validity]\ndefault = \"3d\"\nmost = \"2d\"", "validity.default"),
    ("[subject]\ncommon_name = \"x\"", "subject.common_name"),
    ("[subject]\nserial_number = \"x\"", "subject.serial_number"),
    ("[subject]\nemail = \"x\"", "subject.email"),
    ("[subject]\norganization = \"\"", "subject.organization"),
    ("[subject]\norganization = \"{model}\"", "subject.organization"),
    ("[subject]\norganization = \"{tenant} Ltd\"", "subject.organization"),
    ("[subject]\norganizational_unit = \"{owner}\"", "subject.organizational_unit"),
    ("[subject]\ncountry = \"Germany\"", "subject.country"),
    ("[names]\nuri = [\"urn:dev:os:1-device\"]", "names.uri"),
    ("[names]\nuri = [\"{id}\"]", "names.uri"),
    ("[names]\nuri = [\"urn:x:{group}-{id}\"]", "names.uri"),
    ("[names]\nuri = [\"urn:x:{model}:{id}\"]", "names.uri"),
    ("[names]\nuri = \"urn:x:{id}\"", "names.uri"),
    ("[names]\ndns = [\"devices.example\"]", "names.dns"),
    ("[names]\ndns = [\"*.{id}.devices.example\"]", ""),
    ("[names]\ndns = [\"{id}.example\"]", "names.dns"),
    ("[names]\ndns = [\"{id}-x.devices.example\"]", "names.dns"),
    ("[names]\ndns = [\"x{id}.devices.example\"]", "names.dns"),
    ("[names]\ndns = [\"{id}.{id}.devices.example\"]", "names.dns"),
    ("[names]\nregistered_id = [\"1.2.3\"]", "names.registered_id"),
    ("[usage]\nkey = [\"key-agreement\"]", "usage.key"),
    ("[usage]\nkey = [\"digital-signature\", \"key-cert-sign\"]", "usage.key"),
    ("[usage]\nextended = [\"eap-over-lan\"]", "usage.extended"),
    ("[usage]\nextended = [\"client-auth\", \"server-auth\"]", "usage.extended"),
    ("[usage]\nextended = [\"client-auth\", \"1.3.6.1.5.5.7.3.1\"]", "usage.extended"),
    ("[usage]\nextended = [\"client-auth\", \"2.5.29.37.0\"]", "usage.extended"),
    ("[usage]\nextended = [\"client-auth\", \"1.3.6.1.4.1.311.20.2.2\"]", "usage.extended"),
    ("[[certificate_policy]]\noid = \"2.5.29.32.0\"", "certificate_policy.oid"),
    ("[[certificate_policy]]\ncps = \"https://a.example\"", "certificate_policy.oid"),
    (
        "[[certificate_policy]]\noid = \"1.2.3\"\n[[certificate_policy]]\noid = \"1.2.3\"",
        "certificate_policy",
    ),
    ("[[extension]]\noid = \"2.5.29.19\"\nder = \"30030101ff\"", "extension.oid"),
    ("[[extension]]\noid = \"1.3.6.1.4.1.11129.2.4.3\"\nder = \"0500\"", "extension.oid"),
    ("[[extension]]\noid = \"1.3.6.1.4.1.1.1\"\nder = \"05\"", "extension.der"),
    ("[[extension]]\noid = \"1.3.6.1.4.1.1.1\"\nder = \"0500\"\ncritical = true", "extension.critical"),
    ("[policy]\nx = 1", "policy"),
    ("= 1", ""),
];

/// Good TOML with good fields, and yet the certificates would break rules.
const MISTAKES_AT_REHEARSAL: &[(&str, &str)] = &[
    ("[subject]\norganization = \" Acme\"", "subject-characters"),
    ("[subject]\norganization = \"A\u{200b}cme\"", "subject-characters"),
    ("[subject]\ncountry = \"de\"", "subject-country"),
    ("[names]\nuri = [\"1x:{id}\"]", "alt-name-uri"),
    ("[names]\nuri = [\"https://host/{id}\"]", "alt-name-uri"),
    ("[names]\nuri = [\"urn:a b:{id}\"]", "alt-name-uri"),
    ("[names]\nuri = [\"urn:x:{id}\", \"urn:x:{id}\"]", "alt-name-once"),
    ("[names]\ndns = [\"{id-hash}.under_score.example\"]", "alt-name-dns"),
    ("[names]\ndns = [\"{id-hash}.devices.10\"]", "alt-name-dns"),
    ("[names]\ndns = [\"{id-hash}.xn--80ak6aa92e.example\"]", "alt-name-dns"),
    ("[[certificate_policy]]\noid = \"1.2.3\"\ncps = \"ftp://a.example\"", "certificate-policies"),
    ("[[extension]]\noid = \"1.3.6.1.4.1.1.1\"\nder = \"3001\"", "extension-der"),
    ("[[extension]]\noid = \"1.3.6.1.4.1.1.1\"\nder = \"05000500\"", "extension-der"),
];

#[test]
fn every_mistake_is_told_with_its_field() {
    for (text, field) in MISTAKES {
        let refused = match Profile::parse("profile.toml", text) {
            Err(error) => error.problems.iter().any(|problem| field.is_empty() || problem.field == *field),
            Ok(profile) => field.is_empty() && rehearse("p", &profile, NOW).is_err(),
        };
        assert!(refused, "{text}");
    }
}

#[test]
fn what_would_break_a_rule_is_found_before_any_device_asks() {
    for (text, rule) in MISTAKES_AT_REHEARSAL {
        let profile = Profile::parse("profile.toml", text).unwrap();
        let error = rehearse("p", &profile, NOW).unwrap_err();
        let RehearsalError::Issue(ca::IssueError::Lint(LintError::Rules(findings))) = error else {
            panic!("{text}: {error}")
        };
        assert!(findings.as_slice().iter().any(|finding| finding.rule == *rule), "{text}: {findings}");
    }
}

#[test]
fn a_certificate_that_no_device_can_hold_is_refused() {
    let extension =
        |at: u8| format!("[[extension]]\noid = \"1.3.6.1.4.1.1.{at}\"\nder = \"047e{}\"\n", "00".repeat(126));
    let text: String = (1..=4).map(extension).collect::<String>()
        + "[names]\nuri = [\"urn:dev:os:{enterprise}-{id}\", \"urn:a:{id}\", \"urn:b:{id}\", \"urn:c:{id}\"]\n\
           dns = [\"{id-hash}.a.example\", \"{id-hash}.b.example\"]\n";
    let profile = Profile::parse("p", &text).unwrap();
    let error = rehearse("p", &profile, NOW).unwrap_err().to_string();
    assert!(error.contains("size"), "{error}");
}

/// Files that are mostly near the good ones.
fn files() -> impl Strategy<Value = String> {
    let text = "[ -~]{0,12}|[a-zA-Z0-9 .-]{1,20}|\\{(id|id-hash|group|model|label|tenant|enterprise)\\}";
    let uri = "(urn:dev:|urn:x:|https://a\\.example/|spiffe:|[ -~]{0,6})(\\{group\\}[:/-])?\\{id(-hash)?\\}(/[!-~]{0,8})?";
    let dns = "(\\{id\\}|\\{id-hash\\}|[a-z]{1,3}\\{id\\})(\\.[a-zA-Z0-9_-]{1,8}|\\.\\{label\\}|\\.\\{tenant\\}){0,3}";
    let oid = "1\\.3\\.6\\.1\\.4\\.1\\.[0-9]{1,5}(\\.[0-9]{1,4}){0,3}|[0-2](\\.[0-9]{1,3}){1,5}";
    let quoted = |text: &str| format!("{:?}", text).replace("\\'", "'");
    (
        proptest::option::of(("[0-9]{1,3}[dhm]", "[0-9]{1,3}[dh]")),
        proptest::option::of(text),
        proptest::option::of(text),
        proptest::option::of("[A-Za-z]{2}"),
        proptest::collection::vec(uri, 0..4),
        proptest::collection::vec(dns, 0..4),
        proptest::option::of(oid),
        proptest::option::of((oid, "https?://[a-z]{1,6}\\.example(/[ -~]{0,6})?")),
        proptest::option::of((oid, "(05|04|30|0c)0[0-3]([0-9a-f]{2}){0,4}")),
    )
        .prop_map(move |(life, organization, unit, country, uris, dns, purpose, policy, extension)| {
            let mut file = String::new();
            if let Some((least, most)) = life {
                file += &format!("[validity]\nleast = \"{least}\"\nmost = \"{most}\"\n");
            }
            file += "[subject]\n";
            let attributes =
                [("organization", organization), ("organizational_unit", unit), ("country", country)];
            for (key, value) in attributes {
                if let Some(value) = value {
                    file += &format!("{key} = {}\n", quoted(&value));
                }
            }
            let list =
                |names: &[String]| names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
            file += &format!("[names]\nuri = [{}]\ndns = [{}]\n", list(&uris), list(&dns));
            if let Some(purpose) = purpose {
                file += &format!("[usage]\nextended = [\"client-auth\", \"{purpose}\"]\n");
            }
            if let Some((oid, cps)) = policy {
                file += &format!("[[certificate_policy]]\noid = \"{oid}\"\ncps = {}\n", quoted(&cps));
            }
            if let Some((oid, der)) = extension {
                file += &format!("[[extension]]\noid = \"{oid}\"\nder = \"{der}\"\n");
            }
            file
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// Whatever stands in the file: it is refused, or what comes of it is a device's certificate and nothing else.
    #[test]
    fn no_file_makes_anything_but_a_devices_certificate(
        file in files(),
        id in "[a-zA-Z0-9]([a-zA-Z0-9.-]{0,20}[a-zA-Z0-9])?",
        model in proptest::option::of("[A-Za-z0-9 _/-]{1,64}"),
        group in "[a-z0-9][a-z0-9-]{0,31}",
        label in "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?",
    ) {
        let Ok(profile) = Profile::parse("p", &file) else { return Ok(()) };
        if rehearse("p", &profile, NOW).is_err() {
            return Ok(());
        }
        let facts = Facts { group: &group, label: Some(&label), model: model.as_deref(), ..FACTS };
        let made = match sample("p", &profile, &facts, &device(&id), &server(), NOW) {
            Ok(made) => made,
            // The device's own name or model does not fit: it gets nothing.
            Err(RehearsalError::Issue(ca::IssueError::Lint(
                LintError::Profile(BindError::Dns { .. }) | LintError::Rules(_),
            ))) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        let (rest, certificate) = X509Certificate::from_der(&made.certificate).unwrap();
        prop_assert!(rest.is_empty() && made.certificate.len() <= shared::limits::MAX_CERTIFICATE);
        prop_assert!(!certificate.is_ca());
        let life = certificate.validity().not_after.timestamp() - certificate.validity().not_before.timestamp();
        prop_assert!(u64::try_from(life).unwrap() <= (MAX_LIFETIME + ca::BACKDATE).as_secs());
        let names: Vec<_> = certificate.subject().iter_common_name().map(|cn| cn.as_str().unwrap()).collect();
        prop_assert_eq!(names, [id.as_str()]);
        let purposes = certificate.extended_key_usage().unwrap().unwrap().value;
        prop_assert!(purposes.client_auth && !purposes.server_auth && !purposes.any && !purposes.ocsp_signing);
        let again = Bound::from_record("p", made.bound.text());
        prop_assert_eq!(again, Ok(made.bound));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,200}") {
        let _any = Profile::parse("p", &text);
    }
}
