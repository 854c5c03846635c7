//! What the next iteration goes on with (`next_iteration`): which values of the answers it takes. Pure.
//!
//! Enters: the answers of an iteration, one after the other. Leaves: a value for each variable of the next iteration's
//! request. What always holds: a number never goes backwards, and where the answers lack a value the one before stays.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::record::json::RawJson;
use crate::record::path::JsonPath;
use crate::record::{Record, Zone, date};
use crate::template::{AnswerValue, AnswerValueError, AnswerValues, Captured, CapturedValues};

/// What begins the name of a value that is kept, as its variable does.
const PREFIX: &str = "res.";
/// A number is a date within this span before now: what APIs list is not older, and ids are seldom in it.
const NUMBER_DATES_SINCE: TimeDelta = TimeDelta::days(20 * 365);
/// And this far ahead.
const NUMBER_DATES_AHEAD: TimeDelta = TimeDelta::days(1);
/// A date further ahead is not gone on with: clocks differ by seconds, not by minutes.
const FUTURE_MAX: TimeDelta = TimeDelta::minutes(5);
/// On a page of fewer records every number stands first or last.
const MIDDLE_MIN: usize = 3;

/// What the next iteration goes on with.
#[derive(Clone, Debug, PartialEq)]
pub struct Continuation {
    /// The values in its request, each once.
    pub values: Vec<CarriedValue>,
    /// Whether the place of the records' dates is known by it alone, so that they may turn out to be none.
    pub guesses_date: bool,
    /// The zone of dates that name none.
    pub zone: Zone,
}

/// A value of the next iteration's request.
#[derive(Clone, Debug, PartialEq)]
pub struct CarriedValue {
    /// Where an answer holds it.
    pub value: AnswerValue,
    /// Which answer, or which record.
    pub source: ValueSource,
}

/// Where a value is taken from.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueSource {
    /// From the first answer that has it.
    FirstAnswer,
    /// From the last answer that has it.
    LastAnswer,
    /// From the record with the newest date or the largest number; from the first answer where its values are neither.
    NewestRecord {
        /// Where a record holds it.
        field: JsonPath,
        /// Whether it is the record's date: then the start date stands in its place, in the form of the records' dates.
        is_date: bool,
    },
}

/// What the values of a field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueKind {
    /// Dates as text.
    TextDate,
    /// Dates as numbers.
    NumberDate,
    /// Numbers.
    Number,
    /// Anything else.
    Text,
}

/// What an iteration has found so far. Saved with its place, so that an iteration that was cut knows what its first answers
/// said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Carried {
    first: CapturedValues,
    last: CapturedValues,
    /// Of the record with the newest date.
    newest: Option<(DateTime<Utc>, CapturedValues)>,
    /// Of the record with the largest number; as text, as numbers may be longer than JSON's.
    largest: Option<(String, CapturedValues)>,
    kind: Option<ValueKind>,
    has_records: bool,
    /// Whether the largest number of an answer stood in its middle.
    is_mixed: bool,
}

/// What is gone on with, once the answers have come to their end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CarriedPosition {
    /// The values.
    pub values: CapturedValues,
    /// What the field's values are, where a record told.
    pub kind: Option<ValueKind>,
    /// Whether answers with records lack a value.
    pub is_missing: bool,
    /// Whether the largest number of an answer stood in its middle.
    pub is_mixed: bool,
}

impl ValueKind {
    /// What a value is at a moment.
    #[must_use]
    pub fn of(text: &str, zone: Zone, now: DateTime<Utc>) -> (Self, Option<DateTime<Utc>>) {
        let text = text.trim();
        let date = date::of_event(text, zone);
        if !is_number(text) {
            return if date.is_some() { (Self::TextDate, date) } else { (Self::Text, None) };
        }
        match date.filter(|date| is_plausible(*date, now)) {
            Some(date) => (Self::NumberDate, Some(date)),
            None if text.contains('.') => (Self::Text, None),
            None => (Self::Number, None),
        }
    }

    /// Whether they are dates.
    #[must_use]
    pub fn is_date(self) -> bool {
        matches!(self, Self::TextDate | Self::NumberDate)
    }

    /// What values of both kinds are together.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (one, other) if one.is_date() && other.is_date() => Self::TextDate,
            (Self::NumberDate | Self::Number, Self::NumberDate | Self::Number) => Self::Number,
            _ => Self::Text,
        }
    }
}

