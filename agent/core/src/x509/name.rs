//! Which host a certificate is for (RFC 9525): the host to be reached against the names in subjectAltName.
//!
//! The common name is never used instead of subjectAltName, and wildcards are not accepted: a device is told
//! one host, its operator's own CA can name that host, and without a list of public suffixes nothing tells
//! `*.example.com` from `*.co.uk` (RFC 9525, section 7.1). A wildcard that would have matched has a reason of
//! its own. Internationalized names are compared in their ASCII form (A-labels), which is the caller's to make.

use core::fmt::{self, Write as _};
use core::net::IpAddr;

use super::PathError;
use super::alt_name::{AltName, AltNames};
use super::distinguished::Attribute;

/// The host to be reached (the reference identity of RFC 9525).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host<'h> {
    Dns(&'h str),
    Ip(IpAddr),
}

impl<'h> Host<'h> {
    /// Reads a host as it stands in settings: a DNS name without a final dot, or an IP address without
    /// brackets.
    pub(super) fn parse(text: &'h str) -> Result<Self, PathError> {
        if let Ok(address) = text.parse() {
            Ok(Self::Ip(address))
        } else if is_dns_name(text) {
            Ok(Self::Dns(text))
        } else {
            Err(PathError::InvalidHost)
        }
    }

    /// Looks for the host among `names`.
    pub(super) fn check(&self, names: AltNames<'_>) -> Result<(), PathError> {
        let mut verdict = PathError::NameMismatch;
        for name in names {
            match (self, name) {
                (Self::Dns(host), AltName::Dns(name)) => {
                    if host.eq_ignore_ascii_case(name) {
                        return Ok(());
                    }
                    if wildcard_matches(name, host) {
                        verdict = PathError::WildcardName;
                    }
                }
                // Bytes against bytes: an IPv4 address never matches its form mapped into IPv6.
                (Self::Ip(host), AltName::Ip(name)) if *host == name => return Ok(()),
                _ => {}
            }
        }
        Err(verdict)
    }
}

/// Checks that every common name, if there is any, is also in `names`: letter for letter for a DNS name, in
/// the form of RFC 5952 or dotted decimal for an address.
pub(super) fn check_common_names<'a>(
    mut common_names: impl Iterator<Item = Attribute<'a>>,
    names: AltNames<'a>,
) -> Result<(), PathError> {
    let repeated = |common_name: Attribute<'a>| {
        let Some(text) = common_name.text() else { return false };
        names.into_iter().any(|name| match name {
            AltName::Dns(name) => name == text,
            AltName::Ip(address) => is_text_of(address, text),
            AltName::Uri(_) | AltName::HardwareModule(_) | AltName::Other => false,
        })
    };
    if common_names.all(repeated) { Ok(()) } else { Err(PathError::CommonName) }
}

/// A host name in the preferred syntax (RFC 1034, section 3.5; RFC 1123, section 2.1): labels of letters,
/// digits and inner hyphens. The last label is not all digits, so that no address passes for a name.
fn is_dns_name(text: &str) -> bool {
    let label_is_good = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= shared::limits::MAX_HOST
        && text.split('.').all(label_is_good)
        && text.rsplit('.').next().is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()))
}

/// RFC 9525, section 6.3: `*` is the whole leftmost label, stands for exactly one label, and what follows is
/// a name of two labels or more.
fn wildcard_matches(pattern: &str, host: &str) -> bool {
    let (Some(suffix), Some((_, parent))) = (pattern.strip_prefix("*."), host.split_once('.')) else {
        return false;
    };
    is_dns_name(suffix) && suffix.contains('.') && suffix.eq_ignore_ascii_case(parent)
}

fn is_text_of(address: IpAddr, text: &str) -> bool {
    let mut rest = Expect(text);
    write!(rest, "{address}").is_ok() && rest.0.is_empty()
}

/// What is written to it has to be the text it holds.
struct Expect<'t>(&'t str);

