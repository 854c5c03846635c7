//! The types of the config, as data: the files of the directory `catalog`, compiled in.
//!
//! A file says which lists its type belongs to, the general entry that it fills in, what the user adds, and where its
//! facts come from. Nothing here knows a type by its name. A file that can't be read is left out; a test reads them all.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chrono::TimeDelta;
use serde::Deserialize;
use serde_yaml::{Mapping, Value};

pub use super::place::List;
use super::span::duration;

/// Each file's name without its ending, and its text, in the order of the names.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/catalog.rs"));
/// Those of the types of `apis`.
const FILES_OF_APIS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/catalog_of_apis.rs"));
/// `initial_overlap` where the file says nothing.
const INITIAL_OVERLAP_DEFAULT: TimeDelta = TimeDelta::minutes(1);

/// A type of the config: a general entry with some keys filled in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedType {
    /// The `type` of the config: the name of its file.
    #[serde(skip)]
    pub name: String,
    /// The service, as its vendor calls it.
    pub title: String,
    /// What it collects, in a few words.
    #[serde(default)]
    pub collects: String,
    /// The lists of the config in which it may stand.
    pub lists: Vec<List>,
    /// What the user writes beside the general keys, or of them.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// The general entry that it fills in, in the language of the config.
    #[serde(default)]
    pub entry: Mapping,
    /// Whether the API speaks OData: the names of filters begin with `$`, and the start date is a clause of `$filter`.
    #[serde(default)]
    pub odata: bool,
    /// How far back an iteration looks until enough records are measured.
    #[serde(default = "initial_overlap_default", deserialize_with = "initial_overlap")]
    pub(super) initial_overlap: TimeDelta,
    /// What an entry of `apis` says in the words of its own dialect.
    #[serde(default)]
    pub(super) dialect: DialectRules,
    /// How `probe` knows the service.
    #[serde(default)]
    pub probe: Recognition,
    /// The vendor's pages that its facts come from.
    #[serde(default)]
    pub sources: Vec<String>,
    /// When it was last tried on the real service, or `never`.
    #[serde(default)]
    pub tried: Option<String>,
    /// What a user of the service should know: retention, delay, rate limit, whether a start date is inclusive.
    #[serde(default)]
    pub quirks: Mapping,
    /// An answer in the shape that the vendor documents, for tests to read and go on from.
    #[serde(default)]
    pub answer: Option<SampleAnswer>,
}

/// An answer in the shape that a vendor documents: made up, with records and a way to a next page.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleAnswer {
    /// Those of its headers that say something.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Its body: a text as it stands, anything else as JSON.
    pub body: Value,
    /// The answers to the type's steps, one each, about the first entry of the answer before.
    #[serde(default)]
    pub steps: Vec<SampleAnswer>,
}

impl SampleAnswer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.body {
            Value::String(text) => text.clone(),
            body => serde_json::to_string(body).unwrap_or_default(),
        }
    }
}

/// What the user writes for a type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// The way to its key in the entry, or a name of its own. It may stand in the type's entry as `{parameter.NAME}`.
    pub name: String,
    /// What it means.
    pub meaning: String,
    /// Whether it must never be shown.
    #[serde(default)]
    pub secret: bool,
    /// Whether it may be absent; what holds it is left out then.
    #[serde(default)]
    pub optional: bool,
    /// Whether it does nothing: whoever writes it is told so, and its meaning.
    #[serde(default)]
    pub unused: bool,
    /// What holds where it is absent.
    #[serde(default)]
    pub default: Option<Value>,
    /// What it may look like.
    pub example: String,
}

impl Parameter {
    /// Whether the user may leave it out.
    #[must_use]
    pub fn may_be_absent(&self) -> bool {
        self.optional || self.default.is_some()
    }
}

/// How the dialect of `apis` is understood in entries of a type.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DialectRules {
    /// The key that the request of the records stands below; it stands at the top of the entry where this is empty.
    pub(super) request: String,
    /// The type of the other lists that it is written as, where that isn't `general`.
    pub(super) own_type: Option<String>,
    /// What an entry without a name is called, before its URL.
    pub(super) name: String,
    /// Words in braces in its URLs, and the parameters that they stand for.
    pub(super) words: BTreeMap<String, String>,
    /// When its requests say where they begin.
    pub(super) window: ApisWindow,
    /// How many days back the first iteration begins where the entry says nothing.
    pub(super) days_back: Option<i64>,
    /// What is filled in where requests say where they begin.
    pub(super) start: Mapping,
    /// What is filled in where the entry has no `pagination`, and doesn't turn the pages off.
    pub(super) pages: Mapping,
    /// Where records have their date, by a part of the URL.
    pub(super) dates: Vec<(String, String)>,
    /// The parameters that name the key file of the login.
    pub(super) key_file: Option<KeyFileParameters>,
    /// The parameter with the list of the token's scopes.
    pub(super) scopes: Option<String>,
}

/// How a key file is named.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyFileParameters {
    /// By its name in the directory of the config.
    pub(super) name: String,
    /// By a path from the working directory, which is two above that of the config.
    pub(super) path: String,
}

