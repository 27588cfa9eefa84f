//! The Stellaris Ethernet controller (LM3S6965 data sheet, chapter 15) as an embassy network driver.
//!
//! Frames pass word by word through one data register; there is no DMA. The receive interrupt wakes the network
//! task, which reads the frame. The FIFO's first half-word is the length: of the whole record for reception
//! (2 bytes of length, frame, 4 bytes of check sum), of the payload for transmission.

use core::cell::RefCell;
use core::task::{Context, Waker};

use critical_section::Mutex;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};

const BASE: usize = 0x4004_8000;
/// Interrupt status, and acknowledgement by writing.
const RIS: usize = 0x00;
/// Interrupt mask.
const IM: usize = 0x04;
/// Receive control.
const RCTL: usize = 0x08;
/// Transmit control.
const TCTL: usize = 0x0c;
/// Data FIFO.
const DATA: usize = 0x10;
/// Number of frames that wait.
const NP: usize = 0x34;
/// Transmission request.
const TR: usize = 0x38;

const RX_INTERRUPT: u32 = 0x01;
const RX_ENABLE: u32 = 0x01;
const RX_REFUSE_BAD_CHECKSUM: u32 = 0x08;
const RX_RESET_FIFO: u32 = 0x10;
const TX_ENABLE: u32 = 0x01;
const TX_PAD: u32 = 0x02;
const TX_CHECKSUM: u32 = 0x04;
const TX_FULL_DUPLEX: u32 = 0x10;

/// Longest frame without check sum: 14 bytes of header, 1500 of payload.
pub const MAX_FRAME: usize = 1514;
/// Length of an Ethernet header.
const HEADER: usize = 14;
/// Interrupt number of the controller.
pub const INTERRUPT: u16 = 42;

static WAKER: Mutex<RefCell<Option<Waker>>> = Mutex::new(RefCell::new(None));

/// The controller. One exists at most: [`Ethernet::start`] takes the one token.
pub struct Ethernet {
    address: [u8; 6],
    frame: &'static mut [u8; MAX_FRAME],
}

impl Ethernet {
    /// Switches the controller on, with room for a frame that is received; the interrupt has to be unmasked by the
    /// caller afterwards.
    pub fn start(address: [u8; 6], frame: &'static mut [u8; MAX_FRAME]) -> Self {
        write(RCTL, RX_RESET_FIFO);
        write(RIS, u32::MAX);
        write(TCTL, TX_ENABLE | TX_PAD | TX_CHECKSUM | TX_FULL_DUPLEX);
        write(RCTL, RX_ENABLE | RX_REFUSE_BAD_CHECKSUM);
        write(IM, RX_INTERRUPT);
        Self { address, frame }
    }

    /// Reads the next frame into the buffer; its length, or `None` where there is none or it is too long.
    fn read_frame(&mut self) -> Option<usize> {
        if read(NP) == 0 {
            return None;
        }
        let [low, high, first, second] = read(DATA).to_le_bytes();
        let length = usize::from(u16::from_le_bytes([low, high])).saturating_sub(6);
        let mut put = |at: usize, byte: u8| {
            if let Some(place) = self.frame.get_mut(at) {
                *place = byte;
            }
        };
        put(0, first);
        put(1, second);
        // The rest of the frame and its check sum, in whole words.
        let mut at = 2;
        while at < length + 4 {
            for byte in read(DATA).to_le_bytes() {
                if at < length {
                    put(at, byte);
                }
                at += 1;
            }
        }
        (HEADER..=MAX_FRAME).contains(&length).then_some(length)
    }

    fn write_frame(frame: &[u8]) {
        let payload = u16::try_from(frame.len().saturating_sub(HEADER)).unwrap_or(0);
        let mut word = u32::from(payload);
        let mut filled = 2;
        for byte in frame {
            word |= u32::from(*byte) << (8 * filled);
            filled += 1;
            if filled == 4 {
                write(DATA, word);
                (word, filled) = (0, 0);
            }
        }
        if filled > 0 {
            write(DATA, word);
        }
        write(TR, 1);
    }
}

/// Called by the interrupt: masks it until the frames are read, and wakes the network task.
pub fn on_interrupt() {
    write(IM, 0);
    write(RIS, u32::MAX);
    critical_section::with(|cs| {
        if let Some(waker) = WAKER.borrow(cs).borrow_mut().take() {
            waker.wake();
        }
    });
}

/// A frame that was received.
pub struct Received<'a>(&'a mut [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room to send a frame.
pub struct Transmit;

impl TxToken for Transmit {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = [0; MAX_FRAME];
        let length = length.min(MAX_FRAME);
        let (frame, _) = frame.split_at_mut(length);
        let result = f(frame);
        Ethernet::write_frame(frame);
        result
    }
}

impl Driver for Ethernet {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Transmit;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        critical_section::with(|cs| *WAKER.borrow(cs).borrow_mut() = Some(cx.waker().clone()));
        let Some(length) = self.read_frame() else {
            write(IM, RX_INTERRUPT);
            return None;
        };
        let (frame, _) = self.frame.split_at_mut(length);
        Some((Received(frame), Transmit))
    }

    fn transmit(&mut self, _cx: &mut Context<'_>) -> Option<Self::TxToken<'_>> {
        // The FIFO is free again as soon as the request register was written.
        Some(Transmit)
    }

    fn link_state(&mut self, _cx: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = MAX_FRAME;
        capabilities.max_burst_size = Some(1);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.address)
    }
}

fn read(register: usize) -> u32 {
    // SAFETY: `register` is one of the offsets above, all of them word registers of this controller; reading
    // the data register only takes a word from the FIFO.
    unsafe { core::ptr::read_volatile((BASE + register) as *const u32) }
}

fn write(register: usize, value: u32) {
    // SAFETY: as in `read`; no register makes the controller touch memory, it has no DMA.
    unsafe { core::ptr::write_volatile((BASE + register) as *mut u32, value) }
}
