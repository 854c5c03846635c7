//! A config with `apis` written in our own language, for whoever wants to go on with that.
//!
//! Nothing is filled in but names: `${…}` and placeholders stay as they are. Secrets that are written out become variables,
//! each with a comment, so that the new file holds none.

use std::fmt::Write;

use reqwest::Url;
use serde_yaml::{Mapping, Value};

use super::super::api::Entries;
use super::super::catalog;
use super::super::diagnostic::{Diagnostic, Diagnostics};
use super::super::document::{Document, Spot};
use super::super::expand::Environment;
use super::super::keys;
use super::super::locate;
use super::super::place::{List, Place};
use super::super::reader::Reader;
use super::super::section::Section;
use super::super::syntax;
use super::super::value::{Found, key_text, written};
use super::super::written::plain;
use super::LISTENER_URL_DEFAULT;
use super::hide::Hider;
use super::names::TakenNames;
use crate::plan::OutputName;

/// What the new file begins with.
const HEAD: &str = "# Written by `logzio-api-fetcher convert`. The names keep the state: leave them as they are.\n";

/// What is said of a name that isn't known.
const NAME_UNKNOWN: &str = "a `${…}` or a placeholder in what it is made of isn't filled in here. Write the name that the log shows for it, or \
                            convert where it can: by another name it would begin anew.";

/// A config in our own language, and what is wrong with the entries that are left out. What stands in it is what was written; only
/// names are what they are once `${…}` is filled in, as they keep the state.
///
/// # Errors
/// Where the text is no YAML, or has no `apis`.
pub fn converted(text: &str, around: &Environment<'_>) -> Result<(String, Diagnostics), Box<Diagnostics>> {
    let only = |error| Box::new(Diagnostics { errors: vec![error], warnings: Vec::new() });
    let text = text.trim_start_matches('\u{feff}');
    let mut document = Document::parse(text).map_err(|error| only(syntax::diagnostic(&error, text)))?;
    let mut root = std::mem::take(&mut document.root);
    if !matches!(root.get(List::Apis.key()), Some(Value::Sequence(_))) {
        let hint = "files with `auth_apis` and `oauth_apis` need no conversion";
        return Err(only(Diagnostic::of_file("there are no `apis` in it".to_owned(), None, hint)));
    }
    let mut filled = root.clone();
    let (reader, as_filled) = (Reader::new(&document), Reader::new(&document));
    as_filled.fill_in(&mut filled, around);
    let mut hider = Hider::default();
    hider.mark(&mut root, 0);
    let own = [List::AuthApis, List::OauthApis];
    let taken = own.into_iter().flat_map(|list| own_entries(&filled, list));
    let taken: Vec<String> =
        taken.filter_map(|(_, entry)| Some(written(entry.get("name")?)?.trim().to_owned())).collect();
    let names = FilledNames::of(&filled, &Entries::new(&as_filled, Some(around.directory)), taken);
    let mut lists: Vec<(List, String)> = Vec::new();
    for (list, mut map) in own.into_iter().flat_map(|list| own_entries(&root, list)) {
        let named =
            catalog::types_of(list).find(|named| Some(&named.name) == map.get("type").and_then(written).as_ref());
        let called = map.get("name").and_then(written).unwrap_or_default();
        let comments = hider.entry(&mut map, &called, Place::of(list), named);
        lists.push((list, in_list(map, &comments, &hider)));
    }
    let entries = Entries::new(&reader, Some(around.directory));
    let items = root.get(List::Apis.key()).and_then(Value::as_sequence).into_iter().flatten();
    for (at, value) in items.enumerate() {
        let found = Found { reader: &reader, spot: Spot::default().key(List::Apis.key()).index(at), value };
        let entry = entries.in_own_words(&found, &mut TakenNames::default());
        if let Some(mut entry) = entry.filter(|_| !reader.has_errors_in(&found.spot)) {
            let comments = names.put(at, &mut entry.map);
            let called = entry.map.get("name").and_then(written).unwrap_or_else(|| format!("API_{}", at + 1));
            let hidden = hider.entry(&mut entry.map, &called, Place::of(entry.list), None);
            let comments = comments + &hidden + &advice(&entry.map);
            lists.push((entry.list, in_list(entry.map, &comments, &hider)));
        }
    }
    let mut out = HEAD.to_owned();
    out.push_str(&top(&root, &filled, &as_filled, &mut hider, &names));
    for list in own {
        let written: String = lists.iter().filter(|(of, _)| *of == list).map(|(_, text)| text.as_str()).collect();
        if !written.is_empty() {
            let _ = write!(out, "\n{}:\n{written}", list.key());
        }
    }
    Ok((out, noted(reader, as_filled)))
}

