//! Says what is in files of any kind, and whether they fit together. Pure, and safe for any bytes.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use shared::UnixTime;
use shared::cose::{Content, Sign1};
use shared::limits::MAX_TRUST_BUNDLE;
use shared::message::latest::TrustBundle;
use x509_parser::certificate::X509Certificate;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use crate::chain::{self, Purpose, Question, list, parse};
use crate::finding::{Cause, Finding};
use crate::identity::mismatch;
use crate::report::{Report, Step};

/// Most things that are looked at in one file.
const MAX_ITEMS: usize = 512;

/// One thing in a file.
#[derive(Debug)]
pub enum Item {
    /// A certificate in DER.
    Certificate(Vec<u8>),
    /// A private key.
    Key(PrivateKeyDer<'static>),
    /// A private key that is encrypted.
    EncryptedKey,
    /// A public key in DER.
    PublicKey(Vec<u8>),
    /// A certification request in DER.
    Request(Vec<u8>),
    /// A revocation list in DER.
    Crl(Vec<u8>),
    /// A signed trust bundle of this project.
    Bundle(Vec<u8>),
    /// A section of PEM that is broken.
    Broken(String),
}

impl Item {
    /// The certificate, if it is one.
    #[must_use]
    pub fn into_certificate(self) -> Option<Vec<u8>> {
        if let Self::Certificate(der) = self { Some(der) } else { None }
    }

    /// The revocation list, if it is one.
    #[must_use]
    pub fn into_crl(self) -> Option<Vec<u8>> {
        if let Self::Crl(der) = self { Some(der) } else { None }
    }
}

/// Everything that is in a file: PEM, DER or a trust bundle. Nothing where it is none of these.
#[must_use]
pub fn read(bytes: &[u8]) -> Vec<Item> {
    if let Some(item) = der(bytes) {
        return vec![item];
    }
    let mut items = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes).take(MAX_ITEMS) {
        items.extend(match section {
            Ok((SectionKind::Certificate, der)) => Some(Item::Certificate(der)),
            Ok((SectionKind::Crl, der)) => Some(Item::Crl(der)),
            Ok((SectionKind::Csr, der)) => Some(Item::Request(der)),
            Ok((SectionKind::PublicKey, der)) => Some(Item::PublicKey(der)),
            Ok((kind, der)) => PrivateKeyDer::from_pem(kind, der).map(Item::Key),
            Err(error) => Some(Item::Broken(format!("{error:?}"))),
        });
    }
    if items.is_empty() && contains(bytes, b"-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        items.push(Item::EncryptedKey);
    }
    items
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn der(bytes: &[u8]) -> Option<Item> {
    if parse(bytes).is_some() {
        return Some(Item::Certificate(bytes.to_vec()));
    }
    if list(bytes).is_some() {
        return Some(Item::Crl(bytes.to_vec()));
    }
    if X509CertificationRequest::from_der(bytes).is_ok() {
        return Some(Item::Request(bytes.to_vec()));
    }
    if Sign1::decode(bytes, Content::TrustBundle, MAX_TRUST_BUNDLE).is_ok() {
        return Some(Item::Bundle(bytes.to_vec()));
    }
    PrivateKeyDer::try_from(bytes).ok().map(|key| Item::Key(key.clone_key()))
}

/// The anchors of a trust bundle of this project.
#[must_use]
pub fn bundle_anchors(signed: &[u8]) -> Vec<Vec<u8>> {
    let Ok(sign1) = Sign1::decode(signed, Content::TrustBundle, MAX_TRUST_BUNDLE) else { return Vec::new() };
    TrustBundle::decode(sign1.unverified_payload())
        .map(|bundle| bundle.anchors.iter().map(|der| der.to_vec()).collect())
        .unwrap_or_default()
}

/// By what files are judged, beside each other.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    /// CAs that are trusted; roots among the files are trusted too.
    pub anchors: &'a [Vec<u8>],
    /// Revocation lists; those among the files count too.
    pub crls: &'a [Vec<u8>],
    /// The name that a server's certificate has to carry.
    pub name: Option<&'a str>,
    /// The time.
    pub now: UnixTime,
}

/// One report for each file: what it is, and whether it fits the others.
#[must_use]
pub fn examine(files: &[(String, Vec<Item>)], basis: Basis<'_>) -> Vec<Report> {
    let all = || files.iter().flat_map(|(_, items)| items);
    let certificates: Vec<&[u8]> = all()
        .filter_map(|item| if let Item::Certificate(der) = item { Some(der.as_slice()) } else { None })
        .collect();
    let mut anchors = basis.anchors.to_vec();
    anchors.extend(certificates.iter().filter(|der| is_root(der)).map(|der| der.to_vec()));
    let mut crls = basis.crls.to_vec();
    for item in all() {
        match item {
            Item::Bundle(signed) => anchors.extend(bundle_anchors(signed)),
            Item::Crl(der) => crls.push(der.clone()),
            _ => {}
        }
    }
    let known: Vec<Vec<u8>> = certificates.iter().map(|der| der.to_vec()).collect();
    let desk = Desk { certificates, known, anchors, crls, basis };
    files.iter().map(|(name, items)| desk.report(name, items)).collect()
}

