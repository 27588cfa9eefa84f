//! `[dashboard]`: the web pages for operators.

use core::net::SocketAddr;
use core::time::Duration;

use super::reader::{Reader, Section, duration, text};
use crate::dashboard::Role;

/// The dashboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dashboard {
    /// Where it listens: a listener of its own, over TLS 1.3.
    pub listen: SocketAddr,
    /// The address that browsers reach it by, such as `https://enroll.example:8445`, for the links that are printed;
    /// `None`: as `listen` says.
    pub url: Option<String>,
    /// After how long without a request a session ends.
    pub idle: Duration,
    /// After how long a session ends in any case.
    pub longest: Duration,
    /// Who may sign in with a client certificate.
    pub administrators: Vec<Administrator>,
}

/// Someone who may sign in with a client certificate: this one, whoever issued it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Administrator {
    /// As the audit trail names them.
    pub name: String,
    /// SHA-256 of the certificate in DER.
    pub sha256: [u8; 32],
    /// What they may do.
    pub role: Role,
}

/// Most administrators.
const MOST: usize = 1_000;
/// Longest name.
const MAX_NAME: usize = 64;
const MINUTE: Duration = Duration::from_secs(60);
const NAME: &str = "1 to 64 printable characters of ASCII without spaces";

/// Off unless it has an address.
pub(super) fn read<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>) -> Option<Dashboard> {
    let mut section = reader.section(root, "dashboard");
    let listen = reader.field(&mut section, "listen", |value| {
        text(value, "an address with a port, or \"off\"", |found| {
            if found == "off" { Some(None) } else { found.parse::<SocketAddr>().ok().map(Some) }
        })
    });
    let url = reader.field(&mut section, "url", |value| {
        let expected = "an address without a path, such as \"https://enroll.example:8445\"";
        text(value, expected, |found| is_origin(found).then(|| found.to_owned()))
    });
    let idle = reader.field(&mut section, "idle", |value| duration(value, MINUTE, 24 * 60 * MINUTE));
    let longest =
        reader.field(&mut section, "longest", |value| duration(value, MINUTE, 7 * 24 * 60 * MINUTE));
    let administrators = administrators(reader, &mut section);
    reader.close(section, "listen, url, idle and longest, and the list of tables dashboard.administrator");
    Some(Dashboard {
        listen: listen.flatten()?,
        url,
        idle: idle.unwrap_or(30 * MINUTE),
        longest: longest.unwrap_or(12 * 60 * MINUTE),
        administrators,
    })
}

fn administrators<'t>(reader: &mut Reader<'t>, section: &mut Section<'t>) -> Vec<Administrator> {
    let mut list: Vec<Administrator> = Vec::new();
    for mut table in reader.sections(section, "administrator") {
        let name = reader.required(&mut table, "name", NAME, |value| {
            text(value, NAME, |found| is_name(found).then(|| found.to_owned()))
        });
        let expected = "64 hexadecimal digits, the SHA-256 of the certificate";
        let sha256 = reader.required(&mut table, "certificate_sha256", expected, |value| {
            text(value, expected, |found| {
                let mut hash = [0; 32];
                hex::decode_to_slice(found.replace(':', ""), &mut hash).ok().map(|()| hash)
            })
        });
        let expected = "viewer, operator or admin";
        let role =
            reader.required(&mut table, "role", expected, |value| text(value, expected, Role::from_name));
        if list.len() == MOST {
            reader.mistake(&table, "name", format!("is one too many; there can be {MOST} administrators"));
        }
        if let (Some(name), Some(sha256), Some(role)) = (name, sha256, role) {
            if list.iter().any(|other| other.sha256 == sha256) {
                reader.mistake(&table, "certificate_sha256", "is that of another administrator".to_owned());
            }
            list.push(Administrator { name, sha256, role });
        }
        reader.close(table, "name, certificate_sha256 and role");
    }
    list
}

/// Whether the trail can name someone so.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether `text` is an origin (RFC 6454) of `https`, as browsers write it.
fn is_origin(text: &str) -> bool {
    text.strip_prefix("https://").is_some_and(|host| {
        let plain = |byte: u8| {
            byte.is_ascii_lowercase()
                || byte.is_ascii_digit()
                || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
        };
        (1..=255).contains(&host.len()) && host.bytes().all(plain)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Dashboard, Duration, Role};
    use crate::config::{Config, ConfigError};

    fn parse(table: &str) -> Result<Option<Dashboard>, ConfigError> {
        let text = format!("tenant = \"Acme\"\n{table}");
        Config::parse(&text, Path::new("f.toml"), Path::new("/")).map(|config| config.dashboard)
    }

    #[test]
    fn it_is_off_unless_it_has_an_address() {
        for off in ["", "[dashboard]\n", "[dashboard]\nlisten = \"off\"\nidle = \"5m\"\n"] {
            assert_eq!(parse(off).unwrap(), None, "{off}");
        }
        let found = parse("[dashboard]\nlisten = \"127.0.0.1:8445\"\n").unwrap().unwrap();
        assert_eq!((found.idle, found.longest), (Duration::from_secs(1_800), Duration::from_secs(43_200)));
        assert!(found.administrators.is_empty());
    }

    #[test]
    fn administrators_are_known_by_their_certificates() {
        let one = |name: &str, hash: &str, role: &str| {
            format!(
                "[[dashboard.administrator]]\nname = \"{name}\"\ncertificate_sha256 = \"{hash}\"\nrole = \"{role}\"\n"
            )
        };
        let head = "[dashboard]\nlisten = \"127.0.0.1:8445\"\n";
        let (hash, colons) = ("ab".repeat(32), vec!["CD"; 32].join(":"));
        let good = format!("{head}{}{}", one("ada", &hash, "admin"), one("bob", &colons, "viewer"));
        let list = parse(&good).unwrap().unwrap().administrators;
        assert_eq!((list[0].name.as_str(), list[0].role, list[0].sha256), ("ada", Role::Admin, [0xab; 32]));
        assert_eq!((list[1].role, list[1].sha256), (Role::Viewer, [0xcd; 32]));
        let told = |text: String| parse(&text).unwrap_err().to_string();
        let twice = told(format!("{head}{}{}", one("ada", &hash, "admin"), one("eve", &hash, "admin")));
        assert!(twice.contains("that of another administrator"), "{twice}");
        let wrong = told(format!("{head}{}", one("a b", "00", "root")));
        for field in ["name", "certificate_sha256", "role"] {
            assert!(wrong.contains(&format!("dashboard.administrator[0].{field}: expected")), "{wrong}");
        }
        let bare = told(format!("{head}[[dashboard.administrator]]\n"));
        assert!(bare.contains("dashboard.administrator[0].name: is missing"), "{bare}");
    }

    #[test]
    fn an_address_for_links_is_an_origin() {
        let url = |url: &str| parse(&format!("[dashboard]\nlisten = \"[::1]:1\"\nurl = \"{url}\"\n")).is_ok();
        assert!(url("https://enroll.example:8445") && url("https://[::1]:8445"));
        for wrong in
            ["http://enroll.example", "https://enroll.example/", "https://", "https://a@b", "https://A"]
        {
            assert!(!url(wrong), "{wrong}");
        }
    }
}
