//! The fields of a form or of a query: bounded, each known and given once.

use core::fmt;
use core::str::FromStr;

use super::Refusal;

/// Most bytes of a query.
pub(super) const MAX_QUERY: usize = 2_048;
/// Most bytes of a form.
pub(super) const MAX_FORM: usize = 4_096;
/// Most fields of either.
const MAX_FIELDS: usize = 16;

/// What was filled in.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `application/x-www-form-urlencoded`. A field that is not one of `known` is a mistake and not passed over: a
    /// filter that is misspelt would find everything.
    pub(super) fn parse(bytes: &[u8], known: &[&str]) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        for (name, value) in form_urlencoded::parse(bytes) {
            if !known.contains(&name.as_ref()) {
                return Err(Refusal::Malformed("there is a field that this page does not know".to_owned()));
            }
            if fields.0.iter().any(|(other, _)| *other == name) || fields.0.len() == MAX_FIELDS {
                return Err(Refusal::Malformed(format!("the field {name} is there more than once")));
            }
            // What was not filled in comes as an empty text.
            let value = value.trim();
            if !value.is_empty() {
                fields.0.push((name.into_owned(), value.to_owned()));
            }
        }
        Ok(fields)
    }

    /// Reads the query of an address.
    pub(super) fn of_query(query: Option<&str>, known: &[&str]) -> Result<Self, Refusal> {
        let query = query.unwrap_or_default();
        if query.len() > MAX_QUERY {
            return Err(Refusal::TooLarge);
        }
        Self::parse(query.as_bytes(), known)
    }

    /// A field that was filled in.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// A field that may be left empty.
    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Result<Option<T>, Refusal> {
        let wrong = |error: T::Err| Refusal::Malformed(format!("{name}: {error}"));
        self.get(name).map(str::parse).transpose().map_err(wrong)
    }

    /// A field that has to be filled in.
    pub(super) fn wanted(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::Malformed(format!("{name} has to be filled in")))
    }
}

#[cfg(test)]
mod tests {
    use super::{Fields, MAX_QUERY};

    #[test]
    fn fields_are_known_and_given_once() {
        let known = ["find", "state"];
        let fields = Fields::parse(b"find=a%20b+c&state=", &known).unwrap();
        assert_eq!((fields.get("find"), fields.get("state")), (Some("a b c"), None));
        assert!(fields.wanted("state").is_err());
        for wrong in ["finb=a", "find=a&find=b", "find=a&FIND=b"] {
            assert!(Fields::parse(wrong.as_bytes(), &known).is_err(), "{wrong}");
        }
        assert!(Fields::of_query(Some(&"a".repeat(MAX_QUERY + 1)), &known).is_err());
        assert!(Fields::parse(b"find=x", &known).unwrap().parsed::<u32>("find").is_err());
    }
}
