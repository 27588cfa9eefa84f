//! Revocation lists.

use ca::crl::{CrlError, Issue, Reason, Revoked, make};
use ca::{LintError, Serial};
use core::time::Duration;
use proptest::prelude::*;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::support::{DAY, Hierarchy, NOW};

fn issue() -> Issue {
    Issue { number: 7, this_update: NOW, next_update: NOW.after(DAY) }
}

fn signed_part(der: &[u8]) -> Vec<u8> {
    CertificateRevocationList::from_der(der).unwrap().1.tbs_cert_list.as_ref().to_vec()
}

#[test]
fn an_empty_list_leaves_its_entries_out() {
    let hierarchy = Hierarchy::new();
    let der = make(&hierarchy.issuing, issue(), []).unwrap();
    let (_, list) = CertificateRevocationList::from_der(&der).unwrap();
    assert_eq!(list.iter_revoked_certificates().count(), 0);
    assert_eq!(list.crl_number().and_then(|number| u32::try_from(number).ok()), Some(7));
}

#[test]
fn reasons_and_dates_are_in_the_list() {
    let hierarchy = Hierarchy::new();
    let entries: Vec<Revoked> = Reason::ALL
        .into_iter()
        .zip(1..)
        .map(|(reason, byte)| Revoked {
            serial: Serial::from_bytes([byte; 16]).unwrap(),
            at: NOW.before(DAY * u32::from(byte)),
            reason,
        })
        .collect();
    let der = make(&hierarchy.issuing, issue(), entries.clone()).unwrap();
    let (_, list) = CertificateRevocationList::from_der(&der).unwrap();
    let codes: Vec<_> = list.iter_revoked_certificates().map(|r| r.reason_code().map(|c| c.1.0)).collect();
    assert_eq!(codes, [None, Some(1), Some(3), Some(4), Some(5), Some(6), Some(9)]);
    for (found, entry) in list.iter_revoked_certificates().zip(&entries) {
        assert_eq!(Serial::from_der_value(found.raw_serial()), Some(entry.serial));
        assert_eq!(u64::try_from(found.revocation_date.timestamp()).unwrap(), entry.at.as_secs());
    }
    for reason in Reason::ALL {
        assert_eq!(Reason::from_name(reason.name()), Some(reason));
    }
}

#[test]
fn dates_and_the_cas_end_are_kept() {
    let hierarchy = Hierarchy::living(DAY * 2);
    let backwards = Issue { next_update: NOW, ..issue() };
    assert!(matches!(make(&hierarchy.issuing, backwards, []), Err(CrlError::NextUpdate(_))));
    let end = hierarchy.issuing.certificate().validity().not_after;
    let late = Issue { this_update: end, next_update: end.after(DAY), ..issue() };
    let error = make(&hierarchy.issuing, late, []).unwrap_err();
    assert!(matches!(error, CrlError::Ca(LintError::CaNotValid { .. })), "{error}");
}

#[test]
fn twenty_thousand_entries_are_made_and_read_back() {
    let hierarchy = Hierarchy::new();
    let entries = (0..20_000).map(|_| Revoked {
        serial: Serial::random().unwrap(),
        at: NOW.before(Duration::from_secs(60)),
        reason: Reason::Superseded,
    });
    let der = make(&hierarchy.issuing, issue(), entries).unwrap();
    let (_, list) = CertificateRevocationList::from_der(&der).unwrap();
    assert_eq!(list.iter_revoked_certificates().count(), 20_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The order of the entries and repeated ones change nothing, and the earliest date stands.
    #[test]
    fn the_same_set_gives_the_same_list(
        serials in proptest::collection::vec((1_u8..8, 0_u64..1000), 0..30),
        seed in any::<prop::sample::Index>(),
    ) {
        let hierarchy = Hierarchy::new();
        let mut entries: Vec<Revoked> = serials
            .iter()
            .map(|(byte, ago)| Revoked {
                serial: Serial::from_bytes([*byte; 16]).unwrap(),
                at: NOW.before(Duration::from_secs(*ago)),
                reason: Reason::KeyCompromise,
            })
            .collect();
        let one = signed_part(&make(&hierarchy.issuing, issue(), entries.clone()).unwrap());
        if !entries.is_empty() {
            let at = seed.index(entries.len());
            entries.rotate_left(at);
        }
        entries.reverse();
        let other = make(&hierarchy.issuing, issue(), entries.clone()).unwrap();
        prop_assert_eq!(one, signed_part(&other));
        let (_, list) = CertificateRevocationList::from_der(&other).unwrap();
        for found in list.iter_revoked_certificates() {
            let serial = Serial::from_der_value(found.raw_serial());
            let earliest = entries.iter().filter(|e| Some(e.serial) == serial).map(|e| e.at.as_secs()).min();
            prop_assert_eq!(u64::try_from(found.revocation_date.timestamp()).ok(), earliest);
        }
    }
}
