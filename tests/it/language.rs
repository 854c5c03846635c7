//! What an entry can say of an API's requests and pages, against APIs that refuse whatever they don't know.

use std::sync::Mutex;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply, decoded, record};

/// An entry whose parts are given, each as YAML of its own.
fn entry(api: &str, listener: &str, request: &str, paths: &str, settings: &str, more: &str) -> String {
    format!(
        "logzio: {{url: '{listener}', token: shipping-token-1}}\nauth_apis:\n  - type: general\n    name: events\n    \
         credentials: {{id: i, key: the-key}}\n    settings: {{time_interval: 1s{settings}}}\n    \
         http_request: {{url: '{api}/events'{request}}}\n    json_paths: {{data: data, data_date: date, id: id{paths}}}\n{more}"
    )
}

fn date_of(number: i64) -> String {
    (Utc::now() - TimeDelta::minutes(60 - number)).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Records `from..until`, oldest first.
fn records(from: u64, until: u64, dates: &[String]) -> String {
    let all: Vec<String> = (from..until).map(|id| record(id, &dates[id as usize])).collect();
    all.join(",")
}

fn dates(count: i64) -> Vec<String> {
    (0..count).map(date_of).collect()
}

/// The fields of a query, decoded; refused where one is unknown.
fn fields(asked: &Asked, known: &[&str]) -> Result<Vec<(String, String)>, Reply> {
    let fields: Vec<(String, String)> = asked
        .query
        .split('&')
        .filter(|field| !field.is_empty())
        .map(|field| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            (decoded(name), decoded(value))
        })
        .collect();
    match fields.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        Some((name, _)) => Err(Reply::status(400, &format!("unknown parameter {name}"))),
        None => Ok(fields),
    }
}

fn field<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn ids(count: u64) -> Vec<u64> {
    (0..count).collect()
}

#[test]
fn a_token_goes_into_the_body_and_is_left_out_of_the_first_request() {
    let all = dates(7);
    let api = MockServer::start(move |asked, _| {
        let body: serde_json::Value = serde_json::from_str(&asked.text()).unwrap();
        let members = body.as_object().unwrap();
        if let Some(name) = members.keys().find(|name| !["from", "limit", "page_token"].contains(&name.as_str())) {
            return Reply::status(400, &format!("unknown field {name}"));
        }
        if members["limit"] != 3 || !members["from"].is_i64() {
            return Reply::status(400, "limit and from are numbers");
        }
        let at = match members.get("page_token") {
            None => 0,
            Some(token) => match token.as_array() {
                Some(parts) => parts[0].as_u64().unwrap(),
                None => return Reply::status(400, "the token is an array"),
            },
        };
        let end = (at + 3).min(7);
        let next = if end < 7 { format!("[{end},\"x\"]") } else { "null".to_owned() };
        Reply::json(&format!("{{\"data\":[{}],\"meta\":{{\"next\":{next}}}}}", records(at, end, &all)))
    });
    let listener = MockListener::start();
    let request = ", method: POST, body: {from: '{start_date:unix_ms}', limit: 3, page_token: '{next_token}'}";
    let config = entry(api.url(), listener.url(), request, ", next_token: meta.next", "", "");
    let first = Fetcher::new(&config).once().assert_code(0);
    assert_eq!(listener.ids(), ids(7));
    assert_eq!(api.asked().len(), 3);
    Fetcher::again(first).once().assert_code(0);
    assert_eq!(listener.ids(), ids(7), "nothing twice");
}

#[test]
fn page_numbers_end_with_a_short_page_where_the_size_is_known_and_else_with_three_that_bring_nothing() {
    for (settings, asked_for) in [(", page_size: 2", 3), ("", 6)] {
        let all = dates(5);
        let api = MockServer::start(move |asked, _| {
            let fields = match fields(asked, &["since", "page", "per_page"]) {
                Ok(fields) => fields,
                Err(refused) => return refused,
            };
            let page: u64 = field(&fields, "page").unwrap().parse().unwrap();
            let (from, until) = ((2 * page).min(5), (2 * page + 2).min(5));
            Reply::json(&format!("{{\"data\":[{}]}}", records(from, until, &all)))
        });
        let listener = MockListener::start();
        let more = "    start_date_name: since\n    filters: {page: '{page:0}', per_page: 2}\n";
        let config = entry(api.url(), listener.url(), "", "", settings, more);
        Fetcher::new(&config).once().assert_code(0);
        assert_eq!(listener.ids(), ids(5), "{settings}");
        assert_eq!(api.asked().len(), asked_for, "{settings}");
    }
}

