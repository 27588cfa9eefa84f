//! Finds reference values again, however many there are: by the hash of component, digest and model.
//!
//! Copies are cheap: what was put together once is shared.

use core::hash::{BuildHasher as _, Hash};
use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::Arc;

use super::reference::{KnownGood, Mismatch, ReferenceSet, Subject};
use crate::claims::Measured;

/// All that is known to be good.
#[derive(Clone, Debug, Default)]
pub struct ReferenceValues {
    layers: Vec<Arc<Layer>>,
}

impl ReferenceValues {
    /// Adds those of `other`, which are looked at after these.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.layers.extend(other.layers);
        self
    }

    /// All values, in the order in which they were put together.
    pub fn iter(&self) -> impl Iterator<Item = &KnownGood> {
        self.layers.iter().flat_map(|layer| layer.sets.iter()).flat_map(|set| set.known.iter())
    }

    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layers.iter().flat_map(|layer| layer.sets.iter()).map(|set| set.known.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value that says that `measured`, on the device of `subject`, is good: same component and digest, the
    /// same version where both have one, in a set that is for the device's maker and valid.
    #[must_use]
    pub fn find(&self, subject: &Subject<'_>, measured: &Measured) -> Option<&KnownGood> {
        self.candidates(subject.model, measured)
            .find(|(set, known)| {
                known.is_of(measured)
                    && set.mismatch(subject).is_none()
                    && known.mismatch(subject, measured).is_none()
            })
            .map(|(_, known)| known)
    }

    /// Why a measurement that was not found is not good though its digest is known; `None` where it is not.
    pub(crate) fn near_miss(&self, subject: &Subject<'_>, measured: &Measured) -> Option<Mismatch> {
        let same_digest = self.layers.iter().flat_map(|layer| {
            let places = layer.by_digest.get(&layer.hash(&measured.digest)).map_or(&[][..], Vec::as_slice);
            places.iter().take(MOST_NEAR_MISSES).filter_map(|place| layer.at(*place))
        });
        same_digest.filter(|(_, known)| known.digest == measured.digest).find_map(|(set, known)| {
            if known.component != measured.component {
                return Some(Mismatch::Component);
            }
            set.mismatch(subject).or_else(|| known.mismatch(subject, measured))
        })
    }

    /// The few values that can fit: those for the model before those for any.
    fn candidates<'r>(
        &'r self,
        model: Option<&str>,
        measured: &Measured,
    ) -> impl Iterator<Item = (&'r ReferenceSet, &'r KnownGood)> {
        let models = [model, None];
        let of_model = models.into_iter().skip(usize::from(model.is_none()));
        of_model.flat_map(move |model| {
            self.layers.iter().flat_map(move |layer| {
                let key = layer.hash(&(&*measured.component, &*measured.digest, model));
                let places = layer.by_all.get(&key).map_or(&[][..], Vec::as_slice);
                places.iter().filter_map(|place| layer.at(*place))
            })
        })
    }
}

impl KnownGood {
    fn is_of(&self, measured: &Measured) -> bool {
        self.component == measured.component && self.digest == measured.digest
    }
}

/// How many values with one digest are looked at to explain a refusal.
const MOST_NEAR_MISSES: usize = 16;

/// What was put together at once.
#[derive(Debug, Default)]
struct Layer {
    sets: Vec<ReferenceSet>,
    /// Where the values are whose component, digest and model have this hash. Which of them are meant is seen
    /// from the values themselves; the hash has a random key, so nobody can make many of them meet.
    by_all: HashMap<u64, Vec<Place>>,
    by_digest: HashMap<u64, Vec<Place>>,
    hasher: RandomState,
}

/// Set, and value in it.
type Place = (usize, usize);

impl Layer {
    fn new(sets: Vec<ReferenceSet>) -> Self {
        let mut layer = Self { sets, ..Self::default() };
        let (mut by_all, mut by_digest) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for (of, set) in layer.sets.iter().enumerate() {
            for (at, known) in set.known.iter().enumerate() {
                let key = layer.hash(&(&*known.component, &*known.digest, known.model.as_deref()));
                by_all.entry(key).or_default().push((of, at));
                by_digest.entry(layer.hash(&known.digest)).or_default().push((of, at));
            }
        }
        (layer.by_all, layer.by_digest) = (by_all, by_digest);
        layer
    }

