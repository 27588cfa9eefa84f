//! Lost answers, a server that is killed, away, or cannot write: nothing is lost, and nothing is issued twice.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Mutex, mpsc};

use rustix::process::Signal;
use shared::Reject;
use shared::endpoint::ENROLL;
use shared::message::latest::Outcome;
use tests::harness::{
    Csr, HandDevice, Process, Reply, Wishes, World, client_config, connect, exchange, post, run, until,
};

#[test]
fn the_same_request_again_gives_the_same_certificate() {
    let world = World::new(Wishes::default());
    let server = world.serve();
    let device = HandDevice::load(&world, &world.devices[0]);
    let request = device.good_request(&world, &Csr::new());
    let first = leaf(&device.enroll(&world, &request));
    assert_eq!(leaf(&device.enroll(&world, &request)), first);

    // Twenty at once, as a device behind a bad network might.
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert_eq!(leaf(&device.enroll(&world, &request)), first));
        }
    });
    // And by a server that has no memory of the first time.
    let (_, log) = server.stop();
    let _server = world.serve();
    assert_eq!(leaf(&device.enroll(&world, &request)), first, "{log}");
    assert_eq!(certificates(&world).len(), 1);
}

#[test]
fn a_server_killed_in_a_storm_leaves_no_certificate_that_nobody_has() {
    let found = storm(|_| ());
    assert_eq!(found, Ok(()));
}

/// The test above can fail: a store that lost what it had committed is found.
#[test]
fn a_store_that_forgets_what_was_answered_is_found() {
    let found = storm(|world| {
        let store = rusqlite::Connection::open(world.path("server/store.sqlite")).unwrap();
        store.pragma_update(None, "foreign_keys", false).unwrap();
        assert!(store.execute("DELETE FROM certificates", []).unwrap() > 0);
    });
    assert!(found.is_err(), "the planted loss was not found");
}

/// Kills the server in a storm of enrollments, lets `meanwhile` do something to its files, and says what is wrong after
/// it was started again.
fn storm(meanwhile: impl FnOnce(&World)) -> Result<(), String> {
    const DEVICES: u32 = 40;
    let world = World::new(Wishes { devices: DEVICES, ..Wishes::default() });
    let devices: Vec<_> = world.devices.iter().map(|id| HandDevice::load(&world, id)).collect();
    let server = world.serve();
    let requests: Vec<_> = devices.iter().map(|device| device.good_request(&world, &Csr::new())).collect();

    // The server dies when a quarter has its answer: the others are at every stage of theirs.
    let answered = Mutex::new(BTreeMap::new());
    let (tell, hear) = mpsc::channel();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let tell = tell.clone();
            let (world, requests, answered, next) = (&world, &requests, &answered, &next);
            scope.spawn(move || {
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(reply) = try_enroll(world, request) {
                        answered.lock().unwrap().insert(request.clone(), leaf(&reply));
                    }
                    tell.send(()).unwrap();
                }
            });
        }
        for _ in 0..DEVICES / 4 {
            hear.recv().unwrap();
        }
        server.signal(Signal::KILL);
    });
    drop(server);
    let answered = answered.into_inner().unwrap();
    assert!(!answered.is_empty() && answered.len() < requests.len(), "{} answered before", answered.len());

    meanwhile(&world);
    let _server = world.serve();
    for (device, request) in devices.iter().zip(&requests) {
        let again = device.enroll(&world, request);
        if again.status != 200 {
            return Err(format!("{} is refused: {again:?}", device.id));
        }
        let again = leaf(&again);
        if *answered.get(request).unwrap_or(&again) != again {
            return Err(format!("{} has two certificates", device.id));
        }
    }
    let issued = certificates(&world);
    if issued.len() != requests.len() {
        return Err(format!("a certificate that no device asked for: {issued:?}"));
    }
    Ok(())
}

#[test]
fn a_device_whose_server_is_away_keeps_its_state_and_tries_again() {
    let world = World::new(Wishes::default());
    let device = world.devices[0].as_str();
    let away = world.agent(device, &["enroll"]);
    assert_eq!(away.status.code(), Some(1), "{away:?}");

    let mut agent = Process::start(&mut world.agent_command(device, &["run"]));
    until("an agent in trouble", || {
        world.agent_status(device)["running"]["trouble"].is_string().then_some(())
    });
    assert!(agent.is_running(), "{}", agent.output());
    let _server = world.serve();
    until("an identity", || {
        world.agent_status(device)["identity"]["serial"]
            .is_string()
            .then_some(())
            .or_else(|| world.agent_status(device)["candidate"]["serial"].is_string().then_some(()))
    });
    assert_eq!(certificates(&world).len(), 1);
}

