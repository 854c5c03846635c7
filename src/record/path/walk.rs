//! The ways down: steps over raw values, and what jsonpath-rust is asked.

use std::collections::HashMap;

use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::query::js_path_process;

use super::parse::parts;
use super::{Part, PathSegment};
use crate::record::json::{JsonType, RawJson};

/// How many keys an error names.
const KEYS_NAMED_MAX: usize = 20;
/// How long a key may be in an error, in characters.
const KEY_NAMED_CHARS_MAX: usize = 40;

/// The keys of an object, or what else it is, for an error.
#[must_use]
pub fn what_is_there(raw: RawJson<'_>) -> String {
    let what = match raw.kind() {
        JsonType::Object => {
            let mut members = raw.members();
            let mut names: Vec<String> = members.by_ref().take(KEYS_NAMED_MAX).map(|m| key_named(m.key)).collect();
            match members.count() {
                0 => {}
                more => names.push(format!("and {more} more")),
            }
            if names.is_empty() {
                return "the object there is empty".to_owned();
            }
            return format!("the keys there are: {}", names.join(", "));
        }
        JsonType::Array => "an array",
        JsonType::Text => "a string",
        JsonType::Number => "a number",
        JsonType::Bool => "true or false",
        JsonType::Null => "null",
    };
    format!("what is there is {what}")
}

fn key_named(key: RawJson<'_>) -> String {
    key.scalar().unwrap_or_default().chars().filter(|c| !c.is_control()).take(KEY_NAMED_CHARS_MAX).collect()
}

/// The first value at the end of the steps that is not `null`, if there is one.
pub(super) fn below<'a>(root: RawJson<'a>, steps: &[PathSegment]) -> Option<RawJson<'a>> {
    if steps.contains(&PathSegment::Each) {
        return walk(root, steps).ok()?.into_iter().find(|value| !value.is_null());
    }
    // Without branches there is nothing to collect.
    let end = steps.iter().try_fold(root, |raw, step| match step {
        PathSegment::Key(key) => raw.member(key),
        PathSegment::Index(index) => element(raw, *index),
        PathSegment::Each => None,
    });
    end.filter(|value| !value.is_null())
}

/// The same through texts that hold JSON, as JSON text. It ends, as what a text holds is shorter than the text.
pub(super) fn below_texts(root: RawJson<'_>, steps: &[PathSegment]) -> Option<String> {
    let (text, mut rest) = text_on_the_way(root, steps)?;
    let mut held = text.scalar()?.into_owned();
    loop {
        let root = RawJson::parse(held.trim()).ok()?;
        if let Some(found) = below(root, rest) {
            return Some(found.text().to_owned());
        }
        let (text, left) = text_on_the_way(root, rest)?;
        (held, rest) = (text.scalar()?.into_owned(), left);
    }
}

/// The page with JSON in the places of the texts on the way of steps that hold it, one after the other.
pub(super) fn unfolded(root: RawJson<'_>, steps: &[PathSegment], texts_max: usize) -> Option<String> {
    let mut page: Option<String> = None;
    for _ in 0..texts_max {
        let here = page.as_deref().unwrap_or(root.text());
        let next = RawJson::parse(here).ok().and_then(|root| with_text_unfolded(root, steps));
        let Some(next) = next else { break };
        page = Some(next);
    }
    page
}

/// The page with JSON in the place of the first text on the way of steps, where that holds some.
fn with_text_unfolded(root: RawJson<'_>, steps: &[PathSegment]) -> Option<String> {
    let (text, _) = text_on_the_way(root, steps)?;
    let held = text.scalar()?;
    let held = RawJson::parse(held.trim()).ok()?;
    let at = text.offset_in(root);
    let (before, after) = (root.text().get(..at)?, root.text().get(at + text.text().len()..)?);
    Some([before, held.text(), after].concat())
}

/// The first text that stands in the way of steps, and the steps that are left there.
fn text_on_the_way<'a, 's>(root: RawJson<'a>, steps: &'s [PathSegment]) -> Option<(RawJson<'a>, &'s [PathSegment])> {
    let mut here = root;
    for (at, step) in steps.iter().enumerate() {
        if here.kind() == JsonType::Text {
            return Some((here, steps.get(at..)?));
        }
        here = match step {
            PathSegment::Key(key) => here.member(key)?,
            PathSegment::Index(index) => element(here, *index)?,
            PathSegment::Each => return None,
        };
    }
    None
}

