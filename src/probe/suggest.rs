//! Where in a page things are likely to stand: its records, their dates and ids, and the link to the next page. Pure.
//!
//! Enters: a page, or its records. Leaves: paths as the config writes them, the likeliest first, each with its reason.
//! What always holds: such a path finds exactly what it was suggested for; a walk looks at a bounded number of values;
//! no reason holds foreign text.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Url;

use super::redact::is_written_date;
use super::way::Way;
use crate::hosts::HostRule;
use crate::paging::{NextLinkError, next_link};
use crate::record::date;
use crate::record::json::{JsonType, RawJson};
use crate::record::path::JsonPath;
use crate::words::counted;

/// How deep a walk goes: answers hold their records and links near the top.
const DEPTH_MAX: usize = 6;
/// How many values of a page a walk looks at.
const PAGE_NODES_MAX: usize = 10_000;
/// How many values of a record a walk looks at.
const RECORD_NODES_MAX: usize = 300;
/// How many records are walked: the first ones look like the rest.
const RECORDS_WALKED_MAX: usize = 200;
/// How many different paths are kept: records whose keys are data would fill the memory.
const PATHS_MAX: usize = 3_000;
/// In how many records a path is tried that was found by walking.
const RECORDS_TRIED_MAX: usize = 20;
/// How many lists of a page are looked into for dates.
const LISTS_DATED_MAX: usize = 50;
/// How many records of each.
const LIST_RECORDS_MAX: usize = 10;
/// How many candidates of a kind there are.
const CANDIDATES_MAX: usize = 6;
/// The longest text that may be an id, in characters.
const ID_CHARS_MAX: usize = 100;
/// Lists of links (`[{"rel": "next", "href": …}]`) are no longer than this.
const LINKS_MAX: usize = 20;
/// A number or text that reads as a date further back than this is more likely a number: log APIs keep months.
const PLAUSIBLE_DAYS_BACK: i64 = 20 * 365;
/// The same for a number whose name speaks of no time.
const PLAUSIBLE_DAYS_BACK_UNNAMED: i64 = 400;
/// … or as one further ahead.
const PLAUSIBLE_DAYS_AHEAD: i64 = 2;

/// A path that would find something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// As the config writes it.
    pub path: String,
    /// What it finds; no foreign text.
    pub why: String,
    /// Whether it may be taken without asking anybody.
    pub is_likely: bool,
}

/// Lists of objects, those with dates in them first, then the longest.
///
/// A page's lists of links or facets may be longer than that of its records; only records have dates.
#[must_use]
pub fn records(root: RawJson<'_>, now: DateTime<Utc>) -> Vec<Candidate> {
    let mut found = Vec::new();
    let lists =
        values(root, PAGE_NODES_MAX, Lists::Wrappers).into_iter().filter(|(_, raw)| raw.kind() == JsonType::Array);
    for (at, (way, raw)) in lists.enumerate() {
        let is_empty = raw.elements().next().is_none();
        let is_named = way.keys().next_back().is_none_or(|name| RECORDS_NAMES.contains(&plain(name).as_str()));
        let objects = || raw.elements().filter(|element| element.kind() == JsonType::Object);
        let count = objects().count();
        if count == 0 && !(is_empty && is_named) {
            continue;
        }
        let first: Vec<RawJson<'_>> = objects().take(LIST_RECORDS_MAX).collect();
        let has_dates = at < LISTS_DATED_MAX && dates(&first, now).first().is_some_and(|candidate| candidate.is_likely);
        let why = match (is_empty, has_dates) {
            (true, _) => "an empty list on this page".to_owned(),
            (false, true) => format!("{} with dates", counted(count as u64, "record")),
            (false, false) => counted(count as u64, "object"),
        };
        let order = (!has_dates, Reverse(count), !is_named, way.depth());
        found.push((order, Found { way, why, is_likely: has_dates || is_named }));
    }
    ranked(found, &[root])
}

