//! How a candidate policy is tried: watched only, or in force for a share of the devices.

use aws_lc_rs::digest::{Context, SHA256};
use shared::DeviceId;

use super::render::PolicyDigest;

/// What a candidate may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The policy in force decides; what the candidate would have done is recorded.
    #[default]
    Observe,
    /// The candidate decides for a share of the devices; for the others it is observed.
    Enforce,
}

impl Mode {
    pub(super) const NAMES: &'static [(&'static str, Self)] =
        &[("observe", Self::Observe), ("enforce", Self::Enforce)];

    /// The name, as in policy files and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

/// How a candidate is rolled out. It is no part of the policy: raising the share does not change its digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// What the candidate may do.
    pub mode: Mode,
    /// The share of devices it decides for in [`Mode::Enforce`], 0 to 100.
    pub percent: u8,
}

impl Rollout {
    /// Whether the candidate decides for `device`. The same device stays in or out for as long as the candidate
    /// is the same, and a larger share only adds devices.
    #[must_use]
    pub fn enforces(self, candidate: &PolicyDigest, device: &DeviceId) -> bool {
        self.mode == Mode::Enforce && place(candidate, device) < u64::from(self.percent)
    }
}

/// Where a device stands in the order in which it comes under the candidate, 0 to 99. Another candidate has
/// another order, so that it is not always the same devices that go first.
fn place(candidate: &PolicyDigest, device: &DeviceId) -> u64 {
    let mut hash = Context::new(&SHA256);
    hash.update(candidate.as_bytes());
    hash.update(device.as_str().as_bytes());
    let hash = hash.finish();
    let number = hash.as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    // The remainder of 64 bits by 100 is even to within one part in 10^17.
    number % 100
}

#[cfg(test)]
mod tests {
    use super::{Mode, Rollout};
    use crate::policy::Policy;
    use proptest::prelude::*;
    use shared::DeviceId;

    fn id(number: u32) -> DeviceId {
        DeviceId::new(&format!("SN-{number}")).unwrap()
    }

    proptest! {
        #[test]
        fn a_larger_share_only_adds_and_a_device_stays(number: u32, low in 0_u8..=100, more in 0_u8..=100, days in 1_u32..180) {
            let text = format!("[certificate]\ndays = {days}");
            let candidate = Policy::parse("p", &text).unwrap().digest();
            let at = |percent, mode| Rollout { mode, percent }.enforces(&candidate, &id(number));
            let high = low.saturating_add(more).min(100);
            prop_assert!(!at(low, Mode::Enforce) || at(high, Mode::Enforce));
            prop_assert_eq!(at(low, Mode::Enforce), at(low, Mode::Enforce));
            prop_assert!(!at(0, Mode::Enforce) && at(100, Mode::Enforce));
            prop_assert!(!at(high, Mode::Observe));
        }
    }

    #[test]
    fn the_share_is_what_was_asked_for_and_another_candidate_takes_others() {
        let digest =
            |days: u32| Policy::parse("p", &format!("[certificate]\ndays = {days}")).unwrap().digest();
        let (one, other) = (digest(10), digest(11));
        let quarter = Rollout { mode: Mode::Enforce, percent: 25 };
        let taken = |candidate| (0..10_000).map(id).filter(|id| quarter.enforces(candidate, id)).count();
        // Five standard deviations: sqrt(10,000 * 0.25 * 0.75) is 43.
        assert!((2_280..=2_720).contains(&taken(&one)), "{}", taken(&one));
        let both =
            (0..10_000).map(id).filter(|id| quarter.enforces(&one, id) && quarter.enforces(&other, id));
        assert!((500..=750).contains(&both.count()), "two candidates are independent");
    }
}
