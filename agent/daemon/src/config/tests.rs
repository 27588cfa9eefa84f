//! The layers, the sample, and the rules of the fields.

use core::time::Duration;
use std::path::{Path, PathBuf};

use super::fields::FIELDS;
use super::{
    Action, Config, ConfigErrors, Identity, MeasurementSource, Problem, Signal, Sources, Timeouts,
    TokenSource, sample,
};

use crate::proxy::ProxySettings;

const SMALLEST: &str = "server.host = \"localhost\"\n\
    identity = { certificate = \"idevid.pem\", key = \"idevid.key\" }\n";

fn parse(text: &str, sources: &Sources) -> Result<Config, ConfigErrors> {
    Config::parse(text, Path::new("/etc/agent/agent.toml"), sources)
}

fn errors(text: &str) -> Vec<String> {
    let errors = parse(text, &Sources::default()).unwrap_err();
    errors.0.iter().map(|error| format!("{} {}", error.origin, error.field)).collect()
}

#[test]
fn the_sample_means_the_defaults() {
    let sample = parse(&sample(), &Sources::default()).unwrap();
    let mut smallest = parse(SMALLEST, &Sources::default()).unwrap();
    smallest.server.host = "enroll.example.com".to_owned();
    assert_eq!(sample, smallest);
    assert_eq!(sample.network, Timeouts::default());
    assert_eq!(sample.state_dir, PathBuf::from("/var/lib/agent"));
}

/// What stands in the sample as default or example is right by the rules of its own field, and a default is
/// what is meant where the field is left out.
#[test]
fn commented_lines_of_the_sample_are_right() {
    let all = sample()
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n");
    let errors = parse(&all, &Sources::default()).unwrap_err();
    // All ways to prove what the device is stand there, and an export that a TPM cannot do; nothing else is wrong.
    assert_eq!(errors.0.len(), 2, "{errors}");
    assert!(errors.0.iter().all(|error| matches!(error.problem, Problem::Combination(_))), "{errors}");
    let by_idevid: String = all
        .lines()
        .filter(|l| {
            !["device", "token_file", "tpm ", "psa_command", "dice_", "symmetric_key", "claim_"]
                .iter()
                .any(|other| l.starts_with(other))
        })
        .map(|l| format!("{l}\n"))
        .collect();
    let config = parse(&by_idevid, &Sources::default()).unwrap();
    let defaults = parse(&sample(), &Sources::default()).unwrap();
    assert_eq!(
        Config { trust_bundle: None, export: None, hook: None, proxy: None, ..config },
        defaults,
        "a default in the table differs from the one in the code"
    );
}

#[test]
fn flags_win_over_variables_and_those_over_the_file() {
    let mut sources = Sources::default();
    let file = format!("server.port = 1\n{SMALLEST}");
    assert_eq!(parse(&file, &sources).unwrap().server.port, 1);
    sources.environment.insert("AGENT_SERVER_PORT".to_owned(), "2".to_owned());
    assert_eq!(parse(&file, &sources).unwrap().server.port, 2);
    sources.flags.insert("server.port", "3".to_owned());
    assert_eq!(parse(&file, &sources).unwrap().server.port, 3);
}

#[test]
fn every_field_can_be_given_by_flag_and_by_variable() {
    for field in FIELDS {
        let (super::fields::Sample::Required(value)
        | super::fields::Sample::Default(value)
        | super::fields::Sample::Unset(value)) = field.sample;
        let text = value.trim_matches('"').to_owned();
        let by_token = field.key == "identity.device" || field.key == "identity.token_file";
        let rest = if field.key.starts_with("identity.claim_") {
            "server.host = \"localhost\"\nidentity = { device = \"SN-1\", claim_certificate = \"/c\", claim_key = \"/k\" }\n"
        } else if by_token {
            "server.host = \"localhost\"\nidentity = { device = \"SN-1\", token_file = \"/token\" }\n"
        } else if field.key.starts_with("identity.dice_") {
            "server.host = \"localhost\"\nidentity = { dice_certificate = \"/c\", dice_key = \"/k\" }\n"
        } else if ["identity.tpm", "identity.psa_command", "identity.symmetric_key"].contains(&field.key) {
            "server.host = \"localhost\"\nidentity = { device = \"SN-1\" }\n"
        } else if field.key == "hook.signal" {
            &format!("hook.pid_file = \"/p\"\n{SMALLEST}")
        } else if field.key == "hook.pid_file" {
            &format!("hook.signal = \"HUP\"\n{SMALLEST}")
        } else {
            SMALLEST
        };
        let mut by_flag = Sources::default();
        by_flag.flags.insert(field.key, text.clone());
        let mut by_variable = Sources::default();
        by_variable.environment.insert(field.variable(), text);
        let by_flag = parse(rest, &by_flag).unwrap_or_else(|errors| panic!("{}: {errors}", field.key));
        assert_eq!(Ok(by_flag), parse(rest, &by_variable), "{}", field.key);
    }
}

