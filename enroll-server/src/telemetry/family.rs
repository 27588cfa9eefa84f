//! Every family of metrics: its name, its kind, its labels and what it says. One table, so that the page, the manual,
//! the alerts and the dashboard can be held against each other.
//!
//! Counts nothing: see [`super::Metrics`] and [`super::Gauges`].

/// What Prometheus is told of the kind of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, and begins anew with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bounds: `_bucket` with the label `le`, `_sum` and `_count`.
    Histogram,
}

impl Kind {
    /// As the text format has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its labels, in the order of the page.
    pub labels: &'static [&'static str],
    /// What it says, in one line.
    pub help: &'static str,
}

macro_rules! families {
    ($($constant:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(
            pub(super) const $constant: Family =
                Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )+

        /// All families, in the order of the page.
        pub const FAMILIES: &[Family] = &[$($constant),+];
    };
}

families! {
    INFO Gauge "enroll_info" ["version"] "1, with the version of the server.";
    CHECK_GOOD Gauge "enroll_check_good" ["check"] "1 where a check of /readyz is good; see the log for why one is not.";

    REQUESTS Counter "enroll_requests_total" ["endpoint", "outcome", "reason"]
        "Requests by endpoint, outcome and reason of refusal.";
    REQUEST_SECONDS Histogram "enroll_request_seconds" ["endpoint"]
        "Time from the request's body to its answer, of requests served.";
    RENEWALS_IN_GRACE Counter "enroll_renewals_in_grace_total" []
        "Renewals with a certificate that had ended, within the policy's grace.";

    CONNECTIONS_OPEN Gauge "enroll_connections_open" [] "Connections open now.";
    CONNECTIONS Counter "enroll_connections_total" [] "Connections accepted.";
    HANDSHAKES_FAILED Counter "enroll_tls_handshakes_failed_total" [] "TLS handshakes that failed.";
    CONNECTIONS_TURNED_AWAY Counter "enroll_connections_turned_away_total" ["reason"]
        "Connections closed at once, by the limit that they met.";
    REQUESTS_TURNED_AWAY Counter "enroll_requests_turned_away_total" ["reason"]
        "Requests told to come again, by the limit that they met.";
    PLACES_TAKEN Gauge "enroll_places_taken" []
        "What limits.connections counts: connections of the listeners that speak TLS.";
    HANDSHAKES_OPEN Gauge "enroll_handshakes_open" [] "TLS handshakes under way.";
    REQUESTS_OPEN Gauge "enroll_requests_open" [] "Requests under way.";
    BODIES_BYTES Gauge "enroll_bodies_bytes" [] "Bytes of bodies on their way, as announced.";

    DEVICES Gauge "enroll_devices" ["state"] "Devices by state.";
    CERTIFICATES Gauge "enroll_certificates" ["state"] "Certificates by state, those that ended too.";
    CERTIFICATES_LIVE Gauge "enroll_certificates_live" ["issuer"]
        "Live certificates by the number of their issuing CA.";
    CERTIFICATES_ENDING Gauge "enroll_certificates_ending" ["days"]
        "Certificates in force that end within so many whole days (UTC) after today.";
    DEVICES_TRUST Gauge "enroll_devices_trust" ["bundle"]
        "Living devices by the trust bundle they confirmed last; 0 is none.";
    RENEWALS_WANTED Gauge "enroll_renewals_wanted" []
        "Renewals that an operator wants and that did not take place yet.";
    RENEWALS_UNTOLD Gauge "enroll_renewals_untold" []
        "Those of them whose device was not told through its broker.";

    CLOCK_BEHIND Gauge "enroll_clock_behind_seconds" []
        "How far this server's clock is behind the latest time in the newest 1,000 events.";
    CA_NOT_AFTER Gauge "enroll_ca_not_after_seconds" [] "When the issuing CA ends, in seconds since 1970.";
    ROOT_NOT_AFTER Gauge "enroll_root_ca_not_after_seconds" [] "When the root CA ends, in seconds since 1970.";
    CA_ROLLOVER Gauge "enroll_ca_rollover" ["step"] "1 for the step that the rollover under way has come to.";
    TLS_NOT_BEFORE Gauge "enroll_tls_not_before_seconds" ["name"]
        "When the life of a server's certificate began, in seconds since 1970.";
    TLS_NOT_AFTER Gauge "enroll_tls_not_after_seconds" ["name"]
        "When a server's certificate ends, in seconds since 1970.";

    CRL_NUMBER Gauge "enroll_crl_number" [] "Number of the revocation list that is out.";
    CRL_REVOKED Gauge "enroll_crl_revoked" [] "Certificates on the complete revocation lists.";
    CRL_LISTS Gauge "enroll_crl_lists" [] "Revocation lists that are out.";
    CRL_LISTS_MISSING Gauge "enroll_crl_lists_missing" []
        "Revocation lists that are still to be made for the first time.";
    CRL_FAILING Gauge "enroll_crl_failing" []
        "1 while revocation lists that are due cannot be made or written.";
    CRL_FIRST_END Gauge "enroll_crl_first_end_seconds" []
        "When the first of all revocation lists runs out, in seconds since 1970.";
    CRL_AGE Gauge "enroll_crl_age_seconds" [] "Age of the revocation list.";
    CRL_NEXT_UPDATE Gauge "enroll_crl_next_update_seconds" []
        "When the revocation list runs out, in seconds since 1970.";
    ROOT_CRL_NEXT_UPDATE Gauge "enroll_root_crl_next_update_seconds" []
        "When the first of the roots' revocation lists runs out, in seconds since 1970; 0 where only some roots have one.";

    LOG_GOOD Gauge "enroll_log_good" [] "1 while the log of what was issued gets checkpoints as it should.";
    LOG_SIZE Gauge "enroll_log_size" [] "Leaves in the log's checkpoint that is out.";
    LOG_WAITING Gauge "enroll_log_waiting" [] "Leaves that no checkpoint has yet.";

    STORE_COMMITS Counter "enroll_store_commits_total" [] "Transactions that the store has committed.";
    STORE_WAITING Gauge "enroll_store_changes_waiting" [] "Changes that wait for the store's writer.";
    STORE_QUEUE Gauge "enroll_store_queue" [] "Changes that can wait at most; beyond that devices come again.";
    STORE_BYTES Gauge "enroll_store_bytes" [] "Size of the SQLite database with its write-ahead log.";
    STORE_MOST_BYTES Gauge "enroll_store_most_bytes" [] "Largest size of the database, by limits.store_mib.";

    WEBHOOK_DELIVERED Counter "enroll_webhook_delivered_total" ["webhook"] "Events that the receiver took.";
    WEBHOOK_FAILED Counter "enroll_webhook_failed_total" ["webhook"] "Attempts that failed.";
    WEBHOOK_PARKED Gauge "enroll_webhook_parked" ["webhook"] "Events that the receiver refused for good.";
    WEBHOOK_LAG_EVENTS Gauge "enroll_webhook_lag_events" ["webhook"] "Events that wait, counted up to 10000.";
    WEBHOOK_LAG_SECONDS Gauge "enroll_webhook_lag_seconds" ["webhook"] "Age of the oldest event that waits.";
    MQTT_CONNECTED Gauge "enroll_mqtt_connected" ["broker"]
        "Whether this server is connected to a broker, to tell devices.";
    MQTT_COMMANDS Counter "enroll_mqtt_commands_total" ["outcome"]
        "Commands for devices, by whether the broker has whom to hand them to.";

    POLICY_CHANGES Counter "enroll_policy_changes_total" ["outcome"]
        "Changes of the policy files since the start, by what became of them.";
    POLICY_BROKEN Gauge "enroll_policy_broken" []
        "1 while the policy files have mistakes, and older policies are in force.";
    TRACE_SPANS Counter "enroll_trace_spans_total" ["outcome"]
        "Spans of traces: sent, failed (the collector did not take them), dropped (too many waited).";

    PROCESS_START Gauge "process_start_time_seconds" [] "When the process began, in seconds since 1970.";
    PROCESS_MEMORY Gauge "process_resident_memory_bytes" [] "Memory of the process that is resident.";
    PROCESS_FILES Gauge "process_open_fds" [] "File descriptors that are open.";
    PROCESS_MOST_FILES Gauge "process_max_fds" [] "File descriptors that may be open.";
}

#[cfg(test)]
mod tests {
    use super::{FAMILIES, Kind};

    #[test]
    fn names_are_told_apart_and_follow_the_conventions() {
        for (i, family) in FAMILIES.iter().enumerate() {
            let name = family.name;
            assert!(FAMILIES.iter().skip(i + 1).all(|other| other.name != name), "{name} is there twice");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(family.kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert!(family.help.ends_with('.') && !family.help.contains(['\n', '\\']), "{name}");
        }
    }
}
