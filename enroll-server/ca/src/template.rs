//! What a certificate is to contain, byte by byte, and the same as parameters for the library that signs.

use core::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyUsagePurpose, SanType,
};
use shared::UnixTime;
use time::OffsetDateTime;

use crate::der::{self, context, context_constructed, tlv};
use crate::profile::{CertificatePolicy, CustomExtension, KeyUse, Oid, Validity};
use crate::serial::Serial;

/// A certificate before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) serial: Serial,
    pub(crate) validity: Validity,
    pub(crate) subject: Vec<(Attribute, String)>,
    pub(crate) point: [u8; 65],
    pub(crate) names: Vec<Name>,
    pub(crate) usage: Usage,
    pub(crate) crl_url: Option<String>,
    pub(crate) ocsp_url: Option<String>,
    pub(crate) extra: Extra,
}

/// What a profile puts into a certificate besides what its [`Usage`] does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extra {
    /// Besides the signature.
    pub(crate) key_uses: Vec<KeyUse>,
    /// Purposes besides that of the usage.
    pub(crate) purposes: Vec<Oid>,
    pub(crate) policies: Vec<CertificatePolicy>,
    pub(crate) extensions: Vec<CustomExtension>,
}

/// An attribute of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    Country,
    State,
    Locality,
    Organization,
    OrganizationalUnit,
    CommonName,
    SerialNumber,
}

/// A subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Dns(String),
    Ip(IpAddr),
    Uri(String),
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// A TLS client.
    Client,
    /// A TLS server.
    Server,
    /// A responder that signs OCSP answers for its CA (RFC 6960, section 4.2.2.2).
    OcspResponder,
    /// A CA, with this many CAs below it at most.
    Ca { path_length: u8 },
}

/// An extension as it stands in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extension {
    pub(crate) oid: Vec<u8>,
    pub(crate) critical: bool,
    pub(crate) value: Vec<u8>,
}

/// The SubjectPublicKeyInfo of a P-256 key in DER (RFC 5480, section 2).
pub(crate) fn spki(point: &[u8; 65]) -> Vec<u8> {
    let algorithm = tlv(der::SEQUENCE, &[&tlv(der::OID, &[EC_PUBLIC_KEY]), &tlv(der::OID, &[PRIME256V1])]);
    tlv(der::SEQUENCE, &[&algorithm, &tlv(der::BIT_STRING, &[&[0], point])])
}

/// The key identifier: the leftmost 160 bits of the SHA-256 of the SubjectPublicKeyInfo (RFC 7093, section 2,
/// method 4 shortened as in method 1).
pub(crate) fn key_id(point: &[u8; 65]) -> Vec<u8> {
    digest(&SHA256, &spki(point)).as_ref().iter().copied().take(20).collect()
}

impl Template {
    /// The subject in DER.
    pub(crate) fn subject_der(&self) -> Vec<u8> {
        let rdns: Vec<Vec<u8>> = self
            .subject
            .iter()
            .map(|(attribute, text)| {
                let value = tlv(attribute.string_tag(), &[text.as_bytes()]);
                let pair = tlv(der::SEQUENCE, &[&tlv(der::OID, &[attribute.oid()]), &value]);
                tlv(der::SET, &[&pair])
            })
            .collect();
        sequence(&rdns)
    }

