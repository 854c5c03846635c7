//! APIs whose pages, windows and bodies need the language of a general entry: what `probe` makes of them, and proposes.

use chrono::DateTime;

use super::proposals::{ALL, assert_valid_but_for_placeholders, propose, seconds, shipped, start};
use super::{probe, recent};
use crate::harness::{Asked, MockServer, Reply, decoded, general, minutes_ago, record};

/// How an API leads from one page to the next.
#[derive(Clone, Copy, Debug)]
enum Way {
    LinkHeader,
    Token,
    Page,
    PageFromZero,
    Offset,
    /// By offset, and nothing on the page tells of it.
    Silent,
}

/// What an API with pages of two (ten where nothing tells of more) answers: it refuses what it doesn't know.
fn paged(way: Way, asked: &Asked) -> Reply {
    let (parameter, size) = match way {
        Way::LinkHeader | Way::Page | Way::PageFromZero => ("page", 2),
        Way::Token => ("after", 2),
        Way::Offset => ("startAt", 2),
        Way::Silent => ("offset", 10),
    };
    let is_known = |field: &str| field.split_once('=').is_some_and(|(name, _)| name == "since" || name == parameter);
    if !asked.query.split('&').filter(|field| !field.is_empty()).all(is_known) {
        return Reply::status(400, r#"{"message":"unknown parameter"}"#);
    }
    let count = if matches!(way, Way::Silent) { 15 } else { 5 };
    let all: Vec<u64> = (0..count).filter(|at| recent(*at) >= start(asked, "since")).collect();
    let value = asked.raw_field(parameter).map(decoded);
    let number = value.as_deref().map(|text| text.trim_start_matches("t-").parse::<usize>().unwrap());
    let from = match way {
        Way::LinkHeader | Way::Page => (number.unwrap_or(1) - 1) * size,
        Way::PageFromZero => number.unwrap_or(0) * size,
        Way::Token | Way::Offset | Way::Silent => number.unwrap_or(0),
    };
    let records: Vec<String> = all
        .iter()
        .skip(from)
        .take(size)
        .map(|id| format!(r#"{{"id":{id},"date":"{}"}}"#, seconds(recent(*id))))
        .collect();
    let has_more = from + size < all.len();
    let more = match way {
        Way::LinkHeader | Way::Silent => String::new(),
        Way::Token if has_more => format!(r#","paging":{{"after":"t-{}","has_more":true}}"#, from + size),
        Way::Token => r#","paging":{"after":"t-99","has_more":false}"#.to_owned(),
        Way::Page => format!(r#","page":{},"total_pages":{}"#, from / size + 1, all.len().div_ceil(size)),
        Way::PageFromZero => format!(r#","page":{},"has_more":{has_more}"#, from / size),
        Way::Offset => format!(r#","startAt":{from},"total":{}"#, all.len()),
    };
    let reply = Reply::json(&format!(r#"{{"data":[{}]{more}}}"#, records.join(",")));
    let since = asked.raw_field("since").map(|since| format!("since={since}&")).unwrap_or_default();
    match way {
        Way::LinkHeader if has_more => {
            reply.with("Link", &format!("</?{since}page={}>; rel=\"next\"", from / size + 2))
        }
        _ => reply,
    }
}

#[test]
fn each_kind_of_pages_gets_a_config_that_ships_all_of_them() {
    for (way, proposed) in [
        (Way::LinkHeader, &["next_url: header.Link"][..]),
        (Way::Token, &["next_token: paging.after", "after: '{next_token}'", "has_more: paging.has_more"]),
        (Way::Page, &["page: '{page}'"]),
        (Way::PageFromZero, &["page: '{page:0}'", "has_more: has_more"]),
        (Way::Offset, &["startAt: '{offset}'"]),
        (Way::Silent, &["offset: '{offset}'", "# 10 records may be a full page; other records came"]),
    ] {
        let api = MockServer::start(move |asked, _| paged(way, asked));
        let outcome = propose(&["--url", api.url(), "--basic", "the-id:${API_SECRET}"]).assert_code(0);
        for line in proposed.iter().chain(&["start_date_name: since"]) {
            assert!(outcome.stdout.contains(line), "{way:?}: `{line}` is missing in\n{}", outcome.stdout);
        }
        assert_valid_but_for_placeholders(&outcome);
        let all: Vec<u64> = (0..if matches!(way, Way::Silent) { 15 } else { 5 }).collect();
        assert_eq!(shipped(&outcome), all, "{way:?}\n{}", outcome.stdout);
    }
}

#[test]
fn an_api_that_demands_a_window_gets_one() {
    for (words, start_name, end_name, is_unix) in [
        ("startTime and endTime are required", "startTime", "endTime", false),
        ("'from' and 'to' must be epoch milliseconds, at most 48 hours apart", "from", "to", true),
    ] {
        let api = MockServer::start(move |asked, _| {
            let read = |name: &str| {
                let text = asked.raw_field(name).map(decoded)?;
                match is_unix {
                    true => DateTime::from_timestamp_millis(text.parse().ok()?),
                    false => DateTime::parse_from_rfc3339(&text).ok().map(|date| date.to_utc()),
                }
            };
            let (Some(from), Some(until)) = (read(start_name), read(end_name)) else {
                return Reply::status(400, &format!(r#"{{"message":"{words}"}}"#));
            };
            if is_unix && until - from > chrono::TimeDelta::hours(48) {
                return Reply::status(400, &format!(r#"{{"message":"{words}"}}"#));
            }
            let kept = ALL.into_iter().filter(|at| (from..until).contains(&recent(*at)));
            let records: Vec<String> =
                kept.map(|id| format!(r#"{{"id":{id},"date":"{}"}}"#, seconds(recent(id)))).collect();
            Reply::json(&format!(r#"{{"data":[{}]}}"#, records.join(",")))
        });
        let outcome = propose(&["--url", api.url(), "--basic", "the-id:${API_SECRET}"]).assert_code(0);
        let lines = match is_unix {
            true => ["from: '{start_date:unix_ms}'", "to: '{end_date:unix_ms}'", "max_window: '48h'"],
            false => {
                ["start_date_name: startTime", "endTime: '{end_date}'", "# the API demands the window's start and end"]
            }
        };
        for line in lines {
            assert!(outcome.stdout.contains(line), "`{line}` is missing in\n{}", outcome.stdout);
        }
        assert_valid_but_for_placeholders(&outcome);
        assert_eq!(shipped(&outcome), ALL, "{}", outcome.stdout);
    }
}

#[test]
fn lines_of_json_are_named_in_the_proposal() {
    let api = MockServer::start(|asked, _| {
        let kept = ALL.into_iter().filter(|at| recent(*at) >= start(asked, "since"));
        let lines: String = kept.map(|id| format!("{{\"id\":{id},\"date\":\"{}\"}}\n", seconds(recent(id)))).collect();
        Reply::json(&lines).with("Content-Type", "application/x-ndjson")
    });
    let outcome = propose(&["--url", api.url(), "--basic", "the-id:${API_SECRET}"]).assert_code(0);
    let outcome = outcome.assert_says("format: ndjson").assert_says("data: '$'");
    assert_valid_but_for_placeholders(&outcome);
    assert_eq!(shipped(&outcome), ALL);
}

#[test]
fn what_the_config_says_of_the_next_page_is_tried_whatever_its_kind() {
    let one = record(1, &minutes_ago(5));
    let page = |more: &str| Reply::json(&format!(r#"{{"data":[{one}]{more}}}"#));
    for (reply, paths, filters, said) in [
        (
            page("").with("Link", "</events?page=2>; rel=\"next\""),
            "next_url: header.Link",
            "",
            "next     the header `Link`: http://127.0.0.1",
        ),
        (page(""), "next_url: header.Link", "", "next     the header `Link`: none, so this is the last page"),
        (page(r#","c":"abc""#), "next_token: c", "after: '{next_token}'", "next     `c`: http://127.0.0.1"),
        (page(r#","c":"""#), "next_token: c", "after: '{next_token}'", "next     `c`: none, so this is the last page"),
        (page(""), "error: null", "page: '{page}'", "next     by counting: http://127.0.0.1"),
        (
            page(r#","more":false"#),
            "has_more: more",
            "page: '{page}'",
            "next     by counting: none, so this is the last page",
        ),
    ] {
        let api = MockServer::start(move |_, _| reply.clone());
        let config = general(api.url(), "http://127.0.0.1:1", "").replace("next_url: next, ", &format!("{paths}, "));
        let config = match filters {
            "" => config,
            _ => config.replace("    start_date_name", &format!("    filters: {{{filters}}}\n    start_date_name")),
        };
        probe(&config).assert_code(0).assert_says(said);
    }
}
