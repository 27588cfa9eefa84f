//! CBOR written by hand, makers, and keys.

use appraisal::{Endorsements, MakerCa};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use reference_values::{Offer, Release, ReleaseError, ReleaseKey, Trust};
use shared::UnixTime;

pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_795_478_400);

/// One CBOR item; a map's entries stand in the order in which they are written down.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    U(u64),
    N(u64),
    B(Vec<u8>),
    T(String),
    A(Vec<Self>),
    M(Vec<(Self, Self)>),
    Tag(u64, Box<Self>),
    Null,
    /// Bytes as they are.
    Raw(Vec<u8>),
}

use Node::{A, B, M, T, Tag, U};

impl Node {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_to(&mut out);
        out
    }

    fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            U(n) => head(0, *n, out),
            Self::N(n) => head(1, *n, out),
            B(bytes) => {
                head(2, bytes.len() as u64, out);
                out.extend(bytes);
            }
            T(text) => {
                head(3, text.len() as u64, out);
                out.extend(text.as_bytes());
            }
            A(items) => {
                head(4, items.len() as u64, out);
                items.iter().for_each(|item| item.write_to(out));
            }
            M(entries) => {
                head(5, entries.len() as u64, out);
                for (key, value) in entries {
                    key.write_to(out);
                    value.write_to(out);
                }
            }
            Tag(tag, item) => {
                head(6, *tag, out);
                item.write_to(out);
            }
            Self::Null => out.push(0xf6),
            Self::Raw(bytes) => out.extend(bytes),
        }
    }
}

fn head(major: u8, value: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    let bytes = value.to_be_bytes();
    match value {
        0..24 => out.push(major | bytes[7]),
        24..0x100 => out.extend([major | 24, bytes[7]]),
        0x100..0x1_0000 => out.extend([&[major | 25], &bytes[6..]].concat()),
        0x1_0000..0x1_0000_0000 => out.extend([&[major | 26], &bytes[4..]].concat()),
        _ => out.extend([&[major | 27], &bytes[..]].concat()),
    }
}

pub(crate) fn t(text: &str) -> Node {
    T(text.into())
}

pub(crate) fn hex_bytes(text: &str) -> Node {
    B(hex::decode(text.split_whitespace().collect::<String>()).unwrap())
}

pub(crate) fn tag(tag: u64, node: Node) -> Node {
    Tag(tag, Box::new(node))
}

/// A map with unsigned keys.
pub(crate) fn map(entries: impl IntoIterator<Item = (u64, Node)>) -> Node {
    M(entries.into_iter().map(|(key, value)| (U(key), value)).collect())
}

/// A CoMID with the identifier `id` and these reference triples.
pub(crate) fn comid(id: &str, version: u64, triples: Vec<Node>) -> Node {
    map([(1, map([(0, t(id)), (1, U(version))])), (4, map([(0, A(triples))]))])
}

/// A CoRIM with these CoMIDs, and more entries of its map.
pub(crate) fn corim(comids: Vec<Node>, more: Vec<(u64, Node)>) -> Vec<u8> {
    let tags = comids.iter().map(|comid| tag(506, B(comid.write()))).collect();
    tag(501, map([(0, t("a manifest")), (1, A(tags))].into_iter().chain(more))).write()
}

/// A triple of one environment and measurements.
pub(crate) fn triple(environment: Node, measurements: Vec<Node>) -> Node {
    A(vec![environment, A(measurements)])
}

pub(crate) fn model(model: &str) -> Node {
    map([(0, map([(1, t("Example Maker")), (2, t(model))]))])
}

/// A measurement with a name, a version and a SHA-256 digest of 32 times `byte`.
pub(crate) fn measurement(name: &str, version: &str, byte: u8) -> Node {
    map([(0, t(name)), (1, map([(0, map([(0, t(version))])), (2, sha256(byte))]))])
}

pub(crate) fn sha256(byte: u8) -> Node {
    A(vec![A(vec![U(1), B(vec![byte; 32])])])
}

/// A manifest that is good.
pub(crate) fn good() -> Vec<u8> {
    let triples = vec![triple(model("sensor-a"), vec![measurement("application", "1.2.0", 0xaa)])];
    corim(vec![comid("sensor-a/1.2", 3, triples)], vec![])
}

/// A maker with its CA, and what a server knows.
pub(crate) struct World {
    pub(crate) ca: Ca,
    pub(crate) makers: Endorsements,
    pub(crate) keys: Vec<ReleaseKey>,
}

pub(crate) struct Ca {
    pub(crate) key: KeyPair,
    pub(crate) params: CertificateParams,
    pub(crate) der: Vec<u8>,
}

impl Ca {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { key, params, der }
    }

    /// A certificate from this CA; for signing releases unless `change` says otherwise.
    pub(crate) fn signer(&self, key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "release signing");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        params.signed_by(key, &Issuer::from_params(&self.params, &self.key)).unwrap().der().to_vec()
    }
}

impl World {
    /// Knows the makers `acme` and `zenith`, without any release key.
    pub(crate) fn new() -> Self {
        let (ca, other) = (Ca::new("ACME CA"), Ca::new("Zenith CA"));
        let makers =
            vec![MakerCa::new("acme", &ca.der).unwrap(), MakerCa::new("zenith", &other.der).unwrap()];
        Self { ca, makers: Endorsements::new(makers), keys: vec![] }
    }

    pub(crate) fn with_key(mut self, maker: &str, key: &KeyPair) -> Self {
        self.keys.push(ReleaseKey::new(maker, &key.subject_public_key_info()).unwrap());
        self
    }

    pub(crate) fn trust(&self) -> Trust<'_> {
        Trust { keys: &self.keys, makers: &self.makers, maker: None, allow_unsigned: false, now: NOW }
    }

    pub(crate) fn open(&self, bytes: &[u8]) -> Result<Release, ReleaseError> {
        reference_values::open(&Offer { bytes, signature: None }, &self.trust())
    }

    /// Imports without a signature, for the maker `acme`.
    pub(crate) fn unsigned(&self, bytes: &[u8]) -> Result<Release, ReleaseError> {
        let trust = Trust { maker: Some("acme"), allow_unsigned: true, ..self.trust() };
        reference_values::open(&Offer { bytes, signature: None }, &trust)
    }
}

/// The protected header of a signed CoRIM.
pub(crate) fn header(algorithm: u64, more: Vec<(u64, Node)>) -> Node {
    let meta = map([(0, map([(0, t("ACME Ltd."))]))]);
    let all = [(1, Node::N(algorithm)), (3, t("application/rim+cbor")), (8, B(meta.write()))];
    map(all.into_iter().chain(more))
}

pub(crate) const ES256: u64 = 6;
pub(crate) const ES384: u64 = 34;

/// Signs `payload` under `protected` (RFC 9052, section 4.4).
pub(crate) fn sign(key: &KeyPair, protected: &Node, unprotected: Node, payload: &[u8]) -> Vec<u8> {
    let protected = B(protected.write());
    let structure = A(vec![t("Signature1"), protected.clone(), B(vec![]), B(payload.to_vec())]).write();
    let algorithm = match key.subject_public_key_info().len() {
        91 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        _ => &ECDSA_P384_SHA384_FIXED_SIGNING,
    };
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.serialized_der()).unwrap();
    let signature = pair.sign(&SystemRandom::new(), &structure).unwrap().as_ref().to_vec();
    tag(18, A(vec![protected, unprotected, B(payload.to_vec()), B(signature)])).write()
}

pub(crate) fn p256() -> KeyPair {
    KeyPair::generate().unwrap()
}

pub(crate) fn p384() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap()
}
