//! Judges certificates: why a chain leads nowhere, dates, names, purpose, revocation. Pure; explains first and has
//! rustls-webpki as the last word, so that a chain which that library refuses is never called fine.
//!
//! It explains for people. What a device believes is decided by the device's own verifier alone.

use core::time::Duration;

use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor};
use shared::UnixTime;
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;

use crate::finding::{Cause, Finding};
use crate::report::{Report, Step};

/// Most certificates that are looked at in what somebody sent.
const MAX_SENT: usize = 16;
/// Longest path, the anchor counted.
const MAX_PATH: usize = 8;

/// Whose certificate it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A server's.
    Server,
    /// A client's.
    Client,
}

/// What is to be judged, and by what.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Whose certificates they are, in words.
    pub subject: &'a str,
    /// As sent or stored, in DER, the leaf first.
    pub chain: &'a [Vec<u8>],
    /// CAs that are trusted, in DER.
    pub anchors: &'a [Vec<u8>],
    /// Certificates that are known here otherwise; they only tell a missing intermediate from a foreign CA.
    pub known: &'a [Vec<u8>],
    /// Revocation lists in DER; none: revocation is not looked at.
    pub crls: &'a [Vec<u8>],
    /// Whose certificate it is.
    pub purpose: Purpose,
    /// The name that it has to carry, if one is asked for.
    pub name: Option<&'a str>,
    /// The time.
    pub now: UnixTime,
}

/// Judges the chain and says so in `report`: steps chain, name and revocation. The first step that fails is the last.
pub fn judge(question: &Question<'_>, report: &mut Report) {
    let before = report.findings.len();
    let Some(path) = judge_chain(question, report) else { return };
    if report.findings.len() > before {
        return;
    }
    report.pass(Step::Chain, describe(&path));
    if let Some(name) = question.name {
        match judge_name(question, name) {
            Some(finding) => return report.fail(Step::Name, finding),
            None => report.pass(Step::Name, format!("the certificate is for {name}")),
        }
    }
    judge_revocation(question, &path, report);
}

/// Judges one certificate by itself: dates and purpose.
#[must_use]
pub fn judge_leaf(subject: &str, der: &[u8], purpose: Purpose, now: UnixTime) -> Vec<Finding> {
    match parse(der) {
        Some(leaf) => dates(subject, &leaf, now).into_iter().chain(usage(subject, &leaf, purpose)).collect(),
        None => vec![unreadable(subject)],
    }
}

fn judge_chain<'a>(question: &Question<'a>, report: &mut Report) -> Option<Vec<X509Certificate<'a>>> {
    let subject = question.subject;
    let sent: Option<Vec<_>> = question.chain.iter().take(MAX_SENT).map(|der| parse(der)).collect();
    let (Some(sent), false) = (sent, question.chain.is_empty()) else {
        report.fail(Step::Chain, unreadable(subject));
        return None;
    };
    let anchors: Vec<_> = question.anchors.iter().filter_map(|der| parse(der)).collect();
    let path = match climb(&sent, &anchors) {
        Ok(path) => path,
        Err(top) => {
            // What is out of date may be why nothing leads anywhere, but the missing issuer comes first.
            report.fail(Step::Chain, no_path(question, &top, &sent, &anchors));
            return None;
        }
    };
    if let Some(finding) = clock(subject, &path, question.now) {
        report.fail(Step::Clock, finding);
        return None;
    }
    for certificate in &path {
        if let Some(finding) = dates(subject, certificate, question.now) {
            report.fail(Step::Chain, finding);
        }
    }
    if let Some(finding) = path.first().and_then(|leaf| usage(subject, leaf, question.purpose)) {
        report.fail(Step::Chain, finding);
    }
    if report.is_fine()
        && let Err(error) = last_word(question)
    {
        let expected = "a chain that rustls-webpki takes";
        report
            .fail(Step::Chain, Finding::new(Cause::CertificateRefused, subject, error.to_string(), expected));
    }
    Some(path)
}

