//! Secrets that are written out in a config, moved into variables of the environment, and what is said of each.
//!
//! What always holds: filled in again, each text is what it was. References to the environment stand as marks meanwhile, so that
//! they are told from text.

use std::collections::HashMap;

use serde_yaml::{Mapping, Value};

use super::super::catalog::NamedType;
use super::super::place::Place;
use super::super::reference;
use super::super::secrets::carries_credentials;
use super::super::value::{json, key_text, written};
use super::literal::{self, Literal, MARK};

/// The shortest secret that is looked for in other texts of its entry.
const SOUGHT_CHARS_MIN: usize = 8;
/// How deep an entry is looked into.
const DEPTH_MAX: usize = 64;
/// The longest name of a key that is told of.
const NAMED_CHARS_MAX: usize = 60;

/// Moves secrets into variables.
#[derive(Default)]
pub(super) struct Hider {
    /// What the names of the variables begin with.
    prefix: String,
    comments: String,
    /// The variables, and what they stand for.
    used: HashMap<String, String>,
    /// The references that the file has already.
    references: Vec<String>,
    /// The places in that list.
    numbers: HashMap<String, usize>,
    /// The secrets of the entry, and the marks in their places.
    moved: Vec<(String, String)>,
}

impl Hider {
    /// Puts marks in the places of a document's references to the environment.
    pub(super) fn mark(&mut self, value: &mut Value, depth: usize) {
        match value {
            Value::String(text) if text.contains("${") => *text = self.marked(text),
            Value::Sequence(items) if depth < DEPTH_MAX => items.iter_mut().for_each(|item| self.mark(item, depth + 1)),
            Value::Mapping(map) if depth < DEPTH_MAX => {
                map.values_mut().for_each(|value| self.mark(value, depth + 1));
            }
            _ => {}
        }
    }

