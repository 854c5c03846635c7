//! A long backfill takes as much memory by any way from page to page as by links.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply, decoded};

const RECORDS: usize = 40_000;
const PAGE_RECORDS: usize = 500;
/// How much more than by links another way may take.
const MORE_BYTES_MAX: u64 = 5_000_000;

/// The same records, whatever way leads to them: one after the other, over 22 hours.
struct Source {
    begin: DateTime<Utc>,
}

impl Source {
    fn date(&self, number: usize) -> DateTime<Utc> {
        self.begin + TimeDelta::milliseconds(number as i64 * 22 * 3_600_000 / RECORDS as i64)
    }

    /// A page of some of the records, and what it says beside them of the record behind it.
    fn page(&self, from: usize, end: usize, beside: impl Fn(usize) -> String) -> Reply {
        let until = (from + PAGE_RECORDS).min(end);
        let text = "an event like any other; ".repeat(12);
        let record = |number: usize| {
            let date = self.date(number).to_rfc3339_opts(SecondsFormat::Millis, true);
            format!("{{\"id\":{number},\"date\":\"{date}\",\"text\":\"{text}\"}}")
        };
        let records: Vec<String> = (from..until).map(record).collect();
        let beside = if until < end { beside(until) } else { String::new() };
        Reply::json(&format!("{{\"data\":[{}]{beside}}}", records.join(",")))
    }

    /// The records of a span.
    fn within(&self, asked: &Asked) -> (usize, usize) {
        let at = |name: &str| decoded(asked.raw_field(name).unwrap()).parse::<DateTime<Utc>>().unwrap();
        let (from, to) = (at("from"), at("to"));
        let first = (0..RECORDS).find(|number| self.date(*number) >= from).unwrap_or(RECORDS);
        let end = (first..RECORDS).find(|number| self.date(*number) > to).unwrap_or(RECORDS);
        (first, end)
    }
}

/// The most memory that a backfill takes by one way: the paths, the rest of an entry, and what the API answers.
fn peak_bytes(paths: &str, more: &str, answer: impl Fn(&Source, &Asked) -> Reply + Send + Sync + 'static) -> u64 {
    let source = Source { begin: Utc::now() - TimeDelta::hours(23) };
    let api = MockServer::start(move |asked, _| answer(&source, asked)).forgetful();
    let listener = MockListener::start();
    let config = format!(
        "logzio: {{url: '{}', token: shipping-token-1}}\nauth_apis:\n- type: general\n  name: events\n  credentials: \
         {{id: i, key: the-key}}\n  http_request: {{url: '{}/events'}}\n  json_paths: {{data: data, data_date: date, {paths}}}\n{more}",
        listener.url(),
        api.url()
    );
    let mut fetcher = Fetcher::new(&config);
    // As the image sets them.
    for (name, value) in [("ARENA_MAX", "1"), ("TRIM_THRESHOLD_", "4194304"), ("MMAP_THRESHOLD_", "2097152")] {
        fetcher = fetcher.variable(&format!("MALLOC_{name}"), value);
    }
    let running = fetcher.start();
    running.wait_for_log("iteration done", 1);
    let peak = running.peak_memory_bytes();
    let outcome = running.stop().assert_code(0);
    let ids = listener.ids();
    let is_each_once = ids.iter().copied().eq(0..RECORDS as u64);
    assert!(is_each_once, "{} of {RECORDS} records, each once; {}", ids.len(), outcome.stderr);
    peak
}

fn number(asked: &Asked, name: &str) -> usize {
    asked.raw_field(name).map_or(0, |number| number.parse().unwrap())
}

#[test]
fn a_backfill_by_tokens_a_cursor_or_slices_takes_as_much_memory_as_by_links() {
    let settings = "  settings: {time_interval: 1h, days_back_fetch: 1}\n";
    let since = format!("{settings}  start_date_name: since\n");
    let by_links = peak_bytes("next_url: next", &since, |source, asked| {
        source.page(number(asked, "at"), RECORDS, |next| format!(",\"next\":\"?at={next}\""))
    });
    let tokens = format!("{since}  filters: {{token: '{{next_token}}'}}\n");
    let by_tokens = peak_bytes("next_token: token", &tokens, |source, asked| {
        source.page(number(asked, "token"), RECORDS, |next| format!(",\"token\":{next}"))
    });
    let cursor = format!("{since}  next_request: {{filters: {{cursor: '{{cursor}}'}}}}\n");
    let by_cursor = peak_bytes("cursor: cursor", &cursor, |source, asked| {
        source.page(number(asked, "cursor"), RECORDS, |next| format!(",\"cursor\":{next}"))
    });
    let slices = settings.replace('}', ", max_window: 2h}")
        + "  filters: {from: '{start_date}', to: '{end_date}', token: '{next_token}'}\n";
    let by_slices = peak_bytes("next_token: token", &slices, |source, asked| {
        let (first, end) = source.within(asked);
        source.page(first.max(number(asked, "token")), end, |next| format!(",\"token\":{next}"))
    });
    for (way, bytes) in [("tokens", by_tokens), ("a cursor", by_cursor), ("slices", by_slices)] {
        assert!(bytes < by_links + MORE_BYTES_MAX, "by {way} {bytes} bytes, by links {by_links}");
    }
    println!("links {by_links}, tokens {by_tokens}, cursor {by_cursor}, slices {by_slices}");
}