/// The certificates from the leaf to an anchor, or the one whose issuer is not there.
fn climb<'a>(
    sent: &[X509Certificate<'a>],
    anchors: &[X509Certificate<'a>],
) -> Result<Vec<X509Certificate<'a>>, Box<X509Certificate<'a>>> {
    let mut path: Vec<X509Certificate<'a>> = sent.first().cloned().into_iter().collect();
    while let Some(top) = path.last().cloned() {
        // A trusted certificate itself was sent or given.
        if anchors.iter().any(|anchor| anchor.as_raw() == top.as_raw()) {
            return Ok(path);
        }
        let is_issuer = |candidate: &&X509Certificate<'a>| issued(candidate, &top);
        if let Some(anchor) = anchors.iter().find(is_issuer) {
            path.push(anchor.clone());
            return Ok(path);
        }
        let next = sent
            .iter()
            .filter(|candidate| path.iter().all(|on_path| on_path.as_raw() != candidate.as_raw()))
            .find(is_issuer);
        match next {
            Some(next) if path.len() < MAX_PATH => path.push(next.clone()),
            _ => return Err(Box::new(top)),
        }
    }
    Ok(path)
}

fn no_path(
    question: &Question<'_>,
    top: &X509Certificate<'_>,
    sent: &[X509Certificate<'_>],
    anchors: &[X509Certificate<'_>],
) -> Finding {
    let known: Vec<_> = question.known.iter().filter_map(|der| parse(der)).collect();
    let issuer = top.issuer().to_string();
    let expected = format!(
        "a path to one of: {}",
        or_none(anchors.iter().take(5).map(|anchor| format!("\"{}\"", anchor.subject())))
    );
    let finding = |cause, found: String| Finding::new(cause, question.subject, found, expected.clone());
    if top.issuer() == top.subject() {
        return finding(
            Cause::UnknownCa,
            format!("the path ends at \"{issuer}\", a root that is not trusted here"),
        );
    }
    let mut namesakes = anchors.iter().chain(sent).filter(|other| other.subject() == top.issuer());
    if namesakes.clone().any(|other| names_key_of(top, other)) {
        let expected = format!("the signature of \"{issuer}\", whose key it names");
        let found = format!("\"{}\" has a signature that does not verify", top.subject());
        return Finding::new(Cause::SignatureWrong, question.subject, found, expected);
    }
    if namesakes.next().is_some() {
        let found = format!("the issuer calls itself \"{issuer}\" as a known CA does, but has another key");
        return finding(Cause::UnknownCa, found);
    }
    let completes =
        known.iter().any(|other| issued(other, top) && climb(core::slice::from_ref(other), anchors).is_ok());
    // A CA of the organisation that is trusted is most likely one below its root.
    let organisation = |name: &x509_parser::x509::X509Name<'_>| {
        name.iter_organization().next().and_then(|o| o.as_str().ok()).map(str::to_owned)
    };
    let ours = organisation(top.issuer()).is_some_and(|issuer| {
        anchors.iter().any(|anchor| organisation(anchor.subject()).as_ref() == Some(&issuer))
    });
    if completes || ours {
        let found = format!("the certificate of the issuer \"{issuer}\" was not sent");
        return finding(Cause::ChainIncomplete, found);
    }
    finding(Cause::UnknownCa, format!("\"{}\" is from \"{issuer}\", which nobody here knows", top.subject()))
}

/// Every certificate of the path is out of date to the same side: rather the clock than all of them.
fn clock(subject: &str, path: &[X509Certificate<'_>], now: UnixTime) -> Option<Finding> {
    let now_is = asn1(now)?;
    let early = path.iter().all(|certificate| now_is < certificate.validity().not_before);
    let late = path.iter().all(|certificate| now_is > certificate.validity().not_after);
    let found = match (path.len() > 1, early, late) {
        (true, true, _) => format!("it is {now} here, before every certificate begins"),
        (true, _, true) => format!("it is {now} here, after every certificate has ended, the root's too"),
        _ => return None,
    };
    let validity = path.first()?.validity();
    let expected = format!("a time between {} and {}", validity.not_before, validity.not_after);
    Some(Finding::new(
        Cause::ClockWrong,
        format!("this machine's clock, by the certificates of {subject}"),
        found,
        expected,
    ))
}

fn dates(subject: &str, certificate: &X509Certificate<'_>, now: UnixTime) -> Option<Finding> {
    let (now_is, validity) = (asn1(now)?, certificate.validity());
    let name = certificate.subject();
    if now_is > validity.not_after {
        let found = format!("\"{name}\" ended at {}", validity.not_after);
        return Some(Finding::new(Cause::Expired, subject, found, format!("an end after {now}")));
    }
    if now_is < validity.not_before {
        let found = format!("\"{name}\" begins at {}", validity.not_before);
        return Some(Finding::new(Cause::NotYetValid, subject, found, format!("a beginning before {now}")));
    }
    None
}

fn usage(subject: &str, leaf: &X509Certificate<'_>, purpose: Purpose) -> Option<Finding> {
    let wanted = match purpose {
        Purpose::Server => "serverAuth",
        Purpose::Client => "clientAuth",
    };
    let expected = format!("the extended key usage {wanted}");
    let Ok(Some(usage)) = leaf.extended_key_usage() else {
        let found = "no extended key usage";
        return Some(Finding::new(Cause::EkuMissing, subject, found, expected));
    };
    let usage = usage.value;
    let good = match purpose {
        Purpose::Server => usage.server_auth,
        Purpose::Client => usage.client_auth,
    };
    if good {
        return None;
    }
    let has = [
        (usage.server_auth, "serverAuth"),
        (usage.client_auth, "clientAuth"),
        (usage.code_signing, "codeSigning"),
        (usage.email_protection, "emailProtection"),
        (usage.time_stamping, "timeStamping"),
        (usage.ocsp_signing, "OCSPSigning"),
        (usage.any, "anyExtendedKeyUsage"),
    ];
    let has = or_none(has.iter().filter(|(is, _)| *is).map(|(_, name)| (*name).to_owned()));
    Some(Finding::new(Cause::EkuWrong, subject, format!("a certificate for: {has}"), expected))
}

fn judge_name(question: &Question<'_>, name: &str) -> Option<Finding> {
    let expected = format!("a certificate for {name}");
    let leaf = question.chain.first()?;
    let certificate = CertificateDer::from(leaf.as_slice());
    let matches = ServerName::try_from(name).is_ok_and(|name| {
        EndEntityCert::try_from(&certificate)
            .is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(&name).is_ok())
    });
    if matches {
        return None;
    }
    let names = parse(leaf).map_or_else(String::new, |leaf| or_none(names(&leaf).into_iter()));
    let found = format!("names in the certificate: {names}");
    Some(Finding::new(Cause::NameMismatch, question.subject, found, expected))
}

/// DNS names and addresses in subjectAltName.
#[must_use]
pub(crate) fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(core::net::Ipv4Addr::new(a, b, c, d).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|all| core::net::Ipv6Addr::from(all).to_string()),
        },
        _ => None,
    };
    names.value.general_names.iter().take(20).filter_map(text).collect()
}

