//! Reads TLS errors and alerts: what they say about protocol and cipher, or about the client's certificate.

use std::io;

use rustls::{AlertDescription as Alert, Error, PeerIncompatible};

use crate::finding::{Cause, Finding};

/// The rustls error inside an I/O error, if there is one.
#[must_use]
pub fn inner(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Why a handshake failed before the server showed a certificate.
#[must_use]
pub fn of_handshake(target: &str, error: &io::Error) -> Finding {
    let cause = match inner(error) {
        Some(Error::InvalidMessage(_) | Error::InappropriateMessage { .. }) => Cause::NotTls,
        Some(Error::AlertReceived(Alert::ProtocolVersion)) => Cause::ProtocolTooOld,
        Some(Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        )) => Cause::ProtocolTooOld,
        Some(Error::AlertReceived(Alert::HandshakeFailure | Alert::InsufficientSecurity)) => {
            Cause::NoCommonCipher
        }
        Some(Error::PeerIncompatible(_)) => Cause::NoCommonCipher,
        Some(_) => Cause::HandshakeFailed,
        None => Cause::ConnectionClosed,
    };
    let expected = match cause {
        Cause::NotTls => "an answer in TLS",
        Cause::ProtocolTooOld => "TLS 1.3, or TLS 1.2 where that is allowed",
        Cause::NoCommonCipher => {
            "a suite with forward secrecy and AES-GCM or ChaCha20, a group P-256 or X25519"
        }
        _ => "a handshake",
    };
    Finding::new(cause, target, words(error), expected)
}

/// Why the server ended the connection after it got the client's certificate, or none (`shown`).
#[must_use]
pub fn of_client(target: &str, error: &io::Error, shown: bool) -> Finding {
    let expected = "a server that takes the client's certificate";
    let Some(Error::AlertReceived(alert)) = inner(error) else {
        return Finding::new(Cause::ClientCertificateRefused, target, words(error), expected);
    };
    let cause = match alert {
        _ if !shown => Cause::ClientCertificateRequired,
        Alert::CertificateRequired => Cause::ClientCertificateRequired,
        Alert::CertificateExpired => Cause::ClientExpired,
        Alert::CertificateRevoked => Cause::ClientRevoked,
        // A CA of the right name with another key: the signature on the client's certificate does not verify.
        Alert::UnknownCA | Alert::DecryptError => Cause::ClientUnknownCa,
        Alert::UnsupportedCertificate => Cause::ClientPurposeWrong,
        _ => Cause::ClientCertificateRefused,
    };
    Finding::new(cause, target, words(error), expected)
}

/// An error in words that say who said it.
#[must_use]
pub fn words(error: &io::Error) -> String {
    match inner(error) {
        Some(Error::AlertReceived(alert)) => format!("the server's alert {alert:?}"),
        Some(Error::InvalidMessage(_)) => "bytes that are no TLS".to_owned(),
        Some(other) => other.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "the connection was closed".to_owned(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{of_client, of_handshake};
    use crate::finding::Cause;
    use rustls::{AlertDescription as Alert, Error};

    fn alert(alert: Alert) -> std::io::Error {
        std::io::Error::other(Error::AlertReceived(alert))
    }

    #[test]
    fn alerts_about_the_client_have_their_cause() {
        for (said, cause) in [
            (Alert::CertificateExpired, Cause::ClientExpired),
            (Alert::CertificateRevoked, Cause::ClientRevoked),
            (Alert::UnknownCA, Cause::ClientUnknownCa),
            (Alert::DecryptError, Cause::ClientUnknownCa),
            (Alert::UnsupportedCertificate, Cause::ClientPurposeWrong),
            (Alert::CertificateRequired, Cause::ClientCertificateRequired),
            (Alert::BadCertificate, Cause::ClientCertificateRefused),
            (Alert::AccessDenied, Cause::ClientCertificateRefused),
        ] {
            assert_eq!(of_client("x", &alert(said), true).cause, cause, "{said:?}");
        }
        assert_eq!(
            of_client("x", &alert(Alert::HandshakeFailure), false).cause,
            Cause::ClientCertificateRequired
        );
    }

    #[test]
    fn alerts_before_the_certificate_are_about_protocol_and_cipher() {
        assert_eq!(of_handshake("x", &alert(Alert::ProtocolVersion)).cause, Cause::ProtocolTooOld);
        assert_eq!(of_handshake("x", &alert(Alert::HandshakeFailure)).cause, Cause::NoCommonCipher);
        assert_eq!(of_handshake("x", &alert(Alert::InternalError)).cause, Cause::HandshakeFailed);
        let closed = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        assert_eq!(of_handshake("x", &closed).cause, Cause::ConnectionClosed);
    }
}
