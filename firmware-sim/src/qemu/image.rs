//! Builds a board's image and measures it as its boot loader would.

use std::fs;
use std::path::{Path, PathBuf};

use object::read::elf::{ElfFile32, ProgramHeader as _};
use object::{Endianness, Object as _, ObjectSymbol as _};
use sha2::{Digest as _, Sha256};

use super::toolchain::{NoToolchain, Toolchain};
use crate::board::Board;

/// A built image.
#[derive(Clone, Debug)]
pub struct Image {
    /// The ELF file.
    pub elf: PathBuf,
    /// Version of the firmware in it.
    pub version: String,
    /// SHA-256 of what lies in flash.
    pub digest: [u8; 32],
    /// Bytes of flash.
    pub flash: usize,
    /// Bytes of static RAM.
    pub ram: u64,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// There is no toolchain.
    #[error(transparent)]
    Toolchain(#[from] NoToolchain),
    /// The sources are not there: the program runs away from its repository.
    #[error("the sources of the boards are not in {0}; run this from the repository")]
    Sources(PathBuf),
    /// cargo could not be started or failed; its output says why.
    #[error("the image could not be built: {0}")]
    Build(String),
    /// The ELF file cannot be read or understood.
    #[error("{path} is no image: {problem}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// Whether an image is for devices in the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Build {
    /// For the field.
    #[default]
    Release,
    /// With debug assertions: says so on its console, and in its evidence.
    Debug,
}

/// Builds the image of `board`; compiling takes a minute or two the first time.
///
/// # Errors
/// Says what is missing, or what the compiler said.
pub fn build(board: Board, build: Build) -> Result<Image, ImageError> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("boards");
    if !folder.join("Cargo.toml").is_file() {
        return Err(ImageError::Sources(folder));
    }
    // Apart, so that neither is built again because of the other.
    let target = folder.join(match build {
        Build::Release => "target",
        Build::Debug => "target/debug-build",
    });
    let output = Toolchain::find(board.target())?
        .cargo_build(board.target())
        .args(["--quiet", "--package", board.name(), "--target-dir"])
        .arg(&target)
        .current_dir(&folder)
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", (build == Build::Debug).to_string())
        .output()
        .map_err(|error| ImageError::Build(format!("cargo: {error}")))?;
    if !output.status.success() {
        return Err(ImageError::Build(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    measure(board, &target.join(board.target()).join("release").join(board.name()))
}

/// Reads an ELF file for `board` as a flash programmer would.
///
/// # Errors
/// Says what is wrong with it.
pub fn measure(board: Board, elf: &Path) -> Result<Image, ImageError> {
    let form = |problem: String| ImageError::Form { path: elf.to_owned(), problem };
    let bytes = fs::read(elf).map_err(|error| form(error.to_string()))?;
    let file = ElfFile32::<Endianness>::parse(&*bytes).map_err(|error| form(error.to_string()))?;
    let endian = file.endian();
    let mut flash = Vec::new();
    let mut ram = 0;
    for segment in file.elf_program_headers().iter().filter(|s| s.p_type(endian) == object::elf::PT_LOAD) {
        if segment.p_vaddr(endian) >= RAM {
            ram += u64::from(segment.p_memsz(endian));
        }
        let content = segment.data(endian, &*bytes).map_err(|()| form("a segment is cut".to_owned()))?;
        if content.is_empty() {
            continue;
        }
        let start = offset(board, segment.p_paddr(endian)).unwrap_or(usize::MAX);
        let end = start.checked_add(content.len()).filter(|end| *end <= MAX_FLASH);
        let end = end.ok_or_else(|| form("it does not fit the flash".to_owned()))?;
        if flash.len() < end {
            flash.resize(end, board.unwritten());
        }
        if let Some(place) = flash.get_mut(start..end) {
            place.copy_from_slice(content);
        }
    }
    Ok(Image {
        elf: elf.to_owned(),
        version: version(board, &file, &flash)
            .ok_or_else(|| form("it does not tell its version".to_owned()))?,
        digest: Sha256::digest(&flash).into(),
        flash: flash.len(),
        ram,
    })
}

/// Where RAM begins on Cortex-M.
pub(super) const RAM: u32 = 0x2000_0000;
/// The largest flash of a board here.
const MAX_FLASH: usize = 4 * 1024 * 1024;
/// The symbol of the firmware's version.
const VERSION_SYMBOL: &str = "FIRMWARE_VERSION";

/// An address as an offset into the flash.
fn offset(board: Board, address: u32) -> Option<usize> {
    usize::try_from(address.checked_sub(board.flash_address())?).ok()
}

fn version(board: Board, file: &ElfFile32<'_, Endianness>, flash: &[u8]) -> Option<String> {
    let symbol = file.symbol_by_name(VERSION_SYMBOL)?;
    let start = offset(board, u32::try_from(symbol.address()).ok()?)?;
    let length = usize::try_from(symbol.size()).ok()?;
    let text = core::str::from_utf8(flash.get(start..start.checked_add(length)?)?).ok()?;
    Some(text.to_owned()).filter(|text| !text.is_empty())
}
