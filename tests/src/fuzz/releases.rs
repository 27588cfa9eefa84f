//! What makers hand over: manifests and release lists with reference values.

use appraisal::ReferenceValues;
use appraisal::policy::ReferenceSet;
use reference_values::{Format, Manifest, ReleaseError};

/// A CoRIM, signed or not.
pub(super) fn corim(data: &[u8]) -> bool {
    // Text is a release list's.
    taken(data).is_some_and(|manifest| manifest.format == Format::Corim)
}

/// A release list, in CSV or JSON.
pub(super) fn list(data: &[u8]) -> bool {
    taken(data).is_some_and(|manifest| manifest.format != Format::Corim)
}

/// What is read can be looked up, and mistakes are told in words and with a place.
fn taken(data: &[u8]) -> Option<Manifest> {
    match reference_values::read_unverified(data) {
        Ok(manifest) => {
            for set in &manifest.sets {
                for known in &set.known {
                    assert!(matches!(known.digest.len(), 32 | 48 | 64) && !known.component.is_empty());
                }
            }
            let sets = manifest
                .sets
                .iter()
                .map(|set| ReferenceSet { known: set.known.clone(), ..ReferenceSet::default() });
            let values: ReferenceValues = sets.collect::<Vec<_>>().into();
            assert_eq!(values.len(), manifest.len());
            Some(manifest)
        }
        Err(ReleaseError::List(error)) => {
            assert!(error.problems.iter().all(|problem| problem.line > 0 && problem.column > 0));
            None
        }
        Err(error) => {
            assert!(core::error::Error::source(&error).is_some_and(|source| source.to_string().len() > 10));
            None
        }
    }
}