fn judge_revocation(question: &Question<'_>, path: &[X509Certificate<'_>], report: &mut Report) {
    let subject = question.subject;
    if question.crls.is_empty() {
        return report.skip(Step::Revocation, "no revocation list was given");
    }
    let lists: Vec<_> = question.crls.iter().filter_map(|der| list(der)).collect();
    let mut looked_at = 0;
    for (certificate, issuer) in path.iter().zip(path.iter().skip(1)) {
        let mut of_issuer = lists.iter().filter(|list| {
            list.issuer() == issuer.subject() && list.verify_signature(issuer.public_key()).is_ok()
        });
        let Some(list) = of_issuer.next() else {
            report.notes.push(format!("no revocation list of \"{}\" is there", issuer.subject()));
            continue;
        };
        looked_at += 1;
        if let Some(entry) =
            list.iter_revoked_certificates().find(|entry| entry.raw_serial() == certificate.raw_serial())
        {
            let found = format!("\"{}\" was revoked at {}", certificate.subject(), entry.revocation_date);
            let expected = "a certificate that is not on its issuer's list";
            return report.fail(Step::Revocation, Finding::new(Cause::Revoked, subject, found, expected));
        }
        if let Some(finding) = stale(list, question.now) {
            return report.fail(Step::Revocation, finding);
        }
    }
    match looked_at {
        0 => report.skip(Step::Revocation, "no list of an issuer on the path was given"),
        _ => report.pass(Step::Revocation, format!("not revoked, by {looked_at} lists")),
    }
}

