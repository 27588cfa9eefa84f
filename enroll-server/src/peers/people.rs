//! The devices in force, for brokers that want each of them named.

use shared::{DeviceId, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;

use crate::store::{CertificateState, DeviceFilter, DeviceState, Page, Store, StoreError};

/// Devices of one query.
const PAGE: u32 = 1_000;
/// Certificates of one device that are looked at, newest first: one in force and one it renews with.
const CERTIFICATES: u32 = 8;

/// A device, and the names by which certificates of its that are in force call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The device.
    pub device: DeviceId,
    /// The URIs in its certificates; none where the profile puts none in.
    pub uris: Vec<String>,
}

/// All that have a certificate in force at `now`. A device that is suspended, revoked or retired is not among them.
///
/// # Errors
/// Where the store cannot be read.
pub async fn people(store: &dyn Store, now: UnixTime) -> Result<Vec<Person>, StoreError> {
    let mut people = Vec::new();
    for state in [DeviceState::Enrolled, DeviceState::Held] {
        let filter = DeviceFilter { state: Some(state), ..DeviceFilter::default() };
        let mut page = Page::first(PAGE);
        loop {
            let found = store.devices(filter.clone(), page).await?;
            for device in found.devices {
                let certificates = store.certificates(Some(device.device.clone()), CERTIFICATES).await?;
                let in_force = certificates.iter().filter(|certificate| {
                    certificate.state == CertificateState::Issued
                        && certificate.revoked.is_none()
                        && certificate.not_after > now
                });
                let ders: Vec<_> = in_force.filter_map(|certificate| certificate.der.as_deref()).collect();
                if !ders.is_empty() {
                    let mut uris: Vec<_> = ders.into_iter().flat_map(uris).collect();
                    uris.sort();
                    uris.dedup();
                    people.push(Person { device: device.device, uris });
                }
            }
            match found.next {
                Some(next) => page = Page { after: Some(next), limit: PAGE },
                None => break,
            }
        }
    }
    people.sort_by(|one, other| one.device.as_str().cmp(other.device.as_str()));
    Ok(people)
}

fn uris(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Vec::new() };
    let mut uris = Vec::new();
    for extension in certificate.extensions() {
        if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
            uris.extend(names.general_names.iter().filter_map(|name| match name {
                GeneralName::URI(uri) => Some((*uri).to_owned()),
                _ => None,
            }));
        }
    }
    uris
}