    /// The extensions; `authority` is the key identifier of the issuer, absent where it signs itself.
    pub(crate) fn extensions(&self, authority: Option<&[u8]>) -> Vec<Extension> {
        let extension = |oid: &[u8], critical, value| Extension { oid: oid.to_vec(), critical, value };
        let mut list = vec![
            extension(SUBJECT_KEY_ID, false, tlv(der::OCTET_STRING, &[&key_id(&self.point)])),
            extension(BASIC_CONSTRAINTS, true, self.usage.basic_constraints()),
            extension(KEY_USAGE, true, self.key_usage()),
        ];
        if let Some(id) = authority {
            let value = tlv(der::SEQUENCE, &[&tlv(context(0), &[id])]);
            list.push(extension(AUTHORITY_KEY_ID, false, value));
        }
        if !self.names.is_empty() {
            let names: Vec<_> = self.names.iter().map(Name::der).collect();
            list.push(extension(SUBJECT_ALT_NAME, false, sequence(&names)));
        }
        let own = self.usage.purpose().map(<[u8]>::to_vec);
        let purposes: Vec<Vec<u8>> = own
            .into_iter()
            .chain(self.extra.purposes.iter().map(Oid::content))
            .map(|oid| tlv(der::OID, &[&oid]))
            .collect();
        if !purposes.is_empty() {
            list.push(extension(EXTENDED_KEY_USAGE, false, sequence(&purposes)));
        }
        if let Some(url) = &self.crl_url {
            let name = tlv(context_constructed(0), &[&tlv(context(6), &[url.as_bytes()])]);
            let point = tlv(der::SEQUENCE, &[&tlv(context_constructed(0), &[&name])]);
            list.push(extension(CRL_DISTRIBUTION_POINTS, false, tlv(der::SEQUENCE, &[&point])));
        }
        if let Some(url) = &self.ocsp_url {
            list.push(extension(AUTHORITY_INFO_ACCESS, false, ocsp_access(url)));
        }
        if self.usage == Usage::OcspResponder {
            list.push(extension(OCSP_NOCHECK, false, tlv(der::NULL, &[])));
        }
        if !self.extra.policies.is_empty() {
            list.push(extension(CERTIFICATE_POLICIES, false, policies(&self.extra.policies)));
        }
        for CustomExtension { oid, value } in &self.extra.extensions {
            list.push(extension(&oid.content(), false, value.clone()));
        }
        list
    }

    fn key_usage(&self) -> Vec<u8> {
        let bits = self.extra.key_uses.iter().fold(self.usage.key_usage(), |bits, more| bits | more.bit());
        // X.690, section 11.2.2: no zero bits at the end.
        let unused = u8::try_from(bits.trailing_zeros()).unwrap_or(0);
        tlv(der::BIT_STRING, &[&[unused, bits]])
    }

    /// The same for rcgen.
    pub(crate) fn params(&self, self_signed: bool) -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.serial_number = Some(self.serial.as_bytes().to_vec().into());
        params.not_before = date(self.validity.not_before)?;
        params.not_after = date(self.validity.not_after)?;
        params.distinguished_name = DistinguishedName::new();
        for (attribute, text) in &self.subject {
            let (kind, value) = attribute.rcgen(text)?;
            params.distinguished_name.push(kind, value);
        }
        params.subject_alt_names = self.names.iter().map(Name::rcgen).collect::<Result<_, _>>()?;
        (params.is_ca, params.key_usages, params.extended_key_usages) = self.usage.rcgen();
        let uses = self.extra.key_uses.iter().map(|key_use| key_use.rcgen());
        params.key_usages.extend(uses.filter(|key_use| *key_use != KeyUsagePurpose::DigitalSignature));
        let purposes =
            self.extra.purposes.iter().map(|oid| ExtendedKeyUsagePurpose::Other(oid.arcs().to_vec()));
        params.extended_key_usages.extend(purposes);
        params.key_identifier_method = KeyIdMethod::PreSpecified(key_id(&self.point));
        params.use_authority_key_identifier_extension = !self_signed;
        params.crl_distribution_points =
            self.crl_url.iter().map(|url| CrlDistributionPoint { uris: vec![url.clone()] }).collect();
        params.custom_extensions = self
            .ocsp_url
            .iter()
            .map(|url| rcgen::CustomExtension::from_oid_content(AUTHORITY_INFO_ACCESS_ARCS, ocsp_access(url)))
            .collect();
        if self.usage == Usage::OcspResponder {
            let nothing = tlv(der::NULL, &[]);
            params
                .custom_extensions
                .push(rcgen::CustomExtension::from_oid_content(OCSP_NOCHECK_ARCS, nothing));
        }
        if !self.extra.policies.is_empty() {
            let value = policies(&self.extra.policies);
            let policies = rcgen::CustomExtension::from_oid_content(CERTIFICATE_POLICIES_ARCS, value);
            params.custom_extensions.push(policies);
        }
        for CustomExtension { oid, value } in &self.extra.extensions {
            let extension = rcgen::CustomExtension::from_oid_content(oid.arcs(), value.clone());
            params.custom_extensions.push(extension);
        }
        Ok(params)
    }
}

impl Attribute {
    /// The attribute with this object identifier, in DER without tag and length.
    pub(crate) fn of(oid: &[u8]) -> Option<Self> {
        [Self::Organization, Self::CommonName, Self::SerialNumber]
            .into_iter()
            .find(|known| known.oid() == oid)
    }