/// What is wrong with the entries, and what is said of their names.
fn noted(reader: Reader<'_>, as_filled: Reader<'_>) -> Diagnostics {
    let mut noted = locate::diagnostics(reader.into_notes());
    let of_names = locate::diagnostics(as_filled.into_notes()).warnings;
    noted.warnings.extend(of_names.into_iter().filter(|warning| warning.path.ends_with(".name")));
    noted
}

/// The entries of a list of our own language.
fn own_entries(root: &Value, list: List) -> Vec<(List, Mapping)> {
    let items = root.get(list.key()).and_then(Value::as_sequence).into_iter().flatten();
    items.filter_map(|item| Some((list, item.as_mapping()?.clone()))).collect()
}

/// The names that the entries have once `${…}` is filled in.
struct FilledNames {
    /// By the place in the list; nothing where what they are made of can't be filled in.
    names: Vec<Option<String>>,
    /// Those of our own lists.
    own: Vec<String>,
    called: TakenNames,
}

impl FilledNames {
    fn of(filled: &Value, entries: &Entries<'_>, own: Vec<String>) -> Self {
        let mut called = TakenNames::with(own.iter().cloned());
        let items = filled.get(List::Apis.key()).and_then(Value::as_sequence).into_iter().flatten();
        let names = items.enumerate().map(|(at, value)| {
            let spot = Spot::default().key(List::Apis.key()).index(at);
            let entry = entries.in_own_words(&Found { reader: entries.reader, spot, value }, &mut called);
            entry.filter(|entry| entry.is_name_known).and_then(|entry| written(entry.map.get("name")?))
        });
        Self { names: names.collect(), own, called }
    }

    /// Puts the name into an entry, or says why there is none.
    fn put(&self, at: usize, map: &mut Mapping) -> String {
        match self.names.get(at).cloned().flatten() {
            Some(name) => {
                map.insert("name".into(), literally(&name));
                String::new()
            }
            None => {
                map.shift_remove("name");
                format!("# name: {NAME_UNKNOWN}\n")
            }
        }
    }

    /// The names that one in `inputs` means.
    fn meant(&self, name: &str) -> Vec<String> {
        let mut meant: Vec<String> = self.called.called(name).map(str::to_owned).collect();
        if !meant.is_empty() && self.own.iter().any(|own| own == name) && !meant.iter().any(|known| known == name) {
            meant.insert(0, name.to_owned());
        }
        meant
    }
}

/// A text that is filled in already: what looks like `${…}` in it is text.
fn literally(text: &str) -> Value {
    text.replace("${", "$${").into()
}

/// What stands at the top of the file beside the lists.
fn top(root: &Value, filled: &Value, as_filled: &Reader<'_>, hider: &mut Hider, names: &FilledNames) -> String {
    let pairs = root.as_mapping().into_iter().flatten();
    let kept = pairs.filter(|(key, _)| {
        let name = key_text(key).unwrap_or_default();
        !name.starts_with("x-") && List::ALL.iter().all(|list| list.key() != name)
    });
    let mut top: Mapping = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    let mut comments = String::new();
    let spot = Spot::default().key("logzio");
    match (top.get_mut("logzio"), filled.get("logzio")) {
        (Some(Value::Sequence(outputs)), Some(Value::Sequence(filled))) => {
            for (at, (output, filled)) in outputs.iter_mut().zip(filled).enumerate() {
                let (Value::Mapping(output), Value::Mapping(map)) = (output, filled) else { continue };
                default_url(output);
                let filled = Section::new(as_filled, map, spot.index(at), Place::Output);
                if !name_output(output, &filled) {
                    let _ = writeln!(comments, "# logzio[{at}].name: {NAME_UNKNOWN}");
                }
                name_inputs(output, map, names);
            }
        }
        (Some(Value::Mapping(output)), _) => default_url(output),
        _ => {}
    }
    let hidden = hider.top(&mut top);
    let mut top = Value::Mapping(top);
    hider.unmark(&mut top);
    let text = serde_yaml::to_string(&plain(&top, 0)).unwrap_or_default();
    comments + &hidden + &text
}

