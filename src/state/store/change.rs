//! A change of checkpoints that can be taken back.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::state::account::ApiState;

/// A change of a checkpoint that somebody made, by a command or in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub at: DateTime<Utc>,
    /// In words: `rewind to …`.
    pub what: String,
    /// The API.
    pub name: String,
    /// Its account before: where it has several outputs, that of the earliest checkpoint.
    pub before: ApiState,
    /// Where the state has another key than the API's name, or there are several: the accounts before, by their keys.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    lanes: BTreeMap<String, ApiState>,
}

impl Change {
    /// Of one API, whose accounts were these before; nothing where there are none.
    #[must_use]
    pub fn of(at: DateTime<Utc>, what: String, name: &str, befores: BTreeMap<String, ApiState>) -> Option<Self> {
        let before = befores.values().min_by_key(|before| (before.checkpoint.is_none(), before.checkpoint))?.clone();
        let is_plain = befores.len() == 1 && befores.contains_key(name);
        let lanes = if is_plain { BTreeMap::new() } else { befores };
        Some(Self { at, what, name: name.to_owned(), before, lanes })
    }

    /// The accounts before, by their keys.
    pub fn befores(&self) -> impl Iterator<Item = (&str, &ApiState)> {
        let plain = self.lanes.is_empty().then_some((self.name.as_str(), &self.before));
        plain.into_iter().chain(self.lanes.iter().map(|(key, before)| (key.as_str(), before)))
    }
}