    fn hash(&self, value: &impl Hash) -> u64 {
        self.hasher.hash_one(value)
    }

    fn at(&self, (of, at): Place) -> Option<(&ReferenceSet, &KnownGood)> {
        let set = self.sets.get(of)?;
        Some((set, set.known.get(at)?))
    }
}

impl From<Vec<ReferenceSet>> for ReferenceValues {
    fn from(sets: Vec<ReferenceSet>) -> Self {
        Self { layers: vec![Arc::new(Layer::new(sets))] }
    }
}

/// Values for devices of any maker, without end.
impl From<Vec<KnownGood>> for ReferenceValues {
    fn from(known: Vec<KnownGood>) -> Self {
        if known.is_empty() {
            return Self::default();
        }
        vec![ReferenceSet { known, ..ReferenceSet::default() }].into()
    }
}

impl PartialEq for ReferenceValues {
    fn eq(&self, other: &Self) -> bool {
        let sets = |values: &Self| -> Vec<*const ReferenceSet> {
            values.layers.iter().flat_map(|layer| layer.sets.iter()).map(core::ptr::from_ref).collect()
        };
        sets(self) == sets(other)
            || self
                .layers
                .iter()
                .flat_map(|layer| layer.sets.iter())
                .eq(other.layers.iter().flat_map(|layer| layer.sets.iter()))
    }
}

impl Eq for ReferenceValues {}

#[cfg(test)]
mod tests {
    use super::{KnownGood, Measured, ReferenceSet, ReferenceValues, Subject};
    use crate::maker::Maker;
    use crate::policy::reference::Mismatch;
    use proptest::prelude::*;
    use shared::UnixTime;

    fn digest(n: u32) -> Vec<u8> {
        n.to_be_bytes().repeat(8)
    }

    fn measured(n: u32) -> Measured {
        Measured {
            component: "application".into(),
            version: Some("1.0.0".into()),
            digest: digest(n),
            signer: None,
        }
    }

    fn good(n: u32) -> KnownGood {
        let component = "application".into();
        KnownGood { component, version: Some("1.0.0".into()), digest: digest(n), ..KnownGood::default() }
    }

    fn maker(name: &str) -> Maker {
        Maker { name: name.into(), fingerprint: [1; 32] }
    }

