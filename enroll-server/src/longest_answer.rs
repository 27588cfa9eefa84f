//! How long the longest answer gets: a certificate with the CA above it, the trust bundle, and where the broker is.
//!
//! Its parts are decided by different people at different times, and a device that cannot hold the whole has no use for any
//! of them: a board would ask for ever, until its certificate ends. So the sum is made here before the CAs change.
//! Sends nothing.

use appraisal::policy::BrokerOverride;
use ca::{CaCertificate, LdevidProfile, longest_certificate};
use shared::limits::{MAX_ANSWER, MAX_ANSWER_LARGE, MAX_CERTIFICATE, MAX_DEVICE_ID};
use shared::message::latest::{Answer, Issued, Outcome};
use shared::{DeviceId, UnixTime};

use crate::config::{Broker, Config};
use crate::policies::{InForce, PolicyFiles, REHEARSED_AT};
use crate::startup::{LoadError, ldevid_profile};

/// A board could not hold an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an answer to a device could have {found} bytes, and a board holds {MAX_ANSWER}: {bundle} are the trust bundle's, \
     {issuing} the issuing CA's, up to {leaf} those of the device's certificate; have fewer roots in the trust bundle, or \
     CAs with shorter names and fewer extensions"
)]
pub struct TooLong {
    /// Length of the longest answer.
    pub found: usize,
    /// That of the trust bundle in it.
    pub bundle: usize,
    /// That of the issuing CA's certificate.
    pub issuing: usize,
    /// That of the longest certificate of a device.
    pub leaf: usize,
}

/// Holds the longest answer with this trust bundle and issuing CA against what a board holds.
pub(crate) fn check(config: &Config, bundle: &[u8], issuing: &CaCertificate) -> Result<(), LoadError> {
    let judged = PolicyFiles::of(&config.files).read()?;
    let leaf = longest_leaf(&judged, &ldevid_profile(config)?, issuing);
    let issuing = issuing.der();
    let found = length(config, &judged, &vec![0; leaf], issuing, bundle);
    if found > MAX_ANSWER {
        return Err(TooLong { found, bundle: bundle.len(), issuing: issuing.len(), leaf }.into());
    }
    Ok(())
}

fn longest_leaf(judged: &InForce, server: &LdevidProfile, issuing: &CaCertificate) -> usize {
    let profiles = judged.profiles.iter();
    let lengths =
        profiles.map(|(name, profile)| longest_certificate(name, profile, server, issuing, REHEARSED_AT));
    lengths.max().unwrap_or(MAX_CERTIFICATE)
}

/// With the longest settings of any broker.
fn length(config: &Config, judged: &InForce, leaf: &[u8], issuing: &[u8], bundle: &[u8]) -> usize {
    // It is a legal one; where it were none, there is no such device either.
    let Ok(device) = DeviceId::new(&"D".repeat(MAX_DEVICE_ID)) else { return 0 };
    let own = BrokerOverride::default();
    let policies = judged.set.iter().flat_map(|(_, policy)| {
        let candidate = policy.candidate().map(|candidate| candidate.policy.broker());
        core::iter::once(policy.policy().broker()).chain(candidate)
    });
    let overrides: Vec<&BrokerOverride> = core::iter::once(&own).chain(policies).collect();
    let only = config.brokers.is_empty().then_some(&config.broker);
    let brokers = config.brokers.iter().map(|named| &named.broker).chain(only);
    let told = brokers.flat_map(|broker| overrides.iter().map(|own| broker.told(own, &device)));
    told.map(|broker| encoded(&broker, leaf, issuing, bundle)).max().unwrap_or(0)
}

fn encoded(broker: &Broker, leaf: &[u8], issuing: &[u8], bundle: &[u8]) -> usize {
    // Every time until 2106 has the same length.
    let time = UnixTime::from_secs(u32::MAX.into());
    let issued = Issued {
        chain: [leaf, issuing].into_iter().collect(),
        renew_from: time,
        renew_by: time,
        trust_bundle: bundle,
        broker: broker.settings(),
    };
    let mut room = vec![0; 2 * MAX_ANSWER_LARGE];
    // What does not even fit there is longer than anything.
    Answer { server_time: time, outcome: Outcome::Issued(issued) }.encode(&mut room).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ca::hierarchy::{ISSUING_LIFETIME, ROOT_LIFETIME, issuing_ca, root_ca};
    use ca::{Issuer, LdevidProfile};
    use shared::limits::MAX_CERTIFICATE;

    use super::{BrokerOverride, Config, InForce, REHEARSED_AT, length, longest_leaf};
    use appraisal::Policy;

    #[test]
    fn what_a_policy_says_of_the_broker_and_the_longest_names_count() {
        let config = |text: &str| {
            let text = format!("tenant = \"Acme\"\n{text}");
            Config::parse(&text, Path::new("f.toml"), Path::new("/srv")).unwrap()
        };
        let judged = |text: &str| InForce::from(Policy::parse("policy.toml", text).unwrap());
        let of = |config: &Config, judged: &InForce| length(config, judged, &[0; 700], &[0; 500], &[0; 2000]);
        let (plain, host) = (config("[broker]\nhost = \"b\"\n"), "h".repeat(60));
        let least = of(&plain, &judged(""));
        assert!((3_200..3_600).contains(&least), "{least}");
        let named = config(&format!("[broker]\nhost = \"{host}\"\n"));
        assert_eq!(of(&named, &judged("")), least + 60);
        let own = judged(&format!("[broker]\nhost = \"{host}\"\n"));
        assert_ne!(own.set.iter().next().unwrap().1.policy().broker(), &BrokerOverride::default());
        assert_eq!(of(&plain, &own), least + 60);
        assert_eq!(of(&named, &own), least + 60);
    }

    #[test]
    fn the_longest_certificate_has_the_names_of_the_ca_and_no_more_than_a_device_takes() {
        let server = LdevidProfile::new("Acme", 1).unwrap();
        let judged = InForce::from(Policy::parse("policy.toml", "").unwrap());
        let issuing = |tenant: &str| {
            let (root, key) = root_ca(tenant, ROOT_LIFETIME, REHEARSED_AT).unwrap();
            let root = Issuer::new(root, Box::new(key)).unwrap();
            issuing_ca(tenant, &root, ISSUING_LIFETIME, REHEARSED_AT).unwrap().0
        };
        let (short, long) = (issuing("A"), issuing(&"A".repeat(60)));
        let [short, long] = [&short, &long].map(|ca| longest_leaf(&judged, &server, ca));
        // Signatures differ by some bytes.
        assert!(long.abs_diff(short + 59) < 8, "{short} {long}");
        assert!((500..900).contains(&short), "{short}");
        let url = format!("http://{}", "u".repeat(190));
        let server = server.with_crl_url(&url).unwrap().with_ocsp_url(&url).unwrap();
        let longest = longest_leaf(&judged, &server, &issuing(&"A".repeat(60)));
        assert!(longest > long + 380 && longest <= MAX_CERTIFICATE, "{longest}");
    }
}
