//! A small PKI and a broker for the tests.

use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use firmware_sim::broker::{BrokerConfig, Limits};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, RevokedCertParams,
    SerialNumber,
};
use rumqttc::mqttbytes::v5::{ConnectReturnCode, LastWill};
use rumqttc::{AsyncClient, ConnectionError, EventLoop, MqttOptions, TlsConfiguration, Transport};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A CA that issues for devices and for the broker, and its files.
pub(crate) struct Pki {
    dir: PathBuf,
    ca: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A client certificate with its key.
pub(crate) struct Client {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: KeyPair,
}

impl Pki {
    pub(crate) fn new(dir: &Path) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "issuing CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = params.self_signed(&key).unwrap();
        fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
        let pki = Self { dir: dir.to_owned(), ca: ca.der().clone(), issuer: Issuer::new(params, key) };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        fs::write(dir.join("broker.pem"), params.signed_by(&key, &pki.issuer).unwrap().pem()).unwrap();
        fs::write(dir.join("broker.key"), key.serialize_pem()).unwrap();
        pki.publish(1, &[]);
        pki
    }

    /// A certificate for a client called `name`.
    pub(crate) fn client(&self, name: &str, serial: u64) -> Client {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        Client { certificate: params.signed_by(&key, &self.issuer).unwrap().der().clone(), key }
    }

    /// Puts a CRL in place of the one before.
    pub(crate) fn publish(&self, number: u64, revoked: &[u64]) {
        let day = |day: u64| rcgen::date_time_ymd(2020, 1, 1) + Duration::from_secs(day * 86_400);
        let revoked_certs = revoked
            .iter()
            .map(|serial| RevokedCertParams {
                serial_number: SerialNumber::from(*serial),
                revocation_time: day(0),
                reason_code: None,
                invalidity_date: None,
            })
            .collect();
        let params = CertificateRevocationListParams {
            this_update: day(0),
            next_update: day(36_500),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        self.publish_bytes(params.signed_by(&self.issuer).unwrap().der());
    }

    /// Puts any bytes in place of the CRL, at one stroke.
    pub(crate) fn publish_bytes(&self, bytes: &[u8]) {
        let new = self.dir.join("crl.new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, self.dir.join("crl.der")).unwrap();
    }

    pub(crate) fn broker(&self) -> BrokerConfig {
        BrokerConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            certificate: self.dir.join("broker.pem"),
            key: self.dir.join("broker.key"),
            issuing_ca: self.dir.join("ca.pem"),
            crl: self.dir.join("crl.der"),
            time: Arc::new(enroll_server::clock::SystemClock),
            limits: Limits {
                connections: 8,
                handshake: Duration::from_secs(2),
                connect: Duration::from_millis(500),
                ..Limits::default()
            },
        }
    }

    /// The TLS settings of a client that trusts this PKI.
    pub(crate) fn tls(&self, client: Option<&Client>) -> rustls::ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        match client {
            Some(client) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(client.key.serialize_der()));
                builder.with_client_auth_cert(vec![client.certificate.clone()], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        }
    }

    /// An MQTT client that calls itself `id`.
    pub(crate) fn mqtt(
        &self,
        port: u16,
        client: Option<&Client>,
        id: &str,
        will: Option<LastWill>,
    ) -> (AsyncClient, EventLoop) {
        let mut options = MqttOptions::new(id, ("localhost", port));
        options
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(self.tls(client)))));
        options.set_keep_alive(10);
        if let Some(will) = will {
            options.set_last_will(will);
        }
        AsyncClient::builder(options).capacity(10).build()
    }
}

/// The reason code of a login that was refused.
pub(crate) fn refusal(error: &ConnectionError) -> Option<ConnectReturnCode> {
    match error {
        ConnectionError::ConnectionRefused(code) => Some(*code),
        _ => None,
    }
}
