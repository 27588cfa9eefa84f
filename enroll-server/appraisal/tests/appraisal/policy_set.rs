//! Policies of groups: what a group's file overrides, which policy decides, and that a policy reads back as it was
//! written.

use appraisal::GroupName;
use appraisal::policy::{Mode, Policy, PolicySet, Source, Sources, Surroundings};
use proptest::prelude::*;
use shared::DeviceId;
use shared::message::latest::EvidenceKind;

fn source(file: &str, text: &str) -> Source {
    Source { file: file.into(), text: text.into() }
}

fn set(files: &[(&str, &str)]) -> Result<PolicySet, String> {
    let mut sources = Sources::new(source("policy.toml", ""));
    let mut errors = String::new();
    for (name, text) in files {
        match *name {
            "policy.toml" => sources = Sources::new(source(name, text)),
            "policy.candidate.toml" => sources.set_candidate(source(name, text)),
            name => {
                if let Err(error) = sources.add(name, source(&format!("policy.d/{name}"), text)) {
                    errors += &error.to_string();
                }
            }
        }
    }
    if errors.is_empty() {
        PolicySet::parse(&sources).map_err(|error| error.to_string())
    } else {
        Err(errors)
    }
}

fn group(name: &str) -> GroupName {
    name.parse().unwrap()
}

