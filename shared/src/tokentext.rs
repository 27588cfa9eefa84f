//! The short form of one-time tokens, for people to type: `XXXX-XXXX-XXXX-XXXX`, 15 symbols and a check symbol.
//!
//! Crockford's Base32: no letter that looks like a digit, small letters count as capitals, O as 0, I and L as 1. The
//! check symbol is the number modulo 37; it finds every single wrong symbol and every two that were exchanged. Tokens
//! whose check symbol would be no letter or digit are not made.

/// Symbols of a token, the check symbol included.
pub const SYMBOLS: usize = 16;

/// Why a text is no token in the short form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotShort {
    /// It has another form, and may be a token all the same.
    OtherForm,
    /// It has the form, and the check symbol does not fit: a typing error.
    Mistyped,
}

/// Makes a token out of random bytes; `None` where its check symbol would be no letter or digit.
#[must_use]
pub fn from_random(random: &[u8; SYMBOLS - 1]) -> Option<[u8; SYMBOLS]> {
    let mut token = [0; SYMBOLS];
    for (to, byte) in token.iter_mut().zip(random) {
        *to = *ALPHABET.get(usize::from(byte & 31))?;
    }
    let check = check_symbol(token.get(..SYMBOLS - 1)?.iter().copied())?;
    *token.last_mut()? = *ALPHABET.get(check)?;
    Some(token)
}

/// The one spelling of a token that counts, without hyphens.
///
/// # Errors
/// Where the text is no such token.
pub fn canonical(text: &[u8]) -> Result<[u8; SYMBOLS], NotShort> {
    let mut symbols = [0; SYMBOLS];
    let mut places = symbols.iter_mut();
    for byte in text.iter().filter(|byte| **byte != b'-') {
        let symbol = match byte.to_ascii_uppercase() {
            b'O' => b'0',
            b'I' | b'L' => b'1',
            other => other,
        };
        if !ALPHABET.contains(&symbol) {
            return Err(NotShort::OtherForm);
        }
        *places.next().ok_or(NotShort::OtherForm)? = symbol;
    }
    if places.next().is_some() {
        return Err(NotShort::OtherForm);
    }
    let (check, number) = symbols.split_last().ok_or(NotShort::OtherForm)?;
    let wanted = check_symbol(number.iter().copied()).and_then(|check| ALPHABET.get(check));
    if wanted == Some(check) { Ok(symbols) } else { Err(NotShort::Mistyped) }
}

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The number that the symbols write, modulo 37.
fn check_symbol(symbols: impl Iterator<Item = u8>) -> Option<usize> {
    let mut rest = 0;
    for symbol in symbols {
        let value = ALPHABET.iter().position(|known| *known == symbol)?;
        rest = (rest * 32 + value) % 37;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{ALPHABET, NotShort, SYMBOLS, canonical, check_symbol, from_random};
    use proptest::prelude::*;
    use std::vec::Vec;

    /// The number 1234 is 16J, and its check symbol D, by Crockford's own rules: 1234 mod 37 is 13.
    #[test]
    fn check_symbols_are_crockfords() {
        assert_eq!(check_symbol(b"16J".iter().copied()), Some(13));
        assert_eq!(ALPHABET[13], b'D');
    }

    #[test]
    fn other_forms_are_told_from_typing_errors() {
        for other in [&b""[..], b"0123456789abcdef0123456789abcdef", b"----", b"!", b"UUUUUUUUUUUUUUUU"] {
            assert_eq!(canonical(other), Err(NotShort::OtherForm));
        }
    }

    proptest! {
        #[test]
        fn every_spelling_is_one_token_and_every_slip_is_found(
            random: [u8; 15],
            at in 0..SYMBOLS,
            by in 1_usize..32,
        ) {
            let Some(token) = from_random(&random) else { return Ok(()) };
            prop_assert_eq!(canonical(&token), Ok(token));
            let typed: Vec<u8> = token
                .chunks(4)
                .flat_map(|four| [four, b"-"].concat())
                .map(|byte| match byte.to_ascii_lowercase() {
                    b'0' => b'o',
                    b'1' => b'l',
                    other => other,
                })
                .collect();
            prop_assert_eq!(canonical(&typed), Ok(token));
            let mut wrong = token;
            let value = ALPHABET.iter().position(|symbol| *symbol == wrong[at]).unwrap();
            wrong[at] = ALPHABET[(value + by) % 32];
            prop_assert_eq!(canonical(&wrong), Err(NotShort::Mistyped));
            let mut exchanged = token;
            exchanged.swap(at, (at + 1) % SYMBOLS);
            if at + 1 < SYMBOLS - 1 && exchanged != token {
                prop_assert_eq!(canonical(&exchanged), Err(NotShort::Mistyped));
            }
        }

        #[test]
        fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _read = canonical(&noise).is_ok();
        }
    }
}
