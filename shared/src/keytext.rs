//! Symmetric keys as text: one line in a file that an operator carries to a factory or a device.
//!
//! `device-key:KID:KEY` is the key of one device, `group-key:KID:KEY` that from which the keys of a group's devices
//! are derived; KID has 16 hexadecimal digits, KEY 64. The words in front keep a group's key off a device: whoever
//! reads out that one device would be all of them.

use core::fmt;

use zeroize::{Zeroize as _, ZeroizeOnDrop};

use crate::cose::Kid;

/// Length of a symmetric key, in bytes.
pub const KEY: usize = 32;

/// Length of a key as text: `device-key:`, 16 digits, a colon, 64 digits.
pub const LENGTH: usize = 11 + 16 + 1 + 64;

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One device's own.
    Device,
    /// A group's, from which those of its devices are derived.
    Group,
}

/// A symmetric key with its name. Wiped when dropped; its Debug shows the name only.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct KeyText {
    #[zeroize(skip)]
    scope: Scope,
    #[zeroize(skip)]
    kid: Kid,
    key: [u8; KEY],
}

/// The text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is one line: device-key: or group-key:, 16 hexadecimal digits, a colon and 64 more digits")]
pub struct KeyTextError;

impl KeyText {
    /// Puts a key together.
    #[must_use]
    pub const fn new(scope: Scope, kid: Kid, key: [u8; KEY]) -> Self {
        Self { scope, kid, key }
    }

    /// Reads a key; space around it does not count.
    ///
    /// # Errors
    /// Where the text is something else. The error shows nothing of it.
    pub fn parse(text: &str) -> Result<Self, KeyTextError> {
        let text = text.trim_ascii();
        let (scope, rest) = match (text.strip_prefix(DEVICE), text.strip_prefix(GROUP)) {
            (Some(rest), _) => (Scope::Device, rest),
            (None, Some(rest)) => (Scope::Group, rest),
            (None, None) => return Err(KeyTextError),
        };
        let (kid, key) = rest.split_once(':').ok_or(KeyTextError)?;
        let mut read = Self { scope, kid: [0; 8], key: [0; KEY] };
        from_hex(kid, &mut read.kid)?;
        from_hex(key, &mut read.key)?;
        Ok(read)
    }

    /// Whose it is.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// Its name.
    #[must_use]
    pub const fn kid(&self) -> &Kid {
        &self.kid
    }

    /// The secret.
    #[must_use]
    pub const fn key(&self) -> &[u8; KEY] {
        &self.key
    }

    /// The characters of the line, without an end of line; [`LENGTH`] at most. They are the secret: collect them
    /// into something that is wiped, with room for all of them from the start.
    pub fn characters(&self) -> impl Iterator<Item = char> {
        let scope = if self.scope == Scope::Device { DEVICE } else { GROUP };
        let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16));
        let kid = self.kid.iter().flat_map(digits);
        let key = core::iter::once(Some(':')).chain(self.key.iter().flat_map(digits));
        scope.chars().map(Some).chain(kid).chain(key).flatten()
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyText").field("scope", &self.scope).field("kid", &self.kid).finish_non_exhaustive()
    }
}

const DEVICE: &str = "device-key:";
const GROUP: &str = "group-key:";

fn from_hex(text: &str, out: &mut [u8]) -> Result<(), KeyTextError> {
    if text.len() != 2 * out.len() {
        return Err(KeyTextError);
    }
    #[cfg(feature = "plants")]
    if crate::plant::has(crate::plant::Plant::SplitCharacter) {
        return sliced(text, out);
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut digits = text.bytes();
    for byte in out.iter_mut() {
        let (Some(high), Some(low)) = (digits.next().and_then(digit), digits.next().and_then(digit)) else {
            out.zeroize();
            return Err(KeyTextError);
        };
        *byte = high << 4 | low;
    }
    Ok(())
}

/// As [`from_hex`], with a defect for the fuzzing to find.
#[cfg(feature = "plants")]
#[expect(clippy::string_slice, reason = "the planted defect")]
fn sliced(text: &str, out: &mut [u8]) -> Result<(), KeyTextError> {
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| KeyTextError)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{KeyText, KeyTextError, LENGTH, Scope};
    use proptest::prelude::*;
    use std::format;
    use std::string::{String, ToString as _};

    proptest! {
        #[test]
        fn what_was_written_is_read(kid: [u8; 8], key: [u8; 32], group: bool) {
            let scope = if group { Scope::Group } else { Scope::Device };
            let written: String = KeyText::new(scope, kid, key).characters().collect();
            prop_assert_eq!(written.len() + usize::from(group), LENGTH);
            let read = KeyText::parse(&format!(" {written}\n")).unwrap();
            prop_assert_eq!((read.scope(), *read.kid(), *read.key()), (scope, kid, key));
            let shown = format!("{read:?}");
            prop_assert!(!shown.contains(&hex::encode(key)));
        }

        #[test]
        fn noise_is_no_key(noise in ".{0,120}") {
            prop_assert!(KeyText::parse(&noise).is_err());
        }
    }

    #[test]
    fn other_forms_are_refused() {
        let good: String = KeyText::new(Scope::Device, [1; 8], [2; 32]).characters().collect();
        for bad in [
            good.replace("device", "other"),
            good.replace(':', " "),
            good.get(..good.len() - 1).unwrap().to_string(),
            format!("{good}0"),
            good.replace('2', "g"),
            good.replace("02", "+2"),
        ] {
            assert_eq!(KeyText::parse(&bad), Err(KeyTextError), "{bad}");
        }
    }
}
