//! Where the native protocol lives under the server's HTTPS address, and the media types of its bodies.

/// `POST`: a [`ChallengeRequest`](crate::message::latest::ChallengeRequest) is answered with a nonce.
pub const CHALLENGE: &str = "/v1/challenge";
/// `POST`: first enrollment, proved by evidence.
pub const ENROLL: &str = "/v1/enroll";
/// `POST`: re-enrollment over mutual TLS with the current LDevID.
pub const RENEW: &str = "/v1/renew";
/// `GET`: the signed trust bundle in force. `POST` over mutual TLS: a
/// [`TrustReport`](crate::message::latest::TrustReport) is answered with the bundle that the device takes next.
pub const TRUST: &str = "/v1/trust";
/// Media type of every request and answer of the native protocol (RFC 8949, section 9.5).
pub const MEDIA_TYPE: &str = "application/cbor";
