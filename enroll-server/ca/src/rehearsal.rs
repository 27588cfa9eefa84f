//! Samples: certificates of a profile, signed in memory by a CA that is thrown away.
//!
//! A profile is rehearsed when it is read, with the longest and the shortest values that its variables can have. So one
//! that could only issue what breaks the rules is refused with its file, before any device asks.

use shared::limits::{MAX_CERTIFICATE, MAX_CLAIM_TEXT, MAX_DEVICE_ID};
use shared::{DeviceId, UnixTime};

use crate::certificate::CaCertificate;
use crate::distribution::DistributionPoint;
use crate::hierarchy::{HierarchyError, ROOT_LIFETIME, root_ca};
use crate::issuer::{IssueError, Issuer};
use crate::key::{FileKey, IssuerKey as _};
use crate::lint::{RecordedIntent, lint};
use crate::profile::{BindError, Bound, Facts, LdevidProfile, Profile, ProfileError, Validity};
use crate::serial::Serial;

/// A certificate that is good for nothing but to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The certificate in DER.
    pub certificate: Vec<u8>,
    /// That of the CA that signed it, in DER.
    pub issuer: Vec<u8>,
    /// The profile that would be recorded.
    pub bound: Bound,
}

/// Why there is no sample.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// The profile says nothing for the device.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The certificate must not be signed, or was not.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The CA for the sample could not be made.
    #[error("no CA could be made for the sample")]
    Hierarchy(#[from] HierarchyError),
    /// The server's part of profiles cannot be.
    #[error(transparent)]
    Server(#[from] ProfileError),
}

/// Makes a sample for `device`, as a server with `server` would.
///
/// # Errors
/// Says what is wrong with the profile, for this device.
pub fn sample(
    name: &str,
    profile: &Profile,
    facts: &Facts<'_>,
    device: &DeviceId,
    server: &LdevidProfile,
    now: UnixTime,
) -> Result<Sample, RehearsalError> {
    sign(&throwaway(now)?, profile.bind(name, facts)?, device, server, now)
}

/// Makes samples with the longest and the shortest values.
///
/// # Errors
/// Says what is wrong with the profile.
pub fn rehearse(name: &str, profile: &Profile, now: UnixTime) -> Result<(), RehearsalError> {
    let ca = throwaway(now)?;
    let url = format!("http://{}.example/{}", "u".repeat(30), "x".repeat(30));
    let long = ["T".repeat(64), "g".repeat(32), "l".repeat(32), "m".repeat(MAX_CLAIM_TEXT)];
    let [tenant, group, label, model] = long.each_ref().map(String::as_str);
    let longest = Facts { tenant, enterprise: u32::MAX, group, label: Some(label), model: Some(model) };
    let shortest = Facts { tenant: "T", enterprise: 1, group: "g", label: Some("1"), model: None };
    for (facts, device) in [(longest, "a".repeat(MAX_DEVICE_ID)), (shortest, "a".to_owned())] {
        let server = LdevidProfile::new(facts.tenant, facts.enterprise)?;
        let server = server.with_crl_url(&url)?.with_ocsp_url(&url)?;
        let device = DeviceId::new(&device).map_err(|_| BindError::Recorded)?;
        let sample = sign(&ca, profile.bind(name, &facts)?, &device, &server, now)?;
        // What is recorded has to be read again after a crash.
        let again = Bound::from_record(name, sample.bound.text())?;
        if again != sample.bound {
            return Err(BindError::Recorded.into());
        }
    }
    Ok(())
}

/// Length of the longest certificate by a profile that `issuer` signs for a server with `server`. One that breaks the rules
/// is never signed, so that it is [`MAX_CERTIFICATE`] at most.
#[must_use]
pub fn longest_certificate(
    name: &str,
    profile: &Profile,
    server: &LdevidProfile,
    issuer: &CaCertificate,
    now: UnixTime,
) -> usize {
    let long = ["g".repeat(32), "l".repeat(32), "m".repeat(MAX_CLAIM_TEXT)];
    let [group, label, model] = long.each_ref().map(String::as_str);
    let (tenant, enterprise) = (server.tenant(), server.enterprise());
    let facts = Facts { tenant, enterprise, group, label: Some(label), model: Some(model) };
    let made = || {
        let ca = throwaway(now)?;
        let device = DeviceId::new(&"a".repeat(MAX_DEVICE_ID)).map_err(|_| BindError::Recorded)?;
        let sample = sign(&ca, profile.bind(name, &facts)?, &device, server, now)?;
        let of = |ca: &CaCertificate| ca.subject_der().len() + ca.key_id().len();
        Ok::<_, RehearsalError>(sample.certificate.len() + SLACK + of(issuer) - of(ca.certificate()))
    };
    made().map_or(MAX_CERTIFICATE, |length| length.min(MAX_CERTIFICATE))
}

/// What certificates of one kind differ by: the signature, lengths in DER, the numbers in the address of a list.
const SLACK: usize = 24;

fn throwaway(now: UnixTime) -> Result<Issuer, RehearsalError> {
    let (certificate, key) = root_ca(&"O".repeat(64), ROOT_LIFETIME, now)?;
    Ok(Issuer::new(certificate, Box::new(key))?)
}

fn sign(
    ca: &Issuer,
    bound: Bound,
    device: &DeviceId,
    server: &LdevidProfile,
    now: UnixTime,
) -> Result<Sample, RehearsalError> {
    let certificate = ca.certificate();
    let intent = Intent {
        serial: Serial::random().map_err(HierarchyError::from)?,
        device,
        point: *FileKey::generate().map_err(HierarchyError::from)?.public_point(),
        validity: Validity::of_ldevid(now, bound.default_life(), certificate).map_err(IssueError::from)?,
        bound: &bound,
    };
    let linted = lint(&intent, server, certificate, now).map_err(IssueError::from)?;
    let issued = ca.issue(linted, now)?;
    Ok(Sample { certificate: issued.der().to_vec(), issuer: certificate.der().to_vec(), bound })
}

/// An intent that nobody recorded: what comes of it leads to a CA that is gone already.
struct Intent<'a> {
    serial: Serial,
    device: &'a DeviceId,
    point: [u8; 65],
    validity: Validity,
    bound: &'a Bound,
}

impl RecordedIntent for Intent<'_> {
    fn serial(&self) -> Serial {
        self.serial
    }

    fn device(&self) -> &DeviceId {
        self.device
    }

    fn public_point(&self) -> &[u8; 65] {
        &self.point
    }

    fn validity(&self) -> Validity {
        self.validity
    }

    fn distribution_point(&self) -> DistributionPoint {
        DistributionPoint { issuer: 1, partition: 0 }
    }

    fn profile(&self) -> Option<&Bound> {
        Some(self.bound)
    }
}
