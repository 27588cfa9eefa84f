//! What a server was asked, and what it said: the side of the devices and the operator, which no crash takes away.

use std::collections::{BTreeMap, BTreeSet};

use ca::Serial;
use shared::DeviceId;

use super::fleet::Request;
use super::invariants::{Invariant, Violation};

/// The SHA-256 of a CSR's key, which stands for a request: each has a key of its own.
pub type KeyHash = [u8; 32];

/// A request and its answer.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What was asked.
    pub request: Request,
    /// The certificate that came, and when: see [`Ledger`].
    pub answer: Option<(u64, Vec<u8>)>,
}

/// Everything that was asked and answered. Times are positions in a trace of the disk, 0 where there is none.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// By key.
    pub asked: BTreeMap<KeyHash, Asked>,
    /// Keys, in the order in which they were first asked for.
    order: Vec<KeyHash>,
    /// What was signed, by a witness inside the server.
    pub signed: Vec<(u64, Serial)>,
    /// Devices of which the operator was told that they are revoked.
    pub revoked: Vec<(u64, DeviceId)>,
    /// Devices whose revocation was asked for.
    pub to_be_revoked: BTreeSet<DeviceId>,
}

impl Ledger {
    /// A request is about to be sent.
    pub fn asks(&mut self, request: &Request) {
        if !self.asked.contains_key(&request.key) {
            self.order.push(request.key);
            self.asked.insert(request.key, Asked { request: request.clone(), answer: None });
        }
    }

    /// What was asked for after the first `known` requests.
    #[must_use]
    pub fn newest(&self, known: usize) -> Vec<KeyHash> {
        self.order.get(known..).unwrap_or_default().to_vec()
    }

    /// A certificate came.
    ///
    /// # Errors
    /// Where another one had come for the same request.
    pub fn answered(&mut self, request: &Request, at: u64, certificate: Vec<u8>) -> Result<(), Violation> {
        self.asks(request);
        let Some(asked) = self.asked.get_mut(&request.key) else { return Ok(()) };
        match &asked.answer {
            Some((_, before)) if *before != certificate => {
                let found = format!("{} was given two certificates for one request", request.device);
                Err(Violation::of(Invariant::SameAgain, found))
            }
            Some(_) => Ok(()),
            None => {
                // A device may have sent another one for the same key before, with a nonce that was too old.
                asked.request = request.clone();
                asked.answer = Some((at, certificate));
                Ok(())
            }
        }
    }

    /// Takes in what the witness wrote: lines `signed SERIAL`.
    ///
    /// # Panics
    /// Where a line is something else; the last may be cut.
    pub fn witness(&mut self, text: &str, at: u64) {
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let serial = line.trim().strip_prefix("signed ").expect("a line of the witness");
            self.signed.push((at, serial.parse().expect("a serial number")));
        }
    }

    /// Requests that were answered by then.
    pub fn answers(&self, upto: u64) -> impl Iterator<Item = (&Request, &[u8])> {
        self.asked.values().filter_map(move |asked| match &asked.answer {
            Some((at, certificate)) if *at <= upto => Some((&asked.request, certificate.as_slice())),
            _ => None,
        })
    }
}