/// Whether a number that would be this date is one.
fn is_plausible(date: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    let before = now.signed_duration_since(date);
    before <= NUMBER_DATES_SINCE && before >= -NUMBER_DATES_AHEAD
}

/// Whether it is a number without an exponent.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Continuation {
    /// The value in whose place the start date stands, if the values of its field are dates.
    #[must_use]
    pub fn date_value(&self) -> Option<&AnswerValue> {
        let is_date =
            |carried: &&CarriedValue| matches!(carried.source, ValueSource::NewestRecord { is_date: true, .. });
        self.values.iter().find(is_date).map(|carried| &carried.value)
    }

    /// What is kept, as the values of a request. `None` where it isn't what the request needs, as nothing is kept yet or
    /// the request was edited. `start` stands in the place of the date.
    #[must_use]
    pub fn values_of(&self, kept: &CapturedValues, start: Option<Captured>) -> Option<AnswerValues> {
        let own = kept.iter().filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?.to_owned(), value.clone())));
        let mut values: AnswerValues = own.collect();
        if let (Some(value), Some(start)) = (self.date_value(), start) {
            values.insert(value.base(), start);
        }
        let are_all_there = self.values.iter().all(|carried| values.get(&carried.value).is_some());
        let is_any = |name: &str| self.values.iter().any(|carried| carried.value.is_called(name));
        Some(values).filter(|values| are_all_there && values.iter().all(|(name, _)| is_any(name)))
    }

    /// Takes the date from records where it is a number that can't be one.
    pub fn drop_false_dates(&self, path: Option<&JsonPath>, records: &mut [Record<'_>], now: DateTime<Utc>) {
        let Some(path) = path.filter(|_| self.guesses_date) else { return };
        for record in records.iter_mut().filter(|record| record.date.is_some_and(|date| !is_plausible(date, now))) {
            let is_number = path.first(record.raw).and_then(RawJson::scalar).is_some_and(|text| is_number(text.trim()));
            record.date = record.date.filter(|_| !is_number);
        }
    }
}

