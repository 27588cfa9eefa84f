//! The one table of events: stable name, severity, what the operator does.
//!
//! Names never change their meaning and are never used again: filters, webhooks and alarms are built on them.

use core::fmt;

/// How much an event matters; the words are those of RFC 5424, section 6.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The ordinary course of things.
    Info,
    /// Ordinary, and worth knowing.
    Notice,
    /// Something is to be looked at.
    Warning,
    /// Someone should look at once.
    Critical,
}

impl Severity {
    /// All severities, the least first.
    pub const ALL: [Self; 4] = [Self::Info, Self::Notice, Self::Warning, Self::Critical];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The severity of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! events {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $severity:ident, $operator:literal;)+) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum EventKind { $($(#[doc = $doc])+ $name,)+ }

        impl EventKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable name, as in the database, in filters and in webhooks.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// How much it matters.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }

            /// What it means, as a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// What the operator does, as a sentence.
            #[must_use]
            pub const fn operator_action(self) -> &'static str {
                match self { $(Self::$name => $operator,)+ }
            }
        }
    };
}

events! {
    /// A certificate was issued.
    Issued = "issued", Info, "Nothing.";
    /// A device renewed with a certificate that had ended, within the grace of its policy.
    RenewedInGrace = "renewed-in-grace", Notice, "Nothing, if it had been off; else find out why it did not renew in time.";
    /// An operator wants a device to renew.
    RenewalWanted = "renewal-wanted", Notice, "Nothing, if it is wanted on purpose.";
    /// An operator does not want a device to renew any more.
    RenewalUnwanted = "renewal-unwanted", Notice, "Nothing, if it was on purpose.";
    /// Certificates were revoked because a newer one took their place.
    Superseded = "superseded", Info, "Nothing.";
    /// A device was revoked.
    Revoked = "revoked", Notice, "Nothing, if it was revoked on purpose.";
    /// A certificate that is no device's was issued: for a broker or a server.
    PeerIssued = "peer-issued", Notice, "Nothing, if it was made on purpose; else revoke it: enroll-server cert revoke --certificate.";
    /// A certificate that is no device's was revoked: a broker's, a server's, or this server's own at brokers.
    PeerRevoked = "peer-revoked", Notice, "Nothing, if it was revoked on purpose; have the broker or server make a new one.";
    /// An intent to issue was given up.
    Voided = "voided", Notice, "Nothing; if it recurs, see the server's log.";
    /// An intent to issue that no server recorded as it stood in the database was given up, and nothing signed.
    IntentNotOurs = "intent-not-ours", Critical, "Unless nonce.key was replaced or the server upgraded just before, someone writes into the database: find out who, and look for more: enroll-server audit verify.";
    /// A request waits for an operator's approval.
    Held = "held", Warning, "Look at the device and decide: enroll-server device approve, or revoke.";
    /// An operator approved a device.
    Approved = "approved", Notice, "Nothing.";
    /// An operator denied a device's enrollment.
    Denied = "denied", Notice, "Nothing; it stays denied until it is approved.";
    /// The group or the tags of a device were changed.
    Labelled = "labelled", Notice, "Nothing, if they were changed on purpose; a group decides which policy is for it.";
    /// A device moved to another state.
    DeviceStateChanged = "device-state-changed", Notice, "Nothing, if it was moved on purpose.";
    /// Another identity key came under the name of a known device, or its key under another name.
    CloneSuspected = "clone-suspected", Critical, "Two devices claim one identity; examine both, then decide.";
    /// A device runs an older firmware version than it last did.
    Rollback = "rollback", Critical, "Examine the device: an old version may bring old holes back.";
    /// A device's measurements are not those it last had.
    FirmwareChanged = "firmware-changed", Notice, "Nothing after an update; else examine the device.";
    /// A device's debug port is more open than it last was.
    DebugOpened = "debug-opened", Critical, "Examine the device: someone may have had hold of it.";
    /// A quota of the policy or of a credential is used up.
    QuotaReached = "quota-reached", Warning, "Raise the quota or make another credential, or find out who uses it up.";
    /// One device was refused again and again.
    RepeatedRefusals = "repeated-refusals", Warning, "See the reason; mend the device, or find out who asks in its name.";
    /// Requests were refused, so many for one reason.
    Refused = "refused", Info, "Nothing; if the number is high, see the reason.";
    /// Someone came with a credential that is no administrator's: to the admin API, or to sign in to the dashboard.
    AdministratorRefused = "administrator-refused", Warning, "If it was none of you: find out who comes from there, and let nobody come to these ports who does not need them.";
    /// A credential was made: a symmetric key or a batch.
    CredentialCreated = "credential-created", Notice, "Nothing, if it was made on purpose.";
    /// A credential was revoked.
    CredentialRevoked = "credential-revoked", Notice, "Nothing, if it was revoked on purpose.";
    /// A maker was added.
    MakerAdded = "maker-added", Notice, "Nothing, if it was added on purpose.";
    /// A maker's revocation list was taken in.
    MakerCrl = "maker-crl", Notice, "Nothing.";
    /// An inventory was imported.
    Imported = "imported", Notice, "Look at the rows that were in conflict, if there were any.";
    /// Reference values were imported.
    ReferenceValuesImported = "reference-values-imported", Notice, "Nothing, if they were imported on purpose.";
    /// Reference values were withdrawn.
    ReferenceValuesWithdrawn = "reference-values-withdrawn", Notice, "Nothing, if it was on purpose; devices with that firmware are refused from now on.";
    /// A maker's key for signing releases was added.
    ReleaseKeyAdded = "release-key-added", Notice, "Nothing, if it was added on purpose.";
    /// A maker's key for signing releases was removed.
    ReleaseKeyRemoved = "release-key-removed", Notice, "Withdraw what it signed, if it was lost: enroll-server reference list.";
    /// A token was made.
    TokenCreated = "token-created", Notice, "Nothing, if it was made on purpose.";
    /// A token was revoked.
    TokenRevoked = "token-revoked", Notice, "Nothing.";
    /// Attestation keys were registered.
    AttestationKeysAdded = "attestation-keys-added", Notice, "Nothing, if they were registered on purpose.";
    /// An attestation key was removed.
    AttestationKeyRemoved = "attestation-key-removed", Notice, "Nothing, if it was removed on purpose.";
    /// A changed policy is in force.
    PolicyReloaded = "policy-reloaded", Notice, "Nothing, if it was changed on purpose.";
    /// The policy's file has mistakes; the policy before stays in force.
    PolicyBroken = "policy-broken", Critical, "Mend the file; enroll-server policy check tells every mistake.";
    /// The log and the database contradict each other; no checkpoint is signed any more.
    LogDiverged = "log-diverged", Critical, "Find out who changed the database or the log: enroll-server audit verify. Put the newer one back.";
    /// An older database was put in place; what the log and the revocation list know was brought in, and nothing is signed.
    DatabaseRestored = "database-restored", Critical, "See what was lost, and decide: enroll-server audit accept.";
    /// An operator decided to go on with a database that was older than what was published.
    DatabaseAccepted = "database-accepted", Notice, "Nothing, if it was restored on purpose.";
    /// A rollover of the CA was started: the new one is known, the old one still signs.
    RolloverStarted = "ca-rollover-started", Notice, "Watch the devices confirm the trust bundle: enroll-server ca status.";
    /// The new CA signs from now on.
    RolloverSwitched = "ca-rollover-switched", Notice, "Watch the devices renew: enroll-server ca status.";
    /// The old CA was retired.
    RolloverRetired = "ca-rollover-retired", Notice, "Destroy the old CA's key, or keep it where nobody uses it.";
    /// A rollover of the CA was given up before the new one signed.
    RolloverAborted = "ca-rollover-aborted", Notice, "Nothing, if it was on purpose.";
    /// A step of a rollover was forced although devices had not moved.
    RolloverForced = "ca-rollover-forced", Warning, "Look after the devices that were left behind: enroll-server ca status.";
    /// A trust bundle was published.
    TrustBundlePublished = "trust-bundle-published", Notice, "Nothing, if it was published on purpose.";
    /// The certificate of the server, of its own place at brokers, or of a broker was renewed.
    TlsCertificateRenewed = "tls-certificate-renewed", Info, "Nothing.";
    /// The certificate of the server or of a broker could not be renewed.
    TlsCertificateFailed = "tls-certificate-failed", Critical, "See the reason and mend it before the certificate ends.";
    /// A one-time link to the dashboard was made.
    DashboardLink = "dashboard-link", Notice, "Nothing, if it was made on purpose; else: enroll-server dashboard sign-out --all.";
    /// Someone signed in to the dashboard.
    DashboardSignIn = "dashboard-sign-in", Notice, "Nothing, if you know who it was; else: enroll-server dashboard sign-out --all.";
    /// Sessions of the dashboard were ended by hand.
    DashboardSignOut = "dashboard-sign-out", Info, "Nothing.";
    /// Someone came with a one-time link to the dashboard that was used before.
    DashboardLinkReused = "dashboard-link-reused", Warning, "Find out who else had the link; if you do not know them: enroll-server dashboard sign-out --all.";
    /// A webhook's receiver refused an event for good; the event is parked.
    WebhookParked = "webhook-parked", Warning, "Mend the receiver, then: enroll-server webhook replay NAME --parked.";
}

