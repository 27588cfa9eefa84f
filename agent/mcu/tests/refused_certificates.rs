//! Servers whose certificate must be refused, each with the reason that an operator will read, over a real TLS
//! handshake. The rules themselves are tested in the core, certificate by certificate.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::large_futures, reason = "a host has stack enough")]

mod support;

use agent_core::platform::{Request, TransportError};
use agent_core::x509::{PathError, Validity};
use rcgen::{BasicConstraints, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use shared::UnixTime;
use support::device::{Address, Device};
use support::pki::{Authority, Identity, device_params, server_params};
use support::server::{Server, http};
use support::settled;
use tokio::join;

const HOST: &str = "enroll.plant.example";
const REQUEST: Request<'_> = Request { path: "/v1/enroll", body: Some(b"a secret of the device") };

/// What a device with `validity` says to a server that shows `identity`.
async fn call(root: &Authority, identity: &Identity, validity: Validity) -> Result<Vec<u8>, TransportError> {
    let device = Device { validity, ..Device::default() };
    let server = Server::start(identity, 4096).await;
    let to = Address { host: HOST, port: server.port, anchor: &root.der };
    let answer = http(200, b"welcome");
    let (result, heard) =
        settled(async { join!(device.exchange(to, None, REQUEST, 1024), server.answer(&answer)) }).await;
    assert_eq!(result.is_ok(), heard.is_ok(), "a refused server must not hear the request");
    result.map(|(_, body)| body)
}

/// The reason for which a device refuses a server that shows `identity`.
async fn refusal(root: &Authority, identity: &Identity) -> PathError {
    match call(root, identity, Device::default().validity).await {
        Err(TransportError::Certificate(reason)) => reason,
        other => panic!("{other:?} in place of a refused certificate"),
    }
}

#[tokio::test]
async fn a_good_certificate_is_accepted() {
    let root = Authority::root("root");
    let good = root.server(HOST);
    assert_eq!(call(&root, &good, Device::default().validity).await.as_deref(), Ok(&b"welcome"[..]));
}

#[tokio::test]
async fn a_certificate_signed_with_the_key_of_another_device_is_refused() {
    let root = Authority::root("root");
    let mut params = device_params("device-2");
    // With basicConstraints and a subject key identifier, as RFC 5280 wants them of a CA.
    params.is_ca = IsCa::ExplicitNoCa;
    let forged = root.issue(params.clone()).sign_as_ca(server_params(HOST));
    assert_eq!(refusal(&root, &forged).await, PathError::NotCa);
    // The root sent along, as a way around the device's certificate.
    let mut longer = root.issue(params).sign_as_ca(server_params(HOST));
    longer.chain.push(root.der.clone());
    assert_eq!(refusal(&root, &longer).await, PathError::NotCa);
    let forged = root.device("device-2").sign_as_ca(server_params(HOST));
    assert_eq!(refusal(&root, &forged).await, PathError::SubjectKeyId);
}

#[tokio::test]
async fn the_identity_of_a_device_does_not_make_a_server() {
    let root = Authority::root("root");
    assert_eq!(refusal(&root, &root.device(HOST)).await, PathError::ExtKeyUsage);
    // Even if some CA put a host name into it.
    let mut params = device_params(HOST);
    params.subject_alt_names = server_params(HOST).subject_alt_names;
    assert_eq!(refusal(&root, &root.issue(params)).await, PathError::ExtKeyUsage);
}

#[tokio::test]
async fn dates_are_held_against_the_time_or_its_floor() {
    let root = Authority::root("root");
    let mut params = server_params(HOST);
    params.not_before = rcgen::date_time_ymd(2026, 3, 1);
    params.not_after = rcgen::date_time_ymd(2026, 6, 1);
    let identity = root.issue(params);
    // 2026-02-01, 2026-04-01, 2026-07-01.
    let times = [1_769_904_000, 1_775_001_600, 1_782_864_000].map(UnixTime::from_secs);
    let outcomes = [
        (Validity::At(times[0]), Err(PathError::NotYetValid)),
        (Validity::At(times[1]), Ok(())),
        (Validity::At(times[2]), Err(PathError::Expired)),
        // A device without a clock knows only that it is not earlier than this.
        (Validity::NotEndedBy(times[0]), Ok(())),
        (Validity::NotEndedBy(times[2]), Err(PathError::Expired)),
    ];
    for (validity, expected) in outcomes {
        let result = call(&root, &identity, validity).await.map(drop);
        assert_eq!(result, expected.map_err(TransportError::Certificate), "{validity:?}");
    }
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let root = Authority::root("root");
    assert_eq!(refusal(&root, &root.server("other.example")).await, PathError::NameMismatch);
    assert_eq!(refusal(&root, &root.server("127.0.0.1")).await, PathError::NameMismatch);
    assert_eq!(refusal(&root, &root.server("*.plant.example")).await, PathError::WildcardName);
    let mut two_names = server_params(HOST);
    two_names.distinguished_name = server_params("other.example").distinguished_name;
    assert_eq!(refusal(&root, &root.issue(two_names)).await, PathError::CommonName);
    let mut nameless = server_params(HOST);
    nameless.subject_alt_names.clear();
    assert_eq!(refusal(&root, &root.issue(nameless)).await, PathError::NoAltName);
}

#[tokio::test]
async fn a_certificate_for_another_use_is_refused() {
    let root = Authority::root("root");
    let with = |usages: Vec<KeyUsagePurpose>, purposes: Vec<ExtendedKeyUsagePurpose>| {
        let mut params = server_params(HOST);
        params.key_usages = usages;
        params.extended_key_usages = purposes;
        root.issue(params)
    };
    let (sign, server) = (KeyUsagePurpose::DigitalSignature, ExtendedKeyUsagePurpose::ServerAuth);
    let cases = [
        (with(vec![KeyUsagePurpose::KeyAgreement], vec![server.clone()]), PathError::KeyUsage),
        (with(vec![sign], vec![ExtendedKeyUsagePurpose::ClientAuth]), PathError::ExtKeyUsage),
        (with(vec![sign], vec![]), PathError::ExtKeyUsage),
        (with(vec![sign], vec![server, ExtendedKeyUsagePurpose::Any]), PathError::ExtKeyUsage),
    ];
    for (identity, expected) in &cases {
        assert_eq!(refusal(&root, identity).await, *expected);
    }
    let mut ca = server_params(HOST);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![sign];
    assert_eq!(refusal(&root, &root.issue(ca)).await, PathError::CaAsServer);
}

#[tokio::test]
async fn a_critical_extension_that_is_not_understood_is_refused() {
    let root = Authority::root("root");
    for (critical, expected) in [(true, Err(PathError::UnknownCritical)), (false, Ok(b"welcome".to_vec()))] {
        let mut params = server_params(HOST);
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
        extension.set_criticality(critical);
        params.custom_extensions.push(extension);
        let result = call(&root, &root.issue(params), Device::default().validity).await;
        assert_eq!(result, expected.map_err(TransportError::Certificate));
    }
}

#[tokio::test]
async fn another_ca_is_refused_even_if_it_has_the_same_name() {
    let root = Authority::root("root");
    let stranger = Authority::root("another root");
    assert_eq!(refusal(&root, &stranger.server(HOST)).await, PathError::UnknownIssuer);
    // With the stranger's own root sent along.
    let mut with_root = stranger.server(HOST);
    with_root.chain.push(stranger.der.clone());
    assert_eq!(refusal(&root, &with_root).await, PathError::UnknownIssuer);
    let namesake = Authority::root("root");
    let reason = refusal(&root, &namesake.server(HOST)).await;
    assert!(matches!(reason, PathError::KeyIdMismatch | PathError::BadSignature), "{reason:?}");
}

#[tokio::test]
async fn a_chain_of_too_many_certificates_is_refused() {
    let root = Authority::root("root");
    let mut long = root.server(HOST);
    while long.chain.len() < 5 {
        long.chain.push(root.der.clone());
    }
    assert_eq!(refusal(&root, &long).await, PathError::ChainLength);
}
