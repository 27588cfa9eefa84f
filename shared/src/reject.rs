//! The one table of refusals: wire code, name, HTTP status, what the device does, what the operator does.
//!
//! Codes never change their meaning and are never used again. A device that meets a code it does not know
//! goes by the HTTP status and the retry hint of the answer.

use core::fmt;

/// What a device does after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceAction {
    /// Sends the same request again after the retry time, with jitter: the request was good, the moment not.
    RetrySame,
    /// Begins again with a new challenge after the retry time.
    RetryFresh,
    /// Falls back from renewal to enrollment by IDevID.
    EnrollAgain,
    /// Gives up until an operator acts; asks again once a day at most.
    Stop,
}

macro_rules! rejects {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $text:literal, $status:literal, $device:ident, $operator:literal;)+) => {
        /// A refusal as it stands on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum Reject { $($(#[doc = $doc])+ $name = $code,)+ }

        impl Reject {
            /// All refusals, in the order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The refusal with this wire code, if there is one.
            #[must_use]
            pub const fn from_code(code: u16) -> Option<Self> {
                match code { $($code => Some(Self::$name),)+ _ => None }
            }

            /// The wire code.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self { $(Self::$name => $code,)+ }
            }

            /// The stable name, as in logs, metrics and events.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The HTTP status of the answer that carries it.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// What the device does.
            #[must_use]
            pub const fn device_action(self) -> DeviceAction {
                match self { $(Self::$name => DeviceAction::$device,)+ }
            }

            /// What the operator does, as a sentence.
            #[must_use]
            pub const fn operator_action(self) -> &'static str {
                match self { $(Self::$name => $operator,)+ }
            }
        }
    };
}

