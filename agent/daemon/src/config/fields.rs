//! The one table of configuration fields: name in the file, kind, default, example, explanation.
//!
//! Flags, environment variables, the sample file and the refusal of unknown fields all come from it, so that
//! they cannot drift apart. What a value means is read in `build`.

/// One field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Dotted name in the file, for example `server.port`.
    pub key: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// What stands in the sample file.
    pub sample: Sample,
    /// One or more full sentences.
    pub doc: &'static str,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text that the field's own rules allow.
    Text,
    /// A path; relative ones count from the directory of the file they stand in.
    Path,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// Whole seconds, or a number with `s`, `m`, `h` or `d`.
    Duration,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of texts.
    Words,
    /// A list of whole numbers.
    Numbers,
    /// A list of tables with `component`, `version` and one of `digest` and `file`.
    Measurements,
}

/// How a field stands in the sample file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Must be given, by itself or in place of others; the example, in TOML.
    Required(&'static str),
    /// May be left out, and then has this value, in TOML.
    Default(&'static str),
    /// May be left out, and then means nothing; the example, in TOML.
    Unset(&'static str),
}

impl Field {
    /// The flag, without the dashes in front.
    #[must_use]
    pub fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    /// The environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("AGENT_{}", self.key.replace('.', "_").to_uppercase())
    }

    /// The placeholder of the value in the help.
    #[must_use]
    pub fn placeholder(&self) -> String {
        match self.kind {
            Kind::Text => "TEXT".to_owned(),
            Kind::Path => "PATH".to_owned(),
            Kind::Number => "NUMBER".to_owned(),
            Kind::Switch => "true|false".to_owned(),
            Kind::Duration => "DURATION".to_owned(),
            Kind::Choice(words) => words.join("|"),
            Kind::Words | Kind::Numbers => "TOML-LIST".to_owned(),
            Kind::Measurements => "TOML-TABLES".to_owned(),
        }
    }
}

/// The field with this name.
#[must_use]
pub fn find(key: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.key == key)
}

/// The environment variable that may hold a one-time token. It is no field: a secret belongs neither into a
/// file that others read nor into a command line that everyone sees.
pub const TOKEN_VARIABLE: &str = "AGENT_IDENTITY_TOKEN";

/// Debug states of RFC 9711, section 4.2.9, in the order of their numbers.
pub const DEBUG_STATES: &[&str] =
    &["enabled", "disabled", "disabled-since-boot", "disabled-permanently", "disabled-fully-and-permanently"];
/// Kinds of endorsement key.
pub const ENDORSEMENT_KEYS: &[&str] = &["rsa-2048", "ecc-p256"];
/// Signals by which programs are asked to read their files again.
pub const SIGNALS: &[&str] = &["HUP", "USR1", "USR2"];
/// Permission bits that a socket can have.
pub const SOCKET_MODES: &[&str] = &["0600", "0660", "0666"];
/// Log formats.
pub const LOG_FORMATS: &[&str] = &["text", "json"];
/// Log levels.
pub const LOG_LEVELS: &[&str] = &["error", "warn", "info", "debug"];

macro_rules! fields {
    ($($key:literal: $kind:expr, $how:ident $value:literal, $doc:literal;)+) => {
        /// All fields, in the order of the sample file.
        pub const FIELDS: &[Field] =
            &[$(Field { key: $key, kind: $kind, sample: Sample::$how($value), doc: $doc },)+];
    };
}

