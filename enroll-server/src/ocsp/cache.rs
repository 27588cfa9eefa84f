//! Answers that were signed and are still good. As many as there is room for: the older half goes.

use core::time::Duration;
use std::collections::HashMap;

use bytes::Bytes;
use ca::ocsp::{Produced, Status};
use shared::UnixTime;

/// Most answers in each half, of about 1 kB.
const HALF: usize = 16_384;

/// Answers by the CertID that they are for.
#[derive(Debug, Default)]
pub(super) struct Cache {
    young: HashMap<Vec<u8>, Kept>,
    old: HashMap<Vec<u8>, Kept>,
}

/// One answer.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) status: Status,
    pub(super) produced: Produced,
    pub(super) der: Bytes,
}

impl Cache {
    /// The answer that says `status` of this certificate, if there is one of which not half of `valid` has passed: who
    /// gets it can keep it for a while.
    pub(super) fn get(&self, cert_id: &[u8], status: Status, now: UnixTime, valid: Duration) -> Option<Kept> {
        let kept = self.young.get(cert_id).or_else(|| self.old.get(cert_id))?;
        let Produced { at, next_update } = kept.produced;
        let fresh = at <= now && now < at.after(valid / 2) && now < next_update;
        (fresh && kept.status == status).then(|| kept.clone())
    }

    pub(super) fn put(&mut self, cert_id: Vec<u8>, kept: Kept) {
        if self.young.len() >= HALF {
            self.old = core::mem::take(&mut self.young);
        }
        self.young.insert(cert_id, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::{Cache, HALF, Kept};
    use ca::crl::Reason;
    use ca::ocsp::{Produced, Status};
    use core::time::Duration;
    use shared::UnixTime;

    const VALID: Duration = Duration::from_secs(600);
    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn kept() -> Kept {
        let produced = Produced { at: NOW, next_update: NOW.after(VALID) };
        Kept { status: Status::Good, produced, der: bytes::Bytes::from_static(b"answer") }
    }

    #[test]
    fn an_answer_is_kept_for_half_of_its_time_and_never_after_a_change() {
        let mut cache = Cache::default();
        cache.put(vec![1], kept());
        let get = |status, now| cache.get(&[1], status, now, VALID).is_some();
        assert!(get(Status::Good, NOW) && get(Status::Good, NOW.after(VALID / 3)));
        assert!(!get(Status::Good, NOW.after(VALID / 2)));
        assert!(!get(Status::Good, NOW.before(VALID)), "a clock that went back");
        assert!(!get(Status::Revoked { at: NOW, reason: Reason::Unspecified }, NOW));
        assert!(cache.get(&[2], Status::Good, NOW, VALID).is_none());
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let mut cache = Cache::default();
        for number in 0..u32::try_from(HALF).unwrap() * 3 {
            cache.put(number.to_be_bytes().to_vec(), kept());
        }
        assert!(cache.young.len() + cache.old.len() <= 2 * HALF);
        let last = u32::try_from(HALF).unwrap() * 3 - 1;
        assert!(cache.get(&last.to_be_bytes(), Status::Good, NOW, VALID).is_some());
    }
}