/// Values that read as dates: plausible ones first, then those that most records have, then by name.
#[must_use]
pub fn dates(records: &[RawJson<'_>], now: DateTime<Utc>) -> Vec<Candidate> {
    let (walked, leaves) = leaves(records);
    let mut found = Vec::new();
    for (way, values) in leaves {
        let of_scalar = |raw: &RawJson<'_>| raw.scalar().and_then(|text| date::parse(&text));
        let read: Vec<DateTime<Utc>> = values.iter().filter_map(of_scalar).collect();
        if read.is_empty() {
            continue;
        }
        let rank = date_rank(&way.keys().next_back().map(plain).unwrap_or_default());
        let is_written = values.iter().any(|raw| raw.scalar().is_some_and(|text| is_written_date(&text)));
        let days_back = match (is_written, rank) {
            (true, _) | (_, NameRank::Event | NameRank::Time | NameRank::Later) => PLAUSIBLE_DAYS_BACK,
            (false, NameRank::Neutral) => PLAUSIBLE_DAYS_BACK_UNNAMED,
            (false, NameRank::Id) => 0,
        };
        let near = read.iter().filter(|date| is_near(**date, now, days_back)).count();
        let is_plausible = near * 2 > read.len();
        let share = match read.len() {
            all if all == walked.len() => 0,
            most if most * 2 >= walked.len() => 1,
            _ => 2,
        };
        let what = if is_plausible { "a date" } else { "what reads as a date, but is more likely a number" };
        let why = format!("{} of {} have {what} here", read.len(), counted(walked.len() as u64, "record"));
        let order = (!is_plausible, share, rank, way.depth(), !is_written);
        found.push((order, Found { way, why, is_likely: is_plausible && share < 2 }));
    }
    ranked(found, &walked)
}

/// Text and whole numbers that differ in every record, those called like ids first.
#[must_use]
pub fn ids(records: &[RawJson<'_>], now: DateTime<Utc>) -> Vec<Candidate> {
    let (walked, leaves) = leaves(records);
    let mut found = Vec::new();
    for (way, values) in leaves {
        let texts: Vec<&str> = values.iter().filter(|raw| may_be_id(**raw)).map(|raw| raw.text()).collect();
        let different: HashSet<&str> = texts.iter().copied().collect();
        if texts.len() < walked.len() || different.len() < texts.len() {
            continue;
        }
        let name = way.keys().next_back().map(plain).unwrap_or_default();
        let rank = id_rank(&name);
        let reads_as_date = |raw: &RawJson<'_>| {
            let date = raw.scalar().and_then(|text| date::parse(&text));
            date.is_some_and(|date| is_near(date, now, PLAUSIBLE_DAYS_BACK))
        };
        // What differs in one record alone says nothing, but for its name.
        if rank == IdRank::Other && (walked.len() < 2 || values.iter().all(reads_as_date)) {
            continue;
        }
        let why = format!("different in each of {}", counted(walked.len() as u64, "record"));
        // An id of somebody else (of a user, a session) would make one record of two.
        found.push(((rank, way.depth()), Found { way, why, is_likely: rank == IdRank::Id }));
    }
    ranked(found, &walked)
}

/// URLs outside of the records: those called like a next link, then others on the origin; ways back only where there is
/// nothing else.
#[must_use]
pub fn next_links(root: RawJson<'_>, page: &Url, configured: &Url, hosts: &[HostRule]) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut listed = Vec::new();
    for (way, raw) in values(root, PAGE_NODES_MAX, Lists::Wrappers) {
        listed.extend(listed_link(root, &way, raw, page, (configured, hosts)));
        let names: Vec<String> = way.keys().map(plain).collect();
        let role = Role::of(&names);
        let why = match raw.kind() {
            JsonType::Null if names.last().is_some_and(|name| NEXT_NAMES.contains(&name.as_str())) => {
                Some(("null here: the last page".to_owned(), true))
            }
            JsonType::Text => link_why(&raw.scalar().unwrap_or_default(), page, configured, hosts),
            _ => None,
        };
        let Some((why, is_followed)) = why else { continue };
        let order = (role, raw.is_null(), !is_followed, way.depth());
        found.push((order, Found { way, why, is_likely: role == Role::Next && is_followed }));
    }
    if !listed.is_empty() || found.iter().any(|((role, ..), _)| *role != Role::Back) {
        found.retain(|((role, ..), _)| *role != Role::Back);
    }
    let found = ranked(found, &[root]);
    let (likely, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|candidate| candidate.is_likely);
    likely.into_iter().chain(listed).chain(others).take(CANDIDATES_MAX).collect()
}

/// `[{"rel": "next", "href": …}]`: the link is found by its role, as its place moves from page to page.
fn listed_link(
    root: RawJson<'_>,
    way: &Way,
    raw: RawJson<'_>,
    page: &Url,
    (configured, hosts): (&Url, &[HostRule]),
) -> Option<Candidate> {
    let is_short = raw.kind() == JsonType::Array && raw.elements().nth(LINKS_MAX).is_none();
    let mut links = raw.elements().filter(|_| is_short);
    let next = links.find(|link| link.member("rel").is_some_and(|rel| rel.is_text("next")))?;
    let name = ["href", "url", "uri"].into_iter().find(|name| next.member(name).is_some())?;
    let link = next.member(name)?;
    let (why, is_followed) = link_why(&link.scalar()?, page, configured, hosts)?;
    let path = format!("{}[?@.rel=='next'].{name}", way.rooted());
    let finds = JsonPath::parse(&path).ok()?.first(root)?;
    (finds.offset_in(root) == link.offset_in(root)).then_some(Candidate { path, why, is_likely: is_followed })
}

/// What a text is as a link, and whether it would be followed.
fn link_why(text: &str, page: &Url, configured: &Url, hosts: &[HostRule]) -> Option<(String, bool)> {
    let text = text.trim();
    let is_absolute = text.starts_with("https://") || text.starts_with("http://");
    let is_relative = text.starts_with(['/', '?']) || (text.contains('?') && text.contains('='));
    if !(is_absolute || is_relative) || text.contains(char::is_whitespace) {
        return None;
    }
    match next_link(text, page, configured, hosts) {
        Ok(url) if url.origin() != configured.origin() => {
            Some(("a URL on an origin that `hosts` names".to_owned(), true))
        }
        Ok(_) if is_absolute => Some(("a URL on the same origin".to_owned(), true)),
        Ok(_) => Some(("a relative URL".to_owned(), true)),
        Err(NextLinkError::NoUrl) => None,
        Err(_) => Some(("a URL on another origin, which is refused".to_owned(), false)),
    }
}

/// Whether a value near the root is called as one of Microsoft's OData services calls it.
#[must_use]
pub fn is_odata(root: RawJson<'_>) -> bool {
    root.members().take(PAGE_NODES_MAX).any(|member| member.key.scalar().is_some_and(|key| key.starts_with("@odata.")))
}

/// Which way a link leads, as its names have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Next,
    Unknown,
    Back,
}