#[test]
fn a_locked_database_means_later() {
    let world = World::new(Wishes::default());
    let _server = world.serve();
    let device = HandDevice::load(&world, &world.devices[0]);
    let request = device.good_request(&world, &Csr::new());

    let other = rusqlite::Connection::open(world.path("server/store.sqlite")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    later(&device.enroll(&world, &request));
    other.execute_batch("ROLLBACK").unwrap();
    let certificate = leaf(&device.enroll(&world, &request));
    assert_eq!(leaf(&device.enroll(&world, &request)), certificate);
    assert_eq!(certificates(&world).len(), 1);
}

#[test]
fn a_full_disk_means_later_and_loses_nothing() {
    const DEVICES: u32 = 60;
    let world = World::new(Wishes { devices: DEVICES, ..Wishes::default() });
    let devices: Vec<_> = world.devices.iter().map(|id| HandDevice::load(&world, id)).collect();
    let full = world.serve_by(&mut limited(&world, LIMIT_KIB));
    let mut issued = BTreeMap::new();
    let mut refused = Vec::new();
    for device in &devices {
        let request = device.good_request(&world, &Csr::new());
        let reply = device.enroll(&world, &request);
        if reply.status == 200 {
            assert!(refused.is_empty(), "a certificate from a full disk");
            issued.insert(request, leaf(&reply));
        } else {
            later(&reply);
            refused.push(request);
        }
        if refused.len() > 3 {
            break;
        }
    }
    assert!(!issued.is_empty() && !refused.is_empty(), "{} issued, {} refused", issued.len(), refused.len());
    // What is there is still told; the server says that it is not ready.
    for (request, certificate) in &issued {
        assert_eq!(leaf(&post(&world, ENROLL, request)), *certificate);
    }
    drop(full);

    // Room is made: what was issued is there, what was refused is issued now, and nothing is there twice.
    let _server = world.serve();
    for (request, certificate) in &issued {
        assert_eq!(leaf(&post(&world, ENROLL, request)), *certificate);
    }
    for request in &refused {
        let certificate = leaf(&post(&world, ENROLL, request));
        assert_eq!(leaf(&post(&world, ENROLL, request)), certificate);
    }
    assert_eq!(certificates(&world).len(), issued.len() + refused.len());
}

/// Room for the write-ahead log's index (32 KiB), the database as it is after the import, and some enrollments.
const LIMIT_KIB: u32 = 256;

/// The server under a limit on the size of each file it writes: its write-ahead log fails to grow as on a full disk.
/// SIGXFSZ is ignored, so that the write fails in place of killing the server.
fn limited(world: &World, kib: u32) -> Command {
    let inner = world.server_command(&["serve"]);
    let mut shell = Command::new("bash");
    let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$@\"");
    shell.args(["-c", &script, "bash"]).arg(inner.get_program()).args(inner.get_args());
    shell
}

fn later(reply: &Reply) {
    assert_eq!(reply.status, 503, "{reply:?}");
    match reply.answer().outcome {
        Outcome::Rejected(rejected) => {
            assert_eq!(rejected.reject(), Some(Reject::Unavailable));
            assert!(rejected.retry_after.is_some_and(|after| after.as_secs() >= 1), "{rejected:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(reply.header("retry-after").is_some(), "{}", reply.head);
}

fn leaf(reply: &Reply) -> Vec<u8> {
    match reply.answer().outcome {
        Outcome::Issued(issued) => issued.chain[0].to_vec(),
        other => panic!("{other:?}"),
    }
}

/// Sends a request to a server that may die meanwhile.
fn try_enroll(world: &World, request: &[u8]) -> Option<Reply> {
    let root = world.root();
    std::net::TcpStream::connect(("127.0.0.1", world.https_port)).ok()?;
    let stream = std::panic::catch_unwind(|| connect(world.https_port, client_config(&root, None))).ok()?;
    let reply = exchange(stream, ENROLL, Some(request)).ok()?;
    (reply.status == 200).then_some(reply)
}

fn certificates(world: &World) -> Vec<serde_json::Value> {
    world.server_json(&["cert", "list"])["certificates"].as_array().unwrap().clone()
}

#[test]
fn the_shell_limit_works_here() {
    // Without it the test above would prove nothing.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("big");
    let script = "trap '' XFSZ; ulimit -f 1; head -c 4096 /dev/zero > \"$0\"";
    let told = run(Command::new("bash").args(["-c", script]).arg(&file)).failure();
    assert!(told.contains("File too large"), "{told}");
}
