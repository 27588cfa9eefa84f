//! Profiles that were bound before: most devices of a group and model get the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ca::{BindError, Bound, Facts, Profile};

/// Most that are kept. Models come from evidence too, so that their number is not the operator's.
const MOST: usize = 1_024;

/// What a profile was bound for: its name, the group, label and model, and the server's tenant and enterprise number.
type Key = (String, String, Option<String>, Option<String>, String, u32);

/// Bound profiles of one set of profiles. It says nothing that the set does not say: a copy begins empty, and any two are
/// equal.
#[derive(Debug, Default)]
pub(super) struct BoundBefore(Mutex<HashMap<Key, Arc<Bound>>>);

impl BoundBefore {
    /// `profile` bound to `facts`.
    pub(super) fn bind(
        &self,
        name: &str,
        profile: &Profile,
        facts: &Facts<'_>,
    ) -> Result<Arc<Bound>, BindError> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let Facts { tenant, enterprise, group, label, model } = *facts;
        let key =
            (name.to_owned(), group.to_owned(), owned(label), owned(model), tenant.to_owned(), enterprise);
        if let Some(bound) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(bound));
        }
        let bound = Arc::new(profile.bind(name, facts)?);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= MOST {
            held.clear();
        }
        held.insert(key, Arc::clone(&bound));
        Ok(bound)
    }
}

impl Clone for BoundBefore {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for BoundBefore {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for BoundBefore {}

#[cfg(test)]
mod tests {
    use super::{BoundBefore, MOST};
    use ca::{Facts, Profile};
    use std::sync::Arc;

    #[test]
    fn the_same_is_bound_once_and_another_by_itself() {
        let (before, profile) = (BoundBefore::default(), Profile::default());
        let facts = Facts { tenant: "acme", enterprise: 1, group: "lab", label: None, model: Some("m") };
        let first = before.bind("default", &profile, &facts).unwrap();
        assert!(Arc::ptr_eq(&first, &before.bind("default", &profile, &facts).unwrap()));
        assert_eq!(*first, profile.bind("default", &facts).unwrap());
        let others = [
            ("other", facts),
            ("default", Facts { tenant: "other", ..facts }),
            ("default", Facts { enterprise: 2, ..facts }),
            ("default", Facts { group: "field", ..facts }),
            ("default", Facts { label: Some("m"), model: None, ..facts }),
        ];
        for (name, facts) in others {
            let other = before.bind(name, &profile, &facts).unwrap();
            assert!(!Arc::ptr_eq(&first, &other));
            assert_eq!(*other, profile.bind(name, &facts).unwrap());
        }
    }

    #[test]
    fn what_devices_name_does_not_fill_the_memory() {
        let (before, profile) = (BoundBefore::default(), Profile::default());
        for number in 0..2 * MOST + 7 {
            let model = number.to_string();
            let facts = Facts { group: "lab", model: Some(&model), ..Facts::default() };
            before.bind("default", &profile, &facts).unwrap();
            assert!(before.0.lock().unwrap().len() <= MOST);
        }
    }
}
