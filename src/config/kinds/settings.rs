//! What the settings of an entry choose between.

use serde_json::Value;

use super::pattern::spelled_in_any_case;
use super::{Kind, Traits};
use crate::config::place::Place;
use crate::config::value::Found;
use crate::plan::{CheckpointKind, Repeat};

/// The kinds of checkpoints, by their names in the config.
const CHECKPOINTS: [(&str, CheckpointKind); 4] = [
    ("newest", CheckpointKind::Newest),
    ("window", CheckpointKind::WindowEnd),
    ("server", CheckpointKind::Server),
    ("snapshot", CheckpointKind::Snapshot(Repeat::Ship)),
];

/// What becomes of known records, by its names in the config.
const REPEATS: [(&str, Repeat); 2] = [("ship", Repeat::Ship), ("skip", Repeat::Skip)];

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

/// What becomes of records that an earlier reading brought.
pub(in crate::config) enum RepeatChoice {}

impl Kind for RepeatChoice {
    type Value<'v> = Repeat;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<Repeat> {
        let text = found.text()?;
        let known = REPEATS.iter().find(|(name, _)| text.trim().eq_ignore_ascii_case(name));
        let hint = "`ship` ships each answer whole, `skip` leaves out what was shipped before";
        known.map(|(_, repeat)| *repeat).or_else(|| found.refuse("it should be `ship` or `skip`", Some(hint)))
    }

    fn schema(_: Place) -> Value {
        spelled_in_any_case(&REPEATS.map(|(name, _)| name), None)
    }
}

/// Which answer gives the values of the next iteration's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum AnswerChoice {
    /// The first one of the iteration.
    First,
    /// The last one that has them.
    Last,
}

const ANSWERS: [(&str, AnswerChoice); 2] = [("first", AnswerChoice::First), ("last", AnswerChoice::Last)];

impl Kind for AnswerChoice {
    type Value<'v> = Self;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<Self> {
        chosen(
            found,
            &ANSWERS,
            "`first` takes them from an iteration's first answer, `last` from the last one that has them",
        )
    }

    fn schema(_: Place) -> Value {
        spelled_in_any_case(&ANSWERS.map(|(name, _)| name), None)
    }
}

/// What is taken of records for the next iteration's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum TakeChoice {
    /// Of all records the newest.
    Newest,
    /// The one at the place that the path names.
    Position,
}

const TAKES: [(&str, TakeChoice); 2] = [("newest", TakeChoice::Newest), ("position", TakeChoice::Position)];

impl Kind for TakeChoice {
    type Value<'v> = Self;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<Self> {
        chosen(found, &TAKES, "`newest` takes them from the newest record, `position` from the one that the path names")
    }

    fn schema(_: Place) -> Value {
        spelled_in_any_case(&TAKES.map(|(name, _)| name), None)
    }
}

/// The value of a name, in any case.
fn chosen<T: Copy>(found: &Found<'_>, known: &[(&str, T)], hint: &str) -> Option<T> {
    let text = found.text()?;
    let choice = known.iter().find(|(name, _)| text.trim().eq_ignore_ascii_case(name)).map(|(_, choice)| *choice);
    let names = known.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
    choice.or_else(|| found.refuse(&format!("it should be {names}"), Some(hint)))
}
