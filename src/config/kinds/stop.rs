//! When pages end: what the last one says, and how many are read.

use serde_json::{Value, json};

use super::pattern::{SCALAR, or_filled_in, spelled_in_any_case};
use super::{Kind, Traits};
use crate::config::place::Place;
use crate::config::value::Found;
use crate::window::PAGES_MAX;

/// What stands in the last answer.
pub(in crate::config) enum StopConditionName {}

/// The value of `next_request.stop.condition`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum StopConditionKind {
    /// Nothing.
    Empty,
    /// The value.
    Equals,
    /// The value, besides others.
    Contains,
}

/// By their names.
const CONDITIONS: [(&str, StopConditionKind); 3] = [
    ("empty", StopConditionKind::Empty),
    ("equals", StopConditionKind::Equals),
    ("contains", StopConditionKind::Contains),
];

impl Kind for StopConditionName {
    type Value<'v> = StopConditionKind;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<StopConditionKind> {
        let text = found.text()?;
        match CONDITIONS.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)) {
            Some((_, kind)) => Some(*kind),
            None => found.refuse("it should be empty, equals or contains", None),
        }
    }

    fn schema(_: Place) -> Value {
        spelled_in_any_case(&CONDITIONS.map(|(name, _)| name), None)
    }
}

/// What the last answer's value is compared with: a text, a number, true or false.
pub(in crate::config) enum StopValue {}

impl Kind for StopValue {
    type Value<'v> = Value;

    fn read(found: &Found<'_>) -> Option<Value> {
        match found.json()? {
            Value::Array(_) | Value::Object(_) => found.refuse("it should be a single value", None),
            value => Some(value),
        }
    }

    fn schema(_: Place) -> Value {
        json!({ "type": SCALAR })
    }
}

/// How many pages behind the first one are read.
pub(in crate::config) enum PagesMax {}

impl Kind for PagesMax {
    type Value<'v> = u64;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<u64> {
        match found.text()?.parse() {
            Ok(count) if count <= PAGES_MAX => Some(count),
            _ => found.refuse(&format!("it should be a whole number from 0 to {PAGES_MAX}"), None),
        }
    }

    fn schema(_: Place) -> Value {
        json!({ "type": ["integer", "string"], "minimum": 0, "maximum": PAGES_MAX,
            "pattern": or_filled_in(r"^\s*\+?0*([0-9]{1,5}|100000)\s*$") })
    }
}
