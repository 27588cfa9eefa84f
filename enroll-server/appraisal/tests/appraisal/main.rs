//! The appraisal as a whole: what gets in, what is refused and why.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod case;
mod chain;
mod claim;
mod csr_evidence;
mod dice;
mod evidence;
mod hardware_module;
mod hostile_der;
mod intermediate_name;
mod maker_crl;
mod makers;
mod odd_anchor;
mod policy;
mod policy_set;
mod psa;
mod reference;
mod renewal;
mod support;
mod symmetric;
mod token;
mod tpm;
