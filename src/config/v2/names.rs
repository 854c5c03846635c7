//! How entries of `apis` are called: their names need not be there, nor be different, and each has a state of its own.
//!
//! A name belongs to the first entry that has it. A later one of the same name, and one without, is called by its URL, too:
//! another entry doesn't change how the first one is called, so its state stays.

use std::collections::HashSet;

use serde_yaml::{Mapping, Value};

use super::super::secrets::shown;
use super::super::value::written;
use super::draft::{EntryDraft, OldEntry};

/// The most entries of one name and URL.
const SAME_MAX: usize = 100_000;

/// The names that are taken.
#[derive(Default)]
pub(in crate::config) struct TakenNames {
    taken: HashSet<String>,
    /// What `inputs` may call an entry, and its name.
    called: Vec<(String, String)>,
}

impl TakenNames {
    /// With the names of other lists.
    pub(in crate::config) fn with(taken: impl IntoIterator<Item = String>) -> Self {
        Self { taken: taken.into_iter().collect(), called: Vec::new() }
    }

    /// The names of the entries that `inputs` call so: by name, or by the URL of one without a name.
    pub(in crate::config) fn called<'t>(&'t self, called: &'t str) -> impl Iterator<Item = &'t str> {
        self.called.iter().filter(move |(known, _)| known == called).map(|(_, name)| name.as_str())
    }

    /// Gives an entry its name. Tells whether it is known: where something in it can't be filled in, it takes none away from
    /// another entry.
    pub(super) fn name(&mut self, draft: &EntryDraft<'_>, map: &mut Mapping) -> bool {
        let old = draft.old;
        let url = map.get("http_request").and_then(|request| request.get("url")).and_then(written).unwrap_or_default();
        let spot = ["http_request", "url"].iter().fold(old.spot.clone(), |spot, name| spot.key(name));
        let shown_url = shown(&old.reader.masked(&spot).unwrap_or_else(|| url.clone()));
        let by_url = |name: &str| format!("{name} {shown_url}").trim().to_owned();
        let own = old.text("name");
        let wanted = match (old.text("state_key"), &own) {
            (Some(key), _) => key,
            (None, Some(name)) => name.clone(),
            (None, None) => by_url(&old.named.dialect.name),
        };
        let name = match own.is_some() && self.taken.contains(&wanted) {
            true => by_url(&wanted),
            false => wanted.clone(),
        };
        let numbered = (2..SAME_MAX).map(|number| format!("{name} {number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !self.taken.contains(name));
        let is_by_url = own.is_none() && !old.has("state_key") || name != wanted;
        let name = free.unwrap_or(name);
        if !is_known(old, is_by_url) {
            map.insert("name".into(), Value::from(name));
            return false;
        }
        if name != wanted {
            let hint = "give it a name of its own, or a `state_key`".to_owned();
            let what = format!("another API is called so, too: this one keeps its state as `{name}`");
            old.reader.warn(&old.spot_of("name"), what, Some(hint));
        }
        self.taken.insert(name.clone());
        let of_type = Some(old.named.dialect.name.clone()).filter(|name| !name.is_empty());
        let called = own.or(of_type).or_else(|| old.text(&old.data_key("url")));
        self.called.extend(called.map(|called| (called, name.clone())));
        map.insert("name".into(), Value::from(name));
        true
    }
}

/// Whether all is filled in that the name of an entry is made of.
fn is_known(old: &OldEntry<'_>, is_by_url: bool) -> bool {
    let url = old.named.entry.get("http_request").and_then(|request| request.get("url")).and_then(written);
    let url = url.unwrap_or_default();
    let is_in_url = |name: &str| url.contains(&format!("{{parameter.{name}}}"));
    let parameters = old.named.parameters.iter().map(|parameter| parameter.name.clone());
    let mut ways = vec!["state_key".to_owned()];
    if !old.has("state_key") {
        ways.push("name".to_owned());
    }
    if is_by_url {
        ways.push(old.data_key("url"));
        ways.extend(old.named.dialect.words.values().cloned());
        ways.extend(parameters.filter(|name| is_in_url(name)));
    }
    ways.iter().all(|way| !old.reader.is_poisoned(&old.spot_of(way)))
}
