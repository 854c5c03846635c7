//! What the table of keys says: which names are known where, what a key means, and the table of docs/config.md.

use std::borrow::Cow;
use std::fmt::Write;

use super::catalog::{NamedType, Parameter, types_of};
use super::keys::ALIASES;
pub use super::keys::apis::KEYS_OF_APIS;
pub use super::keys::{KEYS, KeyInfo, Need};
use super::place::List;
pub use super::place::Place;
use super::plain::{NOT_SHOWN, is_plain};
use super::value::written;

impl KeyInfo {
    /// What it means, in entries of one list or at the top of the file; with the types of the catalog where it is they that
    /// give it a meaning.
    #[must_use]
    pub fn meaning(&self, place: Place) -> String {
        let words = (self.words)(place);
        let parts = [Some(self.meaning.trim()).filter(|own| !own.is_empty()), words.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// What holds without it, in entries of one list or at the top of the file.
    #[must_use]
    pub fn without(&self, place: Place) -> String {
        let own: Cow<'static, str> = match self.need {
            Need::Required | Need::OfType => "required".into(),
            Need::Unless(what) => format!("required, unless {what}").into(),
            Need::Else(what) => return what.to_owned(),
        };
        match self.is_filled_in(place) {
            true => format!("{own}; some types fill it in"),
            false => own.into_owned(),
        }
    }

    /// Whether a type of the place's list fills it in.
    pub(super) fn is_filled_in(&self, place: Place) -> bool {
        place.list().is_some_and(|list| types_of(list).any(|named| named.fills(self.path)))
    }

    /// The way to it from the top of the file, or from the entry of an API.
    #[must_use]
    pub fn shown_path(&self) -> Cow<'static, str> {
        match self.place {
            Place::Output => format!("logzio.{}", self.path).into(),
            _ => self.path.into(),
        }
    }

    fn last(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or_default()
    }
}

impl NamedType {
    /// The parameters that are none of the general keys.
    pub fn own_parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().filter(|parameter| parameter.is_own())
    }
}

impl Parameter {
    /// Whether it is none of the general keys.
    #[must_use]
    pub fn is_own(&self) -> bool {
        !self.name.contains('.') && !is_anywhere(&self.name)
    }
}

/// The names that are known right below `within` (empty: the top).
pub(super) fn known(place: Place, within: &str) -> Vec<&'static str> {
    let within = canonical(within);
    let mut names: Vec<&'static str> = at(place)
        .filter_map(|key| match within.as_ref() {
            "" => Some(key.path),
            within => key.path.strip_prefix(within)?.strip_prefix('.'),
        })
        .filter_map(|rest| rest.split('.').next())
        .collect();
    if within.is_empty() && !matches!(place, Place::Top | Place::Step | Place::Output | Place::Apis) {
        names.extend(ALIASES.iter().map(|(alias, _)| *alias));
    }
    names.dedup();
    names
}

/// The other names of a first part of a way.
pub(super) fn aliases_of(first: &str) -> impl Iterator<Item = &'static str> {
    ALIASES.iter().filter(move |(_, name)| *name == first).map(|(alias, _)| *alias)
}

/// The names of the parameters that the types of a place have beside the keys.
pub(super) fn parameters(place: Place) -> impl Iterator<Item = &'static str> {
    let types = place.list().into_iter().flat_map(types_of);
    types.flat_map(|named| named.own_parameters().map(|parameter| parameter.name.as_str()))
}

/// Whether a blank at a way of an entry is no value.
pub(super) fn blank_is_absent(place: Place, path: &str) -> bool {
    key_at(place, path).is_some_and(|key| key.traits.blank_is_absent)
}

/// Whether null at a way of an entry is a value.
pub(super) fn null_counts(place: Place, path: &str) -> bool {
    key_at(place, path).is_some_and(|key| key.traits.null_counts)
}

/// Where else a name is known that is unknown where it stands.
pub(super) fn elsewhere(place: Place, name: &str) -> Option<Cow<'static, str>> {
    let other = match place {
        Place::Top => Some(Place::Output),
        Place::Output => Some(Place::Top),
        _ => None,
    };
    let keys = at(place).chain(other.into_iter().flat_map(at));
    keys.into_iter().find(|key| key.last() == name).map(KeyInfo::shown_path)
}

/// Whether a name is that of a key, wherever it stands.
#[must_use]
pub fn is_anywhere(name: &str) -> bool {
    all().any(|key| key.path.split('.').any(|part| part == name)) || ALIASES.iter().any(|(alias, _)| *alias == name)
}

/// A key as it may be shown: one that is known somewhere, or a name.
pub(super) fn shown_key(key: &str) -> &str {
    if is_anywhere(key) || is_plain(key) { key } else { NOT_SHOWN }
}

/// Whether the values of the keys of this name are numbers and words that may be shown where something is wrong with them.
#[must_use]
pub fn is_shown(name: &str) -> bool {
    all().any(|key| key.last() == name && key.traits.is_shown)
}

/// What the key at an error's path means, or the nearest one around it.
pub(super) fn meaning(path: &str) -> Option<String> {
    let entry = |list: &str| path.strip_prefix(list)?.split_once(']').map(|(_, rest)| rest.trim_start_matches('.'));
    let output = entry("logzio[").or_else(|| path.strip_prefix("logzio."));
    let list = List::ALL.into_iter().find_map(|list| Some((list, entry(&format!("{}[", list.key()))?)));
    let (place, within) = match (list, output) {
        (Some((list, rest)), _) => (Place::of(list), rest),
        (None, Some(rest)) => (Place::Output, rest),
        (None, None) => (Place::Top, path),
    };
    let step = within.strip_prefix("steps[").and_then(|rest| rest.split_once(']'));
    let (place, within) = step.map_or((place, within), |(_, rest)| (Place::Step, rest.trim_start_matches('.')));
    let mut way: &str = &canonical(within);
    loop {
        if let Some(key) = key_at(place, way) {
            return Some(key.meaning(place).trim_end_matches('.').to_owned());
        }
        way = way.rsplit_once('.')?.0;
    }
}

