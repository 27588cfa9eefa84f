//! Which fields there are, what they may hold and their defaults.

use core::net::SocketAddr;
use core::time::Duration;
use std::path::{Path, PathBuf};

use appraisal::policy::{is_host, is_topic};
use ca::CrlAddress;

use crate::audit::RefusalLimits;

use super::brokers;
use super::dashboard;
use super::issuing_key;
use super::limits;
use super::mqtt;
use super::reader::{Reader, Section, duration, flag, number, text, texts};
use super::store;
use super::tls_files;
use super::traces;
use super::webhooks::webhooks;
use super::{
    Broker, CRL_VALID, Certificates, Config, ConfigError, Crl, Est, Files, Listen, Log, OCSP_VALID, Ocsp,
    PARTITION_SIZE, Transparency,
};
use crate::store::RecordLimits;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// Where it cannot be read, or has mistakes: all of them.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let folder = std::path::absolute(path).map_err(unreadable)?;
        Self::parse(&text, path, folder.parent().unwrap_or_else(|| Path::new("/")))
    }

    /// Reads `text`, which is known as `path` in messages; relative paths are taken from `folder`.
    ///
    /// # Errors
    /// All mistakes of the text.
    pub fn parse(text: &str, path: &Path, folder: &Path) -> Result<Self, ConfigError> {
        let (mut reader, mut root) = Reader::open(text);
        let tenant = tenant(&mut reader, &mut root);
        let broker = broker(&mut reader, &mut root);
        let list = brokers::list(&mut reader, &mut root, &broker, is_topic);
        let assignment = brokers::assignment(&mut reader, &mut root, &list, folder);
        let (limits, admission) = limits::read(&mut reader, &mut root);
        let files = files(&mut reader, &mut root, folder);
        let mqtt = mqtt::read(&mut reader, &mut root, folder);
        let crl = crl(&mut reader, &mut root, folder);
        let taken = tls_files::taken(&files, mqtt.as_ref(), &crl);
        let config = Self {
            tenant,
            listen: listen(&mut reader, &mut root),
            files,
            issuing_key: issuing_key::read(&mut reader, &mut root, folder),
            previous_cas: issuing_key::previous(&mut reader, &mut root, folder),
            server_lifetime: tls_files::server_lifetime(&mut reader, &mut root),
            tls_files: tls_files::read(&mut reader, &mut root, folder, taken),
            certificates: certificates(&mut reader, &mut root),
            est: est(&mut reader, &mut root),
            broker,
            brokers: list,
            assignment,
            mqtt,
            crl,
            ocsp: ocsp(&mut reader, &mut root),
            nonce_lifetime: top(&mut reader, &mut root, "nonce_lifetime", 5 * 60, 10, HOUR),
            approval_retry: top(&mut reader, &mut root, "approval_retry", 60, 1, DAY),
            busy_retry: top(&mut reader, &mut root, "busy_retry", 5, 1, HOUR),
            limits,
            admission,
            postgres: store::read_section(&mut reader, &mut root, folder),
            records: records(&mut reader, &mut root),
            admin_token_sha256: admin(&mut reader, &mut root),
            dashboard: dashboard::read(&mut reader, &mut root),
            repeated_refusals: events(&mut reader, &mut root),
            webhooks: webhooks(&mut reader, &mut root, folder),
            log: log(&mut reader, &mut root),
            traces: traces::read(&mut reader, &mut root, folder),
            transparency: transparency(&mut reader, &mut root, folder),
        };
        reader.close(
            root,
            "tenant, nonce_lifetime, approval_retry, busy_retry and the tables listen, files, issuing_key, \
             server_certificate, certificates, est, \
             broker, assignment, mqtt, crl, ocsp, limits, store, records, admin, dashboard, events, log, traces, transparency and the lists of \
             tables previous_ca, tls_files, brokers and webhook",
        );
        let mistakes = reader.finish();
        if mistakes.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Mistakes { path: path.to_owned(), mistakes })
        }
    }
}

/// Whether `text` can be a tenant's name: 1 to 64 letters and digits (RFC 5280, upper bound of `O`).
#[must_use]
pub(crate) fn is_tenant(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

const TENANT: &str = "1 to 64 letters and digits, such as \"Acme\"";

fn tenant<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>) -> String {
    let mut seen = false;
    let found = reader.field(root, "tenant", |value| {
        seen = true;
        text(value, TENANT, |found| is_tenant(found).then(|| found.to_owned()))
    });
    if !seen {
        reader.missing(root, "tenant", TENANT);
    }
    found.unwrap_or_default()
}

fn top<'t>(
    reader: &mut Reader<'t>,
    root: &mut Section<'t>,
    name: &str,
    default: u64,
    low: u64,
    high: Duration,
) -> Duration {
    reader
        .field(root, name, |value| duration(value, Duration::from_secs(low), high))
        .unwrap_or_else(|| Duration::from_secs(default))
}

