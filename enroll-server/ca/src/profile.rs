//! The profile of LDevIDs: names, life, usages, where revocation is published.
//!
//! A CSR has no say in any of it. A [`Profile`] is read from a file; an [`LdevidProfile`] is what a server adds to all
//! of them. The profiles of CAs and servers stand in [`crate::hierarchy`].

mod bound;
mod file;
mod life;
mod oid;
mod pattern;
mod render;
mod usage;

use core::time::Duration;

use shared::UnixTime;
use toml_places::FileError;

use crate::certificate::CaCertificate;
use crate::distribution::{CrlAddress, DistributionPoint};
use crate::lint::LintError;
use crate::template::Attribute;

pub use bound::{BindError, Bound, Facts};
pub(crate) use oid::Oid;
pub(crate) use pattern::Pattern;
pub(crate) use usage::KeyUse;

/// A profile file with every field, its default and what it means; a new server starts from it.
pub const SAMPLE_PROFILE: &str = include_str!("../profile.sample.toml");

/// Longest life of an LDevID.
pub const MAX_LIFETIME: Duration = Duration::from_secs(180 * 86_400);

/// How far before its making a certificate's life begins, for peers whose clocks are behind.
pub const BACKDATE: Duration = Duration::from_secs(5 * 60);

/// What every LDevID of a tenant has in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdevidProfile {
    tenant: String,
    enterprise: u32,
    crl: Option<CrlAddress>,
    pub(crate) ocsp_url: Option<String>,
}

/// Why a profile cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The tenant is empty, too long, or has other characters.
    #[error("a tenant has 1 to {MAX_TENANT} letters and digits")]
    Tenant,
    /// A private enterprise number of 0, which is reserved.
    #[error("the private enterprise number 0 is reserved; ask IANA for one, or use 32473 in examples")]
    Enterprise,
    /// Not a plain `http://` address. RFC 5280, section 8, warns of loops with `https://`.
    #[error("{what} is an http:// address of {MAX_URL} characters at most, without spaces")]
    Url {
        /// Which address.
        what: &'static str,
    },
    /// Placeholders that cannot be filled in, or one without the other.
    #[error(
        "the address of the CRL has the placeholders {{issuer}} and {{partition}}, each once at most, and no \
         {{partition}} without {{issuer}}: two CAs would publish under one address"
    )]
    Placeholders,
}

impl LdevidProfile {
    /// A profile without revocation addresses. `tenant` becomes the organisation; `enterprise` is the private
    /// enterprise number in the device's URN (RFC 9039, section 4.4).
    ///
    /// # Errors
    /// Says which is wrong.
    pub fn new(tenant: &str, enterprise: u32) -> Result<Self, ProfileError> {
        let fits = tenant.bytes().all(|b| b.is_ascii_alphanumeric());
        if !fits || tenant.is_empty() || tenant.len() > MAX_TENANT {
            return Err(ProfileError::Tenant);
        }
        if enterprise == 0 {
            return Err(ProfileError::Enterprise);
        }
        Ok(Self { tenant: tenant.into(), enterprise, crl: None, ocsp_url: None })
    }

    /// Adds the address of the revocation lists (RFC 5280, section 4.2.1.13), as [`CrlAddress::parse`] reads it.
    ///
    /// # Errors
    /// Where it is not a plain `http://` address, or its placeholders are wrong.
    pub fn with_crl_url(self, url: &str) -> Result<Self, ProfileError> {
        Ok(Self { crl: Some(CrlAddress::parse(url)?), ..self })
    }

    /// Adds the address of the OCSP responder (RFC 5280, section 4.2.2.1).
    ///
    /// # Errors
    /// Where it is not a plain `http://` address.
    pub fn with_ocsp_url(self, url: &str) -> Result<Self, ProfileError> {
        Ok(Self { ocsp_url: Some(check_url("the address of the OCSP responder", url)?), ..self })
    }

    /// The organisation in the subject.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The address of the list that a certificate names: the one place where this is decided.
    #[must_use]
    pub fn crl_url(&self, point: DistributionPoint) -> Option<String> {
        self.crl.as_ref().map(|address| address.of(point))
    }