/// The key at a place, by any of its names.
pub(super) fn key_at(place: Place, within: &str) -> Option<&'static KeyInfo> {
    let within = canonical(within);
    at(place).find(|key| key.path == within)
}

/// Whether what stands below a key is the user's own.
pub(super) fn is_open(place: Place, within: &str) -> bool {
    key_at(place, within).is_some_and(|key| key.traits.is_open)
}

fn at(place: Place) -> impl Iterator<Item = &'static KeyInfo> {
    all().filter(move |key| key.place.each().contains(&place))
}

/// The keys of both dialects.
fn all() -> impl Iterator<Item = &'static KeyInfo> {
    KEYS.iter().chain(KEYS_OF_APIS)
}

/// A way with the names that the table has.
pub(super) fn canonical(within: &str) -> Cow<'_, str> {
    let (first, rest) = within.split_once('.').map_or((within, None), |(first, rest)| (first, Some(rest)));
    match (ALIASES.iter().find(|(alias, _)| *alias == first), rest) {
        (Some((_, name)), Some(rest)) => format!("{name}.{rest}").into(),
        (Some((_, name)), None) => (*name).into(),
        (None, _) => within.into(),
    }
}

/// The table of docs/config.md: one row per path, for both lists of APIs; those at the top of the file have rows of their
/// own.
#[must_use]
pub fn markdown() -> String {
    let mut text = "| key | where | meaning | default |\n|---|---|---|---|\n".to_owned();
    for (index, key) in KEYS.iter().enumerate() {
        // At the top of the file a key is another one than in an entry.
        let is_same = |other: &&KeyInfo| {
            other.path == key.path
                && other.place != Place::Step
                && (other.place == Place::Top) == (key.place == Place::Top)
                && (other.place == Place::Output) == (key.place == Place::Output)
        };
        if key.place == Place::Step || KEYS.iter().take(index).any(|before| is_same(&before)) {
            continue;
        }
        let same: Vec<(&KeyInfo, Place)> = KEYS
            .iter()
            .filter(is_same)
            .flat_map(|key| key.place.each().iter().map(move |place| (key, *place)))
            .collect();
        let of_each = |of: &dyn Fn(&KeyInfo, Place) -> String| match same.as_slice() {
            [(auth, here), (oauth, there)] => of_both(&of(auth, *here), &of(oauth, *there)),
            _ => same.first().map(|(key, place)| of(key, *place)).unwrap_or_default(),
        };
        let meaning = of_each(&|key, place| key.meaning(place));
        let without = of_each(&|key, place| key.without(place));
        let where_it_stands = match same.as_slice() {
            [(_, Place::Top)] => "top",
            [(_, Place::Output)] => "output",
            [(_, Place::Auth)] => "`auth_apis`",
            [(_, Place::OAuth)] => "`oauth_apis`",
            _ => "both",
        };
        let _ = writeln!(text, "| `{}` | {where_it_stands} | {meaning} | {without} |", key.shown_path());
    }
    text
}

/// The table of the keys of a step in docs/config.md.
#[must_use]
pub fn markdown_of_steps() -> String {
    let mut text = "| key of a step | meaning | default |\n|---|---|---|\n".to_owned();
    for key in at(Place::Step) {
        let (meaning, without) = (key.meaning(Place::Step), key.without(Place::Step));
        let _ = writeln!(text, "| `{}` | {meaning} | {without} |", key.path);
    }
    text
}

/// The table of the keys of `apis` in docs/config.md.
#[must_use]
pub fn markdown_of_apis() -> String {
    let mut text = "| key of an entry of `apis` | meaning | default |\n|---|---|---|\n".to_owned();
    for key in at(Place::Apis) {
        let (meaning, without) = (key.meaning(Place::Apis), key.without(Place::Apis));
        let _ = writeln!(text, "| `{}` | {meaning} | {without} |", key.path);
    }
    for named in types_of(List::Apis) {
        for parameter in named.own_parameters() {
            let (name, meaning) = (&parameter.name, &parameter.meaning);
            let default = match (parameter.default.as_ref().and_then(written), parameter.optional) {
                (Some(default), _) if !default.is_empty() => format!("`{default}`"),
                (Some(_), _) | (None, true) => "none".to_owned(),
                (None, false) => "required".to_owned(),
            };
            let _ = writeln!(text, "| `{name}` | `type: {}`: {meaning} | {default} |", named.name);
        }
    }
    text
}

/// What holds in both lists, where one text goes on from the other; else each by its list.
fn of_both(auth: &str, oauth: &str) -> String {
    let ends = |text: &str| text.ends_with('.');
    match (auth.starts_with(oauth), oauth.starts_with(auth)) {
        (true, _) if auth == oauth || ends(oauth) || auth.contains("; ") => auth.to_owned(),
        (_, true) if ends(auth) || oauth.contains("; ") => oauth.to_owned(),
        _ if ends(auth) => format!("`auth_apis`: {auth} `oauth_apis`: {oauth}"),
        _ => format!("`auth_apis`: {auth}; `oauth_apis`: {oauth}"),
    }
}
