//! The kinds of values that keys have: how a value is read, and what it looks like in the JSON Schema, side by side.
//!
//! A key names its kind in the table of [`keys`](super::keys); a further key of a kind that is here needs nothing else.

pub(super) mod apis;
pub(super) mod cluster;
pub(super) mod entry;
pub(super) mod number;
pub(super) mod output;
pub(super) mod pattern;
pub(super) mod proof;
pub(super) mod request;
pub(super) mod settings;
pub(super) mod step;
pub(super) mod stop;
pub(super) mod text;

use serde_json::Value;

use super::place::Place;
use super::value::Found;

/// What holds for all values of a kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    /// A blank is no value.
    pub(super) blank_is_absent: bool,
    /// Null is a value, and not its absence.
    pub(super) null_counts: bool,
    /// What stands below is the user's own, not keys.
    pub(super) is_open: bool,
    /// A number or a word that may be shown where something is wrong with it.
    pub(super) is_shown: bool,
    /// It may prove who asks.
    pub(super) is_secret: bool,
}

impl Traits {
    pub(super) const NONE: Self =
        Self { blank_is_absent: false, null_counts: false, is_open: false, is_shown: false, is_secret: false };
    pub(super) const SECRET: Self = Self { is_secret: true, ..Self::NONE };
    pub(super) const OPEN: Self = Self { is_open: true, ..Self::NONE };
    pub(super) const SHOWN: Self = Self { is_shown: true, ..Self::NONE };
    pub(super) const BLANK_IS_ABSENT: Self = Self { blank_is_absent: true, ..Self::NONE };
}

/// A kind of values.
pub(super) trait Kind {
    /// What is read.
    type Value<'v>;

    /// What holds for all of them.
    const TRAITS: Traits = Traits::NONE;

    /// Reads a value that is there; `None` where it has an error, which is noted.
    fn read<'v>(found: &Found<'v>) -> Option<Self::Value<'v>>;

    /// What it looks like, as JSON Schema. A pattern holds for texts alone, and lets `${…}` through wherever what stands
    /// there once it is filled in can't be known.
    fn schema(place: Place) -> Value;

    /// What the catalog's types add to a key's meaning.
    fn words(_: Place) -> Option<String> {
        None
    }
}
