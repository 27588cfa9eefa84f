//! Looks into a flash image: what the factory wrote and what the device made of it. No secret leaves this module.

use agent_core::platform::{Record, Slot, Storage as _};
use agent_core::slots::{Identity, identity_record};
use agent_core::x509::Certificate;
use agent_mcu::custody::{self, Found};
use agent_mcu::flash::sim::SimFlash;
use agent_mcu::flash::{FlashStorage, SCRATCH};
use agent_mcu::layout::Layout;
use agent_mcu::provision::{MAX_REGION, Provision, ProvisionError};
use embedded_storage_async::nor_flash::NorFlash;
use serde::Serialize;
use shared::cose::{Content, Sign1};
use shared::limits::MAX_TRUST_BUNDLE;
use shared::message::latest::TrustBundle;
use zeroize::Zeroizing;

use super::Board;

/// What is in a flash image.
#[derive(Clone, Debug, Serialize)]
pub struct Contents {
    /// The enrollment server, as `HOST:PORT`.
    pub server: String,
    /// The maker's private enterprise number.
    pub maker_number: u32,
    /// Model.
    pub model: String,
    /// Version of the hardware.
    pub hardware_version: String,
    /// Number of the trust bundle the factory gave.
    pub trust_bundle: Option<u64>,
    /// The IDevID's chain, leaf first.
    pub idevid: Vec<CertificateSummary>,
    /// Where its key is.
    pub idevid_key: KeyPages,
    /// The certificates of slots A and B.
    pub ldevid: [Option<CertificateSummary>; 2],
    /// Bytes of each record that the device keeps.
    pub records: Vec<(&'static str, usize)>,
}

/// What the two pages of the IDevID key hold.
#[derive(Clone, Debug, Serialize)]
pub struct KeyPages {
    /// In the clear, as the factory leaves it: until the first start.
    pub factory: &'static str,
    /// Wrapped by the device.
    pub wrapped: &'static str,
}

/// What a certificate says.
#[derive(Clone, Debug, Serialize)]
pub struct CertificateSummary {
    /// The subject's serialNumber, or else its CN.
    pub name: String,
    /// Serial number in hexadecimal digits.
    pub serial: String,
    /// Beginning, as RFC 3339 has it.
    pub not_before: String,
    /// End.
    pub not_after: String,
}

/// Why an image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// It has another length than the board's.
    #[error("it has {found} bytes, the flash image of {board} has {expected}")]
    Length {
        /// The board.
        board: &'static str,
        /// Bytes expected.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// The factory's settings cannot be used.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
}

/// Reads the flash image of `board`.
///
/// # Errors
/// Says why it is none, or what is wrong with the factory's part. Records that cannot be read are left out.
pub async fn read(board: Board, image: &[u8]) -> Result<Contents, ContentsError> {
    let layout = board.layout();
    let expected = layout.whole().len();
    if image.len() != expected {
        return Err(ContentsError::Length { board: board.name(), expected, found: image.len() });
    }
    let part = |range| image.get(layout.in_image(range)).unwrap_or_default();
    let settings = part(&layout.settings);
    let provision = Provision::read(settings.get(..MAX_REGION).unwrap_or(settings))?;
    let (ldevid, records) = match board {
        Board::Lm3s6965evb => look::<SimFlash<48, 1024, 4>>(&layout, image).await,
        Board::Stm32h573iDk => look::<SimFlash<16, 8192, 16>>(&layout, image).await,
    };
    Ok(Contents {
        server: format!("{}:{}", provision.host, provision.port),
        maker_number: provision.oemid,
        model: provision.hwmodel.to_owned(),
        hardware_version: provision.hwversion.to_owned(),
        trust_bundle: bundle_number(provision.trust_bundle),
        idevid: provision.idevid_chain.iter().filter_map(|der| summary(der)).collect(),
        idevid_key: KeyPages {
            factory: describe(custody::inspect_factory(part(&layout.factory_key))),
            wrapped: describe(custody::inspect_wrapped(part(&layout.wrapped_key))),
        },
        ldevid,
        records,
    })
}

const fn describe(found: Found) -> &'static str {
    match found {
        Found::Blank => "blank",
        Found::Key => "key",
        Found::Other => "damaged",
    }
}

fn bundle_number(signed: &[u8]) -> Option<u64> {
    let signed = Sign1::decode(signed, Content::TrustBundle, MAX_TRUST_BUNDLE).ok()?;
    Some(TrustBundle::decode(signed.unverified_payload()).ok()?.number)
}

fn summary(der: &[u8]) -> Option<CertificateSummary> {
    let certificate = Certificate::parse(der).ok()?;
    let name = certificate.subject_serial_number().or_else(|| certificate.subject_common_name());
    Some(CertificateSummary {
        name: name.unwrap_or_default().to_owned(),
        serial: hex::encode(certificate.serial()),
        not_before: certificate.not_before().to_string(),
        not_after: certificate.not_after().to_string(),
    })
}

/// A flash in memory that can be filled.
trait Fill: NorFlash + Default {
    fn fill(&mut self, image: &[u8]);
}

impl<const PAGES: usize, const PAGE: usize, const WORD: usize> Fill for SimFlash<PAGES, PAGE, WORD> {
    fn fill(&mut self, image: &[u8]) {
        for (cell, byte) in self.cells_mut().iter_mut().zip(image) {
            *cell = *byte;
        }
    }
}

type Records = ([Option<CertificateSummary>; 2], Vec<(&'static str, usize)>);

/// Reads the records of a copy, which may finish what a power cut has left to do.
async fn look<F: Fill>(layout: &Layout, image: &[u8]) -> Records {
    let mut flash = F::default();
    flash.fill(image);
    let base = layout.whole().start;
    let range = layout.records.start - base..layout.records.end - base;
    let mut scratch = [0; SCRATCH];
    let mut storage = FlashStorage::new(flash, range, &mut scratch);
    let mut buffer = Zeroizing::new(vec![0; Record::MAX]);
    let mut records = Vec::new();
    for record in Record::ALL {
        if let Ok(Some(length)) = storage.load(record, &mut buffer).await {
            records.push((record_name(record), length));
        }
    }
    let mut ldevid = [None, None];
    for (place, slot) in ldevid.iter_mut().zip([Slot::A, Slot::B]) {
        if let Ok(Some(length)) = storage.load(identity_record(slot), &mut buffer).await {
            let identity = Identity::read(slot, buffer.get(..length).unwrap_or_default()).ok();
            *place = identity.and_then(|identity| summary(identity.chain.first()?));
        }
    }
    (ldevid, records)
}

const fn record_name(record: Record) -> &'static str {
    match record {
        Record::State => "state",
        Record::Trust => "trust bundle",
        Record::IdentityA => "identity A",
        Record::IdentityB => "identity B",
        Record::KeyA => "key A",
        Record::KeyB => "key B",
    }
}