#[test]
fn counted_pages_end_where_the_one_behind_the_last_is_refused_twice() {
    let all = dates(4);
    let api = MockServer::start(move |asked, _| {
        let page: u64 = asked.raw_field("page").unwrap().parse().unwrap();
        match page {
            1 | 2 => Reply::json(&format!("{{\"data\":[{}]}}", records(2 * page - 2, 2 * page, &all))),
            _ => Reply::status(404, "no such page"),
        }
    });
    let listener = MockListener::start();
    let more = "    start_date_name: since\n    filters: {page: '{page}'}\n";
    Fetcher::new(&entry(api.url(), listener.url(), "", "", "", more)).once().assert_code(0);
    assert_eq!(listener.ids(), ids(4));
    let pages: Vec<String> = api.asked().iter().map(|asked| asked.raw_field("page").unwrap().to_owned()).collect();
    assert_eq!(pages, ["1", "2", "3", "2", "3"]);
}

#[test]
fn offsets_count_records_and_a_flag_ends_them() {
    let all = dates(5);
    let api = MockServer::start(move |asked, _| {
        let fields = match fields(asked, &["since", "offset"]) {
            Ok(fields) => fields,
            Err(refused) => return refused,
        };
        let from: u64 = field(&fields, "offset").unwrap().parse().unwrap();
        let until = (from + 2).min(5);
        Reply::json(&format!("{{\"data\":[{}],\"is_last\":{}}}", records(from, until, &all), until == 5))
    });
    let listener = MockListener::start();
    let more = "    start_date_name: since\n    filters: {offset: '{offset}'}\n";
    let config = entry(api.url(), listener.url(), "", ", has_more: '!is_last'", "", more);
    Fetcher::new(&config).once().assert_code(0);
    assert_eq!(listener.ids(), ids(5));
    assert_eq!(api.asked().len(), 3);
}

#[test]
fn a_link_header_leads_on_and_one_without_results_does_not() {
    let all = dates(4);
    let api = MockServer::start(move |asked, _| {
        let at: u64 = asked.raw_field("cursor").map_or(0, |at| at.parse().unwrap());
        let reply = Reply::json(&format!("{{\"data\":[{}]}}", records(at, at + 2, &all)));
        let results = if at == 0 { "true" } else { "false" };
        reply.with("Link", &format!("</x>; rel=\"previous\", </events?cursor=2>; rel=\"next\"; results=\"{results}\""))
    });
    let listener = MockListener::start();
    let config = entry(api.url(), listener.url(), "", ", next_url: header.Link", "", "    start_date_name: since\n");
    Fetcher::new(&config).once().assert_code(0);
    assert_eq!(listener.ids(), ids(4));
    assert_eq!(api.asked().len(), 2);
}

#[test]
fn a_link_is_put_together_and_the_path_takes_the_start_date() {
    let all = dates(4);
    let api = MockServer::start(move |asked, _| {
        let day = (Utc::now() - TimeDelta::days(14)).format("%Y/%m/%d").to_string();
        match (decoded(&asked.path).as_str(), asked.raw_field("c")) {
            (path, None) if path == format!("/events/{day}") => {
                Reply::json(&format!("{{\"data\":[{}],\"meta\":{{\"c\":\"a b\"}}}}", records(0, 2, &all)))
            }
            ("/more", Some("a%20b")) => Reply::json(&format!("{{\"data\":[{}],\"meta\":{{}}}}", records(2, 4, &all))),
            (path, _) => Reply::status(404, &format!("no {path}")),
        }
    });
    let listener = MockListener::start();
    let config = entry(api.url(), listener.url(), "", ", next_url: '/more?c={meta.c}'", "", "")
        .replace("/events'", "/events/{start_date:\"%Y/%m/%d\"}'");
    Fetcher::new(&config).once().assert_code(0);
    assert_eq!(listener.ids(), ids(4));
}