fn listen<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>) -> Listen {
    let mut section = reader.section(root, "listen");
    let expected = "an address with a port, such as \"0.0.0.0:8443\"";
    let address = |found: &str| found.parse::<SocketAddr>().ok();
    let https = reader.field(&mut section, "https", |value| text(value, expected, address));
    let http = reader.field(&mut section, "http", |value| {
        text(value, "an address with a port, or \"off\"", |found| {
            if found == "off" { Some(None) } else { address(found).map(Some) }
        })
    });
    reader.close(section, "https and http");
    Listen {
        https: https.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 8443))),
        http: http.unwrap_or_else(|| Some(SocketAddr::from(([127, 0, 0, 1], 8080)))),
    }
}

fn est<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>) -> Option<Est> {
    let mut section = reader.section(root, "est");
    let listen = reader.field(&mut section, "listen", |value| {
        text(value, "an address with a port, or \"off\"", |found| {
            if found == "off" { Some(None) } else { found.parse::<SocketAddr>().ok().map(Some) }
        })
    });
    reader.close(section, "listen");
    listen.flatten().map(|listen| Est { listen })
}

fn path<'t>(
    reader: &mut Reader<'t>,
    section: &mut Section<'t>,
    folder: &Path,
    name: &str,
    default: &str,
) -> PathBuf {
    let found = reader.field(section, name, |value| {
        text(value, "a path", |found| (!found.is_empty()).then(|| folder.join(found)))
    });
    found.unwrap_or_else(|| folder.join(default))
}

fn files<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>, folder: &Path) -> Files {
    let mut section = reader.section(root, "files");
    let mut file = |name, default| path(reader, &mut section, folder, name, default);
    let files = Files {
        root_certificate: file("root_certificate", "root-ca.crt"),
        root_crl: file("root_crl", "root-ca.crl.pem"),
        issuing_certificate: file("issuing_certificate", "issuing-ca.crt"),
        issuing_key: file("issuing_key", "issuing-ca.key"),
        server_certificate: file("server_certificate", "server.crt"),
        server_key: file("server_key", "server.key"),
        trust_bundle: file("trust_bundle", "trust.bundle"),
        authorities: file("authorities", "authorities.pem"),
        nonce_key: file("nonce_key", "nonce.key"),
        broker_token: file("broker_token", "broker.token"),
        credential_key: file("credential_key", "credential.key"),
        policy: file("policy", "policy.toml"),
        policy_groups: file("policy_groups", "policy.d"),
        profile: file("profile", "profile.toml"),
        profiles: file("profiles", "profiles.d"),
        reference_values: None,
        store: file("store", "store.sqlite"),
        log_key: file("log_key", "log.key"),
    };
    let reference_values = reader.field(&mut section, "reference_values", |value| {
        text(value, "a path", |found| (!found.is_empty()).then(|| folder.join(found)))
    });
    reader.close(
        section,
        "root_certificate, root_crl, issuing_certificate, issuing_key, server_certificate, server_key, trust_bundle, \
         authorities, nonce_key, broker_token, credential_key, policy, policy_groups, profile, profiles, reference_values, store and log_key",
    );
    Files { reference_values, ..files }
}

fn certificates<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>) -> Certificates {
    let mut section = reader.section(root, "certificates");
    let pen = reader.field(&mut section, "pen", |value| number(value, 1, u64::from(u32::MAX)));
    let crl_url = reader.field(&mut section, "crl_url", |value| {
        let expected =
            "an http:// address without spaces; {issuer} and {partition} in it, each once, stand for numbers";
        text(value, expected, |found| CrlAddress::parse(found).is_ok().then(|| found.to_owned()))
    });
    let ocsp_url = reader.field(&mut section, "ocsp_url", |value| {
        text(value, "an http:// address without spaces", |found| {
            let plain = found.bytes().all(|byte| byte.is_ascii_graphic());
            (found.starts_with("http://") && plain && found.len() <= 200).then(|| found.to_owned())
        })
    });
    reader.close(section, "pen, crl_url and ocsp_url");
    Certificates {
        // The number that RFC 5612 sets aside for documentation.
        pen: pen.and_then(|pen| u32::try_from(pen).ok()).unwrap_or(32473),
        crl_url,
        ocsp_url,
    }
}