impl fmt::Write for Expect<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{Host, is_text_of};
    use crate::x509::PathError;
    use crate::x509::alt_name::AltNames;
    use crate::x509::reader::Reader;
    use core::net::IpAddr;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Checks `host` against a subjectAltName with these names, each with its tag.
    fn check(host: &str, names: &[(u8, &[u8])]) -> Result<(), PathError> {
        let mut content = Vec::new();
        for (tag, name) in names {
            content.extend([*tag, u8::try_from(name.len()).unwrap()]);
            content.extend_from_slice(name);
        }
        let mut bytes = Vec::from([0x30, u8::try_from(content.len()).unwrap()]);
        bytes.extend(content);
        let names = AltNames::read(&mut Reader::new(&bytes), false)?;
        Host::parse(host)?.check(names)
    }

    fn check_dns(host: &str, name: &str) -> Result<(), PathError> {
        check(host, &[(0x82, name.as_bytes())])
    }

    #[test]
    fn names_match_without_regard_to_case_only() {
        assert_eq!(check_dns("broker.example.com", "broker.example.com"), Ok(()));
        assert_eq!(check_dns("Broker.Example.com", "bROKER.example.COM"), Ok(()));
        assert_eq!(check_dns("localhost", "localhost"), Ok(()));
        for other in ["example.com", "a.broker.example.com", "broker.example.com.", "broker.example.co"] {
            assert_eq!(check_dns("broker.example.com", other), Err(PathError::NameMismatch), "{other}");
        }
    }

    #[test]
    fn any_name_of_several_may_match() {
        let names: &[(u8, &[u8])] = &[(0x86, b"urn:x"), (0x82, b"*.b.c"), (0x82, b"a.b.c")];
        assert_eq!(check("a.b.c", names), Ok(()));
    }

    #[test]
    fn odd_hosts_are_refused() {
        let long = "a".repeat(64);
        let longer = ["a"; 128].join(".");
        for odd in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a",
            "a-",
            "a_b.c",
            "*.a.b",
            "a b",
            "1.2.3",
            "1.2.3.256",
            "[::1]",
            "bücher.de",
            "0x7f.1",
            "a.1",
            "01.2.3.4",
            "::1%1",
            &long,
            &longer,
        ] {
            assert_eq!(Host::parse(odd), Err(PathError::InvalidHost), "{odd}");
        }
        assert_eq!(check_dns("xn--bcher-kva.de", "xn--bcher-kva.de"), Ok(()));
    }

    #[test]
    fn a_wildcard_never_matches_but_is_told_apart() {
        assert_eq!(check_dns("a.example.com", "*.example.com"), Err(PathError::WildcardName));
        assert_eq!(check_dns("a.example.com", "*.EXAMPLE.com"), Err(PathError::WildcardName));
        // These are no wildcards for this host, or none at all.
        for pattern in
            ["*", "*.com", "*.*.com", "a*.example.com", "*a.example.com", "a.*.com", "**.example.com"]
        {
            assert_eq!(check_dns("a.example.com", pattern), Err(PathError::NameMismatch), "{pattern}");
        }
        assert_eq!(check_dns("example.com", "*.example.com"), Err(PathError::NameMismatch));
        assert_eq!(check_dns("a.b.example.com", "*.example.com"), Err(PathError::NameMismatch));
    }

    #[test]
    fn addresses_match_as_bytes() {
        assert_eq!(check("127.0.0.1", &[(0x87, &[127, 0, 0, 1])]), Ok(()));
        assert_eq!(check("127.0.0.1", &[(0x87, &[127, 0, 0, 2])]), Err(PathError::NameMismatch));
        assert_eq!(check("127.0.0.1", &[(0x82, b"127.0.0.1")]), Err(PathError::NameMismatch));
        let mut mapped = [0; 16];
        mapped[10..].copy_from_slice(&[0xff, 0xff, 127, 0, 0, 1]);
        assert_eq!(check("127.0.0.1", &[(0x87, &mapped)]), Err(PathError::NameMismatch));
        assert_eq!(check("::ffff:127.0.0.1", &[(0x87, &mapped)]), Ok(()));
        let mut loopback = [0; 16];
        loopback[15] = 1;
        assert_eq!(check("::1", &[(0x87, &loopback)]), Ok(()));
        assert_eq!(check("0:0:0:0:0:0:0:1", &[(0x87, &loopback)]), Ok(()));
    }

    #[test]
    fn addresses_have_one_text() {
        let address: IpAddr = "2001:db8::1".parse().unwrap();
        assert!(is_text_of(address, "2001:db8::1"));
        for other in ["2001:DB8::1", "2001:db8:0::1", "2001:db8::1 ", "2001:db8::", ""] {
            assert!(!is_text_of(address, other), "{other}");
        }
        assert!(!is_text_of(IpAddr::from([192, 168, 1, 1]), "192.168.001.001"));
    }

    proptest! {
        #[test]
        fn a_host_matches_nothing_but_itself(host in "[a-c.*-]{1,9}", name in "[a-cA-C.*-]{1,9}") {
            let same = host == name.to_ascii_lowercase();
            prop_assert!(same || check_dns(&host, &name).is_err());
        }
    }
}