rejects! {
    /// The body is no message of this protocol.
    MalformedMessage = 1, "malformed-message", 400, Stop, "Update the device's agent; its message could not be read.";
    /// The body is longer than the protocol allows.
    TooLarge = 2, "too-large", 413, Stop, "Shorten the device's certificate chain or evidence.";
    /// The message has a version this server does not speak.
    UnsupportedVersion = 3, "unsupported-version", 400, Stop, "Update the server or the device's agent.";
    /// No evidence kind the device offers is accepted.
    NoAcceptedEvidenceKind = 4, "no-accepted-evidence-kind", 403, Stop, "Allow one of the kinds the device offers in the policy.";
    /// The nonce was not made by this server, or for another device.
    UnknownNonce = 10, "unknown-nonce", 403, RetryFresh, "Nothing; if it recurs, check that all replicas share one nonce key.";
    /// The nonce is past its time.
    ExpiredNonce = 11, "expired-nonce", 403, RetryFresh, "Nothing; if it recurs, the network is slower than the nonce's lifetime.";
    /// The nonce was used for another request.
    UsedNonce = 12, "used-nonce", 403, RetryFresh, "If it recurs, someone replays evidence of this device.";
    /// The CSR cannot be read, or asks for something other than an ECDSA key on P-256.
    BadCsr = 20, "bad-csr", 400, Stop, "Update the device's agent; it must send PKCS#10 with a P-256 key.";
    /// The CSR's own signature is wrong: no proof of possession.
    NoProofOfPossession = 21, "no-proof-of-possession", 403, Stop, "Check the device's key storage.";
    /// This public key is known already, from another device or an earlier certificate.
    KeyReused = 22, "key-reused", 403, RetryFresh, "Check the device's random generator; two requests had one key.";
    /// The evidence cannot be read.
    BadEvidence = 30, "bad-evidence", 400, Stop, "Update the device's agent.";
    /// The signature over the evidence is wrong.
    EvidenceSignature = 31, "evidence-signature", 403, Stop, "The evidence was not made with the key that stands for this device; examine the device.";
    /// The evidence is for another nonce.
    EvidenceNonce = 32, "evidence-nonce", 403, RetryFresh, "If it recurs, someone replays evidence of this device.";
    /// The evidence is for another CSR key.
    EvidenceKey = 33, "evidence-key", 403, Stop, "Someone between device and server exchanges the CSR; examine the network.";
    /// The evidence names another device than the request.
    EvidenceDevice = 34, "evidence-device", 403, Stop, "Someone presents another device's evidence; examine both devices.";
    /// The policy wants fresh evidence with a renewal, and none came.
    EvidenceWanted = 35, "evidence-wanted", 403, RetryFresh, "Nothing; the device comes again with evidence.";
    /// The IDevID does not lead to a maker this server knows.
    UnknownMaker = 40, "unknown-maker", 403, Stop, "If the device is yours, add its maker's CA: enroll-server maker add.";
    /// The IDevID chain is broken: a signature, a date, a usage.
    BadEndorsement = 41, "bad-endorsement", 403, Stop, "Ask the maker for the right IDevID chain of this device.";
    /// The maker revoked the device's identity, or a CA above it.
    EndorsementRevoked = 42, "endorsement-revoked", 403, Stop, "The device's maker revoked its identity; ask the maker why before you trust the device.";
    /// There is no current revocation list of the maker, and the policy wants one.
    RevocationUnknown = 43, "revocation-unknown", 503, RetrySame, "Import the maker's current revocation list: enroll-server maker crl.";
    /// The policy does not allow this model or its maker.
    ModelNotAllowed = 50, "model-not-allowed", 403, Stop, "Allow the model in the policy.";
    /// The firmware is older than the policy allows.
    FirmwareTooOld = 51, "firmware-too-old", 403, Stop, "Update the device's firmware.";
    /// A measurement is not among the known-good ones.
    FirmwareUnknown = 52, "firmware-unknown", 403, Stop, "The firmware was changed, or its release is missing from the reference values.";
    /// The debug port is open.
    DebugOpen = 53, "debug-open", 403, Stop, "Lock the device's debug port.";
    /// The device's group has no policy, so that nothing says what it has to show.
    GroupWithoutPolicy = 54, "group-without-policy", 503, RetrySame, "Give the device's group a policy, or put the device into another group.";
    /// The device is not in the inventory.
    NotInInventory = 60, "not-in-inventory", 403, Stop, "Import the device: enroll-server device import.";
    /// The device was revoked.
    DeviceRevoked = 61, "device-revoked", 403, Stop, "Nothing, if it was revoked on purpose.";
    /// The identifier belongs to another identity key: a clone, or a second device of the same name.
    IdentityConflict = 62, "identity-conflict", 403, Stop, "Two devices claim one identifier; examine both, then decide.";
    /// The one-time token is unknown, used up, expired, revoked, or for another device.
    BadToken = 63, "bad-token", 403, Stop, "Create a new token: enroll-server token create.";
    /// A second enrollment is not allowed by the policy.
    AlreadyEnrolled = 64, "already-enrolled", 403, Stop, "Revoke the device's first identity, or allow superseding in the policy.";
    /// The symmetric key or the claim certificate's batch is unknown, expired, revoked, or for another device or group.
    BadCredential = 65, "bad-credential", 403, Stop, "See its state: enroll-server key list, enroll-server batch list.";
    /// The credential has brought in, or the group has, as many devices as the quota allows.
    QuotaReached = 66, "quota-reached", 403, Stop, "If these devices are yours, raise the quota of their group, or give them another credential: enroll-server key create, enroll-server batch add.";
    /// The device is out of service for a time.
    DeviceSuspended = 67, "device-suspended", 403, RetryFresh, "End the suspension: enroll-server device resume.";
    /// The device is at the end of its life.
    DeviceRetired = 68, "device-retired", 403, Stop, "Nothing, if it was retired on purpose; a retired identifier stays taken.";
    /// An operator denied the device's enrollment.
    EnrollmentDenied = 69, "enrollment-denied", 403, Stop, "If it was denied by mistake, approve it: enroll-server device approve.";
    /// Renewal without a client certificate, or with one of another CA.
    NotAuthenticated = 70, "not-authenticated", 401, EnrollAgain, "Nothing; the device enrolls again.";
    /// The client certificate was revoked.
    CertificateRevoked = 71, "certificate-revoked", 403, EnrollAgain, "Nothing, if it was revoked on purpose.";
    /// The client certificate ended longer ago than the grace period.
    CertificateExpired = 72, "certificate-expired", 403, EnrollAgain, "Nothing; the device enrolls again with its IDevID.";
    /// The client certificate belongs to another device than the request names.
    NotYourDevice = 73, "not-your-device", 403, Stop, "A device asks for another device's certificate; examine it.";
    /// Nothing is at this path.
    NoSuchEndpoint = 80, "no-such-endpoint", 404, Stop, "Check the server's address in the device's settings.";
    /// The request took longer than allowed.
    TooSlow = 81, "too-slow", 408, RetrySame, "Nothing; if it recurs, the network is slow.";
    /// Too many requests for now.
    TooManyRequests = 82, "too-many-requests", 429, RetrySame, "If it recurs, raise the limits or find who sends so much.";
    /// The server cannot store or sign at the moment.
    Unavailable = 90, "unavailable", 503, RetrySame, "See the server's log: the disk, the database or the signing key does not answer.";
    /// A defect in the server.
    Internal = 91, "internal", 500, RetrySame, "See the server's log and report it.";
    /// An older database was put in place: the server signs nothing until an operator has decided.
    SigningStopped = 92, "signing-stopped", 503, RetrySame, "The database is older than what was published; see what was lost, and decide: enroll-server audit accept.";
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{DeviceAction, Reject};

    #[test]
    fn codes_and_names_are_unique_and_round_trip() {
        for (i, reject) in Reject::ALL.iter().enumerate() {
            assert_eq!(Reject::from_code(reject.code()), Some(*reject));
            for other in &Reject::ALL[i + 1..] {
                assert_ne!(reject.name(), other.name());
                assert!(reject.code() < other.code(), "codes ascend");
            }
        }
        assert_eq!(Reject::from_code(0), None);
    }

    #[test]
    fn a_server_fault_never_stops_a_device() {
        for reject in Reject::ALL.iter().filter(|r| r.http_status() >= 500) {
            assert_eq!(reject.device_action(), DeviceAction::RetrySame);
        }
    }

    #[test]
    fn every_refusal_tells_the_operator_something() {
        for reject in Reject::ALL {
            assert!(
                reject.operator_action().ends_with('.') || reject.operator_action().contains("enroll-server")
            );
        }
    }
}
