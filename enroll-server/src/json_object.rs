//! Bodies that are a JSON object, or nothing where the type can do with an empty one. The one reader of them: what fuzz
//! targets try is what calls go through.

use serde::de::DeserializeOwned;

/// What stands in `body`. The nesting of what is passed over is bounded by the length of the body alone, and takes no stack.
///
/// # Errors
/// Says what is wrong.
pub(crate) fn read<B: DeserializeOwned>(body: &[u8]) -> Result<B, String> {
    let body = body.trim_ascii();
    let body = if body.is_empty() { b"{}" } else { body };
    // A list would be read as the fields in their order.
    if body.first() != Some(&b'{') {
        return Err("the body is a JSON object".to_owned());
    }
    // RFC 8259, section 8.1. The reader itself does not look at the bytes of what is passed over.
    let text = core::str::from_utf8(body).map_err(|error| format!("the body is no UTF-8: {error}"))?;
    serde_json::from_str(text).map_err(|error| format!("the body does not fit: {error}"))
}

#[cfg(test)]
mod tests {
    use super::read;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[serde(default)]
        number: u8,
    }

    #[derive(serde::Deserialize)]
    struct Open {}

    #[test]
    fn what_is_passed_over_is_text_too() {
        read::<Open>(b"{\"x\":\"\xc3\xa9\"}").unwrap();
        assert!(read::<Open>(b"{\"x\":\"\xc3\"}").is_err_and(|why| why.contains("no UTF-8")));
    }

    #[test]
    fn a_body_is_an_object_of_known_fields_or_nothing() {
        for (body, number) in [("", 0), ("  ", 0), ("{}", 0), ("\n{\"number\": 7}\n", 7)] {
            assert_eq!(read::<Body>(body.as_bytes()), Ok(Body { number }), "{body}");
        }
        for bad in [
            "[]",
            "[7]",
            "7",
            "null",
            "{",
            "{\"x\":1}",
            "{\"number\":1,\"number\":2}",
            "{}{}",
            "{\"number\":256}",
        ] {
            read::<Body>(bad.as_bytes()).unwrap_err();
        }
        read::<Body>("{\"a\":".repeat(10_000).as_bytes()).unwrap_err();
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            drop(read::<Body>(&bytes));
        }
    }
}
