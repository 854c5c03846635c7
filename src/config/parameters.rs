//! The parameters of a type: what the user writes for them is put into the type's entry, as values and never as YAML.
//!
//! `{parameter.NAME}` as a whole value stands for what the user wrote, whatever it is; within a text, for its text. What
//! holds one that is absent is left out. An error in what came of a parameter is one of the line where the user wrote it.

use serde_yaml::{Mapping, Value};

use super::catalog::{NamedType, Parameter};
use super::document::Spot;
use super::reader::Reader;
use super::reference;
use super::value::{Found, key_text};

/// What a parameter's name stands behind in a text.
const MARK: &str = "{parameter.";

/// The parameters of one entry.
struct Parameters<'v> {
    reader: &'v Reader<'v>,
    own: &'v Mapping,
    entry: &'v Spot,
    of_type: &'v [Parameter],
}

/// A text with its parameters filled in, and the same as it may be shown.
struct Filled {
    text: String,
    masked: String,
    from: Spot,
}

/// The entry of a type with the user's parameters in it.
pub(super) fn filled_in(reader: &Reader<'_>, own: &Mapping, entry: &Spot, named: &NamedType) -> Mapping {
    put_into(reader, own, entry, named, &named.entry)
}

/// Another entry of the type with the user's parameters in it.
pub(super) fn put_into(
    reader: &Reader<'_>,
    own: &Mapping,
    entry: &Spot,
    named: &NamedType,
    preset: &Mapping,
) -> Mapping {
    let parameters = Parameters { reader, own, entry, of_type: &named.parameters };
    parameters.require();
    match named.parameters.is_empty() {
        true => preset.clone(),
        false => parameters.mapping(preset, &[]),
    }
}

impl Parameters<'_> {
    /// Notes those that must be there and aren't, and those that do nothing; what is secret is hidden.
    fn require(&self) {
        for parameter in self.of_type.iter().filter(|parameter| parameter.is_own()) {
            match self.written(parameter) {
                Some(value) if parameter.secret => {
                    let found = self.found(parameter, value);
                    self.reader.hide(&found.spot, found.as_is());
                }
                Some(value) if parameter.unused => {
                    self.found(parameter, value).warn("it does nothing", parameter.meaning.trim_end_matches('.'));
                }
                None if !parameter.may_be_absent() => {
                    let hint = parameter.meaning.trim_end_matches('.').to_owned();
                    self.reader.error(&self.spot(parameter), "a required key is missing", Some(hint));
                }
                _ => {}
            }
        }
    }

    /// What the user wrote for it.
    fn written(&self, parameter: &Parameter) -> Option<&Value> {
        let mut keys = parameter.name.split('.');
        let first = self.own.get(keys.next()?)?;
        keys.try_fold(first, |at, key| at.get(key)).filter(|value| !value.is_null())
    }

    /// What it stands for.
    fn value<'p>(&'p self, parameter: &'p Parameter) -> Option<&'p Value> {
        self.written(parameter).or(parameter.default.as_ref())
    }

    fn spot(&self, parameter: &Parameter) -> Spot {
        parameter.name.split('.').fold(self.entry.clone(), |spot, key| spot.key(key))
    }

    fn found<'f>(&'f self, parameter: &Parameter, value: &'f Value) -> Found<'f> {
        Found { reader: self.reader, spot: self.spot(parameter), value }
    }

    fn named(&self, name: &str) -> Option<&Parameter> {
        self.of_type.iter().find(|parameter| parameter.name == name)
    }

    fn mapping(&self, preset: &Mapping, way: &[String]) -> Mapping {
        let filled = preset.iter().filter_map(|(key, value)| {
            let name = key_text(key)?;
            let way: Vec<String> = way.iter().cloned().chain([name]).collect();
            Some((key.clone(), self.put_in(value, &way)?))
        });
        filled.collect()
    }

    /// A value of the type's entry; `None` where it holds a parameter that is absent.
    fn put_in(&self, value: &Value, way: &[String]) -> Option<Value> {
        match value {
            Value::String(text) if text.contains(MARK) => self.text(text, way),
            Value::Mapping(map) => Some(self.mapping(map, way).into()),
            Value::Sequence(items) => Some(items.iter().filter_map(|item| self.put_in(item, way)).collect()),
            other => Some(other.clone()),
        }
    }

    fn text(&self, text: &str, way: &[String]) -> Option<Value> {
        let whole = text.strip_prefix(MARK).and_then(|rest| rest.strip_suffix('}')).and_then(|name| self.named(name));
        if let Some(parameter) = whole {
            let value = self.value(parameter)?;
            let from = self.spot(parameter);
            let masked = self.reader.masked(&from);
            self.note_origin(way, &from, masked);
            return Some(value.clone());
        }
        let filled = self.spliced(text)?;
        let masked = (filled.masked != filled.text).then_some(filled.masked);
        self.note_origin(way, &filled.from, masked);
        Some(filled.text.into())
    }

    fn spliced(&self, text: &str) -> Option<Filled> {
        let mut pieces = text.split(MARK);
        let first = pieces.next().unwrap_or_default().to_owned();
        let mut filled = Filled { masked: first.clone(), text: first, from: self.entry.clone() };
        for piece in pieces {
            let (name, rest) = piece.split_once('}')?;
            let parameter = self.named(name)?;
            let found = self.found(parameter, self.value(parameter)?);
            let value = found.text()?;
            let masked = self.reader.masked(&found.spot).unwrap_or_else(|| value.clone());
            filled.masked.push_str(before_slash(&masked, rest));
            filled.text.push_str(before_slash(&value, rest));
            if self.written(parameter).is_some() {
                filled.from = found.spot;
            }
            filled.text.push_str(rest);
            filled.masked.push_str(rest);
        }
        Some(filled)
    }

    /// What is wrong with a value that came of a parameter is wrong where the user wrote that; not so where the user wrote the
    /// value itself.
    fn note_origin(&self, way: &[String], from: &Spot, masked: Option<String>) {
        let Some((first, rest)) = way.split_first() else { return };
        let mut names = vec![first.as_str()];
        reference::aliases_of(first).for_each(|alias| names.push(alias));
        for first in names {
            let below = rest.iter().try_fold(self.own.get(first), |at, name| Some(at?.get(name.as_str())));
            if below.flatten().is_some_and(|value| !value.is_null()) {
                continue;
            }
            let spot = rest.iter().fold(self.entry.key(first), |spot, name| spot.key(name));
            self.reader.came_from(&spot, from, masked.clone());
        }
    }
}

