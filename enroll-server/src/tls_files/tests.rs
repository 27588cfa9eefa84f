//! Renewal by age, by CA, by names; and a crash at every write.

use core::time::Duration;
use std::path::Path;

use ca::hierarchy::{ISSUING_LIFETIME, ROOT_LIFETIME, SERVER_LIFETIME, issuing_ca, root_ca};
use ca::{BACKDATE, FileKey, Issuer, IssuerKey as _};
use shared::UnixTime;

use super::renew::{Files, Tended, tend};
use super::{Seen, Why};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn issuer() -> Issuer {
    let (root, key) = root_ca("Acme", ROOT_LIFETIME, NOW).unwrap();
    let root = Issuer::new(root, Box::new(key)).unwrap();
    let (certificate, key) = issuing_ca("Acme", &root, ISSUING_LIFETIME, NOW).unwrap();
    Issuer::new(certificate, Box::new(key)).unwrap()
}

fn files(folder: &Path) -> Files {
    Files { certificate: folder.join("b.crt"), key: folder.join("b.key"), key_mode: 0o640, owner: None }
}

fn hosts() -> Vec<String> {
    vec!["Broker.example".to_owned(), "10.0.0.1".to_owned(), "2001:db8::1".to_owned()]
}

fn look(files: &Files, hosts: Option<&[String]>, issuer: &Issuer, now: UnixTime) -> Tended {
    let ours = [issuer.certificate().clone()];
    tend(files, hosts, (issuer, &[]), &ours, SERVER_LIFETIME, now).unwrap()
}

/// Certificate and key in the files belong together.
fn fits(files: &Files) -> bool {
    let pem = std::fs::read(&files.certificate).unwrap();
    let seen = Seen::read(&ca::pem::read_certificates(&pem).unwrap()[0]).unwrap();
    std::fs::set_permissions(&files.key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    FileKey::load(&files.key).is_ok_and(|key| seen.point == key.public_point())
}

#[test]
fn a_certificate_is_made_kept_and_renewed_in_time() {
    let (folder, issuer) = (tempfile::tempdir().unwrap(), issuer());
    let (files, hosts) = (files(folder.path()), hosts());
    let Tended::Renewed(Why::Missing, made) = look(&files, Some(&hosts), &issuer, NOW) else {
        panic!("there was none");
    };
    let pem = std::fs::read(&files.certificate).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    let certificate = pem.parse_x509().unwrap();
    let serial = ca::Serial::from_der_value(certificate.raw_serial()).unwrap();
    let until = NOW.after(SERVER_LIFETIME);
    let expected = format!("serial {serial} until {until} for Broker.example, 10.0.0.1, 2001:db8::1");
    assert_eq!(made.to_string(), expected, "what the trail has of it");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fits(&files));
    let first = std::fs::read(&files.certificate).unwrap();
    assert_eq!(look(&files, Some(&hosts), &issuer, NOW.after(DAY * 200)), Tended::Current);
    assert_eq!(std::fs::read(&files.certificate).unwrap(), first);
    // Two thirds of 397 days are 264.7, five sixths 330.8.
    assert_eq!(look(&files, None, &issuer, NOW.after(DAY * 264)), Tended::Current);
    assert!(matches!(look(&files, None, &issuer, NOW.after(DAY * 331)), Tended::Renewed(Why::Age, _)));
    assert!(fits(&files), "a new key, and the same names");
    let seen =
        Seen::read(&ca::pem::read_certificates(&std::fs::read(&files.certificate).unwrap()).unwrap()[0])
            .unwrap();
    assert!(super::same_names(&seen.hosts, &hosts), "{:?}", seen.hosts);
}

#[test]
fn other_names_are_taken_over_and_an_address_is_one_however_it_is_written() {
    let (folder, issuer) = (tempfile::tempdir().unwrap(), issuer());
    let files = files(folder.path());
    let hosts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let long = hosts(&["2001:0db8:0:0:0:0:0:1", "::ffff:10.0.0.1", "Broker.example"]);
    look(&files, Some(&long), &issuer, NOW);
    let later = NOW.after(DAY);
    assert_eq!(look(&files, Some(&long), &issuer, later), Tended::Current);
    let short = hosts(&["broker.example", "2001:db8::1", "::ffff:a00:1"]);
    assert_eq!(look(&files, Some(&short), &issuer, later), Tended::Current);
    let other = hosts(&["2001:db8::2"]);
    assert!(matches!(look(&files, Some(&other), &issuer, later), Tended::Renewed(Why::OtherNames, _)));
    // Two settings for one file cost a certificate a minute, and not one at each look.
    assert_eq!(look(&files, Some(&long), &issuer, later.after(super::PAUSE / 2)), Tended::Current);
    let minute = later.after(super::PAUSE);
    assert!(matches!(look(&files, Some(&long), &issuer, minute), Tended::Renewed(Why::OtherNames, _)));
}

