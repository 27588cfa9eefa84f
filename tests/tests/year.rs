//! A fleet that lives through months of virtual time, and the defects that this is there to find.
//!
//! The full form is `firmware-sim year`: 200 devices, 365 days. See docs/simulation.md.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use core::time::Duration;
use std::process::Command;

use firmware_sim::year::{Plant, Progress, Report, YearOptions, run as live};
use serde_json::Value as Json;
use tests::harness::{binary, run};

#[test]
fn a_fleet_loses_nobody() {
    let sizes = ["--devices", "12", "--days", "100", "--certificate-days", "30", "--telemetry", "336"];
    let finished =
        run(Command::new(binary("firmware-sim")).args(["year", "--seed", "5", "--json"]).args(sizes));
    let last = finished.stdout.lines().last().unwrap_or_default();
    let report: Json = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    assert!(finished.status.success(), "{finished:?}");
    let count = |field: &str| report[field].as_u64().unwrap_or_else(|| panic!("{field}: {report}"));
    assert_eq!((count("enrollments"), count("revoked")), (12, 1), "{report}");
    // It was really a matter of months, and all of it happened.
    assert!(report["simulated_days"].as_f64().unwrap() >= 100.0, "{report}");
    assert!(count("renewals") >= 30, "{report}");
    assert_eq!(count("reenrollments"), 1, "the one that was away beyond the grace: {report}");
    for field in ["server_outages", "broker_outages", "power_cuts", "refused_by_broker", "refused_by_server"]
    {
        assert!(count(field) > 0, "{field}: {report}");
    }
    assert!(count("longest_gap_seconds") <= 660, "{report}");
    assert_eq!(count("certificates_logged"), count("certificates"), "{report}");
    // The CA was replaced: not before all that live trusted the new one, and had certificates of it.
    assert_eq!(count("moved"), 11, "{report}");
    for field in ["switch_refused", "retirement_refused"] {
        assert!(count(field) > 0, "{field}: {report}");
    }
    // An operator wanted renewals: of single devices before the server had its place at the broker, of all after it.
    assert!(count("renewals_told_by_broker") >= 8, "{report}");
    assert!(count("renewals_told_otherwise") > 0, "{report}");
    for field in ["lost", "violations"] {
        assert_eq!(report[field].as_array().map(Vec::len), Some(0), "{field}: {report}");
    }
}

/// One at a time: a fleet wants the machine for itself.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A short life with a defect in it.
async fn with(plant: Plant, days: u64) -> Report {
    let _alone = ALONE.lock().await;
    let options = YearOptions {
        devices: 5,
        days,
        certificate_days: 12,
        telemetry_hours: 1000,
        plant: Some(plant),
        patience: Duration::from_secs(120),
        ..YearOptions::new(3)
    };
    let report = Box::pin(live(&options, &Progress::default())).await.unwrap();
    assert!(!report.is_good(), "{plant:?} was not found: {report:?}");
    report
}

fn found(report: &Report, text: &str) -> bool {
    report.violations.iter().chain(&report.lost).any(|found| found.contains(text))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_erased_too_early_is_found() {
    let report = with(Plant::ErasesKeyEarly, 30).await;
    assert!(found(&report, "enrolled again, and had a certificate"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_list_that_never_reaches_the_broker_is_found() {
    // No longer than the list lives that the broker has at the beginning.
    let report = with(Plant::ForgetsCrl, 10).await;
    assert!(found(&report, "the broker knows nothing of it"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_take_no_trust_bundle_hold_the_rollover_up_and_are_named() {
    let report = with(Plant::IgnoresTrustBundles, 30).await;
    assert!(found(&report, "the rollover of the CA has not ended; in its way are: SN-"), "{report:?}");
    assert!(report.switch_refused > 5 && report.moved == 0, "it was never forced: {report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retirement_that_is_forced_while_devices_need_the_ca_is_found() {
    let report = with(Plant::ForcesRetirement, 30).await;
    assert!(found(&report, "enrolled again: its CA was retired on day"), "{report:?}");
    assert!(found(&report, "and a step of the rollover was taken"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_that_an_operator_wanted_and_nobody_made_are_found() {
    let report = with(Plant::ForgetsWantedRenewals, 30).await;
    assert!(found(&report, "as an operator wanted on day"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_ignore_the_renewal_window_are_found() {
    let report = with(Plant::IgnoresRenewalWindow, 30).await;
    assert!(found(&report, "beyond the time to renew"), "{report:?}");
}
