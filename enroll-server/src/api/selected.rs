//! Which devices a call is for that is for many, and which page of them.

use appraisal::GroupName;
use schemars::Schema;
use serde_json::{Value, json};

use super::call::{Code, Maybe, PAGE, PageSize, Refusal};
use crate::store::{Page, Selection, Tag};
use crate::written::Text;

/// The devices of a group, or those with a tag.
pub(super) fn selection(group: Option<GroupName>, tag: Option<Tag>) -> Result<Selection, Refusal> {
    match (group, tag) {
        (Some(group), None) => Ok(Selection::Group(group)),
        (None, Some(tag)) => Ok(Selection::Tag(tag)),
        _ => Err(Refusal::new(Code::BadRequest, "either a group or a tag says which devices")),
    }
}

pub(super) fn page<A>(after: Maybe<Text<A>>, limit: Maybe<PageSize>) -> Page<A> {
    Page { after: after.value(), limit: rows(&limit) }
}

/// How many rows a page has at most.
pub(super) fn rows(limit: &Maybe<PageSize>) -> u32 {
    limit.0.and_then(|limit| u32::try_from(limit.get()).ok()).unwrap_or(PAGE)
}

/// Says what [`selection`] wants, of a type or of each of its variants.
pub(super) fn group_or_tag(schema: &mut Schema) {
    one_of(schema, &json!([{ "required": ["group"] }, { "required": ["tag"] }]));
}

/// As [`group_or_tag`], or all there are.
pub(super) fn group_tag_or_all(schema: &mut Schema) {
    let all = json!({ "required": ["all"], "properties": { "all": { "const": true } } });
    one_of(schema, &json!([{ "required": ["group"] }, { "required": ["tag"] }, all]));
}

fn one_of(schema: &mut Schema, choice: &Value) {
    match schema.get_mut("oneOf") {
        Some(Value::Array(variants)) => {
            for variant in variants.iter_mut().filter_map(Value::as_object_mut) {
                variant.insert("oneOf".to_owned(), choice.clone());
            }
        }
        _ => drop(schema.insert("oneOf".to_owned(), choice.clone())),
    }
}