/// The clock was ahead, and every certificate was renewed at once: they are again when it is set right.
#[test]
fn a_certificate_whose_life_has_not_begun_is_made_anew() {
    let (folder, issuer) = (tempfile::tempdir().unwrap(), issuer());
    let files = files(folder.path());
    look(&files, Some(&hosts()), &issuer, NOW);
    let ahead = NOW.after(DAY * 540);
    assert!(matches!(look(&files, None, &issuer, ahead), Tended::Renewed(Why::Age, _)));
    let behind = ahead.before(BACKDATE);
    assert_eq!(look(&files, None, &issuer, behind), Tended::Current, "a clock that is a little behind");
    for named in [None, Some(hosts())] {
        assert!(matches!(look(&files, named.as_deref(), &issuer, NOW), Tended::Renewed(Why::Early, _)));
        assert!(fits(&files));
        assert_eq!(look(&files, named.as_deref(), &issuer, NOW), Tended::Current);
        super::place(&files, &super::issue(&hosts(), (&issuer, &[]), SERVER_LIFETIME, ahead).unwrap())
            .unwrap();
    }
}

#[test]
fn another_ca_renews_its_own_and_leaves_those_of_strangers() {
    let (folder, old, new) = (tempfile::tempdir().unwrap(), issuer(), issuer());
    let files = files(folder.path());
    look(&files, Some(&hosts()), &old, NOW);
    // The server's own: renewed where one of our CAs made it.
    assert_eq!(look(&files, None, &new, NOW), Tended::Foreign);
    let ours = [new.certificate().clone(), old.certificate().clone()];
    let tended = tend(&files, None, (&new, &[]), &ours, SERVER_LIFETIME, NOW).unwrap();
    assert!(matches!(tended, Tended::Renewed(Why::OtherCa, _)));
    assert!(fits(&files));
}

#[test]
fn renewals_are_spread_and_lie_in_the_window() {
    let (folder, issuer) = (tempfile::tempdir().unwrap(), issuer());
    let files = files(folder.path());
    let mut points = Vec::new();
    for _ in 0..20 {
        super::place(&files, &super::issue(&hosts(), (&issuer, &[]), DAY * 90, NOW).unwrap()).unwrap();
        let pem = std::fs::read(&files.certificate).unwrap();
        let seen = Seen::read(&ca::pem::read_certificates(&pem).unwrap()[0]).unwrap();
        points.push(seen.renewal());
    }
    points.sort_unstable();
    assert!(points[0] >= NOW.after(DAY * 60) && points[19] <= NOW.after(DAY * 75), "{points:?}");
    points.dedup();
    assert!(points.len() > 10, "{points:?}");
}

/// Every state that a crash between two writes can leave is put in order by whoever looks next.
#[test]
fn a_crash_between_two_writes_leaves_the_old_pair_or_the_new_one() {
    let issuer = issuer();
    let pair = |folder: &Path| {
        let files = files(folder);
        super::place(&files, &super::issue(&hosts(), (&issuer, &[]), SERVER_LIFETIME, NOW).unwrap()).unwrap();
        (std::fs::read(&files.certificate).unwrap(), std::fs::read(&files.key).unwrap())
    };
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ((old_chain, old_key), (new_chain, new_key)) = (pair(one.path()), pair(two.path()));
    let half = new_key[..new_key.len() / 2].to_vec();
    for (chain, next, new) in [
        (&old_chain, Some(&half), false),
        (&old_chain, Some(&new_key), false),
        (&new_chain, Some(&new_key), true),
        (&old_chain, None, false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        std::fs::write(&files.certificate, chain).unwrap();
        std::fs::write(&files.key, &old_key).unwrap();
        if let Some(next) = next {
            let path = folder.path().join("b.key.next");
            std::fs::write(&path, next).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
        let expected = if new { Tended::Finished } else { Tended::Current };
        assert_eq!(look(&files, Some(&hosts()), &issuer, NOW), expected);
        let found = std::fs::read(&files.key).unwrap();
        assert_eq!(found == new_key, new);
        assert!(fits(&files));
        assert!(!folder.path().join("b.key.next").exists());
    }
}
