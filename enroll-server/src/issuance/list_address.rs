//! Which revocation list a certificate names.

use x509_parser::prelude::{DistributionPointName, GeneralName, ParsedExtension, X509Certificate};

/// The address of its distribution point (RFC 5280, section 4.2.1.13).
pub(crate) fn list_address(certificate: &X509Certificate<'_>) -> Option<String> {
    certificate.extensions().iter().find_map(|extension| {
        let ParsedExtension::CRLDistributionPoints(points) = extension.parsed_extension() else {
            return None;
        };
        let Some(DistributionPointName::FullName(names)) = &points.points.first()?.distribution_point else {
            return None;
        };
        names.iter().find_map(|name| match name {
            GeneralName::URI(url) => Some((*url).to_owned()),
            _ => None,
        })
    })
}
