//! The policy file: the sample, the defaults, and errors that name file, line and field.

use appraisal::policy::{FirstEnrollment, Policy, ReferenceValues, SAMPLE, SecondEnrollment};
use proptest::prelude::*;
use shared::message::latest::EvidenceKind;

#[test]
fn the_sample_and_an_empty_file_are_the_default() {
    assert_eq!(Policy::parse("policy.toml", SAMPLE), Ok(Policy::default()));
    assert_eq!(Policy::parse("policy.toml", ""), Ok(Policy::default()));
}

#[test]
fn the_default_is_safe() {
    let policy = Policy::default();
    assert!(policy.inventory_required());
    assert_eq!(policy.kinds()[0], EvidenceKind::IdevidEat);
    assert_eq!(policy.certificate_lifetime(), None);
    assert_eq!((policy.certificate_profile(), policy.certificate_label()), ("default", None));
    assert_eq!(policy.grace().as_secs(), 30 * 86_400);
    assert_eq!(policy.first_enrollment(), FirstEnrollment::Accept);
    assert_eq!(policy.second_enrollment(), SecondEnrollment::Supersede);
}

/// The examples behind '#' in the sample are good too.
#[test]
fn the_examples_in_the_sample_are_good() {
    let example = |line: &&str| line.starts_with("# [") || (line.starts_with("# ") && line.contains(" = "));
    let text: Vec<&str> = SAMPLE
        .lines()
        .skip_while(|line| !line.starts_with("# Makers"))
        .filter(example)
        .map(|line| line.trim_start_matches("# "))
        .collect();
    let policy = Policy::parse("sample", &text.join("\n")).unwrap();
    assert_ne!(policy, Policy::default());
    assert_eq!(policy.reference_values().len(), 1);
}

#[test]
fn all_problems_are_told_at_once_with_line_and_field() {
    let text = "\
[evidence]
kinds = [\"carrier-pigeon\"]

[certificate]
days = 181
colour = \"blue\"

[enrollment]
second = \"maybe\"

[[maker]]
fingerprint = \"abc\"

[[model]]
minimum_firmware = \"1.2\"

[inventroy]
required = true
";
    let error = Policy::parse("policy.toml", text).unwrap_err();
    let told = error.to_string();
    let lines: Vec<&str> = told.lines().collect();
    let expected = [
        &format!(
            "policy.toml:2: evidence.kinds: found [\"carrier-pigeon\"]; wanted a list, each {}",
            EvidenceKind::ALL
                .iter()
                .map(|kind| format!("{:?}", kind.name()))
                .collect::<Vec<_>>()
                .join(" or "),
        ),
        "policy.toml:5: certificate.days: found 181; wanted a whole number from 1 to 180, or \"profile\"",
        "policy.toml:6: certificate.colour: there is no such field",
        "policy.toml:9: enrollment.second: found \"maybe\"; wanted \"supersede\" or \"hold\" or \"refuse\"",
        "policy.toml:11: maker.name: a maker needs a name, a fingerprint or both",
        "policy.toml:12: maker.fingerprint: found \"abc\"; wanted the SHA-256 of the maker CA's certificate, 64 hexadecimal digits",
        "policy.toml:14: model.name: is missing",
        "policy.toml:15: model.minimum_firmware: found \"1.2\"; wanted a version, MAJOR.MINOR.PATCH",
        "policy.toml:17: inventroy: there is no such field",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn what_is_not_toml_has_its_line() {
    let error = Policy::parse("policy.toml", "[certificate]\ndays = = 3\n").unwrap_err();
    assert_eq!((error.problems.len(), error.problems[0].line), (1, 2), "{error}");
    let error = Policy::parse("p", &" ".repeat(2 << 20)).unwrap_err();
    assert!(error.to_string().starts_with("p:1: "), "{error}");
    let error = Policy::parse("p", "certificate = 3\nmodel = 4").unwrap_err();
    assert_eq!(
        error.to_string(),
        "p:1: certificate: found 3; wanted a table\np:2: model: wanted tables, each under [[model]]"
    );
}

#[test]
fn numbers_have_limits() {
    for (text, good) in [
        ("[certificate]\ndays = 180", true),
        ("[certificate]\ndays = 1", true),
        ("[certificate]\ndays = 0", false),
        ("[certificate]\ndays = -1", false),
        ("[certificate]\ndays = 90.5", false),
        ("[certificate]\ndays = 99999999999999999999", false),
        ("[certificate]\ndays = 0x5a", true),
        ("[renewal]\ngrace_days = 0", true),
        ("[renewal]\ngrace_days = 3651", false),
        ("[firmware]\ncomponents = [\"a\", \"b\", \"c\", \"d\", \"e\"]", false),
        ("[firmware]\ncomponents = []", false),
        ("[evidence]\nkinds = []", false),
    ] {
        assert_eq!(Policy::parse("p", text).is_ok(), good, "{text}");
    }
}

#[test]
fn reference_values_are_read_from_their_own_file() {
    let digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
    let text =
        format!("[[measurement]]\ncomponent = \"application\"\nversion = \"1.2.0\"\ndigest = \"{digest}\"\n");
    let values = ReferenceValues::parse("reference-values.toml", &text).unwrap();
    assert_eq!(values.iter().map(|known| known.digest[0]).collect::<Vec<_>>(), [0x2c]);
    assert_eq!(values.clone().with(values).len(), 2);
    let error =
        ReferenceValues::parse("r.toml", "[[measurement]]\ncomponent = \"\"\ndigest = \"00\"\n").unwrap_err();
    let fields: Vec<_> = error.problems.iter().map(|p| (p.line, p.field.as_str())).collect();
    let expected = [(1, "measurement.version"), (2, "measurement.component"), (3, "measurement.digest")];
    assert_eq!(fields, expected);
}

proptest! {
    #[test]
    fn noise_never_panics(text in "(?s).{0,200}") {
        _ = Policy::parse("p", &text);
        _ = ReferenceValues::parse("p", &text);
    }

    #[test]
    fn a_damaged_sample_never_panics_and_lines_are_right(at in any::<prop::sample::Index>(), to in "[\\[\\]\"=\\n#a-z0-9]") {
        let places: Vec<usize> = SAMPLE.char_indices().map(|(i, _)| i).collect();
        let at = places[at.index(places.len())];
        let mut text = SAMPLE.to_owned();
        text.replace_range(at..=at, &to);
        if let Err(error) = Policy::parse("p", &text) {
            let count = text.lines().count();
            prop_assert!(!error.problems.is_empty());
            prop_assert!(error.problems.iter().all(|p| (1..=count + 1).contains(&p.line)));
        }
    }
}
