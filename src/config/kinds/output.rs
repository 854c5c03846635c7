//! What outputs are made of: their list, and whose records they get.

use serde_json::{Value, json};

use super::Kind;
use super::entry::Name;
use crate::config::place::Place;
use crate::config::value::{Found, Text};

/// The most outputs: each has a state of its own for each API.
const OUTPUTS_MAX: usize = 32;

/// One output, or a list of them.
pub(in crate::config) enum OutputEntries {}

impl Kind for OutputEntries {
    /// Each with where it stands.
    type Value<'v> = Vec<Found<'v>>;

    fn read<'v>(found: &Found<'v>) -> Option<Vec<Found<'v>>> {
        match found.value {
            serde_yaml::Value::Sequence(outputs) if outputs.is_empty() => {
                found.refuse("it is empty", Some("begin each output with `- name: …`"))
            }
            serde_yaml::Value::Sequence(outputs) if outputs.len() > OUTPUTS_MAX => {
                found.refuse(&format!("there may be {OUTPUTS_MAX} outputs at most"), None)
            }
            _ => Some(found.items()),
        }
    }

    fn schema(_: Place) -> Value {
        json!({ "maxItems": OUTPUTS_MAX })
    }
}

/// Names of APIs: a list, or one.
pub(in crate::config) enum InputNames {}

impl Kind for InputNames {
    /// Each with where it stands.
    type Value<'v> = Vec<Text>;

    fn read(found: &Found<'_>) -> Option<Vec<Text>> {
        let named = |item: Found<'_>| Some(Text { value: Name::read(&item)?, spot: item.spot });
        found.items().into_iter().map(named).collect()
    }

    fn schema(place: Place) -> Value {
        let name = Name::schema(place);
        json!({ "anyOf": [name, { "type": "array", "items": name }] })
    }
}