    fn at(now: u64) -> Subject<'static> {
        Subject {
            maker: None,
            model: None,
            identity: None,
            implementation_id: None,
            now: UnixTime::from_secs(now),
        }
    }

    /// Counts what a search compares: the same few whether there are ten values or 100,000, also where all share
    /// a digest or a component.
    #[test]
    fn a_search_looks_at_few_values_however_many_there_are() {
        const MANY: u32 = 100_000;
        let of_one_digest = (0..MANY).map(|n| KnownGood { model: Some(format!("model-{n}")), ..good(7) });
        let values: ReferenceValues =
            vec![(0..MANY).map(good).collect::<Vec<_>>(), of_one_digest.collect(), vec![good(3), good(3)]]
                .into_iter()
                .fold(ReferenceValues::default(), |all, known| all.with(known.into()));
        assert_eq!(values.len(), 200_002);
        for (n, model, most) in
            [(99_999, None, 1), (7, Some("model-5"), 2), (3, Some("x"), 3), (MANY, None, 0)]
        {
            let subject = Subject { model, ..at(0) };
            let looked_at = values.candidates(model, &measured(n)).count();
            assert!(looked_at <= most, "{n}: {looked_at}");
            assert_eq!(values.find(&subject, &measured(n)).is_some(), n < MANY);
        }
        let misses = Subject { model: Some("none"), ..at(0) };
        let other = Measured { component: "bootloader".into(), ..measured(7) };
        assert_eq!(values.near_miss(&misses, &other), Some(Mismatch::Component));
    }

    #[test]
    fn a_set_is_for_its_maker_and_its_time() {
        let (ours, theirs) = (maker("ours"), maker("theirs"));
        let (first, last) = (Some(UnixTime::from_secs(10)), Some(UnixTime::from_secs(20)));
        let set = ReferenceSet {
            name: "release".into(),
            maker: Some("ours".into()),
            not_before: first,
            not_after: last,
            known: vec![good(1)],
        };
        let values: ReferenceValues = vec![set].into();
        let of = |maker, now| Subject { maker, ..at(now) };
        for (subject, wrong) in [
            (of(Some(&ours), 10), None),
            (of(Some(&ours), 20), None),
            (of(Some(&ours), 9), Some(Mismatch::NotYet)),
            (of(Some(&ours), 21), Some(Mismatch::Ended)),
            (of(Some(&theirs), 15), Some(Mismatch::Maker)),
            (of(None, 15), Some(Mismatch::Maker)),
        ] {
            assert_eq!(values.find(&subject, &measured(1)).is_some(), wrong.is_none(), "{subject:?}");
            assert_eq!(values.near_miss(&subject, &measured(1)), wrong, "{subject:?}");
        }
    }

    #[test]
    fn a_value_is_for_its_model_its_device_and_its_version() {
        let known = KnownGood {
            model: Some("a".into()),
            instance: Some([5; 32]),
            implementation_id: Some([6; 32]),
            signer: Some(vec![7; 32]),
            ..good(1)
        };
        let measured = |n| Measured { signer: Some(vec![7; 32]), ..measured(n) };
        let values: ReferenceValues = vec![known].into();
        let subject = Subject {
            model: Some("a"),
            identity: Some(&[5; 32]),
            implementation_id: Some(&[6; 32]),
            ..at(0)
        };
        assert!(values.find(&subject, &measured(1)).is_some());
        let without = Measured { version: None, ..measured(1) };
        assert!(values.find(&subject, &without).is_some(), "evidence without a version");
        let newer = Measured { version: Some("2.0.0".into()), ..measured(1) };
        let elsewhere = Measured { component: "bootloader".into(), ..measured(1) };
        for (subject, measured, wrong) in [
            (Subject { model: Some("b"), ..subject }, measured(1), Mismatch::Model),
            (Subject { model: None, ..subject }, measured(1), Mismatch::Model),
            (Subject { identity: Some(&[6; 32]), ..subject }, measured(1), Mismatch::Device),
            (Subject { identity: None, ..subject }, measured(1), Mismatch::Device),
            (Subject { implementation_id: Some(&[5; 32]), ..subject }, measured(1), Mismatch::Implementation),
            (Subject { implementation_id: None, ..subject }, measured(1), Mismatch::Implementation),
            (subject, Measured { signer: Some(vec![6; 32]), ..measured(1) }, Mismatch::Signer),
            (subject, Measured { signer: None, ..measured(1) }, Mismatch::Signer),
            (subject, newer, Mismatch::Version),
            (subject, elsewhere, Mismatch::Component),
        ] {
            assert_eq!(values.find(&subject, &measured), None);
            assert_eq!(values.near_miss(&subject, &measured), Some(wrong));
        }
        assert_eq!(values.near_miss(&subject, &measured(2)), None);
    }

    proptest! {
        /// The index finds what looking at every value finds.
        #[test]
        fn the_index_finds_what_a_search_through_all_finds(
            known in proptest::collection::vec((0..3_u32, 0..3_u32, 0..3_u32, 0..3_u32), 0..12),
            wanted in (0..3_u32, 0..3_u32, 0..3_u32, 0..3_u32),
        ) {
            let name = |n: u32| (n > 0).then(|| n.to_string());
            let value = |&(model, component, version, n): &(u32, u32, u32, u32)| KnownGood {
                model: name(model),
                component: component.to_string(),
                version: name(version),
                digest: digest(n),
                ..KnownGood::default()
            };
            let list: Vec<_> = known.iter().map(value).collect();
            let asked = value(&wanted);
            let measured = Measured {
                component: asked.component.clone(),
                version: asked.version,
                digest: asked.digest,
                signer: None,
            };
            let subject = Subject { model: asked.model.as_deref(), ..at(0) };
            let fits = |known: &&KnownGood| {
                known.is_of(&measured) && known.mismatch(&subject, &measured).is_none()
            };
            let through_all = list.iter().any(|known| fits(&known));
            let values = ReferenceValues::from(list);
            let found = values.find(&subject, &measured);
            prop_assert_eq!(found.is_some(), through_all);
            prop_assert!(found.is_none_or(|known| fits(&known)));
        }
    }
}
