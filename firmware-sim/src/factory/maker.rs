//! A maker's CA and the IDevIDs it endorses (IEEE 802.1AR).

use rand_core::RngCore as _;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber, string::PrintableString,
};
use sha2::{Digest as _, Sha256};
use shared::keytext::{KeyText, LENGTH, Scope};
use shared::{DeviceId, UnixTime};

use super::FactoryError;
use crate::dice::Uds;

/// A maker: the CA whose certificate an operator adds to the enrollment server.
pub struct Maker {
    name: String,
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A device's identity from the factory.
pub struct Idevid {
    /// The certificate in PEM; empty for a symmetric key, which has none.
    pub certificate_pem: String,
    /// The private key, PKCS#8 in PEM; of a DICE device its unique secret, in hexadecimal; a symmetric key as
    /// [`shared::keytext`] has it.
    pub key_pem: zeroize::Zeroizing<String>,
    /// SHA-256 of the SubjectPublicKeyInfo, in hexadecimal digits.
    pub spki_sha256: String,
    /// The SubjectPublicKeyInfo in DER, in hexadecimal digits.
    pub spki: String,
    /// Its instance identifier where it is an attestation key, see [`crate::psa::instance`], in hexadecimal digits.
    pub instance_id: String,
}

impl core::fmt::Debug for Maker {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Maker").field("name", &self.name).finish_non_exhaustive()
    }
}

impl core::fmt::Debug for Idevid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Idevid").field("spki_sha256", &self.spki_sha256).finish_non_exhaustive()
    }
}

impl Maker {
    /// A new maker with a P-256 key and a self-signed certificate from `now` on.
    ///
    /// # Errors
    /// Where the key or the certificate could not be made.
    pub fn new(name: &str, now: UnixTime) -> Result<Self, FactoryError> {
        Self::above(name, 0, now)
    }

    /// As [`new`](Self::new), for devices that certify so many layers of their own (DICE).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn above(name: &str, layers: u8, now: UnixTime) -> Result<Self, FactoryError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = parameters(now)?;
        params.distinguished_name.push(DnType::OrganizationName, name);
        params.distinguished_name.push(DnType::CommonName, format!("{name} device CA"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(layers));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Ok(Self { name: name.to_owned(), certificate, issuer: Issuer::new(params, key) })
    }

    /// The CA certificate in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.certificate.pem()
    }

    /// The CA's private key, PKCS#8 in PEM.
    #[must_use]
    pub fn key_pem(&self) -> zeroize::Zeroizing<String> {
        zeroize::Zeroizing::new(self.issuer.key().serialize_pem())
    }

    /// The CA as an issuer.
    pub(crate) const fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// Makes a key and an IDevID certificate for `id`.
    ///
    /// Nothing stops a maker from endorsing one identifier twice, with two keys; the enrollment server has to
    /// notice.
    ///
    /// # Errors
    /// Where the key or the certificate could not be made.
    pub fn endorse(&self, id: &DeviceId, now: UnixTime) -> Result<Idevid, FactoryError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = parameters(now)?;
        params.distinguished_name.push(DnType::OrganizationName, self.name.as_str());
        // IEEE 802.1AR, section 8.6: the subject carries the serial number; X.520 makes it printable.
        let serial = PrintableString::try_from(id.as_str())?;
        let serial_number = DnType::CustomDnType(SERIAL_NUMBER.to_vec());
        params.distinguished_name.push(serial_number, DnValue::PrintableString(serial));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        Ok(Idevid {
            certificate_pem: certificate.pem(),
            key_pem: zeroize::Zeroizing::new(key.serialize_pem()),
            spki_sha256: spki_sha256(&spki),
            spki: hex::encode(spki),
            instance_id: hex::encode(Sha256::digest(rcgen::PublicKeyData::der_bytes(&key))),
        })
    }
}

impl Maker {
    /// Makes a unique device secret for `id` and certifies the root key that follows from it.
    ///
    /// # Errors
    /// Where the secret or the certificate could not be made.
    pub fn endorse_dice(&self, id: &DeviceId, now: UnixTime) -> Result<Idevid, FactoryError> {
        let failed = |error| FactoryError::Dice(Box::new(error));
        let uds = Uds::random()?;
        let root = uds.endorse(id, self, now).map_err(failed)?;
        let spki = uds.root_spki().map_err(failed)?;
        Ok(Idevid {
            certificate_pem: ca::pem::certificate(&root),
            key_pem: zeroize::Zeroizing::new(hex::encode(uds.as_bytes())),
            spki_sha256: spki_sha256(&spki),
            instance_id: String::new(),
            spki: hex::encode(spki),
        })
    }
}

impl Idevid {
    /// What a device has that shares nothing but its group's key, from which its own is derived.
    #[must_use]
    pub fn derived(group: &KeyText, id: &DeviceId) -> Self {
        let key = KeyText::new(Scope::Device, *group.kid(), *appraisal::derive(group.key(), id));
        // The whole capacity at once: growing would leave copies behind.
        let mut text = zeroize::Zeroizing::new(String::with_capacity(LENGTH + 1));
        text.extend(key.characters());
        text.push('\n');
        Self {
            certificate_pem: String::new(),
            key_pem: text,
            spki_sha256: String::new(),
            spki: String::new(),
            instance_id: String::new(),
        }
    }
}

/// SHA-256 of a SubjectPublicKeyInfo in DER, as the inventory has it.
#[must_use]
pub fn spki_sha256(spki: &[u8]) -> String {
    hex::encode(Sha256::digest(spki))
}

/// X.520 serialNumber, 2.5.4.5.
const SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];

/// Valid from `now` without an end (IEEE 802.1AR, section 8.7: 99991231235959Z), with a random serial number.
fn parameters(now: UnixTime) -> Result<CertificateParams, FactoryError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let midnight = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = midnight + core::time::Duration::from_secs(now.as_secs());
    params.not_after = rcgen::date_time_ymd(9999, 12, 31) + core::time::Duration::from_secs(86_399);
    let mut serial = [0; 16];
    rand_core::OsRng.try_fill_bytes(&mut serial).map_err(|_| FactoryError::Random)?;
    // Positive and of full length (RFC 5280, section 4.1.2.2).
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}
