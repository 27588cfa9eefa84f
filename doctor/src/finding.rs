//! Every cause that the doctor names: name, meaning, what to do. One table, for the programs and the documentation.
//!
//! A name never changes its meaning and is never used again: scripts go by it.

use serde::Serialize;

macro_rules! causes {
    ($($name:ident = $text:literal, $meaning:literal, $advice:literal;)+) => {
        /// Why mutual TLS fails.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Cause { $(#[doc = $meaning] $name,)+ }

        impl Cause {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What it means, a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)+ }
            }

            /// What to do about it.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)+ }
            }
        }
    };
}

causes! {
    ClockWrong = "clock-wrong", "This machine's clock is wrong.",
        "Set the clock and keep it right: timedatectl set-ntp true; on a device without a battery, wait for the time before TLS.";
    FileMissing = "file-missing", "A file that is needed cannot be read.",
        "Put the file in its place and let the program's user read it.";
    FileUnknown = "file-unknown", "A file holds nothing that belongs to TLS.",
        "Give a certificate, key, request or revocation list in PEM or DER, or a trust bundle of this project.";
    CertificateUnreadable = "certificate-unreadable", "A certificate cannot be read.",
        "Copy the file again as it was issued: one byte changed is enough.";
    KeyUnreadable = "key-unreadable", "The private key cannot be read or cannot sign.",
        "Use an unencrypted key in PEM (PKCS#8) that the program's user may read; for a key in a TPM, see that the TPM is there and was not cleared.";
    KeyTooOpen = "key-too-open", "Others can read the private key.",
        "Run chmod 0600 on the key, and chmod 0700 on the agent's state directory; where others had access, replace the key.";
    KeyMismatch = "key-mismatch", "The private key is not the certificate's.",
        "Put the key and the certificate that were made together side by side, or enroll anew.";
    SignatureWrong = "signature-wrong", "A signature is not by the key that it should be by.",
        "The file was changed or put together from different ones: get it again from where it was made.";
    StateUnusable = "state-unusable", "The agent's state directory cannot be used.",
        "Do what is said about it; run the agent and the doctor as the same user.";
    NotEnrolled = "not-enrolled", "The device has no certificate yet.",
        "Run agent enroll; where the server refused, do what the refusal says.";
    EnrollmentRefused = "enrollment-refused", "The enrollment server refused the device the last time.",
        "On the server: enroll-server policy explain --device DEVICE says which rule, what was found, and what to do.";
    AgentSilent = "agent-silent", "The agent that runs does not say how it is.",
        "Restart it (systemctl restart agent): it hangs, or is of another version than this program. Where it hangs again, its log says at what.";
    NameNotFound = "name-not-found", "The host's name cannot be resolved.",
        "Correct the name, or the DNS settings (/etc/resolv.conf); try: getent hosts NAME.";
    PortClosed = "port-closed", "Nobody listens on the port.",
        "Start the server, correct the port, or see where it listens: ss -ltn.";
    NoAnswer = "no-answer", "There is no answer.",
        "See whether a firewall drops the packets, and whether the server hangs; another protocol may wait for the client to speak.";
    ConnectionClosed = "connection-closed", "The server closes the connection without a word.",
        "Read the server's log at this time; something between (a proxy, a limit of connections) may cut the connection as well.";
    NotTls = "not-tls", "The port does not speak TLS.",
        "Use the port with TLS (MQTT: 8883, not 1883; HTTPS: 443, not 80), or switch TLS on for this one.";
    ProtocolTooOld = "protocol-too-old", "The server speaks only versions of TLS that are too old.",
        "Allow TLS 1.3 on the server (devices of this project speak nothing older), or at least TLS 1.2 for others.";
    NoCommonCipher = "no-common-cipher", "There is no cipher or group that both sides have.",
        "Allow the standard suites on the server (TLS_AES_128_GCM_SHA256; with TLS 1.2 ECDHE and AES-GCM), and the groups P-256 and X25519.";
    HandshakeFailed = "handshake-failed", "The TLS handshake failed otherwise.",
        "Look up the alert that is shown in the server's log.";
    NameMismatch = "name-mismatch", "The server's certificate is for another name.",
        "Connect by a name that the certificate has, or have one issued with this name in subjectAltName (the common name does not count).";
    ChainIncomplete = "chain-incomplete", "The server does not send its intermediate certificate.",
        "Give the server the whole chain in one file: its certificate first, then the intermediate CAs, without the root.";
    UnknownCa = "unknown-ca", "The certificate is from a CA that is not trusted here.",
        "Have the certificate issued by the CA that is trusted here, or bring that CA into the trust bundle; an interception proxy looks the same.";
    Expired = "expired", "A certificate has expired.",
        "Renew it; see why the renewal did not come in time. For a device: agent renew --force.";
    NotYetValid = "not-yet-valid", "A certificate is not valid yet.",
        "Compare the clocks of this machine and of the CA; else wait until it begins.";
    Revoked = "revoked", "A certificate was revoked.",
        "Find out why (enroll-server cert list); then enroll anew with a new key. A revoked certificate never comes back.";
    CrlStale = "crl-stale", "A revocation list has run out.",
        "Fetch the present list and have the server read it again; see that enroll-server runs and publishes.";
    EkuMissing = "eku-missing", "A certificate does not say what it is for (extended key usage).",
        "Issue it with serverAuth for a server, with clientAuth for a client; devices of this project require it.";
    EkuWrong = "eku-wrong", "A certificate is for another purpose (extended key usage).",
        "Issue it with serverAuth for a server, with clientAuth for a client; a device's certificate is no server's.";
    CertificateRefused = "certificate-refused", "The certificate breaks a rule.",
        "Issue it anew by the rule that is named.";
    ClientCertificateNotAsked = "client-certificate-not-asked", "The server does not ask for a client certificate.",
        "Switch client certificates on (Mosquitto: require_certificate true; nginx: ssl_verify_client on): without, nobody's identity is checked.";
    ClientCertificateRequired = "client-certificate-required", "The server wants a client certificate, and got none.",
        "Give one: --cert and --key; for a device: agent enroll.";
    ClientExpired = "client-expired", "The server refuses the client's certificate as expired.",
        "Renew it; where it is valid here, the server's clock is wrong, or its revocation list has run out: OpenSSL says the same of both.";
    ClientRevoked = "client-revoked", "The server refuses the client's certificate as revoked.",
        "Find out why (enroll-server cert list); then enroll anew. Where it should not be: see that the server has the present revocation list.";
    ClientUnknownCa = "client-unknown-ca", "The server does not know the CA of the client's certificate.",
        "Give the server the CA that issues the devices' certificates (Mosquitto: cafile), and have it read it again; send the whole chain. A server that looks into revocation lists needs a revocation list of each CA of the chain.";
    ClientPurposeWrong = "client-purpose-wrong", "The server refuses the client's certificate: not for this use.",
        "Use a certificate with clientAuth and, in keyUsage, digitalSignature; have the server ask for what devices have (ECDSA on P-256).";
    ClientCertificateRefused = "client-certificate-refused", "The server refuses the client's certificate.",
        "Compare the certificate's dates and CA with what the server has, and the server's clock; its log says more than the alert.";
    LoginRefused = "login-refused", "The broker refuses the login.",
        "Let the broker take the user from the certificate (Mosquitto: use_identity_as_username true), and use the device identifier as client identifier.";
    AclRefused = "acl-refused", "The broker does not let the device use its topic.",
        "Give the rights per device (enroll-server broker config), by the name in the certificate, and have the broker read them again.";
    MqttFailed = "mqtt-failed", "The connection fails after TLS: what answers is no MQTT 5 broker, or it ends the session.",
        "See that the port is that of the broker, and that the broker speaks MQTT 5; its log says the rest.";
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which cause.
    pub cause: Cause,
    /// What it is about: a file, a host, a certificate.
    pub subject: String,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

impl Finding {
    /// A finding about `subject`.
    #[must_use]
    pub fn new(
        cause: Cause,
        subject: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self { cause, subject: subject.into(), found: found.into(), expected: expected.into() }
    }
}

impl Serialize for Finding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut object = serializer.serialize_struct("Finding", 6)?;
        object.serialize_field("cause", self.cause.name())?;
        object.serialize_field("meaning", self.cause.meaning())?;
        object.serialize_field("subject", &self.subject)?;
        object.serialize_field("found", &self.found)?;
        object.serialize_field("expected", &self.expected)?;
        object.serialize_field("action", self.cause.advice())?;
        object.end()
    }
}

/// The table of causes as it stands in the documentation (Markdown).
#[must_use]
pub fn table() -> String {
    let mut text = String::from("| name | what it means | what to do |\n|---|---|---|\n");
    for cause in Cause::ALL {
        text.push_str(&format!("| `{}` | {} | {} |\n", cause.name(), cause.meaning(), cause.advice()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Cause, table};

    #[test]
    fn names_are_unique_and_plain() {
        for (i, cause) in Cause::ALL.iter().enumerate() {
            assert!(cause.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{cause:?}");
            assert!(Cause::ALL[i + 1..].iter().all(|other| other.name() != cause.name()), "{cause:?}");
            assert!(cause.meaning().ends_with('.') && cause.advice().ends_with('.'), "{cause:?}");
        }
    }

    #[test]
    fn the_documentation_has_this_table() {
        let page = include_str!("../../docs/doctor.md");
        assert!(page.contains(&table()), "docs/doctor.md must hold:\n{}", table());
    }
}
