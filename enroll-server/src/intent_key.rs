//! The key by which servers know their own intents again.
//!
//! An intent that a crash left open is signed later, by what stands in the database ([`Issuance::recover`], and the device's own
//! repetition). Whoever can write there could put one in that nobody appraised. So each intent is recorded with an HMAC-SHA-256
//! (RFC 2104) over all that the CA makes the certificate of, and none is signed without it.
//!
//! The key is derived from that of the nonces (`nonce.key`), by the second step of HKDF with a label of its own (RFC 5869,
//! sections 2.3 and 3.3: what is random already needs no first step). That file is on every server, since a nonce of one is good
//! at all; it is read before anything is signed, does not stand in the database, and can be replaced at any time. A file of its
//! own would be one more to carry to each server at an upgrade; `credential.key` is missing where there are no symmetric keys;
//! and the issuing key may lie in a token that signs and does nothing else. Where `nonce.key` is replaced, what was open is given
//! up, and the devices ask again, as they do for their nonces.
//!
//! It does not keep an intent from being put back: whoever kept a copy of one while it was open can have it signed once more,
//! with the same serial number, device, key and life. The store takes the MAC out of a row that is not open any more, so that the
//! state alone brings none back; and what is in the log twice is found there.
//!
//! [`Issuance::recover`]: crate::issuance::Issuance::recover

use core::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use ca::RecordedIntent;

use crate::store::Sha256;

/// Makes the MACs of intents, and compares them. A copy costs nothing.
#[derive(Clone)]
pub struct IntentKey(Arc<hmac::Key>);

/// What stands in the database is no intent that a server with this key recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// It has no MAC.
    #[error(
        "it has no MAC, so it was written by hand, or by a version of this program that made none; it was not signed, and its \
         device may ask again"
    )]
    Without,
    /// Its MAC is that of another one, or by another key.
    #[error(
        "its MAC is not over what stands there by the key of this server, so it was written or changed by hand, or nonce.key was \
         replaced since; it was not signed, and its device may ask again"
    )]
    Differs,
}

impl IntentKey {
    /// Takes over what was derived for it.
    pub(crate) fn new(derived: &Sha256) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, derived)))
    }

    /// The MAC of an intent.
    pub(crate) fn mac(&self, intent: &impl RecordedIntent) -> Sha256 {
        let mut mac = Sha256::default();
        for (to, from) in mac.iter_mut().zip(hmac::sign(&self.0, &content(intent)).as_ref()) {
            *to = *from;
        }
        mac
    }

    /// Whether a server with this key recorded the intent; the comparison takes the same time wherever they differ.
    ///
    /// # Errors
    /// Where none did.
    pub(crate) fn check(&self, intent: &impl RecordedIntent, mac: Option<&[u8]>) -> Result<(), NotOurs> {
        let mac = mac.ok_or(NotOurs::Without)?;
        hmac::verify(&self.0, &content(intent), mac).map_err(|_| NotOurs::Differs)
    }
}

impl fmt::Debug for IntentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntentKey([redacted])")
    }
}

/// All that [`ca::lint`] takes of an intent. The identifier, which alone has no fixed length, comes last, so that no two run
/// together.
fn content(intent: &impl RecordedIntent) -> Vec<u8> {
    let (life, list) = (intent.validity(), intent.distribution_point());
    let profile = intent.profile().map(ca::Bound::sha256);
    let mut content = Vec::with_capacity(256);
    content.extend_from_slice(VERSION);
    content.extend_from_slice(intent.serial().as_bytes());
    content.extend_from_slice(intent.public_point());
    content.extend_from_slice(&life.not_before.as_secs().to_be_bytes());
    content.extend_from_slice(&life.not_after.as_secs().to_be_bytes());
    content.extend_from_slice(&list.issuer.to_be_bytes());
    content.extend_from_slice(&list.partition.to_be_bytes());
    content.push(profile.is_some().into());
    content.extend_from_slice(&profile.unwrap_or_default());
    content.extend_from_slice(intent.device().as_str().as_bytes());
    content
}

/// Which fields there are, and in which order.
const VERSION: &[u8] = b"intent v1\0";

#[cfg(test)]
mod tests {
    use ca::{Bound, DistributionPoint, Facts, Profile, RecordedIntent, Serial, Validity};
    use shared::{DeviceId, UnixTime};

    use super::{IntentKey, NotOurs};
    use crate::nonce::{KEY, NonceKey};

    #[derive(Clone)]
    struct Intent {
        serial: Serial,
        device: DeviceId,
        point: [u8; 65],
        life: Validity,
        list: DistributionPoint,
        profile: Option<Bound>,
    }

    impl RecordedIntent for Intent {
        fn serial(&self) -> Serial {
            self.serial
        }

        fn device(&self) -> &DeviceId {
            &self.device
        }

