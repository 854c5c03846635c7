//! The filters of an entry: its query, and where the start date stands in it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;

use super::api::Entries;
use super::catalog::NamedType;
use super::keys;
use super::kinds::settings::CheckpointChoice;
use super::parts::has_next_iteration;
use super::section::Section;
use super::value::Text;
use crate::plan::CheckpointKind;
use crate::record::path::JsonPath;
use crate::record::{Zone, date};
use crate::template::query::{self, QueryField};
use crate::template::{DateFormat, DateStyle, Template, Variable};

/// How an entry says where a window begins.
pub(super) struct WrittenStart {
    /// The date that stands in its filters.
    pub(super) configured: Option<DateTime<Utc>>,
    /// How start dates are written.
    pub(super) format: DateFormat,
    /// How that date is written, digit by digit: what `{start_date:like_records}` goes by before a record is known.
    pub(super) style: Option<Arc<DateStyle>>,
}

impl Entries<'_> {
    /// The query, and how it says where a window begins.
    pub(super) fn window(
        &self,
        entry: &Section<'_>,
        named: &NamedType,
        has_start_elsewhere: bool,
    ) -> Option<(Vec<QueryField>, WrittenStart)> {
        let mut filters = entry.read_or(&keys::FILTERS, Vec::new())?;
        // One that can't be read is told of where it stands.
        let stands_in = |text: &str| Template::parse(text).map_or(true, |template| template.has_start_date());
        let in_filters = has_start_elsewhere || filters.iter().any(|(_, text)| stands_in(&text.value));
        let start_name = match entry.find(&keys::START_DATE_NAME) {
            Some(found) => Some(found.text()?),
            None if named.odata => self.odata_field(entry),
            None if in_filters || entry.has(&keys::CURSOR) || keeps_position(entry) => None,
            None if has_next_iteration(entry) => None,
            None => return entry.require(&keys::START_DATE_NAME).and(None),
        };
        let start_filter = start_name.as_ref().and_then(|name| self.take_start(&mut filters, name));
        let configured = start_filter.as_ref().map(|(date, _)| *date);
        // A start without a zone is meant in UTC.
        let style = start_filter.as_ref().and_then(|(_, text)| DateStyle::of(text, Zone::Utc)).map(Arc::new);
        let mut query = self.query(filters);
        if named.odata {
            query.iter_mut().for_each(|field| field.name = odata_name(std::mem::take(&mut field.name)));
        }
        let written = start_filter.map(|(_, text)| format_of(&text));
        if named.odata {
            if !in_filters {
                add_odata_clause(&mut query, start_name.as_deref()?);
            }
            return Some((query, WrittenStart { configured, format: DateFormat::Zulu, style }));
        }
        let default = if in_filters { DateFormat::Zulu } else { DateFormat::Offset };
        if let (false, Some(name)) = (in_filters, &start_name) {
            let value = Template::variable(Variable::StartDate(DateFormat::Zulu));
            query.push(QueryField { name: query::query_name(name), value });
        }
        Some((query, WrittenStart { configured, format: written.unwrap_or(default), style }))
    }

    /// The date's field as OData names it: the keys of its path, joined by `/`.
    fn odata_field(&self, entry: &Section<'_>) -> Option<String> {
        let found = entry.find(&keys::DATA_DATE)?;
        let path = JsonPath::parse(&found.filled()?).ok()?;
        let field = path.keys().map(|keys| keys.join("/"));
        if field.is_none() {
            let hint = "set `start_date_name` to the field that `$filter` compares";
            return found.refuse("it names no single field, so no start date can be asked for", Some(hint));
        }
        field
    }

    /// Takes the filter out that says where to begin. Gives its date, and how that is written.
    fn take_start(&self, filters: &mut Vec<(String, Text)>, name: &str) -> Option<(DateTime<Utc>, String)> {
        let holds_start = |text: &str| Template::parse(text).is_ok_and(|template| template.has_start_date());
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().trim().to_owned();
        let wanted = decoded(name);
        let is_start = |text: &str| decoded(text) == wanted;
        let at = filters.iter().position(|(key, text)| is_start(key) && !holds_start(&text.value))?;
        let (_, text) = filters.remove(at);
        let written = decoded(&text.value);
        let start = date::parse(&written).map(|date| (date, written));
        if start.is_none() && !self.reader.is_poisoned(&text.spot) {
            let hint = "like 2021-10-05T10:10:10+00:00".to_owned();
            self.reader.error(&text.spot, "the start date is not a valid date", Some(hint));
        }
        start
    }
}

/// Whether no start is sent: the API keeps the position itself, or the request never changes.
pub(super) fn keeps_position(entry: &Section<'_>) -> bool {
    let kind = entry.find(&keys::CHECKPOINT).and_then(|found| CheckpointChoice::named(&found.text()?));
    matches!(kind, Some(CheckpointKind::Server | CheckpointKind::Snapshot(_)))
}

fn odata_name(name: String) -> String {
    match name.strip_prefix("%24") {
        Some(rest) => format!("${rest}"),
        None if name.starts_with('$') => name,
        None => format!("${name}"),
    }
}

/// Makes the start date a clause of `$filter`, before the user's own.
fn add_odata_clause(query: &mut Vec<QueryField>, field: &str) {
    let own = query.iter().position(|known| known.name == "$filter").map(|at| query.remove(at).value);
    let before = query::encode_component(&format!("{field} ge "));
    let mut value = Template::text(before).and(Template::variable(Variable::StartDate(DateFormat::Zulu)));
    if let Some(own) = own.filter(|own| !own.pieces().is_empty()) {
        // OData reads `or` as weaker than `and`.
        let words = crate::text::form_decoded(&own.texts()).to_lowercase();
        let has_or = words.split_whitespace().any(|word| word == "or");
        let [open, close] = if has_or { ["%20and%20(", ")"] } else { ["%20and%20", ""] };
        value = value.and(Template::text(open)).and(own).and(Template::text(close));
    }
    query.insert(0, QueryField { name: "$filter".to_owned(), value });
}

/// How the user's own start date is written, so that the next ones look the same.
fn format_of(written: &str) -> DateFormat {
    let digits = written.bytes().all(|b| b.is_ascii_digit());
    match written.len() {
        9 | 10 if digits => DateFormat::UnixSeconds,
        12 | 13 if digits => DateFormat::UnixMilliseconds,
        10 if written.contains('-') => DateFormat::Day,
        _ if written.ends_with(['Z', 'z']) => DateFormat::Zulu,
        _ => DateFormat::Offset,
    }
}