    const fn oid(self) -> &'static [u8] {
        match self {
            Self::Country => &[0x55, 0x04, 0x06],
            Self::State => &[0x55, 0x04, 0x08],
            Self::Locality => &[0x55, 0x04, 0x07],
            Self::Organization => &[0x55, 0x04, 0x0a],
            Self::OrganizationalUnit => &[0x55, 0x04, 0x0b],
            Self::CommonName => &[0x55, 0x04, 0x03],
            Self::SerialNumber => &[0x55, 0x04, 0x05],
        }
    }

    /// RFC 5280, appendix A.1: X520countryName and X520SerialNumber are PrintableStrings, the others here are
    /// UTF8Strings.
    const fn string_tag(self) -> u8 {
        match self {
            Self::State
            | Self::Locality
            | Self::Organization
            | Self::OrganizationalUnit
            | Self::CommonName => der::UTF8_STRING,
            Self::Country | Self::SerialNumber => der::PRINTABLE_STRING,
        }
    }

    /// Most characters (RFC 5280, appendix A.1: the ub- constants).
    pub(crate) const fn upper_bound(self) -> usize {
        match self {
            Self::Country => 2,
            Self::State | Self::Locality => 128,
            Self::Organization | Self::OrganizationalUnit | Self::CommonName | Self::SerialNumber => 64,
        }
    }

    /// The attribute with this identifier.
    pub(crate) fn from_oid(oid: &[u8]) -> Option<Self> {
        use Attribute::{
            CommonName, Country, Locality, Organization, OrganizationalUnit, SerialNumber, State,
        };
        let all = [Country, State, Locality, Organization, OrganizationalUnit, CommonName, SerialNumber];
        all.into_iter().find(|attribute| attribute.oid() == oid)
    }

    fn rcgen(self, text: &str) -> Result<(DnType, DnValue), rcgen::Error> {
        Ok(match self {
            Self::Organization => (DnType::OrganizationName, DnValue::Utf8String(text.into())),
            Self::OrganizationalUnit => (DnType::OrganizationalUnitName, DnValue::Utf8String(text.into())),
            Self::CommonName => (DnType::CommonName, DnValue::Utf8String(text.into())),
            Self::State => (DnType::StateOrProvinceName, DnValue::Utf8String(text.into())),
            Self::Locality => (DnType::LocalityName, DnValue::Utf8String(text.into())),
            Self::Country => (DnType::CountryName, DnValue::PrintableString(text.try_into()?)),
            Self::SerialNumber => {
                (DnType::CustomDnType(vec![2, 5, 4, 5]), DnValue::PrintableString(text.try_into()?))
            }
        })
    }
}

impl Name {
    /// A GeneralName in DER (RFC 5280, section 4.2.1.6).
    fn der(&self) -> Vec<u8> {
        match self {
            Self::Dns(name) => tlv(context(2), &[name.as_bytes()]),
            Self::Uri(name) => tlv(context(6), &[name.as_bytes()]),
            Self::Ip(IpAddr::V4(address)) => tlv(context(7), &[&address.octets()]),
            Self::Ip(IpAddr::V6(address)) => tlv(context(7), &[&address.octets()]),
        }
    }

    fn rcgen(&self) -> Result<SanType, rcgen::Error> {
        Ok(match self {
            Self::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
            Self::Uri(name) => SanType::URI(name.as_str().try_into()?),
            Self::Ip(address) => SanType::IpAddress(*address),
        })
    }
}

impl Usage {
    fn basic_constraints(self) -> Vec<u8> {
        match self {
            // cA is false by default, and DER leaves defaults out.
            Self::Client | Self::Server | Self::OcspResponder => tlv(der::SEQUENCE, &[]),
            Self::Ca { path_length } => {
                let length = tlv(der::INTEGER, &[&[path_length]]);
                tlv(der::SEQUENCE, &[&tlv(der::BOOLEAN, &[&[0xff]]), &length])
            }
        }
    }

    /// RFC 5280, section 4.2.1.3: bit 0 is digitalSignature, bits 5 and 6 are keyCertSign and cRLSign.
    const fn key_usage(self) -> u8 {
        match self {
            Self::Client | Self::Server | Self::OcspResponder => 0x80,
            Self::Ca { .. } => 0x06,
        }
    }

