//! Policies of groups on a running server: they change without a restart, are tried before they bite, and decide
//! about their own devices only.

use core::time::Duration;
use std::fs;
use std::path::PathBuf;

use enroll_server::admin::Admin;
use enroll_server::store::{Appraisal, AppraisalFilter, Ruled};
use shared::message::latest::{ChallengeRequest, EvidenceKind};
use shared::{DeviceId, Reject, endpoint};

use crate::kit::client::{Reply, http};
use crate::kit::device::{Device, Operational, reference_values};
use crate::kit::{Site, assert_refused, issued, until};

fn policy_of(site: &Site, group: &str) -> PathBuf {
    let files = &site.config.files;
    if group == "default" { files.policy.clone() } else { files.policy_groups.join(format!("{group}.toml")) }
}

fn write(site: &Site, group: &str, text: &str) {
    let text = if group == "default" { format!("{text}{}", reference_values()) } else { text.to_owned() };
    fs::write(policy_of(site, group), text).unwrap();
}

fn write_candidate(site: &Site, text: &str) {
    let path = enroll_server::policies::candidate_of(&policy_of(site, "default"));
    fs::write(path, format!("{text}{}", reference_values())).unwrap();
}

/// A device of the maker in a group.
async fn device_in(site: &Site, id: &str, group: &str) -> Device {
    let device = site.device(id).await;
    let group = group.parse().unwrap();
    site.admin().act_on(&device.id, enroll_server::store::Action::Transfer(group)).await.unwrap();
    device
}

/// Waits until the server has reported something about its policies that `wanted` likes.
async fn reported(site: &Site, what: &str, wanted: impl Fn(&str) -> bool) {
    until(what, async || site.admin().note("policies").await.unwrap().is_some_and(|text| wanted(&text)))
        .await;
}

/// Waits until what is on disk is in force.
async fn in_force(site: &Site) {
    let files = enroll_server::policies::PolicyFiles::of(&site.config.files);
    let wanted = enroll_server::policies::Report::new(&files.read().unwrap(), site.admin().now(), None);
    reported(site, "the policies to be taken over", |text| {
        serde_json::from_str::<enroll_server::policies::Report>(text).unwrap().groups == wanted.groups
    })
    .await;
}

async fn records(admin: &Admin, device: &DeviceId) -> Vec<Appraisal> {
    let device = Some(device.clone());
    let filter = AppraisalFilter { device, limit: 100, ..AppraisalFilter::default() };
    admin.appraisals(filter).await.unwrap()
}

/// The newest record of a device, when there are `count`.
async fn record(site: &Site, device: &DeviceId, count: usize) -> Appraisal {
    until("the record", async || records(site.admin(), device).await.len() == count).await;
    records(site.admin(), device).await.remove(0)
}

fn days(reply: &Reply) -> u64 {
    let answer = reply.answer();
    let identity =
        enroll_server::issuance::ClientIdentity::from_der(issued(&answer).chain.as_slice()[0]).unwrap();
    identity.not_after().since(answer.server_time).as_secs().div_ceil(86_400)
}

