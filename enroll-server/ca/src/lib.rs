//! The certificate authority: profile, lint, issuer, CRL; no HTTP, no SQL.
