//! Bugs of others, planted again in our parsers: a fuzzing that does not find them is worth nothing.

use shared::plant::{Plant, with};

use super::{Target, target};

/// A planted bug and who had it.
#[derive(Clone, Copy, Debug)]
pub struct Planted {
    /// Its name on the command line.
    pub name: &'static str,
    /// The fuzz target that has to find it.
    pub target: &'static str,
    /// Who had it, and its number there.
    pub incident: &'static str,
    plant: Plant,
}

impl Planted {
    /// The plant with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PLANTS.iter().find(|planted| planted.name == name)
    }

    /// Its target.
    ///
    /// # Panics
    /// Never: a test looks all of them up.
    #[must_use]
    pub fn target(&self) -> &'static Target {
        target(self.target).expect("plants name targets that exist")
    }

    /// Runs the target on `data`, with the bug in the parser.
    ///
    /// # Panics
    /// Where the bug is found.
    #[must_use]
    pub fn run(&self, data: &[u8]) -> bool {
        with(self.plant, || (self.target().run)(data))
    }
}

/// All of them.
pub const PLANTS: &[Planted] = &[
    Planted {
        name: "long-form-length",
        target: "device_x509_parse",
        incident: "OpenSSL, CVE-2014-8275: one certificate in several spellings, so that a blocklist of hashes is passed",
        plant: Plant::LongFormLength,
    },
    Planted {
        name: "empty-bit-string",
        target: "device_x509_parse",
        incident: "rustls-webpki, RUSTSEC-2026-0104: panic at a BIT STRING without bits",
        plant: Plant::EmptyBitString,
    },
    Planted {
        name: "unchecked-time",
        target: "device_x509_parse",
        incident: "OpenSSL, CVE-2015-1789: a time is read beyond its end",
        plant: Plant::UncheckedTime,
    },
    Planted {
        name: "duplicate-key",
        target: "cbor_check",
        incident: "CouchDB, CVE-2017-12635: a key twice, and two readers that take a different one",
        plant: Plant::DuplicateKey,
    },
    Planted {
        name: "truncated-length",
        target: "cbor_check",
        incident: "sqlx, RUSTSEC-2024-0363: a length cut to fewer bits, so that data is read as structure",
        plant: Plant::TruncatedLength,
    },
    Planted {
        name: "unbounded-depth",
        target: "psa_token",
        incident: "serde_cbor, RUSTSEC-2019-0025: nesting without a bound, and the stack runs over",
        plant: Plant::UnboundedDepth,
    },
    Planted {
        name: "believed-size",
        target: "tpm_attest",
        incident: "TPM 2.0 reference code, CVE-2023-1018: reading beyond a buffer whose size is believed",
        plant: Plant::BelievedSize,
    },
    Planted {
        name: "split-character",
        target: "key_text",
        incident: "bcrypt, RUSTSEC-2026-0199: panic at a character of several bytes where digits are cut out",
        plant: Plant::SplitCharacter,
    },
    Planted {
        name: "repeated-change",
        target: "board_tls_handshake",
        incident: "wolfSSL, CVE-2020-12457: ChangeCipherSpec over and over keeps the other side busy for ever",
        plant: Plant::RepeatedChange,
    },
    Planted {
        name: "unproved-server",
        target: "board_tls_session",
        incident: "wolfSSL, CVE-2020-24613: a server that leaves its proof out and ends the handshake is believed",
        plant: Plant::UnprovedServer,
    },
];
