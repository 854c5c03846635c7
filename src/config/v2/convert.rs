//! A config with `apis` written in our own language, for whoever wants to go on with that.
//!
//! Nothing is filled in: `${…}` and placeholders stay as they are. Secrets that are written out become variables, each
//! with a comment, so that the new file holds none.

use std::fmt::Write;
use std::path::Path;

use reqwest::Url;
use serde_yaml::{Mapping, Value};

use super::super::api::Entries;
use super::super::diagnostic::{Diagnostic, Diagnostics};
use super::super::document::{Document, Spot};
use super::super::locate;
use super::super::place::List;
use super::super::reader::Reader;
use super::super::secrets::carries_credentials;
use super::super::syntax;
use super::super::value::{Found, key_text, written};
use super::super::written::plain;
use super::LISTENER_URL_DEFAULT;
use super::names::TakenNames;
use crate::plan::OutputName;
use crate::text::{Secret, is_secret_name};

/// What the new file begins with.
const HEAD: &str = "# Written by `logzio-api-fetcher convert`. The names keep the state: leave them as they are.\n";

/// A config in our own language, and what is wrong with the entries that are left out.
///
/// # Errors
/// Where the text is no YAML, or has no `apis`.
pub fn converted(text: &str, directory: &Path) -> Result<(String, Diagnostics), Box<Diagnostics>> {
    let only = |error| Box::new(Diagnostics { errors: vec![error], warnings: Vec::new() });
    let text = text.trim_start_matches('\u{feff}');
    let document = Document::parse(text).map_err(|error| only(syntax::diagnostic(&error, text)))?;
    let Some(Value::Sequence(items)) = document.root.get(List::Apis.key()) else {
        let hint = "files with `auth_apis` and `oauth_apis` need no conversion";
        return Err(only(Diagnostic::of_file("there are no `apis` in it".to_owned(), None, hint)));
    };
    let reader = Reader::new(&document);
    let entries = Entries::new(&reader, Some(directory));
    let own = [List::AuthApis, List::OauthApis];
    let mut lists: Vec<(List, String)> = Vec::new();
    let mut taken = Vec::new();
    for (list, entry) in own.into_iter().flat_map(|list| own_entries(&document.root, list)) {
        taken.extend(entry.get("name").and_then(written));
        lists.push((list, in_list(entry.clone(), "")));
    }
    let mut names = TakenNames::with(taken);
    let mut secrets = Secrets::default();
    for (at, value) in items.iter().enumerate() {
        let found = Found { reader: &reader, spot: Spot::default().key(List::Apis.key()).index(at), value };
        let entry = entries.in_own_words(&found, &mut names).filter(|_| !reader.has_errors_in(&found.spot));
        if let Some(entry) = entry {
            let (map, comments) = without_secrets(entry.map, &mut secrets);
            lists.push((entry.list, in_list(map, &comments)));
        }
    }
    let mut out = HEAD.to_owned();
    out.push_str(&top(&document.root, &mut secrets, &names));
    for list in own {
        let written: Vec<&String> = lists.iter().filter(|(of, _)| *of == list).map(|(_, text)| text).collect();
        if !written.is_empty() {
            let _ = write!(out, "\n{}:\n{}", list.key(), written.iter().map(|text| text.as_str()).collect::<String>());
        }
    }
    Ok((out, locate::diagnostics(reader.into_notes())))
}

/// The entries of a list of our own language.
fn own_entries(root: &Value, list: List) -> Vec<(List, Mapping)> {
    let items = root.get(list.key()).and_then(Value::as_sequence).into_iter().flatten();
    items.filter_map(|item| Some((list, item.as_mapping()?.clone()))).collect()
}

/// What stands at the top of the file beside the lists.
fn top(root: &Value, secrets: &mut Secrets, names: &TakenNames) -> String {
    let pairs = root.as_mapping().into_iter().flatten();
    let kept = pairs.filter(|(key, _)| {
        let name = key_text(key).unwrap_or_default();
        !name.starts_with("x-") && List::ALL.iter().all(|list| list.key() != name)
    });
    secrets.prefix = "LOGZIO".to_owned();
    let mut top: Mapping = kept.map(|(key, value)| (key.clone(), plain(value, 0))).collect();
    let (outputs, is_list): (Vec<&mut Value>, bool) = match top.get_mut("logzio") {
        Some(Value::Sequence(outputs)) => (outputs.iter_mut().collect(), true),
        Some(output) => (vec![output], false),
        None => (Vec::new(), false),
    };
    for output in outputs {
        complete(output, is_list, names);
        if let Some(token) = output.get_mut("token") {
            secrets.hide(token, "logzio.token", "TOKEN");
        }
    }
    let text = serde_yaml::to_string(&top).unwrap_or_default();
    secrets.take_comments() + &text
}

