//! Every reason for which a server's certificates are refused: code, name, sentence.
//!
//! One table, so that codes and names cannot drift apart. Codes never change their meaning and are never used
//! again; devices report them in logs and status messages.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $text:literal, $sentence:literal;)+) => {
        /// Why a certificate or a path was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum PathError { $($(#[doc = $doc])+ #[error($sentence)] $name = $code,)+ }

        impl PathError {
            /// All reasons, in the order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable code.
            #[must_use]
            pub const fn code(self) -> u8 {
                match self { $(Self::$name => $code,)+ }
            }

            /// The stable name, as in logs and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

reasons! {
    /// Not the DER of a certificate: a length, a tag or an order is wrong (X.690; RFC 5280, section 4.1).
    Malformed = 1, "malformed", "a certificate is not well-formed DER";
    /// Longer than [`shared::limits::MAX_CERTIFICATE`].
    TooLarge = 2, "too-large", "a certificate is longer than this device reads";
    /// No certificate at all, or more than [`shared::limits::MAX_CHAIN`].
    ChainLength = 3, "chain-length", "the server sent no certificate, or more than this device reads";
    /// The path needs more intermediates than the limit.
    TooDeep = 4, "too-deep", "the path has more intermediate certificates than allowed";
    /// So many signatures were wrong that the search ended.
    TooManySignatures = 5, "too-many-signatures", "the search for a path ended at its limit of signature checks";
    /// The host to be reached is neither a DNS name nor an IP address.
    InvalidHost = 6, "invalid-host", "the host in the settings is neither a DNS name nor an IP address";

    /// Not version 3 (RFC 5280, section 4.1.2.1).
    Version = 10, "version", "a certificate is not of version 3";
    /// The serial number is zero, negative or longer than 20 bytes (RFC 5280, section 4.1.2.2).
    Serial = 11, "serial", "a serial number is not positive or longer than 20 bytes";
    /// The signature algorithm is not ECDSA with SHA-256.
    SignatureAlgorithm = 12, "signature-algorithm", "a certificate is not signed with ECDSA and SHA-256";
    /// The signed algorithm is not the one outside (RFC 5280, section 4.1.1.2).
    AlgorithmMismatch = 13, "algorithm-mismatch", "a certificate names two signature algorithms";
    /// The public key is not an uncompressed point of the named curve P-256.
    PublicKey = 14, "public-key", "a public key is not an uncompressed P-256 point";
    /// A date is not written as RFC 5280, section 4.1.2.5, wants, or the end is before the beginning.
    Dates = 15, "dates", "the dates of a certificate are not well formed";
    /// The issuer is empty (RFC 5280, section 4.1.2.4).
    EmptyIssuer = 16, "empty-issuer", "a certificate has an empty issuer";
    /// An extension occurs twice (RFC 5280, section 4.2).
    DuplicateExtension = 18, "duplicate-extension", "an extension occurs twice";
    /// A critical extension is not understood (RFC 5280, section 4.2).
    UnknownCritical = 19, "unknown-critical", "a critical extension is not understood";
    /// An extension is critical that must not be, or the reverse (RFC 5280, sections 4.2.1 and 4.2.2).
    Criticality = 20, "criticality", "an extension is critical and must not be, or is not and must be";
    /// Name constraints are not supported, and so refused.
    NameConstraints = 21, "name-constraints", "a certificate has name constraints, which are not supported";
    /// Policy constraints, policy mappings and inhibitAnyPolicy are not supported, and so refused.
    PolicyConstraints = 22, "policy-constraints", "a certificate constrains policies, which is not supported";

    /// No trust anchor and no certificate that was sent bears the issuer's name.
    UnknownIssuer = 30, "unknown-issuer", "no path leads to a trust anchor";
    /// A signature does not verify under the issuer's key.
    BadSignature = 31, "bad-signature", "the signature of a certificate is wrong";
    /// Before not-before.
    NotYetValid = 32, "not-yet-valid", "a certificate is not valid yet";
    /// After not-after.
    Expired = 33, "expired", "a certificate has expired";
    /// The issuer is no CA: basicConstraints is absent, not critical, or says no (RFC 5280, section 4.2.1.9).
    NotCa = 34, "not-ca", "the issuer of a certificate is not a CA";
    /// More CAs below than pathLenConstraint allows (RFC 5280, section 4.2.1.9).
    PathLength = 35, "path-length", "a CA has more CAs below it than it may";
    /// keyUsage lacks keyCertSign in a CA, lacks digitalSignature in a server, or has keyCertSign there.
    KeyUsage = 36, "key-usage", "a key is not meant for this use";
    /// A CA certificate has no subject key identifier (RFC 5280, section 4.2.1.2).
    SubjectKeyId = 37, "subject-key-id", "a CA certificate has no subject key identifier";
    /// The authority key identifier is absent or of the wrong form (RFC 5280, section 4.2.1.1).
    AuthorityKeyId = 38, "authority-key-id", "an authority key identifier is absent or of the wrong form";
    /// The authority key identifier is not the issuer's subject key identifier.
    KeyIdMismatch = 39, "key-id-mismatch", "a certificate names another key of its issuer";

    /// A CA's certificate is used as a server's.
    CaAsServer = 50, "ca-as-server", "the server's certificate is a CA certificate";
    /// extKeyUsage: a server's lacks serverAuth or has anyExtendedKeyUsage, a CA's excludes serverAuth, or a
    /// root has any.
    ExtKeyUsage = 51, "ext-key-usage", "a certificate is not meant for TLS servers";
    /// The server's certificate has no subjectAltName; the common name is never used instead (RFC 9525,
    /// section 2).
    NoAltName = 52, "no-alt-name", "the server's certificate has no subjectAltName";
    /// The subject's common name is not among the names in subjectAltName.
    CommonName = 53, "common-name", "the common name is not one of the names in subjectAltName";
    /// The host is not in subjectAltName.
    NameMismatch = 54, "name-mismatch", "the server's certificate is for another host";
    /// The host is in subjectAltName by a wildcard only, and wildcards are not accepted.
    WildcardName = 55, "wildcard-name", "the server's certificate names the host by a wildcard only";
}

#[cfg(test)]
mod tests {
    use super::PathError;

    #[test]
    fn codes_ascend_and_names_are_unique() {
        for (i, reason) in PathError::ALL.iter().enumerate() {
            for other in &PathError::ALL[i + 1..] {
                assert!(reason.code() < other.code(), "{reason:?} before {other:?}");
                assert_ne!(reason.name(), other.name());
            }
        }
    }
}