impl Role {
    fn of(names: &[String]) -> Self {
        let is_back = |name: &String| BACK_NAMES.iter().any(|back| name.starts_with(back) || name.ends_with(back));
        match (names.last(), names.iter().any(|name| name.contains("next"))) {
            (Some(last), _) if is_back(last) && !last.contains("next") => Self::Back,
            (_, true) => Self::Next,
            _ => Self::Unknown,
        }
    }
}

const BACK_NAMES: [&str; 6] = ["self", "prev", "previous", "first", "last", "current"];
const NEXT_NAMES: &[&str] =
    &["next", "nexturl", "nextlink", "nextpage", "nextpageurl", "nextpagelink", "nexthref", "nexturi", "odatanextlink"];
const RECORDS_NAMES: &[&str] =
    &["data", "value", "values", "items", "events", "results", "records", "entries", "logs", "hits", "alerts", "list"];
const EVENT_DATE_NAMES: &[&str] = &[
    "date",
    "time",
    "timestamp",
    "datetime",
    "eventtime",
    "eventdate",
    "eventtimestamp",
    "createddatetime",
    "createdat",
    "created",
    "createdtime",
    "createdon",
    "createddate",
    "creationtime",
    "creationdate",
    "activitydatetime",
    "occurredat",
    "occurred",
    "published",
    "publishedat",
    "eventcreatedtime",
    "ts",
    "logtime",
    "loggedat",
];
const LATER_DATE_PARTS: [&str; 11] =
    ["updated", "modified", "changed", "expir", "last", "end", "deleted", "due", "birth", "until", "closed"];