impl Carried {
    /// Looks at an answer.
    ///
    /// # Errors
    /// [`AnswerValueError`], where a value is too long to be kept.
    pub fn see(
        &mut self,
        rule: &Continuation,
        root: Option<RawJson<'_>>,
        records: &[Record<'_>],
        now: DateTime<Utc>,
    ) -> Result<(), AnswerValueError> {
        self.has_records |= !records.is_empty();
        for CarriedValue { value, source } in &rule.values {
            let found = match AnswerValues::of([value], root) {
                Ok(found) => found,
                Err(AnswerValueError::NoNumber { .. }) => None,
                Err(error) => return Err(error),
            };
            for (path, found) in found.iter().flat_map(AnswerValues::iter) {
                let name = format!("{PREFIX}{path}");
                match source {
                    ValueSource::LastAnswer => self.last.insert(&name, found.clone()),
                    ValueSource::FirstAnswer | ValueSource::NewestRecord { .. } if self.first.get(&name).is_none() => {
                        self.first.insert(&name, found.clone());
                    }
                    ValueSource::FirstAnswer | ValueSource::NewestRecord { .. } => {}
                }
            }
        }
        self.see_records(rule, records, now);
        Ok(())
    }

    /// Looks for the newest date and the largest number.
    fn see_records(&mut self, rule: &Continuation, records: &[Record<'_>], now: DateTime<Utc>) {
        let Some((_, primary)) = rule.primary() else { return };
        let mut largest_at = None;
        for (at, record) in records.iter().enumerate() {
            let Some(text) = primary.first(record.raw).and_then(RawJson::scalar) else { continue };
            let (kind, date) = ValueKind::of(&text, rule.zone, now);
            self.kind = Some(self.kind.map_or(kind, |known| known.and(kind)));
            let date = date.filter(|date| date.signed_duration_since(now) <= FUTURE_MAX);
            if let Some(date) = date.filter(|date| self.newest.as_ref().is_none_or(|(newest, _)| date > newest)) {
                self.newest = Some((date, rule.fields_of(record.raw)));
            }
            let largest = self.largest.as_ref().map(|(largest, _)| largest.as_str());
            if kind != ValueKind::TextDate && is_larger(text.trim(), largest) {
                self.largest = Some((text.trim().to_owned(), rule.fields_of(record.raw)));
                largest_at = Some(at);
            }
        }
        let is_in_the_middle = largest_at.is_some_and(|at| at > 0 && at + 1 < records.len());
        self.is_mixed |= is_in_the_middle && records.len() >= MIDDLE_MIN;
    }

    /// The values that were found.
    pub fn values(&self) -> impl Iterator<Item = &Captured> {
        let records = [self.newest.as_ref().map(|(_, values)| values), self.largest.as_ref().map(|(_, values)| values)];
        let all = [&self.first, &self.last].into_iter().chain(records.into_iter().flatten());
        all.flat_map(CapturedValues::iter).map(|(_, value)| value)
    }

    /// What is gone on with; `before` is what was until now.
    #[must_use]
    pub fn position(&self, rule: &Continuation, before: &CapturedValues) -> CarriedPosition {
        let mut position = CarriedPosition { kind: self.kind, ..CarriedPosition::default() };
        let is_number = self.kind == Some(ValueKind::Number);
        position.is_mixed = is_number && self.is_mixed;
        let of_newest = match self.kind {
            Some(kind) if kind.is_date() => self.newest.as_ref().map(|(_, values)| values),
            Some(ValueKind::Number) => self.largest.as_ref().map(|(_, values)| values),
            _ => None,
        };
        let goes_back = is_number && self.goes_back(rule, before);
        for CarriedValue { value, source } in &rule.values {
            let found = |values: &CapturedValues| {
                let own =
                    values.iter().find(|(name, _)| name.strip_prefix(PREFIX).is_some_and(|name| value.is_called(name)));
                own.map(|(name, value)| (name.to_owned(), value.clone()))
            };
            let new = match source {
                ValueSource::FirstAnswer => found(&self.first),
                ValueSource::LastAnswer => found(&self.last),
                ValueSource::NewestRecord { is_date: true, .. } if self.kind.is_some_and(ValueKind::is_date) => {
                    continue;
                }
                ValueSource::NewestRecord { .. } if goes_back => None,
                ValueSource::NewestRecord { .. } => of_newest.map_or_else(|| found(&self.first), found),
            };
            position.is_missing |= new.is_none() && self.has_records && !goes_back;
            if let Some((name, value)) = new.or_else(|| found(before)) {
                position.values.insert(&name, value);
            }
        }
        position
    }

    /// Whether the largest number is smaller than the one before.
    fn goes_back(&self, rule: &Continuation, before: &CapturedValues) -> bool {
        let Some((largest, _)) = &self.largest else { return false };
        let primary = rule.primary().and_then(|(value, _)| before.get(&format!("{PREFIX}{}", value.base())));
        primary.is_some_and(|before| is_larger(before.as_written().trim(), Some(largest)))
    }
}

impl Continuation {
    /// The value that says which record is the newest, and its field: the date, where it is one of them.
    fn primary(&self) -> Option<(&AnswerValue, &JsonPath)> {
        let fields = self.values.iter().filter_map(|carried| match &carried.source {
            ValueSource::NewestRecord { field, is_date } => Some((*is_date, &carried.value, field)),
            ValueSource::FirstAnswer | ValueSource::LastAnswer => None,
        });
        fields.min_by_key(|(is_date, ..)| !*is_date).map(|(_, value, field)| (value, field))
    }

    /// What a record holds of the values.
    fn fields_of(&self, record: RawJson<'_>) -> CapturedValues {
        let of = |carried: &CarriedValue| match &carried.source {
            ValueSource::NewestRecord { field, .. } => {
                let found = Captured::of_value(field.first(record)?.text())?;
                Some((format!("{PREFIX}{}", carried.value.base()), found))
            }
            _ => None,
        };
        self.values.iter().filter_map(of).collect()
    }
}

/// Whether a whole number is larger than another one; any is larger than none.
fn is_larger(text: &str, than: Option<&str>) -> bool {
    let Ok(number) = text.parse::<i128>() else { return false };
    than.and_then(|than| than.parse::<i128>().ok()).is_none_or(|than| number > than)
}

#[cfg(test)]
#[path = "carried_tests.rs"]
mod tests;
