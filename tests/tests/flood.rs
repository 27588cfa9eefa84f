//! Thousands of slow and hostile clients at once, on real sockets, before the real server: those that behave are served,
//! and when the others have gone, everything that the server gave them is back.
//!
//! The long form: `FLOOD=10000 cargo test -p tests --test flood -- --nocapture`. See docs/limits.md. That a permit which
//! is not given back is found, is shown in `enroll-server/src/serve/tests.rs`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

use core::time::Duration;
use std::fs;

use firmware_sim::fleet::percentile;
use shared::DeviceId;
use shared::endpoint::CHALLENGE;
use shared::message::latest::{ChallengeRequest, EvidenceKind};
use tests::harness::device::written;
use tests::harness::flood::Flood;
use tests::harness::{
    Csr, HandDevice, Process, Wishes, World, client_config, connect, exchange, http, until,
};
use tokio::time::Instant;

/// Requests of honest devices in each part.
const HONEST: usize = 1_000;
/// How many of them are under way at once.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn who_behaves_is_served_whatever_the_others_do() {
    let hostile: u32 = std::env::var("FLOOD").map_or(2_000, |text| text.parse().unwrap());
    let world = World::new(Wishes { devices: 10, ..Wishes::default() });
    // Room for all of them: a server has to have more places than hostile clients have addresses. One address gets 500.
    let connections = format!("{}", hostile + hostile / 2 + 500);
    world.configure(&[
        ("limits", "connections", connections.as_str()),
        ("limits", "handshakes", connections.as_str()),
        ("limits", "per_address", "500"),
    ]);
    let server = world.serve();

    // The first requests make the server's threads and caches, and so does the first flood: what its allocator keeps of one
    // is there for the next. A second one of the same size, with the same requests amid it, may leave nothing more behind.
    let idle = honest(&world).await;
    let (first, ..) = flood(&world, hostile).await;
    first.end().await;
    let before = settled(&world, &server);

    let (all, open, under) = flood(&world, hostile).await;
    for device in &world.devices {
        let device = HandDevice::load(&world, device);
        assert_eq!(device.enroll(&world, &device.good_request(&world, &Csr::new())).status, 200);
    }
    let (begun, ended) = all.connections();
    let mid = standing(&server);
    all.end().await;
    let after = settled(&world, &server);

    println!(
        "{hostile} hostile clients: {begun} connections, {ended} of them ended, {open} open at the beginning"
    );
    println!("honest requests, idle:  {} of {HONEST} served, p99 {:?}", idle.served, idle.p99);
    println!("honest requests, flood: {} of {HONEST} served, p99 {:?}", under.served, under.p99);
    println!("before {before:?}, amid {mid:?}, after {after:?}");
    let away = metric(&world, "enroll_connections_turned_away_total{reason=\"address\"}");
    println!("{away} connections of one address were closed at once");

    assert_eq!(idle.served, HONEST);
    assert!(under.served * 1_000 >= HONEST * 999, "{} of {HONEST} served", under.served);
    assert!(hostile < 1_200 || away > 0.0, "the address with half of the clients has no more than its share");
    assert!(after.descriptors <= before.descriptors, "{before:?} {after:?}");
    // What a connection needs is about 20 KiB: if only a tenth of the clients left theirs behind, it would be more.
    let grown = after.resident_kib.saturating_sub(before.resident_kib);
    let allowed = 16 * 1024 + u64::from(hostile) * 3;
    assert!(grown <= allowed, "{grown} KiB more than before: {before:?} {after:?}");
}

/// Begins a flood, and serves who behaves amid it; says how many connections were open then.
async fn flood(world: &World, hostile: u32) -> (Flood, f64, Served) {
    let flood = Flood::begin(hostile, world.https_port, &client_config(&world.root(), None));
    until("the places of the flood", || {
        // Half of them come from one address, which has 500 places; some are between two connections.
        let most = f64::from((hostile / 2).min(500) + hostile / 2);
        (metric(world, "enroll_connections_open") >= most * 0.6).then_some(())
    });
    let open = metric(world, "enroll_connections_open");
    let served = honest(world).await;
    (flood, open, served)
}

#[derive(Debug)]
struct Served {
    served: usize,
    p99: Duration,
}

/// Devices that ask for a challenge, each over a connection of its own, from 127.0.0.1.
async fn honest(world: &World) -> Served {
    let (port, root) = (world.https_port, world.root());
    let asks: Vec<_> = (0..AT_ONCE)
        .map(|number| {
            let root = root.clone();
            tokio::task::spawn_blocking(move || {
                let mut times = Vec::new();
                for turn in 0..HONEST / AT_ONCE {
                    let device = DeviceId::new(&format!("SN-{number}-{turn}")).unwrap();
                    let kinds = [EvidenceKind::IdevidEat].into_iter().collect();
                    let question = ChallengeRequest { device, kinds, introduction: None };
                    let body = written(|out| question.encode(out));
                    let begun = Instant::now();
                    let reply = exchange(connect(port, client_config(&root, None)), CHALLENGE, Some(&body));
                    if reply.is_ok_and(|reply| reply.status == 200) {
                        times.push(begun.elapsed());
                    }
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for ask in asks {
        times.extend(ask.await.unwrap());
    }
    times.sort_unstable();
    Served { served: times.len(), p99: percentile(&times, 99) }
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Standing {
    descriptors: usize,
    resident_kib: u64,
}

fn standing(server: &Process) -> Standing {
    let proc = format!("/proc/{}", server.id());
    let status = fs::read_to_string(format!("{proc}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident_kib = resident.trim().trim_end_matches(" kB").parse().unwrap();
    Standing { descriptors: fs::read_dir(format!("{proc}/fd")).unwrap().count(), resident_kib }
}

/// What it holds when all connections have ended, and everything that was given out is back.
fn settled(world: &World, server: &Process) -> Standing {
    until("all permits to come back", || {
        let free =
            ["enroll_places_taken", "enroll_handshakes_open", "enroll_requests_open", "enroll_bodies_bytes"];
        // The one connection is that which asks.
        (free.iter().all(|name| metric(world, name) == 0.0)
            && metric(world, "enroll_connections_open") <= 1.0)
            .then_some(())
    });
    // Files that it looks at now and then are open for a moment. What was left behind is in every reading.
    let readings = (0..20).map(|_| {
        let _pause = metric(world, "enroll_connections_open");
        standing(server)
    });
    readings.min_by_key(|standing| standing.descriptors).unwrap()
}

fn metric(world: &World, name: &str) -> f64 {
    let page = http(world.http_port, "/metrics").text();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name}: {page}")).parse().unwrap()
}
