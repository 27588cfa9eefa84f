//! What lies in a board's flash: records, settings, the IDevID key. The checksums are put right, so that what is changed is
//! read to the end.

use core::ops::Range;
use std::sync::LazyLock;

use agent_core::keystore::{KeyUse, KeyWrap as _, MAX_WRAPPED, SoftKey};
use agent_core::platform::{Record, SigningKey as _, Storage as _, StorageError};
use agent_mcu::custody::{self, CustodyError, Found, inspect_factory, inspect_wrapped};
use agent_mcu::flash::sim::SimFlash;
use agent_mcu::flash::{FlashStorage, SCRATCH};
use agent_mcu::layout::Layout;
use agent_mcu::provision::{MAX_REGION, Provision};
use agent_mcu::wrap::{SoftCipher, Wrapped};
use firmware_sim::chance::Dice;
use sha2::{Digest as _, Sha256};

use super::boards::now;
use super::pieces::{join, split};
use crate::exchange;

const PAGES: usize = 8;
const PAGE: usize = 1024;
const WORD: usize = 4;
type Flash = SimFlash<PAGES, PAGE, WORD>;

/// Pages of records, a piece each: a byte of flags, then items. Whatever lies there, it reads the same twice, and what is stored
/// is read again; nothing else changes with it, where the pages stand as a device leaves them.
pub(super) fn records(data: &[u8]) -> bool {
    let mut flash = image(data);
    let is_right = is_right(&split(data));
    let before = Record::ALL.map(|record| load(&mut flash, record));
    assert_eq!(Record::ALL.map(|record| load(&mut flash, record)), before, "read again");
    let content: Vec<u8> = (0..40).collect();
    let stored = boot(&mut flash, |storage| now(storage.store(Record::State, &content)));
    for (record, before) in Record::ALL.into_iter().zip(&before) {
        let after = load(&mut flash, record);
        if record == Record::State && stored.is_ok() {
            assert_eq!(after.as_ref().map(Option::as_ref), Ok(Some(&content)), "what was stored");
        } else if record != Record::State && before.is_ok() && stored.is_ok() && is_right {
            assert_eq!(&after, before, "{record:?} changed with the state");
        }
    }
    before.iter().any(|found| matches!(found, Ok(Some(_))))
}

type Loaded = Result<Option<Vec<u8>>, StorageError>;

fn load(flash: &mut Flash, record: Record) -> Loaded {
    boot(flash, |storage| {
        let mut buffer = vec![0; Record::MAX];
        let length = now(storage.load(record, &mut buffer))?;
        Ok(length.map(|length| buffer[..length].to_vec()))
    })
}

