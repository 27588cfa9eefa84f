//! A TBSCertificate taken apart, as far as the rules look into it.

use super::walk::Element;
use crate::der;

/// What a certificate is held against besides itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Against<'a> {
    /// The subject of the CA in DER; absent where the certificate signs itself.
    pub(crate) issuer: Option<&'a [u8]>,
    /// The CA's key identifier; absent likewise.
    pub(crate) issuer_key_id: Option<&'a [u8]>,
    /// Whether it is to be that of a CA.
    pub(crate) is_ca: bool,
    /// The device it is for, where it is for one.
    pub(crate) device: Option<&'a str>,
    /// The extensions that may stand in it, by identifier, besides those of RFC 5280.
    pub(crate) custom: &'a [Vec<u8>],
}

/// A TBSCertificate (RFC 5280, section 4.1) in its parts.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) der: &'a [u8],
    pub(super) version: Option<Element<'a>>,
    pub(super) serial: Element<'a>,
    pub(super) algorithm: Element<'a>,
    pub(super) issuer: Element<'a>,
    pub(super) validity: Vec<Element<'a>>,
    pub(super) subject: Element<'a>,
    pub(super) rdns: Vec<Vec<Attribute<'a>>>,
    pub(super) key: Element<'a>,
    pub(super) unique_ids: bool,
    pub(super) extensions: Vec<Extension<'a>>,
    pub(super) against: Against<'a>,
}

/// An attribute of the subject.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute<'a> {
    pub(super) oid: &'a [u8],
    pub(super) tag: u8,
    pub(super) value: &'a [u8],
}

/// An extension.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extension<'a> {
    pub(super) oid: &'a [u8],
    /// The BOOLEAN as it stands there.
    pub(super) critical: Option<&'a [u8]>,
    pub(super) value: &'a [u8],
}

impl Extension<'_> {
    pub(super) fn is_critical(&self) -> bool {
        self.critical.is_some_and(|flag| flag != [0])
    }
}

impl<'a> View<'a> {
    /// Takes the bytes apart; `None` where they are no TBSCertificate in DER.
    pub(super) fn new(der: &'a [u8], against: Against<'a>) -> Option<Self> {
        let mut fields = Element::only(der)?.children_of(der::SEQUENCE)?.into_iter().peekable();
        let version = fields.next_if(|field| field.tag == der::context_constructed(0));
        let serial = fields.next().filter(|field| field.tag == der::INTEGER)?;
        let algorithm = fields.next().filter(|field| field.tag == der::SEQUENCE)?;
        let issuer = fields.next().filter(|field| field.tag == der::SEQUENCE)?;
        let validity = fields.next()?.children_of(der::SEQUENCE).filter(|times| times.len() == 2)?;
        let subject = fields.next().filter(|field| field.tag == der::SEQUENCE)?;
        let key = fields.next().filter(|field| field.tag == der::SEQUENCE)?;
        let mut unique_ids = false;
        while fields.next_if(|field| matches!(field.tag, 0x81 | 0x82 | 0xa1 | 0xa2)).is_some() {
            unique_ids = true;
        }
        let extensions = match fields.next() {
            Some(field) => {
                let list = Element::only(field.value).filter(|_| field.tag == der::context_constructed(3))?;
                let list = list.children_of(der::SEQUENCE)?;
                list.iter().map(extension).collect::<Option<_>>()?
            }
            None => Vec::new(),
        };
        if fields.next().is_some() {
            return None;
        }
        let rdns = subject.children()?;
        let rdns = rdns.iter().map(rdn).collect::<Option<_>>()?;
        Some(Self {
            der,
            version,
            serial,
            algorithm,
            issuer,
            validity,
            subject,
            rdns,
            key,
            unique_ids,
            extensions,
            against,
        })
    }

    pub(super) fn extension(&self, oid: &[u8]) -> Option<&Extension<'a>> {
        self.extensions.iter().find(|extension| extension.oid == oid)
    }

    pub(super) fn attributes(&self) -> impl Iterator<Item = &Attribute<'a>> {
        self.rdns.iter().flatten()
    }
}

fn rdn<'a>(set: &Element<'a>) -> Option<Vec<Attribute<'a>>> {
    let pairs = set.children_of(der::SET)?;
    let attribute = |pair: &Element<'a>| {
        let [oid, value] = *pair.children_of(der::SEQUENCE)?.first_chunk::<2>()?;
        (oid.tag == der::OID).then_some(Attribute { oid: oid.value, tag: value.tag, value: value.value })
    };
    pairs.iter().map(attribute).collect()
}

fn extension<'a>(element: &Element<'a>) -> Option<Extension<'a>> {
    let mut parts = element.children_of(der::SEQUENCE)?.into_iter().peekable();
    let oid = parts.next().filter(|part| part.tag == der::OID)?;
    let critical = parts.next_if(|part| part.tag == der::BOOLEAN).map(|flag| flag.value);
    let value = parts.next().filter(|part| part.tag == der::OCTET_STRING)?;
    parts.next().is_none().then_some(Extension { oid: oid.value, critical, value: value.value })
}