#[test]
fn relative_paths_count_from_where_they_stand() {
    let mut sources = Sources::default();
    sources.flags.insert("export.directory", "exported".to_owned());
    let text = format!(
        "{SMALLEST}firmware.measurements = [{{ component = \"a\", version = \"1\", file = \"bin\" }}]\n"
    );
    let config = parse(&text, &sources).unwrap();
    let expected =
        Identity::Idevid { certificate: "/etc/agent/idevid.pem".into(), key: "/etc/agent/idevid.key".into() };
    assert_eq!(config.identity, expected);
    assert_eq!(config.firmware.measurements[0].source, MeasurementSource::File("/etc/agent/bin".into()));
    assert_eq!(config.export.unwrap().directory, PathBuf::from("exported"));
}

#[test]
fn a_token_may_come_from_the_environment_and_is_never_shown() {
    let mut sources = Sources::default();
    sources.environment.insert("AGENT_IDENTITY_TOKEN".to_owned(), "s3cret".to_owned());
    let text = "server.host = \"localhost\"\nidentity.device = \"SN-1\"\n";
    let config = parse(text, &sources).unwrap();
    assert!(
        matches!(&config.identity, Identity::Token { token: TokenSource::Text(t), .. } if t.as_str() == "s3cret")
    );
    assert!(!format!("{config:?}").contains("s3cret"));
    // Nor is one that is wrong.
    sources.environment.insert("AGENT_IDENTITY_TOKEN".to_owned(), "s3cret".repeat(20));
    assert!(!parse(text, &sources).unwrap_err().to_string().contains("s3cret"));
}

#[test]
fn all_errors_come_at_once_with_their_lines() {
    let text = "[server]\nport = 0\n\n[log]\nlevel = \"loud\"\nformt = \"text\"\n";
    let mut found = errors(text);
    found.sort();
    assert_eq!(
        found,
        [
            "/etc/agent/agent.toml:2 server.port",
            "/etc/agent/agent.toml:5 log.level",
            "/etc/agent/agent.toml:6 log.formt",
            "configuration identity",
            "configuration server.host",
        ]
    );
}

#[test]
fn durations_have_units() {
    for (text, seconds) in
        [("90", 90), ("\"90s\"", 90), ("\"15m\"", 900), ("\"2h\"", 7200), ("\"1d\"", 86_400)]
    {
        let config = parse(&format!("{SMALLEST}telemetry.interval = {text}"), &Sources::default()).unwrap();
        assert_eq!(config.telemetry_interval, Duration::from_secs(seconds), "{text}");
    }
    for wrong in ["0", "-1", "1.5", "\"\"", "\"s\"", "\"1w\"", "\"2d\"", "\"99999999999999999999h\""] {
        assert_eq!(errors(&format!("{SMALLEST}telemetry.interval = {wrong}")).len(), 1, "{wrong}");
    }
}

#[test]
fn measurements_are_held_to_the_protocols_limits() {
    let digest = "ab".repeat(32);
    let one = |digest: &str| format!("{{ component = \"a\", version = \"1\", digest = \"{digest}\" }}");
    let list = |items: &[String]| format!("{SMALLEST}firmware.measurements = [{}]", items.join(", "));
    let four = vec![one(&digest); 4];
    assert_eq!(parse(&list(&four), &Sources::default()).unwrap().firmware.measurements.len(), 4);
    assert_eq!(errors(&list(&vec![one(&digest); 5])).len(), 1);
    for wrong in ["ab", &"+a".repeat(32), &"xy".repeat(32), &"é".repeat(32)] {
        assert_eq!(errors(&list(&[one(wrong)])).len(), 1, "{wrong}");
    }
}