    fn marked(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, from)) = rest.split_once("${") {
            out.push_str(before);
            rest = match from.split_once('}') {
                Some((name, after)) if !before.ends_with('$') => {
                    self.used.insert(name.to_owned(), format!("${{{name}}}"));
                    out.push_str(&self.mark_of(format!("${{{name}}}")));
                    after
                }
                _ => {
                    out.push_str("${");
                    from
                }
            };
        }
        out + rest
    }

    fn mark_of(&mut self, reference: String) -> String {
        let next = self.references.len();
        let number = *self.numbers.entry(reference.clone()).or_insert(next);
        if number == next {
            self.references.push(reference);
        }
        let [open, close] = MARK;
        format!("{open}{number}{close}")
    }

    /// Puts the references back.
    pub(super) fn unmark(&self, value: &mut Value) {
        match value {
            Value::String(text) if text.contains(MARK) => {
                for range in literal::marks(text).into_iter().rev() {
                    let number = text.get(range.clone()).unwrap_or_default().trim_matches(MARK).parse::<usize>();
                    if let Some(reference) = number.ok().and_then(|number| self.references.get(number)) {
                        text.replace_range(range, reference);
                    }
                }
            }
            Value::Sequence(items) => items.iter_mut().for_each(|item| self.unmark(item)),
            Value::Mapping(map) => map.values_mut().for_each(|value| self.unmark(value)),
            _ => {}
        }
    }

    /// Hides what is secret in an entry of a list, and gives what is to be said of it.
    pub(super) fn entry(&mut self, map: &mut Mapping, called: &str, place: Place, named: Option<&NamedType>) -> String {
        self.prefix = variable(called);
        self.section(map, place, "", "", named);
        self.end(map)
    }

    /// Hides what is secret at the top of the file.
    pub(super) fn top(&mut self, map: &mut Mapping) -> String {
        self.prefix = "LOGZIO".to_owned();
        let outputs = match map.get_mut("logzio") {
            Some(Value::Sequence(outputs)) => outputs.iter_mut().collect(),
            output => output.into_iter().collect::<Vec<_>>(),
        };
        for output in outputs.into_iter().filter_map(Value::as_mapping_mut) {
            self.section(output, Place::Output, "", "logzio.", None);
        }
        self.prefix = "CONFIG".to_owned();
        self.section(map, Place::Top, "", "", None);
        self.end(map)
    }

    /// Hides the secrets wherever else they stand, and ends the entry.
    fn end(&mut self, map: &mut Mapping) -> String {
        let mut moved = std::mem::take(&mut self.moved);
        moved.retain(|(secret, _)| secret.chars().count() >= SOUGHT_CHARS_MIN);
        moved.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
        map.values_mut().for_each(|value| replace(value, &moved, 0));
        std::mem::take(&mut self.comments)
    }

    /// A mapping whose keys are in the table, or below one: `within` is the way there, `path` what is put before it.
    fn section(&mut self, map: &mut Mapping, place: Place, within: &str, path: &str, named: Option<&NamedType>) {
        let is_json_login = is_json(map.get("headers"));
        let known = reference::known(place, within);
        for (key, value) in map.iter_mut() {
            let name = key_text(key).unwrap_or_default();
            let way = if within.is_empty() { name.clone() } else { format!("{within}.{name}") };
            let shown = format!("{path}{way}");
            let parameter = named.and_then(|named| named.own_parameters().find(|own| own.name == name));
            let key_info = reference::key_at(place, &way);
            match (name.as_str(), value) {
                (_, value) if parameter.is_some_and(|own| own.secret) => self.below(value, &name, &shown, true, 0),
                ("steps", Value::Sequence(steps)) if within.is_empty() => {
                    for (at, step) in steps.iter_mut().enumerate() {
                        if let Value::Mapping(step) = step {
                            self.section(step, Place::Step, "", &format!("{shown}[{at}]."), None);
                        }
                    }
                }
                ("body", value) if key_info.is_some() => {
                    let is_form = within == "token_http_request" && !is_json_login;
                    self.body(value, &shown, is_form);
                }
                ("custom_fields", value) if key_info.is_some() => {
                    self.fields(value, &shown, 0);
                    as_numbers(value);
                }
                ("headers" | "filters", value) if key_info.is_some() => self.named(value, &shown, 0),
                ("url" | "append", Value::String(text)) if key_info.is_some() => {
                    *text = self.hidden(text, &literal::in_url(text), &shown);
                }
                (_, value) if key_info.is_some_and(|key| key.traits.is_secret && carries_credentials(&name)) => {
                    self.below(value, &name, &shown, true, 0);
                }
                _ if key_info.is_some() => {}
                (_, Value::Mapping(below)) if known.contains(&name.as_str()) => {
                    self.section(below, place, &way, path, None);
                }
                (_, value) => self.named_value(value, &name, &shown, 0),
            }
        }
    }

    /// Names and values of the user's own.
    fn named(&mut self, value: &mut Value, path: &str, depth: usize) {
        match value {
            Value::Mapping(map) => {
                for (key, value) in map.iter_mut() {
                    let name = key_text(key).unwrap_or_default();
                    self.named_value(value, &name, &format!("{path}.{name}"), depth + 1);
                }
            }
            Value::Sequence(items) if depth < DEPTH_MAX => {
                for (at, item) in items.iter_mut().enumerate() {
                    self.named(item, &format!("{path}[{at}]"), depth + 1);
                }
            }
            Value::String(text) if literal::scheme_end(text).is_some() => {
                let name = last_key(path).to_owned();
                *text = self.hidden(text, &literal::whole(text, &name), path);
            }
            Value::String(text) if text.contains("://") => *text = self.hidden(text, &literal::in_url(text), path),
            _ => {}
        }
    }

    fn named_value(&mut self, value: &mut Value, name: &str, path: &str, depth: usize) {
        match carries_credentials(name) {
            true => self.below(value, name, path, true, depth),
            false if depth < DEPTH_MAX => self.named(value, path, depth),
            false => {}
        }
    }

    /// All texts below a name that carries credentials, and its numbers, unless they must stay numbers.
    fn below(&mut self, value: &mut Value, name: &str, path: &str, has_numbers: bool, depth: usize) {
        match value {
            Value::Mapping(map) if depth < DEPTH_MAX => {
                for (key, value) in map.iter_mut() {
                    let below = format!("{path}.{}", key_text(key).unwrap_or_default());
                    self.below(value, name, &below, has_numbers, depth + 1);
                }
            }
            Value::Sequence(items) if depth < DEPTH_MAX => {
                items.iter_mut().for_each(|item| self.below(item, name, path, has_numbers, depth + 1));
            }
            Value::String(text) => *text = self.hidden(text, &literal::whole(text, name), path),
            Value::Tagged(tagged) if has_numbers && !tagged.value.is_bool() => {
                let text = written(value).unwrap_or_default();
                *value = self.hidden(&text, &literal::whole(&text, name), path).into();
            }
            _ => {}
        }
    }

    /// Fields that are added to records: a number stays one.
    fn fields(&mut self, value: &mut Value, path: &str, depth: usize) {
        let Value::Mapping(map) = value else { return };
        for (key, value) in map.iter_mut() {
            let name = key_text(key).unwrap_or_default();
            match carries_credentials(&name) {
                true => self.below(value, &name, &format!("{path}.{name}"), false, depth),
                false if depth < DEPTH_MAX => self.fields(value, &format!("{path}.{name}"), depth + 1),
                false => {}
            }
        }
    }

    /// A body. One that holds a number that is secret becomes JSON text, as only there a variable can be a number.
    fn body(&mut self, value: &mut Value, path: &str, is_form: bool) {
        match value {
            Value::String(text) => {
                *text = self.hidden(text, &literal::in_body(text), path);
            }
            value if is_form => self.named(value, path, 0),
            value if holds_secret_number(value, false, 0) => {
                let Some(json) = json(value) else { return };
                let text = json.to_string();
                *value = self.hidden(&text, &literal::in_json(&text), path).into();
            }
            value => {
                self.named(value, path, 0);
                as_numbers(value);
            }
        }
    }

    /// A text with marks in these places. Blanks around a secret stay, and so do marks within.
    fn hidden(&mut self, text: &str, found: &[Literal], path: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for literal in found {
            let inside = text.get(literal.range.clone()).unwrap_or_default();
            if literal::is_hollow(inside) || literal.range.start < at {
                continue;
            }
            out.push_str(text.get(at..literal.range.start).unwrap_or_default());
            let is_named = last_key(path) == literal.name;
            let path = if is_named { path.to_owned() } else { format!("{path} ({})", literal.name) };
            let mut from = 0;
            for mark in literal::marks(inside) {
                out.push_str(&self.moved(inside.get(from..mark.start).unwrap_or_default(), &path, &literal.name));
                out.push_str(inside.get(mark.clone()).unwrap_or_default());
                from = mark.end;
            }
            out.push_str(&self.moved(inside.get(from..).unwrap_or_default(), &path, &literal.name));
            at = literal.range.end;
        }
        out + text.get(at..).unwrap_or_default()
    }

    /// The mark for a secret, with the blanks around it.
    fn moved(&mut self, text: &str, path: &str, name: &str) -> String {
        let secret = text.trim();
        let Some((before, after)) = text.split_once(secret).filter(|_| !secret.is_empty()) else {
            return text.to_owned();
        };
        let wanted = format!("{}_{}", self.prefix, variable(name));
        let numbered = (2..).map(|number| format!("{wanted}_{number}"));
        let is_free = |name: &String| self.used.get(name).is_none_or(|of| of == secret);
        let free = std::iter::once(wanted.clone()).chain(numbered.take(self.used.len())).find(is_free);
        let name = free.unwrap_or(wanted);
        self.used.insert(name.clone(), secret.to_owned());
        let notes = [("$${", "${ for each $${"), ("{'{'}", "{'{'} for each {")];
        let notes = notes.iter().filter(|(holds, _)| secret.contains(holds)).map(|(_, note)| format!(", with {note}"));
        let path: String = path.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let line = format!(
            "# {path}: set the environment variable {name} to the secret that stood here{}.\n",
            notes.collect::<String>()
        );
        if !self.comments.contains(&line) {
            self.comments.push_str(&line);
        }
        let mark = self.mark_of(format!("${{{name}}}"));
        self.moved.push((secret.to_owned(), mark.clone()));
        format!("{before}{mark}{after}")
    }
}

