//! The tables `[server_certificate]` and `[[tls_files]]`: certificates of servers that are kept renewed.

use core::time::Duration;
use std::path::{Path, PathBuf};

use ca::hierarchy::SERVER_LIFETIME;

use super::reader::{Reader, Section, duration, text, texts};
use crate::config;
use crate::tls_files::{Files, Owner, TlsFile};

const MINUTE: Duration = Duration::from_secs(60);
const HOST: &str = "a list of DNS names and IP addresses, such as [\"mqtt.example\"]";

/// Reads `[server_certificate]`.
pub(super) fn server_lifetime<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>) -> Duration {
    let mut section = reader.section(root, "server_certificate");
    let lifetime = lifetime(reader, &mut section);
    reader.close(section, "lifetime");
    lifetime
}

fn lifetime<'t>(reader: &mut Reader<'t>, section: &mut Section<'t>) -> Duration {
    let found = reader.field(section, "lifetime", |value| duration(value, MINUTE / 6, SERVER_LIFETIME));
    found.unwrap_or(SERVER_LIFETIME)
}

/// The files that no certificate under `[[tls_files]]` may replace.
pub(super) fn taken(files: &config::Files, mqtt: Option<&config::Mqtt>, crl: &config::Crl) -> Vec<PathBuf> {
    // With all its fields, so that one that is added is thought of here.
    let config::Files {
        root_certificate,
        root_crl,
        issuing_certificate,
        issuing_key,
        server_certificate,
        server_key,
        trust_bundle,
        authorities,
        nonce_key,
        broker_token,
        credential_key,
        policy,
        policy_groups,
        profile,
        profiles,
        reference_values,
        store,
        log_key,
    } = files;
    let mut taken = vec![root_certificate, root_crl, issuing_certificate, issuing_key];
    taken.extend([server_certificate, server_key, trust_bundle, authorities, nonce_key, broker_token]);
    taken.extend([credential_key, policy, policy_groups, profile, profiles, store, log_key]);
    taken.extend(reference_values);
    taken.extend([&crl.der, &crl.pem]);
    taken.extend(mqtt.into_iter().flat_map(|mqtt| [&mqtt.certificate, &mqtt.key]));
    taken.into_iter().cloned().collect()
}

/// Reads the tables `[[tls_files]]`. `taken` are the files that others have: what is renewed here would replace them, and be
/// replaced by them, at each look.
pub(super) fn read<'t>(
    reader: &mut Reader<'t>,
    root: &mut Section<'t>,
    folder: &Path,
    mut taken: Vec<PathBuf>,
) -> Vec<TlsFile> {
    let mut list: Vec<TlsFile> = Vec::new();
    for mut section in reader.sections(root, "tls_files") {
        let path = |found: &str| (!found.is_empty()).then(|| folder.join(found));
        let name = reader.required(&mut section, "name", "a name", |value| {
            text(value, "a name", |found| (!found.is_empty()).then(|| found.to_owned()))
        });
        let hosts = reader.required(&mut section, "hosts", HOST, |value| {
            let hosts = texts(value)?;
            if hosts.is_empty() || !hosts.iter().all(|host| is_server_name(host)) {
                return Err(format!("expected {HOST}, without wildcards"));
            }
            Ok(hosts)
        });
        let certificate =
            reader.required(&mut section, "certificate", "a path", |value| text(value, "a path", path));
        let key = reader.required(&mut section, "key", "a path", |value| text(value, "a path", path));
        let key_mode = reader.field(&mut section, "key_mode", |value| {
            text(value, "\"0600\", \"0640\" or \"0660\"", |found| match found {
                "0600" => Some(0o600),
                "0640" => Some(0o640),
                "0660" => Some(0o660),
                _ => None,
            })
        });
        let owner = reader.field(&mut section, "owner", |value| {
            let found = text(value, "USER:GROUP", |found| Some(found.to_owned()))?;
            Owner::parse(&found).map_err(|error| error.to_string())
        });
        let lifetime = lifetime(reader, &mut section);
        let hook = reader.field(&mut section, "hook", texts).unwrap_or_default();
        if let (Some(name), Some(hosts), Some(certificate), Some(key)) = (name, hosts, certificate, key) {
            if list.iter().any(|other| other.name == name) {
                reader.mistake(&section, "name", "is the name of another one too".to_owned());
            }
            for (field, path) in [("certificate", &certificate), ("key", &key)] {
                if taken.contains(path) {
                    let problem = "is a file that the settings name elsewhere too; expected one of its own";
                    reader.mistake(&section, field, format!("{} {problem}", path.display()));
                }
                taken.push(path.clone());
            }
            let files = Files { certificate, key, key_mode: key_mode.unwrap_or(0o600), owner };
            list.push(TlsFile { name, hosts, files, lifetime, hook });
        }
        reader.close(section, "name, hosts, certificate, key, key_mode, owner, lifetime and hook");
    }
    list
}

fn is_server_name(host: &str) -> bool {
    !host.contains('*') && rustls::pki_types::ServerName::try_from(host).is_ok()
}
