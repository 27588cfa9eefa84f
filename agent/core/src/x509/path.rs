//! The search for a path from the server's certificate to a trust anchor (RFC 4158, RFC 5280, section 6.1).
//!
//! Paths are tried in a fixed order, anchors before intermediates, with a stack of one entry per certificate
//! and no recursion. Names, dates and usages are checked on the way up. Signatures are checked only once an
//! anchor is reached, from the anchor down, so that no key is used before it is known to be good, and a path
//! without a true anchor costs no more than one signature check.

use p256::ecdsa::VerifyingKey;
use shared::limits::MAX_CHAIN;

use super::certificate::Outline;
use super::{Certificate, Limits, PathError, Validity, role};

/// The search's state.
pub(super) struct Search<'s, 'c> {
    /// As sent; the server's certificate first.
    sent: &'s [&'c [u8]],
    anchors: &'s [&'c [u8]],
    validity: Validity,
    limits: Limits,
    /// From the server's certificate up.
    path: heapless::Vec<Step, MAX_CHAIN>,
    signatures: usize,
    /// The reason to report if nothing is found, with the length of the path that met it.
    reason: (usize, PathError),
}

/// A certificate on the path.
#[derive(Clone, Copy)]
struct Step {
    /// Its place in `sent`.
    place: usize,
    /// CAs from the server to here, self-issued ones not counted.
    cas: usize,
    /// The next issuer to try: first an anchor, then one of `sent`.
    next: usize,
}

impl<'s, 'c> Search<'s, 'c> {
    /// `sent` has its first certificate checked by [`role::check_server`], and the others by
    /// [`Outline::parse`].
    pub(super) const fn new(
        sent: &'s [&'c [u8]],
        anchors: &'s [&'c [u8]],
        validity: Validity,
        limits: Limits,
    ) -> Self {
        let reason = (0, PathError::UnknownIssuer);
        Self { sent, anchors, validity, limits, path: heapless::Vec::new(), signatures: 0, reason }
    }

    /// Finds a path and answers with the server's key.
    pub(super) fn run(mut self) -> Result<VerifyingKey, PathError> {
        self.push(Step { place: 0, cas: 0, next: 0 })?;
        while let Some(step) = self.path.last_mut() {
            let candidate = step.next;
            step.next += 1;
            let step = *step;
            let found = if let Some(anchor) = self.anchors.get(candidate) {
                self.try_anchor(step, anchor)
            } else if let Some(der) = self.sent.get(candidate - self.anchors.len()) {
                self.try_intermediate(step, candidate - self.anchors.len(), der).map(|()| None)
            } else {
                self.path.truncate(self.path.len() - 1);
                continue;
            };
            match found {
                Ok(Some(key)) => return Ok(key),
                Ok(None) => {}
                Err(PathError::TooManySignatures) => return Err(PathError::TooManySignatures),
                Err(reason) => self.note(reason),
            }
        }
        Err(self.reason.1)
    }

    fn try_anchor(&mut self, step: Step, der: &'c [u8]) -> Result<Option<VerifyingKey>, PathError> {
        let subject = self.certificate(step.place)?;
        let Some(anchor) = issuer_of(&subject, der)? else { return Ok(None) };
        role::check_anchor(&anchor, &subject, step.cas, self.validity)?;
        self.check_signatures(&anchor).map(Some)
    }

    fn try_intermediate(&mut self, step: Step, place: usize, der: &'c [u8]) -> Result<(), PathError> {
        // The server's own certificate is no issuer, and none stands on a path twice.
        if self.path.iter().any(|on_path| on_path.place == place) {
            return Ok(());
        }
        let subject = self.certificate(step.place)?;
        let Some(issuer) = issuer_of(&subject, der)? else { return Ok(()) };
        if is_root(&issuer) {
            return Ok(());
        }
        role::check_intermediate(&issuer, &subject, step.cas, self.validity)?;
        let cas = step.cas + usize::from(!issuer.is_self_issued());
        if cas > self.limits.intermediates {
            return Err(PathError::TooDeep);
        }
        self.push(Step { place, cas, next: 0 })
    }

    /// From the anchor down to the server.
    fn check_signatures(&mut self, anchor: &Certificate<'_>) -> Result<VerifyingKey, PathError> {
        let mut key = anchor.key()?;
        for step in self.path.iter().rev() {
            if self.signatures == self.limits.signatures {
                return Err(PathError::TooManySignatures);
            }
            self.signatures += 1;
            let certificate = self.certificate(step.place)?;
            certificate.check_signature(&key)?;
            key = certificate.key()?;
        }
        Ok(key)
    }

    /// Parsed anew each time: that costs less than keeping four of them on a device's stack.
    fn certificate(&self, place: usize) -> Result<Certificate<'c>, PathError> {
        Certificate::parse(self.sent.get(place).ok_or(PathError::ChainLength)?)
    }

    fn push(&mut self, step: Step) -> Result<(), PathError> {
        self.path.push(step).map_err(|_| PathError::TooDeep)
    }

    /// Keeps the reason met at the end of the longest path, and of those the first that is about the right key.
    fn note(&mut self, reason: PathError) {
        let (length, kept) = self.reason;
        if self.path.len() > length || (self.path.len() == length && kept == PathError::KeyIdMismatch) {
            self.reason = (self.path.len(), reason);
        }
    }
}

/// Whether a certificate names no other key than its own as its issuer's. Servers like to send such roots; one
/// that is trusted is among the anchors, and any other leads nowhere.
fn is_root(certificate: &Certificate<'_>) -> bool {
    let authority = certificate.authority_key_id();
    certificate.is_self_issued() && (authority.is_none() || authority == certificate.subject_key_id())
}

/// The certificate in `der`, if it bears the name of `subject`'s issuer. Of others nothing is looked into, so
/// that one anchor of an unknown kind does not harm the rest.
fn issuer_of<'c>(subject: &Certificate<'_>, der: &'c [u8]) -> Result<Option<Certificate<'c>>, PathError> {
    let outline = Outline::parse(der)?;
    if outline.subject.as_bytes() == subject.issuer() { outline.certificate().map(Some) } else { Ok(None) }
}
