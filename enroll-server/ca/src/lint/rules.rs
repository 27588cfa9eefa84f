//! The rules: each has a stable name, the section that demands it, and a check of one certificate.

mod alt_names;
mod extensions;
mod fields;
mod pointers;
mod subject;
mod usages;

use super::view::View;

/// One rule.
pub(super) struct Rule {
    /// Stable: it stands in logs and scripts.
    pub(super) name: &'static str,
    /// What demands it.
    pub(super) section: &'static str,
    /// Says what is wrong.
    pub(super) check: fn(&View<'_>) -> Result<(), String>,
}

/// All rules, in the order of a certificate's fields.
pub(super) fn all() -> impl Iterator<Item = &'static Rule> {
    [fields::RULES, subject::RULES, extensions::RULES, usages::RULES, alt_names::RULES, pointers::RULES]
        .into_iter()
        .flatten()
}

/// Short for a check's result.
fn unless(wrong: bool, found: impl FnOnce() -> String) -> Result<(), String> {
    if wrong { Err(found()) } else { Ok(()) }
}