#[test]
fn a_cursor_is_kept_over_iterations_and_restarts_and_dropped_where_it_is_refused_twice() {
    let all = dates(6);
    let times = Mutex::new(0);
    let asked_for = std::sync::Arc::new(Mutex::new(Vec::new()));
    let kept = std::sync::Arc::clone(&asked_for);
    let api = MockServer::start(move |asked, _| {
        let fields = match fields(asked, &["cursor", "since"]) {
            Ok(fields) => fields,
            Err(refused) => return refused,
        };
        let cursor = field(&fields, "cursor").map(str::to_owned);
        kept.lock().unwrap().push(cursor.clone());
        if cursor.as_deref() == Some("c6") {
            let mut times = times.lock().unwrap();
            *times += 1;
            if (2..=3).contains(&*times) {
                return Reply::status(410, "that cursor is gone");
            }
            return Reply::json("{\"data\":[],\"cursor\":\"c6\"}");
        }
        let at: u64 = cursor.map_or(0, |cursor| cursor.trim_start_matches('c').parse().unwrap());
        Reply::json(&format!("{{\"data\":[{}],\"cursor\":\"c{}\"}}", records(at, at + 3, &all), at + 3))
    });
    let listener = MockListener::start();
    let more = "    start_date_name: since\n    filters: {since: '2020-01-01'}\n    next_request: {filters: {cursor: '{cursor}'}}\n";
    let config = entry(api.url(), listener.url(), "", ", cursor: cursor", "", more);
    let first = Fetcher::new(&config).once().assert_code(0);
    assert_eq!(listener.ids(), ids(6));
    let cursors = || std::mem::take(&mut *asked_for.lock().unwrap());
    let text = |cursors: &[&str]| {
        cursors.iter().map(|cursor| (!cursor.is_empty()).then(|| (*cursor).to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(cursors(), text(&["", "c3", "c6"]));
    let second = Fetcher::again(first).once().assert_code(0);
    assert_eq!(cursors()[..3], text(&["c6", "c6", ""])[..], "refused twice, then from the date on");
    assert!(second.stderr.contains("refuses the cursor twice"), "{}", second.stderr);
    assert_eq!(listener.ids(), ids(6), "nothing twice");
    let shown = Fetcher::again(second).arguments(&["show", "events"]).run("state").assert_code(0);
    assert!(shown.stdout.contains("so some of it may be missing"), "a possible gap: {}", shown.stdout);
}

#[test]
fn a_long_window_is_asked_slice_by_slice() {
    const HOURS: i64 = 20;
    let begun = Utc::now();
    let all: Vec<(u64, DateTime<Utc>)> =
        (0..HOURS).map(|id| (id as u64, begun - TimeDelta::minutes(60 * (HOURS - id) - 30))).collect();
    let spans = std::sync::Arc::new(Mutex::new(Vec::new()));
    let kept = std::sync::Arc::clone(&spans);
    let api = MockServer::start(move |asked, _| {
        let fields = match fields(asked, &["from", "to"]) {
            Ok(fields) => fields,
            Err(refused) => return refused,
        };
        let at = |name| field(&fields, name).unwrap().parse::<DateTime<Utc>>().unwrap();
        let (from, to) = (at("from"), at("to"));
        if to - from > TimeDelta::hours(4) || to < from {
            return Reply::status(400, "the span is too long");
        }
        kept.lock().unwrap().push((from, to));
        // Nothing happened in the middle.
        let inside = all.iter().filter(|(id, date)| (from..=to).contains(date) && !(6..12).contains(id));
        let records: Vec<String> =
            inside.map(|(id, date)| record(*id, &date.to_rfc3339_opts(SecondsFormat::Secs, true))).collect();
        Reply::json(&format!("{{\"data\":[{}],\"next\":null}}", records.join(",")))
    });
    let listener = MockListener::start();
    let more = "    filters: {from: '{start_date}', to: '{end_date}'}\n";
    let settings = ", days_back_fetch: 1, max_window: 4h";
    let config = entry(api.url(), listener.url(), "", ", next_url: next", settings, more);
    let first = Fetcher::new(&config).once().assert_code(0);
    let expected: Vec<u64> = (0..HOURS as u64).filter(|id| !(6..12).contains(id)).collect();
    assert_eq!(listener.ids(), expected);
    let asked = spans.lock().unwrap().clone();
    assert!(asked.len() >= 6, "{asked:?}");
    for two in asked.windows(2) {
        assert!(two[1].0 <= two[0].1, "no gap between slices: {asked:?}");
    }
    assert!(begun - asked[asked.len() - 1].1 < TimeDelta::seconds(5), "up to now: {asked:?}");
    Fetcher::again(first).once().assert_code(0);
    assert_eq!(listener.ids(), expected, "nothing twice");
    let again = spans.lock().unwrap().len() - asked.len();
    assert!(again < asked.len(), "the second iteration begins at the checkpoint: {again} of {}", asked.len());
}

#[test]
fn several_ids_tell_records_apart_together_and_one_that_lacks_some_is_known_by_all_that_it_holds() {
    let date = date_of(0);
    let with = |id: u64, more: &str| format!("{{\"id\":{id},\"date\":\"{date}\"{more}}}");
    let part = |part: &str, seen: &str| format!(",\"sub\":{{\"part\":\"{part}\"}},\"seen\":{seen}");
    let first =
        [with(1, &part("a", "1")), with(1, &part("b", "1")), with(2, ",\"x\":1"), with(2, ",\"x\":2")].join(",");
    // What is known by its ids may change; one more has another part.
    let second = [with(1, &part("a", "2")), with(1, &part("c", "2")), with(2, ",\"x\":2")].join(",");
    let api = MockServer::start(move |_, before| {
        Reply::json(&format!("{{\"data\":[{}],\"next\":null}}", if before == 0 { &first } else { &second }))
    });
    let listener = MockListener::start();
    let config =
        entry(api.url(), listener.url(), "", ", next_url: next", ", overlap: 5m", "    start_date_name: since\n")
            .replace("id: id,", "id: [id, sub.part],");
    let outcome = Fetcher::new(&config).once().assert_code(0);
    assert_eq!(listener.ids(), [1, 1, 2, 2]);
    Fetcher::again(outcome).once().assert_code(0);
    assert_eq!(listener.ids(), [1, 1, 1, 2, 2], "the one with part c");
}

/// By a cursor alone, of NDJSON without a path, from records that have no date.
#[test]
fn records_need_no_date_and_answers_no_path_where_a_cursor_and_a_format_do_their_work() {
    let api = MockServer::start(|asked, _| {
        let from: u64 = asked.raw_field("after").map_or(0, |at| at.parse().unwrap());
        let lines: String = (from..(from + 2).min(5)).map(|id| format!("{{\"id\":{id}}}\n")).collect();
        Reply::json(&lines).with("X-After", &(from + 2).min(5).to_string())
    });
    let listener = MockListener::start();
    let config = format!(
        "logzio: {{url: '{}', token: shipping-token-1}}\nauth_apis:\n  - type: general\n    name: events\n    \
         credentials: {{id: i, key: the-key}}\n    settings: {{time_interval: 1s}}\n    http_request: {{url: \
         '{}/events'}}\n    filters: {{after: '{{cursor}}'}}\n    response: {{format: ndjson}}\n    json_paths: {{id: id, \
         cursor: header.X-After}}\n",
        listener.url(),
        api.url()
    );
    let first = Fetcher::new(&config).once().assert_code(0);
    assert_eq!(listener.ids(), ids(5));
    assert!(!first.stderr.contains("readable date"), "{}", first.stderr);
    assert_eq!(first.read("last_start_dates.txt").lines().last(), Some("events: {\"cursor\":\"5\"}"));
    Fetcher::again(first).once().assert_code(0);
    assert_eq!(listener.ids(), ids(5), "nothing twice");
}

#[test]
fn what_has_no_source_or_no_place_is_an_error_of_the_config() {
    let config = |request: &str, paths: &str, more: &str| {
        entry("https://api.example", "https://listener.example", request, paths, "", more)
    };
    let start = "    start_date_name: since\n";
    let says = |config: String, text: &str| drop(Fetcher::new(&config).run("check").assert_code(2).assert_says(text));
    says(config("", ", next_token: meta.next", start), "the token stands nowhere in the request");
    says(config("", "", &format!("{start}    filters: {{t: '{{next_token}}'}}\n")), "nothing gives it a value");
    let mixed = format!("{start}    filters: {{t: 'after {{next_token}}'}}\n");
    says(config("", ", next_token: meta.next", &mixed), "stands beside other text");
    says(config("", ", next_url: next", "    filters: {t: '{start_date:epoch}'}\n"), "has no format");
}