/// Everything that files are held against.
struct Desk<'a> {
    certificates: Vec<&'a [u8]>,
    known: Vec<Vec<u8>>,
    anchors: Vec<Vec<u8>>,
    crls: Vec<Vec<u8>>,
    basis: Basis<'a>,
}

impl Desk<'_> {
    fn report(&self, name: &str, items: &[Item]) -> Report {
        let mut report = Report::new(name);
        if items.is_empty() {
            let found = "neither PEM nor DER nor a trust bundle";
            let expected = "a certificate, chain, key, request, revocation list or trust bundle";
            report.fail(Step::Files, Finding::new(Cause::FileUnknown, name, found, expected));
        }
        for item in items {
            self.item(name, item, &mut report);
        }
        let chain: Vec<Vec<u8>> = items
            .iter()
            .filter_map(|item| if let Item::Certificate(der) = item { Some(der.clone()) } else { None })
            .collect();
        self.chain(name, &chain, &mut report);
        report
    }

    fn item(&self, name: &str, item: &Item, report: &mut Report) {
        match item {
            Item::Certificate(der) => match parse(der) {
                Some(certificate) => report.pass(Step::Files, certificate_words(&certificate)),
                None => report.fail(
                    Step::Files,
                    Finding::new(Cause::CertificateUnreadable, name, "no certificate in DER", "X.509"),
                ),
            },
            Item::Key(key) => self.key(name, key, report),
            Item::EncryptedKey => {
                let expected = "an unencrypted key, to look into it";
                report.fail(
                    Step::Files,
                    Finding::new(Cause::KeyUnreadable, name, "an encrypted key", expected),
                );
            }
            Item::PublicKey(_) => report.pass(Step::Files, "a public key"),
            Item::Request(der) => request(name, der, report),
            Item::Crl(der) => self.crl(name, der, report),
            Item::Bundle(signed) => bundle(name, signed, report),
            Item::Broken(why) => report.fail(
                Step::Files,
                Finding::new(Cause::CertificateUnreadable, name, format!("broken PEM: {why}"), "whole PEM"),
            ),
        }
    }

    fn key(&self, name: &str, key: &PrivateKeyDer<'_>, report: &mut Report) {
        let Ok(key) = any_supported_type(key) else {
            let expected = "ECDSA, RSA or Ed25519 in PKCS#8";
            let found = "a key that cannot be used";
            return report.fail(Step::Files, Finding::new(Cause::KeyUnreadable, name, found, expected));
        };
        let wrong = self.certificates.iter().map(|der| mismatch(name, der, key.as_ref()));
        match wrong.reduce(Option::and) {
            Some(Some(finding)) => report.fail(Step::Files, finding),
            Some(None) => report.pass(Step::Files, "a private key, of one of the certificates"),
            None => report.pass(Step::Files, "a private key; no certificate was given with it"),
        }
    }

    fn crl(&self, name: &str, der: &[u8], report: &mut Report) {
        let Some(list) = list(der) else {
            let found = "no revocation list in DER";
            let finding = Finding::new(Cause::CertificateUnreadable, name, found, "a CRL (RFC 5280)");
            return report.fail(Step::Files, finding);
        };
        let next = list.next_update().map_or_else(|| "never".to_owned(), |next| next.to_string());
        let entries = list.iter_revoked_certificates().count();
        let words =
            format!("revocation list of \"{}\": {entries} entries, next update {next}", list.issuer());
        let candidates = self.anchors.iter().chain(&self.known).filter_map(|der| parse(der));
        let signed: Vec<_> = candidates
            .filter(|ca| ca.subject() == list.issuer())
            .map(|ca| list.verify_signature(ca.public_key()).is_ok())
            .collect();
        if !signed.is_empty() && !signed.contains(&true) {
            let finding =
                Finding::new(Cause::SignatureWrong, name, words, "a signature by the CA of that name");
            return report.fail(Step::Files, finding);
        }
        match chain::stale(&list, self.basis.now) {
            Some(finding) => report.fail(Step::Files, finding),
            None => report.pass(Step::Files, words),
        }
    }

    fn chain(&self, name: &str, certificates: &[Vec<u8>], report: &mut Report) {
        let Some(leaf) = certificates.first().and_then(|der| parse(der)) else { return };
        let now = self.basis.now;
        // A file of CAs is no chain: each of them has its dates, and that is all that can be said.
        if leaf.is_ca() {
            for der in certificates {
                for finding in chain::judge_leaf(name, der, Purpose::Server, now) {
                    if matches!(finding.cause, Cause::Expired | Cause::NotYetValid) {
                        report.fail(Step::Chain, finding);
                    }
                }
            }
            return;
        }
        let client = leaf.extended_key_usage().ok().flatten().is_some_and(|usage| usage.value.client_auth);
        let purpose = if self.basis.name.is_none() && client { Purpose::Client } else { Purpose::Server };
        let server_name = if purpose == Purpose::Server { self.basis.name } else { None };
        if self.anchors.is_empty() {
            report.notes.push("no root is known: give it with --ca, or its file beside this one".to_owned());
            if let Some(der) = certificates.first() {
                for finding in chain::judge_leaf(name, der, purpose, now) {
                    report.fail(Step::Chain, finding);
                }
            }
            return;
        }
        let question = Question {
            subject: name,
            chain: certificates,
            anchors: &self.anchors,
            known: &self.known,
            crls: &self.crls,
            purpose,
            name: server_name,
            now,
        };
        chain::judge(&question, report);
    }
}