    /// The private enterprise number in the device's URN.
    #[must_use]
    pub const fn enterprise(&self) -> u32 {
        self.enterprise
    }

    /// What certificates contain that no profile was recorded for: that of an empty file.
    #[must_use]
    pub fn unrecorded(&self) -> Bound {
        let facts = Facts { tenant: &self.tenant, enterprise: self.enterprise, ..Facts::default() };
        Profile::default().bind_unchecked(DEFAULT_PROFILE, &facts)
    }
}

/// The name of the profile of groups that name no other.
pub const DEFAULT_PROFILE: &str = "default";

/// Whether `text` can be the name of a profile: 1 to 32 lower-case letters, digits and hyphens, beginning with a letter
/// or digit, for it is part of a file's name.
#[must_use]
pub fn is_profile_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-')
}

/// What certificates contain and how long they live, as a file says. Equal to an empty file by default.
///
/// Whatever the file says, a certificate is none of a CA or server, names its device in common name and serialNumber,
/// and lives [`MAX_LIFETIME`] at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    default: Duration,
    least: Duration,
    most: Duration,
    subject: Vec<(Attribute, Pattern)>,
    uris: Vec<Pattern>,
    dns: Vec<Pattern>,
    key_uses: Vec<KeyUse>,
    purposes: Vec<Oid>,
    policies: Vec<CertificatePolicy>,
    extensions: Vec<CustomExtension>,
}

/// A certificate policy (RFC 5280, section 4.2.1.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificatePolicy {
    pub(crate) oid: Oid,
    /// Where the practice statement stands.
    pub(crate) cps: Option<String>,
}

/// An extension of the operator's own, never critical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CustomExtension {
    pub(crate) oid: Oid,
    /// The value in DER.
    pub(crate) value: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameForm {
    Uri,
    Dns,
}

impl NameForm {
    const fn key(self) -> &'static str {
        match self {
            Self::Uri => "uri",
            Self::Dns => "dns",
        }
    }
}

/// The attributes that a profile sets, in the order of the subject; common name and serialNumber follow.
const SUBJECT: &[(Attribute, &str)] = &[
    (Attribute::Country, "country"),
    (Attribute::State, "state"),
    (Attribute::Locality, "locality"),
    (Attribute::Organization, "organization"),
    (Attribute::OrganizationalUnit, "organizational_unit"),
];

fn default_organization() -> Pattern {
    Pattern::variable(pattern::Variable::Tenant)
}

impl Default for Profile {
    fn default() -> Self {
        // RFC 9039, section 4.4.
        let urn = Pattern::of(&[
            Err("urn:dev:os:"),
            Ok(pattern::Variable::Enterprise),
            Err("-"),
            Ok(pattern::Variable::Id),
        ]);
        Self {
            default: Duration::from_secs(90 * 86_400),
            least: life::MIN_LIFETIME,
            most: MAX_LIFETIME,
            subject: vec![(Attribute::Organization, default_organization())],
            uris: vec![urn],
            dns: Vec::new(),
            key_uses: vec![KeyUse::DigitalSignature],
            purposes: Vec::new(),
            policies: Vec::new(),
            extensions: Vec::new(),
        }
    }
}

impl Profile {
    /// Reads a profile file; `file` is its name in errors. What it says is not linted yet:
    /// [`rehearse`](crate::rehearse()) does that.
    ///
    /// # Errors
    /// Names everything that is wrong with it, with file, line and field.
    pub fn parse(file: &str, text: &str) -> Result<Self, FileError> {
        toml_places::read(file, text, file::profile)
    }

    /// How long a certificate lives where nobody says otherwise.
    #[must_use]
    pub const fn default_lifetime(&self) -> Duration {
        self.default
    }

    /// The shortest and the longest life that may be asked for.
    #[must_use]
    pub const fn bounds(&self) -> (Duration, Duration) {
        (self.least, self.most)
    }

    /// Whether the policy of a group has to give a label.
    #[must_use]
    pub fn needs_label(&self) -> bool {
        let patterns = self.subject.iter().map(|(_, pattern)| pattern).chain(&self.uris).chain(&self.dns);
        patterns.into_iter().any(|pattern| pattern.has(pattern::Variable::Label))
    }
}

