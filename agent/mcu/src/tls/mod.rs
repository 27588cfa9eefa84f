//! TLS 1.3 (RFC 8446) as a client, on embedded-tls, with what that library leaves to its caller.
//!
//! embedded-tls 0.19 takes the server's handshake messages in any order, with or without a certificate, and can
//! be made to panic. Four defences stand around it; none may be left out:
//!
//! - [`verifier`]: a state machine that wants Certificate once and CertificateVerify once, and holds the proof.
//! - [`guard`]: checks every record before the library sees it.
//! - [`suite`]: checks what is inside a record before the library acts on it.
//! - [`session`]: gives out a session only where the handshake ended well **and** the verifier holds the proof.
//!
//! Not here: session resumption, early data, key update, other groups than P-256, other suites than
//! AES-128-GCM with SHA-256.

#[cfg(feature = "sim")]
pub mod bare;
pub mod guard;
pub mod provider;
pub mod session;
pub mod suite;
pub mod verifier;
mod workspace;

pub use guard::RecordFault;
pub use session::{AuthenticatedSession, NotOpened, Place, SessionError, open};
pub use verifier::VerifyFault;
pub use workspace::{Buffers, Lent, READ_BUFFER, WRITE_BUFFER, Workspace};
