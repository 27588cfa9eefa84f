//! DiceTcbInfo and DiceMultiTcbInfo (TCG DICE Attestation Architecture 1.1, section 6.1; the fields from `[10]` on
//! are those of version 1.2, appendix A): what a layer measured of the next one, in an X.509 extension.
//!
//! Strict DER, bounded. What the values mean for a policy is said in [`super::layers`].

use shared::limits::MAX_CLAIM_TEXT;

use crate::der::{self, Malformed, Reader, tag};

/// Most DiceTcbInfo in one DiceMultiTcbInfo.
pub(super) const MAX_TCB_INFOS: usize = 8;
/// Most digests in one DiceTcbInfo.
const MAX_FWIDS: usize = 8;

/// One DiceTcbInfo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TcbInfo {
    pub(super) vendor: Option<String>,
    pub(super) model: Option<String>,
    pub(super) version: Option<String>,
    pub(super) svn: Option<u64>,
    pub(super) layer: Option<u64>,
    pub(super) index: Option<u64>,
    /// Digests of what was measured: SHA-256, SHA-384 or SHA-512, told apart by their length.
    pub(super) digests: Vec<Vec<u8>>,
    pub(super) flags: Option<Flags>,
    /// The kind of what was measured; here printable text, or nothing.
    pub(super) kind: Option<String>,
}

/// OperationalFlags, with the mask that says which of them are asserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    set: u32,
    asserted: u32,
}

impl Flags {
    pub(super) const NOT_CONFIGURED: u32 = 1 << 31;
    pub(super) const NOT_SECURE: u32 = 1 << 30;
    pub(super) const RECOVERY: u32 = 1 << 29;
    pub(super) const DEBUG: u32 = 1 << 28;
    const MODES: u32 = Self::NOT_CONFIGURED | Self::NOT_SECURE | Self::RECOVERY | Self::DEBUG;

    /// Whether one of the flags in `which` is set. A flag that is set counts though the mask leaves it out.
    pub(super) const fn any_of(self, which: u32) -> bool {
        self.set & which != 0
    }

    /// Whether it says that the layer runs as it should: all four modes are asserted, none is set.
    pub(super) const fn is_normal(self) -> bool {
        self.set & Self::MODES == 0 && self.asserted & Self::MODES == Self::MODES
    }
}

/// Reads the value of an extension with one DiceTcbInfo.
pub(super) fn one(value: &[u8]) -> Result<TcbInfo, Malformed> {
    let mut outer = Reader::new(value);
    let info = tcb_info(outer.nested_non_empty(tag::SEQUENCE)?)?;
    outer.finish()?;
    Ok(info)
}

/// Reads the value of an extension with several.
pub(super) fn several(value: &[u8]) -> Result<Vec<TcbInfo>, Malformed> {
    let mut outer = Reader::new(value);
    let mut list = outer.nested_non_empty(tag::SEQUENCE)?;
    outer.finish()?;
    let mut infos = Vec::new();
    while !list.is_empty() {
        if infos.len() == MAX_TCB_INFOS {
            return Err(Malformed);
        }
        infos.push(tcb_info(list.nested_non_empty(tag::SEQUENCE)?)?);
    }
    Ok(infos)
}

/// The fields are all optional, in this order, with implicit tags.
fn tcb_info(mut fields: Reader<'_>) -> Result<TcbInfo, Malformed> {
    let text = |content: Option<&[u8]>| content.map(printable).transpose();
    let number = |content: Option<&[u8]>| content.map(der::unsigned).transpose();
    let mut info = TcbInfo {
        vendor: text(fields.optional(tag::context(0))?)?,
        model: text(fields.optional(tag::context(1))?)?,
        version: text(fields.optional(tag::context(2))?)?,
        svn: number(fields.optional(tag::context(3))?)?,
        layer: number(fields.optional(tag::context(4))?)?,
        index: number(fields.optional(tag::context(5))?)?,
        ..TcbInfo::default()
    };
    if let Some(list) = fields.optional(tag::context_constructed(6))? {
        info.digests = fwids(Reader::new(list))?;
    }
    let set = fields.optional(tag::context(7))?.map(bits).transpose()?;
    // vendorInfo: the vendor's own, not looked into.
    let _vendor_info = fields.optional(tag::context(8))?;
    // A kind that is no text tells two layers apart for their maker; here it would be no name.
    info.kind = fields.optional(tag::context(9))?.and_then(|kind| printable(kind).ok());
    let mask = fields.optional(tag::context(10))?.map(bits).transpose()?;
    info.flags = set.map(|set| Flags { set, asserted: mask.unwrap_or(u32::MAX) });
    // integrityRegisters: measurements at run time, not looked into.
    let _registers = fields.optional(tag::context_constructed(11))?;
    fields.finish()?;
    Ok(info)
}

/// `SEQUENCE SIZE (1..MAX) OF FWID`, FWID being `{ hashAlg OBJECT IDENTIFIER, digest OCTET STRING }`.
fn fwids(mut list: Reader<'_>) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut digests = Vec::new();
    while !list.is_empty() {
        if digests.len() == MAX_FWIDS {
            return Err(Malformed);
        }
        let mut fwid = list.nested(tag::SEQUENCE)?;
        let (algorithm, digest) = (fwid.oid()?, fwid.read(tag::OCTET_STRING)?);
        fwid.finish()?;
        let length = match algorithm.strip_prefix(SHA2) {
            Some([1]) => 32,
            Some([2]) => 48,
            Some([3]) => 64,
            _ => return Err(Malformed),
        };
        if digest.len() != length {
            return Err(Malformed);
        }
        digests.push(digest.to_vec());
    }
    if digests.is_empty() { Err(Malformed) } else { Ok(digests) }
}

/// nistAlgorithm hashAlgs, 2.16.840.1.101.3.4.2; SHA-256, SHA-384 and SHA-512 are 1, 2 and 3 below it (RFC 5754).
const SHA2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];

/// The first 32 bits of a BIT STRING's content, the first on top. Unused bits are zero (X.690, section 11.2.1);
/// zeros behind the last flag are taken, since the list may have a fixed width.
fn bits(content: &[u8]) -> Result<u32, Malformed> {
    let (unused, bytes) = content.split_first().ok_or(Malformed)?;
    let last = bytes.last().copied().unwrap_or(0);
    if *unused > 7 || bytes.is_empty() && *unused != 0 || last & ((1 << unused) - 1) != 0 || bytes.len() > 4 {
        return Err(Malformed);
    }
    Ok((0..4).fold(0, |word, at| word << 8 | u32::from(bytes.get(at).copied().unwrap_or(0))))
}

/// A UTF8String of 1 to [`MAX_CLAIM_TEXT`] bytes without control characters.
fn printable(content: &[u8]) -> Result<String, Malformed> {
    let text = core::str::from_utf8(content).map_err(|_| Malformed)?;
    if text.is_empty() || text.len() > MAX_CLAIM_TEXT || text.contains(char::is_control) {
        return Err(Malformed);
    }
    Ok(text.to_owned())
}
