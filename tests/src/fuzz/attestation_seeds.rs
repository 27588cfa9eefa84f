//! Seeds for evidence as others define it, made without randomness so that they can be made again.

use firmware_sim::psa::{Component, RootOfTrust};
use p256::ecdsa::SigningKey;
use shared::message::latest::EvidenceKind;

/// The seeds of this target, if it is one of these.
pub(super) fn seeds(target: &str) -> Option<Vec<(String, Vec<u8>)>> {
    match target {
        "psa_token" => Some(vec![
            ("simulated".into(), token(3)),
            ("one-component".into(), token(1)),
            ("cut".into(), token(1).split_off(1)),
        ]),
        "csr_evidence" => {
            let kind = EvidenceKind::PsaToken;
            let plain = statement(&appraisal::csr::statement_type(kind), &token(1));
            // CMW [263, h'', 4] under id-pe-cmw.
            let wrapped =
                statement(&[0x2b, 6, 1, 5, 5, 7, 1, 35], &[0x83, 0x19, 0x01, 0x07, 0x41, 0x00, 0x04]);
            Some(vec![
                ("plain".into(), csr(&plain)),
                ("wrapped".into(), csr(&wrapped)),
                ("none".into(), csr(&[])),
            ])
        }
        _ => None,
    }
}

/// A token of a simulated root of trust with so many components.
fn token(components: usize) -> Vec<u8> {
    let key = SigningKey::from_slice(&[7; 32]).expect("a number below the order of P-256");
    let component = |kind: &str| Component { kind: kind.into(), version: "1.2.0".into(), digest: [0xa9; 32] };
    let components = ["BL", "PRoT", "App"].into_iter().take(components).map(component).collect();
    // ECDSA in pure Rust is deterministic (RFC 6979).
    RootOfTrust::new(key, "model", components).sign(&[0x5a; 64]).expect("a short token")
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let head = match u16::try_from(content.len()).expect("short content").to_be_bytes() {
        [0, low @ 0..=0x7f] => vec![tag, low],
        [0, low] => vec![tag, 0x81, low],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head, content].concat()
}

fn statement(kind: &[u8], body: &[u8]) -> Vec<u8> {
    element(0x30, &[&element(6, &[kind]), &element(4, &[body])])
}

/// The shape of a CSR with this statement in its attribute, or without the attribute; subject, key and signature are
/// empty.
fn csr(statement: &[u8]) -> Vec<u8> {
    let id = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x02, 0x3b];
    let bundle = element(0x30, &[&element(0x30, &[statement])]);
    let attribute = element(0x30, &[&element(6, &[&id]), &element(0x31, &[&bundle])]);
    let attributes = if statement.is_empty() { Vec::new() } else { attribute };
    let empty = element(0x30, &[]);
    let info = element(0x30, &[&[2, 1, 0], &empty, &empty, &element(0xa0, &[&attributes])]);
    element(0x30, &[&info, &empty, &element(3, &[&[0]])])
}
