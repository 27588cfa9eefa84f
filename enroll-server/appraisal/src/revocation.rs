//! Whether a maker took back what it endorsed: the certificates of a verified path against the makers' lists.
//!
//! Pure lookup: the lists were verified when they were taken in ([`crate::maker_crl`]).

use serde::{Deserialize, Serialize};
use shared::{Reject, UnixTime};
use x509_parser::certificate::X509Certificate;

use crate::key::hex;
use crate::maker::Endorsements;
use crate::maker_crl::{IssuerId, issuer_id};
use crate::policy::{MakerCrlUse, Policy};
use crate::record::{Refusal, Trail, Verdict, rule};

/// One certificate of a verified path, and who issued it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    serial: Vec<u8>,
    issuer: IssuerId,
}

impl Link {
    /// The certificate `issued`, by `issuer`, under whose key it was verified.
    pub(crate) fn new(issued: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Self {
        Self::under(issued, issuer_id(issuer))
    }

    pub(crate) fn under(issued: &X509Certificate<'_>, issuer: IssuerId) -> Self {
        Self { serial: issued.raw_serial().to_vec(), issuer }
    }
}

/// What the lists that the server held when the device asked say of the certificates by which a maker endorses
/// it. A policy judges it, then or later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Findings {
    /// Whether there were certificates to look up.
    looked_up: bool,
    /// A certificate that is revoked, and by which list.
    revoked: Option<String>,
    /// A certificate of which no current list says anything.
    unknown: Option<String>,
    /// The lists, current or not, that have none of the certificates.
    clear: Vec<String>,
}

impl Findings {
    /// The certificate that is revoked, where one is.
    pub(crate) fn revoked(&self) -> Option<&str> {
        self.revoked.as_deref()
    }
}

/// Looks up certificates that a maker's CAs issued for a device, the device's own first.
pub(crate) fn look_up(links: &[Link], makers: &Endorsements, now: UnixTime) -> Findings {
    let mut findings = Findings { looked_up: !links.is_empty(), ..Findings::default() };
    for link in links {
        let serial = hex(&link.serial);
        let Some(crl) = makers.crl(&link.issuer) else {
            let found = format!("no revocation list of the CA that issued certificate {serial}");
            findings.unknown.get_or_insert(found);
            continue;
        };
        let list = format!("list {} of {:?}", crl.number_text(), crl.issuer_name());
        if crl.lists(&link.serial) {
            let found = || format!("certificate {serial}, which {list} revokes");
            findings.revoked.get_or_insert_with(found);
            continue;
        }
        if !crl.is_current(now) {
            let found =
                format!("{list}, which is not in force: its next update was due {}", crl.next_update());
            findings.unknown.get_or_insert(found);
        }
        findings.clear.push(list);
    }
    findings
}

/// Judges what was found by the policy.
pub(crate) fn check(findings: &Findings, policy: &Policy, trail: &mut Trail) -> Result<(), Refusal> {
    let rule = rule::ENDORSEMENT_REVOCATION;
    let wanted = match policy.maker_crl {
        MakerCrlUse::Ignore => {
            let wanted = "nothing (evidence.crl = \"ignore\")";
            trail.note(Verdict::Skipped, rule, "makers' revocation lists", wanted);
            return Ok(());
        }
        MakerCrlUse::IfPresent => "certificates that no list of the maker revokes",
        MakerCrlUse::Require => {
            "certificates that the maker's current lists do not revoke (evidence.crl = \"require\")"
        }
    };
    // A list that is past its time still says what was revoked.
    if let Some(revoked) = &findings.revoked {
        return Err(trail.refuse(rule, Reject::EndorsementRevoked, revoked.clone(), wanted));
    }
    let unknown = if findings.looked_up {
        findings.unknown.as_deref()
    } else {
        Some("an endorsement without certificates that could be looked up")
    };
    if let Some(unknown) = unknown
        && policy.maker_crl == MakerCrlUse::Require
    {
        return Err(trail.refuse(rule, Reject::RevocationUnknown, unknown.to_owned(), wanted));
    }
    if findings.clear.is_empty() {
        trail.note(Verdict::Skipped, rule, "no revocation list of the maker", wanted);
    } else {
        trail.note(Verdict::Passed, rule, format!("nothing in {}", findings.clear.join(", ")), wanted);
    }
    Ok(())
}
