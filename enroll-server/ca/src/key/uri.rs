//! Where a key in a token is: a PKCS#11 URI (RFC 7512). Only what names one private key is understood; anything
//! else is refused by name, so that nothing in an address is silently left out.

use std::path::PathBuf;

/// A key in a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkcs11Uri {
    /// The token's label.
    pub token: String,
    /// The key's label (CKA_LABEL), where one is given.
    pub object: Option<String>,
    /// The key's identifier (CKA_ID), where one is given.
    pub id: Option<Vec<u8>>,
    /// The module: a shared library.
    pub module: PathBuf,
    /// The file with the user's PIN, where the token wants one.
    pub pin_file: Option<PathBuf>,
}

/// What is wrong with a PKCS#11 URI.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// Another scheme.
    #[error("a PKCS#11 URI begins with \"pkcs11:\" (RFC 7512)")]
    Scheme,
    /// Not `name=value`, or a broken %-escape, or not UTF-8.
    #[error("\"{part}\" is not name=value with %-escapes")]
    Form {
        /// The part.
        part: String,
    },
    /// An attribute that is not understood here.
    #[error(
        "the attribute \"{name}\" is not supported; these are: token, object, id, type, module-path, pin-source"
    )]
    Attribute {
        /// Its name.
        name: String,
    },
    /// An attribute twice.
    #[error("the attribute \"{name}\" stands there twice")]
    Twice {
        /// Its name.
        name: String,
    },
    /// A PIN in the clear.
    #[error(
        "a PIN does not belong into settings: put it into a file of mode 0600 and give pin-source=file:PATH"
    )]
    PinValue,
    /// Something that has to be there is not.
    #[error("the attribute \"{name}\" is missing")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// A value that cannot be used.
    #[error("the value of \"{name}\" cannot be used: expected {expected}")]
    Value {
        /// The attribute.
        name: &'static str,
        /// What would be right.
        expected: &'static str,
    },
}

/// Longest URI, in bytes.
const MAX_URI: usize = 1024;

impl core::str::FromStr for Pkcs11Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let rest = text.strip_prefix("pkcs11:").filter(|_| text.len() <= MAX_URI).ok_or(UriError::Scheme)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut found = Attributes::default();
        // RFC 7512, section 2.3: the path's attributes are parted by ';', the query's by '&'.
        for part in path.split(';').chain(query.split('&')).filter(|part| !part.is_empty()) {
            found.take(part)?;
        }
        found.finish()
    }
}

#[derive(Default)]
struct Attributes {
    token: Option<String>,
    object: Option<String>,
    id: Option<Vec<u8>>,
    kind: Option<String>,
    module: Option<PathBuf>,
    pin_file: Option<PathBuf>,
}

impl Attributes {
    fn take(&mut self, part: &str) -> Result<(), UriError> {
        let form = || UriError::Form { part: part.to_owned() };
        let (name, value) = part.split_once('=').ok_or_else(form)?;
        let bytes = unescape(value).ok_or_else(form)?;
        let text = || String::from_utf8(bytes.clone()).map_err(|_| form());
        match name {
            "token" => once(&mut self.token, text()?, name),
            "object" => once(&mut self.object, text()?, name),
            "id" => once(&mut self.id, bytes, name),
            "type" => once(&mut self.kind, text()?, name),
            "module-path" => once(&mut self.module, PathBuf::from(text()?), name),
            "pin-source" => {
                let text = text()?;
                // RFC 7512, section 2.4: a file URI, or an absolute path by common usage.
                let path = text.strip_prefix("file:").unwrap_or(&text);
                let path = path.strip_prefix("//").unwrap_or(path);
                let value = PathBuf::from(path);
                if !value.is_absolute() {
                    return Err(UriError::Value {
                        name: "pin-source",
                        expected: "file: and an absolute path",
                    });
                }
                once(&mut self.pin_file, value, name)
            }
            "pin-value" => Err(UriError::PinValue),
            _ => Err(UriError::Attribute { name: name.to_owned() }),
        }
    }