/// When the requests of a type say where they begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ApisWindow {
    /// Never by the type.
    #[default]
    None,
    /// Always.
    Always,
    /// Where `days_back_fetch` is more than 0.
    DaysBack,
}

/// How `probe` knows a service.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recognition {
    /// Its hosts; a `*` stands for any text.
    pub hosts: Vec<String>,
    /// What is said of the type in a config that `probe` proposes.
    pub comment: String,
}

/// All types of `auth_apis` and `oauth_apis`, in the order of their names; those that stand in several lists last.
#[must_use]
pub fn types() -> &'static [NamedType] {
    static TYPES: LazyLock<Vec<NamedType>> = LazyLock::new(|| {
        let mut types: Vec<NamedType> = FILES.iter().filter_map(|(name, text)| parse(name, text).ok()).collect();
        types.sort_by_key(|named| named.lists.len() > 1);
        types
    });
    &TYPES
}

/// The types of `apis`, in the order of their names. Some have the name of another type of the other lists.
#[must_use]
pub fn types_of_apis() -> &'static [NamedType] {
    static TYPES: LazyLock<Vec<NamedType>> =
        LazyLock::new(|| FILES_OF_APIS.iter().filter_map(|(name, text)| parse(name, text).ok()).collect());
    &TYPES
}

/// The types of one list.
pub fn types_of(list: List) -> impl DoubleEndedIterator<Item = &'static NamedType> + Clone {
    let types = match list {
        List::AuthApis | List::OauthApis => types(),
        List::Apis => types_of_apis(),
    };
    types.iter().filter(move |named| named.lists.contains(&list))
}

/// The types that fill something in.
pub fn named_types() -> impl Iterator<Item = &'static NamedType> + Clone {
    types().iter().filter(|named| !named.entry.is_empty())
}

pub(super) fn parse(name: &str, text: &str) -> Result<NamedType, serde_yaml::Error> {
    let named: NamedType = serde_yaml::from_str(text)?;
    Ok(NamedType { name: name.to_owned(), ..named })
}

fn initial_overlap_default() -> TimeDelta {
    INITIAL_OVERLAP_DEFAULT
}

fn initial_overlap<'de, D: serde::Deserializer<'de>>(from: D) -> Result<TimeDelta, D::Error> {
    let text = String::deserialize(from)?;
    let span = duration(&text).map_err(serde::de::Error::custom)?;
    TimeDelta::from_std(span).map_err(serde::de::Error::custom)
}

impl NamedType {
    /// Whether it fills the key at a way like `json_paths.data` in.
    #[must_use]
    pub fn fills(&self, path: &str) -> bool {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        match (self.entry.get(first), rest) {
            (Some(Value::Mapping(section)), Some(key)) => section.get(key).is_some_and(|value| !value.is_null()),
            (Some(value), None) => !value.is_null(),
            _ => false,
        }
    }

    /// Whether its entry says somewhere where a window begins.
    #[must_use]
    pub fn says_start(&self) -> bool {
        fn holds(value: &Value) -> bool {
            match value {
                Value::String(text) => ["{start_date", "{cursor"].iter().any(|mark| text.contains(mark)),
                Value::Mapping(below) => below.values().any(holds),
                Value::Sequence(items) => items.iter().any(holds),
                _ => false,
            }
        }
        self.entry.values().any(holds)
    }

    /// Whether a host is one of the service.
    #[must_use]
    pub fn has_host(&self, host: &str) -> bool {
        self.probe.hosts.iter().any(|pattern| match pattern.split_once('*') {
            Some((before, after)) => host.strip_prefix(before).is_some_and(|rest| rest.ends_with(after)),
            None => host == pattern,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_catalog_is_read_and_says_what_its_facts_are() {
        assert_eq!((FILES.len(), FILES_OF_APIS.len()), (types().len(), types_of_apis().len()));
        for (name, text) in FILES.iter().chain(FILES_OF_APIS) {
            let named = parse(name, text).unwrap_or_else(|error| panic!("catalog/{name}.yaml: {error}"));
            assert!(!named.title.is_empty() && !named.lists.is_empty(), "{name}");
            let is_general = matches!(*name, "general" | "oauth" | "azure_general");
            assert_eq!(is_general, named.sources.is_empty() || named.tried.is_none(), "{name}: sources, tried");
            assert!(named.sources.iter().all(|source| source.starts_with("https://")), "{name}");
            assert!(
                named.parameters.iter().all(|parameter| !parameter.meaning.is_empty() && !parameter.example.is_empty()),
                "{name}"
            );
        }
    }

    #[test]
    fn a_star_in_a_host_stands_for_any_text() {
        let named =
            parse("x", "{title: X, lists: [auth_apis], probe: {hosts: ['api*.x.com', y.com], comment: X}}").unwrap();
        for (host, expected) in
            [("api.x.com", true), ("api.eu.x.com", true), ("apx.com", false), ("y.com", true), ("z.y.com", false)]
        {
            assert_eq!(named.has_host(host), expected, "{host}");
        }
    }
}
