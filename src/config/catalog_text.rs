//! The types of the catalog in words: what `catalog` prints, and docs/catalog.md. Pure.
//!
//! Enters: the types. Leaves: text. What always holds: the entry to copy is valid once its values are the user's own, and the
//! general entry means the same; tests compile both.

use std::fmt::Write;

use serde_yaml::{Mapping, Value};

use super::catalog::{NamedType, Parameter, named_types};
use super::keys::KEYS;
use super::merge;
use super::place::{List, Place};
use super::reference;
use super::value::{key_text, written};

/// What a parameter's name stands behind in a text.
const MARK: &str = "{parameter.";
/// The pause between iterations in entries to copy, in minutes.
const MINUTES: u64 = 5;
/// What is said of a type that nobody tried.
const NEVER_TRIED: &str = "Never tried on the real service: it follows the vendor's documentation. Run `probe` first.";

/// The head of docs/catalog.md.
const PAGE_HEAD: &str = "\
# The catalog

Services that are built in. Each type is a file in [`catalog`](../catalog), which fills in a general entry: the URL, the pages, where
records and dates stand. You add the parameters. Any key of [config.md](config.md) can stand beside them, and wins.

`logzio-api-fetcher catalog list` prints the types of your build, `logzio-api-fetcher catalog show TYPE` all that is known of one, with
the general entry that it stands for.

Most types were never tried on the real service, and say so. They follow what the vendor documents. Run `probe` before you rely on one,
and [tell us](../CONTRIBUTING.md#add-a-type) what you find. A type that is not here can be added without Rust.

";

/// All types, one a line.
#[must_use]
pub fn list() -> String {
    let rows = named_types().map(|named| [named.name.clone(), lists(named, ""), about(named)]);
    columns(&rows.collect::<Vec<_>>(), "")
}

/// All that is known of a type.
#[must_use]
pub fn show(named: &NamedType) -> String {
    let mut text = format!("{}: {}\n{}\n", named.name, about(named), tried(named));
    let rows = named.parameters.iter().map(|own| [own.name.clone(), in_words(own)]);
    if !named.parameters.is_empty() {
        let _ = write!(text, "\nParameters\n{}", columns(&rows.collect::<Vec<_>>(), "  "));
    }
    for list in &named.lists {
        let _ = write!(text, "\nWhat to write\n\n{}", entry_to_copy(named, *list));
        let _ = write!(text, "\nThe general entry that it stands for\n\n{}", general_entry(named, *list));
    }
    let rows = quirks(named).map(|(name, quirk)| [name, quirk]);
    if !named.quirks.is_empty() {
        let _ = write!(text, "\nGood to know\n{}", columns(&rows.collect::<Vec<_>>(), "  "));
    }
    if !named.sources.is_empty() {
        let _ = write!(text, "\nSources\n  {}\n", named.sources.join("\n  "));
    }
    text.truncate(text.trim_end().len());
    text
}

/// docs/catalog.md.
#[must_use]
pub fn page() -> String {
    let mut text = PAGE_HEAD.to_owned();
    text.push_str("| type | service | collects | list |\n|---|---|---|---|\n");
    for named in named_types() {
        let (name, title, collects) = (&named.name, &named.title, &named.collects);
        let _ = writeln!(text, "| [`{name}`](#{name}) | {title} | {collects} | {} |", lists(named, "`"));
    }
    named_types().for_each(|named| section(&mut text, named));
    text
}

/// A type's part of docs/catalog.md.
fn section(text: &mut String, named: &NamedType) {
    let _ = writeln!(text, "\n## {}\n\n{}. {}\n", named.name, about(named), tried(named));
    if !named.parameters.is_empty() {
        text.push_str("| parameter | meaning |\n|---|---|\n");
    }
    for parameter in &named.parameters {
        let _ = writeln!(text, "| `{}` | {} |", parameter.name, in_words(parameter));
    }
    for list in &named.lists {
        let _ = writeln!(text, "\n```yaml\n{}```\n", entry_to_copy(named, *list));
    }
    for (name, quirk) in quirks(named) {
        let _ = writeln!(text, "- {name}: {quirk}");
    }
    let sources: Vec<String> = named.sources.iter().map(|source| format!("<{source}>")).collect();
    let _ = writeln!(text, "\nSources: {}", sources.join(", "));
}

fn about(named: &NamedType) -> String {
    match named.collects.as_str() {
        "" => named.title.clone(),
        collects => format!("{}, {collects}", named.title),
    }
}

fn lists(named: &NamedType, quote: &str) -> String {
    let names: Vec<String> = named.lists.iter().map(|list| format!("{quote}{}{quote}", list.key())).collect();
    names.join(", ")
}

fn tried(named: &NamedType) -> String {
    match named.tried.as_deref() {
        None | Some("never") => NEVER_TRIED.to_owned(),
        Some(date) => format!("Tried on the real service: {date}."),
    }
}

/// What a parameter means, what it may look like, and what holds without it.
fn in_words(parameter: &Parameter) -> String {
    let mut text = parameter.meaning.clone();
    let default = parameter.default.as_ref().and_then(written);
    if !parameter.secret && default.as_deref() != Some(&parameter.example) {
        let _ = write!(text, " Like `{}`.", parameter.example);
    }
    match default {
        Some(default) => {
            let _ = write!(text, " Without it `{default}`.");
        }
        None if parameter.optional => text.push_str(" Optional."),
        None => {}
    }
    if parameter.secret {
        text.push_str(" A secret.");
    }
    text
}

fn quirks(named: &NamedType) -> impl Iterator<Item = (String, String)> + '_ {
    named.quirks.iter().filter_map(|(name, quirk)| Some((key_text(name)?.replace('_', " "), written(quirk)?)))
}

