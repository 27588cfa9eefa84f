//! The image as it lies in flash: what a boot loader would measure.

use sha2::{Digest as _, Sha256};

unsafe extern "C" {
    static __sidata: u8;
    static __sdata: u8;
    static __edata: u8;
}

/// SHA-256 of the image: from address 0 to the end of the initial values of static variables, which lie last.
pub fn measure() -> [u8; 32] {
    let (load, start, end) = (&raw const __sidata, &raw const __sdata, &raw const __edata);
    let length = load as usize + (end as usize - start as usize);
    // The vector table begins at address 0, which is no address of a Rust object; so it is read word by word.
    let mut hash = Sha256::new();
    for address in (0..length).step_by(4) {
        // SAFETY: the linker put the image there, in flash, which is readable, word-aligned and never written.
        let word = unsafe { read_word(address) };
        let part = word.to_le_bytes();
        hash.update(part.get(..(length - address).min(4)).unwrap_or_default());
    }
    hash.finalize().into()
}

/// Reads a word of flash; address 0 is an ordinary address on this chip.
unsafe fn read_word(address: usize) -> u32 {
    let word;
    // SAFETY: a load from an address that the caller vouches for; it changes nothing but `word`.
    unsafe {
        core::arch::asm!("ldr {word}, [{address}]", word = out(reg) word, address = in(reg) address,
            options(nostack, readonly, preserves_flags));
    }
    word
}