    fn finish(self) -> Result<Pkcs11Uri, UriError> {
        if self.kind.is_some_and(|kind| kind != "private") {
            return Err(UriError::Value { name: "type", expected: "\"private\"" });
        }
        if self.object.is_none() && self.id.is_none() {
            return Err(UriError::Missing { name: "object" });
        }
        let module = self.module.ok_or(UriError::Missing { name: "module-path" })?;
        if !module.is_absolute() {
            return Err(UriError::Value { name: "module-path", expected: "an absolute path" });
        }
        Ok(Pkcs11Uri {
            token: self.token.ok_or(UriError::Missing { name: "token" })?,
            object: self.object,
            id: self.id,
            module,
            pin_file: self.pin_file,
        })
    }
}

fn once<T>(field: &mut Option<T>, value: T, name: &str) -> Result<(), UriError> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(UriError::Twice { name: name.to_owned() }),
    }
}

/// Undoes percent-encoding (RFC 3986, section 2.1).
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16).and_then(|d| u8::try_from(d).ok());
            digit()? << 4 | digit()?
        } else {
            byte
        };
        out.push(byte);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::{Pkcs11Uri, UriError};
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Pkcs11Uri, UriError> {
        text.parse()
    }

    #[test]
    fn a_key_is_named_by_token_and_label_or_identifier() {
        let uri = read("pkcs11:token=The%20CA;object=issuing;id=%01%ab;type=private?module-path=/lib/x.so&pin-source=file:/etc/pin").unwrap();
        assert_eq!((uri.token.as_str(), uri.object.as_deref()), ("The CA", Some("issuing")));
        assert_eq!(uri.id, Some(vec![1, 0xab]));
        assert_eq!(
            (uri.module.to_str(), uri.pin_file.unwrap().to_str()),
            (Some("/lib/x.so"), Some("/etc/pin"))
        );
        assert_eq!(read("pkcs11:token=t;id=%01?module-path=/m&pin-source=/etc/pin").unwrap().object, None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let module = "?module-path=/m";
        for (text, error) in [
            ("file:x".to_owned(), UriError::Scheme),
            (format!("pkcs11:{}", "a".repeat(1100)), UriError::Scheme),
            ("pkcs11:token".to_owned(), UriError::Form { part: "token".into() }),
            ("pkcs11:token=%4".to_owned(), UriError::Form { part: "token=%4".into() }),
            ("pkcs11:token=%ff".to_owned(), UriError::Form { part: "token=%ff".into() }),
            (format!("pkcs11:token=t;token=u{module}"), UriError::Twice { name: "token".into() }),
            (format!("pkcs11:token=t;serial=1{module}"), UriError::Attribute { name: "serial".into() }),
            (format!("pkcs11:token=t;object=o{module}&pin-value=1234"), UriError::PinValue),
            (format!("pkcs11:token=t{module}"), UriError::Missing { name: "object" }),
            (format!("pkcs11:object=o{module}"), UriError::Missing { name: "token" }),
            ("pkcs11:token=t;object=o".to_owned(), UriError::Missing { name: "module-path" }),
            (
                "pkcs11:token=t;object=o?module-path=m.so".to_owned(),
                UriError::Value { name: "module-path", expected: "an absolute path" },
            ),
            (
                format!("pkcs11:token=t;object=o;type=cert{module}"),
                UriError::Value { name: "type", expected: "\"private\"" },
            ),
            (
                format!("pkcs11:token=t;object=o{module}&pin-source=file:pin"),
                UriError::Value { name: "pin-source", expected: "file: and an absolute path" },
            ),
        ] {
            assert_eq!(read(&text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(pkcs11:)?[a-z=;?&%0-9/-]{0,60}") {
            let _read = read(&text);
        }
    }
}
