//! Every size and depth cap of the protocol, in one place. Bytes unless it says otherwise.
//!
//! A device holds one whole answer in RAM, so the caps of answers are the memory budget of the smallest device.

/// Longest request body that a device of most kinds sends; what a board has to hold.
pub const MAX_REQUEST: usize = 8 * 1024;
/// Longest request body a server reads: one with the event log of a platform with a TPM.
pub const MAX_REQUEST_LARGE: usize = 64 * 1024;
/// Longest answer body that CAs and settings may lead to; what a board has to hold.
pub const MAX_ANSWER: usize = 5 * 1024;
/// Longest answer body that is sent and read all the same: what was in use before boards counted goes on.
pub const MAX_ANSWER_LARGE: usize = 6 * 1024;
/// Longest TLS record that a server sends, its header included: a board holds one, and joins no handshake messages that
/// are cut. So all that a server sends under encryption before its client answers has to fit one.
pub const MAX_RECORD: usize = 4096;
/// Deepest nesting of CBOR containers; the outermost counts as one.
pub const MAX_DEPTH: usize = 8;
/// Longest certificate in DER.
pub const MAX_CERTIFICATE: usize = 1536;
/// Most certificates in one chain, leaf included, trust anchor excluded.
pub const MAX_CHAIN: usize = 4;
/// Most trust anchors in a trust bundle.
pub const MAX_ANCHORS: usize = 4;
/// Longest PKCS#10 request in DER; ours are about 250 bytes.
pub const MAX_CSR: usize = 1024;
/// Longest COSE_Sign1 that carries evidence.
pub const MAX_EVIDENCE: usize = 2 * 1024;
/// Longest introduction in a challenge request: the public areas of a TPM's keys.
pub const MAX_INTRODUCTION: usize = 1536;
/// Longest encrypted credential in a challenge: TPM2B_ID_OBJECT and an RSA-2048 TPM2B_ENCRYPTED_SECRET.
pub const MAX_CREDENTIAL: usize = 512;
/// Longest evidence of a TPM, its event log included.
pub const MAX_TPM_EVIDENCE: usize = 60 * 1024;
/// Longest event log of a platform's firmware.
pub const MAX_EVENT_LOG: usize = 48 * 1024;
/// Longest certificate in the chain of a TPM's endorsement key; its makers sign with RSA.
pub const MAX_TPM_CERTIFICATE: usize = 2560;
/// Most certificates in that chain, leaf included, trust anchor excluded.
pub const MAX_TPM_CHAIN: usize = 6;
/// Longest signed trust bundle.
pub const MAX_TRUST_BUNDLE: usize = 4 * 1024;
/// Length of a server nonce (RFC 9711, section 4.1, allows 8 to 64).
pub const NONCE: usize = 32;
/// Longest device identifier, in characters; leaves room in an X.509 common name (64).
pub const MAX_DEVICE_ID: usize = 48;
/// Longest one-time token, in characters.
pub const MAX_TOKEN: usize = 64;
/// Longest host name (RFC 1035, section 2.3.4).
pub const MAX_HOST: usize = 253;
/// Longest MQTT topic in broker settings.
pub const MAX_TOPIC: usize = 128;
/// Longest sentence in an answer.
pub const MAX_SENTENCE: usize = 200;
/// Most measured components in one EAT.
pub const MAX_MEASUREMENTS: usize = 4;
/// Most evidence kinds a device offers.
pub const MAX_KINDS: usize = 8;
/// Longest short text in a claim (model, software name, versions).
pub const MAX_CLAIM_TEXT: usize = 64;
