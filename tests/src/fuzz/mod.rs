//! The bodies of the fuzz targets: one for each decoder that sees foreign bytes.
//!
//! They are ordinary functions, so that ordinary tests replay the seeds and what a fuzzer found. A body panics
//! where a decoder panics, and where a property does not hold: what was read and written again reads the same.

use std::sync::LazyLock;

mod attestation;
mod attestation_seeds;
mod boards;
mod certificates;
mod dice;
mod emqx;
mod flash;
mod hostile;
mod keys;
mod log;
mod messages;
mod mutate;
mod network;
mod oracle;
mod peers;
mod pieces;
mod plants;
mod records;
mod releases;
mod seeds;
mod structure;
mod texts;
mod tls_pki;
mod tls_session;
mod tpm;
mod tpm_answers;

pub use mutate::Mutator;
pub use pieces::{join, split};
pub use plants::{PLANTS, Planted};
pub use seeds::seeds;

/// What a target's inputs are, which says how long it is fuzzed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// DER, alone or in pieces.
    Der,
    /// CBOR and COSE.
    Cbor,
    /// Something else: text, TPM structures, MQTT.
    Other,
}

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of the cargo-fuzz target and of the corpus folder.
    pub name: &'static str,
    /// What it reads.
    pub format: Format,
    /// Its body. Whether the decoder took the bytes: a seed corpus needs some that it takes.
    pub run: fn(&[u8]) -> bool,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "cbor_check", format: Format::Cbor, run: messages::cbor_check },
    Target { name: "challenge_request", format: Format::Cbor, run: messages::challenge_request },
    Target { name: "challenge", format: Format::Cbor, run: messages::challenge },
    Target { name: "enroll_request", format: Format::Cbor, run: messages::enroll_request },
    Target { name: "renew_request", format: Format::Cbor, run: messages::renew_request },
    Target { name: "answer", format: Format::Cbor, run: messages::answer },
    Target { name: "trust_bundle", format: Format::Cbor, run: messages::trust_bundle },
    Target { name: "trust_report", format: Format::Cbor, run: messages::trust_report },
    Target { name: "claims", format: Format::Cbor, run: messages::claims },
    Target { name: "cose_sign1", format: Format::Cbor, run: messages::cose_sign1 },
    Target { name: "cose_mac0", format: Format::Cbor, run: messages::cose_mac0 },
    Target { name: "key_text", format: Format::Other, run: messages::key_text },
    Target { name: "token_text", format: Format::Other, run: messages::token_text },
    Target { name: "csr", format: Format::Der, run: certificates::csr },
    Target { name: "idevid_chain", format: Format::Der, run: certificates::idevid_chain },
    Target { name: "maker_ca", format: Format::Der, run: certificates::maker_ca },
    Target { name: "evidence", format: Format::Der, run: certificates::evidence },
    Target { name: "psa_token", format: Format::Cbor, run: attestation::psa_token },
    Target { name: "csr_evidence", format: Format::Der, run: attestation::csr_evidence },
    Target { name: "est_body", format: Format::Other, run: network::est_body },
    Target { name: "est_basic", format: Format::Other, run: network::est_basic },
    Target { name: "log_checkpoint", format: Format::Other, run: log::checkpoint },
    Target { name: "log_leaf", format: Format::Cbor, run: log::leaf },
    Target { name: "log_bundle", format: Format::Other, run: log::bundle },
    Target { name: "log_proof", format: Format::Other, run: log::proof },
    Target { name: "signed_trust_bundle", format: Format::Cbor, run: certificates::signed_trust_bundle },
    Target { name: "device_x509_parse", format: Format::Der, run: certificates::device_x509_parse },
    Target { name: "device_x509_path", format: Format::Der, run: certificates::device_x509_path },
    Target { name: "pem", format: Format::Other, run: certificates::pem },
    Target { name: "doctor_file", format: Format::Other, run: certificates::doctor_file },
    Target { name: "ocsp_request", format: Format::Der, run: certificates::ocsp_request },
    Target { name: "dice_extensions", format: Format::Der, run: dice::extensions },
    Target { name: "dice_binding", format: Format::Cbor, run: dice::binding },
    Target { name: "dice_evidence", format: Format::Der, run: dice::evidence },
    Target { name: "maker_crl", format: Format::Der, run: dice::maker_crl },
    Target { name: "policy", format: Format::Other, run: texts::policy },
    Target { name: "profile", format: Format::Other, run: texts::profile },
    Target { name: "recorded_profile", format: Format::Other, run: texts::recorded_profile },
    Target { name: "reference_values", format: Format::Other, run: texts::reference_values },
    Target { name: "corim", format: Format::Cbor, run: releases::corim },
    Target { name: "release_list", format: Format::Other, run: releases::list },
    Target { name: "server_config", format: Format::Other, run: texts::server_config },
    Target { name: "agent_config", format: Format::Other, run: texts::agent_config },
    Target { name: "inventory", format: Format::Other, run: texts::inventory },
    Target { name: "command", format: Format::Other, run: texts::command },
    Target { name: "mqtt_packets", format: Format::Other, run: network::mqtt_packets },
    Target { name: "tpm_introduction", format: Format::Cbor, run: tpm::introduction },
    Target { name: "tpm_evidence", format: Format::Cbor, run: tpm::evidence },
    Target { name: "tpm_public", format: Format::Other, run: tpm::public },
    Target { name: "tpm_attest", format: Format::Other, run: tpm::attest },
    Target { name: "tpm_event_log", format: Format::Other, run: tpm::event_log },
    Target { name: "tpm_appraisal", format: Format::Other, run: tpm::appraise },
    Target { name: "tpm_answers", format: Format::Other, run: tpm_answers::answers },
    Target { name: "operator_key", format: Format::Der, run: keys::operator_key },
    Target { name: "rabbitmq_form", format: Format::Other, run: peers::rabbitmq_form },
    Target { name: "emqx_login", format: Format::Other, run: emqx::login },
    Target { name: "emqx_wish", format: Format::Other, run: emqx::wish },
    Target { name: "client_certificate", format: Format::Der, run: peers::client_certificate },
    Target { name: "board_http", format: Format::Other, run: boards::http },
    Target { name: "board_tls_records", format: Format::Other, run: boards::tls_records },
    Target { name: "board_tls_content", format: Format::Other, run: boards::tls_content },
    Target { name: "board_tls_handshake", format: Format::Other, run: boards::tls_handshake },
    Target { name: "board_tls_session", format: Format::Other, run: tls_session::tls_session },
    Target { name: "board_records", format: Format::Other, run: flash::records },
    Target { name: "board_settings", format: Format::Other, run: flash::settings },
    Target { name: "board_keys", format: Format::Other, run: flash::keys },
    Target { name: "device_records", format: Format::Other, run: records::device_records },
];