mod properties {
    use super::{Sources, parse};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _verdict = parse(&text, &Sources::default());
        }

        #[test]
        fn no_value_makes_it_panic(
            field in 0..super::FIELDS.len(),
            value in prop_oneof!["\\PC{0,40}", "-?[0-9]{0,25}[smhd]?", "\\[.{0,20}\\]"],
        ) {
            let mut sources = Sources::default();
            sources.flags.insert(super::FIELDS[field].key, value);
            let _verdict = parse("", &sources);
        }
    }
}

#[test]
fn a_tpm_takes_the_place_of_certificate_and_key() {
    let base = "server.host = \"localhost\"\n";
    let tpm = |more: &str| {
        let text = format!("{base}{more}\nidentity.device = \"SN-1\"\nidentity.tpm = \"/dev/tpmrm0\"\n");
        parse(&text, &Sources::default())
    };
    let Identity::Tpm(found) = tpm("identity.tpm_endorsement_key = \"ecc-p256\"").unwrap().identity else {
        panic!("no TPM");
    };
    assert_eq!((found.registers.as_slice(), found.event_log), ([0, 2, 4, 7].as_slice(), None));
    assert_eq!(found.endorsement_key, tpm_client::EkKind::P256);
    for (wrong, field) in [
        ("identity.key = \"/key\"", "identity"),
        ("identity.token_file = \"/token\"", "identity"),
        ("identity.tpm_registers = []", "identity.tpm_registers"),
        ("identity.tpm_registers = [24]", "identity.tpm_registers"),
        ("identity.tpm_registers = [\"1\"]", "identity.tpm_registers"),
        // The private key would have to leave the TPM.
        ("export.directory = \"/export\"", "export.directory"),
    ] {
        let errors = tpm(wrong).unwrap_err();
        assert_eq!(errors.0.iter().map(|e| e.field.as_str()).collect::<Vec<_>>(), [field], "{errors}");
    }
    let without = parse(&format!("{base}identity.tpm = \"/dev/tpmrm0\"\n"), &Sources::default());
    assert_eq!(without.unwrap_err().0[0].field, "identity.device");
}

#[test]
fn dice_takes_the_place_of_certificate_and_key() {
    let base = "server.host = \"localhost\"\n";
    let both = "identity.dice_certificate = \"/c\"\nidentity.dice_key = \"/k\"\n";
    let config = parse(&format!("{base}{both}"), &Sources::default()).unwrap();
    assert_eq!(config.identity, Identity::Dice { certificate: "/c".into(), key: "/k".into() });
    for (wrong, field) in [
        ("identity.dice_certificate = \"/c\"\n".to_owned(), "identity.dice_key"),
        ("identity.dice_key = \"/k\"\n".to_owned(), "identity.dice_certificate"),
        (format!("{both}identity.device = \"SN-1\"\n"), "identity"),
        (format!("{both}identity.key = \"/k\"\n"), "identity"),
    ] {
        let errors = parse(&format!("{base}{wrong}"), &Sources::default()).unwrap_err();
        assert_eq!(errors.0.len(), 1, "{errors}");
        assert_eq!(errors.0[0].field, field);
    }
}

#[test]
fn a_psa_service_takes_the_place_of_certificate_and_key() {
    let base = "server.host = \"localhost\"\n";
    let psa = |more: &str| {
        let command = "identity.psa_command = [\"/usr/bin/token\", \"-x\"]";
        parse(&format!("{base}{more}\nidentity.device = \"SN-1\"\n{command}\n"), &Sources::default())
    };
    let found =
        psa("identity.psa_timeout = \"3s\"\nidentity.psa_certificate = \"/iak.pem\"").unwrap().identity;
    let Identity::Psa { device, service, certificate } = found else { panic!("no PSA service") };
    assert_eq!((device.as_str(), certificate), ("SN-1", Some(PathBuf::from("/iak.pem"))));
    assert_eq!((service.arguments, service.timeout.as_secs()), (vec!["-x".to_owned()], 3));
    for (wrong, field) in [
        ("identity.key = \"/key\"", "identity"),
        ("identity.token_file = \"/token\"", "identity"),
        ("identity.psa_timeout = \"61s\"", "identity.psa_timeout"),
    ] {
        let errors = psa(wrong).unwrap_err();
        assert_eq!(errors.0.iter().map(|e| e.field.as_str()).collect::<Vec<_>>(), [field], "{errors}");
    }
    for (wrong, field) in [("[\"/usr/bin/token\"]", "identity.device"), ("\"token\"", "identity.psa_command")]
    {
        let errors = parse(&format!("{base}identity.psa_command = {wrong}\n"), &Sources::default());
        assert_eq!(errors.unwrap_err().0[0].field, field);
    }
}