/// The listener where none is named.
fn default_url(output: &mut Mapping) {
    if output.get("url").and_then(written).is_none_or(|url| url.trim().is_empty()) {
        output.insert("url".into(), LISTENER_URL_DEFAULT.into());
    }
}

/// Gives an output of a list its name, by which it keeps its state; tells whether it is known.
fn name_output(output: &mut Mapping, filled: &Section<'_>) -> bool {
    if output.get("name").is_some_and(|name| !name.is_null()) {
        return true;
    }
    let is_poisoned = |key| filled.reader.is_poisoned(&filled.spot.key(key));
    if is_poisoned("url") || is_poisoned("token") {
        return false;
    }
    let url = match filled.has(&keys::LISTENER_URL) {
        true => filled.read(&keys::LISTENER_URL),
        false => Url::parse(LISTENER_URL_DEFAULT).ok(),
    };
    if let (Some(url), Some(token)) = (url, filled.read(&keys::LISTENER_TOKEN)) {
        output.insert("name".into(), literally(OutputName::derived(&url, &token).as_str()));
    }
    true
}

/// Calls the APIs of an output by the names that they have; what names none stays as it is.
fn name_inputs(output: &mut Mapping, filled: &Mapping, names: &FilledNames) {
    let items = |map: &Mapping| match map.get("inputs") {
        Some(Value::Sequence(inputs)) => inputs.clone(),
        Some(one) if !one.is_null() => vec![one.clone()],
        _ => Vec::new(),
    };
    let inputs = items(output).into_iter().zip(items(filled)).flat_map(|(input, filled)| {
        let meant = written(&filled).map(|name| names.meant(name.trim())).unwrap_or_default();
        if meant.is_empty() { vec![input] } else { meant.iter().map(|name| literally(name)).collect() }
    });
    let inputs: Vec<Value> = inputs.collect();
    output.insert("inputs".into(), inputs.into());
}

/// An entry as an item of a list, with comments before it.
fn in_list(map: Mapping, comments: &str, hider: &Hider) -> String {
    let mut entry = Value::Mapping(in_order(map));
    hider.unmark(&mut entry);
    let text = serde_yaml::to_string(&plain(&entry, 0)).unwrap_or_default();
    let mut out = String::new();
    for comment in comments.lines() {
        let _ = writeln!(out, "  {comment}");
    }
    for (at, line) in text.lines().enumerate() {
        let _ = writeln!(out, "{}{line}", if at == 0 { "  - " } else { "    " });
    }
    out
}

/// The keys of an entry in the order in which people write them.
fn in_order(mut map: Mapping) -> Mapping {
    let first = ["type", "name", "credentials", "token_http_request", "http_request", "filters", "start_date_name"];
    let mut ordered = Mapping::new();
    for key in first.iter().chain(&["next_request", "next_iteration", "json_paths", "response", "hosts", "settings"]) {
        if let Some(value) = map.shift_remove(*key) {
            ordered.insert((*key).into(), value);
        }
    }
    ordered.extend(map);
    ordered
}

/// What the user may add, in comments.
fn advice(map: &Mapping) -> String {
    let has = |section: &str, key: &str| map.get(section).is_some_and(|section| section.get(key).is_some());
    let hints = [
        (
            !has("json_paths", "id"),
            "json_paths.id: where a record holds its id; without it whole records are compared.",
        ),
        (
            !has("json_paths", "data_date"),
            "json_paths.data_date: where a record holds its date; without it nobody knows how far behind the API is.",
        ),
        (
            !has("settings", "overlap"),
            "settings.overlap: how far to look back for records that the API lists late, like 15m.",
        ),
    ];
    hints.iter().filter(|(is_absent, _)| *is_absent).map(|(_, hint)| format!("# You may add {hint}\n")).collect()
}