/// The target with this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Names a [planted bug](PLANTS) for [`run`] to run its target with.
pub const PLANT_VARIABLE: &str = "FUZZ_PLANT";

/// Runs the target with this name; for the libFuzzer targets.
///
/// # Panics
/// Where there is no such target or plant, and where the target finds something.
pub fn run(name: &str, data: &[u8]) {
    static PLANT: LazyLock<Option<&Planted>> = LazyLock::new(|| {
        let name = std::env::var(PLANT_VARIABLE).ok()?;
        Some(Planted::named(&name).expect("no such plant"))
    });
    match *PLANT {
        Some(planted) => {
            assert_eq!(planted.target, name, "the plant is for another target");
            let _taken = planted.run(data);
        }
        None => {
            let target = target(name).expect("no such target");
            let _taken = (target.run)(data);
        }
    }
}

/// Changes the first `size` bytes of `data` by their structure, for libFuzzer; gives the new size. Leaves it to
/// libFuzzer every second time, and where there is no structure or the result has no room.
pub fn mutate(data: &mut [u8], size: usize, seed: u32) -> Option<usize> {
    let mut random = Mutator::new(u64::from(seed) << 20 | 0x5eed);
    let input = data.get(..size)?;
    if seed.count_ones().is_multiple_of(2) {
        return None;
    }
    let changed = random.structure(input, &[])?;
    data.get_mut(..changed.len())?.copy_from_slice(&changed);
    Some(changed.len())
}