/// What the user writes, ready to copy: with the examples, and variables for what is secret.
#[must_use]
pub fn entry_to_copy(named: &NamedType, list: List) -> String {
    in_list(list, own_entry(named))
}

/// The general entry that a type stands for, with the examples filled in.
#[must_use]
pub fn general_entry(named: &NamedType, list: List) -> String {
    let mut preset: Mapping = mapping(&named.entry, named);
    let own = own_entry(named);
    if let Some(clause) = odata_clause(named, &merge::merged(&own, &preset, Place::of(list))) {
        preset = with_clause(preset, clause);
    }
    let mut entry = merge::merged(&own, &preset, Place::of(list));
    named.own_parameters().for_each(|parameter| drop(entry.shift_remove(parameter.name.as_str())));
    entry.insert("type".into(), "general".into());
    in_list(list, in_order(entry))
}

/// An entry with its keys in the order of docs/config.md.
fn in_order(entry: Mapping) -> Mapping {
    let place = |key: &Value| {
        let name = key_text(key).unwrap_or_default();
        let name = reference::canonical(&name).into_owned();
        KEYS.iter().position(|known| known.path.split('.').next() == Some(&name))
    };
    let mut pairs: Vec<(Value, Value)> = entry.into_iter().collect();
    pairs.sort_by_key(|(key, _)| place(key));
    pairs.into_iter().collect()
}

fn in_list(list: List, entry: Mapping) -> String {
    let top = Mapping::from_iter([(list.key().into(), Value::Sequence(vec![entry.into()]))]);
    serde_yaml::to_string(&top).unwrap_or_default()
}

fn own_entry(named: &NamedType) -> Mapping {
    let mut entry = Mapping::new();
    entry.insert("type".into(), named.name.clone().into());
    entry.insert("name".into(), named.name.replace('_', " ").into());
    for parameter in named.parameters.iter().filter(|parameter| !parameter.may_be_absent()) {
        put(&mut entry, &parameter.name, shown(parameter, named).into());
    }
    put(&mut entry, "settings.time_interval", MINUTES.into());
    entry
}

/// An example; of a secret the variable that may hold it.
fn shown(parameter: &Parameter, named: &NamedType) -> String {
    let last = parameter.name.rsplit('.').next().unwrap_or_default();
    match parameter.secret {
        true => format!("${{{}_{}}}", named.name.to_uppercase(), last.to_uppercase()),
        false => parameter.example.clone(),
    }
}

/// Puts a value at a way like `credentials.id`.
fn put(entry: &mut Mapping, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(entry.insert(path.into(), value)),
        Some((first, rest)) => {
            let below = entry.entry(first.into()).or_insert_with(|| Mapping::new().into());
            if let Value::Mapping(below) = below {
                put(below, rest, value);
            }
        }
    }
}

fn mapping(preset: &Mapping, named: &NamedType) -> Mapping {
    preset.iter().filter_map(|(key, value)| Some((key.clone(), filled_in(value, named)?))).collect()
}

/// A value of the type's entry with what stands for its parameters; `None` where it holds one that may be absent.
fn filled_in(value: &Value, named: &NamedType) -> Option<Value> {
    Some(match value {
        Value::String(text) => filled_text(text, named)?,
        Value::Mapping(below) => mapping(below, named).into(),
        Value::Sequence(items) => items.iter().filter_map(|item| filled_in(item, named)).collect(),
        other => other.clone(),
    })
}

fn filled_text(text: &str, named: &NamedType) -> Option<Value> {
    let of = |name: &str| {
        let parameter = named.parameters.iter().find(|parameter| parameter.name == name)?;
        match &parameter.default {
            Some(default) => Some(default.clone()),
            None => (!parameter.optional).then(|| shown(parameter, named).into()),
        }
    };
    if let Some(name) =
        text.strip_prefix(MARK).and_then(|rest| rest.strip_suffix('}')).filter(|name| !name.contains('{'))
    {
        return of(name);
    }
    let mut pieces = text.split(MARK);
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once('}')?;
        filled.push_str(&written(&of(name)?)?);
        filled.push_str(rest);
    }
    Some(filled.into())
}

/// What an OData type compares in `$filter`.
fn odata_clause(named: &NamedType, entry: &Mapping) -> Option<String> {
    let date = entry.get("json_paths")?.get("data_date").and_then(written)?;
    let own = entry.get("filters").and_then(|filters| filters.get("$filter")).and_then(written);
    let and = own.map(|own| format!(" and {own}")).unwrap_or_default();
    named.odata.then(|| format!("{} ge {{start_date}}{and}", date.replace('.', "/")))
}

/// An entry with a clause as its `$filter`, and its other filters as OData calls them.
fn with_clause(mut entry: Mapping, clause: String) -> Mapping {
    let mut filters = Mapping::from_iter([("$filter".into(), clause.into())]);
    let own = entry.get("filters").and_then(Value::as_mapping).cloned().unwrap_or_default();
    for (name, value) in own.iter().filter_map(|(name, value)| Some((key_text(name)?, value))) {
        let name = if name.starts_with('$') { name } else { format!("${name}") };
        filters.entry(name.into()).or_insert(value.clone());
    }
    entry.insert("filters".into(), filters.into());
    entry
}

/// Rows with their columns one below the other.
fn columns<const N: usize>(rows: &[[String; N]], indent: &str) -> String {
    let width =
        |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(at, cell)| format!("{cell:<width$}", width = width(at)));
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "{indent}{}", line.trim_end());
    }
    text
}