/// The life of a certificate; both seconds belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: UnixTime,
    /// The last second.
    pub not_after: UnixTime,
}

impl Validity {
    /// A life that begins [`BACKDATE`] before `now` and lasts `lifetime` from `now`, within that of the CA: near
    /// the CA's end it is shorter.
    ///
    /// # Errors
    /// Where `lifetime` is zero or longer than [`MAX_LIFETIME`], or the CA is not valid at `now`.
    pub fn of_ldevid(now: UnixTime, lifetime: Duration, ca: &CaCertificate) -> Result<Self, LintError> {
        ca.check_valid_at(now)?;
        if lifetime.is_zero() || lifetime > MAX_LIFETIME {
            return Err(LintError::Lifetime { found: lifetime, most: MAX_LIFETIME });
        }
        Ok(Self::clamped(now, lifetime, ca.validity()))
    }

    pub(crate) fn clamped(now: UnixTime, lifetime: Duration, within: Self) -> Self {
        Self {
            not_before: now.before(BACKDATE).max(within.not_before),
            not_after: now.after(lifetime).min(within.not_after),
        }
    }

    /// From when and until when a device renews: two thirds and five sixths of the life after it was made.
    /// Devices choose a point in between at random, so that a fleet does not come all at once.
    #[must_use]
    pub fn renewal_window(&self) -> (UnixTime, UnixTime) {
        let made = self.not_before.after(BACKDATE).min(self.not_after);
        let life = self.not_after.since(made);
        (made.after(life * 2 / 3), made.after(life * 5 / 6))
    }

    /// Whether `time` lies within.
    #[must_use]
    pub fn contains(&self, time: UnixTime) -> bool {
        self.not_before <= time && time <= self.not_after
    }
}

const MAX_TENANT: usize = 64;
const MAX_URL: usize = 200;

pub(crate) fn check_url(what: &'static str, url: &str) -> Result<String, ProfileError> {
    let rest = url.strip_prefix("http://").unwrap_or_default();
    let plain = url.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\\'));
    if plain && !rest.is_empty() && !rest.starts_with('/') && url.len() <= MAX_URL {
        Ok(url.into())
    } else {
        Err(ProfileError::Url { what })
    }
}

#[cfg(test)]
mod tests {
    use super::{BACKDATE, LdevidProfile, ProfileError, Validity};
    use core::time::Duration;
    use proptest::prelude::*;
    use shared::UnixTime;

    #[test]
    fn tenants_and_addresses_have_rules() {
        assert_eq!(LdevidProfile::new("", 1), Err(ProfileError::Tenant));
        assert_eq!(LdevidProfile::new("a b", 1), Err(ProfileError::Tenant));
        assert_eq!(LdevidProfile::new(&"a".repeat(65), 1), Err(ProfileError::Tenant));
        assert_eq!(LdevidProfile::new("acme", 0), Err(ProfileError::Enterprise));
        let profile = LdevidProfile::new("acme", 32473).unwrap();
        for bad in ["", "http://", "https://a/crl", "ftp://a", "http:///crl", "http://a b/", "http://a/\n"] {
            assert!(profile.clone().with_crl_url(bad).is_err(), "{bad:?}");
            assert!(profile.clone().with_ocsp_url(bad).is_err(), "{bad:?}");
        }
        profile.with_crl_url("http://ca.example/crl.der").unwrap();
    }

    #[test]
    fn ninety_days_renew_between_day_sixty_and_seventy_five() {
        let now = UnixTime::from_secs(1_800_000_000);
        let day = Duration::from_secs(86_400);
        let validity = Validity { not_before: now.before(BACKDATE), not_after: now.after(day * 90) };
        assert_eq!(validity.renewal_window(), (now.after(day * 60), now.after(day * 75)));
    }

    proptest! {
        #[test]
        fn the_window_lies_in_the_life(start in 0_u64..1 << 40, life in 0_u64..1 << 30) {
            let validity =
                Validity { not_before: UnixTime::from_secs(start), not_after: UnixTime::from_secs(start + life) };
            let (from, by) = validity.renewal_window();
            prop_assert!(validity.contains(from) && validity.contains(by) && from <= by);
        }
    }
}
