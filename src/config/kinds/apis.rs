//! What the dialect of `apis` has of its own: words for yes and no, whole numbers in any spelling, its URLs and bodies. They
//! are read as they stand, and translated.

use serde_json::{Value, json};

use super::pattern::{or_filled_in, spelled_in_any_case};
use super::{Kind, Traits};
use crate::config::place::Place;
use crate::config::value::Found;

/// The words of YAML 1.1 for yes and no, as PyYAML reads them.
const YES: [&str; 3] = ["true", "yes", "on"];
const NO: [&str; 3] = ["false", "no", "off"];
/// A whole number, perhaps as a fraction without one.
const WHOLE: &str = r"^\s*[-+]?[0-9]+(\.0*)?\s*$";

/// Whether something holds.
pub(in crate::config) enum YesNo {}

impl Kind for YesNo {
    type Value<'v> = bool;
    const TRAITS: Traits = Traits { blank_is_absent: true, ..Traits::SHOWN };

    fn read(found: &Found<'_>) -> Option<bool> {
        let text = found.text()?.to_ascii_lowercase();
        match text.as_str() {
            text if YES.contains(&text) => Some(true),
            text if NO.contains(&text) => Some(false),
            _ => found.refuse("it should be true or false", None),
        }
    }

    fn schema(_: Place) -> Value {
        spelled_in_any_case(&[&YES[..], &NO[..]].concat(), Some(json!({ "type": "boolean" })))
    }
}

/// A whole number that is 0 or more.
pub(in crate::config) enum PageCount {}

impl Kind for PageCount {
    type Value<'v> = u64;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<u64> {
        // None is meant where it is below 0.
        whole(found).map(|number| u64::try_from(number).unwrap_or_default())
    }

    fn schema(_: Place) -> Value {
        json!({ "type": ["integer", "string"], "pattern": or_filled_in(WHOLE) })
    }
}

/// A number of days; what is not above 0 means none.
pub(in crate::config) enum DaysBack {}

impl Kind for DaysBack {
    type Value<'v> = i64;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<i64> {
        whole(found)
    }

    fn schema(_: Place) -> Value {
        json!({ "type": ["integer", "string"], "maximum": 36500, "pattern": or_filled_in(WHOLE) })
    }
}

/// A whole number, also as text, and as a fraction without one.
fn whole(found: &Found<'_>) -> Option<i64> {
    let text = found.text()?;
    let (number, fraction) = text.split_once('.').unwrap_or((&text, ""));
    match number.parse() {
        Ok(number) if fraction.bytes().all(|digit| digit == b'0') => Some(number),
        _ => found.refuse("it should be a whole number", None),
    }
}

/// A URL, or a template of one.
pub(in crate::config) enum OldUrl {}

impl Kind for OldUrl {
    type Value<'v> = String;
    const TRAITS: Traits = Traits::BLANK_IS_ABSENT;

    fn read(found: &Found<'_>) -> Option<String> {
        found.text()
    }

    fn schema(_: Place) -> Value {
        json!({ "type": "string" })
    }
}

/// The body of a request, or a template of one.
pub(in crate::config) enum AnyBody {}

impl Kind for AnyBody {
    type Value<'v> = Found<'v>;
    const TRAITS: Traits = Traits { is_open: true, ..Traits::BLANK_IS_ABSENT };

    fn read<'v>(found: &Found<'v>) -> Option<Found<'v>> {
        Some(found.clone())
    }

    fn schema(_: Place) -> Value {
        json!({ "type": ["string", "number", "boolean", "object", "array"] })
    }
}

/// What of the next request is made from an answer.
pub(in crate::config) enum PagingPlace {}

const PAGING_PLACES: [&str; 3] = ["url", "body", "headers"];

impl Kind for PagingPlace {
    type Value<'v> = &'static str;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<&'static str> {
        let text = found.text()?;
        let known = PAGING_PLACES.into_iter().find(|place| text.eq_ignore_ascii_case(place));
        known.or_else(|| found.refuse("it should be url, body or headers", None))
    }

    fn schema(_: Place) -> Value {
        spelled_in_any_case(&PAGING_PLACES, None)
    }
}