fn broker<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>) -> Broker {
    let mut section = reader.section(root, "broker");
    let host = reader.field(&mut section, "host", |value| {
        text(value, "a host name or an IP address", |found| is_host(found).then(|| found.to_owned()))
    });
    let port = reader.field(&mut section, "port", |value| number(value, 1, 65_535));
    let mut topic = |name: &str, default: &str| {
        let found = reader.field(&mut section, name, |value| {
            text(value, "a topic with \"{id}\", without \"+\" and \"#\"", |found| {
                is_topic(found).then(|| found.to_owned())
            })
        });
        found.unwrap_or_else(|| default.to_owned())
    };
    let telemetry_topic = topic("telemetry_topic", "devices/{id}/telemetry");
    let status_topic = topic("status_topic", "devices/{id}/status");
    let command_topic = topic("command_topic", "devices/{id}/command");
    let keep_alive =
        reader.field(&mut section, "keep_alive", |value| duration(value, 5 * SECOND, 65_535 * SECOND));
    reader.close(section, "host, port, telemetry_topic, status_topic, command_topic and keep_alive");
    Broker {
        host: host.unwrap_or_else(|| "localhost".to_owned()),
        port: port.and_then(|port| u16::try_from(port).ok()).unwrap_or(8883),
        telemetry_topic,
        status_topic,
        command_topic,
        keep_alive: keep_alive.unwrap_or(60 * SECOND),
    }
}

fn crl<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>, folder: &Path) -> Crl {
    let mut section = reader.section(root, "crl");
    let der = path(reader, &mut section, folder, "der", "crl.der");
    let pem = path(reader, &mut section, folder, "pem", "crl.pem");
    let valid = reader.field(&mut section, "valid", |value| duration(value, 60 * SECOND, 30 * DAY));
    let hook = reader.field(&mut section, "hook", texts);
    let partition_size = reader.field(&mut section, "partition_size", |value| number(value, 1, 1_000_000));
    reader.close(section, "der, pem, valid, hook and partition_size");
    let partition_size = partition_size.and_then(|n| u32::try_from(n).ok()).unwrap_or(PARTITION_SIZE);
    Crl { der, pem, valid: valid.unwrap_or(CRL_VALID), hook: hook.unwrap_or_default(), partition_size }
}

fn ocsp<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>) -> Ocsp {
    let mut section = reader.section(root, "ocsp");
    let valid = reader.field(&mut section, "valid", |value| duration(value, 10 * SECOND, 7 * DAY));
    reader.close(section, "valid");
    Ocsp { valid: valid.unwrap_or(OCSP_VALID) }
}

fn records<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>) -> RecordLimits {
    let default = RecordLimits::default();
    let mut section = reader.section(root, "records");
    let mut count = |name: &str, low: u64, default: u32| {
        let found = reader.field(&mut section, name, |value| number(value, low, 10_000_000));
        found.and_then(|count| u32::try_from(count).ok()).unwrap_or(default)
    };
    let limits = RecordLimits {
        per_device: count("per_device", 1, default.per_device),
        unproved: count("unproved", 0, default.unproved),
        strangers: count("strangers", 0, default.strangers),
        retention: default.retention,
    };
    let retention = reader.field(&mut section, "retention", |value| duration(value, DAY, 3_650 * DAY));
    reader.close(section, "per_device, unproved, strangers and retention");
    RecordLimits { retention: retention.unwrap_or(default.retention), ..limits }
}

fn admin<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>) -> Option<[u8; 32]> {
    let mut section = reader.section(root, "admin");
    let hash = reader.field(&mut section, "token_sha256", |value| {
        text(value, "64 hexadecimal digits", |found| {
            let mut hash = [0; 32];
            hex::decode_to_slice(found, &mut hash).ok().map(|()| hash)
        })
    });
    reader.close(section, "token_sha256");
    hash
}

fn events<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>) -> RefusalLimits {
    let mut section = reader.section(root, "events");
    let refusals = reader.field(&mut section, "repeated_refusals", |value| number(value, 2, 1_000_000));
    let within = reader.field(&mut section, "repeated_within", |value| duration(value, 60 * SECOND, 7 * DAY));
    reader.close(section, "repeated_refusals and repeated_within");
    let default = RefusalLimits::default();
    RefusalLimits {
        refusals: refusals.and_then(|n| u32::try_from(n).ok()).unwrap_or(default.refusals),
        within: within.unwrap_or(default.within),
    }
}

fn log<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>) -> Log {
    let mut section = reader.section(root, "log");
    let filter = reader.field(&mut section, "filter", |value| {
        text(value, "a filter such as \"info\"", |found| {
            found.parse::<tracing_subscriber::EnvFilter>().ok().map(|_| found.to_owned())
        })
    });
    let json = reader.field(&mut section, "json", flag);
    reader.close(section, "filter and json");
    Log { filter: filter.unwrap_or_else(|| "info".to_owned()), json: json.unwrap_or(false) }
}

fn transparency<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>, folder: &Path) -> Transparency {
    let mut section = reader.section(root, "transparency");
    let interval =
        reader.field(&mut section, "interval", |value| duration(value, Duration::from_millis(100), HOUR));
    let folder = path(reader, &mut section, folder, "folder", "log");
    reader.close(section, "folder and interval");
    Transparency { folder, interval: interval.unwrap_or(SECOND) }
}
