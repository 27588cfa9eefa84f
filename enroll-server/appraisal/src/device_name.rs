//! How a maker's certificate names the device: the subject's serialNumber attribute (IEEE 802.1AR, section 8.6)
//! and hardwareModuleName in the subjectAltName (RFC 4108, section 5).
//!
//! The device identifier is the serialNumber. Where there is none, it is the serial number of the hardware
//! module: as text where its bytes are a legal identifier, else in lower-case hexadecimal.

use core::fmt;

use shared::DeviceId;
use shared::id::DeviceIdError;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::der::{self, Malformed, Reader, tag};
use crate::key::hex;
use crate::oid;

/// A hardware module as RFC 4108, section 5, names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HardwareModule {
    kind: Vec<u8>,
    serial: Vec<u8>,
}

impl HardwareModule {
    /// Reads the value of the otherName: `[0] EXPLICIT SEQUENCE { hwType OBJECT IDENTIFIER, hwSerialNum OCTET
    /// STRING }`.
    fn read(value: &[u8]) -> Result<Self, Malformed> {
        let mut outer = Reader::new(value);
        let mut explicit = outer.nested(tag::context_constructed(0))?;
        outer.finish()?;
        let mut fields = explicit.nested(tag::SEQUENCE)?;
        explicit.finish()?;
        let kind = fields.oid()?.to_vec();
        let serial = fields.read(tag::OCTET_STRING)?.to_vec();
        fields.finish()?;
        if serial.is_empty() { Err(Malformed) } else { Ok(Self { kind, serial }) }
    }

    /// hwType: the object identifier of the kind of module, in dots.
    #[must_use]
    pub fn kind(&self) -> String {
        der::dotted(&self.kind).unwrap_or_else(|| hex(&self.kind))
    }

    /// hwSerialNum.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    fn text(&self) -> Option<DeviceId> {
        core::str::from_utf8(&self.serial).ok().and_then(|text| DeviceId::new(text).ok())
    }

    /// The device identifier that follows from the serial number.
    fn device(&self) -> Result<DeviceId, DeviceIdError> {
        self.text().map_or_else(|| DeviceId::new(&hex(&self.serial)), Ok)
    }

    /// Whether this module may be part of the device that the subject names: it has the same serial number, as
    /// text or in hexadecimal, or it is a TPM or another module of the TCG's, which has a number of its own.
    fn agrees_with(&self, device: &DeviceId) -> bool {
        self.kind.starts_with(oid::TCG)
            || self.text().as_ref() == Some(device)
            || hex(&self.serial).eq_ignore_ascii_case(device.as_str())
    }
}

impl fmt::Display for HardwareModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hardware module {} of type {}", hex(&self.serial), self.kind())
    }
}

/// Why a certificate names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The subject is no list of attributes.
    #[error("a certificate whose subject cannot be read")]
    Subject,
    /// Neither a serialNumber nor a hardwareModuleName.
    #[error("a certificate without a serialNumber in its subject and without a hardwareModuleName")]
    None,
    /// More than one serialNumber.
    #[error("a certificate with {found} serialNumber attributes; one at most is wanted")]
    SerialNumbers {
        /// Attributes found.
        found: usize,
    },
    /// The serial number is not text.
    #[error("a certificate whose serialNumber is not a PrintableString")]
    SerialNumberType,
    /// The name found is no device identifier.
    #[error("a certificate whose serial number is no device identifier")]
    DeviceId(#[source] DeviceIdError),
    /// A hardwareModuleName that cannot be read, or more than one.
    #[error("a certificate with a broken hardwareModuleName, or with several")]
    HardwareModule,
    /// Subject and hardware module name two devices.
    #[error("a certificate for {device} with {module}: two serial numbers that contradict each other")]
    Contradiction {
        /// By the subject.
        device: DeviceId,
        /// By the subjectAltName.
        module: HardwareModule,
    },
    /// An empty subject needs a critical subjectAltName (RFC 5280, section 4.2.1.6).
    #[error("a certificate with an empty subject whose subjectAltName is not critical")]
    EmptySubject,
}

/// The device that a certificate names, and its hardware module where that is named too.
pub(crate) fn device(
    certificate: &X509Certificate<'_>,
) -> Result<(DeviceId, Option<HardwareModule>), NameError> {
    check_subject(certificate.subject().as_raw()).map_err(|Malformed| NameError::Subject)?;
    let module = hardware_module(certificate)?;
    let serial = serial_number(certificate)?;
    let device = match (serial, &module) {
        (Some(device), Some(module)) if !module.agrees_with(&device) => {
            return Err(NameError::Contradiction { device, module: module.clone() });
        }
        (Some(device), _) => device,
        (None, Some(module)) => module.device().map_err(NameError::DeviceId)?,
        (None, None) => return Err(NameError::None),
    };
    Ok((device, module))
}

/// Checks the form of a Name (RFC 5280, section 4.1.2.4): an attribute that got lost on the way would make room
/// for another name.
pub(crate) fn check_subject(name: &[u8]) -> Result<(), Malformed> {
    let mut outer = Reader::new(name);
    let mut names = outer.nested(tag::SEQUENCE)?;
    outer.finish()?;
    while !names.is_empty() {
        let mut attributes = names.nested_non_empty(tag::SET)?;
        while !attributes.is_empty() {
            let mut attribute = attributes.nested(tag::SEQUENCE)?;
            attribute.oid()?;
            attribute.any()?;
            attribute.finish()?;
        }
    }
    Ok(())
}

/// The subject's serialNumber, where it has one.
pub(crate) fn serial_number(certificate: &X509Certificate<'_>) -> Result<Option<DeviceId>, NameError> {
    let serials = || {
        let attributes = certificate.subject().iter_attributes();
        attributes.filter(|attribute| attribute.attr_type().as_bytes() == oid::SERIAL_NUMBER)
    };
    match serials().count() {
        0 => return Ok(None),
        1 => {}
        found => return Err(NameError::SerialNumbers { found }),
    }
    let Some(serial) = serials().next() else { return Ok(None) };
    // IEEE 802.1AR, section 8.6: X520SerialNumber, a PrintableString; some makers write UTF8String.
    let text = serial.as_str().map_err(|_| NameError::SerialNumberType)?;
    DeviceId::new(text).map(Some).map_err(NameError::DeviceId)
}

fn hardware_module(certificate: &X509Certificate<'_>) -> Result<Option<HardwareModule>, NameError> {
    let names = certificate.subject_alternative_name().map_err(|_| NameError::HardwareModule)?;
    let empty = certificate.subject().iter_attributes().next().is_none();
    if empty && !names.as_ref().is_some_and(|names| names.critical) {
        return Err(NameError::EmptySubject);
    }
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let mut modules = names.filter_map(|name| match name {
        GeneralName::OtherName(kind, value) if kind.as_bytes() == oid::HARDWARE_MODULE_NAME => Some(*value),
        _ => None,
    });
    match (modules.next(), modules.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            HardwareModule::read(value).map(Some).map_err(|Malformed| NameError::HardwareModule)
        }
        (Some(_), Some(_)) => Err(NameError::HardwareModule),
    }
}
