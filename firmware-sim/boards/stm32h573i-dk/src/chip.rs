//! What the chip says of itself: its image, its debug port, its address.

use embassy_stm32::pac;
use sha2::{Digest as _, Sha256};
use shared::evidence::DebugStatus;

unsafe extern "C" {
    static __vector_table: u8;
    static __sidata: u8;
    static __sdata: u8;
    static __edata: u8;
}

/// SHA-256 of the image: from the vector table to the end of the initial values of static variables, which lie last.
/// A stand-in for a measurement that a boot loader makes and this program cannot forge.
pub fn measure() -> [u8; 32] {
    let (start, load) = (&raw const __vector_table, &raw const __sidata as usize);
    let end = load + (&raw const __edata as usize - &raw const __sdata as usize);
    // SAFETY: the linker put the image there, in flash, in one piece, and nothing writes to it.
    let image = unsafe { core::slice::from_raw_parts(start, end - start as usize) };
    Sha256::digest(image).into()
}

/// The state of the debug port, from the product state in the option bytes (RM0481, section 7.6.11).
pub fn debug_status() -> DebugStatus {
    const CLOSED: u8 = 0x72;
    const LOCKED: u8 = 0x5c;
    match pac::FLASH.optsr_cur().read().product_state() {
        CLOSED => DebugStatus::Disabled,
        LOCKED => DebugStatus::DisabledPermanently,
        _ => DebugStatus::Enabled,
    }
}

/// A locally administered Ethernet address (IEEE 802, section 8.4) made from the chip's number.
pub fn ethernet_address() -> [u8; 6] {
    let digest: [u8; 32] = Sha256::digest(embassy_stm32::uid::uid()).into();
    let [a, b, c, d, e, ..] = digest;
    [0x02, a, b, c, d, e]
}
