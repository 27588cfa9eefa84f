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
    #[error("the TPM refused {command} with code {code:#05x}{}", meaning(*code))]
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

    /// Whether the TPM did not take the authorization value.
    #[must_use]
    pub const fn is_wrong_authorization(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if is_wrong_authorization(*code))
    }
}

/// What an operator can do about a code (part 2, section 6.6.3); empty for those that say something to programmers only.
const fn meaning(code: u32) -> &'static str {
    match code {
        0x902 => {
            " (OBJECT_MEMORY: no room for another key; connect by the resource manager, /dev/tpmrm0, or end what keeps \
             keys loaded)"
        }
        0x903 => {
            " (SESSION_MEMORY: no room for another session; connect by the resource manager, /dev/tpmrm0, or end what \
             keeps sessions open)"
        }
        0x921 => {
            " (LOCKOUT: too many wrong authorization values; it takes none for keys without noda until its lockout \
             ends, or tpm2_dictionarylockout --clear-lockout ends it)"
        }
        _ if is_wrong_authorization(code) => {
            " (BAD_AUTH: the authorization value is missing or wrong; those of the owner and endorsement hierarchies \
             have to be empty)"
        }
        _ => "",
    }
}

/// AUTH_FAIL or BAD_AUTH (part 2, section 6.6.3).
const fn is_wrong_authorization(code: u32) -> bool {
    code & FORMAT_ONE != 0 && matches!(code & 0x3f, 0x0e | 0x22)
}

/// Set in codes that blame a parameter, here the key (part 2, section 6.6.2).
const FORMAT_ONE: u32 = 1 << 7;

#[cfg(test)]
mod tests {
    use super::TpmError;

    #[test]
    fn the_codes_that_an_operator_meets_are_named() {
        let said = |code| TpmError::Refused { command: "TPM2_Sign", code }.to_string();
        for (code, name) in [
            (0x902, "OBJECT_MEMORY"),
            (0x903, "SESSION_MEMORY"),
            (0x921, "LOCKOUT"),
            // BAD_AUTH and AUTH_FAIL, for the first session.
            (0x9a2, "BAD_AUTH"),
            (0x98e, "BAD_AUTH"),
        ] {
            assert!(said(code).contains(name), "{}", said(code));
        }
        assert_eq!(said(0x922), "the TPM refused TPM2_Sign with code 0x922");
        assert_eq!(said(0x184), "the TPM refused TPM2_Sign with code 0x184");
    }
}
