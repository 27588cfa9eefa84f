use super::{Config, ConfigError};
use core::time::Duration;
use std::path::Path;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("enroll-server.toml"), Path::new("/etc/enroll"))
}

#[test]
fn only_the_tenant_has_no_default() {
    let config = parse("tenant = \"Acme\"").unwrap();
    assert_eq!(config.nonce_lifetime, Duration::from_secs(300));
    assert_eq!(config.files.store, Path::new("/etc/enroll/store.sqlite"));
    let Err(ConfigError::Mistakes { mistakes, .. }) = parse("") else { panic!("taken") };
    assert_eq!(mistakes.len(), 1);
    assert_eq!(mistakes[0].field, "tenant");
}

#[test]
fn all_mistakes_are_reported_each_with_file_line_and_field() {
    let text = "tenant = \"A c\"\nnonce_life = \"3m\"\n[listen]\nhttps = \"nowhere\"\n\n[certificates]\n\
                life = \"181d\"\npen = \"x\"\n[broker]\nstatus_topic = \"devices/#\"\n";
    let error = parse(text).unwrap_err().to_string();
    let expected = "enroll-server.toml:1: tenant: expected 1 to 64 letters and digits, such as \"Acme\", found \"A c\"\n\
        enroll-server.toml:2: nonce_life: is no field here; there are tenant, nonce_lifetime, approval_retry, busy_retry and the tables listen, files, issuing_key, server_certificate, certificates, est, broker, assignment, mqtt, crl, ocsp, limits, store, records, admin, dashboard, events, log, traces, transparency and the lists of tables previous_ca, tls_files, brokers and webhook\n\
        enroll-server.toml:4: listen.https: expected an address with a port, such as \"0.0.0.0:8443\", found \"nowhere\"\n\
        enroll-server.toml:7: certificates.life: is no field here; there are pen, crl_url and ocsp_url\n\
        enroll-server.toml:8: certificates.pen: expected a whole number from 1 to 4294967295, found a string\n\
        enroll-server.toml:10: broker.status_topic: expected a topic with \"{id}\", without \"+\" and \"#\", found \"devices/#\"";
    assert_eq!(error, expected);
}

#[test]
fn what_is_no_toml_is_reported_with_its_line() {
    let Err(ConfigError::Mistakes { mistakes, .. }) = parse("tenant = \"Acme\"\n[listen\nhttps = 3\n") else {
        panic!("taken")
    };
    assert!(mistakes.iter().any(|mistake| mistake.line == 2), "{mistakes:?}");
}