fn is_root(der: &[u8]) -> bool {
    parse(der)
        .is_some_and(|ca| ca.is_ca() && ca.subject() == ca.issuer() && ca.verify_signature(None).is_ok())
}

fn certificate_words(certificate: &X509Certificate<'_>) -> String {
    let kind = if certificate.is_ca() { "CA certificate" } else { "certificate" };
    let names = chain::names(certificate);
    let names = if names.is_empty() { String::new() } else { format!(", names {}", names.join(", ")) };
    format!(
        "{kind} of \"{}\" by \"{}\", from {} to {}{names}",
        certificate.subject(),
        certificate.issuer(),
        certificate.validity().not_before,
        certificate.validity().not_after,
    )
}

fn request(name: &str, der: &[u8], report: &mut Report) {
    let parsed = X509CertificationRequest::from_der(der);
    match parsed {
        Ok((_, request)) if request.verify_signature().is_ok() => {
            let subject = &request.certification_request_info.subject;
            report.pass(Step::Files, format!("certification request of \"{subject}\", signed by its key"));
        }
        Ok(_) => {
            let found = "a request with a wrong signature";
            let expected = "one that its own key signed";
            report.fail(Step::Files, Finding::new(Cause::SignatureWrong, name, found, expected));
        }
        Err(_) => {
            let found = "no request in DER";
            report.fail(Step::Files, Finding::new(Cause::CertificateUnreadable, name, found, "PKCS#10"));
        }
    }
}

fn bundle(name: &str, signed: &[u8], report: &mut Report) {
    let read = Sign1::decode(signed, Content::TrustBundle, MAX_TRUST_BUNDLE)
        .ok()
        .and_then(|sign1| Some((TrustBundle::decode(sign1.unverified_payload()).ok()?, sign1)));
    let Some((bundle, sign1)) = read else {
        let finding =
            Finding::new(Cause::FileUnknown, name, "a trust bundle that cannot be read", "a whole one");
        return report.fail(Step::Files, finding);
    };
    let words = format!("trust bundle {}, made {}, {} CAs", bundle.number, bundle.made, bundle.anchors.len());
    let mut message = Vec::new();
    sign1.signed_bytes(|part| message.extend_from_slice(part));
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bundle.signer);
    match key.verify(&message, sign1.signature()) {
        Ok(()) => report.pass(Step::Files, format!("{words}, signed by the key that it names")),
        // The bundle of a rollover of the signer is signed by the signer before.
        Err(_) => {
            report.pass(Step::Files, words);
            report
                .notes
                .push(format!("{name} is signed by another key than it names: by the one before it?"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Basis, Item, examine, read};
    use proptest::prelude::*;
    use shared::UnixTime;

    fn look(bytes: &[u8]) -> usize {
        let files = [("file".to_owned(), read(bytes))];
        let basis =
            Basis { anchors: &[], crls: &[], name: Some("host"), now: UnixTime::from_secs(1_800_000_000) };
        examine(&files, basis).iter().map(|report| report.findings.len()).sum()
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _findings = look(&bytes);
        }

        #[test]
        fn a_changed_certificate_never_panics(at in 0_usize..400, to in any::<u8>()) {
            let made = rcgen::generate_simple_self_signed(["host".to_owned()]).unwrap();
            let mut der = made.cert.der().to_vec();
            let length = der.len();
            der[at % length] = to;
            let _findings = look(&der);
            let pem = made.cert.pem().replace('A', &char::from(to % 128).to_string());
            let _findings = look(pem.as_bytes());
        }
    }

    #[test]
    fn an_unknown_file_and_a_key_are_told() {
        assert_eq!(look(b"hello"), 1);
        let key = rcgen::KeyPair::generate().unwrap();
        assert!(matches!(read(key.serialize_pem().as_bytes()).as_slice(), [Item::Key(_)]));
        assert!(matches!(read(&key.serialize_der()).as_slice(), [Item::Key(_)]));
        assert_eq!(look(key.serialize_pem().as_bytes()), 0);
    }
}
