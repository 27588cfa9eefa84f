//! The device on ST's STM32H573I-DK (Cortex-M33 at 240 MHz, Ethernet). docs/boards.md says how to flash it.
//!
//! Randomness, flash and the key that wraps keys are the chip's own. It prints what happens through RTT, which
//! `cargo run` shows, and is reset by its watchdog where it hangs.

#![no_std]
#![no_main]

mod chip;
mod cipher;
mod flash;
mod random;

use core::cell::RefCell;
use core::panic::PanicInfo;

use agent_core::flow::{Control, Notice};
use agent_core::platform::Observer;
use agent_mcu::layout::Layout;
use agent_mcu::wrap::Wrapped;
use embassy_executor::Spawner;
use embassy_net::{Config, Runner, Stack, StackResources};
use embassy_stm32::bind_interrupts;
use embassy_stm32::eth::{Ethernet, GenericPhy, PacketQueue, Sma};
use embassy_stm32::flash::Flash;
use embassy_stm32::peripherals::{ETH, ETH_SMA, IWDG, RNG, SAES};
use embassy_stm32::rcc::{
    HSIPrescaler, Hsi48Config, Pll, PllDiv, PllMul, PllPreDiv, PllSource, Sysclk, VoltageScale,
};
use embassy_stm32::rng::Rng;
use embassy_stm32::saes::Saes;
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_time::Timer;
use firmware::{Hardware, Image, Memory};
use rand_core::RngCore as _;
use rtt_target::{rprintln, rtt_init_print};
use shared::evidence::DebugStatus;
use static_cell::{ConstStaticCell, StaticCell};

use cipher::ChipCipher;
use flash::ChipFlash;
use random::ChipRandom;

bind_interrupts!(struct Interrupts {
    ETH => embassy_stm32::eth::InterruptHandler;
    RNG => embassy_stm32::rng::InterruptHandler<RNG>;
    SAES => embassy_stm32::saes::InterruptHandler<SAES>;
});

firmware::export_version!();

/// Longest time, in microseconds, that the program may not come round: a handshake's arithmetic takes a tenth of it, and so
/// does bring-up at most, with the image's hash, the IDevID key and the records up to the first wait for the network.
const WATCHDOG: u32 = 20_000_000;

/// Least time, in seconds, before it starts over where it could not go on; twice that at most. A cause that stays must not
/// wear the flash out.
const RESTART: u64 = 600;

type Driver = Ethernet<'static, ETH, GenericPhy<Sma<'static, ETH_SMA>>>;

static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());
static PACKETS: StaticCell<PacketQueue<4, 4>> = StaticCell::new();
static RESOURCES: ConstStaticCell<StackResources<4>> = ConstStaticCell::new(StackResources::new());
static RANDOM: StaticCell<RefCell<Rng<'static, RNG>>> = StaticCell::new();

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    rtt_init_print!();
    let p = embassy_stm32::init(clocks());
    // Before all else, and not in its task, which first runs when this function waits: bring-up waits for hardware in loops
    // that have no end of their own.
    let mut guard = IndependentWatchdog::new(p.IWDG, WATCHDOG);
    guard.unleash();
    let Ok(task) = watchdog(guard) else { return rprintln!("no room for the watchdog task") };
    spawner.spawn(task);
    let mut random = ChipRandom(RANDOM.init(RefCell::new(Rng::new(p.RNG, Interrupts))));
    let image = Image { digest: chip::measure(), debug: chip::debug_status() };
    let (name, version) = (firmware::NAME, firmware::VERSION);
    rprintln!("stm32h573i-dk, firmware {} {}, debug port {:?}", name, version, image.debug);
    if let Some(notice) = firmware::DEBUG_BUILD {
        rprintln!("{}", notice);
    }
    let ethernet = Ethernet::new(
        PACKETS.init(PacketQueue::new()),
        p.ETH,
        Interrupts,
        p.PA1,
        p.PA7,
        p.PC4,
        p.PC5,
        p.PG13,
        p.PG12,
        p.PG11,
        chip::ethernet_address(),
        p.ETH_SMA,
        p.PA2,
        p.PC1,
    );
    let (stack, runner) =
        embassy_net::new(ethernet, Config::dhcpv4(Default::default()), RESOURCES.take(), random.next_u64());
    let Ok(task) = network(runner) else { return rprintln!("no room for the network task") };
    spawner.spawn(task);
    let closed = image.debug != DebugStatus::Enabled;
    if !closed {
        rprintln!("product state open: the IDevID key stays where it is, and others are lost at the closing");
    }
    let cipher = ChipCipher { saes: Saes::new_blocking(p.SAES, Interrupts), closed };
    let flash = ChipFlash(Flash::new_blocking(p.FLASH));
    run(stack, flash, cipher, random, image).await;
}

async fn run(
    stack: Stack<'static>,
    flash: ChipFlash,
    cipher: ChipCipher,
    mut random: ChipRandom,
    image: Image,
) {
    let pause = RESTART + random.next_u64() % RESTART;
    let control = Control::new();
    let layout = Layout::STM32H573I_DK;
    let hardware = Hardware { flash, layout, wrap: Wrapped::new(cipher), rng: random };
    let end = firmware::run(stack, hardware, image, MEMORY.take(), Report, &control).await;
    rprintln!("ended: {}", end.name());
    // Without an identity it stays here: starting over would not help.
    if end.may_pass() {
        Timer::after_secs(pause).await;
        cortex_m::peripheral::SCB::sys_reset();
    }
}

/// 240 MHz from the internal oscillator, which the PHY on the board does not need: it has a crystal of its own.
fn clocks() -> embassy_stm32::Config {
    let mut config = embassy_stm32::Config::default();
    config.rcc.hsi = Some(HSIPrescaler::DIV1);
    // The random generator's clock.
    config.rcc.hsi48 = Some(Hsi48Config::default());
    config.rcc.pll1 = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV4,
        mul: PllMul::MUL30,
        divp: Some(PllDiv::DIV2),
        divq: Some(PllDiv::DIV4),
        divr: None,
    });
    config.rcc.sys = Sysclk::PLL1_P;
    config.rcc.voltage_scale = VoltageScale::Scale0;
    config
}

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, Driver>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn watchdog(mut guard: IndependentWatchdog<'static, IWDG>) -> ! {
    loop {
        guard.pet();
        Timer::after_secs(2).await;
    }
}

/// Prints what happens.
struct Report;

impl Observer for Report {
    fn notice(&mut self, notice: &Notice<'_>) {
        match notice {
            Notice::Refused { code, .. } => rprintln!("event {} {}", notice.name(), code),
            Notice::Unreachable { error, .. } => rprintln!("event {} {}", notice.name(), error),
            _ => rprintln!("event {}", notice.name()),
        }
    }
}

#[cortex_m_rt::exception]
unsafe fn NonMaskableInt() {
    if !flash::on_uncorrectable() {
        cortex_m::peripheral::SCB::sys_reset();
    }
}

/// Also where the stack has grown out of the RAM: there is no stack to tell anybody from.
#[cortex_m_rt::exception]
unsafe fn HardFault(_: &cortex_m_rt::ExceptionFrame) -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    rprintln!("panic");
    cortex_m::peripheral::SCB::sys_reset()
}
