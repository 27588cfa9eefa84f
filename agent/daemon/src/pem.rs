//! Reads and writes PEM (RFC 7468).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// Certificates in PEM, one after the other.
pub(crate) fn certificates<'a>(chain: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut text = String::new();
    for der in chain {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = STANDARD.encode(der);
        let mut rest = encoded.as_str();
        while let Some((line, after)) = rest.split_at_checked(64) {
            text.push_str(line);
            text.push('\n');
            rest = after;
        }
        if !rest.is_empty() {
            text.push_str(rest);
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

/// The certificates of a PEM text, in its order; other sections are passed over. `None` where it is broken.
pub(crate) fn read_certificates(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    CertificateDer::pem_slice_iter(text).map(|item| item.ok().map(|der| der.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::{certificates, read_certificates};

    #[test]
    fn what_is_written_is_read_again() {
        for length in [1, 47, 48, 49, 96, 700] {
            let chain = [vec![7_u8; length], vec![9; length + 1]];
            let text = certificates(chain.iter().map(Vec::as_slice));
            assert!(text.lines().all(|line| line.len() <= 64));
            assert_eq!(read_certificates(text.as_bytes()).unwrap(), chain);
        }
        assert_eq!(read_certificates(b"no PEM at all").unwrap(), Vec::<Vec<u8>>::new());
        assert!(read_certificates(b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n").is_none());
    }
}