/// Puts marks in the places of secrets. A `$` before one would make it no reference.
fn replace(value: &mut Value, moved: &[(String, String)], depth: usize) {
    match value {
        Value::String(text) => {
            for (secret, mark) in moved.iter().filter(|(secret, _)| text.contains(secret.as_str())).collect::<Vec<_>>()
            {
                if !text.contains(&format!("${secret}")) {
                    *text = text.replace(secret, mark);
                }
            }
        }
        Value::Sequence(items) if depth < DEPTH_MAX => {
            items.iter_mut().for_each(|item| replace(item, moved, depth + 1))
        }
        Value::Mapping(map) if depth < DEPTH_MAX => {
            map.values_mut().for_each(|value| replace(value, moved, depth + 1));
        }
        _ => {}
    }
}

/// Numbers as such, however they are written: what becomes JSON has no other.
fn as_numbers(value: &mut Value) {
    match value {
        Value::Tagged(tagged) => *value = std::mem::take(&mut tagged.value),
        Value::Sequence(items) => items.iter_mut().for_each(as_numbers),
        Value::Mapping(map) => map.values_mut().for_each(as_numbers),
        _ => {}
    }
}

/// The last key of a way, without places in lists.
fn last_key(path: &str) -> &str {
    let last = path.rsplit('.').next().unwrap_or_default();
    last.split('[').next().unwrap_or_default()
}

/// Whether headers say that a body is JSON.
fn is_json(headers: Option<&Value>) -> bool {
    let headers = headers.and_then(Value::as_mapping).into_iter().flatten();
    let name = |key: &Value| key_text(key).unwrap_or_default().trim().to_ascii_lowercase();
    headers
        .filter(|(key, _)| name(key) == "content-type")
        .any(|(_, value)| written(value).unwrap_or_default().to_ascii_lowercase().contains("json"))
}

/// Whether a number stands below a name that carries credentials.
fn holds_secret_number(value: &Value, is_secret: bool, depth: usize) -> bool {
    match value {
        _ if depth > DEPTH_MAX => false,
        Value::Tagged(tagged) => is_secret && !tagged.value.is_bool(),
        Value::Number(_) => is_secret,
        Value::Sequence(items) => items.iter().any(|item| holds_secret_number(item, is_secret, depth + 1)),
        Value::Mapping(map) => map.iter().any(|(key, value)| {
            let is_secret = is_secret || carries_credentials(&key_text(key).unwrap_or_default());
            holds_secret_number(value, is_secret, depth + 1)
        }),
        _ => false,
    }
}

/// A name as one of an environment variable.
fn variable(name: &str) -> String {
    let letters = name.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    let name: String = letters.take(NAMED_CHARS_MAX).collect();
    match name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        true => format!("API_{name}"),
        false => name,
    }
}