fields! {
    "state_dir": Kind::Path, Default "\"/var/lib/agent\"",
        "Directory of the device's state: keys, certificates, lock and control socket. It is created with \
         mode 0700; one that others can read is refused.";
    "trust_bundle": Kind::Path, Unset "\"/etc/agent/trust.bundle\"",
        "The first signed trust bundle, put there at provisioning. Needed until the first enrollment; after \
         that the stored bundle counts, and newer ones come from the server.";

    "server.host": Kind::Text, Required "\"enroll.example.com\"",
        "Host name or IP address of the enrollment server; its certificate must carry it.";
    "server.port": Kind::Number, Default "8443",
        "TCP port of the enrollment server.";

    "identity.certificate": Kind::Path, Required "\"/etc/agent/idevid.pem\"",
        "The IDevID's certificate chain in PEM, leaf first, without the maker's root. Its serialNumber \
         attribute is the device identifier. A device without an IDevID has `device` and a token instead.";
    "identity.key": Kind::Path, Required "\"/etc/agent/idevid.key\"",
        "The IDevID's private key: P-256, PKCS#8 in PEM, readable by the agent only.";
    "identity.device": Kind::Text, Unset "\"SN-0001\"",
        "The device identifier of a device without an IDevID, which enrolls with a one-time token or with its \
         TPM.";
    "identity.token_file": Kind::Path, Unset "\"/etc/agent/token\"",
        "File with the one-time token, readable by the agent only. The environment variable \
         AGENT_IDENTITY_TOKEN may hold the token itself instead; there is no flag for it, because every \
         user of the machine can see command lines.";

    "identity.tpm": Kind::Path, Unset "\"/dev/tpmrm0\"",
        "The TPM 2.0 by which the device proves what it is, and in which its keys live: the kernel's device, or \
         a Unix socket of a simulator. It takes the place of certificate and key.";
    "identity.tpm_endorsement_key": Kind::Choice(ENDORSEMENT_KEYS), Default "\"rsa-2048\"",
        "Which of the TPM's endorsement keys the maker has certified.";
    "identity.tpm_certificates": Kind::Path, Unset "\"/etc/agent/ek.pem\"",
        "Certificates of the endorsement key in PEM that are not in the TPM: the key's own first, where the \
         maker hands it out as a file, then those between it and the maker's root.";
    "identity.tpm_registers": Kind::Numbers, Default "[0, 2, 4, 7]",
        "The platform configuration registers to quote, SHA-256 bank: by default firmware, option ROMs, boot \
         loader and secure boot.";
    "identity.tpm_event_log": Kind::Path, Unset "\"/sys/kernel/security/tpm0/binary_bios_measurements\"",
        "The firmware's event log, to be shown with the quote. All quoted registers have to be in it.";

    "identity.dice_certificate": Kind::Path, Unset "\"/run/dice/chain.pem\"",
        "The layered certificates that the boot chain left in PEM: the alias first, the device's root last. Read \
         anew at each start. With `dice_key`, it takes the place of certificate and key.";
    "identity.dice_key": Kind::Path, Unset "\"/run/dice/alias.key\"",
        "The alias key that the boot chain left: P-256, PKCS#8 in PEM, readable by the agent only.";

    "identity.psa_command": Kind::Words, Unset "[\"/usr/libexec/psa-token\"]",
        "Program and arguments that make a PSA attestation token (RFC 9783), without a shell. It is given the \
         challenge as its last argument, 64 bytes in hexadecimal, and writes the token to its standard output. It \
         takes the place of certificate and key.";
    "identity.psa_certificate": Kind::Path, Unset "\"/etc/agent/iak.pem\"",
        "The certificate of the PSA attestation key and those between it and the maker's CA, in PEM; not needed \
         where the server has the key registered.";
    "identity.psa_timeout": Kind::Duration, Default "\"10s\"",
        "After this time the PSA command is killed; at most 60 seconds.";

    "identity.symmetric_key": Kind::Path, Unset "\"/etc/agent/device.key\"",
        "File with the device's symmetric key, readable by the agent only, as `enroll-server key` writes it: with \
         `device`, in place of an IDevID. The key of a whole group is refused.";
    "identity.claim_certificate": Kind::Path, Unset "\"/etc/agent/claim.pem\"",
        "The claim certificate's chain in PEM, leaf first, without the root: with `device` and claim_key, in place of \
         an IDevID. All devices of a batch share it; it only starts an enrollment.";
    "identity.claim_key": Kind::Path, Unset "\"/etc/agent/claim.key\"",
        "The claim certificate's private key: P-256, PKCS#8 in PEM, readable by the agent only.";

    "firmware.maker_number": Kind::Number, Default "32473",
        "The maker's IANA private enterprise number (claim oemid). 32473 is the number for examples.";
    "firmware.model": Kind::Text, Default "\"linux\"",
        "The hardware model (claim hwmodel): 1 to 32 printable ASCII characters.";
    "firmware.hardware_version": Kind::Text, Default "\"1\"",
        "The hardware's version (claim hwversion).";
    "firmware.name": Kind::Text, Default "\"agent\"",
        "The firmware's name (claim swname).";
    "firmware.version": Kind::Text, Default "\"0.1.0\"",
        "The firmware's version as MAJOR.MINOR.PATCH (claim swversion).";
    "firmware.debug": Kind::Choice(DEBUG_STATES), Default "\"disabled\"",
        "Whether the device can be debugged (claim dbgstat).";
    "firmware.measurements": Kind::Measurements,
        Default "[]",
        "What runs on the device, at most 4 components. Each has component, version and either digest \
         (SHA-256 in hex) or file (hashed when the agent starts). Example: \
         [{ component = \"application\", version = \"1.2.0\", file = \"/usr/bin/application\" }]";

    "telemetry.interval": Kind::Duration, Default "\"60s\"",
        "How often the device publishes telemetry; at least 1 second.";

    "export.directory": Kind::Path, Unset "\"/var/lib/agent-tls\"",
        "Where key.pem, cert.pem, chain.pem and trust.pem are put for other programs, under `current/`. \
         The four change together, in one rename.";
    "export.group_readable": Kind::Switch, Default "false",
        "Lets the files' group read them (0640 in place of 0600), the key included. Nothing lets everybody read them.";
    "export.owner": Kind::Text, Unset "\":ssl-cert\"",
        "Whose the exported files are: user, user:group or :group, by name or number; without it the agent's user and \
         the directory's group. Another user needs an agent that runs as root, another group one that is in it.";

    "hook.signal": Kind::Choice(SIGNALS), Unset "\"HUP\"",
        "What the process in `pid_file` is sent after every change of identity or trust.";
    "hook.pid_file": Kind::Path, Unset "\"/run/mosquitto/mosquitto.pid\"",
        "Where the number of the process to signal is. A process that began after the file was written is another one, \
         and is left alone.";
    "hook.units": Kind::Words, Unset "[\"nginx.service\"]",
        "Units that systemd reloads after every change, or restarts where they know no reload; those that do not run \
         are left alone.";
    "hook.restart": Kind::Switch, Default "false",
        "Restarts the units in place of a reload: for those that have the files by LoadCredential, which systemd reads \
         when a unit starts.";
    "hook.command": Kind::Words, Unset "[\"/usr/local/bin/certificate-changed\"]",
        "Program and arguments to run after every change, without a shell. It learns what changed from AGENT_EVENT, \
         AGENT_DEVICE and AGENT_EXPORT_DIRECTORY. Signal, units and command may all be set, and are done in this order.";
    "hook.timeout": Kind::Duration, Default "\"30s\"",
        "After this time a hook's command is killed; at least 1 second.";

    "proxy.listen": Kind::Text, Unset "\"unix:/run/agent/mqtt.sock\"",
        "Where programs without TLS reach the broker over the device's identity: `unix:` and a path, or a loopback \
         address such as 127.0.0.1:1883, which every user of the machine can reach. `agent run` serves it beside its \
         own work, `agent proxy` by itself.";
    "proxy.socket_mode": Kind::Choice(SOCKET_MODES), Default "\"0600\"",
        "Permission bits of the Unix socket: for its owner, for its group too, for everybody.";
    "proxy.socket_owner": Kind::Text, Unset "\":app\"",
        "Owner of the Unix socket: user, user:group or :group, by name or number. Another user needs the right to give \
         files away (CAP_CHOWN), another group needs the agent to be in it.";
    "proxy.connections": Kind::Number, Default "32",
        "Most connections of programs at once, 1 to 1024; one more is closed at once.";
    "proxy.idle": Kind::Duration, Default "\"1h\"",
        "After this time without a byte a connection is closed; at least 1 second.";
    "proxy.drain": Kind::Duration, Unset "\"10m\"",
        "How long a connection may go on with the certificate it was opened with when another one is in use; without \
         it, until its own end or that of its certificate.";

    "network.connect_timeout": Kind::Duration, Default "\"10s\"",
        "Longest time for the name lookup and the TCP connection; at most 60 seconds, as for the two below.";
    "network.handshake_timeout": Kind::Duration, Default "\"10s\"",
        "Longest time for the TLS handshake, and for the login at the broker.";
    "network.exchange_timeout": Kind::Duration, Default "\"30s\"",
        "Longest time for one whole request to the server, connection included, and for one acknowledgement \
         of the broker.";

    "network.check_in": Kind::Duration, Default "\"24h\"",
        "About how often the enrollment server is asked whether an operator wants a renewal, where nothing else \
         leads there; 0 for never. The broker is left for that moment.";

    "log.format": Kind::Choice(LOG_FORMATS), Default "\"text\"",
        "text for people, json for collectors: one object a line.";
    "log.level": Kind::Choice(LOG_LEVELS), Default "\"info\"",
        "The least severity that is logged.";
}

#[cfg(test)]
mod tests {
    use super::{FIELDS, Field};
    use std::collections::BTreeSet;

    #[test]
    fn names_flags_and_variables_are_unique() {
        for name in [|f: &Field| f.key.to_owned(), Field::flag, Field::variable] {
            assert_eq!(FIELDS.iter().map(name).collect::<BTreeSet<_>>().len(), FIELDS.len());
        }
    }

    #[test]
    fn every_explanation_is_a_sentence() {
        for field in FIELDS {
            assert!(field.doc.ends_with(['.', ']']), "{}", field.key);
        }
    }
}
