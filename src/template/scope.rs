//! The values of the variables for one request.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{AnswerValue, AnswerValues, Captured, ListEntry, ProofScope, Variable};
use crate::record::date;

/// Where a chain of pages stands: what the pages before gave, and nothing else. It is what is saved of a chain; never a
/// request that was filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// The link to the page, as it was resolved; `None` for the first page, and where something else leads on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_url: Option<String>,
    /// The token for the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<Captured>,
    /// How many pages came before.
    pub page: u64,
    /// How many records came before.
    pub offset: u64,
    /// The cursor, also of the iteration before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Captured>,
    /// The values of the iteration before that the chain goes on with (`next_iteration`); `None` where it begins anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continued: Option<AnswerValues>,
    /// The values of the page before that stand in the request as `{res.PATH}`.
    #[serde(skip_serializing_if = "AnswerValues::is_empty")]
    pub values: AnswerValues,
}

impl Position {
    /// The value of the page before, or else of the iteration before.
    fn answer(&self, value: &AnswerValue) -> Option<Captured> {
        self.values.get(value).or_else(|| self.continued.as_ref()?.get(value))
    }

    /// The same chain at its beginning.
    #[must_use]
    pub fn beginning(&self) -> Self {
        Self { continued: self.continued.clone(), ..Self::default() }
    }

    /// The texts in it that answers gave.
    pub fn texts(&self) -> impl Iterator<Item = String> + '_ {
        let captured = [&self.next_token, &self.cursor]
            .into_iter()
            .flatten()
            .chain(self.values.values())
            .chain(self.continued.iter().flat_map(AnswerValues::values));
        let captured = captured.map(Captured::text);
        self.next_url.iter().cloned().chain(captured)
    }

    /// Whether it is the first page of a chain.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.page == 0
    }
}

/// What a request is filled in with.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'s> {
    /// Where the window begins.
    pub start: DateTime<Utc>,
    /// Where the window ends, where it has an end.
    pub end: Option<DateTime<Utc>>,
    /// The moment of the attempt.
    pub now: DateTime<Utc>,
    /// Where the chain stands.
    pub position: &'s Position,
    /// The entry of a list that is asked about, in a step.
    pub entry: Option<&'s ListEntry>,
    /// What proves who asks.
    pub proof: ProofScope<'s>,
}

impl Scope<'_> {
    /// The value of a variable as text, or `None` where it has none.
    #[must_use]
    pub fn text(&self, variable: &Variable) -> Option<String> {
        match variable {
            Variable::StartDate(format) => Some(format.write(self.start)),
            Variable::EndDate(format) => Some(format.write(self.end.unwrap_or(self.now))),
            Variable::Now(format) => Some(format.write(self.now)),
            Variable::NextToken(format) => {
                let text = self.position.next_token.as_ref()?.text();
                let date = format.as_ref().and_then(|format| Some(format.write(date::parse(&text)?)));
                Some(date.unwrap_or(text))
            }
            Variable::Page { first } => Some(first.saturating_add(self.position.page).to_string()),
            Variable::Offset { plus } => Some(plus.saturating_add(self.position.offset).to_string()),
            Variable::Cursor => self.position.cursor.as_ref().map(Captured::text),
            Variable::Answer(value) => self.position.answer(value).map(|value| value.as_written()),
            Variable::Item(path) => self.entry?.item(path.as_ref()).map(|value| value.text()),
            Variable::Parent(path) => self.entry?.parent(path).map(Captured::text),
            _ => self.proof.value(variable).map(|value| value.text()),
        }
    }

    /// The value of a variable as JSON, or `None` where it has none: counters and UNIX time are numbers, what an answer
    /// gave keeps its kind, dates are texts.
    #[must_use]
    pub fn json(&self, variable: &Variable) -> Option<Cow<'_, str>> {
        let quoted = |text: String| Cow::Owned(serde_json::Value::from(text).to_string());
        match variable {
            Variable::NextToken(None) => self.position.next_token.as_ref().map(|token| Cow::Borrowed(token.json())),
            Variable::Cursor => self.position.cursor.as_ref().map(|cursor| Cow::Borrowed(cursor.json())),
            Variable::Answer(value) if value.is_text() => self.text(variable).map(quoted),
            Variable::Answer(value) => self.position.answer(value).map(|value| Cow::Owned(value.json().to_owned())),
            Variable::Item(path) => self.entry?.item(path.as_ref()).map(|value| Cow::Owned(value.json().to_owned())),
            Variable::Parent(path) => self.entry?.parent(path).map(|value| Cow::Borrowed(value.json())),
            Variable::Page { .. } | Variable::Offset { .. } => self.text(variable).map(Cow::Owned),
            Variable::StartDate(format)
            | Variable::EndDate(format)
            | Variable::Now(format)
            | Variable::NextToken(Some(format)) => {
                let text = self.text(variable)?;
                Some(if format.is_number() { Cow::Owned(text) } else { quoted(text) })
            }
            _ => self.proof.value(variable).map(|value| Cow::Owned(value.json().to_owned())),
        }
    }
}
