//! The IDevID key: how the device takes it over from the factory.
//!
//! The factory does not know what key the device wraps with, so it leaves the IDevID key in the clear, in a page of
//! its own. At its first start the device wraps the key into another page, reads that back, and erases the first.
//! Both pages are written once in a device's life. Wherever power fails, one of the two is whole:
//!
//! | factory's page | device's page | what is done |
//! |---|---|---|
//! | key | whatever | wrap the key, check, erase the factory's page; not yet on an open chip |
//! | blank | wrapped key | use it |
//! | something else | wrapped key | erase the factory's page, use it |
//! | no key | nothing usable | refuse to run |
//!
//! A chip may have a key of its own only once it is closed ([`KeyWrap::is_own`]). What would be wrapped before could not be
//! unwrapped after it, so until then the device uses the factory's key where it lies, and neither page changes: the first
//! start that takes the key over is the first one after the closing.
//!
//! A page begins with 160 bytes: a mark of 8, one byte that counts the content, the content and zeros, 119 bytes in
//! all, and SHA-256 over all of that.

use core::ops::Range;

use agent_core::keystore::{KeyUse, KeyWrap, MAX_WRAPPED, SoftKey, wrap_nonce};
use agent_core::platform::KeyError;
use embedded_storage_async::nor_flash::NorFlash;
use p256::ecdsa::SigningKey;
use rand_core::CryptoRngCore;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::layout::Layout;

/// Why there is no IDevID key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CustodyError {
    /// Neither page holds anything: the factory was not here.
    #[error("the device was given no IDevID key")]
    Missing,
    /// Neither page holds a whole key, or the key was wrapped by another device.
    #[error("the IDevID key is damaged, or was wrapped by another device")]
    Damaged,
    /// The flash does not read, write or erase.
    #[error("the flash failed")]
    Flash,
    /// Wrapping failed, or the wrapped key could not be read back. The factory's page was not touched.
    #[error("the IDevID key could not be wrapped: {0}")]
    Wrap(#[from] KeyError),
}

/// What lies in the page of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is blank.
    Blank,
    /// A whole key.
    Key,
    /// Something else: half a key, or the rest of one.
    Other,
}

/// Bytes of the record at the beginning of a page.
pub const RECORD: usize = MARK + 1 + CONTENT + 32;
const MARK: usize = 8;
const CONTENT: usize = 119;
/// The key in the clear.
const FACTORY: [u8; MARK] = *b"DEVKEYC1";
/// The wrapped key.
const WRAPPED: [u8; MARK] = *b"DEVKEYW1";

type Buffer = Zeroizing<[u8; RECORD]>;

/// Writes what the factory puts into its page: `key` is the scalar, 32 bytes, big-endian.
#[must_use]
pub fn factory_record(key: &[u8; 32]) -> Buffer {
    record(FACTORY, key)
}

/// Says what the beginning of the factory's page is.
#[must_use]
pub fn inspect_factory(page: &[u8]) -> Found {
    inspect(FACTORY, page)
}

/// Says what the beginning of the device's page is. Whether it can be unwrapped only the device knows.
#[must_use]
pub fn inspect_wrapped(page: &[u8]) -> Found {
    inspect(WRAPPED, page)
}

/// Opens the IDevID key, and takes it over if that was not done yet and the chip has a key of its own.
///
/// # Errors
/// Says why there is no key to use.
pub async fn open<F: NorFlash>(
    flash: &mut F,
    layout: &Layout,
    wrap: &mut impl KeyWrap,
    rng: &mut impl CryptoRngCore,
) -> Result<SoftKey, CustodyError> {
    let secret = if let Some(secret) = factory_key(flash, layout).await? {
        if wrap.is_own() {
            take_over(flash, layout, wrap, rng, &secret).await?;
        }
        secret
    } else {
        // What is left in the factory's page may be of use to the maker, until the wrapped key is known to be good.
        let secret = wrapped_key(flash, layout, wrap).await?;
        // On an open chip it is not: the next start may find the key wrapped under another.
        if wrap.is_own() && !blank(flash, &layout.factory_key).await? {
            erase(flash, &layout.factory_key).await?;
        }
        secret
    };
    let key = SigningKey::from_slice(secret.as_ref()).map_err(|_| CustodyError::Damaged)?;
    Ok(SoftKey::from(key))
}

