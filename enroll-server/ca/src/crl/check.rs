//! The check of a signed list against what was to be signed, before anyone sees it: as a reader that did not write it
//! sees it, apart from the entries, each of which was read back when it was written.

use x509_parser::prelude::{FromDer, ParsedExtension, X509Extension};
use x509_parser::x509::AlgorithmIdentifier;

use super::entry::read_time;
use super::{
    CRL_NUMBER, Entries, ISSUING_DISTRIBUTION_POINT, Issue, Scope, algorithm, issuing_distribution_point,
};
use crate::certificate::CaCertificate;
use crate::der;
use crate::lint::Element;
use crate::parse_back::{Mismatch, check_algorithm, check_signature, same};

/// Compares a signed list with what was to be signed (RFC 5280, section 5.1).
pub(super) fn check(
    list: &[u8],
    ca: &CaCertificate,
    issue: Issue,
    scope: Scope<'_>,
    entries: &Entries,
) -> Result<(), Mismatch> {
    let whole = Element::only(list).filter(|whole| whole.tag == der::SEQUENCE).ok_or(Mismatch::Malformed)?;
    let mut rest = whole.value;
    let tbs = next(&mut rest, der::SEQUENCE)?;
    let _algorithm = next(&mut rest, der::SEQUENCE)?;
    let signature = next(&mut rest, der::BIT_STRING)?.value.split_first();
    let (_, signature) = signature.filter(|_| rest.is_empty()).ok_or(Mismatch::Malformed)?;
    check_fields(tbs.value, ca, issue, scope, entries)?;
    check_signature(list, tbs.whole, signature, ca.public_point())
}

fn check_fields(
    mut rest: &[u8],
    ca: &CaCertificate,
    issue: Issue,
    scope: Scope<'_>,
    entries: &Entries,
) -> Result<(), Mismatch> {
    same(next(&mut rest, der::INTEGER)?.value == [1], Mismatch::Version)?;
    let found = next(&mut rest, der::SEQUENCE)?.whole;
    check_algorithm(&parsed::<AlgorithmIdentifier<'_>>(found)?)?;
    // The parser takes other tags as well.
    same(found == algorithm(), Mismatch::Algorithm)?;
    same(next(&mut rest, der::SEQUENCE)?.whole == ca.subject_der(), Mismatch::Issuer)?;
    for wanted in [issue.this_update, issue.next_update] {
        let (found, after) = Element::first(rest).ok_or(Mismatch::Malformed)?;
        same(read_time(found) == Some(wanted), Mismatch::Validity)?;
        rest = after;
    }
    // Section 5.1.2.6: where nothing is revoked, the list is absent.
    if !entries.is_empty() {
        let revoked = next(&mut rest, der::SEQUENCE)?;
        let after =
            entries.ders().into_iter().try_fold(revoked.value, |rest, entry| rest.strip_prefix(entry));
        same(after.is_some_and(<[u8]>::is_empty), Mismatch::Entries)?;
    }
    let tagged = next(&mut rest, der::context_constructed(0))?;
    same(rest.is_empty(), Mismatch::Malformed)?;
    let mut list = tagged.value;
    let extensions = next(&mut list, der::SEQUENCE)?;
    same(list.is_empty(), Mismatch::Malformed)?;
    check_extensions(extensions.value, ca, issue, scope)
}

/// Key identifier, number, and the distribution point where there is one: nothing else.
fn check_extensions(
    mut rest: &[u8],
    ca: &CaCertificate,
    issue: Issue,
    scope: Scope<'_>,
) -> Result<(), Mismatch> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let extension = next(&mut rest, der::SEQUENCE)?;
        same(is_tagged_right(&extension), Mismatch::Malformed)?;
        found.push(parsed::<X509Extension<'_>>(extension.whole)?);
    }
    let number = found.iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::CRLNumber(number) if !extension.critical => u64::try_from(number).ok(),
        _ => None,
    });
    same(number == Some(issue.number), Mismatch::Entries)?;
    let authority = found.iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) if !extension.critical => id.key_identifier.as_ref(),
        _ => None,
    });
    same(authority.map(|id| id.0) == Some(ca.key_id()), Mismatch::Extensions)?;
    let point = found.iter().find(|extension| extension.oid.as_bytes() == ISSUING_DISTRIBUTION_POINT);
    let (count, wanted) = match scope {
        Scope::Complete => (2, None),
        Scope::Point(url) => (3, Some(issuing_distribution_point(url))),
    };
    same(point.map(|extension| extension.value) == wanted.as_deref(), Mismatch::Extensions)?;
    same(point.is_none_or(|extension| extension.critical) && found.len() == count, Mismatch::Extensions)
}

