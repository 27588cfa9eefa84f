//! Time from SysTick: an embassy time driver with a resolution of one millisecond.
//!
//! The core clock after reset is 12.5 MHz in QEMU; nothing here changes it. The count is 64 bits wide and never
//! wraps in the life of a device.

use core::cell::{Cell, RefCell};
use core::task::Waker;

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;
use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

/// Core clock after reset, in hertz.
const CORE_CLOCK: u32 = 12_500_000;

struct Ticks {
    now: Mutex<Cell<u64>>,
    next_alarm: Mutex<Cell<u64>>,
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static TICKS: Ticks = Ticks {
    now: Mutex::new(Cell::new(0)),
    next_alarm: Mutex::new(Cell::new(u64::MAX)),
    queue: Mutex::new(RefCell::new(Queue::new())),
});

/// Starts the clock.
pub fn start(mut syst: SYST) {
    syst.set_clock_source(SystClkSource::Core);
    syst.set_reload(CORE_CLOCK / 1_000 - 1);
    syst.clear_current();
    syst.enable_interrupt();
    syst.enable_counter();
}

/// Ticks of the core clock since [`start`].
pub fn cycles() -> u64 {
    let millis = || critical_section::with(|cs| TICKS.now.borrow(cs).get());
    loop {
        let before = millis();
        let left = SYST::get_current();
        // A millisecond that ended in between belongs to the other count.
        if millis() == before {
            return before * u64::from(CORE_CLOCK / 1_000) + u64::from(CORE_CLOCK / 1_000 - 1 - left);
        }
    }
}

impl Ticks {
    fn wake_expired(&self, cs: CriticalSection<'_>) {
        let now = self.now.borrow(cs).get();
        let next = self.queue.borrow(cs).borrow_mut().next_expiration(now);
        self.next_alarm.borrow(cs).set(next);
    }
}

impl Driver for Ticks {
    fn now(&self) -> u64 {
        critical_section::with(|cs| self.now.borrow(cs).get())
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            if self.queue.borrow(cs).borrow_mut().schedule_wake(at, waker) {
                self.wake_expired(cs);
            }
        });
    }
}

#[exception]
fn SysTick() {
    critical_section::with(|cs| {
        let now = TICKS.now.borrow(cs).get() + 1;
        TICKS.now.borrow(cs).set(now);
        if now >= TICKS.next_alarm.borrow(cs).get() {
            TICKS.wake_expired(cs);
        }
    });
}
