//! Certificates that the enrollment server would not issue: expired ones, those of an operator or a broker.

use rcgen::string::PrintableString;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use shared::UnixTime;

use super::https::ClientKey;
use super::wait::now;
use super::world::{QEMU_HOST, World};

/// What is to be certified.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// Common name.
    pub name: &'a str,
    /// First second.
    pub not_before: UnixTime,
    /// Last second.
    pub not_after: UnixTime,
    /// For a server, under this machine's names and addresses; else for a client.
    pub server: bool,
}

impl<'a> Order<'a> {
    /// A client's certificate that is valid from an hour ago for a day.
    #[must_use]
    pub fn client(name: &'a str) -> Self {
        let hour = core::time::Duration::from_secs(3600);
        Self { name, not_before: now().before(hour), not_after: now().after(hour * 23), server: false }
    }

    /// A server's certificate for the same time.
    #[must_use]
    pub fn server(name: &'a str) -> Self {
        Self { server: true, ..Self::client(name) }
    }
}

/// Certifies with the key of the world's issuing CA, past all of the server's checks.
///
/// # Panics
/// Where the CA's files cannot be used.
#[must_use]
pub fn certify(world: &World, order: &Order<'_>) -> ClientKey {
    certify_changed(world, order, |_| ())
}

/// As [`certify`], with something changed in what is certified.
///
/// # Panics
/// Where the CA's files cannot be used.
#[must_use]
pub fn certify_changed(
    world: &World,
    order: &Order<'_>,
    change: impl FnOnce(&mut CertificateParams),
) -> ClientKey {
    let mut parameters = parameters(order);
    change(&mut parameters);
    by_ca_in(world, "server", &parameters)
}

/// As [`certify`], with the key of the issuing CA in another folder: the one that a rollover made.
///
/// # Panics
/// Where the CA's files cannot be used.
#[must_use]
pub fn certify_by_ca_in(world: &World, folder: &str, order: &Order<'_>) -> ClientKey {
    by_ca_in(world, folder, &parameters(order))
}

fn by_ca_in(world: &World, folder: &str, parameters: &CertificateParams) -> ClientKey {
    let (certificate, key) = (format!("{folder}/issuing-ca.crt"), format!("{folder}/issuing-ca.key"));
    let key = KeyPair::from_pem(&world.text(&key)).expect("the CA's key");
    let issuer = Issuer::from_ca_cert_pem(&world.text(&certificate), key).expect("the CA's certificate");
    signed(parameters, &issuer, vec![world.certificates(&certificate).remove(0)])
}

/// Certifies with a CA of its own that looks like the world's: same names, other keys.
///
/// # Panics
/// Where the CA's files cannot be used.
#[must_use]
pub fn certify_by_impostor(world: &World, order: &Order<'_>) -> ClientKey {
    let pem = world.text("server/issuing-ca.crt");
    let issuer =
        Issuer::from_ca_cert_pem(&pem, KeyPair::generate().expect("a key")).expect("the CA's certificate");
    signed(&parameters(order), &issuer, Vec::new())
}

/// Certifies with the key of a client, as if that were a CA's; its chain is sent along.
///
/// # Panics
/// Where the client's certificate cannot be used.
#[must_use]
pub fn certify_by_client(client: &ClientKey, order: &Order<'_>) -> ClientKey {
    let signer = KeyPair::try_from(client.key.as_slice()).expect("the client's key");
    let leaf = client.chain.first().expect("the client's certificate");
    let issuer = Issuer::from_ca_cert_der(&leaf.as_slice().into(), signer).expect("a certificate");
    signed(&parameters(order), &issuer, client.chain.clone())
}

/// Certifies with a CA that nobody knows.
///
/// # Panics
/// Where there is no randomness.
#[must_use]
pub fn certify_by_stranger(order: &Order<'_>) -> ClientKey {
    let (root, root_key) =
        ca::hierarchy::root_ca("Stranger", ca::hierarchy::ROOT_LIFETIME, now()).expect("a CA");
    let pem = ca::pem::certificate(root.der());
    let root_key = KeyPair::from_pem(&ca::pem::private_key(root_key.pkcs8())).expect("the CA's key");
    let issuer = Issuer::from_ca_cert_pem(&pem, root_key).expect("the CA's certificate");
    signed(&parameters(order), &issuer, Vec::new())
}

/// A new key with its certificate, and the certificates `above` it.
fn signed(
    parameters: &CertificateParams,
    issuer: &Issuer<'_, KeyPair>,
    mut above: Vec<Vec<u8>>,
) -> ClientKey {
    let key = KeyPair::generate().expect("a key");
    let leaf = parameters.signed_by(&key, issuer).expect("a certificate").der().to_vec();
    above.insert(0, leaf);
    ClientKey { chain: above, key: key.serialize_der() }
}

/// The attribute serialNumber (RFC 5280, appendix A.1).
const SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];

fn parameters(order: &Order<'_>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, order.name);
    // RFC 5280, appendix A.1: a PrintableString, without which Erlang reads no certificate. Names that cannot be one are
    // for tests of names.
    let printable = PrintableString::try_from(order.name).map(DnValue::PrintableString);
    let number = printable.unwrap_or_else(|_| DnValue::Utf8String(order.name.to_owned()));
    params.distinguished_name.push(DnType::CustomDnType(SERIAL_NUMBER.to_vec()), number);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + core::time::Duration::from_secs(order.not_before.as_secs());
    params.not_after = epoch + core::time::Duration::from_secs(order.not_after.as_secs());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // 16 bytes, as the server's own are: another form is refused in the handshake already.
    let number = u128::from(std::process::id()) << 64 | u128::from(order.not_after.as_secs());
    params.serial_number = Some(SerialNumber::from_slice(&(1 << 126 | number).to_be_bytes()));
    params.use_authority_key_identifier_extension = true;
    if order.server {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into().expect("a name")),
            SanType::IpAddress("127.0.0.1".parse().expect("an address")),
            SanType::IpAddress(QEMU_HOST.parse().expect("an address")),
        ];
    } else {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    }
    params
}
