//! Where in a page things are likely to stand: its records, their dates and ids, and the link to the next page. Pure.
//!
//! Enters: a page, or its records. Leaves: paths as the config writes them, the likeliest first, each with its reason.
//! What always holds: such a path finds exactly what it was suggested for; a walk looks at a bounded number of values;
//! no reason holds foreign text.

mod fields;
mod links;
mod walk;

use std::cmp::Reverse;

use chrono::{DateTime, Utc};

pub use fields::{dates, ids};
pub use links::next_links;
pub(super) use walk::{keys, page_values, plain};

use super::value_path::ValuePath;
use crate::record::json::{JsonType, RawJson};
use crate::text::humanize::counted;
use walk::{Lists, PAGE_NODES_MAX, values};

/// In how many records a path is tried that was found by walking.
const RECORDS_TRIED_MAX: usize = 20;
/// How many lists of a page are looked into for dates.
const LISTS_DATED_MAX: usize = 50;
/// How many records of each.
const LIST_RECORDS_MAX: usize = 10;
/// How many candidates of a kind there are.
const CANDIDATES_MAX: usize = 6;
/// What lists of records are usually called.
const RECORDS_NAMES: &[&str] =
    &["data", "value", "values", "items", "events", "results", "records", "entries", "logs", "hits", "alerts", "list"];

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
    for (at, (value_path, raw)) in lists.enumerate() {
        let is_empty = raw.elements().next().is_none();
        let is_named = value_path.keys().next_back().is_none_or(|name| RECORDS_NAMES.contains(&plain(name).as_str()));
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
        let order = (!has_dates, Reverse(count), !is_named, value_path.depth());
        found.push((order, FoundValue { value_path, why, is_likely: has_dates || is_named }));
    }
    ranked(found, &[root])
}

/// Whether a value near the root is called as one of Microsoft's OData services calls it.
#[must_use]
pub fn is_odata(root: RawJson<'_>) -> bool {
    root.members().take(PAGE_NODES_MAX).any(|member| member.key.scalar().is_some_and(|key| key.starts_with("@odata.")))
}

/// A candidate before its path is written.
struct FoundValue {
    value_path: ValuePath,
    why: String,
    is_likely: bool,
}

/// The candidates in their order; of equal ones the first of the page.
fn ranked<O: Ord>(mut found: Vec<(O, FoundValue)>, roots: &[RawJson<'_>]) -> Vec<Candidate> {
    let roots = roots.get(..RECORDS_TRIED_MAX).unwrap_or(roots);
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    let candidates = found.into_iter().filter_map(|(_, FoundValue { value_path, why, is_likely })| {
        Some(Candidate { path: value_path.text(roots)?, why, is_likely })
    });
    candidates.take(CANDIDATES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::date;
    use crate::record::path::JsonPath;
    use proptest::prelude::*;
    use reqwest::Url;

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