/// As a device does that starts.
fn boot<T>(flash: &mut Flash, work: impl FnOnce(&mut FlashStorage<'_, Flash>) -> T) -> T {
    let mut scratch = [0; SCRATCH];
    let range = 0..u32::try_from(PAGES * PAGE).expect("a small flash");
    let mut storage = FlashStorage::new(core::mem::take(flash), range, &mut scratch);
    let outcome = work(&mut storage);
    *flash = storage.into_flash().expect("a range that can be used");
    outcome
}

/// The flags of a page: whether it was begun, whether it is full, whether checksums and lengths stay as they are.
const BEGUN: u8 = 1;
const FULL: u8 = 2;
const AS_IT_IS: u8 = 0x80;

/// Whether a device can leave the pages like this: full ones, one that is being filled, and a blank one behind it.
fn is_right(pages: &[&[u8]]) -> bool {
    let flags: Vec<u8> = pages.iter().take(PAGES).map(|page| page.first().copied().unwrap_or(0)).collect();
    let full = flags.iter().take_while(|flags| **flags & (BEGUN | FULL) == BEGUN | FULL).count();
    let mut behind = flags.iter().skip(full);
    let begun = behind.next().is_some_and(|flags| flags & (BEGUN | FULL) == BEGUN);
    let blank = behind.all(|flags| flags & (BEGUN | FULL) == 0);
    let as_it_is = flags.iter().any(|flags| flags & AS_IT_IS != 0);
    begun && blank && full < PAGES - 1 && !as_it_is
}

fn image(data: &[u8]) -> Flash {
    let mut flash = Flash::default();
    for (page, piece) in flash.cells_mut().chunks_mut(PAGE).zip(split(data)) {
        let Some((flags, items)) = piece.split_first() else { continue };
        if flags & BEGUN != 0 {
            page[..WORD].fill(0);
        }
        if flags & FULL != 0 {
            page[PAGE - WORD..].fill(0);
        }
        // Nothing is written to a page that was not begun.
        if flags & (BEGUN | AS_IT_IS) == 0 {
            continue;
        }
        let room = &mut page[WORD..PAGE - WORD];
        let length = items.len().min(room.len());
        room[..length].copy_from_slice(&items[..length]);
        if flags & AS_IT_IS == 0 {
            put_right(room, length);
        }
    }
    flash
}

/// Items of sequential-storage: checksum of the data, length, checksum of the length, data, all of it in whole words.
fn put_right(page: &mut [u8], used: usize) {
    const HEADER: usize = 8;
    let mut at = 0;
    while at < used && at + HEADER <= page.len() {
        let room = page.len() - at - HEADER;
        let item = &mut page[at..];
        if item[..HEADER] == [0xff; HEADER] {
            // Pages are filled from the front; what stands behind a gap would come to light with the next item.
            item.fill(0xff);
            return;
        }
        let length = usize::from(u16::from_le_bytes([item[4], item[5]])).min(room);
        item[4..6].copy_from_slice(&u16::try_from(length).expect("within a page").to_le_bytes());
        let of_length = crc16(&item[4..6]);
        item[6..8].copy_from_slice(&of_length.to_le_bytes());
        // An item with a checksum of zero was erased.
        if item[..4] != [0; 4] {
            let of_data = crc32(&item[HEADER..HEADER + length]);
            item[..4].copy_from_slice(&of_data.to_le_bytes());
        }
        at += HEADER + length.next_multiple_of(WORD);
    }
}

/// CRC-16F/4.2, never that of erased cells.
fn crc16(data: &[u8]) -> u16 {
    let crc = !data.iter().fold(0xffff, |crc, byte| divide(crc ^ u32::from(*byte), 0x1a2e));
    u16::try_from(crc & 0xffff).expect("16 bits").min(0xfffe)
}

/// CRC-32C from another beginning; its first byte is never that of erased or written cells.
fn crc32(data: &[u8]) -> u32 {
    let crc = !data.iter().fold(0xeeee_eeee, |crc, byte| divide(crc ^ u32::from(*byte), 0x82f6_3b78));
    if matches!(crc & 0xff, 0 | 0xff) { crc ^ 1 } else { crc }
}

fn divide(crc: u32, polynomial: u32) -> u32 {
    (0..8).fold(crc, |crc, _| if crc & 1 == 1 { crc >> 1 ^ polynomial } else { crc >> 1 })
}

/// The pages of a flash as the target reads them.
fn pages(flash: &Flash) -> Vec<u8> {
    let pieces: Vec<Vec<u8>> = flash
        .cells()
        .chunks(PAGE)
        .map(|page| {
            let flags = if page[0] == 0 { BEGUN } else { 0 } | if page[PAGE - 1] == 0 { FULL } else { 0 };
            let items = &page[WORD..PAGE - WORD];
            let used = items.iter().rposition(|byte| *byte != 0xff).map_or(0, |last| last + 1);
            [&[flags], &items[..used]].concat()
        })
        .collect();
    join(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// What the factory wrote, with or without its header.
pub(super) fn settings(data: &[u8]) -> bool {
    let region = if data.starts_with(b"DEVPROV2") {
        data.to_vec()
    } else {
        let length = u32::try_from(data.len()).expect("short");
        [&b"DEVPROV2"[..], &length.to_le_bytes(), &Sha256::digest(data), data].concat()
    };
    let Ok(read) = Provision::read(&region) else { return false };
    let mut again = vec![0xff; MAX_REGION];
    match read.write(&mut again) {
        Ok(length) => {
            assert!(length <= region.len(), "longer than before");
            assert_eq!(Provision::read(&again), Ok(read));
        }
        Err(error) => assert!(region.len() > MAX_REGION, "{error}"),
    }
    true
}

/// The pages of the factory's key and of the wrapped one, a piece each, without their checksums; an empty piece is a blank
/// page.
pub(super) fn keys(data: &[u8]) -> bool {
    const LAYOUT: Layout = Layout {
        settings: 0..1024,
        factory_key: 1024..2048,
        wrapped_key: 2048..3072,
        records: 3072..4096,
        page: 1024,
    };
    let mut flash = SimFlash::<4, PAGE, WORD>::default();
    for (place, piece) in [&LAYOUT.factory_key, &LAYOUT.wrapped_key].into_iter().zip(split(data)) {
        if !piece.is_empty() {
            flash.cells_mut()[cells(place)][..custody::RECORD].copy_from_slice(&key_page(piece));
        }
    }
    let was = flash.cells().to_vec();
    let factory = inspect_factory(&was[cells(&LAYOUT.factory_key)]);
    let mut open = || {
        let mut wrap = Wrapped::new(SoftCipher::new(&DEVICE));
        let outcome = now(custody::open(&mut flash, &LAYOUT, &mut wrap, &mut Dice::new(1, "nonce", 1)));
        (outcome.map(|key| key.public_point()), flash.cells().to_vec())
    };
    let (first, cells_then) = open();
    match first {
        Ok(point) => {
            assert_eq!(open().0, Ok(point), "another key at the second start");
            let page = |place: &Range<u32>| &cells_then[cells(place)];
            assert!(page(&LAYOUT.factory_key).iter().all(|byte| *byte == 0xff), "the factory's key is left");
            assert_eq!(inspect_wrapped(page(&LAYOUT.wrapped_key)), Found::Key);
            // What this device has not wrapped it does not take.
            assert!(factory == Found::Key || point == *WRAPPED_POINT, "a key that nobody wrapped");
        }
        Err(CustodyError::Missing) => assert!(was.iter().all(|byte| *byte == 0xff), "something is there"),
        // A scalar that is no key of P-256 was taken over like any other.
        Err(CustodyError::Damaged) if factory == Found::Key => {}
        Err(error) => assert_eq!(cells_then, was, "{error}, and the pages changed"),
    }
    first.is_ok()
}

fn cells(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// The front of a key's record, with its checksum.
fn key_page(front: &[u8]) -> [u8; custody::RECORD] {
    const FRONT: usize = custody::RECORD - 32;
    let mut record = [0; custody::RECORD];
    let length = front.len().min(FRONT);
    record[..length].copy_from_slice(&front[..length]);
    let checksum = Sha256::digest(&record[..FRONT]);
    record[FRONT..].copy_from_slice(&checksum);
    record
}

/// The secret of the device.
const DEVICE: [u8; 32] = [7; 32];
/// The only key that was ever wrapped under it.
const WRAPPED_KEY: [u8; 32] = [0x5a; 32];

static WRAPPED_POINT: LazyLock<[u8; 65]> = LazyLock::new(|| {
    let key = p256::ecdsa::SigningKey::from_slice(&WRAPPED_KEY).expect("a number below the order of P-256");
    SoftKey::from(key).public_point()
});

/// Seeds of these targets.
pub(super) fn seeds(target: &str) -> Option<Vec<(String, Vec<u8>)>> {
    Some(match target {
        "board_records" => {
            let mut flash = Flash::default();
            let mut store = |record, length, cut| {
                let content: Vec<u8> = (0..length).map(|at: u32| at.to_be_bytes()[3] ^ 0x35).collect();
                if let Some(bytes) = cut {
                    flash.cut_after(bytes);
                }
                let _cut = boot(&mut flash, |storage| now(storage.store(record, &content)));
                flash.power_on();
                pages(&flash)
            };
            let state = store(Record::State, 40, None);
            let long = store(Record::IdentityA, 500, None);
            let _key = store(Record::KeyA, 45, None);
            let owed = store(Record::KeyA, 46, Some(90));
            vec![("state".into(), state), ("long".into(), long), ("scrubbing-owed".into(), owed)]
        }
        "board_settings" => {
            let (bundle, leaf) = (exchange::bytes("trust_bundle"), exchange::bytes("idevid"));
            let provision = Provision {
                host: "enroll.example",
                port: 8443,
                trust_bundle: &bundle,
                idevid_chain: heapless::Vec::from_slice(&[&leaf[..]]).expect("one"),
                oemid: 32473,
                hwmodel: "sensor",
                hwversion: "1.0",
            };
            let mut region = vec![0; MAX_REGION];
            let length = provision.write(&mut region).expect("room");
            let small = Provision { trust_bundle: &[1], idevid_chain: heapless::Vec::new(), ..provision };
            let mut little = vec![0; MAX_REGION];
            let short = small.write(&mut little).expect("room");
            vec![
                ("region".into(), region[..length].to_vec()),
                ("body".into(), region[44..length].to_vec()),
                ("small-body".into(), little[44..short].to_vec()),
            ]
        }
        "board_keys" => {
            let factory = custody::factory_record(&[0x33; 32]).to_vec();
            let mut wrapped = [0; MAX_WRAPPED];
            let mut wrap = Wrapped::new(SoftCipher::new(&DEVICE));
            let length =
                wrap.wrap(KeyUse::Idevid, &WRAPPED_KEY, &[9; 12], &mut wrapped).expect("a wrapped key");
            let own =
                [&b"DEVKEYW1"[..], &[u8::try_from(length).expect("short")], &wrapped[..length]].concat();
            let factory = &factory[..41];
            vec![
                ("factory".into(), join(&[factory])),
                ("wrapped".into(), join(&[&[], &own])),
                ("both".into(), join(&[factory, &own])),
                ("half-erased".into(), join(&[&factory[..20], &own])),
                ("blank".into(), join(&[&[], &[]])),
            ]
        }
        _ => return None,
    })
}
