//! What a device's claims say against those it was last accepted with: pure comparison.
//!
//! Decides nothing about the device: whether an old version or an open port is good enough stands in the
//! policy. Claims that the new evidence does not make say nothing, so that a device cannot hide a change behind a
//! kind of evidence that keeps silent: what was known before stays known ([`LastClaims::then`]).

use appraisal::DeviceClaims;
use appraisal::policy::Version;
use shared::evidence::DebugStatus;

use super::EventKind;

/// The claims that count from one acceptance to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastClaims {
    /// Name of the firmware.
    pub software_name: Option<String>,
    /// Its version.
    pub software_version: Option<String>,
    /// Debug state.
    pub debug: Option<DebugStatus>,
    /// What was measured: component and digest in hexadecimal, in order and each once. Empty: nothing known.
    pub measurements: Vec<(String, String)>,
}

/// A change that is an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is.
    pub kind: EventKind,
    /// The claim that changed, for filters.
    pub reason: &'static str,
    /// From what to what, for a person.
    pub detail: String,
}

impl From<&DeviceClaims> for LastClaims {
    fn from(claims: &DeviceClaims) -> Self {
        let mut measurements: Vec<_> =
            claims.measurements.iter().map(|m| (m.component.clone(), hex::encode(&m.digest))).collect();
        // The order in which a device lists its components means nothing.
        measurements.sort();
        measurements.dedup();
        Self {
            software_name: claims.software_name.clone(),
            software_version: claims.software_version.clone(),
            debug: claims.debug,
            measurements,
        }
    }
}

impl LastClaims {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is known once `newer` was accepted.
    #[must_use]
    pub fn then(self, newer: Self) -> Self {
        let named = newer.software_version.is_some();
        Self {
            // Name and version belong together.
            software_name: if named { newer.software_name } else { self.software_name },
            software_version: newer.software_version.or(self.software_version),
            debug: newer.debug.or(self.debug),
            measurements: if newer.measurements.is_empty() { self.measurements } else { newer.measurements },
        }
    }
}

/// Compares the claims last accepted with new ones.
#[must_use]
pub fn compare(before: &LastClaims, now: &LastClaims) -> Vec<Change> {
    [rollback(before, now), debug_opened(before, now), firmware_changed(before, now)]
        .into_iter()
        .flatten()
        .collect()
}

fn rollback(before: &LastClaims, now: &LastClaims) -> Option<Change> {
    let (old, new) = (before.software_version.as_deref()?, now.software_version.as_deref()?);
    // Versions of two different programs say nothing of each other.
    let same = before.software_name == now.software_name;
    let (was, is) = (old.parse::<Version>().ok()?, new.parse::<Version>().ok()?);
    (same && is < was).then(|| Change {
        kind: EventKind::Rollback,
        reason: "firmware-version",
        detail: format!(
            "version {is} of {:?}, after {was}",
            now.software_name.as_deref().unwrap_or_default()
        ),
    })
}

fn debug_opened(before: &LastClaims, now: &LastClaims) -> Option<Change> {
    let (was, is) = (before.debug?, now.debug?);
    (is < was).then(|| Change {
        kind: EventKind::DebugOpened,
        reason: "debug",
        detail: format!("debug state {is:?}, after {was:?}"),
    })
}

/// Most components that a detail names.
const NAMED: usize = 8;

fn firmware_changed(before: &LastClaims, now: &LastClaims) -> Option<Change> {
    if before.measurements.is_empty()
        || now.measurements.is_empty()
        || before.measurements == now.measurements
    {
        return None;
    }
    let differing = |one: &LastClaims, other: &LastClaims| -> Vec<String> {
        one.measurements
            .iter()
            .filter(|measured| !other.measurements.contains(measured))
            .map(|(component, _)| component.clone())
            .collect()
    };
    let mut components = differing(now, before);
    components.extend(differing(before, now));
    components.sort();
    components.dedup();
    let more = components.len().saturating_sub(NAMED);
    components.truncate(NAMED);
    let version =
        |claims: &LastClaims| claims.software_version.clone().unwrap_or_else(|| "unknown".to_owned());
    let mut detail =
        format!("version {:?}, after {:?}; other digests of {components:?}", version(now), version(before));
    if more > 0 {
        detail += &format!(" and {more} more");
    }
    Some(Change { kind: EventKind::FirmwareChanged, reason: "measurements", detail })
}

#[cfg(test)]
mod tests {
    use super::{LastClaims, compare};
    use crate::audit::EventKind;
    use appraisal::policy::Version;
    use appraisal::{DeviceClaims, Measured};
    use proptest::prelude::*;
    use shared::evidence::DebugStatus;

