//! The boards there are images for, and what the factory writes into their flash.

mod contents;
mod fuses;
mod write;

use agent_mcu::layout::Layout;

pub use contents::{CertificateSummary, Contents, ContentsError, KeyPages, read};
pub use fuses::fuses;
pub use write::flash_image;

/// A board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Board {
    /// LM3S6965 evaluation board, as QEMU plays it: Cortex-M3, 256 KiB flash, 64 KiB RAM, Ethernet.
    #[default]
    Lm3s6965evb,
    /// ST's STM32H573I-DK: Cortex-M33, 2 MiB flash, 640 KiB RAM, Ethernet, random generator, SAES.
    Stm32h573iDk,
}

impl Board {
    /// The name of its package.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lm3s6965evb => "lm3s6965evb",
            Self::Stm32h573iDk => "stm32h573i-dk",
        }
    }

    /// What the compiler calls its processor.
    #[must_use]
    pub const fn target(self) -> &'static str {
        match self {
            Self::Lm3s6965evb => "thumbv7m-none-eabi",
            Self::Stm32h573iDk => "thumbv8m.main-none-eabihf",
        }
    }

    /// The name of QEMU's machine, where there is one.
    #[must_use]
    pub const fn machine(self) -> Option<&'static str> {
        match self {
            Self::Lm3s6965evb => Some("lm3s6965evb"),
            Self::Stm32h573iDk => None,
        }
    }

    /// Where things lie in its data flash. A flash image is this range of it.
    #[must_use]
    pub const fn layout(self) -> Layout {
        match self {
            Self::Lm3s6965evb => Layout::LM3S6965EVB,
            Self::Stm32h573iDk => Layout::STM32H573I_DK,
        }
    }

    /// What its flash reads as where nothing was written: between the sections of an image, which are aligned.
    #[must_use]
    pub const fn unwritten(self) -> u8 {
        match self {
            // QEMU's flash is a memory that begins as zeros.
            Self::Lm3s6965evb => 0,
            Self::Stm32h573iDk => 0xff,
        }
    }

    /// Address of the first byte of its flash.
    #[must_use]
    pub const fn flash_address(self) -> u32 {
        match self {
            Self::Lm3s6965evb => 0,
            Self::Stm32h573iDk => 0x0800_0000,
        }
    }
}
