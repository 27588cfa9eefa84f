//! The lint: everything about a certificate is checked before it is signed, against the profile and RFC 5280.
//!
//! A misissued certificate cannot be taken back, so nothing is left to a check afterwards: the very bytes that are to be
//! signed are made here, looked through rule by rule, and compared with what was meant. The check in
//! [`crate::Issuer::issue`] is against a key that signs something else.

mod rules;
mod view;
mod walk;

#[cfg(test)]
mod tests;

use core::fmt;
use core::time::Duration;
use std::borrow::Cow;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use shared::{DeviceId, UnixTime};

use crate::certificate::CaCertificate;
use crate::distribution::DistributionPoint;
use crate::parse_back::{self, Mismatch, Signer};
use crate::profile::{BACKDATE, BindError, Bound, LdevidProfile, MAX_LIFETIME, Validity};
use crate::serial::Serial;
use crate::template::{Template, Usage, key_id};
use crate::to_be_signed;
use view::{Against, View};

pub(crate) use walk::Element;

/// An intent to issue that is durable: whatever happens from here on, the store knows of it.
///
/// To implement: only for a type that the store makes, after the record is on the disk. The lint trusts it.
pub trait RecordedIntent {
    /// The serial number, which no other record has.
    fn serial(&self) -> Serial;

    /// The device, as authorized.
    fn device(&self) -> &DeviceId;

    /// The key that the device proved to possess: an uncompressed point on P-256.
    fn public_point(&self) -> &[u8; 65];

    /// The life of the certificate, from [`Validity::of_ldevid`].
    fn validity(&self) -> Validity;

    /// The revocation list that the certificate names, where the profile has an address for it.
    fn distribution_point(&self) -> DistributionPoint;

    /// What it is to contain besides, as it was recorded; without one, what [`LdevidProfile::unrecorded`] says.
    fn profile(&self) -> Option<&Bound> {
        None
    }
}

/// A certificate that may be signed by one CA: linted, not yet signed.
#[derive(Debug, PartialEq, Eq)]
pub struct Linted {
    pub(crate) template: Template,
    /// What was looked through, and nothing else, is signed.
    pub(crate) tbs: Vec<u8>,
    /// Key of the CA that it was linted for.
    pub(crate) ca_point: [u8; 65],
}

/// Lints an LDevID that is to be signed by `ca`.
///
/// # Errors
/// Says which rule it breaks.
pub fn lint(
    intent: &impl RecordedIntent,
    profile: &LdevidProfile,
    ca: &CaCertificate,
    now: UnixTime,
) -> Result<Linted, LintError> {
    let bound = intent.profile().map_or_else(|| Cow::Owned(profile.unrecorded()), Cow::Borrowed);
    let template = Template {
        serial: intent.serial(),
        validity: intent.validity(),
        subject: bound.subject(intent.device()),
        point: *intent.public_point(),
        names: bound.names(intent.device())?,
        usage: Usage::Client,
        crl_url: profile.crl_url(intent.distribution_point()),
        ocsp_url: profile.ocsp_url.clone(),
        extra: bound.extra(),
    };
    let Validity { not_before, not_after } = template.validity;
    let (found, least) = (not_after.since(not_before), bound.shortest_life());
    // Near its end a CA can give no more than it has left.
    if found < least && not_after < ca.validity().not_after {
        return Err(LintError::TooShort { found, least });
    }
    lint_for(template, Some(intent.device()), ca, bound.longest_life().min(MAX_LIFETIME), now)
}

/// A rule that a certificate breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stable name of the rule.
    pub rule: &'static str,
    /// What demands it.
    pub section: &'static str,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.rule, self.section, self.found)
    }
}

