//! What a row says of its certificate, against what the certificate says.

use std::collections::HashSet;

use x509_parser::prelude::FromDer as _;

use crate::issuance::{list_address, sha256};
use crate::store::{CertificateRow, in_place_of_key};

/// The columns that do not say what the certificate in the row says, each with both. `lists`: the addresses of all revocation
/// lists but the complete ones.
pub(super) fn differing(row: &CertificateRow, lists: &HashSet<String>) -> Vec<(&'static str, String)> {
    let der = row.der.as_deref().unwrap_or_default();
    let Ok((_, certificate)) = x509_parser::certificate::X509Certificate::from_der(der) else {
        return vec![("der", "holds no certificate".to_owned())];
    };
    let device = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let validity = certificate.validity();
    let in_place = in_place_of_key(&row.serial);
    let key = if row.key_sha256 == in_place { in_place } else { sha256(certificate.public_key().raw) };
    // A certificate that is on another list than the one it names is not revoked for whoever asks that list.
    let named = list_address(&certificate);
    let list = match (row.crl_partition, &row.crl_url) {
        (0, _) => named.clone().filter(|named| !lists.contains(named)),
        (_, Some(url)) => Some(url.clone()),
        (number, None) => Some(format!("{number}, which is no list")),
    };
    let list_text = |list: Option<String>| list.unwrap_or_else(|| "the complete list".to_owned());
    let compare = |column, said: String, is: String| {
        (said != is).then(|| (column, format!("says {said}, the certificate {is}")))
    };
    let serial = super::record::serial_of(der).map(hex::encode).unwrap_or_default();
    [
        compare("serial", hex::encode(&row.serial), serial),
        compare("device", row.device.clone(), device.unwrap_or_default().to_owned()),
        compare("not_before", row.not_before.to_string(), validity.not_before.timestamp().to_string()),
        compare("not_after", row.not_after.to_string(), validity.not_after.timestamp().to_string()),
        compare("key_sha256", hex::encode(&row.key_sha256), hex::encode(key)),
        compare("crl_partition", list_text(list), list_text(named)),
    ]
    .into_iter()
    .flatten()
    .collect()
}