/// Whether a list has run out.
pub(crate) fn stale(list: &CertificateRevocationList<'_>, now: UnixTime) -> Option<Finding> {
    let next = list.next_update()?;
    (asn1(now)? > next).then(|| {
        let subject = format!("revocation list of \"{}\"", list.issuer());
        Finding::new(
            Cause::CrlStale,
            subject,
            format!("it ran out at {next}"),
            format!("one that is good after {now}"),
        )
    })
}

/// One list in DER; nothing may follow it.
pub(crate) fn list(der: &[u8]) -> Option<CertificateRevocationList<'_>> {
    CertificateRevocationList::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, list)| list)
}

/// One certificate in DER; nothing may follow it.
pub(crate) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, found)| found)
}

fn issued(issuer: &X509Certificate<'_>, subject: &X509Certificate<'_>) -> bool {
    issuer.subject() == subject.issuer() && subject.verify_signature(Some(issuer.public_key())).is_ok()
}

/// Whether a certificate names the issuer's key as the one that signed it (RFC 5280, 4.2.1.1).
fn names_key_of(subject: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    let named = subject.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(key) => key.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    });
    let own = issuer.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    });
    named.is_some() && named == own
}

fn last_word(question: &Question<'_>) -> Result<(), webpki::Error> {
    let ders: Vec<CertificateDer<'_>> =
        question.chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let trusted: Vec<CertificateDer<'_>> =
        question.anchors.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let anchors: Vec<TrustAnchor<'_>> =
        trusted.iter().filter_map(|der| webpki::anchor_from_trusted_cert(der).ok()).collect();
    let Some((leaf, others)) = ders.split_first() else { return Err(webpki::Error::UnknownIssuer) };
    let usage = match question.purpose {
        Purpose::Server => KeyUsage::server_auth(),
        Purpose::Client => KeyUsage::client_auth(),
    };
    let now = rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(question.now.as_secs()));
    EndEntityCert::try_from(leaf)?
        .verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, others, now, usage, None, None)
        .map(|_| ())
}

fn asn1(time: UnixTime) -> Option<ASN1Time> {
    ASN1Time::from_timestamp(i64::try_from(time.as_secs()).ok()?).ok()
}

fn describe(path: &[X509Certificate<'_>]) -> String {
    let names: Vec<_> = path.iter().map(|certificate| certificate.subject().to_string()).collect();
    let until = path.first().map(|leaf| leaf.validity().not_after.to_string()).unwrap_or_default();
    format!("{}; until {until}", names.join(" < "))
}

fn unreadable(subject: &str) -> Finding {
    Finding::new(Cause::CertificateUnreadable, subject, "no certificate in DER", "an X.509 certificate")
}

fn or_none(items: impl Iterator<Item = String>) -> String {
    let all: Vec<_> = items.collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}