#[test]
fn the_issuing_key_is_in_one_place() {
    use super::IssuingKey;
    use ca::key::TpmPlace;
    let key =
        |table: &str| parse(&format!("tenant = \"Acme\"\n[issuing_key]\n{table}")).map(|c| c.issuing_key);
    let uri = "pkcs11 = \"pkcs11:token=ca;object=o?module-path=/m.so\"\n";
    let command = "command = [\"sign\", \"-k\"]\n";
    assert!(matches!(key(""), Ok(IssuingKey::File { passphrase_file: None })));
    assert!(matches!(key("passphrase_file = \"p\""), Ok(IssuingKey::File { passphrase_file: Some(_) })));
    assert!(matches!(key(uri), Ok(IssuingKey::Pkcs11(_))));
    assert!(matches!(key(command), Ok(IssuingKey::Command(list)) if list == ["sign", "-k"]));
    let Ok(IssuingKey::Tpm(tpm)) = key("tpm = { key = \"ca.tpm\", auth_file = \"auth\" }") else {
        panic!("no TPM")
    };
    assert_eq!(tpm.device, Path::new("/dev/tpmrm0"));
    assert!(matches!(&tpm.place, TpmPlace::File(path) if path.ends_with("ca.tpm")), "{tpm:?}");
    assert!(tpm.auth_file.is_some_and(|path| path.ends_with("auth")));
    let Ok(IssuingKey::Tpm(tpm)) =
        key("[issuing_key.tpm]\ndevice = \"/tmp/tpm.sock\"\nhandle = 0x8101_0020\n")
    else {
        panic!("no TPM")
    };
    assert_eq!(tpm.place, TpmPlace::Handle(0x8101_0020));
    for (wrong, told) in [
        (
            format!("{uri}{command}"),
            "issuing_key.command: expected one place for the key, found pkcs11 and command",
        ),
        (
            format!("{uri}tpm = {{ key = \"k\" }}"),
            "issuing_key.tpm: expected one place for the key, found pkcs11 and tpm",
        ),
        // It would be read by nobody, and the operator would believe the key to be encrypted.
        (
            format!("{uri}passphrase_file = \"p\""),
            "issuing_key.passphrase_file: is for a key in a file, and the key is elsewhere: pkcs11 is set",
        ),
        (
            format!("{command}passphrase_file = \"p\""),
            "issuing_key.passphrase_file: is for a key in a file, and the key is elsewhere: command is set",
        ),
        (
            "tpm = {}".to_owned(),
            "issuing_key.tpm.key: is missing; expected a file that `enroll-server ca tpm-create` wrote, or handle",
        ),
        (
            "tpm = { key = \"k\", handle = 0x81000001 }".to_owned(),
            "issuing_key.tpm.handle: expected one of key and handle, found both",
        ),
        (
            "tpm = { handle = 0x80000001 }".to_owned(),
            "issuing_key.tpm.handle: expected a whole number from 2164260864 to 2181038079",
        ),
        (
            "tpm = { key = \"k\", pin = \"4711\" }".to_owned(),
            "issuing_key.tpm.pin: is no field here; there are device, key, handle and auth_file",
        ),
        (
            "command = []".to_owned(),
            "issuing_key.command: expected a program and its arguments, found an empty list",
        ),
        (uri.replace("?", "?pin-value=1&"), "a PIN does not belong into settings"),
        (uri.replace("object=o", ""), "the attribute \"object\" is missing"),
    ] {
        let error = key(&wrong).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn each_place_for_the_key_in_the_sample_loads() {
    for place in ["pkcs11", "tpm", "command"] {
        let example = format!("#   {place} = ");
        let lines = super::SAMPLE.lines().map(|line| match line.starts_with(&example) {
            true => line.trim_start_matches('#'),
            false => line,
        });
        let config = parse(&lines.collect::<Vec<_>>().join("\n")).unwrap();
        assert!(!matches!(config.issuing_key, super::IssuingKey::File { .. }), "{place}: {config:?}");
    }
}

#[test]
fn the_sample_means_the_same_as_an_almost_empty_file() {
    let mut config = parse(super::SAMPLE).unwrap();
    config.tenant = "Acme".into();
    assert_eq!(format!("{config:?}"), format!("{:?}", parse("tenant = \"Acme\"").unwrap()));
    // What stands behind a '#' as an example has to load too.
    let uncommented: String = super::SAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(field) if field.split(' ').nth(1) == Some("=") => field.replace("token_sha256 = \"\"", ""),
            Some(header) if header.starts_with("[[") => header.to_owned(),
            _ => line.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("\n");
    let config = parse(&uncommented).unwrap();
    assert!(config.files.reference_values.is_some() && config.certificates.crl_url.is_some());
    assert_eq!(config.webhooks.len(), 1);
    assert!(config.postgres.is_some());
}

#[test]
fn webhooks_are_read_and_all_their_mistakes_reported() {
    let good = "tenant = \"Acme\"\n[[webhook]]\nname = \"alarms\"\nurl = \"https://hooks.example/a\"\n\
                secret_file = \"alarms.secret\"\nkinds = [\"rollback\", \"held\"]\nseverity = \"warning\"\n\
                timeout = \"3s\"\n[[webhook]]\nname = \"all\"\nurl = \"http://127.0.0.1:9\"\nsecret_file = \"s\"\n";
    let webhooks = parse(good).unwrap().webhooks;
    assert_eq!(webhooks.len(), 2);
    assert_eq!(webhooks[0].secret_file, Path::new("/etc/enroll/alarms.secret"));
    assert_eq!((webhooks[0].filter.kinds.len(), webhooks[0].timeout), (2, Duration::from_secs(3)));
    assert_eq!((webhooks[1].filter.kinds.len(), webhooks[1].timeout), (0, Duration::from_secs(10)));
    let bad = "tenant = \"Acme\"\n[[webhook]]\nname = \"A b\"\nurl = \"http://hooks.example\"\nkinds = [\"x\"]\n\
               severity = \"loud\"\ntimeout = \"1h\"\nretries = 3\n[[webhook]]\nname = \"a\"\nurl = \"https://h/\"\n\
               secret_file = \"s\"\n[[webhook]]\nname = \"a\"\nurl = \"https://h/\"\nsecret_file = \"s\"\n";
    let Err(ConfigError::Mistakes { mistakes, .. }) = parse(bad) else { panic!("taken") };
    let fields: Vec<_> = mistakes.iter().map(|mistake| (mistake.line, mistake.field.as_str())).collect();
    let expected = [
        (2, "webhook[0].secret_file"),
        (3, "webhook[0].name"),
        (4, "webhook[0].url"),
        (5, "webhook[0].kinds"),
        (6, "webhook[0].severity"),
        (7, "webhook[0].timeout"),
        (8, "webhook[0].retries"),
        (13, "webhook[2].name"),
    ];
    assert_eq!(fields, expected, "{mistakes:?}");
    assert!(parse("tenant = \"Acme\"\nwebhook = 3\n").is_err());
}

#[test]
fn limits_follow_the_connections_and_rates_can_be_switched_off() {
    let text = "tenant = \"Acme\"\n[limits]\nconnections = 8000\nrate = \"300/m\"\naddress_rate = \"off\"\n\
                [limits.groups]\nlot-7 = \"5/s\"\n";
    let limits = parse(text).unwrap().admission;
    assert_eq!((limits.connections, limits.handshakes, limits.per_address), (8_000, 6_000, 2_000));
    assert_eq!((limits.rate.map(|rate| rate.to_string()), limits.address_rate), (Some("300/m".into()), None));
    assert_eq!(limits.groups.get(&"lot-7".parse().unwrap()).map(ToString::to_string), Some("5/s".into()));

    let wrong = "tenant = \"Acme\"\n[limits]\nrate = \"fast\"\nper_addres = 3\n[limits.groups]\n\"no name\" = \"5/s\"\n\
                 lot-7 = 5\n";
    let Err(ConfigError::Mistakes { mistakes, .. }) = parse(wrong) else { panic!("taken") };
    let fields: Vec<&str> = mistakes.iter().map(|mistake| mistake.field.as_str()).collect();
    for field in ["limits.rate", "limits.per_addres", "limits.groups.no name", "limits.groups.lot-7"] {
        assert!(fields.contains(&field), "{field}: {fields:?}");
    }
}

/// Two that are renewed into one file would replace each other at every look, and a key of a CA would be lost.
#[test]
fn a_certificate_that_is_renewed_has_files_of_its_own() {
    let table = |name: &str, certificate: &str, key: &str| {
        format!(
            "[[tls_files]]\nname = \"{name}\"\nhosts = [\"b.example\"]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n"
        )
    };
    let parse = |tables: String| parse(&format!("tenant = \"Acme\"\n[mqtt]\nenabled = true\n{tables}"));
    let two = |certificate, key| parse(table("one", "b.crt", "b.key") + &table("two", certificate, key));
    assert_eq!(two("c.crt", "c.key").unwrap().tls_files.len(), 2);
    for (certificate, key, field) in [
        ("b.crt", "c.key", "certificate"),
        ("c.crt", "/etc/enroll/./b.key", "key"),
        ("server.crt", "c.key", "certificate"),
        ("c.crt", "issuing-ca.key", "key"),
        ("mqtt-client.crt", "c.key", "certificate"),
        ("crl.pem", "c.key", "certificate"),
        ("c.pem", "c.pem", "key"),
    ] {
        let Err(ConfigError::Mistakes { mistakes, .. }) = two(certificate, key) else {
            panic!("{certificate}, {key}: taken")
        };
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].field.ends_with(field), "{mistakes:?}");
        assert!(
            mistakes[0].problem.contains("is a file that the settings name elsewhere too"),
            "{mistakes:?}"
        );
    }
}