#[tokio::test]
async fn each_group_has_its_own_policy_and_a_group_without_one_gets_nothing() {
    let site = Site::with(|config| {
        fs::write(
            config.files.policy_groups.join("short.toml"),
            "[certificate]\ndays = 3\n[broker]\nhost = \"short.example\"\nport = 7\n",
        )
        .unwrap();
        fs::write(
            config.files.policy_groups.join("tokens.toml"),
            "[evidence]\nkinds = [\"one-time-token\"]\n",
        )
        .unwrap();
    })
    .await;
    let ordinary = site.device("SN-1").await;
    let short = device_in(&site, "SN-2", "short").await;
    let tokens = device_in(&site, "SN-3", "tokens").await;
    let nobody = device_in(&site, "SN-4", "nobody").await;
    let (reply, _) = site.try_enroll(&ordinary).await;
    assert_eq!((days(&reply), issued(&reply.answer()).broker.host), (90, "broker.example"));
    let (reply, _) = site.try_enroll(&short).await;
    let answer = reply.answer();
    let broker = &issued(&answer).broker;
    assert_eq!((days(&reply), broker.host, broker.port), (3, "short.example", 7));
    assert_eq!(
        broker.telemetry_topic, "devices/SN-2/telemetry",
        "what the group does not say is the server's"
    );

    // The challenge asks for what the group accepts.
    let ask = async |device: &Device, kind| {
        let kinds = [kind].into_iter().collect();
        let asked = ChallengeRequest { device: device.id.clone(), kinds, introduction: None };
        let mut body = vec![0; 256];
        let length = asked.encode(&mut body).unwrap();
        site.tls().post(endpoint::CHALLENGE, &body[..length]).await
    };
    assert_refused(&ask(&tokens, EvidenceKind::IdevidEat).await, Reject::NoAcceptedEvidenceKind);
    assert_eq!(ask(&tokens, EvidenceKind::OneTimeToken).await.status, 200);
    assert_eq!(ask(&ordinary, EvidenceKind::OneTimeToken).await.status, 200);
    let refused = record(&site, &tokens.id, 1).await;
    assert_eq!((refused.asked.name(), refused.rule.as_deref()), ("challenge", Some("evidence-kind")));

    assert_refused(&ask(&nobody, EvidenceKind::IdevidEat).await, Reject::GroupWithoutPolicy);
    let body = nobody.enroll(site.nonce(&ordinary.id).await, &Operational::new().csr);
    assert_refused(&site.tls().post(endpoint::ENROLL, &body).await, Reject::UnknownNonce);
    write(&site, "nobody", "");
    in_force(&site).await;
    assert_eq!(site.try_enroll(&nobody).await.0.status, 200, "an empty file is a policy");
}

