//! What can go wrong with a TPM.

use std::io;
use std::path::PathBuf;

use shared::tpm2::Tpm2Error;

/// Why a TPM did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// Nothing answers at the path.
    #[error("no TPM answers at {path}")]
    Unreachable {
        /// Device or socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the TPM does not answer any more")]
    Broken(#[source] io::Error),
    /// The TPM refused a command.
    #[error("the TPM refused {command} with code {code:#05x}")]
    Refused {
        /// Name of the command, as in TPM 2.0 Library, part 3.
        command: &'static str,
        /// TPM_RC (part 2, section 6.6).
        code: u32,
    },
    /// An answer has another form than the specification gives it.
    #[error("an answer of the TPM cannot be read")]
    Answer(#[from] Tpm2Error),
    /// A command would be longer than a TPM takes.
    #[error("a command of more than 4096 bytes")]
    TooLong,
    /// Nothing lies at a persistent handle.
    #[error("no key lies at handle {handle:#010x} of the TPM")]
    NoSuchHandle {
        /// The handle.
        handle: u32,
    },
    /// An authorization value longer than the TPM takes.
    #[error("an authorization value of more than {} bytes", super::MAX_AUTH)]
    AuthTooLong,
    /// No register is to be quoted.
    #[error("no register to quote, or one that no TPM has")]
    NoRegisters,
    /// Registers keep changing.
    #[error("the registers changed each time while they were being quoted")]
    Restless,
    /// No randomness.
    #[error("the random generator failed")]
    Random,
}

impl TpmError {
    /// Whether the TPM, which works, does not know the key: it was made by another one, or this one was cleared.
    #[must_use]
    pub fn is_foreign_key(&self) -> bool {
        matches!(self, Self::Refused { command: "TPM2_Load", code } if *code & FORMAT_ONE != 0)
    }

    /// Whether the TPM did not take the authorization value (part 2, section 6.6.3: AUTH_FAIL, BAD_AUTH).
    #[must_use]
    pub const fn is_wrong_authorization(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if *code & FORMAT_ONE != 0 && matches!(*code & 0x3f, 0x0e | 0x22))
    }
}

/// Set in codes that blame a parameter, here the key (part 2, section 6.6.2).
const FORMAT_ONE: u32 = 1 << 7;