/// Whether it has the tags of an Extension (RFC 5280, section 4.1), and what is in it those of DER: the parser takes
/// others as well.
fn is_tagged_right(extension: &Element<'_>) -> bool {
    let fields = extension.children().unwrap_or_default();
    let (oid, value) = match fields.as_slice() {
        [oid, value] => (oid, value),
        [oid, critical, value] if (critical.tag, critical.value) == (der::BOOLEAN, &[0xff]) => (oid, value),
        _ => return false,
    };
    let inner = Element::only(value.value).map(|inner| inner.tag);
    let wanted = if oid.value == CRL_NUMBER { der::INTEGER } else { der::SEQUENCE };
    (oid.tag, value.tag) == (der::OID, der::OCTET_STRING) && inner == Some(wanted)
}

/// Takes the next element off, which has this tag.
fn next<'a>(rest: &mut &'a [u8], tag: u8) -> Result<Element<'a>, Mismatch> {
    let (element, after) = Element::first(rest).ok_or(Mismatch::Malformed)?;
    same(element.tag == tag, Mismatch::Malformed)?;
    *rest = after;
    Ok(element)
}

/// By the parser of others, to the last byte.
fn parsed<'a, T: FromDer<'a, x509_parser::error::X509Error>>(der: &'a [u8]) -> Result<T, Mismatch> {
    match T::from_der(der) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(Mismatch::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::crl::{Entries, Entry, Issue, Reason, Revoked, Scope, sign, tbs_cert_list};
    use crate::hierarchy;
    use crate::issuer::Issuer;
    use crate::parse_back::Mismatch;
    use crate::profile::BACKDATE;
    use crate::serial::Serial;
    use crate::to_be_signed::assemble;
    use core::time::Duration;
    use shared::UnixTime;

    const NOW: UnixTime = UnixTime::from_secs(1_795_478_400);
    const URL: Scope<'_> = Scope::Point("http://ca.example/crl/1/1.crl");

    fn issuer() -> Issuer {
        let (certificate, key) = hierarchy::root_ca("acme", hierarchy::ROOT_LIFETIME, NOW).unwrap();
        Issuer::new(certificate, Box::new(key)).unwrap()
    }

    fn issue() -> Issue {
        Issue { number: 300, this_update: NOW, next_update: NOW.after(Duration::from_secs(60)) }
    }

    fn revoked(number: u8) -> Revoked {
        let serial = Serial::from_bytes([number; 16]).unwrap();
        Revoked { serial, at: NOW, reason: Reason::KeyCompromise }
    }

    fn entries(list: impl IntoIterator<Item = Revoked>) -> Entries {
        let mut entries = Entries::default();
        list.into_iter().for_each(|revoked| entries.insert(Entry::write(revoked).unwrap()));
        entries
    }

    #[test]
    fn lists_of_every_kind_pass() {
        let issuer = issuer();
        for count in [0, 1, 3, 200] {
            let entries = entries((1..=count).map(revoked));
            for scope in [Scope::Complete, URL] {
                let der = sign(&issuer, issue(), scope, &entries).unwrap();
                // It holds for a peer, too, whose clock is a little behind.
                let dated = Issue { this_update: NOW.before(BACKDATE), ..issue() };
                assert_eq!(check(&der, issuer.certificate(), dated, scope, &entries), Ok(()));
            }
        }
    }

    /// The planted bugs of who puts the list together: another set of entries, another number, other dates, another
    /// distribution point; signed all the same.
    #[test]
    fn a_list_that_says_anything_else_is_found() {
        let issuer = issuer();
        let wanted = entries([1, 0x90, 3].map(revoked));
        let planted = |issue, scope, entries: &Entries| {
            let tbs = tbs_cert_list(&issuer, issue, scope, entries).unwrap();
            let der = assemble(&tbs, &issuer.sign(&tbs).unwrap());
            check(&der, issuer.certificate(), self::issue(), URL, &wanted)
        };
        assert_eq!(planted(issue(), URL, &wanted), Ok(()));
        let fewer = entries([1, 3].map(revoked));
        let more = entries([1, 0x90, 3, 4].map(revoked));
        let older = Revoked { at: NOW.before(Duration::from_secs(1)), ..revoked(3) };
        let held = Revoked { reason: Reason::CertificateHold, ..revoked(3) };
        for other in [
            fewer,
            more,
            entries([revoked(1), revoked(0x90), older]),
            entries([revoked(1), revoked(0x90), held]),
        ] {
            assert_eq!(planted(issue(), URL, &other), Err(Mismatch::Entries));
        }
        assert!(planted(issue(), URL, &Entries::default()).is_err());
        let later = Issue { next_update: NOW.after(Duration::from_secs(61)), ..issue() };
        assert_eq!(planted(later, URL, &wanted), Err(Mismatch::Validity));
        let earlier = Issue { this_update: NOW.before(Duration::from_secs(1)), ..issue() };
        assert_eq!(planted(earlier, URL, &wanted), Err(Mismatch::Validity));
        assert_eq!(planted(Issue { number: 301, ..issue() }, URL, &wanted), Err(Mismatch::Entries));
        assert_eq!(planted(issue(), Scope::Complete, &wanted), Err(Mismatch::Extensions));
        let other = Scope::Point("http://ca.example/crl/1/2.crl");
        assert_eq!(planted(issue(), other, &wanted), Err(Mismatch::Extensions));
    }

    /// No byte can be wrong, though the signature over it is right; nor any byte of the signature.
    #[test]
    fn every_byte_counts() {
        let issuer = issuer();
        let wanted = entries([1, 0x90].map(revoked));
        let found = |der: &[u8]| check(der, issuer.certificate(), issue(), URL, &wanted);
        let tbs = tbs_cert_list(&issuer, issue(), URL, &wanted).unwrap();
        for at in 0..tbs.len() {
            let mut changed = tbs.clone();
            changed[at] ^= 1;
            assert!(
                found(&assemble(&changed, &issuer.sign(&changed).unwrap())).is_err(),
                "byte {at} of what is signed"
            );
        }
        let good = assemble(&tbs, &issuer.sign(&tbs).unwrap());
        assert_eq!(found(&good), Ok(()));
        for at in (0..good.len()).filter(|at| *at < 4 || *at >= tbs.len()) {
            let mut changed = good.clone();
            changed[at] ^= 1;
            assert!(found(&changed).is_err(), "byte {at}");
        }
        assert!(found(&good[..good.len() - 1]).is_err() && found(&[good.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn another_key_is_found() {
        let (one, other) = (issuer(), issuer());
        let entries = entries([revoked(1)]);
        let der = sign(&other, issue(), URL, &entries).unwrap();
        assert!(check(&der, one.certificate(), issue(), URL, &entries).is_err());
        let tbs = tbs_cert_list(&one, issue(), URL, &entries).unwrap();
        let forged = assemble(&tbs, &other.sign(&tbs).unwrap());
        assert_eq!(check(&forged, one.certificate(), issue(), URL, &entries), Err(Mismatch::Signature));
    }
}
