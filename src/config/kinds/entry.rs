//! What an entry is made of: its type and name, paths into answers, filters, fields.

use reqwest::StatusCode;
use reqwest::header::HeaderName;
use serde_json::{Value, json};

use super::pattern::{HEADER_NAME, SCALAR, filled, one_or_more, or_filled_in, spelled_in_any_case};
use super::text::OptionalText;
use super::{Kind, Traits};
use crate::config::catalog::{NamedType, types_of};
use crate::config::place::Place;
use crate::config::value::{Found, Text};
use crate::decode::Format;
use crate::paging::{LinkPart, LinkSource, Locator, MoreFlag};
use crate::plan::RecordRule;
use crate::record::path::JsonPath;
use crate::record::{CustomFields, IdPaths};

/// The statuses that may mean that there are no records, or none yet; a server's own failure never does.
const EMPTY_STATUSES: std::ops::Range<u16> = 200..500;

/// The entries of a list of APIs.
pub(in crate::config) enum ApiEntries {}

impl Kind for ApiEntries {
    /// Each with where it stands.
    type Value<'v> = Vec<Found<'v>>;

    fn read<'v>(found: &Found<'v>) -> Option<Vec<Found<'v>>> {
        match found.value {
            serde_yaml::Value::Sequence(_) => Some(found.items()),
            _ => found.refuse("it should be a list of APIs", Some("begin each with `- type: …`")),
        }
    }

    fn schema(_: Place) -> Value {
        json!({ "type": "array" })
    }
}

/// The type of an entry.
pub(in crate::config) enum TypeName {}

impl Kind for TypeName {
    type Value<'v> = Text;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<Text> {
        Some(Text { value: found.text()?, spot: found.spot.clone() })
    }

    fn schema(place: Place) -> Value {
        let names: Vec<&str> = types_at(place).map(|named| named.name.as_str()).collect();
        let in_blanks = or_filled_in(&format!(r"^\s*({})\s*$", names.join("|")));
        // The names for an editor to offer, the pattern for everything else that is understood.
        json!({ "anyOf": [{ "enum": names }, { "type": "string", "pattern": in_blanks }] })
    }

    fn words(_: Place) -> Option<String> {
        Some("`general`, or a type of the catalog: `catalog list` shows them.".to_owned())
    }
}

/// The name of an API.
pub(in crate::config) enum Name {}

impl Kind for Name {
    type Value<'v> = String;

    fn read(found: &Found<'_>) -> Option<String> {
        let name = found.filled()?;
        match name.chars().any(char::is_control) {
            true => found.refuse("a name has no line breaks or control characters in it", None),
            false => Some(name),
        }
    }

    fn schema(_: Place) -> Value {
        json!({ "type": SCALAR, "pattern": r"^\s*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*\s*$" })
    }
}

/// Whether something holds.
pub(in crate::config) enum Flag {}

impl Kind for Flag {
    type Value<'v> = bool;
    const TRAITS: Traits = Traits { blank_is_absent: true, ..Traits::SHOWN };

    fn read(found: &Found<'_>) -> Option<bool> {
        match found.text()?.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => found.refuse("it should be true or false", None),
        }
    }

    fn schema(_: Place) -> Value {
        json!({ "type": ["boolean", "string"], "pattern": or_filled_in(r"^\s*(true|false)?\s*$") })
    }
}

/// The name of what takes the start date.
pub(in crate::config) enum StartName {}

impl Kind for StartName {
    type Value<'v> = String;
    const TRAITS: Traits = OptionalText::TRAITS;

    fn read(found: &Found<'_>) -> Option<String> {
        OptionalText::read(found)
    }

    fn schema(place: Place) -> Value {
        OptionalText::schema(place)
    }

    fn words(place: Place) -> Option<String> {
        let odata = types_at(place).find(|named| named.odata)?;
        Some(format!("Of OData services, such as `{}`: the field that `$filter` compares.", odata.name))
    }
}

/// A JSON path that must not be empty.
pub(in crate::config) enum Path {}

impl Kind for Path {
    type Value<'v> = JsonPath;

    fn read(found: &Found<'_>) -> Option<JsonPath> {
        path(found, &found.filled()?)
    }

    fn schema(_: Place) -> Value {
        filled()
    }
}

/// The path of the records; whether a page may lack it.
pub(in crate::config) enum DataPath {}

impl Kind for DataPath {
    type Value<'v> = (JsonPath, bool);

    fn read(found: &Found<'_>) -> Option<(JsonPath, bool)> {
        let text = found.filled()?;
        let marked = text.strip_suffix('?');
        Some((path(found, marked.unwrap_or(&text))?, marked.is_some()))
    }

    fn schema(_: Place) -> Value {
        filled()
    }
}

/// A JSON path that may be empty, which is as good as absent.
pub(in crate::config) enum OptionalPath {}

