//! The dialect of versions 0.2 to 2.1 of the original: the entries of `apis`.
//!
//! Enters: an entry as the user wrote it. Leaves: the same in our own words, which is compiled like any other. What always
//! holds: nothing behind this module knows the dialect, an error in what came of a value is one of the line where
//! the user wrote it, and what can't be said in our own words is an error, never left out in silence.

mod convert;
mod draft;
mod hide;
mod literal;
mod login;
mod names;
mod path;
mod position;
mod request;
mod text;

use serde_yaml::{Mapping, Value};

use super::api::Entries;
use super::catalog::NamedType;
use super::document::Spot;
use super::keys;
use super::merge;
use super::parameters;
use super::place::{List, Place};
use super::reader::Reader;
use super::reference;
use super::section::Section;
use super::value::{Found, is_blank, key_text};
use crate::plan::Plan;
pub use convert::converted;
use draft::{EntryDraft, OldEntry, put};
pub(super) use names::TakenNames;
use position::StartSource;

/// The listener where a file with `apis` names none.
pub(super) const LISTENER_URL_DEFAULT: &str = "https://listener.logz.io:8071";
/// The `type` of records that nothing else names.
const RECORD_TYPE: &str = "api-fetcher";
/// The pause between two iterations, in minutes, where the entry names none.
const INTERVAL_MINUTES: u64 = 1;

/// An entry in our own words.
pub(super) struct OwnEntry {
    /// The list that it belongs in.
    pub(super) list: List,
    /// With what its type fills in.
    pub(super) map: Mapping,
    pub(super) named: &'static NamedType,
    /// Whether all that its name is made of is filled in.
    pub(super) is_name_known: bool,
}

impl Entries<'_> {
    /// One entry of `apis`, and whether it is to be asked; nothing where it has an error, which is noted.
    pub(super) fn read_of_apis(&self, found: &Found<'_>, names: &mut TakenNames) -> Option<(Plan, bool)> {
        let entry = self.in_own_words(found, names)?;
        let place = Place::of(entry.list);
        let section = Section::new(self.reader, &entry.map, found.spot.clone(), place);
        let is_enabled = section.read_or(&keys::ENABLED, true);
        let plan = self.plan(&entry.map, found.spot.clone(), place, entry.named);
        Some((plan?, is_enabled.unwrap_or(true)))
    }

    /// An entry of `apis` in our own words.
    pub(super) fn in_own_words(&self, found: &Found<'_>, names: &mut TakenNames) -> Option<OwnEntry> {
        let Value::Mapping(own) = found.value else {
            return found.refuse("an API should be here, with keys and values", None);
        };
        let written = Section::new(self.reader, own, found.spot.clone(), Place::Apis);
        let named = self.named_type(&written, List::Apis)?;
        written.check_keys(Some(named));
        let old = OldEntry::of(&written, own, named);
        let mut draft = EntryDraft::new(&old);
        for section in ["json_paths", "settings", "filters", "credentials", "token_http_request", "response"] {
            draft.came_from(&[section], &found.spot, None);
        }
        draft.request();
        draft.named_hosts();
        draft.login();
        draft.key_file();
        draft.whole();
        let source = draft.position();
        let preset = parameters::put_into(self.reader, own, &found.spot, named, &preset(&draft, &source));
        let list = match draft.map.contains_key("token_http_request") || preset.contains_key("token_http_request") {
            true => List::OauthApis,
            false => List::AuthApis,
        };
        let place = Place::of(list);
        let mut map = merge::merged(&draft.map, &preset, place);
        let is_name_known = names.name(&draft, &mut map);
        map.insert("type".into(), named.dialect.own_type.as_deref().unwrap_or("general").into());
        require_words(self.reader, &map, &found.spot, place, "");
        Some(OwnEntry { list, map, named, is_name_known })
    }
}

impl EntryDraft<'_> {
    /// What belongs to the entry as a whole: its interval, and what is added to records.
    fn whole(&mut self) {
        match self.old.has("scrape_interval") {
            true => self.take("scrape_interval", &["settings", "time_interval"]),
            false => self.put(&["settings", "time_interval"], INTERVAL_MINUTES, &self.old.spot.clone()),
        }
        let nested = (!self.old.named.dialect.request.is_empty()).then(|| self.old.data_key("additional_fields"));
        let nested = nested.and_then(|key| self.old.find(&key));
        if let Some(found) = &nested {
            let hint = "the original leaves them out; write them as `additional_fields` of the entry";
            found.warn("these fields are added to records", hint);
        }
        let mut fields = Mapping::new();
        let own = self.old.find("additional_fields");
        for found in nested.iter().chain(&own) {
            match found.value {
                Value::Mapping(pairs) => fields.extend(pairs.clone()),
                _ => found.refuse_as_no_mapping(),
            }
        }
        let has_type = fields.get("type").is_some_and(|value| !value.is_null() && !is_blank(value));
        if !has_type {
            fields.insert("type".into(), RECORD_TYPE.into());
        }
        let spot = own.or(nested).map_or_else(|| self.old.spot.clone(), |found| found.spot);
        self.put(&["custom_fields"], fields, &spot);
    }
}

/// What the type fills in, by what the entry says.
fn preset(draft: &EntryDraft<'_>, source: &StartSource) -> Mapping {
    let dialect = &draft.old.named.dialect;
    let mut entry = draft.old.named.entry.clone();
    if *source == StartSource::Window && !draft.holds_window() && !draft.map.contains_key("start_date_name") {
        entry = merge::merged(&entry, &dialect.start, Place::OAuth);
    }
    if draft.old.is_paged_by_type() {
        entry = merge::merged(&entry, &dialect.pages, Place::OAuth);
    }
    if draft.old.is_first_page_all() && !dialect.pages.is_empty() {
        // What leads on stays: it may be what the next iteration begins with.
        put(&mut entry, &["next_request", "max_pages"], 0.into());
    }
    entry
}

/// Notes what our own words lack.
fn require_words(reader: &Reader<'_>, map: &Mapping, spot: &Spot, place: Place, within: &str) {
    let known = reference::known(place, within);
    for (key, value) in map {
        let name = key_text(key).unwrap_or_default();
        let path = if within.is_empty() { name.clone() } else { format!("{within}.{name}") };
        let spot = spot.key(&name);
        match value {
            _ if !known.contains(&name.as_str()) => {
                let hint = "the other entries run without it".to_owned();
                reader.error(&spot, format!("this version has no `{path}`, which the entry needs"), Some(hint));
            }
            Value::Mapping(below) if reference::key_at(place, &path).is_none() => {
                require_words(reader, below, &spot, place, &path);
            }
            _ => {}
        }
    }
}