/// All rules that a certificate breaks; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Each rule that is broken.
    #[must_use]
    pub fn as_slice(&self) -> &[Finding] {
        &self.0
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, finding) in self.0.iter().enumerate() {
            write!(f, "{}{finding}", if at == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// The names of all rules, each with the section that demands it.
pub fn rules() -> impl Iterator<Item = (&'static str, &'static str)> {
    rules::all().map(|rule| (rule.name, rule.section))
}

/// Why a certificate must not be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LintError {
    /// The CA's own life has not begun or is over.
    #[error("the CA is valid from {not_before} to {not_after}; at {now} it signs nothing: renew the CA")]
    CaNotValid {
        /// Begin of the CA's life.
        not_before: UnixTime,
        /// Its last second.
        not_after: UnixTime,
        /// Time of the request.
        now: UnixTime,
    },
    /// The certificate would outlive its CA, or begin before it.
    #[error("a life from {} to {} leaves that of the CA, {} to {}", found.not_before, found.not_after, ca.not_before, ca.not_after)]
    BeyondCa {
        /// What was asked for.
        found: Validity,
        /// The CA's life.
        ca: Validity,
    },
    /// The life is empty, over already, or begins in the future.
    #[error("a life from {} to {} is empty, over, or not begun at {now}", found.not_before, found.not_after)]
    NotCurrent {
        /// What was asked for.
        found: Validity,
        /// Time of the request.
        now: UnixTime,
    },
    /// The life is too long, or zero.
    #[error("a life of {} seconds; more than 0 and at most {} are allowed", found.as_secs(), most.as_secs())]
    Lifetime {
        /// What was asked for.
        found: Duration,
        /// The most allowed.
        most: Duration,
    },
    /// The life is shorter than the profile allows.
    #[error("a life of {} seconds; the profile wants at least {}", found.as_secs(), least.as_secs())]
    TooShort {
        /// What was asked for.
        found: Duration,
        /// The least allowed.
        least: Duration,
    },
    /// The profile says nothing for this device.
    #[error(transparent)]
    Profile(#[from] BindError),
    /// The bytes that were to be signed break rules.
    #[error("it breaks rules: {0}")]
    Rules(Findings),
    /// The bytes could not be written.
    #[error("the certificate cannot be written")]
    Unwritable,
    /// The bytes are not what was meant: a defect of the library that writes them.
    #[error("what was written is not what was meant")]
    Differs(#[source] Mismatch),
    /// The key is not a point on P-256.
    #[error("the key is not an uncompressed point on P-256")]
    Key,
    /// The key is the CA's own.
    #[error("the key to be certified is the CA's own")]
    CaKey,
    /// The CA may not have this certificate below it.
    #[error("the CA's path length does not allow another CA below it")]
    PathLength,
}

/// Lints any certificate that `ca` is to sign.
pub(crate) fn lint_template(
    template: Template,
    ca: &CaCertificate,
    longest: Duration,
    now: UnixTime,
) -> Result<Linted, LintError> {
    lint_for(template, None, ca, longest, now)
}

fn lint_for(
    template: Template,
    device: Option<&DeviceId>,
    ca: &CaCertificate,
    longest: Duration,
    now: UnixTime,
) -> Result<Linted, LintError> {
    ca.check_valid_at(now)?;
    let (found, life) = (template.validity, ca.validity());
    // RFC 5280 does not forbid it; OpenBao's leaves that outlived their issuer show why we do.
    if found.not_before < life.not_before || found.not_after > life.not_after {
        return Err(LintError::BeyondCa { found, ca: life });
    }
    if template.point == *ca.public_point() || key_id(&template.point) == ca.key_id() {
        return Err(LintError::CaKey);
    }
    if let (Usage::Ca { path_length }, Some(most)) = (template.usage, ca.path_length())
        && u32::from(path_length) >= most
    {
        return Err(LintError::PathLength);
    }
    lint_content(&template, longest, now)?;
    let tbs = written(&template, device, Some(ca))?;
    Ok(Linted { template, tbs, ca_point: *ca.public_point() })
}

/// Lints a certificate that signs itself.
pub(crate) fn lint_root(template: Template, longest: Duration, now: UnixTime) -> Result<Linted, LintError> {
    lint_content(&template, longest, now)?;
    let tbs = written(&template, None, None)?;
    let ca_point = template.point;
    Ok(Linted { template, tbs, ca_point })
}

/// Writes what is to be signed, looks it through, and compares it with what was meant.
fn written(
    template: &Template,
    device: Option<&DeviceId>,
    ca: Option<&CaCertificate>,
) -> Result<Vec<u8>, LintError> {
    let tbs = to_be_signed::write(template, ca).map_err(|_| LintError::Unwritable)?;
    let custom: Vec<Vec<u8>> = template.extra.extensions.iter().map(|own| own.oid.content()).collect();
    let against = Against {
        issuer: ca.map(CaCertificate::subject_der),
        issuer_key_id: ca.map(CaCertificate::key_id),
        is_ca: matches!(template.usage, Usage::Ca { .. }),
        device: device.map(DeviceId::as_str),
        custom: &custom,
    };
    let findings = look_through(&tbs, against);
    if !findings.is_empty() {
        return Err(LintError::Rules(Findings(findings)));
    }
    let own_subject = template.subject_der();
    let signer = Signer {
        subject: ca.map_or(&own_subject, CaCertificate::subject_der),
        key_id: ca.map(CaCertificate::key_id),
    };
    parse_back::check_tbs(&tbs, template, signer).map_err(LintError::Differs)?;
    Ok(tbs)
}

/// Every rule that a TBSCertificate breaks.
fn look_through(tbs: &[u8], against: Against<'_>) -> Vec<Finding> {
    let Some(view) = View::new(tbs, against) else {
        let found = "bytes that cannot be taken apart".to_owned();
        return vec![Finding { rule: "der", section: "RFC 5280, 4.1", found }];
    };
    let broken = rules::all().filter_map(|rule| {
        let found = (rule.check)(&view).err()?;
        Some(Finding { rule: rule.name, section: rule.section, found })
    });
    broken.collect()
}

fn lint_content(template: &Template, longest: Duration, now: UnixTime) -> Result<(), LintError> {
    let found = template.validity;
    if found.not_before > now || found.not_after <= now || found.not_after <= found.not_before {
        return Err(LintError::NotCurrent { found, now });
    }
    let lifetime = found.not_after.since(found.not_before);
    let most = longest + BACKDATE;
    if lifetime > most {
        return Err(LintError::Lifetime { found: lifetime, most });
    }
    let on_curve = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &template.point).parse().is_ok();
    if template.point.first() != Some(&4) || !on_curve {
        return Err(LintError::Key);
    }
    Ok(())
}