        fn public_point(&self) -> &[u8; 65] {
            &self.point
        }

        fn validity(&self) -> Validity {
            self.life
        }

        fn distribution_point(&self) -> DistributionPoint {
            self.list
        }

        fn profile(&self) -> Option<&Bound> {
            self.profile.as_ref()
        }
    }

    fn profile(name: &str, group: &str) -> Option<Bound> {
        let facts = Facts { tenant: "acme", enterprise: 32473, group, ..Facts::default() };
        let text = "[subject]\norganizational_unit = \"{group}\"\n";
        Some(Profile::parse("p", text).unwrap().bind(name, &facts).unwrap())
    }

    fn intent() -> Intent {
        let not_before = UnixTime::from_secs(1_800_000_000);
        Intent {
            serial: Serial::random().unwrap(),
            device: DeviceId::new("SN-1").unwrap(),
            point: [4; 65],
            life: Validity { not_before, not_after: not_before.after(core::time::Duration::from_secs(60)) },
            list: DistributionPoint { issuer: 1, partition: 2 },
            profile: profile("default", "lab"),
        }
    }

    fn key() -> IntentKey {
        NonceKey::new(&[7; KEY]).intents().clone()
    }

    #[test]
    fn each_field_by_itself_makes_another_intent() {
        let (honest, second) = (intent(), core::time::Duration::from_secs(1));
        let mac = key().mac(&honest);
        assert_eq!(key().check(&honest, Some(&mac)), Ok(()), "on any server with this key");
        assert_eq!(format!("{:?}", key()), "IntentKey([redacted])");
        let changes: [fn(&mut Intent, core::time::Duration); 12] = [
            |intent, _| intent.serial = Serial::random().unwrap(),
            |intent, _| intent.device = DeviceId::new("SN-2").unwrap(),
            |intent, _| intent.device = DeviceId::new("SN-11").unwrap(),
            |intent, _| intent.point[1] ^= 1,
            |intent, _| intent.point[64] ^= 1,
            |intent, second| intent.life.not_before = intent.life.not_before.after(second),
            |intent, second| intent.life.not_after = intent.life.not_after.after(second),
            |intent, _| intent.list.issuer = 2,
            |intent, _| intent.list.partition = 3,
            |intent, _| intent.profile = profile("other", "lab"),
            |intent, _| intent.profile = profile("default", "other"),
            |intent, _| intent.profile = None,
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut changed = honest.clone();
            change(&mut changed, second);
            assert_eq!(key().check(&changed, Some(&mac)), Err(NotOurs::Differs), "change {number}");
            let again = key().mac(&changed);
            assert_eq!(key().check(&changed, Some(&again)), Ok(()), "change {number}");
        }
    }

    #[test]
    fn no_other_mac_and_no_other_key_is_taken() {
        let honest = intent();
        let mac = key().mac(&honest);
        assert_eq!(key().check(&honest, None), Err(NotOurs::Without));
        for bit in 0..256 {
            let mut changed = mac;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key().check(&honest, Some(&changed)), Err(NotOurs::Differs), "bit {bit}");
        }
        for length in 0..32 {
            assert_eq!(key().check(&honest, Some(&mac[..length])), Err(NotOurs::Differs), "{length} bytes");
        }
        assert_eq!(key().check(&honest, Some(&[&mac[..], &[0]].concat())), Err(NotOurs::Differs));
        assert_eq!(
            IntentKey::new(&[7; KEY]).check(&honest, Some(&mac)),
            Err(NotOurs::Differs),
            "the key of nonces"
        );
        let other = NonceKey::new(&[8; KEY]);
        assert_eq!(other.intents().check(&honest, Some(&mac)), Err(NotOurs::Differs));
    }

    /// The derivation is that of RFC 5869, section 2.3, so that it can be had elsewhere: what was recorded before an update is
    /// finished after it.
    #[test]
    fn the_key_is_that_of_hkdf_expand() {
        use aws_lc_rs::{hkdf, hmac};
        let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &[7; KEY]);
        let expanded = prk.expand(&[b"enroll-server intent v1"], hmac::HMAC_SHA256).unwrap();
        let derived = IntentKey(std::sync::Arc::new(hmac::Key::from(expanded)));
        assert_eq!(derived.check(&intent_of_old(), Some(&key().mac(&intent_of_old()))), Ok(()));
        assert_eq!(hex::encode(key().mac(&intent_of_old())), OLD);
    }

    /// Always the same.
    fn intent_of_old() -> Intent {
        Intent { serial: Serial::from_bytes([1; 16]).unwrap(), profile: None, ..intent() }
    }

    /// By another program.
    const OLD: &str = "b5b703b3692d5ce6380c33f1d2d9be5daa555a5b92a8f25b9cab376371cccfb5";
}