#[tokio::test]
async fn a_changed_policy_is_in_force_without_a_restart_and_a_broken_one_is_not() {
    let mut site = Site::new().await;
    reported(&site, "a report", |_| true).await;
    write(&site, "default", "[certificate]\ndays = 5\n");
    in_force(&site).await;
    let first = site.device("SN-1").await;
    assert_eq!(days(&site.try_enroll(&first).await.0), 5);

    write(&site, "default", "[certificate]\ndays = 500\n");
    reported(&site, "the mistake", |text| text.contains("certificate.days: found 500")).await;
    let second = site.device("SN-2").await;
    assert_eq!(days(&site.try_enroll(&second).await.0), 5, "what was in force stays in force");
    let page = http(site.http(), "/metrics").await.text();
    assert!(page.contains("\nenroll_policy_broken 1\n"), "{page}");
    assert!(page.contains("enroll_policy_changes_total{outcome=\"broken\"} 1\n"), "{page}");

    write(&site, "default", "[certificate]\ndays = 6\n");
    in_force(&site).await;
    let third = site.device("SN-3").await;
    assert_eq!(days(&site.try_enroll(&third).await.0), 6);
    assert!(http(site.http(), "/metrics").await.text().contains("\nenroll_policy_broken 0\n"));
    let kinds: Vec<String> = site.admin().events(100).await.unwrap().into_iter().map(|e| e.kind).collect();
    let of = |kind: &str| kinds.iter().filter(|found| *found == kind).count();
    assert_eq!((of("policy-reloaded"), of("policy-broken")), (2, 1));

    // A start with a mistake is none, and says which.
    site.stop().await;
    write(&site, "default", "[certificate]\ndays = 0\n");
    let clock = std::sync::Arc::new(site.clock.clone());
    let error = enroll_server::startup::Server::start(site.config.clone(), clock).await.unwrap_err();
    assert!(error.to_string().contains("certificate.days: found 0"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_under_way_is_judged_by_the_policy_it_began_with() {
    let site = Site::new().await;
    let device = site.device("SN-1").await;
    let body = device.enroll(site.nonce(&device.id).await, &Operational::new().csr);
    let tls = site.tls();
    // The store is held, so that the request is between its appraisal and its record.
    let holder = rusqlite::Connection::open(&site.config.files.store).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let request = tokio::spawn(async move { tls.post(endpoint::ENROLL, &body).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    write(&site, "default", "[certificate]\ndays = 2\n");
    site.server().reload_policies();
    tokio::time::sleep(Duration::from_millis(300)).await;
    holder.execute_batch("ROLLBACK").unwrap();
    assert_eq!(days(&request.await.unwrap()), 90);
    in_force(&site).await;
    let other = site.device("SN-2").await;
    assert_eq!(days(&site.try_enroll(&other).await.0), 2);
    let (first, second) = (record(&site, &device.id, 1).await, record(&site, &other.id, 1).await);
    assert_ne!(first.policy, second.policy, "each record names the policy that decided");
}

#[tokio::test]
async fn a_candidate_is_observed_before_it_decides() {
    let site = Site::new().await;
    // It would refuse the firmware of every device.
    let strict = "[[model]]\nname = \"sensor-a\"\nminimum_firmware = \"9.0.0\"\n";
    write_candidate(&site, &format!("{strict}[rollout]\nmode = \"observe\"\n"));
    in_force(&site).await;
    let observed = site.device("SN-1").await;
    assert_eq!(site.try_enroll(&observed).await.0.status, 200);
    let seen = record(&site, &observed.id, 1).await;
    let opinion = seen.other.clone().unwrap();
    assert_eq!((seen.ruled, seen.by_candidate), (Ruled::Accepted, false));
    assert_eq!((opinion.ruled, opinion.rule.as_deref()), (Ruled::Refused, Some("firmware-version")));

    write_candidate(&site, &format!("{strict}[rollout]\nmode = \"enforce\"\npercent = 50\n"));
    in_force(&site).await;
    let mut refused = Vec::new();
    for number in 0..24 {
        let device = site.device(&format!("D-{number}")).await;
        let (reply, _) = site.try_enroll(&device).await;
        let record = record(&site, &device.id, 1).await;
        assert_eq!(
            record.by_candidate,
            reply.status != 200,
            "the candidate decided for those and only those"
        );
        assert_eq!(record.other.unwrap().ruled == Ruled::Accepted, record.by_candidate);
        if record.by_candidate {
            assert_refused(&reply, Reject::FirmwareTooOld);
            refused.push(device);
        }
    }
    assert!((1..24).contains(&refused.len()), "{} of 24 at 50 percent", refused.len());
    // A larger share only adds: who was under the candidate stays there.
    write_candidate(&site, &format!("{strict}[rollout]\nmode = \"enforce\"\npercent = 90\n"));
    in_force(&site).await;
    for device in &refused {
        assert_refused(&site.try_enroll(device).await.0, Reject::FirmwareTooOld);
    }
    // And a smaller one lets them go.
    write_candidate(&site, &format!("{strict}[rollout]\nmode = \"enforce\"\npercent = 0\n"));
    in_force(&site).await;
    for device in &refused {
        assert_eq!(site.try_enroll(device).await.0.status, 200);
    }
}

#[tokio::test]
async fn a_quota_bounds_the_devices_of_a_group_and_not_their_renewals() {
    let site = Site::with(|config| {
        fs::write(config.files.policy_groups.join("small.toml"), "[enrollment]\nquota = 2\n").unwrap();
    })
    .await;
    let mut devices = Vec::new();
    for number in 1..=3 {
        devices.push(device_in(&site, &format!("SN-{number}"), "small").await);
    }
    let other = site.device("SN-9").await;
    let identity = site.enroll(&devices[0]).await;
    site.enroll(&devices[1]).await;
    assert_refused(&site.try_enroll(&devices[2]).await.0, Reject::QuotaReached);
    assert_eq!(record(&site, &devices[2].id, 1).await.rule.as_deref(), Some("quota"));
    // Who is in may come again, and renew; other groups are not concerned.
    site.enroll(&devices[1]).await;
    let renewal = Device::renew(&devices[0].id, &Operational::new().csr);
    let tls = site.tls().identity(&identity);
    assert_eq!(tls.post(endpoint::RENEW, &renewal).await.status, 200);
    site.enroll(&other).await;
    site.admin().revoke(&devices[0].id, ca::crl::Reason::Unspecified).await.unwrap();
    site.enroll(&devices[2]).await;
}

#[tokio::test]
async fn a_device_that_waits_with_a_certificate_keeps_its_place_in_the_quota() {
    let site = Site::with(|config| {
        let small = "[enrollment]\nquota = 2\nsecond = \"hold\"\n";
        fs::write(config.files.policy_groups.join("small.toml"), small).unwrap();
    })
    .await;
    let mut devices = Vec::new();
    for number in 1..=3 {
        devices.push(device_in(&site, &format!("SN-{number}"), "small").await);
    }
    site.enroll(&devices[0]).await;
    site.enroll(&devices[1]).await;
    let request = devices[0].enroll(site.nonce(&devices[0].id).await, &Operational::new().csr);
    assert_eq!(site.tls().post(endpoint::ENROLL, &request).await.status, 202);
    assert_refused(&site.try_enroll(&devices[2]).await.0, Reject::QuotaReached);
    // Which is its own: it is not asked for a second one.
    site.admin().act_on(&devices[0].id, enroll_server::store::Action::Approve).await.unwrap();
    assert_eq!(site.tls().post(endpoint::ENROLL, &request).await.status, 200);
    assert_refused(&site.try_enroll(&devices[2]).await.0, Reject::QuotaReached);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_holds_when_all_come_at_once() {
    let site = Site::with(|config| {
        fs::write(config.files.policy_groups.join("small.toml"), "[enrollment]\nquota = 5\n").unwrap();
    })
    .await;
    let mut requests = Vec::new();
    for number in 0..20 {
        let device = device_in(&site, &format!("SN-{number}"), "small").await;
        requests.push(device.enroll(site.nonce(&device.id).await, &Operational::new().csr));
    }
    let mut tasks = tokio::task::JoinSet::new();
    for body in requests {
        let tls = site.tls();
        tasks.spawn(async move { tls.post(endpoint::ENROLL, &body).await });
    }
    let mut granted = 0;
    while let Some(reply) = tasks.join_next().await {
        let reply = reply.unwrap();
        if reply.status == 200 {
            granted += 1;
        } else {
            assert_refused(&reply, Reject::QuotaReached);
        }
    }
    assert_eq!(granted, 5);
    let events = site.admin().events(100).await.unwrap();
    let reached: Vec<_> = events.iter().filter(|event| event.kind == "quota-reached").collect();
    assert_eq!(reached.len(), 1, "by whoever took the last place");
    assert!(reached[0].detail.starts_with("5 devices of the group small"), "{}", reached[0].detail);
}

#[tokio::test]
async fn strangers_do_not_fill_the_records_and_no_secret_is_in_them() {
    let site = Site::with(|config| {
        config.records.per_device = 3;
        config.records.strangers = 5;
    })
    .await;
    let known = site.device("SN-1").await;
    for _ in 0..6 {
        let mut device = site.maker.device("SN-1");
        device.digest = [1; 32];
        site.try_enroll(&device).await;
    }
    for number in 0..12 {
        let stranger = site.maker.device(&format!("X-{number}"));
        assert_refused(&site.try_enroll(&stranger).await.0, Reject::NotInInventory);
    }
    site.enroll(&known).await;
    let token = "ab".repeat(16);
    let id = DeviceId::new("T-1").unwrap();
    let body = Device::enroll_by_token(&id, &token, site.nonce(&id).await, &Operational::new().csr);
    assert_refused(&site.tls().post(endpoint::ENROLL, &body).await, Reject::BadToken);
    until("all records", async || records(site.admin(), &id).await.len() == 1).await;
    let all =
        site.admin().appraisals(AppraisalFilter { limit: 1000, ..AppraisalFilter::default() }).await.unwrap();
    let of = |device: &str| all.iter().filter(|record| record.device.as_str() == device).count();
    assert_eq!(of("SN-1"), 3 + 1, "three refusals, and the enrollment beside them");
    assert_eq!(all.iter().filter(|record| record.device.as_str() != "SN-1").count(), 5);
    let written = format!("{all:?}");
    assert!(!written.contains(&token) && !written.contains(&hex::encode(&token)), "a token's text was kept");
    let bytes = fs::read(&site.config.files.store).unwrap();
    assert!(!bytes.windows(32).any(|window| window == token.as_bytes()));
    let claims = all.iter().find(|record| record.ruled == Ruled::Accepted).unwrap().case.clone().unwrap();
    assert!(claims.contains("\"sensor-a\""), "{claims}");

    // What is old goes.
    let mut site = site;
    site.later(Duration::from_secs(91 * 86_400));
    site.start().await;
    until("old records to go", async || records(site.admin(), &known.id).await.is_empty()).await;
}
