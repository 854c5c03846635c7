//! What the settings of an entry choose between.

use serde_json::Value;

use super::pattern::spelled_in_any_case;
use super::{Kind, Traits};
use crate::config::place::Place;
use crate::config::value::Found;
use crate::plan::CheckpointKind;

/// The kinds of checkpoints, by their names in the config.
const CHECKPOINTS: [(&str, CheckpointKind); 3] =
    [("newest", CheckpointKind::Newest), ("window", CheckpointKind::WindowEnd), ("server", CheckpointKind::Server)];

/// What a checkpoint is.
pub(in crate::config) enum CheckpointChoice {}

impl CheckpointChoice {
    /// The kind of a name.
    pub(in crate::config) fn named(text: &str) -> Option<CheckpointKind> {
        let known = CHECKPOINTS.iter().find(|(name, _)| text.trim().eq_ignore_ascii_case(name));
        known.map(|(_, kind)| *kind)
    }
}

impl Kind for CheckpointChoice {
    type Value<'v> = CheckpointKind;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<CheckpointKind> {
        let names = CHECKPOINTS.map(|(name, _)| format!("`{name}`")).join(", ");
        Self::named(&found.text()?)
            .or_else(|| found.refuse("there is no such checkpoint", Some(&format!("one of {names}"))))
    }

    fn schema(_: Place) -> Value {
        spelled_in_any_case(&CHECKPOINTS.map(|(name, _)| name), None)
    }
}
