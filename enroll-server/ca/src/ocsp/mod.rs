//! OCSP (RFC 6960): reads requests, and signs answers with the key of a responder that the CA has delegated to.
//!
//! How certificates stand is the store's to know; caches and HTTP are the server's.

mod request;
mod responder;
mod response;

pub use request::{Asked, MAX_ASKED, MAX_NONCE, MAX_REQUEST, Malformed, Query};
pub use responder::{RESPONDER_LIFETIME, Responder, names_issuer};
pub use response::{Answer, Failure, OcspError, Produced, Status};
