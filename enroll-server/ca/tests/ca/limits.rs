//! What the CA must not sign: beyond its own life, for another CA, over the profile's limits.

use ca::hierarchy::{HierarchyError, SERVER_LIFETIME, issuing_ca, root_ca, server_certificate};
use ca::{
    BACKDATE, CaCertificate, FileKey, IssueError, Issued, Issuer, IssuerKey, KeyError, LintError,
    MAX_LIFETIME, Mismatch, Validity, lint,
};
use core::time::Duration;

use crate::support::{DAY, Hierarchy, Intent, NOW, profile};

const SECOND: Duration = Duration::from_secs(1);

fn linted(hierarchy: &Hierarchy, intent: &Intent) -> Result<Issued, IssueError> {
    let linted = lint(intent, &profile(), hierarchy.issuing.certificate(), NOW)?;
    hierarchy.issuing.issue(linted, NOW)
}

/// OpenBao: a leaf outlived its issuer. Here a CA at or after its end signs nothing, and no leaf ends after it.
#[test]
fn no_leaf_outlives_its_ca() {
    let hierarchy = Hierarchy::living(DAY * 10);
    let ca = hierarchy.issuing.certificate();
    let end = ca.validity().not_after;
    assert_eq!(end, NOW.after(DAY * 10));

    let validity = Validity::of_ldevid(NOW, DAY * 90, ca).unwrap();
    assert_eq!(validity.not_after, end, "shortened to the CA's end");
    let intent = Intent { validity, ..hierarchy.intent("SN-0001") };
    linted(&hierarchy, &intent).unwrap();

    let beyond = Validity { not_after: end.after(SECOND), ..validity };
    let intent = Intent { validity: beyond, ..intent };
    let error = lint(&intent, &profile(), ca, NOW).unwrap_err();
    assert_eq!(error, LintError::BeyondCa { found: beyond, ca: ca.validity() });
    let early = Validity { not_before: ca.validity().not_before.before(SECOND), ..validity };
    let intent = Intent { validity: early, ..intent };
    assert!(matches!(lint(&intent, &profile(), ca, NOW), Err(LintError::BeyondCa { .. })));
}

#[test]
fn a_ca_at_or_after_its_end_signs_nothing() {
    let hierarchy = Hierarchy::living(DAY);
    let ca = hierarchy.issuing.certificate();
    let end = ca.validity().not_after;
    let intent = hierarchy.intent("SN-0001");
    let before = ca.validity().not_before.before(SECOND);
    for now in [end, end.after(SECOND), end.after(DAY * 1000), before] {
        assert!(matches!(Validity::of_ldevid(now, DAY, ca), Err(LintError::CaNotValid { .. })));
        assert!(matches!(lint(&intent, &profile(), ca, now), Err(LintError::CaNotValid { .. })));
        // Linted in time, but signed too late.
        let linted = lint(&intent, &profile(), ca, NOW).unwrap();
        let error = hierarchy.issuing.issue(linted, now).unwrap_err();
        assert!(matches!(error, IssueError::Lint(LintError::CaNotValid { .. })), "{error}");
        let key = FileKey::generate().unwrap();
        assert!(server_certificate(&["a.example"], &key, &hierarchy.issuing, DAY, now).is_err());
    }
    lint(&intent, &profile(), ca, end.before(SECOND)).unwrap();
}

#[test]
fn lives_have_limits() {
    let hierarchy = Hierarchy::new();
    let ca = hierarchy.issuing.certificate();
    for bad in [Duration::ZERO, MAX_LIFETIME + SECOND] {
        assert!(matches!(Validity::of_ldevid(NOW, bad, ca), Err(LintError::Lifetime { .. })));
    }
    let longest = Validity::of_ldevid(NOW, MAX_LIFETIME, ca).unwrap();
    linted(&hierarchy, &Intent { validity: longest, ..hierarchy.intent("SN-0001") }).unwrap();
    let base = hierarchy.intent("SN-0001");
    for (not_before, not_after) in [
        (longest.not_before, longest.not_after.after(SECOND)),
        (NOW.after(SECOND), NOW.after(DAY)),
        (NOW.before(BACKDATE), NOW),
        (NOW, NOW),
    ] {
        let intent = Intent { validity: Validity { not_before, not_after }, ..base.clone() };
        assert!(lint(&intent, &profile(), ca, NOW).is_err(), "{not_before} to {not_after}");
    }
}