impl Kind for OptionalPath {
    type Value<'v> = JsonPath;
    const TRAITS: Traits = Traits::BLANK_IS_ABSENT;

    fn read(found: &Found<'_>) -> Option<JsonPath> {
        path(found, &found.text()?)
    }

    fn schema(_: Place) -> Value {
        json!({ "type": SCALAR })
    }
}

/// One JSON path, or a list of them; a blank, or an empty list, is as good as absent.
pub(in crate::config) enum IdPathsKind {}

impl Kind for IdPathsKind {
    /// `None` for an empty list.
    type Value<'v> = Option<IdPaths>;
    const TRAITS: Traits = Traits { is_open: true, ..Traits::BLANK_IS_ABSENT };

    fn read(found: &Found<'_>) -> Option<Option<IdPaths>> {
        let paths = found.items().into_iter().map(|item| path(&item, &item.text()?));
        Some(IdPaths::new(paths.collect::<Option<Vec<_>>>()?))
    }

    fn schema(_: Place) -> Value {
        json!({ "anyOf": [{ "type": SCALAR }, { "type": "array", "items": filled() }] })
    }
}

/// A JSON path to which null says: never look.
pub(in crate::config) enum ErrorPath {}

impl Kind for ErrorPath {
    type Value<'v> = JsonPath;
    const TRAITS: Traits = Traits { null_counts: true, ..Traits::BLANK_IS_ABSENT };

    fn read(found: &Found<'_>) -> Option<JsonPath> {
        OptionalPath::read(found)
    }

    fn schema(place: Place) -> Value {
        OptionalPath::schema(place)
    }
}

/// The parameters of a query: names and values, a list is the same name several times.
pub(in crate::config) enum Filters {}

impl Kind for Filters {
    type Value<'v> = Vec<(String, Text)>;
    const TRAITS: Traits = Traits::OPEN;

    fn read(found: &Found<'_>) -> Option<Vec<(String, Text)>> {
        Some(found.pairs())
    }

    fn schema(_: Place) -> Value {
        json!({ "type": "object", "additionalProperties": one_or_more(None) })
    }
}

/// Names and values of any kind.
pub(in crate::config) enum CustomFieldsKind {}

impl Kind for CustomFieldsKind {
    type Value<'v> = CustomFields;
    const TRAITS: Traits = Traits::OPEN;

    fn read(found: &Found<'_>) -> Option<CustomFields> {
        CustomFields::new(&found.fields()).ok()
    }

    fn schema(_: Place) -> Value {
        json!({ "type": "object" })
    }
}

/// Where a page holds the link to the next one.
pub(in crate::config) enum NextLink {}

/// The value of `json_paths.next_url`.
pub(in crate::config) enum NextLinkValue {
    /// In the body.
    Body(JsonPath),
    /// In a header, or put together.
    Other(LinkSource),
}

impl Kind for NextLink {
    type Value<'v> = NextLinkValue;
    const TRAITS: Traits = Traits::BLANK_IS_ABSENT;

    fn read(found: &Found<'_>) -> Option<NextLinkValue> {
        let text = found.text()?;
        if let Some(name) = header_name(found, &text) {
            return Some(NextLinkValue::Other(match name? {
                name if name == "link" => LinkSource::LinkHeader,
                name => LinkSource::Header(name),
            }));
        }
        match text.starts_with('$') || !text.contains('{') {
            true => Some(NextLinkValue::Body(path(found, &text)?)),
            false => Some(NextLinkValue::Other(LinkSource::Joined(link_parts(found, &text)?))),
        }
    }

    fn schema(_: Place) -> Value {
        json!({ "type": SCALAR })
    }
}

/// The parts of a link that is put together of texts and `{paths}`.
fn link_parts(found: &Found<'_>, text: &str) -> Option<Vec<LinkPart>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('{') {
        let Some((inside, after)) = from.split_once('}') else {
            return found
                .refuse("a `{` without its `}`", Some("like 'https://host.example/events?cursor={meta.cursor}'"));
        };
        parts.extend((!before.is_empty()).then(|| LinkPart::Text(before.to_owned())));
        parts.push(LinkPart::Value(locator(found, inside)?));
        rest = after;
    }
    parts.extend((!rest.is_empty()).then(|| LinkPart::Text(rest.to_owned())));
    Some(parts)
}

/// Where an answer holds a value: a JSON path, or `header.NAME`.
pub(in crate::config) enum ValueLocator {}

impl Kind for ValueLocator {
    type Value<'v> = Locator;
    const TRAITS: Traits = Traits::BLANK_IS_ABSENT;

    fn read(found: &Found<'_>) -> Option<Locator> {
        locator(found, &found.text()?)
    }

    fn schema(_: Place) -> Value {
        json!({ "type": SCALAR })
    }
}