#[test]
fn what_an_operator_handed_out_stands_in_for_an_idevid() {
    let of = |identity: &str| {
        parse(&format!("server.host = \"localhost\"\nidentity = {{ {identity} }}\n"), &Sources::default())
    };
    let device = || shared::DeviceId::new("SN-1").unwrap();
    assert_eq!(
        of("device = \"SN-1\", symmetric_key = \"/k\"").unwrap().identity,
        Identity::Symmetric { device: device(), key: "/k".into() }
    );
    assert_eq!(
        of("device = \"SN-1\", claim_certificate = \"/c\", claim_key = \"/k\"").unwrap().identity,
        Identity::Claim { device: device(), certificate: "/c".into(), key: "/k".into() }
    );
    for wrong in [
        "symmetric_key = \"/k\"",
        "device = \"SN-1\", claim_key = \"/k\"",
        "device = \"SN-1\", symmetric_key = \"/k\", claim_certificate = \"/c\", claim_key = \"/k\"",
        "device = \"SN-1\", symmetric_key = \"/k\", token_file = \"/t\"",
        "device = \"SN-1\", symmetric_key = \"/k\", certificate = \"/c\", key = \"/k\"",
    ] {
        assert!(of(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_done_after_a_change_is_done_in_one_order() {
    let hooks = "hook.command = [\"/bin/x\", \"y\"]\nhook.units = [\"nginx.service\", \"app@1.service\"]\n\
                 hook.signal = \"USR1\"\nhook.pid_file = \"x.pid\"\n";
    let config = parse(&format!("{hooks}{SMALLEST}"), &Sources::default()).unwrap();
    let run = |program: &str, arguments: &[&str]| Action::Run {
        program: program.into(),
        arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
    };
    let reload = ["--no-ask-password", "try-reload-or-restart", "--", "nginx.service", "app@1.service"];
    let actions = config.hook.unwrap().actions;
    assert_eq!(
        actions,
        [
            Action::Signal { signal: Signal::Usr1, pid_file: "/etc/agent/x.pid".into() },
            run("/usr/bin/systemctl", &reload),
            run("/bin/x", &["y"]),
        ]
    );
    let restart = "hook.restart = true\nhook.units = [\"a.service\"]\n";
    let config = parse(&format!("{restart}{SMALLEST}"), &Sources::default()).unwrap();
    let restart = ["--no-ask-password", "try-restart", "--", "a.service"];
    assert_eq!(config.hook.unwrap().actions, [run("/usr/bin/systemctl", &restart)]);
}

#[test]
fn hooks_exports_and_proxies_that_mean_nothing_are_refused() {
    for wrong in [
        "hook.units = []",
        "hook.units = [\"--now\"]",
        "hook.units = [\"nginx\"]",
        "hook.units = [\"a b.service\"]",
        "hook.units = \"nginx.service\"",
        "hook.signal = \"KILL\"\nhook.pid_file = \"/x\"",
        "hook.signal = \"HUP\"",
        "hook.pid_file = \"/x\"",
        "export.owner = \"a:b:c\"",
        "proxy.listen = \"0.0.0.0:1883\"",
        "proxy.socket_mode = \"0777\"",
        "proxy.connections = 0",
        "proxy.connections = 1025",
        "proxy.idle = 0",
    ] {
        let error = parse(&format!("{wrong}\n{SMALLEST}"), &Sources::default()).unwrap_err();
        assert_eq!(error.0.len(), 1, "{wrong}: {error}");
        assert!(error.to_string().contains("agent.toml:1"), "{wrong}: {error}");
    }
}

#[test]
fn the_settings_of_the_proxy_are_the_documented_ones() {
    let text = format!("proxy.listen = \"127.0.0.1:1883\"\n{SMALLEST}");
    let proxy = parse(&text, &Sources::default()).unwrap().proxy.unwrap();
    assert_eq!(proxy, ProxySettings::at("127.0.0.1:1883".parse().unwrap()));
    let more = "proxy.socket_mode = \"0660\"\nproxy.socket_owner = \":app\"\nproxy.drain = \"10m\"\n";
    let proxy = parse(&format!("{more}{text}"), &Sources::default()).unwrap().proxy.unwrap();
    assert_eq!((proxy.socket_mode, proxy.drain), (0o660, Some(Duration::from_secs(600))));
    assert_eq!(proxy.socket_owner.unwrap().to_string(), ":app");
}
