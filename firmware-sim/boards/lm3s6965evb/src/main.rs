//! The device on QEMU's `lm3s6965evb`. Simulation: randomness and flash come from the host by semihosting.

#![no_std]
#![no_main]

mod ethernet;
mod ticks;

use core::panic::PanicInfo;

use cortex_m::interrupt::InterruptNumber;
use cortex_m_semihosting::{debug, hprintln};
use embassy_executor::Spawner;
use embassy_net::{Config, Runner, StackResources};
use static_cell::StaticCell;

use ethernet::Ethernet;

#[derive(Clone, Copy)]
struct EthernetInterrupt;

// SAFETY: 42 is the controller's number in the vector table, and stays so.
unsafe impl InterruptNumber for EthernetInterrupt {
    fn number(self) -> u16 {
        ethernet::INTERRUPT
    }
}

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, Ethernet>) -> ! {
    runner.run().await
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let Some(core) = cortex_m::Peripherals::take() else { return };
    ticks::start(core.SYST);
    static RESOURCES: StaticCell<StackResources<4>> = StaticCell::new();
    let ethernet = Ethernet::start([0x02, 0, 0, 0, 0, 1]);
    // SAFETY: the handler is in the vector table and the controller is started.
    unsafe { cortex_m::peripheral::NVIC::unmask(EthernetInterrupt) };
    let (stack, runner) = embassy_net::new(
        ethernet,
        Config::dhcpv4(Default::default()),
        RESOURCES.init(StackResources::new()),
        1,
    );
    if let Ok(task) = network(runner) {
        spawner.spawn(task);
    }
    stack.wait_config_up().await;
    let _ = hprintln!("address: {:?}", stack.config_v4().map(|c| c.address));
    debug::exit(debug::EXIT_SUCCESS);
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

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::wfi();
    }
}
