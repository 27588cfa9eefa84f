//! Cells that a spreadsheet would carry out: it takes one that begins with `=`, `+`, `-`, `@`, a tab or a carriage return
//! for a formula, and a model is a text of others (OWASP, "CSV Injection").
//!
//! Such a text is written with an apostrophe in front, which makes it a text there, and is read without it. A text that begins
//! with apostrophes before such a character gets one more, so that every text comes back as it was.

use std::borrow::Cow;

/// As it is written into CSV.
pub(crate) fn guarded(text: &str) -> Cow<'_, str> {
    if begins_a_formula(text) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// As it was before it was written into CSV.
pub(super) fn plain(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|text| begins_a_formula(text)).unwrap_or(cell)
}

fn begins_a_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r'])
}

#[cfg(test)]
mod tests {
    use super::{guarded, plain};
    use proptest::prelude::*;

    #[test]
    fn nothing_is_written_that_a_spreadsheet_carries_out() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=HYPERLINK(\"https://x\",\"y\")"] {
            assert_eq!(guarded(formula), format!("'{formula}"));
            assert_eq!(plain(&guarded(formula)), formula);
        }
        for text in ["", "sensor-a", "'t Hart", "'", "a=b", "50%"] {
            assert_eq!((guarded(text).as_ref(), plain(text)), (text, text));
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in "['=+@\t\r-]{0,4}[a-z=']{0,3}") {
            let cell = guarded(&text);
            prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell:?}");
            prop_assert_eq!(plain(&cell), text.as_str());
        }
    }
}
