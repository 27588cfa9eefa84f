//! The checker finds what harnesses are there to find: a server's files are tampered with, and it says so.

use std::fs;

use ca::Serial;
use shared::endpoint::ENROLL;
use shared::message::latest::{Answer, Outcome};
use tests::faults::invariants::{Invariant, check, left_out};
use tests::faults::{Child, Fleet, Ledger, StateFolder};
use tests::harness::{client_config, https, until};
use x509_cert::der::Decode as _;

/// A server with two devices, of which the first is revoked; it was stopped when the list was out.
struct Site {
    folder: StateFolder,
    ledger: Ledger,
    /// The list before the revocation.
    list: Vec<u8>,
}

impl Site {
    fn new() -> Self {
        let fleet = Fleet::new(2);
        let folder = fleet.new_server();
        let mut command = Child::command(&folder.config(), &folder.path("witness"), None, None);
        let server = Child::start(&mut command).expect("it starts").expect("it lives");
        let mut ledger = Ledger::default();
        for device in &fleet.devices {
            let request = fleet.enrollment(device);
            let reply = https(server.port, client_config(&fleet.root, None), ENROLL, Some(&request.body));
            let Outcome::Issued(issued) = Answer::decode(&reply.body).unwrap().outcome else {
                panic!("{reply:?}")
            };
            ledger.answered(&request, 0, issued.chain[0].to_vec()).unwrap();
        }
        let read = || fs::read(folder.path("server/crl.der")).unwrap();
        let list = read();
        let revoked = fleet.devices[0].id.clone();
        let _done = folder.cli(&["device", "revoke", revoked.as_str()]).success();
        until("a list with it", || (read() != list).then_some(()));
        let _output = server.stop();
        ledger.to_be_revoked.insert(revoked.clone());
        ledger.revoked.push((0, revoked));
        Self { folder, ledger, list }
    }

    fn sql(&self, change: &str) {
        let store = rusqlite::Connection::open(self.folder.path("server/store.sqlite")).unwrap();
        assert_eq!(store.execute(change, []).unwrap(), 1, "{change}");
    }

    fn found(&self) -> Option<Invariant> {
        check(&self.folder.config(), &self.ledger, 0, &[]).err().map(|violation| violation.invariant)
    }
}

#[test]
fn what_was_tampered_with_is_found() {
    let mut site = Site::new();
    assert_eq!(site.found(), None);

    let revoked = &site.ledger.revoked[0].1;
    let (_, certificate) = site.ledger.answers(0).find(|(request, _)| request.device == *revoked).unwrap();
    let certificate = x509_cert::Certificate::from_der(certificate).unwrap();
    let serial = Serial::from_der_value(certificate.tbs_certificate.serial_number.as_bytes()).unwrap();
    let list = fs::read(site.folder.path("server/crl.der")).unwrap();
    assert_eq!(left_out(&list, &[serial]), Ok(None));
    assert_eq!(left_out(&site.list, &[serial]), Ok(Some(serial)), "a list from before");

    let first = *site.ledger.asked.keys().next().unwrap();
    let asked = site.ledger.asked.remove(&first).unwrap();
    assert_eq!(site.found(), Some(Invariant::OneForEachIntent), "a certificate that nobody asked for");
    site.ledger.asked.insert(first, asked);
    assert_eq!(site.found(), None);

    site.sql(
        "UPDATE certificates SET state = 'issued', revoked = NULL, reason = NULL WHERE state = 'revoked'",
    );
    assert_eq!(site.found(), Some(Invariant::StaysRevoked), "a row that is in force again");
}

#[test]
fn a_trail_that_was_changed_is_found() {
    let site = Site::new();
    let store = rusqlite::Connection::open(site.folder.path("server/store.sqlite")).unwrap();
    // Whoever changes it takes away first what does not let them.
    let triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'events'";
    let names: Vec<String> = store
        .prepare(triggers)
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for name in names {
        store.execute(&format!("DROP TRIGGER {name}"), []).unwrap();
    }
    drop(store);
    site.sql("UPDATE events SET detail = 'nothing happened' WHERE number = 1");
    assert_eq!(site.found(), Some(Invariant::LogAgrees));
}
