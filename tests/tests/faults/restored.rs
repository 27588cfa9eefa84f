//! A database from a backup is put in place.

use std::fs;

use enroll_server::failpoint::Plant;
use serde_json::Value as Json;
use shared::Reject;
use shared::endpoint::ENROLL;
use shared::message::latest::{Answer, Outcome};
use tests::faults::{Child, Fleet, Request, StateFolder};
use tests::harness::{Reply, client_config, http, https, until};

#[test]
fn an_old_database_is_noticed_and_nothing_is_signed_until_an_operator_decides() {
    assert_eq!(old_database(None), Ok(()));
}

/// The test above turns red on a server that believes whatever database it finds.
#[test]
fn a_server_that_believes_an_old_database_is_found() {
    let found = old_database(Some(Plant::BelievesOldDatabase)).unwrap_err();
    assert_eq!(found, "a certificate was signed on an old database");
}

/// Says what is wrong after an old database was put in place.
fn old_database(plant: Option<Plant>) -> Result<(), String> {
    let fleet = Fleet::new(4);
    let folder = fleet.new_server();
    let requests: Vec<Request> = fleet.devices.iter().map(|device| fleet.enrollment(device)).collect();
    let [early, late, held, new] = requests.as_slice() else { panic!("four devices") };
    let name = |request: &Request| request.device.to_string();

    let server = start(&folder, None);
    let _first = certificate(&enroll(&fleet, &server, early)).expect("a certificate");
    let _output = server.stop();
    fs::copy(folder.path("server/store.sqlite"), folder.path("backup")).unwrap();

    // What the backup does not know of: two certificates, a revocation, a suspension.
    let server = start(&folder, None);
    let second = certificate(&enroll(&fleet, &server, late)).expect("a certificate");
    let _third = certificate(&enroll(&fleet, &server, held)).expect("a certificate");
    let _done = folder.cli(&["device", "revoke", &name(early), "--reason", "key-compromise"]).success();
    let _done = folder.cli(&["device", "suspend", &name(held)]).success();
    let [first, third] = [early, held].map(|request| serial(&folder, request));
    let listed = |server: &Child| {
        let list = http(server.http_port, "/crl.der").body;
        [&first, &third].iter().all(|serial| list.windows(serial.len()).any(|part| part == serial.as_slice()))
    };
    until("a list with both", || listed(&server).then_some(()));
    let _output = server.stop();

    for leftover in ["server/store.sqlite-wal", "server/store.sqlite-shm"] {
        let _absent = fs::remove_file(folder.path(leftover));
    }
    fs::copy(folder.path("backup"), folder.path("server/store.sqlite")).unwrap();
    let server = start(&folder, plant);
    let refused = enroll(&fleet, &server, new);
    if certificate(&refused).is_some() {
        return Err("a certificate was signed on an old database".to_owned());
    }
    assert_eq!((refused.status, rejected(&refused)), (503, Some(Reject::SigningStopped)), "{refused:?}");
    let ready = http(server.http_port, "/readyz");
    assert_eq!(ready.status, 503);
    assert!(
        ready.text().contains("signing: nothing is signed until an operator has decided"),
        "{}",
        ready.text()
    );

    // What was published is known again: the lists keep what they had, and the log and the database agree.
    assert!(listed(&server), "what is revoked stays revoked");
    assert_eq!(state(&folder, early), ["revoked"]);
    assert_eq!(state(&folder, late), ["issued"]);
    let _good = folder.cli(&["audit", "verify"]).success();
    let told = folder.cli(&["audit", "accept"]);
    assert_eq!(told.status.code(), Some(6), "{told:?}");
    assert!(told.stdout.contains("2 certificates, 2 revocations"), "{told:?}");

    // The operator decides; the same process goes on.
    let _accepted = folder.cli(&["audit", "accept", "--yes"]).success();
    assert!(certificate(&enroll(&fleet, &server, new)).is_some());
    assert_eq!(http(server.http_port, "/readyz").status, 200);
    assert_eq!(rejected(&enroll(&fleet, &server, early)), Some(Reject::DeviceRevoked));
    let again = fleet.enrollment(&fleet.devices[2]);
    assert_eq!(rejected(&enroll(&fleet, &server, &again)), Some(Reject::DeviceSuspended));
    assert!(listed(&server));
    let renewal = fleet.renewal(&fleet.devices[1], late, &second);
    let config = client_config(&fleet.root, renewal.identity.as_ref());
    let renewed = https(server.port, config, shared::endpoint::RENEW, Some(&renewal.body));
    assert!(certificate(&renewed).is_some(), "who was given a certificate goes on with it: {renewed:?}");
    for kind in ["database-restored", "database-accepted"] {
        let events = folder.cli(&["event", "list", "--kind", kind, "--json"]).success();
        assert!(events.contains(kind), "{events}");
    }
    let _output = server.stop();
    let _good = folder.cli(&["audit", "verify"]).success();
    // It was decided once.
    let server = start(&folder, None);
    assert_eq!(http(server.http_port, "/readyz").status, 200);
    Ok(())
}

fn start(folder: &StateFolder, plant: Option<Plant>) -> Child {
    let mut command = Child::command(&folder.config(), &folder.path("witness"), None, plant);
    Child::start(&mut command).unwrap_or_else(|said| panic!("{said}")).expect("it lives")
}

fn enroll(fleet: &Fleet, server: &Child, request: &Request) -> Reply {
    https(server.port, client_config(&fleet.root, None), ENROLL, Some(&request.body))
}

fn certificate(reply: &Reply) -> Option<Vec<u8>> {
    match Answer::decode(&reply.body).unwrap().outcome {
        Outcome::Issued(issued) => Some(issued.chain[0].to_vec()),
        _ => None,
    }
}

fn rejected(reply: &Reply) -> Option<Reject> {
    match Answer::decode(&reply.body).unwrap().outcome {
        Outcome::Rejected(rejected) => rejected.reject(),
        other => panic!("{other:?}"),
    }
}

fn certificates(folder: &StateFolder, request: &Request) -> Vec<Json> {
    let list = folder.cli(&["cert", "list", "--json"]).success();
    let list: Json = serde_json::from_str(&list).unwrap();
    let rows = list["certificates"].as_array().unwrap().iter();
    rows.filter(|row| row["device"] == request.device.as_str()).cloned().collect()
}

fn state(folder: &StateFolder, request: &Request) -> Vec<String> {
    certificates(folder, request).iter().map(|row| row["state"].as_str().unwrap().to_owned()).collect()
}

fn serial(folder: &StateFolder, request: &Request) -> Vec<u8> {
    hex::decode(certificates(folder, request)[0]["serial"].as_str().unwrap()).unwrap()
}