impl EventKind {
    /// The kind of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{EventKind, Severity};

    #[test]
    fn names_are_unique_and_round_trip() {
        for (i, kind) in EventKind::ALL.iter().enumerate() {
            assert_eq!(EventKind::from_name(kind.name()), Some(*kind));
            assert!(kind.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
            assert!(EventKind::ALL[i + 1..].iter().all(|other| other.name() != kind.name()));
        }
        for severity in Severity::ALL {
            assert_eq!(Severity::from_name(severity.name()), Some(severity));
        }
        assert_eq!(EventKind::from_name("no-such-kind"), None);
    }

    #[test]
    fn every_kind_tells_what_it_means_and_what_to_do() {
        for kind in EventKind::ALL {
            assert!(kind.meaning().ends_with('.') && !kind.meaning().starts_with(' '), "{kind}");
            let action = kind.operator_action();
            assert!(action.ends_with('.'), "{kind}: {action}");
            assert!(kind.severity() < Severity::Warning || action != "Nothing.", "{kind} asks for something");
        }
    }

    /// The table in the documentation says what the code says.
    #[test]
    fn the_documentation_has_every_kind() {
        let table: String = EventKind::ALL
            .iter()
            .map(|kind| {
                let (name, severity) = (kind.name(), kind.severity());
                format!("| `{name}` | {severity} | {} | {} |\n", kind.meaning(), kind.operator_action())
            })
            .collect();
        let text = include_str!("../../../docs/events.md");
        assert!(text.contains(&table), "docs/events.md should have this table:\n{table}");
    }
}