/// Follows steps; the error tells what stands where the way ends.
pub(super) fn walk<'a>(root: RawJson<'a>, steps: &[PathSegment]) -> Result<Vec<RawJson<'a>>, String> {
    let mut here = vec![root];
    let mut null_met = false;
    for step in steps {
        let mut next = Vec::new();
        let mut container_met = false;
        for raw in &here {
            null_met |= raw.is_null();
            match step {
                PathSegment::Key(key) => next.extend(raw.member(key)),
                PathSegment::Index(index) => next.extend(element(*raw, *index)),
                PathSegment::Each => {
                    container_met |= matches!(raw.kind(), JsonType::Array | JsonType::Object);
                    next.extend(raw.elements());
                    next.extend(raw.members().map(|member| member.value));
                }
            }
        }
        if next.is_empty() && !null_met && !container_met && !here.is_empty() {
            return Err(here.first().map_or_else(String::new, |raw| what_is_there(*raw)));
        }
        here = next;
    }
    Ok(here)
}

pub(super) fn element(raw: RawJson<'_>, index: i64) -> Option<RawJson<'_>> {
    let from_end = usize::try_from(index.unsigned_abs()).ok()?;
    if index >= 0 {
        return raw.elements().nth(from_end);
    }
    let count = raw.elements().count();
    raw.elements().nth(count.checked_sub(from_end)?)
}

/// Whether a filter keeps an element. It is asked of that alone, so that one element is a tree of values at a time.
pub(super) fn keeps(filter: &JpQuery, element: RawJson<'_>) -> Result<bool, String> {
    let element: serde_json::Value = serde_json::from_str(element.text()).map_err(|error| error.to_string())?;
    let list = serde_json::Value::Array(vec![element]);
    let found = js_path_process(filter, &list).map_err(|error| error.to_string())?;
    Ok(!found.is_empty())
}

/// Asks jsonpath-rust for the places, and takes the raw slices that stand there.
pub(super) fn ask<'a>(root: RawJson<'a>, query: &JpQuery) -> Result<Vec<RawJson<'a>>, String> {
    let value: serde_json::Value = serde_json::from_str(root.text()).map_err(|error| error.to_string())?;
    let found = js_path_process(query, &value).map_err(|error| error.to_string())?;
    let mut children = Children::default();
    found
        .into_iter()
        .map(|node| {
            let place = node.path();
            steps_of_place(&place)
                .and_then(|steps| steps.into_iter().try_fold(root, |raw, step| children.child(root, raw, step)))
                .ok_or_else(|| "one of its places can't be named".to_owned())
        })
        .collect()
}

/// The children of each container that was entered, so that none is read twice.
#[derive(Default)]
struct Children<'a>(HashMap<usize, HashMap<PathSegment, RawJson<'a>>>);

impl<'a> Children<'a> {
    fn child(&mut self, root: RawJson<'a>, raw: RawJson<'a>, step: PathSegment) -> Option<RawJson<'a>> {
        let children = self.0.entry(raw.offset_in(root)).or_insert_with(|| {
            let elements = raw.elements().zip(0..).map(|(element, index)| (PathSegment::Index(index), element));
            // Of equal keys serde_json keeps the last, so it is the one that jsonpath-rust has seen.
            let members = raw.members().filter_map(|m| Some((PathSegment::Key(m.key.scalar()?.into_owned()), m.value)));
            elements.chain(members).collect()
        });
        children.get(&step).copied()
    }
}

/// A normalized path (`$['data'][0]`) as steps.
fn steps_of_place(place: &str) -> Option<Vec<PathSegment>> {
    let parts = parts(place.strip_prefix('$')?, true).ok()?;
    parts
        .into_iter()
        .map(|part| match part {
            Part::Segment(step) => Some(step),
            Part::Descend | Part::Bracket(_) => None,
        })
        .collect()
}