fn locator(found: &Found<'_>, text: &str) -> Option<Locator> {
    match header_name(found, text) {
        Some(name) => Some(Locator::Header(name?)),
        None => Some(Locator::Body(path(found, text)?)),
    }
}

/// The name in `header.NAME`; `Some(None)` where it can't be one, which is noted.
fn header_name(found: &Found<'_>, text: &str) -> Option<Option<HeaderName>> {
    let name = text.strip_prefix("header.").or_else(|| text.strip_prefix("headers."))?;
    Some(match HeaderName::from_bytes(name.trim().as_bytes()) {
        Ok(name) => Some(name),
        Err(_) => found.refuse("it is not a valid HTTP header name", Some("like header.Link")),
    })
}

/// The name of a header.
pub(in crate::config) enum HeaderNameKind {}

impl Kind for HeaderNameKind {
    type Value<'v> = HeaderName;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<HeaderName> {
        match HeaderName::from_bytes(found.text()?.trim().as_bytes()) {
            Ok(name) => Some(name),
            Err(_) => found.refuse("it is not a valid HTTP header name", Some("like Response-Id")),
        }
    }

    fn schema(_: Place) -> Value {
        json!({ "type": "string", "pattern": or_filled_in(HEADER_NAME) })
    }
}

/// A flag of the answer; with a `!` before it the opposite counts.
pub(in crate::config) enum FlagPath {}

impl Kind for FlagPath {
    type Value<'v> = MoreFlag;
    const TRAITS: Traits = Traits::BLANK_IS_ABSENT;

    fn read(found: &Found<'_>) -> Option<MoreFlag> {
        let text = found.text()?;
        let opposite = text.strip_prefix('!');
        let path = path(found, opposite.unwrap_or(&text).trim())?;
        Some(MoreFlag { path, is_negated: opposite.is_some() })
    }

    fn schema(_: Place) -> Value {
        json!({ "type": SCALAR })
    }
}

/// What the body of an answer is.
pub(in crate::config) enum FormatName {}

impl Kind for FormatName {
    type Value<'v> = Format;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<Format> {
        match found.text()?.to_ascii_lowercase().as_str() {
            "json" => Some(Format::Json),
            "ndjson" => Some(Format::Ndjson),
            "csv" => Some(Format::Csv),
            _ => found.refuse("it should be json, ndjson or csv", None),
        }
    }

    fn schema(_: Place) -> Value {
        spelled_in_any_case(&["json", "ndjson", "csv"], None)
    }
}

/// How the records of an answer are read.
pub(in crate::config) enum RecordsName {}

impl Kind for RecordsName {
    type Value<'v> = RecordRule;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<RecordRule> {
        match found.text()?.to_ascii_lowercase().as_str() {
            "any" => Some(RecordRule::Any),
            "strict" => Some(RecordRule::Strict),
            _ => found.refuse("it should be any or strict", None),
        }
    }

    fn schema(_: Place) -> Value {
        spelled_in_any_case(&["any", "strict"], None)
    }
}

/// Statuses of answers: a number, or a list of them.
pub(in crate::config) enum Statuses {}

impl Kind for Statuses {
    type Value<'v> = Vec<StatusCode>;
    const TRAITS: Traits = Traits::OPEN;

    fn read(found: &Found<'_>) -> Option<Vec<StatusCode>> {
        let status = |item: Found<'_>| {
            let status = item.text()?.trim().parse().ok().and_then(|status| StatusCode::from_u16(status).ok());
            match status.filter(|status| EMPTY_STATUSES.contains(&status.as_u16())) {
                Some(status) => Some(status),
                None => item.refuse("it should be a status between 200 and 499, like 404", None),
            }
        };
        Some(found.items().into_iter().filter_map(status).collect())
    }

    fn schema(_: Place) -> Value {
        let one = json!({ "type": ["integer", "string"], "minimum": 200, "maximum": 499,
            "pattern": or_filled_in(r"^\s*[2-4][0-9][0-9]\s*$") });
        json!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// How many records a full page has.
pub(in crate::config) enum PageSize {}

impl Kind for PageSize {
    type Value<'v> = u64;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<u64> {
        match found.text()?.trim().parse() {
            Ok(size) if size > 0 => Some(size),
            _ => found.refuse("it should be a whole number above 0", Some("as many records as a full page has")),
        }
    }

    fn schema(_: Place) -> Value {
        json!({ "type": SCALAR, "pattern": or_filled_in(r"^\s*\+?0*[1-9][0-9]*\s*$") })
    }
}

pub(super) fn path(found: &Found<'_>, text: &str) -> Option<JsonPath> {
    match JsonPath::parse(text) {
        Ok(path) => Some(path),
        Err(error) => found.refuse(&format!("it is not a valid JSON path: {error}"), None),
    }
}

fn types_at(place: Place) -> impl Iterator<Item = &'static NamedType> {
    place.list().into_iter().flat_map(types_of)
}