#[test]
fn keys_are_checked_before_they_are_signed() {
    let hierarchy = Hierarchy::new();
    let ca = hierarchy.issuing.certificate();
    let base = hierarchy.intent("SN-0001");
    let own = Intent { point: *ca.public_point(), ..base.clone() };
    assert_eq!(lint(&own, &profile(), ca, NOW), Err(LintError::CaKey));
    let mut off_curve = base.point;
    off_curve[64] ^= 1;
    let mut hybrid = base.point;
    hybrid[0] = 6 | (base.point[64] & 1);
    for point in [off_curve, hybrid, [0; 65], [4; 65]] {
        let intent = Intent { point, ..base.clone() };
        assert_eq!(lint(&intent, &profile(), ca, NOW), Err(LintError::Key));
    }
}

#[test]
fn a_lint_for_one_ca_is_none_for_another() {
    let (one, other) = (Hierarchy::new(), Hierarchy::new());
    let linted = lint(&one.intent("SN-0001"), &profile(), one.issuing.certificate(), NOW).unwrap();
    assert!(matches!(other.issuing.issue(linted, NOW), Err(IssueError::OtherCa)));
    // A certificate with another CA's key.
    let key = Box::new(FileKey::generate().unwrap());
    let certificate = one.issuing.certificate().clone();
    assert!(matches!(Issuer::new(certificate, key), Err(IssueError::WrongKey)));
}

#[test]
fn an_issuing_ca_makes_no_cas() {
    let hierarchy = Hierarchy::new();
    let error = issuing_ca("acme", &hierarchy.issuing, DAY, NOW).unwrap_err();
    assert!(matches!(error, HierarchyError::Lint(LintError::PathLength)), "{error}");
    // Below a root that ends soon, an issuing CA ends with it.
    let (certificate, key) = root_ca("acme", DAY, NOW).unwrap();
    let root = Issuer::new(certificate, Box::new(key)).unwrap();
    let (issuing, _) = issuing_ca("acme", &root, DAY * 300, NOW).unwrap();
    assert_eq!(issuing.validity().not_after, root.certificate().validity().not_after);
    for organization in ["", &"x".repeat(65), "a\nb"] {
        assert!(root_ca(organization, DAY, NOW).is_err(), "{organization:?}");
    }
}

#[test]
fn server_names_are_dns_names_or_addresses() {
    let hierarchy = Hierarchy::new();
    let key = FileKey::generate().unwrap();
    let make = |names: &[&str]| server_certificate(names, &key, &hierarchy.issuing, SERVER_LIFETIME * 9, NOW);
    let issued = make(&["broker.example", "192.0.2.1", "2001:db8::1", "localhost"]).unwrap();
    assert_eq!(issued.validity().not_after, NOW.after(SERVER_LIFETIME), "no longer than that");
    assert!(matches!(make(&[]), Err(HierarchyError::NoNames)));
    for bad in ["", "*.example", "a b", "https://a.example", "a/b", "-a.example", "a..b"] {
        assert!(matches!(make(&[bad]), Err(HierarchyError::ServerName { .. })), "{bad:?}");
    }
}

#[test]
fn what_is_no_ca_certificate_does_not_become_one() {
    let hierarchy = Hierarchy::new();
    let device = hierarchy.device("SN-0001");
    assert!(CaCertificate::from_der(device.der()).is_err());
    let root = hierarchy.root.certificate().der();
    assert_eq!(CaCertificate::from_der(root).as_ref(), Ok(hierarchy.root.certificate()));
    for at in 0..root.len() {
        assert!(CaCertificate::from_der(&root[..at]).is_err());
    }
    assert!(CaCertificate::from_der(&[root, &[0]].concat()).is_err());
}

/// A key in other hands that signs what it likes, or nothing.
#[derive(Debug)]
struct Odd {
    inner: FileKey,
    fails: bool,
}

impl IssuerKey for Odd {
    fn public_point(&self) -> &[u8; 65] {
        self.inner.public_point()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        if self.fails {
            return Err(KeyError::Unavailable("the token was pulled".into()));
        }
        self.inner.sign(&[message, b"!"].concat())
    }
}

#[test]
fn a_key_that_signs_something_else_is_found_out() {
    let hierarchy = Hierarchy::new();
    for fails in [false, true] {
        let (certificate, inner) = issuing_ca("acme", &hierarchy.root, DAY * 100, NOW).unwrap();
        let issuer = Issuer::new(certificate, Box::new(Odd { inner, fails })).unwrap();
        let linted = lint(&hierarchy.intent("SN-0001"), &profile(), issuer.certificate(), NOW).unwrap();
        let error = issuer.issue(linted, NOW).unwrap_err();
        match fails {
            true => assert!(matches!(error, IssueError::Key(KeyError::Unavailable(_))), "{error}"),
            false => assert!(matches!(error, IssueError::Differs(Mismatch::Signature)), "{error}"),
        }
    }
}