/// An output with all that one of our own language has.
fn complete(output: &mut Value, is_list: bool, names: &TakenNames) {
    let Value::Mapping(map) = output else { return };
    let text = |map: &Mapping, key: &str| map.get(key).and_then(written);
    if text(map, "url").is_none() {
        map.insert("url".into(), LISTENER_URL_DEFAULT.into());
    }
    if !is_list {
        return;
    }
    let url = text(map, "url").and_then(|url| Url::parse(url.trim()).ok());
    if let (None, Some(url), Some(token)) = (text(map, "name"), url, text(map, "token")) {
        let name = OutputName::derived(&url, &Secret::new(token));
        map.insert("name".into(), name.as_str().into());
    }
    let own: Vec<String> = match map.get("inputs") {
        Some(Value::Sequence(inputs)) => inputs.iter().filter_map(written).collect(),
        Some(one) => written(one).into_iter().collect(),
        None => Vec::new(),
    };
    let called = |name: String| {
        let called: Vec<String> = names.called(&name).map(str::to_owned).collect();
        if called.is_empty() { vec![name] } else { called }
    };
    let inputs: Vec<Value> = own.into_iter().flat_map(called).map(Value::from).collect();
    map.insert("inputs".into(), inputs.into());
}

/// An entry as an item of a list, with comments before it.
fn in_list(map: Mapping, comments: &str) -> String {
    let text = serde_yaml::to_string(&plain(&in_order(map).into(), 0)).unwrap_or_default();
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

/// An entry with variables in the places of its secrets, and what is said of it.
fn without_secrets(mut map: Mapping, secrets: &mut Secrets) -> (Mapping, String) {
    secrets.prefix = variable(&map.get("name").and_then(written).unwrap_or_default());
    if let Some(key) = map.get_mut("credentials").and_then(|credentials| credentials.get_mut("key")) {
        secrets.hide(key, "credentials.key", "KEY");
    }
    for section in ["http_request", "next_request", "token_http_request"] {
        let Some(Value::Mapping(request)) = map.get_mut(section) else { continue };
        if let Some(Value::Mapping(headers)) = request.get_mut("headers") {
            for (header, value) in headers.iter_mut() {
                let header = key_text(header).unwrap_or_default();
                if carries_credentials(&header) {
                    secrets.hide(value, &format!("{section}.headers.{header}"), &variable(&header));
                }
            }
        }
        match request.get_mut("body") {
            Some(body @ Value::String(_)) => secrets.hide_in_form(body, &format!("{section}.body")),
            Some(Value::Mapping(fields)) => {
                for (field, value) in fields.iter_mut() {
                    let field = key_text(field).unwrap_or_default();
                    if is_secret_name(&field) && value.is_string() {
                        secrets.hide(value, &format!("{section}.body.{field}"), &variable(&field));
                    }
                }
            }
            _ => {}
        }
    }
    let advice = advice(&map);
    (map, secrets.take_comments() + &advice)
}

/// Moves secrets into variables.
#[derive(Default)]
struct Secrets {
    /// What the names of the variables begin with.
    prefix: String,
    comments: String,
    /// The names of the variables, and what they stand for.
    used: Vec<(String, String)>,
}

impl Secrets {
    /// What was said of those since the last time.
    fn take_comments(&mut self) -> String {
        std::mem::take(&mut self.comments)
    }

    /// Puts a variable in the place of a text, behind the scheme of a header.
    fn hide(&mut self, value: &mut Value, path: &str, last: &str) {
        let Some(text) = written(value) else { return };
        let (scheme, secret) = match text.split_once(' ') {
            Some((scheme, secret)) if matches!(scheme, "Bearer" | "Basic" | "Token") => (format!("{scheme} "), secret),
            _ => (String::new(), text.as_str()),
        };
        if let Some(variable) = self.variable(secret, path, last) {
            *value = format!("{scheme}{variable}").into();
        }
    }

    /// Puts variables in the places of the secret fields of a form.
    fn hide_in_form(&mut self, body: &mut Value, path: &str) {
        let Some(text) = written(body) else { return };
        let fields = text.split('&').map(|field| match field.split_once('=') {
            Some((name, value)) if is_secret_name(name.trim()) && !value.trim().is_empty() => {
                match self.variable(value.trim(), &format!("{path} ({})", name.trim()), &variable(name)) {
                    Some(variable) => format!("{name}={variable}"),
                    None => field.to_owned(),
                }
            }
            _ => field.to_owned(),
        });
        let fields: Vec<String> = fields.collect();
        *body = fields.join("&").into();
    }

    /// The variable for a secret, unless it is none that is written out.
    fn variable(&mut self, secret: &str, path: &str, last: &str) -> Option<String> {
        if secret.contains("${") || secret.contains('{') || secret.is_empty() {
            return None;
        }
        let wanted = format!("{}_{last}", self.prefix);
        let numbered = (2..).map(|number| format!("{wanted}_{number}"));
        let is_other = |name: &String| self.used.iter().any(|(used, of)| used == name && of != secret);
        let name = std::iter::once(wanted.clone()).chain(numbered.take(self.used.len())).find(|name| !is_other(name));
        let name = name.unwrap_or(wanted);
        self.used.push((name.clone(), secret.to_owned()));
        let line = format!("# {path}: set the environment variable {name} to the secret that stood here.\n");
        if !self.comments.contains(&line) {
            self.comments.push_str(&line);
        }
        Some(format!("${{{name}}}"))
    }
}

/// A name as one of an environment variable.
fn variable(name: &str) -> String {
    let letters = name.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    let name: String = letters.collect();
    match name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        true => format!("API_{name}"),
        false => name,
    }
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
