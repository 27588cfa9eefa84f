//! The device on QEMU's `lm3s6965evb`. SIMULATION: randomness and flash come from the host by semihosting.
//!
//! It runs in the folder of its `flash.img`, prints what happens, a line each, and runs for ever.

#![no_std]
#![no_main]

mod ethernet;
mod image;
mod report;
mod semihost;
mod spent;
mod stack;
mod ticks;

use core::panic::PanicInfo;
use core::pin::pin;

use agent_core::flow::Control;
use agent_mcu::layout::Layout;
use agent_mcu::wrap::Wrapped;
use cortex_m::interrupt::InterruptNumber;
use cortex_m_semihosting::{debug, hprintln};
use embassy_executor::Spawner;
use embassy_net::{Config, Runner, Stack, StackResources};
use firmware::{Hardware, Image, Memory};
use rand_core::RngCore as _;
use shared::evidence::DebugStatus;
use static_cell::ConstStaticCell;

use ethernet::Ethernet;
use report::Report;
use semihost::{HostEntropy, HostFlash};
use spent::Counted;

firmware::export_version!();

static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());
static FRAME: ConstStaticCell<[u8; ethernet::MAX_FRAME]> = ConstStaticCell::new([0; ethernet::MAX_FRAME]);
static RESOURCES: ConstStaticCell<StackResources<4>> = ConstStaticCell::new(StackResources::new());

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let Some(core) = cortex_m::Peripherals::take() else { return };
    ticks::start(core.SYST);
    let layout = Layout::LM3S6965EVB;
    let (Ok(flash), Ok(mut entropy)) = (HostFlash::open(layout.records.end), HostEntropy::open()) else {
        return fail("no flash.img in this folder, or no /dev/urandom");
    };
    let Ok(cipher) = semihost::fused_cipher() else {
        return fail("no fuses.bin with 32 bytes in this folder");
    };
    let Some(stack) = start_network(spawner, entropy.next_u64()) else {
        return fail("no room for the network task");
    };
    let image = Image { digest: image::measure(), debug: DebugStatus::Disabled };
    if let Some(notice) = firmware::DEBUG_BUILD {
        hprintln!("{}", notice);
    }
    hprintln!("simulated lm3s6965evb, firmware {} {}", firmware::NAME, firmware::VERSION);
    let control = Control::new();
    let hardware = Hardware { flash, layout, wrap: Wrapped::new(cipher), rng: entropy };
    let device = firmware::run(stack, hardware, image, MEMORY.take(), Report, &control);
    let end = Counted(pin!(device)).await;
    hprintln!("ended: {}", end.name());
    debug::exit(debug::EXIT_FAILURE);
}

/// Apart from [`main`], so that what is put together here is not on the stack for good.
#[inline(never)]
fn start_network(spawner: Spawner, seed: u64) -> Option<Stack<'static>> {
    // QEMU gives each machine a network of its own, so that all may have the same address.
    let ethernet = Ethernet::start([0x02, 0, 0, 0, 0, 1], FRAME.take());
    // SAFETY: the handler is in the vector table and the controller is started.
    unsafe { cortex_m::peripheral::NVIC::unmask(EthernetInterrupt) };
    let config = Config::dhcpv4(Default::default());
    let (stack, runner) = embassy_net::new(ethernet, config, RESOURCES.take(), seed);
    spawner.spawn(network(runner).ok()?);
    Some(stack)
}

fn fail(what: &str) {
    hprintln!("failed: {}", what);
    debug::exit(debug::EXIT_FAILURE);
}

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, Ethernet>) -> ! {
    Counted(pin!(runner.run())).await
}

#[derive(Clone, Copy)]
struct EthernetInterrupt;

// SAFETY: 42 is the controller's number in the vector table, and stays so.
unsafe impl InterruptNumber for EthernetInterrupt {
    fn number(self) -> u16 {
        ethernet::INTERRUPT
    }
}

/// The device's interrupts; only the Ethernet controller's is used.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [unsafe extern "C" fn(); 43] = {
    let mut table = [default_interrupt as unsafe extern "C" fn(); 43];
    table[ethernet::INTERRUPT as usize] = ethernet_interrupt;
    table
};

unsafe extern "C" fn default_interrupt() {}

unsafe extern "C" fn ethernet_interrupt() {
    ethernet::on_interrupt();
}

/// Also where the stack has grown out of the RAM.
#[cortex_m_rt::exception]
unsafe fn HardFault(_: &cortex_m_rt::ExceptionFrame) -> ! {
    // The stack may be unusable, and so may be whoever would be told: nothing but the exit is left.
    halt()
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    hprintln!("panic");
    halt()
}

/// Ends QEMU with a failure; on a chip it would wait for the watchdog.
fn halt() -> ! {
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::wfi();
    }
}
