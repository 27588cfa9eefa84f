//! The extension of the Open Profile for DICE ("Custom Extension Format"): the inputs from which a layer's secret was
//! derived.
//!
//! Strict DER, bounded. What the values mean for a policy is said in [`super::layers`].

use crate::der::{Malformed, Reader, tag, unsigned};

/// What one layer was derived from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenDice {
    /// codeHash: the measurement of the code, 64 bytes.
    pub(super) code: Vec<u8>,
    /// configurationHash, where the configuration is a hash, else configurationDescriptor.
    pub(super) configuration: Vec<u8>,
    /// authorityHash: who may sign the code, 64 bytes; zeros where nobody is asked.
    pub(super) authority: Vec<u8>,
    pub(super) mode: Mode,
}

/// The mode decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// 0, or a value that is not defined.
    NotConfigured,
    /// 1.
    Normal,
    /// 2.
    Debug,
    /// 3.
    Recovery,
}

impl Mode {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NotConfigured => "not configured",
            Self::Normal => "normal",
            Self::Debug => "debug",
            Self::Recovery => "recovery",
        }
    }
}

/// Length of the input values.
const INPUT: usize = 64;
/// Longest descriptor.
const MAX_DESCRIPTOR: usize = 512;

/// Reads the value of the extension. All fields are tagged explicitly; four of them the profile requires.
pub(super) fn read(value: &[u8]) -> Result<OpenDice, Malformed> {
    let mut outer = Reader::new(value);
    let mut fields = outer.nested_non_empty(tag::SEQUENCE)?;
    outer.finish()?;
    let code = required(octets(&mut fields, 0)?, INPUT)?;
    bounded(octets(&mut fields, 1)?)?;
    let hash = octets(&mut fields, 2)?;
    let descriptor = bounded(octets(&mut fields, 3)?)?.ok_or(Malformed)?;
    let authority = required(octets(&mut fields, 4)?, INPUT)?;
    bounded(octets(&mut fields, 5)?)?;
    let mode = match explicit(&mut fields, 6)? {
        Some(mut inner) => {
            let mode = unsigned(inner.read(tag::INTEGER)?)?;
            inner.finish()?;
            mode
        }
        None => return Err(Malformed),
    };
    if let Some(mut inner) = explicit(&mut fields, 7)? {
        let name = inner.read(tag::UTF8_STRING)?;
        inner.finish()?;
        core::str::from_utf8(bounded(Some(name))?.ok_or(Malformed)?).map_err(|_| Malformed)?;
    }
    fields.finish()?;
    let configuration = match hash {
        Some(hash) => required(Some(hash), INPUT)?,
        None => descriptor,
    };
    Ok(OpenDice {
        code: code.to_vec(),
        configuration: configuration.to_vec(),
        authority: authority.to_vec(),
        mode: match mode {
            1 => Mode::Normal,
            2 => Mode::Debug,
            3 => Mode::Recovery,
            // "Invalid mode values [...] should be treated like this mode."
            _ => Mode::NotConfigured,
        },
    })
}

fn explicit<'a>(fields: &mut Reader<'a>, number: u8) -> Result<Option<Reader<'a>>, Malformed> {
    Ok(fields.optional(tag::context_constructed(number))?.map(Reader::new))
}

fn octets<'a>(fields: &mut Reader<'a>, number: u8) -> Result<Option<&'a [u8]>, Malformed> {
    let Some(mut inner) = explicit(fields, number)? else { return Ok(None) };
    let octets = inner.read(tag::OCTET_STRING)?;
    inner.finish()?;
    Ok(Some(octets))
}

fn required(content: Option<&[u8]>, length: usize) -> Result<&[u8], Malformed> {
    content.filter(|content| content.len() == length).ok_or(Malformed)
}

fn bounded(content: Option<&[u8]>) -> Result<Option<&[u8]>, Malformed> {
    match content {
        Some(content) if content.is_empty() || content.len() > MAX_DESCRIPTOR => Err(Malformed),
        content => Ok(content),
    }
}