const DATE_PARTS: [&str; 6] = ["date", "time", "stamp", "creat", "occur", "when"];
const ID_NAMES: &[&str] = &["id", "uuid", "guid", "eventid", "recordid", "logid", "eventuuid", "entryid"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum NameRank {
    /// When something took place.
    Event,
    /// Some moment.
    Time,
    Neutral,
    /// When something came to an end, or changed.
    Later,
    /// An id.
    Id,
}

fn date_rank(name: &str) -> NameRank {
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    match name {
        _ if EVENT_DATE_NAMES.contains(&name) => NameRank::Event,
        _ if has(&LATER_DATE_PARTS) => NameRank::Later,
        _ if has(&DATE_PARTS) || name.ends_with("at") => NameRank::Time,
        _ if id_rank(name) != IdRank::Other => NameRank::Id,
        _ => NameRank::Neutral,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum IdRank {
    Id,
    Like,
    Other,
}

fn id_rank(name: &str) -> IdRank {
    match name {
        _ if ID_NAMES.contains(&name) => IdRank::Id,
        _ if ["id", "key", "hash"].iter().any(|end| name.ends_with(end)) => IdRank::Like,
        _ => IdRank::Other,
    }
}

/// A key without what people put between its words.
fn plain(key: &str) -> String {
    key.chars().take(ID_CHARS_MAX).filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn may_be_id(raw: RawJson<'_>) -> bool {
    match raw.kind() {
        JsonType::Number => !raw.text().contains(['.', 'e', 'E']),
        JsonType::Text => {
            let text = raw.scalar().unwrap_or_default();
            let fits = !text.is_empty() && text.chars().nth(ID_CHARS_MAX).is_none();
            fits && !text.contains(char::is_whitespace) && !is_written_date(&text)
        }
        _ => false,
    }
}

fn is_near(date: DateTime<Utc>, now: DateTime<Utc>, days_back: i64) -> bool {
    let ahead = date.signed_duration_since(now);
    ahead > -TimeDelta::days(days_back) && ahead < TimeDelta::days(PLAUSIBLE_DAYS_AHEAD)
}

/// A candidate before its path is written.
struct Found {
    way: Way,
    why: String,
    is_likely: bool,
}

/// The candidates in their order; of equal ones the first of the page.
fn ranked<O: Ord>(mut found: Vec<(O, Found)>, roots: &[RawJson<'_>]) -> Vec<Candidate> {
    let roots = roots.get(..RECORDS_TRIED_MAX).unwrap_or(roots);
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    let candidates = found
        .into_iter()
        .filter_map(|(_, Found { way, why, is_likely })| Some(Candidate { path: way.text(roots)?, why, is_likely }));
    candidates.take(CANDIDATES_MAX).collect()
}

/// The keys near a root.
pub(super) fn keys(root: RawJson<'_>) -> HashSet<String> {
    let values = values(root, PAGE_NODES_MAX, Lists::Wrappers);
    values.iter().filter_map(|(way, _)| way.keys().next_back()).map(str::to_owned).collect()
}

/// Into which lists a walk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lists {
    /// Into lists of one object, which wrap it.
    Wrappers,
    /// Into none.
    None,
}

/// The values below a root, level by level, those nearer to it first.
fn values(root: RawJson<'_>, nodes_max: usize, into: Lists) -> Vec<(Way, RawJson<'_>)> {
    let mut all = vec![(Way::default(), root)];
    let mut at = 0;
    while let Some((way, raw)) = all.get(at).cloned() {
        at += 1;
        if way.depth() >= DEPTH_MAX {
            continue;
        }
        let left = nodes_max.saturating_sub(all.len());
        let members = raw.members().filter_map(|member| Some((member.key.scalar()?, member.value)));
        all.extend(members.take(left).map(|(key, value)| (way.key(&key), value)));
        let mut elements = raw.elements();
        let only = elements.next().filter(|element| into == Lists::Wrappers && element.kind() == JsonType::Object);
        if let (Some(only), None) = (only, elements.next()) {
            all.push((way.index(0), only));
        }
    }
    all
}

/// The scalars of the first records by the way to them, in the order in which they were met, and those records.
fn leaves<'a>(records: &[RawJson<'a>]) -> (Vec<RawJson<'a>>, Vec<(Way, Vec<RawJson<'a>>)>) {
    let objects = records.iter().copied().filter(|record| record.kind() == JsonType::Object);
    let walked: Vec<RawJson<'a>> = objects.take(RECORDS_WALKED_MAX).collect();
    let mut places: HashMap<Way, usize> = HashMap::new();
    let mut leaves: Vec<(Way, Vec<RawJson<'a>>)> = Vec::new();
    for record in &walked {
        for (way, raw) in values(*record, RECORD_NODES_MAX, Lists::None) {
            if !matches!(raw.kind(), JsonType::Text | JsonType::Number) {
                continue;
            }
            let at = *places.entry(way.clone()).or_insert(leaves.len());
            match leaves.get_mut(at) {
                Some((_, values)) => values.push(raw),
                None if at < PATHS_MAX => leaves.push((way, vec![raw])),
                None => {
                    places.remove(&way);
                }
            }
        }
    }
    (walked, leaves)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CISCO: &str = r#"{"version":"v1.2.0","metadata":{"links":{"self":"https://api.example/v1/events?limit=2",
        "next":"https://api.example/v1/events?limit=2&offset=2"},"results":{"total":3}},"data":[
        {"id":6159258594551267592,"timestamp":1716900002,"timestamp_nanoseconds":113000000,"date":"2024-05-28T12:40:02+00:00",
         "event_type_id":553648130,"computer":{"connector_guid":"a","links":{"computer":"https://api.example/v1/c/1"}}},
        {"id":6159258594551267591,"timestamp":1716900001,"timestamp_nanoseconds":13000000,"date":"2024-05-28T12:40:01+00:00",
         "event_type_id":553648131,"computer":{"connector_guid":"a"}}]}"#;
    const GRAPH: &str = r#"{"@odata.context":"https://api.example/v1.0/$metadata#auditLogs","@odata.nextLink":"https://api.example/v1.0/x?$skiptoken=1",
        "value":[{"id":"66ea54eb","createdDateTime":"2024-05-28T12:40:02.1234567Z","lastModified":"2024-05-28T12:40:02Z","appId":"a"},
        {"id":"77ea54eb","createdDateTime":"2024-05-28T12:40:01.1234567Z","lastModified":"2024-05-28T12:40:02Z","appId":"b"}]}"#;

    fn now() -> DateTime<Utc> {
        date::parse("2024-05-28T13:00:00Z").expect("a date")
    }

    /// The paths of the likely candidates: records, dates, ids, next links.
    fn likely(page: &str) -> [Vec<String>; 4] {
        let root = RawJson::parse(page).expect("JSON");
        let url = Url::parse("https://api.example/v1/events").expect("a URL");
        let lists = records(root, now());
        let records: Vec<RawJson<'_>> = lists.first().map_or_else(Vec::new, |list| {
            let path = JsonPath::parse(&list.path).expect("a path");
            path.first(root).into_iter().flat_map(RawJson::elements).collect()
        });
        [lists, dates(&records, now()), ids(&records, now()), next_links(root, &url, &url, &[])]
            .map(|all| all.into_iter().filter(|one| one.is_likely).map(|one| one.path).collect())
    }

    #[track_caller]
    fn check(page: &str, records: &[&str], dates: &[&str], ids: &[&str], next: &[&str]) {
        assert_eq!(
            likely(page),
            [records, dates, ids, next].map(|paths| paths.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>())
        );
    }

    #[test]
    fn finds_its_way_in_the_pages_of_common_apis() {
        check(CISCO, &["data"], &["date", "timestamp"], &["id"], &["metadata.links.next"]);
        check(GRAPH, &["value"], &["createdDateTime", "lastModified"], &["id"], &["@odata.nextLink"]);
        let unix_ms = r#"[{"ts":1716900002000,"size":17},{"ts":1716900001000,"size":19}]"#;
        check(unix_ms, &["$"], &["ts"], &[], &[]);
        let rel = r#"{"items":[{"created_at":"2024-05-28"}],"links":[{"rel":"self","href":"/e"},{"rel":"next","href":"/e?p=2"}]}"#;
        check(rel, &["items"], &["created_at"], &[], &["$['links'][?@.rel=='next'].href"]);
        let last_page = r#"{"results":[{"uuid":"a","time":"2024-05-28T10:00:00Z"}],"next":null,"previous":"/e?p=1"}"#;
        check(last_page, &["results"], &["time"], &["uuid"], &["next"]);
        let wrapped = r#"{"data":[{"items":[{"x":{"event.time":"2024-05-28 10:00:00"}}]}]}"#;
        check(wrapped, &["data[0].items", "data"], &["x['event.time']"], &[], &[]);
    }

    #[test]
    fn ways_back_are_shown_only_where_there_is_nothing_else() {
        let of = |page: &str| {
            let url = Url::parse("https://api.example/v1/events").expect("a URL");
            let found = next_links(RawJson::parse(page).expect("JSON"), &url, &url, &[]);
            found.into_iter().map(|one| (one.path, one.is_likely)).collect::<Vec<_>>()
        };
        assert_eq!(of(r#"{"self":"/a","first":"/b"}"#), [("self".to_owned(), false), ("first".to_owned(), false)]);
        assert_eq!(of(r#"{"self":"/a","docs":"/b"}"#), [("docs".to_owned(), false)]);
        assert_eq!(of(r#"{"self":"/a","next":"https://other.example/"}"#), [("next".to_owned(), false)]);
        assert_eq!(of(r#"{"nextUpdate":"2024-05-28","next_cursor":"abc","text":"see /next?a=b here"}"#), []);
    }

    #[test]
    fn records_with_dates_come_before_longer_lists_without() {
        let page = r#"{"facets":[{"n":1},{"n":2},{"n":3}],"rows":[{"at":"2024-05-28"}],"tags":["a"],"hits":[]}"#;
        let found = records(RawJson::parse(page).expect("JSON"), now());
        let paths: Vec<&str> = found.iter().map(|one| one.path.as_str()).collect();
        assert_eq!(paths, ["rows", "facets", "hits"]);
    }

    #[test]
    fn any_page_has_an_end() {
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        let nested = format!("{}1{}", "{\"next\":".repeat(10_000), "}".repeat(10_000));
        let wide = format!("[{}1]", (0..20_000).map(|at| format!("{{\"k{at}\":\"2024-05-28\"}},")).collect::<String>());
        let lists =
            format!("{{{}\"z\":1}}", (0..20_000).map(|at| format!("\"k{at}\":[{{\"a\":1}}],")).collect::<String>());
        for page in [deep, nested, wide, lists] {
            let _ = likely(&page);
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let key = prop::sample::select(vec![
            "data", "next", "id", "date", "a.b", "it's", "", "$", "rel", "href", "links", "x",
        ]);
        let text =
            prop::sample::select(vec!["2024-05-28", "/e?p=2", "next", "1716900000", "https://api.example/x", "é"]);
        let leaf = prop_oneof![Just(Value::Null), text.prop_map(Value::from), any::<i64>().prop_map(Value::from)];
        leaf.prop_recursive(5, 60, 5, move |inner| {
            let pairs = prop::collection::vec((key.clone(), inner.clone()), 0..5);
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(Value::from),
                pairs.prop_map(|pairs| Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
            ]
        })
    }

    /// Whatever the page, what is suggested finds what it is suggested for.
    #[test]
    fn every_candidate_is_a_path_that_finds_what_it_is_for() {
        proptest!(|(document in json())| {
            let text = document.to_string();
            let root = RawJson::parse(&text).expect("JSON");
            let url = Url::parse("https://api.example/v1/events").expect("a URL");
            let path = |candidate: &Candidate| JsonPath::parse(&candidate.path).expect("a path");
            for list in records(root, now()) {
                let found = path(&list).first(root).expect("a list");
                prop_assert_eq!(found.kind(), JsonType::Array);
                let records: Vec<RawJson<'_>> = found.elements().collect();
                for candidate in dates(&records, now()) {
                    let is_date = |raw: &RawJson<'_>| path(&candidate).first(*raw).and_then(RawJson::scalar).is_some_and(|t| date::parse(&t).is_some());
                    prop_assert!(records.iter().any(is_date), "{:?} in {}", candidate, text);
                }
                for candidate in ids(&records, now()) {
                    let mut objects = records.iter().filter(|raw| raw.kind() == JsonType::Object);
                    prop_assert!(objects.all(|raw| path(&candidate).first(*raw).is_some()), "{:?} in {}", candidate, text);
                }
            }
            for candidate in next_links(root, &url, &url, &[]) {
                let found = path(&candidate).all(root).expect("a link");
                prop_assert!(found.iter().all(|raw| matches!(raw.kind(), JsonType::Text | JsonType::Null)), "{:?}", candidate);
            }
        });
    }
}
