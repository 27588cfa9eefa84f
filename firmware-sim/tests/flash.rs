//! The flash image keeps the rules of NOR flash, and what was written is there after a restart.

use std::os::unix::fs::PermissionsExt as _;

use embedded_storage_async::nor_flash::{NorFlash as _, ReadNorFlash as _};
use firmware_sim::flash::{ERASE_SIZE, Fault, FileFlash, ImageError, SIZE, WRITE_SIZE, Wear};

const PAGE: u32 = 8192;
const _: () = assert!(PAGE as usize == ERASE_SIZE);

#[tokio::test]
async fn a_write_only_clears_bits_and_an_erase_takes_whole_pages() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flash.img");
    let mut flash = FileFlash::open(&path).unwrap();
    assert!(flash.content().iter().all(|byte| *byte == 0xff));
    flash.write(0, &[0xf0; WRITE_SIZE]).await.unwrap();
    // Clearing more bits is allowed, setting one is not, and a refused write changes nothing.
    flash.write(0, &[0x30; WRITE_SIZE]).await.unwrap();
    assert_eq!(flash.write(0, &[0x31; WRITE_SIZE]).await, Err(Fault::NotErased));
    let mut read = [0; WRITE_SIZE];
    flash.read(0, &mut read).await.unwrap();
    assert_eq!(read, [0x30; WRITE_SIZE]);

    flash.write(PAGE, &[0; WRITE_SIZE]).await.unwrap();
    flash.erase(0, PAGE).await.unwrap();
    flash.read(0, &mut read).await.unwrap();
    assert_eq!(read, [0xff; WRITE_SIZE]);
    flash.read(PAGE, &mut read).await.unwrap();
    assert_eq!(read, [0; WRITE_SIZE], "the next page is untouched");
    assert_eq!(flash.wear(), Wear { erased_pages: 1, written_bytes: 3 * WRITE_SIZE as u64 });
}

#[tokio::test]
async fn boundaries_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut flash = FileFlash::open(&dir.path().join("flash.img")).unwrap();
    assert_eq!(flash.write(1, &[0; WRITE_SIZE]).await, Err(Fault::Alignment));
    assert_eq!(flash.write(0, &[0; WRITE_SIZE - 1]).await, Err(Fault::Alignment));
    assert_eq!(flash.erase(0, PAGE - 1).await, Err(Fault::Alignment));
    assert_eq!(flash.erase(PAGE, 0).await, Err(Fault::Bounds));
    let end = u32::try_from(SIZE).unwrap();
    assert_eq!(flash.write(end, &[0; WRITE_SIZE]).await, Err(Fault::Bounds));
    assert_eq!(flash.erase(0, end + PAGE).await, Err(Fault::Bounds));
    assert_eq!(flash.read(end - 1, &mut [0; 2]).await, Err(Fault::Bounds));
}

#[tokio::test]
async fn the_image_is_there_after_a_restart_and_belongs_to_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flash.img");
    let mut flash = FileFlash::open(&path).unwrap();
    flash.write(PAGE, b"sixteen bytes...").await.unwrap();
    assert!(matches!(FileFlash::open(&path), Err(ImageError::InUse { .. })));
    drop(flash);
    let mut flash = FileFlash::open(&path).unwrap();
    let mut read = [0; WRITE_SIZE];
    flash.read(PAGE, &mut read).await.unwrap();
    assert_eq!(&read, b"sixteen bytes...");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn another_file_is_no_image() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flash.img");
    std::fs::write(&path, [0; 100]).unwrap();
    assert!(matches!(FileFlash::open(&path), Err(ImageError::Length { found: 100, .. })));
}
