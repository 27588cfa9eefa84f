//! Selections of platform configuration registers (TPM 2.0 Library, part 2, section 10.9.7, TPML_PCR_SELECTION).

use super::{Reader, Tpm2Error, algorithm};

/// Registers of a platform (PC Client Platform TPM Profile, section 4.6).
pub const MAX_PCRS: usize = 24;

/// A bank of registers, by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bank {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
}

impl Bank {
    /// The algorithm's identifier.
    #[must_use]
    pub const fn algorithm(self) -> u16 {
        match self {
            Self::Sha256 => algorithm::SHA256,
            Self::Sha384 => algorithm::SHA384,
        }
    }

    /// Length of a register in bytes.
    #[must_use]
    pub const fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }
}

/// Registers of one bank, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PcrSet {
    /// The bank.
    pub bank: Bank,
    /// Bit N stands for register N.
    bits: u32,
}

impl PcrSet {
    /// The set with these registers; `None` where it is empty or a register is beyond [`MAX_PCRS`].
    #[must_use]
    pub fn new(bank: Bank, registers: &[u8]) -> Option<Self> {
        let mut bits = 0_u32;
        for register in registers {
            if usize::from(*register) >= MAX_PCRS {
                return None;
            }
            bits |= 1 << register;
        }
        (bits != 0).then_some(Self { bank, bits })
    }

    /// The registers, ascending.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0_u8..32).filter(move |register| self.contains(*register))
    }

    /// Whether this register is among them.
    #[must_use]
    pub const fn contains(self, register: u8) -> bool {
        register < 32 && self.bits & (1 << register) != 0
    }

    /// Number of registers.
    #[must_use]
    pub const fn len(self) -> usize {
        self.bits.count_ones() as usize
    }

    /// Never: a set has a register.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// As a TPML_PCR_SELECTION of one bank.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 10] {
        let [_, high, middle, low] = self.bits.to_be_bytes();
        let [first, second] = self.bank.algorithm().to_be_bytes();
        [0, 0, 0, 1, first, second, 3, low, middle, high]
    }

    /// Reads a TPML_PCR_SELECTION of exactly one bank with at least one register.
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Tpm2Error> {
        let count = r.u32("number of selections")?;
        if count != 1 {
            return Err(r.unsupported("number of selections", count));
        }
        let bank = match r.u16("bank")? {
            algorithm::SHA256 => Bank::Sha256,
            algorithm::SHA384 => Bank::Sha384,
            other => return Err(r.unsupported("bank", other.into())),
        };
        let length = r.u8("length of the selection")?;
        if length != 3 {
            return Err(r.unsupported("length of the selection", length.into()));
        }
        let [low, middle, high] = r.array("selection")?;
        let bits = u32::from_be_bytes([0, high, middle, low]);
        if bits == 0 {
            return Err(r.unsupported("selection", 0));
        }
        Ok(Self { bank, bits })
    }
}
