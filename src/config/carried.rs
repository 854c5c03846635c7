//! What the next iteration of an entry goes on with: `next_iteration`.

use reqwest::{Method, Url};

use super::api::Entries;
use super::keys;
use super::kinds::settings::{AnswerChoice, TakeChoice};
use super::parts::has_next_iteration;
use super::request::data_body;
use super::section::Section;
use crate::hosts::HostRule;
use crate::paging::{CarriedValue, Continuation, ValueSource};
use crate::record::Paths;
use crate::record::path::JsonPath;
use crate::template::query::QueryField;
use crate::template::{AnswerValue, IterationRequest, RequestParts, RequestTemplate};

impl Entries<'_> {
    /// The requests from the second iteration on: what `next_request` replaces it replaces there, too.
    pub(super) fn iteration_requests(
        &self,
        entry: &Section<'_>,
        first: RequestParts,
        next: Option<&RequestParts>,
    ) -> IterationRequest {
        let next = next.map(|next| {
            let mut parts = RequestParts { append: next.append.clone(), ..first.clone() };
            if entry.has(&keys::NEXT_REQUEST_URL) {
                parts.url = next.url.clone();
            }
            if entry.has(&keys::NEXT_REQUEST_FILTERS) {
                parts.query = next.query.clone();
            }
            if entry.has(&keys::NEXT_REQUEST_HEADERS) || entry.has(&keys::NEXT_REQUEST_BODY) {
                (parts.headers, parts.filled_headers) = (next.headers.clone(), next.filled_headers.clone());
            }
            if entry.has(&keys::NEXT_REQUEST_BODY) {
                parts.body = next.body.clone();
            }
            parts
        });
        IterationRequest { first, next }
    }

    /// The first request from the second iteration on, where it differs, and its own query.
    pub(super) fn iteration_request(
        &self,
        entry: &Section<'_>,
        first: &RequestParts,
        method: Option<&Method>,
        (first_url, hosts): (Option<&Url>, &[HostRule]),
    ) -> Option<(RequestParts, Option<Vec<QueryField>>)> {
        if !has_next_iteration(entry) {
            return None;
        }
        let mut parts = first.clone();
        if let Some(url) = self.later_url(entry, &keys::NEXT_ITERATION_URL, (first_url, hosts)) {
            parts.url = url;
        }
        if let Some(found) = entry.read(&keys::NEXT_ITERATION_BODY) {
            parts.body = data_body(&found, method, &mut parts.headers);
        }
        let query = entry.read(&keys::NEXT_ITERATION_FILTERS).map(|filters| self.query(filters));
        Some((parts, query))
    }

    /// Where the values of that request come from. Where they are fields of records, they say where a record holds its date,
    /// unless the entry does.
    pub(super) fn next_iteration(
        &self,
        entry: &Section<'_>,
        request: &RequestTemplate,
        paths: &mut Paths,
    ) -> Option<Continuation> {
        let (answer, take) = (entry.read(&keys::NEXT_ITERATION_ANSWER), entry.read(&keys::NEXT_ITERATION_TAKE));
        let values = request.iteration.as_ref()?.first.answer_values();
        let fields: Option<Vec<JsonPath>> = values.iter().map(|value| field_of(value, &paths.data)).collect();
        let is_newest = answer.is_none() && take != Some(TakeChoice::Position);
        let zone = paths.zone;
        let Some(fields) = fields.filter(|fields| is_newest && !fields.is_empty()) else {
            let in_pages = request.answer_values();
            let is_in_pages = |value: &AnswerValue| in_pages.iter().any(|page| page.base() == value.base());
            let source = |value: &AnswerValue| match answer {
                Some(AnswerChoice::First) => ValueSource::FirstAnswer,
                Some(AnswerChoice::Last) => ValueSource::LastAnswer,
                // What leads from page to page has walked on.
                None if is_in_pages(value) => ValueSource::LastAnswer,
                None => ValueSource::FirstAnswer,
            };
            let carried = |value: AnswerValue| CarriedValue { source: source(&value), value };
            return Some(Continuation { values: values.into_iter().map(carried).collect(), guesses_date: false, zone });
        };
        let guesses_date = paths.date.is_none();
        let date = paths.date.get_or_insert_with(|| fields.first().cloned().unwrap_or_else(|| paths.data.clone()));
        let carried = |(value, field): (AnswerValue, JsonPath)| {
            let is_date = field.has_steps_of(date);
            CarriedValue { value, source: ValueSource::NewestRecord { field, is_date } }
        };
        Some(Continuation { values: values.into_iter().zip(fields).map(carried).collect(), guesses_date, zone })
    }
}

/// The field of a record that a value is, where it is one.
fn field_of(value: &AnswerValue, data: &JsonPath) -> Option<JsonPath> {
    JsonPath::parse(value.base()).ok()?.within_element_of(data)
}