const BASE: &str = "\
[evidence]
kinds = [\"idevid-eat\", \"tpm2\"]
[enrollment]
first = \"hold\"
quota = 5
[certificate]
days = 30
[firmware]
components = [\"bootloader\", \"application\"]
[[maker]]
name = \"one\"
[[maker]]
name = \"two\"
[[model]]
name = \"sensor-a\"
[[measurement]]
component = \"application\"
version = \"1.0.0\"
digest = \"2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\"
[broker]
host = \"a.example\"
port = 1
";

#[test]
fn a_group_overrides_what_it_says_and_nothing_else() {
    let own = "\
maker = \"any\"
[evidence]
kinds = [\"one-time-token\"]
[enrollment]
second = \"refuse\"
[[model]]
name = \"sensor-b\"
[broker]
port = 2
";
    let set = set(&[("policy.toml", BASE), ("lab.toml", own), ("same.toml", "")]).unwrap();
    let base = set.for_group(&GroupName::default()).unwrap();
    assert_eq!(base.policy(), &Policy::parse("p", BASE).unwrap());
    assert_eq!(set.for_group(&group("same")).unwrap(), base, "an empty file changes nothing");
    let lab = set.for_group(&group("lab")).unwrap().policy();
    let expected = BASE
        .replace("kinds = [\"idevid-eat\", \"tpm2\"]", "kinds = [\"one-time-token\"]")
        .replace("quota = 5", "quota = 5\nsecond = \"refuse\"")
        .replace("[[maker]]\nname = \"one\"\n[[maker]]\nname = \"two\"\n", "")
        .replace("sensor-a", "sensor-b")
        .replace("port = 1", "port = 2");
    assert_eq!(lab, &Policy::parse("p", &expected).unwrap());
}

#[test]
fn lists_can_be_emptied_and_limits_taken_back() {
    let own = "model = []\nmeasurement = []\n[enrollment]\nquota = \"none\"\n";
    let set = set(&[("policy.toml", BASE), ("lab.toml", own)]).unwrap();
    let lab = set.for_group(&group("lab")).unwrap().policy();
    assert_eq!((lab.quota(), lab.reference_values().len()), (None, 0));
    let warnings = lab.warnings(&Surroundings::default());
    let fields: Vec<_> = warnings.iter().map(|warning| warning.field).collect();
    assert_eq!(fields, ["model", "firmware.measurements"], "{warnings:?}");
}

#[test]
fn a_group_without_a_file_has_no_policy() {
    let set =
        set(&[("policy.toml", BASE), ("lab.toml", ""), ("notes.txt", "x"), (".lab.toml", "= ")]).unwrap();
    assert_eq!(set.for_group(&group("nobody")), None);
    let groups: Vec<_> = set.iter().map(|(group, _)| group.to_string()).collect();
    assert_eq!(groups, ["default", "lab"]);
}

#[test]
fn mistakes_of_all_files_are_told_at_once() {
    let told = set(&[
        ("policy.toml", "[certificate]\ndays = 0\n"),
        ("policy.candidate.toml", "[rollout]\nmode = \"enforce\"\n"),
        ("lab.toml", "\n[certificat]\n"),
        ("new.candidate.toml", ""),
    ])
    .unwrap_err();
    let expected = [
        "policy.toml:2: certificate.days: found 0; wanted a whole number from 1 to 180, or \"profile\"",
        "policy.candidate.toml:1: rollout.percent: is missing; mode = \"enforce\" needs it, 0 to 100",
        "policy.d/lab.toml:2: certificat: there is no such field",
        "policy.d/new.candidate.toml:1: a candidate needs new.toml beside it, whose place it is to take",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    for (name, told) in [("Lab.toml", "is no group"), ("default.toml", "is the policy file itself")] {
        assert!(set(&[(name, "")]).unwrap_err().contains(told), "{name}");
    }
}

#[test]
fn a_candidate_decides_for_its_share_and_is_observed_for_the_rest() {
    let candidate = "[certificate]\ndays = 7\n[rollout]\nmode = \"enforce\"\npercent = 50\n";
    let set =
        set(&[("policy.candidate.toml", candidate), ("lab.toml", "[renewal]\nevidence = true\n")]).unwrap();
    for name in ["default", "lab"] {
        let policy = set.for_group(&group(name)).unwrap();
        assert_eq!(policy.candidate().unwrap().rollout.mode, Mode::Enforce);
        let mut decided = 0;
        for number in 0..1000 {
            let ruling = policy.ruling(&DeviceId::new(&format!("SN-{number}")).unwrap());
            let days = ruling.policy.certificate_lifetime().map(|life| life.as_secs() / 86_400);
            assert_eq!(days, ruling.by_candidate.then_some(7));
            assert_eq!(ruling.digest, ruling.policy.digest());
            assert_ne!(ruling.other.unwrap().1, ruling.digest);
            assert_eq!(ruling.policy.renewal_evidence(), name == "lab", "the group's own file still holds");
            decided += usize::from(ruling.by_candidate);
        }
        assert!((420..=580).contains(&decided), "{decided}");
    }
}

#[test]
fn a_groups_own_candidate_goes_before_the_one_of_the_default() {
    let files = [
        ("policy.candidate.toml", "[certificate]\ndays = 7\n"),
        ("lab.toml", ""),
        ("lab.candidate.toml", "[certificate]\ndays = 8\n"),
        ("same.toml", "[certificate]\ndays = 9\n"),
    ];
    let set = set(&files).unwrap();
    let candidate = |name: &str| {
        let candidate = set.for_group(&group(name)).unwrap().candidate();
        candidate.map(|c| c.policy.certificate_lifetime().unwrap().as_secs() / 86_400)
    };
    assert_eq!((candidate("default"), candidate("lab")), (Some(7), Some(8)));
    assert_eq!(candidate("same"), None, "what demands the same is not tried");
}

#[test]
fn a_stranger_is_asked_for_what_any_group_accepts() {
    let files = [
        ("policy.toml", "[evidence]\nkinds = [\"tpm2\", \"idevid-eat\"]\n"),
        ("lab.toml", "[evidence]\nkinds = [\"one-time-token\"]\n"),
    ];
    let set = set(&files).unwrap();
    let choose = |offered: &[EvidenceKind]| set.choose_for_stranger(offered);
    use EvidenceKind::{Dice, IdevidEat, OneTimeToken, Tpm2};
    assert_eq!(choose(&[OneTimeToken, IdevidEat, Tpm2]), Some(Tpm2));
    assert_eq!(choose(&[OneTimeToken]), Some(OneTimeToken));
    assert_eq!(choose(&[Dice]), None);
}

#[test]
fn the_rollout_is_no_part_of_the_digest() {
    let digest = |text: &str| Policy::parse("p", text).unwrap().digest();
    assert_eq!(digest(""), digest("[rollout]\nmode = \"enforce\"\npercent = 3\n"));
    assert_eq!(digest(""), Policy::default().digest());
    assert_ne!(digest(""), digest("[certificate]\ndays = 89\n"));
}

fn a_policy() -> impl Strategy<Value = String> {
    let word = "[a-z \\\\\"'#=\\[\\]ä]{1,12}";
    let quoted = |text: String| toml::Value::String(text).to_string();
    let list = prop::collection::vec(word, 0..4);
    let kinds = prop::sample::subsequence(EvidenceKind::ALL.to_vec(), 1..=EvidenceKind::ALL.len());
    let flags = (any::<[bool; 4]>(), 0_u32..100, prop::option::of(0_u32..9), 1_u32..=180, 0_u16..100);
    (kinds, flags, list.clone(), prop::option::of(list.clone()), prop::option::of(list)).prop_map(
        move |(kinds, (flags, grace, quota, days, port), components, makers, models)| {
            let names: Vec<_> = kinds.iter().map(|kind| format!("{:?}", kind.name())).collect();
            let mut text = format!("[evidence]\nkinds = [{}]\n", names.join(", "));
            text +=
                &format!("token_replaces_attestation = {}\n[inventory]\nrequired = {}\n", flags[0], flags[1]);
            let first = if flags[2] { "hold" } else { "accept" };
            text += &format!(
                "[renewal]\ngrace_days = {grace}\nevidence = {}\n[certificate]\ndays = {days}\n",
                flags[3]
            );
            text += &format!("[enrollment]\nfirst = \"{first}\"\n");
            if let Some(quota) = quota {
                text += &format!("quota = {quota}\n");
            }
            if !components.is_empty() {
                let list: Vec<_> = components.into_iter().map(quoted).collect();
                text += &format!("[firmware]\ncomponents = [{}]\n", list.join(", "));
            }
            if port > 0 {
                text += &format!("[broker]\nport = {port}\n");
            }
            for (table, list) in [("maker", makers), ("model", models)] {
                for name in list.into_iter().flatten() {
                    text += &format!("[[{table}]]\nname = {}\n", quoted(name));
                }
            }
            text
        },
    )
}

proptest! {
    #[test]
    fn a_policy_reads_back_as_it_is_written(text in a_policy()) {
        let policy = Policy::parse("p", &text).unwrap();
        let written = policy.to_toml();
        // Over another base too: it says every value. What the base says of the broker cannot be taken back.
        let base = Policy::parse("p", BASE.split("[broker]").next().unwrap()).unwrap();
        let over = Policy::parse_over(&base, "p", &written).unwrap();
        prop_assert_eq!(&Policy::parse("p", &written).unwrap(), &policy);
        prop_assert_eq!(&over, &policy);
        prop_assert_eq!(policy.digest(), Policy::parse("p", &written).unwrap().digest());
    }

    #[test]
    fn overriding_with_a_policy_of_every_value_gives_that_policy(one in a_policy(), other in a_policy()) {
        let one = Policy::parse("p", &one).unwrap();
        let twice = Policy::parse_over(&one, "p", &other).unwrap();
        prop_assert_eq!(Policy::parse_over(&twice, "p", &other).unwrap(), twice, "overriding twice is overriding once");
    }
}