/// A value without the slash at its end, where the text behind it brings one: of a base URL either is written.
fn before_slash<'t>(value: &'t str, rest: &str) -> &'t str {
    if rest.starts_with('/') { value.strip_suffix('/').unwrap_or(value) } else { value }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::document::Document;
    use crate::config::expand::Environment;
    use crate::config::reference::Place;
    use crate::config::{catalog, locate, merge};

    const TYPE: &str = "
title: Any tenant
lists: [auth_apis]
parameters:
  - {name: tenant, meaning: The tenant., example: acme}
  - {name: page, meaning: The size of a page., optional: true, example: '100'}
  - {name: pass, meaning: The password., secret: true, example: abc}
  - {name: base, meaning: The path., default: /all, example: /some/}
  - {name: settings.days_back_fetch, meaning: How far., optional: true, example: '5'}
entry:
  http_request:
    url: 'https://{parameter.tenant}.example{parameter.base}/v1'
    headers: {X-Pass: 'Key {parameter.pass}', X-Days: '{parameter.settings.days_back_fetch}'}
  filters: {limit: '{parameter.page}', kinds: [a, '{parameter.page}'], fixed: 1}
";

    /// What becomes of an entry, and what is noted of it.
    #[track_caller]
    fn compiled(section: &str, entry: &str, look: impl Fn(&Mapping, &Reader<'_>)) -> Vec<String> {
        let named = catalog::parse("tenant", TYPE).expect("a type");
        let text = format!("auth_apis:\n-\n{entry}");
        let mut document = Document::parse(&text).expect("YAML");
        let mut root = std::mem::take(&mut document.root);
        let reader = Reader::new(&document);
        let variable = |_: &str| Some("filled".to_owned());
        reader.fill_in(&mut root, &Environment { variable: &variable, directory: Path::new(".") });
        let own = root["auth_apis"][0].as_mapping().expect("an entry");
        let spot = Spot::default().key("auth_apis").index(0);
        let preset = filled_in(&reader, own, &spot, &named);
        look(&merge::merged(own, &preset, Place::Auth), &reader);
        reader.error(&spot.key(section).key("url"), "wrong", Some("here".to_owned()));
        locate::diagnostics(reader.into_notes()).errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn values_are_put_in_and_an_error_is_one_of_the_users_line() {
        let errors = compiled("http_request", "  tenant: 'a: b'\n  page: 0100\n  pass: p\n", |entry, _| {
            assert_eq!(entry["http_request"]["url"], "https://a: b.example/all/v1");
            let expected = crate::config::value::written(&entry["filters"]["limit"]);
            assert_eq!(expected.as_deref(), Some("0100"));
        });
        assert_eq!(errors, ["line 3: auth_apis[0].tenant: wrong (here)"]);
    }

    #[test]
    fn what_holds_an_absent_parameter_is_left_out_and_a_required_one_is_missing() {
        let errors = compiled("http_request", "  pass: p\n", |entry, _| {
            assert_eq!(entry["filters"], serde_yaml::from_str::<Value>("{kinds: [a], fixed: 1}").expect("YAML"));
        });
        let missing = "line 3: auth_apis[0].tenant: a required key is missing (The tenant)";
        assert!(errors.contains(&missing.to_owned()), "{errors:?}");
    }

    #[test]
    fn a_default_holds_where_nothing_is_written_and_general_keys_can_be_put_in_too() {
        let written = "  tenant: t\n  pass: p\n  base: /mine/\n  settings: {days_back_fetch: 3}\n";
        compiled("http_request", written, |entry, _| {
            assert_eq!(entry["http_request"]["url"], "https://t.example/mine/v1");
            assert_eq!(entry["http_request"]["headers"]["X-Days"], 3);
        });
        compiled("http_request", "  tenant: t\n  pass: p\n", |entry, _| {
            assert_eq!(entry["http_request"]["url"], "https://t.example/all/v1");
            assert!(entry["http_request"]["headers"].get("X-Days").is_none());
        });
    }

    #[test]
    fn a_value_of_the_users_own_is_no_matter_of_the_parameter() {
        let errors =
            compiled("data_http_request", "  tenant: t\n  pass: p\n  data_http_request: {url: x}\n", |entry, _| {
                assert_eq!(entry["data_http_request"]["url"], "x");
            });
        assert_eq!(errors, ["line 5: auth_apis[0].data_http_request.url: wrong (here)"]);
    }

    #[test]
    fn what_is_secret_is_hidden_wherever_it_is_put() {
        compiled("http_request", "  tenant: t\n  pass: p\n", |_, reader| {
            let spot = Spot::default().key("auth_apis").index(0);
            assert_eq!(reader.filled(&spot).len(), 1);
            let header = spot.key("http_request").key("headers").key("X-Pass");
            assert_eq!(reader.masked(&header).as_deref(), Some("Key ***"));
        });
    }
}