type Secret = Zeroizing<[u8; 32]>;

async fn factory_key<F: NorFlash>(flash: &mut F, layout: &Layout) -> Result<Option<Secret>, CustodyError> {
    let buffer = read(flash, &layout.factory_key).await?;
    let key = content(FACTORY, buffer.as_ref()).and_then(|content| content.try_into().ok());
    Ok(key.map(|key: &[u8; 32]| Zeroizing::new(*key)))
}

async fn wrapped_key<F: NorFlash>(
    flash: &mut F,
    layout: &Layout,
    wrap: &mut impl KeyWrap,
) -> Result<Secret, CustodyError> {
    let buffer = read(flash, &layout.wrapped_key).await?;
    let Some(wrapped) = content(WRAPPED, buffer.as_ref()) else {
        let missing = is_blank(buffer.as_ref()) && blank(flash, &layout.factory_key).await?;
        return Err(if missing { CustodyError::Missing } else { CustodyError::Damaged });
    };
    let mut secret = Secret::default();
    wrap.unwrap(KeyUse::Idevid, wrapped, &mut secret).map_err(|error| match error {
        KeyError::Damaged => CustodyError::Damaged,
        other => CustodyError::Wrap(other),
    })?;
    Ok(secret)
}

async fn take_over<F: NorFlash>(
    flash: &mut F,
    layout: &Layout,
    wrap: &mut impl KeyWrap,
    rng: &mut impl CryptoRngCore,
    secret: &Secret,
) -> Result<(), CustodyError> {
    // After a power cut behind the writing there is nothing left to write.
    let done = wrapped_key(flash, layout, wrap).await.is_ok_and(|known| *known == **secret);
    if !done {
        let mut wrapped = Zeroizing::new([0; MAX_WRAPPED]);
        let length = wrap.wrap(KeyUse::Idevid, secret, &wrap_nonce(rng)?, &mut wrapped)?;
        let record = record(WRAPPED, wrapped.get(..length).ok_or(KeyError::Hardware)?);
        erase(flash, &layout.wrapped_key).await?;
        flash.write(layout.wrapped_key.start, record.as_ref()).await.map_err(|_| CustodyError::Flash)?;
        if *wrapped_key(flash, layout, wrap).await? != **secret {
            return Err(CustodyError::Wrap(KeyError::Hardware));
        }
    }
    erase(flash, &layout.factory_key).await
}

fn record(mark: [u8; MARK], content: &[u8]) -> Buffer {
    let mut record = Buffer::new([0; RECORD]);
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
    let fields = mark.iter().chain(core::iter::once(&length)).chain(content.iter().take(CONTENT));
    for (place, byte) in record.iter_mut().zip(fields) {
        *place = *byte;
    }
    if let Some((front, checksum)) = record.split_last_chunk_mut::<32>() {
        *checksum = Sha256::digest(front).into();
    }
    record
}

fn content(mark: [u8; MARK], page: &[u8]) -> Option<&[u8]> {
    let (front, checksum) = page.get(..RECORD)?.split_last_chunk::<32>()?;
    let (length, content) = front.strip_prefix(&mark)?.split_first()?;
    let whole = <[u8; 32]>::from(Sha256::digest(front)) == *checksum;
    content.get(..usize::from(*length)).filter(|_| whole)
}

fn inspect(mark: [u8; MARK], page: &[u8]) -> Found {
    match content(mark, page) {
        Some(_) => Found::Key,
        None if is_blank(page) => Found::Blank,
        None => Found::Other,
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0xff)
}

async fn read<F: NorFlash>(flash: &mut F, page: &Range<u32>) -> Result<Buffer, CustodyError> {
    let mut buffer = Buffer::new([0; RECORD]);
    flash.read(page.start, buffer.as_mut()).await.map_err(|_| CustodyError::Flash)?;
    Ok(buffer)
}