    fn claims() -> impl Strategy<Value = LastClaims> {
        let version = proptest::option::of(prop_oneof![
            (0_u32..3, 0_u32..3, 0_u32..3).prop_map(|(a, b, c)| format!("{a}.{b}.{c}")),
            Just("1.2".to_owned()),
            Just("newest".to_owned()),
        ]);
        let name = proptest::option::of(prop_oneof![Just("app".to_owned()), Just("boot".to_owned())]);
        let debug = proptest::option::of(proptest::sample::select(DebugStatus::ALL.to_vec()));
        let measured = proptest::collection::btree_set(("[abc]", "[01]{2}"), 0..4);
        (name, version, debug, measured).prop_map(|(software_name, software_version, debug, measured)| {
            LastClaims {
                software_name,
                software_version,
                debug,
                measurements: measured.into_iter().collect(),
            }
        })
    }

    fn kinds(before: &LastClaims, now: &LastClaims) -> Vec<EventKind> {
        compare(before, now).into_iter().map(|change| change.kind).collect()
    }

    proptest! {
        #[test]
        fn the_same_claims_are_no_event(claims in claims()) {
            prop_assert_eq!(kinds(&claims, &claims), vec![]);
        }

        #[test]
        fn silence_is_no_event_and_hides_nothing(before in claims(), now in claims()) {
            prop_assert_eq!(kinds(&before, &LastClaims::default()), vec![]);
            prop_assert_eq!(kinds(&LastClaims::default(), &now), vec![]);
            let after_silence = before.clone().then(LastClaims::default());
            prop_assert_eq!(kinds(&after_silence, &now), kinds(&before, &now));
        }

        #[test]
        fn what_was_accepted_is_no_event_the_second_time(before in claims(), now in claims()) {
            prop_assert_eq!(kinds(&before.then(now.clone()), &now), vec![]);
        }

        #[test]
        fn a_rollback_is_a_lower_version_of_the_same_program(before in claims(), now in claims()) {
            let version = |claims: &LastClaims| claims.software_version.as_deref()?.parse::<Version>().ok();
            let lower = version(&before).zip(version(&now)).is_some_and(|(was, is)| is < was);
            let expected = lower && before.software_name == now.software_name;
            prop_assert_eq!(kinds(&before, &now).contains(&EventKind::Rollback), expected);
            // There and back: one of the two ways goes down.
            let both = kinds(&before, &now).contains(&EventKind::Rollback)
                && kinds(&now, &before).contains(&EventKind::Rollback);
            prop_assert!(!both);
        }

        #[test]
        fn a_debug_port_opens_one_way(before in claims(), now in claims()) {
            let opened = before.debug.zip(now.debug).is_some_and(|(was, is)| is.code() < was.code());
            prop_assert_eq!(kinds(&before, &now).contains(&EventKind::DebugOpened), opened);
        }

        #[test]
        fn other_digests_are_seen_both_ways(before in claims(), now in claims()) {
            let changed = kinds(&before, &now).contains(&EventKind::FirmwareChanged);
            prop_assert_eq!(changed, kinds(&now, &before).contains(&EventKind::FirmwareChanged));
            let (old, new) = (&before.measurements, &now.measurements);
            prop_assert_eq!(changed, !old.is_empty() && !new.is_empty() && old != new);
        }
    }

    #[test]
    fn the_order_of_components_means_nothing_and_a_detail_stays_short() {
        let measured = |n: usize| Measured {
            component: format!("c{n}"),
            version: None,
            digest: vec![0; 32],
            signer: None,
        };
        let mut claims =
            DeviceClaims { measurements: (0..40).map(measured).collect(), ..DeviceClaims::default() };
        let first = LastClaims::from(&claims);
        claims.measurements.reverse();
        assert_eq!(LastClaims::from(&claims), first);
        for m in &mut claims.measurements {
            m.digest = vec![1; 32];
        }
        let changes = compare(&first, &LastClaims::from(&claims));
        assert_eq!(changes.len(), 1);
        assert!(changes[0].detail.ends_with("and 32 more"), "{}", changes[0].detail);
        assert!(changes[0].detail.len() < 400);
    }

    #[test]
    fn details_say_from_what_to_what() {
        let of = |version: &str, debug, digest: &str| LastClaims {
            software_name: Some("app".into()),
            software_version: Some(version.into()),
            debug: Some(debug),
            measurements: vec![("application".into(), digest.into())],
        };
        let before = of("2.10.0", DebugStatus::DisabledPermanently, "aa");
        let changes = compare(&before, &of("2.9.1", DebugStatus::Enabled, "bb"));
        let details: Vec<_> = changes.iter().map(|change| (change.reason, change.detail.as_str())).collect();
        assert_eq!(
            details,
            [
                ("firmware-version", "version 2.9.1 of \"app\", after 2.10.0"),
                ("debug", "debug state Enabled, after DisabledPermanently"),
                ("measurements", "version \"2.9.1\", after \"2.10.0\"; other digests of [\"application\"]"),
            ]
        );
    }
}
