//! How the pages of an entry lead from one to the next, and what its variables need for it.

use super::api::Entries;
use super::filters::keeps_position;
use super::keys;
use super::kinds::entry::NextLinkValue;
use super::kinds::step;
use super::kinds::stop::StopConditionKind;
use super::section::Section;
use crate::paging::{LinkSource, Pagination, Paging, StopCondition, StopRule};
use crate::record::path::JsonPath;
use crate::template::{RequestTemplate, Template, Variable};

/// What is said where nothing leads to a next page.
const ONLY_FIRST_PAGE: &str = "absent: only the first page of an answer is read";

impl Entries<'_> {
    /// How pages lead on, and the path of the link where it stands in the body.
    pub(super) fn paging(
        &self,
        entry: &Section<'_>,
        request: Option<&RequestTemplate>,
    ) -> Option<(Paging, Option<JsonPath>)> {
        let page_size = entry.read(&keys::PAGE_SIZE);
        let (stop, pages_max) = (self.stop_rule(entry), entry.read(&keys::PAGES_MAX));
        let found = self.paging_of(entry, request, page_size);
        let found = found.map(|(paging, path)| (Paging { stop, pages_max, ..paging }, path));
        if let Some((paging, _)) = &found {
            self.warn_of_counting(entry, paging);
        }
        let leads_on = match &found {
            Some((paging, _)) => paging.kind != Pagination::None || paging.cursor.is_some(),
            None => entry.has(&keys::NEXT_URL) || entry.has(&keys::NEXT_TOKEN) || entry.has(&keys::CURSOR),
        };
        let is_counted = request.is_some_and(|request| request.variables().any(Variable::is_counter));
        // What begins a job has one answer, an API whose windows must be short mostly answers with a whole one, and a queue is
        // asked until it is empty.
        let has_job = entry.top_level("steps").is_some_and(step::begins_with_job);
        let is_whole = has_job || entry.has(&keys::MAX_WINDOW) || keeps_position(entry);
        if !leads_on && !is_counted && !is_whole {
            self.reader.warn(&entry.spot_of(&keys::NEXT_URL), ONLY_FIRST_PAGE, None);
        }
        if let Some(variable) = request?.variables().find(|variable| variable.is_of_entry()) {
            let what = format!(
                "`{{{}}}` stands in the request of the first list, and nothing gives it a value",
                variable.name()
            );
            let hint = "it belongs into `steps`, which ask about each entry of that list".to_owned();
            self.reader.error(&entry.spot_of(&keys::URL), what, Some(hint));
        }
        found
    }

    /// What the last page says; nothing where the entry doesn't say it.
    fn stop_rule(&self, entry: &Section<'_>) -> Option<StopRule> {
        if !entry.has_section_of(&keys::STOP_FIELD) {
            return None;
        }
        let (field, value) = (entry.require(&keys::STOP_FIELD), entry.read(&keys::STOP_VALUE));
        let absent = if value.is_some() { StopConditionKind::Equals } else { StopConditionKind::Empty };
        let condition = match (entry.read_or(&keys::STOP_CONDITION, absent)?, value) {
            (StopConditionKind::Empty, None) => StopCondition::Empty,
            (StopConditionKind::Equals, Some(value)) => StopCondition::Equals(value),
            (StopConditionKind::Contains, Some(value)) => StopCondition::Contains(value),
            (StopConditionKind::Empty, Some(_)) => {
                let hint = "leave it out, or write `condition: equals`".to_owned();
                self.reader.warn(&entry.spot_of(&keys::STOP_VALUE), "it says nothing with `empty`", Some(hint));
                StopCondition::Empty
            }
            (StopConditionKind::Equals | StopConditionKind::Contains, None) => {
                if !entry.has(&keys::STOP_VALUE) {
                    let hint =
                        "it is what `condition` compares with; for a value that is missing write `condition: empty`";
                    self.reader.error(
                        &entry.spot_of(&keys::STOP_VALUE),
                        "a required key is missing",
                        Some(hint.to_owned()),
                    );
                }
                return None;
            }
        };
        Some(StopRule { field: field?, condition })
    }

    /// Pages that only count have no end of their own.
    fn warn_of_counting(&self, entry: &Section<'_>, paging: &Paging) {
        let says_end = paging.says_end() || paging.has_more.is_some();
        if paging.kind == Pagination::Values && paging.is_counted() && !says_end {
            let what =
                "absent: the next request counts, so the pages end with the third in a row that brings nothing new";
            let hint = "if an answer says which is the last: next_request.stop".to_owned();
            self.reader.warn(&entry.spot_of(&keys::STOP_FIELD), what, Some(hint));
        }
    }

    /// The same of an entry or a step; one page is all where nothing leads on.
    pub(super) fn paging_of(
        &self,
        entry: &Section<'_>,
        request: Option<&RequestTemplate>,
        page_size: Option<u64>,
    ) -> Option<(Paging, Option<JsonPath>)> {
        let link = entry.read(&keys::NEXT_URL);
        let token = entry.read(&keys::NEXT_TOKEN);
        let cursor = entry.read(&keys::CURSOR);
        let has_more = entry.read(&keys::HAS_MORE);
        let request = request?;
        let is_counted = request.variables().any(Variable::is_counter);
        let uses = |name: &str| request.variables().any(|variable| variable.name() == name);
        if token.is_some() && !uses("next_token") {
            let hint = "put `{next_token}` where the API takes it, like `filters: {cursor: '{next_token}'}`";
            let what = "the token stands nowhere in the request, so no next page could be asked for";
            self.reader.error(&entry.spot_of(&keys::NEXT_TOKEN), what, Some(hint.to_owned()));
        }
        if cursor.is_some() && !uses("cursor") {
            let hint = "put `{cursor}` where the API takes it, like `next_request: {filters: {cursor: '{cursor}'}}`";
            let what = "the cursor stands nowhere in the request, so nothing could go on with it";
            self.reader.error(&entry.spot_of(&keys::CURSOR), what, Some(hint.to_owned()));
        }
        for (is_there, name, key) in
            [(token.is_some(), "next_token", &keys::NEXT_TOKEN), (cursor.is_some(), "cursor", &keys::CURSOR)]
        {
            if uses(name) && !is_there {
                let hint = format!("name the place in the answer that holds it: json_paths.{name}");
                let what = format!("`{{{name}}}` stands in the request, and nothing gives it a value");
                self.reader.error(&entry.spot_of(key), what, Some(hint));
            }
        }
        let values = request.answer_values();
        // It is always the same one, as often as the entry says.
        let goes_on = entry.has(&keys::PAGES_MAX) || entry.has_section_of(&keys::STOP_FIELD);
        let is_constant = request.next.is_some() && goes_on;
        let (kind, next_url) = match (token, link) {
            (Some(token), _) => (Pagination::Token(token), None),
            (None, Some(NextLinkValue::Body(path))) => (Pagination::Link(LinkSource::Body), Some(path)),
            (None, Some(NextLinkValue::Other(source))) => (Pagination::Link(source), None),
            (None, None) if is_counted => (Pagination::Counted { page_size }, None),
            (None, None) if cursor.is_some() && uses("cursor") => (Pagination::Cursor, None),
            (None, None) if !values.is_empty() || is_constant => (Pagination::Values, None),
            (None, None) => (Pagination::None, None),
        };
        self.require_values(entry, request);
        Some((Paging { kind, has_more, cursor, values, ..Paging::none() }, next_url))
    }

    /// In the first request a variable that may have no value must stand alone, so that its field is left out then.
    fn require_values(&self, entry: &Section<'_>, request: &RequestTemplate) {
        if let Some(value) = request.first.answer_values().into_iter().next() {
            let what =
                format!("`{{res.{}}}` stands in the first request, and no page before gives it a value", value.text());
            self.reader.error(&entry.spot_of(&keys::URL), what, Some("move it into `next_request`".to_owned()));
        }
        let next = request.next.as_deref();
        let has_cursor = next.is_some_and(|next| {
            next.templates()
                .iter()
                .flat_map(|template| template.variables())
                .any(|variable| *variable == Variable::Cursor)
        });
        if let Some(value) = next.filter(|_| has_cursor).and_then(|next| next.answer_values().into_iter().next()) {
            let what = format!(
                "`{{res.{}}}` stands beside `{{cursor}}`, with which the first page is asked for, too; no page before gives it \
                 a value then",
                value.text()
            );
            let hint = "use one of them: `json_paths.cursor` can find the same value".to_owned();
            self.reader.error(&entry.spot.key("next_request"), what, Some(hint));
        }
        let is_mixed = |template: &&Template| template.as_variable().is_none();
        let templates = request.first.templates();
        let mixed = templates.iter().filter(|template| is_mixed(template)).flat_map(|template| template.variables());
        if let Some(variable) = mixed.into_iter().find(|variable| variable.is_optional()) {
            let name = variable.name();
            let what = format!("`{{{name}}}` has no value in the first request, and stands beside other text there");
            let hint = format!(
                "let `{{{name}}}` be the whole value of a filter, a header or a field, or move it into `next_request`"
            );
            self.reader.error(&entry.spot_of(&keys::URL), what, Some(hint));
        }
    }
}