/// Whether every byte of the range is as erasing leaves it.
async fn blank<F: NorFlash>(flash: &mut F, range: &Range<u32>) -> Result<bool, CustodyError> {
    let mut part = Zeroizing::new([0; 64]);
    for at in range.clone().step_by(part.len()) {
        flash.read(at, part.as_mut()).await.map_err(|_| CustodyError::Flash)?;
        if !is_blank(part.as_ref()) {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn erase<F: NorFlash>(flash: &mut F, range: &Range<u32>) -> Result<(), CustodyError> {
    flash.erase(range.start, range.end).await.map_err(|_| CustodyError::Flash)
}

#[cfg(test)]
mod tests {
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};

    use super::*;
    use crate::flash::sim::SimFlash;
    use crate::wrap::{DeviceCipher, SoftCipher, Wrapped};
    use agent_core::keystore::WrapNonce;
    use agent_core::platform::SigningKey as _;
    use rand_core::OsRng;

    type Flash = SimFlash<48, 1024, 4>;
    const LAYOUT: Layout = Layout::LM3S6965EVB;
    const KEY: [u8; 32] = [0x5a; 32];

    fn now<F: Future>(future: F) -> F::Output {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("a flash in memory never waits"),
        }
    }

    /// As the factory leaves it.
    fn made(key: [u8; 32]) -> Flash {
        let mut flash = Flash::default();
        now(flash.write(LAYOUT.factory_key.start, factory_record(&key).as_ref())).unwrap();
        flash
    }

    fn boot(flash: &mut Flash, device: u8) -> Result<[u8; 65], CustodyError> {
        boot_with(flash, SoftCipher::new(&[device; 32]))
    }

    fn boot_with(flash: &mut Flash, cipher: impl DeviceCipher) -> Result<[u8; 65], CustodyError> {
        let mut wrap = Wrapped::new(cipher);
        now(open(flash, &LAYOUT, &mut wrap, &mut OsRng)).map(|key| key.public_point())
    }

    /// The key that all chips of a kind have while they are open.
    const OPEN: u8 = 0;

    /// A chip that is not closed yet, as a STM32H573 in its open product state.
    struct OpenChip(SoftCipher);

    impl OpenChip {
        fn new() -> Self {
            Self(SoftCipher::new(&[OPEN; 32]))
        }
    }

    impl DeviceCipher for OpenChip {
        fn is_own(&self) -> bool {
            false
        }

        fn seal(&mut self, nonce: &WrapNonce, aad: &[u8], data: &mut [u8; 32]) -> Result<[u8; 16], KeyError> {
            self.0.seal(nonce, aad, data)
        }

        fn open(
            &mut self,
            nonce: &WrapNonce,
            aad: &[u8],
            data: &mut [u8; 32],
            tag: &[u8; 16],
        ) -> Result<(), KeyError> {
            self.0.open(nonce, aad, data, tag)
        }
    }

    fn point(key: [u8; 32]) -> [u8; 65] {
        SoftKey::from(SigningKey::from_slice(&key).unwrap()).public_point()
    }

    /// Parts of the key count too.
    fn is_readable(flash: &Flash) -> bool {
        flash.cells().windows(4).any(|window| window == &KEY[..4])
    }

    fn page<'f>(flash: &'f Flash, range: &Range<u32>) -> &'f [u8] {
        &flash.cells()[range.start as usize..range.end as usize]
    }

    #[test]
    fn the_key_is_readable_until_the_first_start_only() {
        let mut flash = made(KEY);
        assert!(is_readable(&flash), "the search can find");
        assert_eq!(inspect_factory(page(&flash, &LAYOUT.factory_key)), Found::Key);
        for _start in 0..3 {
            assert_eq!(boot(&mut flash, 1), Ok(point(KEY)));
            assert!(!is_readable(&flash));
            assert_eq!(inspect_factory(page(&flash, &LAYOUT.factory_key)), Found::Blank);
            assert_eq!(inspect_wrapped(page(&flash, &LAYOUT.wrapped_key)), Found::Key);
        }
        // Each page was erased once, and none at a later start.
        assert_eq!(flash.wear().erased_pages, 2);
    }

    #[test]
    fn a_power_cut_anywhere_and_another_in_the_recovery_lose_nothing() {
        let whole = {
            let mut flash = made(KEY);
            let before = flash.wear().changed_bytes;
            boot(&mut flash, 1).unwrap();
            flash.wear().changed_bytes - before
        };
        for first in (0..whole).step_by(5) {
            for second in (0..whole).step_by(449).chain([whole]) {
                let mut flash = made(KEY);
                for cut in [first, second] {
                    flash.cut_after(cut);
                    let outcome = boot(&mut flash, 1);
                    assert!(outcome.is_ok() || outcome == Err(CustodyError::Flash), "{outcome:?}");
                    flash.power_on();
                }
                assert_eq!(boot(&mut flash, 1), Ok(point(KEY)), "cuts after {first} and {second} bytes");
                assert!(!is_readable(&flash), "cuts after {first} and {second} bytes");
            }
        }
    }

    #[test]
    fn a_copy_of_the_flash_is_of_no_use_on_another_device() {
        let mut flash = made(KEY);
        boot(&mut flash, 1).unwrap();
        assert_eq!(boot(&mut flash, 2), Err(CustodyError::Damaged));
        assert_eq!(boot(&mut flash, 1), Ok(point(KEY)), "and it is not destroyed there");
    }

    #[test]
    fn an_open_chip_leaves_the_factorys_key_and_takes_it_over_once_it_is_closed() {
        let mut flash = made(KEY);
        let before = flash.cells().to_vec();
        for _start in 0..2 {
            assert_eq!(boot_with(&mut flash, OpenChip::new()), Ok(point(KEY)));
            assert_eq!(flash.cells(), before, "nothing is wrapped, and nothing erased");
        }
        for _start in 0..2 {
            assert_eq!(boot(&mut flash, 1), Ok(point(KEY)));
            assert!(!is_readable(&flash));
        }
    }

    #[test]
    fn a_key_wrapped_on_an_open_chip_is_lost_at_the_closing_and_may_be_written_again() {
        let mut flash = made(KEY);
        // As a program did that knew nothing of open chips.
        boot(&mut flash, OPEN).unwrap();
        assert_eq!(boot_with(&mut flash, OpenChip::new()), Ok(point(KEY)));
        assert_eq!(boot(&mut flash, 1), Err(CustodyError::Damaged));
        now(flash.write(LAYOUT.factory_key.start, factory_record(&KEY).as_ref())).unwrap();
        for _start in 0..2 {
            assert_eq!(boot(&mut flash, 1), Ok(point(KEY)));
            assert!(!is_readable(&flash));
        }
    }

    #[test]
    fn half_a_key_in_the_factorys_page_stays_there_while_the_chip_is_open() {
        let mut flash = made(KEY);
        boot(&mut flash, OPEN).unwrap();
        now(flash.write(LAYOUT.factory_key.start, &factory_record(&KEY)[..80])).unwrap();
        assert_eq!(boot_with(&mut flash, OpenChip::new()), Ok(point(KEY)));
        assert_eq!(inspect_factory(page(&flash, &LAYOUT.factory_key)), Found::Other);
    }

    #[test]
    fn a_key_that_the_factory_writes_later_replaces_the_first() {
        let mut flash = made(KEY);
        boot(&mut flash, 1).unwrap();
        let key = [0x33; 32];
        now(flash.write(LAYOUT.factory_key.start, factory_record(&key).as_ref())).unwrap();
        assert_eq!(boot(&mut flash, 1), Ok(point(key)));
    }

    #[test]
    fn missing_and_damaged_are_told_apart() {
        assert_eq!(boot(&mut Flash::default(), 1), Err(CustodyError::Missing));
        let mut flash = made(KEY);
        flash.cells_mut()[LAYOUT.factory_key.start as usize + 20] = 0;
        assert_eq!(boot(&mut flash, 1), Err(CustodyError::Damaged));
        assert_eq!(inspect_factory(page(&flash, &LAYOUT.factory_key)), Found::Other);
        // What may be of use to the maker is still there.
        assert!(is_readable(&flash));
        let mut flash = made([0; 32]);
        assert_eq!(boot(&mut flash, 1), Err(CustodyError::Damaged), "zero is no key");
    }
}