    const fn purpose(self) -> Option<&'static [u8]> {
        match self {
            Self::Client => Some(&[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02]),
            Self::Server => Some(&[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01]),
            Self::OcspResponder => Some(&[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x09]),
            Self::Ca { .. } => None,
        }
    }

    fn rcgen(self) -> (IsCa, Vec<KeyUsagePurpose>, Vec<ExtendedKeyUsagePurpose>) {
        use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyCertSign};
        match self {
            Self::Client => {
                (IsCa::ExplicitNoCa, vec![DigitalSignature], vec![ExtendedKeyUsagePurpose::ClientAuth])
            }
            Self::Server => {
                (IsCa::ExplicitNoCa, vec![DigitalSignature], vec![ExtendedKeyUsagePurpose::ServerAuth])
            }
            Self::OcspResponder => {
                (IsCa::ExplicitNoCa, vec![DigitalSignature], vec![ExtendedKeyUsagePurpose::OcspSigning])
            }
            Self::Ca { path_length } => {
                let constraints = BasicConstraints::Constrained(path_length);
                (IsCa::Ca(constraints), vec![KeyCertSign, CrlSign], vec![])
            }
        }
    }
}

/// A time for rcgen.
pub(crate) fn date(time: UnixTime) -> Result<OffsetDateTime, rcgen::Error> {
    let secs = i64::try_from(time.as_secs()).map_err(|_| rcgen::Error::Time)?;
    OffsetDateTime::from_unix_timestamp(secs).map_err(|_| rcgen::Error::Time)
}

/// A Time in DER (RFC 5280, section 4.1.2.5): a UTCTime until 2049, a GeneralizedTime from then on.
pub(crate) fn der_time(time: UnixTime) -> Result<Vec<u8>, rcgen::Error> {
    let text = generalized_time(time)?;
    Ok(match text.get(2..) {
        Some(utc) if date(time)?.year() < 2050 => tlv(der::UTC_TIME, &[utc]),
        _ => tlv(der::GENERALIZED_TIME, &[&text]),
    })
}

/// The text of a GeneralizedTime in DER, to the second (RFC 5280, section 4.1.2.5.2).
pub(crate) fn generalized_time(time: UnixTime) -> Result<Vec<u8>, rcgen::Error> {
    let at = date(time)?;
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second) = (at.hour(), at.minute(), at.second());
    Ok(format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z").into_bytes())
}

const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// ecdsa-with-SHA256 (RFC 5758, section 3.2).
pub(crate) const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
// Extensions: 2.5.29.x (RFC 5280, section 4.2.1), and authority information access (section 4.2.2.1).
pub(crate) const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 14];
pub(crate) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
pub(crate) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
pub(crate) const CRL_DISTRIBUTION_POINTS: &[u8] = &[0x55, 0x1d, 31];
pub(crate) const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
pub(crate) const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
pub(crate) const AUTHORITY_INFO_ACCESS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01];
pub(crate) const CERTIFICATE_POLICIES: &[u8] = &[0x55, 0x1d, 32];
const CERTIFICATE_POLICIES_ARCS: &[u64] = &[2, 5, 29, 32];
/// id-qt-cps (RFC 5280, section 4.2.1.4).
pub(crate) const CPS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x02, 0x01];
const AUTHORITY_INFO_ACCESS_ARCS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];
pub(crate) const OCSP: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01];
// id-pkix-ocsp-nocheck (RFC 6960, section 4.2.2.2.1): the certificate lives for days, and is not asked about.
pub(crate) const OCSP_NOCHECK: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x05];
const OCSP_NOCHECK_ARCS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 5];

fn ocsp_access(url: &str) -> Vec<u8> {
    let description = tlv(der::SEQUENCE, &[&tlv(der::OID, &[OCSP]), &tlv(context(6), &[url.as_bytes()])]);
    tlv(der::SEQUENCE, &[&description])
}

fn policies(policies: &[CertificatePolicy]) -> Vec<u8> {
    let information = policies.iter().map(|CertificatePolicy { oid, cps }| {
        let oid = tlv(der::OID, &[&oid.content()]);
        let Some(cps) = cps else { return tlv(der::SEQUENCE, &[&oid]) };
        let qualifier =
            tlv(der::SEQUENCE, &[&tlv(der::OID, &[CPS]), &tlv(der::IA5_STRING, &[cps.as_bytes()])]);
        tlv(der::SEQUENCE, &[&oid, &tlv(der::SEQUENCE, &[&qualifier])])
    });
    sequence(&information.collect::<Vec<_>>())
}

fn sequence(items: &[Vec<u8>]) -> Vec<u8> {
    let items: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
    tlv(der::SEQUENCE, &items)
}
