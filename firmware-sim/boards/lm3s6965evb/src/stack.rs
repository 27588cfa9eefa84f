//! How much of the stack was ever used: the start-up code has painted all of it.

use cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    static _stack_start: u8;
    static _stack_end: u8;
}

/// Bytes of the stack, and how many of them were used until now.
pub fn usage() -> (usize, usize) {
    let (top, bottom) = (&raw const _stack_start as usize, &raw const _stack_end as usize);
    let mut untouched = bottom;
    // SAFETY: the linker script puts readable, word-aligned RAM between the two, which nothing but the stack uses;
    // a volatile read of a word that is in use at the moment yields some value or other.
    while untouched < top && unsafe { (untouched as *const u32).read_volatile() } == STACK_PAINT_VALUE {
        untouched += 4;
    }
    (top - bottom, top - untouched)
}
