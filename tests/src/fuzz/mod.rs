//! The bodies of the fuzz targets: one for each decoder that sees foreign bytes.
//!
//! They are ordinary functions, so that ordinary tests replay the seeds and what a fuzzer found. A body panics
//! where a decoder panics, and where a property does not hold: what was read and written again reads the same.

mod attestation;
mod attestation_seeds;
mod certificates;
mod dice;
mod log;
mod messages;
mod mutate;
mod network;
mod pieces;
mod releases;
mod seeds;
mod texts;
mod tpm;

pub use mutate::Mutator;
pub use pieces::{join, split};
pub use seeds::seeds;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of the cargo-fuzz target and of the corpus folder.
    pub name: &'static str,
    /// Its body. Whether the decoder took the bytes: a seed corpus needs some that it takes.
    pub run: fn(&[u8]) -> bool,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "cbor_check", run: messages::cbor_check },
    Target { name: "challenge_request", run: messages::challenge_request },
    Target { name: "challenge", run: messages::challenge },
    Target { name: "enroll_request", run: messages::enroll_request },
    Target { name: "renew_request", run: messages::renew_request },
    Target { name: "answer", run: messages::answer },
    Target { name: "trust_bundle", run: messages::trust_bundle },
    Target { name: "trust_report", run: messages::trust_report },
    Target { name: "claims", run: messages::claims },
    Target { name: "cose_sign1", run: messages::cose_sign1 },
    Target { name: "cose_mac0", run: messages::cose_mac0 },
    Target { name: "key_text", run: messages::key_text },
    Target { name: "token_text", run: messages::token_text },
    Target { name: "csr", run: certificates::csr },
    Target { name: "idevid_chain", run: certificates::idevid_chain },
    Target { name: "maker_ca", run: certificates::maker_ca },
    Target { name: "evidence", run: certificates::evidence },
    Target { name: "psa_token", run: attestation::psa_token },
    Target { name: "csr_evidence", run: attestation::csr_evidence },
    Target { name: "est_body", run: network::est_body },
    Target { name: "est_basic", run: network::est_basic },
    Target { name: "log_checkpoint", run: log::checkpoint },
    Target { name: "log_leaf", run: log::leaf },
    Target { name: "log_bundle", run: log::bundle },
    Target { name: "log_proof", run: log::proof },
    Target { name: "signed_trust_bundle", run: certificates::signed_trust_bundle },
    Target { name: "device_x509_parse", run: certificates::device_x509_parse },
    Target { name: "device_x509_path", run: certificates::device_x509_path },
    Target { name: "pem", run: certificates::pem },
    Target { name: "doctor_file", run: certificates::doctor_file },
    Target { name: "ocsp_request", run: certificates::ocsp_request },
    Target { name: "dice_extensions", run: dice::extensions },
    Target { name: "dice_binding", run: dice::binding },
    Target { name: "dice_evidence", run: dice::evidence },
    Target { name: "maker_crl", run: dice::maker_crl },
    Target { name: "policy", run: texts::policy },
    Target { name: "profile", run: texts::profile },
    Target { name: "recorded_profile", run: texts::recorded_profile },
    Target { name: "reference_values", run: texts::reference_values },
    Target { name: "corim", run: releases::corim },
    Target { name: "release_list", run: releases::list },
    Target { name: "server_config", run: texts::server_config },
    Target { name: "agent_config", run: texts::agent_config },
    Target { name: "inventory", run: texts::inventory },
    Target { name: "command", run: texts::command },
    Target { name: "mqtt_packets", run: network::mqtt_packets },
    Target { name: "tpm_introduction", run: tpm::introduction },
    Target { name: "tpm_evidence", run: tpm::evidence },
    Target { name: "tpm_public", run: tpm::public },
    Target { name: "tpm_attest", run: tpm::attest },
    Target { name: "tpm_event_log", run: tpm::event_log },
    Target { name: "tpm_appraisal", run: tpm::appraise },
];

/// Runs the target with this name; for the cargo-fuzz targets.
///
/// # Panics
/// Where there is no such target, and where the target finds something.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("no such target");
    (target.run)(data);
}
