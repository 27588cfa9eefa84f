//! Makes `shared/vectors/dice.json` anew: the evidence of a simulated DICE device, and a revocation list of its maker.
//!
//! A change of this file is wanted only when the protocol or a certificate profile changes.

#![expect(clippy::unwrap_used, reason = "a tool for developers stops at the first error")]

use firmware_sim::dice::Code;
use firmware_sim::dice::{Mode, Uds, boot};
use firmware_sim::factory::Maker;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use shared::cose::{self, Content};
use shared::evidence::{Binding, key_thumbprint};
use shared::{DeviceId, UnixTime};
use tests::harness::Csr;
use tests::harness::device::written;

const NOW: UnixTime = UnixTime::from_secs(1_795_478_400);

fn main() {
    let maker = Maker::above("Example Maker", 3, NOW).unwrap();
    let maker_ca = ca::pem::read_certificates(maker.certificate_pem().as_bytes()).unwrap().remove(0);
    let (device, uds) = (DeviceId::new("SN-0001").unwrap(), Uds::random().unwrap());
    let root = uds.endorse(&device, &maker, NOW).unwrap();
    let codes = [
        Code::of_image("bootloader", "1.0.0", "dice-sim", b"bootloader"),
        Code::of_image("application", "1.2.0", "dice-sim", b"application"),
    ];
    let booted = boot(&uds, &root, &codes, Mode::Normal).unwrap();
    let (csr, nonce) = (Csr::new(), [0xa5; 32]);
    let binding = Binding { confirmation: key_thumbprint(&csr.point), nonce };
    let payload = written(|out| binding.encode(out));
    let mut signed = Vec::new();
    cose::signed_bytes(Content::DiceBinding, &payload, |part| signed.extend_from_slice(part));
    let signature: Signature = SigningKey::from(&booted.alias).sign(&signed);
    let evidence =
        written(|out| cose::encode(Content::DiceBinding, &payload, &signature.to_bytes().into(), out));

    let issuer =
        Issuer::from_ca_cert_der(&maker_ca.as_slice().into(), KeyPair::from_pem(&maker.key_pem()).unwrap());
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 11, 1),
        next_update: date_time_ymd(2026, 12, 1),
        crl_number: SerialNumber::from(7_u64),
        issuing_distribution_point: None,
        revoked_certs: [&[0x41_u8; 16][..], &[0x01]]
            .iter()
            .map(|serial| RevokedCertParams {
                serial_number: SerialNumber::from_slice(serial),
                revocation_time: date_time_ymd(2026, 10, 1),
                reason_code: None,
                invalidity_date: None,
            })
            .collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let crl = list.signed_by(&issuer.unwrap()).unwrap().der().to_vec();

    let mut text = format!(
        "{{\n  \"about\": \"Evidence by DICE, and a revocation list of the maker; made by cargo run -p tests --example \
         make-dice\",\n  \"now\": {},\n  \"device\": \"{device}\",\n",
        NOW.as_secs()
    );
    let chain: Vec<String> =
        booted.chain.iter().map(|der| format!("\n    \"{}\"", hex::encode(der))).collect();
    for (name, bytes) in [
        ("maker_ca", &maker_ca),
        ("maker_crl", &crl),
        ("nonce", &nonce.to_vec()),
        ("csr", &csr.der),
        ("evidence", &evidence),
        ("binding", &payload),
    ] {
        text += &format!("  \"{name}\": \"{}\",\n", hex::encode(bytes));
    }
    text += &format!("  \"chain\": [{}\n  ]\n}}\n", chain.join(","));
    std::fs::write(tests::dice::PATH, text).unwrap();
}
