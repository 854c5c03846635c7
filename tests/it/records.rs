//! What reaches the listener: the API's own bytes, and every date.

use chrono::{DateTime, Utc};
use logzio_api_fetcher::record::{Zone, date};

use crate::harness::{Fetcher, MockListener, MockServer, Reply, general, minutes_ago, page};

/// Ships records, and gives the lines that arrived.
fn shipped(records: &[&str], more: &str) -> Vec<String> {
    let records: Vec<String> = records.iter().map(|record| (*record).to_owned()).collect();
    let api = MockServer::start(move |_, _| page(&records.iter().map(String::as_str).collect::<Vec<_>>(), None));
    let listener = MockListener::start();
    Fetcher::new(&general(api.url(), listener.url(), more)).once().assert_code(0);
    listener.lines()
}

#[test]
fn a_records_bytes_arrive_as_the_api_sent_them() {
    let date = minutes_ago(5);
    let record = format!(
        r#"{{"z": 1,"date":"{date}","id":6159258594551267592,"big":123456789012345678901234567890,"float":1.10,"e":1E+2,"esc":"\u00e9\/\ud83d","é":null,"a":{{"b":[ ]}}}}"#
    );
    let expected = format!(r#"{},"type":"api_fetcher"}}"#, record.strip_suffix('}').unwrap());
    assert_eq!(shipped(&[&record], ""), [expected]);
}

#[test]
fn custom_fields_are_added_and_win() {
    let date = minutes_ago(5);
    let record = format!(r#"{{"type":"own","level":"low","date":"{date}","n":{{"level":1}}}}"#);
    // The type that is replaced stays, by another name.
    let lines =
        shipped(&[&record], "    custom_fields: {type: cisco, level: high, count: 5, deep: {a: [true, null]}}\n");
    let expected = format!(
        r#"{{"date":"{date}","n":{{"level":1}},"original_type":"own","type":"cisco","level":"high","count":5,"deep":{{"a":[true,null]}}}}"#
    );
    assert_eq!(lines, [expected]);
}

#[test]
fn a_records_own_type_is_kept_by_another_name_or_left_alone() {
    let date = minutes_ago(5);
    let record = format!(r#"{{"type":"own","date":"{date}"}}"#);
    let renamed = format!(r#"{{"date":"{date}","original_type":"own","type":"api_fetcher"}}"#);
    assert_eq!(shipped(&[&record], ""), [renamed]);
    assert_eq!(shipped(&[&record], "    custom_fields: {type: null}\n"), [record]);
}

#[test]
fn a_date_that_means_none_is_none_and_its_record_is_shipped() {
    let with = format!(r#"{{"id":1,"date":"{}"}}"#, minutes_ago(5));
    for none in [
        "0",
        "-1",
        "\"0\"",
        "-62135596800",
        "\"0001-01-01T00:00:00Z\"",
        "\"0001-01-01T00:00:00+02:00\"",
        "\"1601-01-01T00:00:00Z\"",
        "\"1970-01-01T00:00:00Z\"",
        "\"1970-01-01 00:00:00\"",
        "\"/Date(-62135596800000)/\"",
        "\"0000-00-00 00:00:00\"",
        "\"N/A\"",
        "\"\"",
        "null",
    ] {
        let without = format!(r#"{{"id":2,"date":{none}}}"#);
        let records = [with.clone(), without];
        let api = MockServer::start(move |_, _| page(&records.iter().map(String::as_str).collect::<Vec<_>>(), None));
        let listener = MockListener::start();
        let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
        assert_eq!(listener.ids(), [1, 2], "{none}");
        outcome.assert_says("records=1").assert_says("have no readable date");
    }
}

#[test]
fn dates_without_a_zone_are_read_in_the_zone_of_the_config() {
    let (date, listener) = ("2026-07-01 12:00:00", MockListener::start());
    let api = MockServer::start(move |_, _| page(&[&format!(r#"{{"id":1,"date":"{date}"}}"#)], None));
    let more = "    filters: {since: '2026-07-01T00:00:00'}\n";
    for (zone, checkpoint) in [("Europe/Berlin", "10:00:00"), ("-03:30", "15:30:00"), ("UTC", "12:00:00")] {
        let config = general(api.url(), listener.url(), more)
            .replace("days_back_fetch: 5", &format!("days_back_fetch: 5, timezone: '{zone}'"));
        let outcome = Fetcher::new(&config).once().assert_code(0);
        assert_eq!(outcome.read("last_start_dates.txt"), format!("events: 2026-07-01T{checkpoint}Z\n"), "{zone}");
    }
    let starts = api.asked().iter().filter(|asked| asked.query.contains("2026-07-01T00")).count();
    assert_eq!(starts, 3, "filters are in UTC whatever the zone");
}

#[test]
fn a_pretty_printed_page_becomes_one_line_per_record() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |_, _| {
        Reply::json(&format!(
            "{{\r\n  \"data\": [\n    {{\n      \"date\": \"{date}\",\n      \"text\": \"a  b\\n\"\n    }}\n  ]\n}}\n"
        ))
    });
    let listener = MockListener::start();
    Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    let lines = listener.lines();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains(r#""text": "a  b\n","type":"api_fetcher"}"#), "{lines:?}");
}

#[test]
fn a_record_without_a_date_is_shipped_and_warned_of() {
    let with = format!(r#"{{"date":"{}"}}"#, minutes_ago(5));
    let api = MockServer::start(move |_, _| page(&[&with, "\"a line\"", r#"{"date":"soon"}"#], None));
    let listener = MockListener::start();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    assert_eq!(listener.lines().len(), 3);
    assert!(listener.lines().contains(&r#"{"message":"a line","type":"api_fetcher"}"#.to_owned()));
    outcome.assert_says("records=2").assert_says("have no readable date");
}

#[test]
fn a_page_where_no_record_has_a_date_is_an_error_that_names_the_keys() {
    let api = MockServer::start(|_, _| page(&[r#"{"when":"2024-05-28","id":1}"#], None));
    let listener = MockListener::start().may_be_idle();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1);
    outcome
        .assert_says("no record has a readable date at json path `date`")
        .assert_says("the keys there are: when, id");
    assert_eq!(listener.lines().len(), 0);
}

#[test]
fn the_data_path_may_hold_one_object_or_nothing_but_not_be_missing() {
    let listener = MockListener::start().may_be_idle();
    let run = |body: String| {
        let api = MockServer::start(move |_, _| Reply::json(&body));
        Fetcher::new(&general(api.url(), listener.url(), "")).once()
    };
    run(format!(r#"{{"data":{{"date":"{}"}}}}"#, minutes_ago(5))).assert_code(0).assert_says("records=1");
    run(r#"{"data":null}"#.to_owned()).assert_code(0).assert_says("records=0");
    run(r#"{"data":[]}"#.to_owned()).assert_code(0).assert_says("records=0");
    run(r#"{"items":[],"total":0}"#.to_owned()).assert_code(1).assert_says("the keys there are: items, total");
    run("<html>".to_owned()).assert_code(1).assert_says("with a web page, not with data");
}

#[test]
fn every_form_of_a_date_is_understood_and_converted_to_utc() {
    let table = [
        ("2021-10-05T10:10:10+00:00", "2021-10-05T10:10:10Z"),
        ("2021-10-05T10:10:10Z", "2021-10-05T10:10:10Z"),
        ("2021-10-05T10:10:10z", "2021-10-05T10:10:10Z"),
        ("2021-10-05T10:10:10+0200", "2021-10-05T08:10:10Z"),
        ("2021-10-05T10:10:10+02", "2021-10-05T08:10:10Z"),
        ("2021-10-05T23:10:10-03:30", "2021-10-06T02:40:10Z"),
        ("2021-10-05 10:10:10", "2021-10-05T10:10:10Z"),
        ("2021-10-05T10:10:10", "2021-10-05T10:10:10Z"),
        ("2021-10-05T10:10", "2021-10-05T10:10:00Z"),
        ("2021-10-05 10:10:10 UTC", "2021-10-05T10:10:10Z"),
        ("2021-10-05 10:10:10 +0100", "2021-10-05T09:10:10Z"),
        ("2021-10-05T10:10:10,5Z", "2021-10-05T10:10:10.500Z"),
        ("2021-10-05T10:10:10.1234567Z", "2021-10-05T10:10:10.123456700Z"),
        ("2021-10-05T10:10:10.123456789Z", "2021-10-05T10:10:10.123456789Z"),
        ("2021-10-05T10:10:10.12345678999Z", "2021-10-05T10:10:10.123456789Z"),
        ("2021-10-05T10:10:60Z", "2021-10-05T10:11:00Z"),
        ("20211005T101010Z", "2021-10-05T10:10:10Z"),
        ("20211005", "2021-10-05T00:00:00Z"),
        ("2021-10-05", "2021-10-05T00:00:00Z"),
        ("Tue, 05 Oct 2021 10:10:10 +0200", "2021-10-05T08:10:10Z"),
        ("Tue, 5 Oct 2021 10:10:10 GMT", "2021-10-05T10:10:10Z"),
        ("Sat, 31 Dec 2016 23:59:60 GMT", "2017-01-01T00:00:00Z"),
        ("Tue, 5 Oct 2021 10:10:10 UTC", "2021-10-05T10:10:10Z"),
        ("1716900000", "2024-05-28T12:40:00Z"),
        ("1716900000.25", "2024-05-28T12:40:00.250Z"),
        ("1716900000123", "2024-05-28T12:40:00.123Z"),
        ("1716900000123456", "2024-05-28T12:40:00.123456Z"),
        ("1.7169e9", "2024-05-28T12:40:00Z"),
        ("-1.5", "1969-12-31T23:59:58.500Z"),
        ("/Date(1716900000000)/", "2024-05-28T12:40:00Z"),
        ("/Date(1716900000000+0200)/", "2024-05-28T12:40:00Z"),
    ];
    for (text, expected) in table {
        assert_eq!(date::parse(text).map(date::format).as_deref(), Some(expected), "{text}");
    }
    for text in [
        "",
        "soon",
        "None",
        "2021-13-05",
        "2021-10-05T",
        "2021-10-05T25:00:00Z",
        "2021-10-05T10:10:10+99:00",
        "12:30",
        "é",
        "1e999",
        "/Date()/",
        // Beyond the years that RFC 3339 can write.
        "-077777777777770101",
        "0000-01-01T00:00:00+01:00",
        "9999-12-31T23:30:00-01:00",
    ] {
        assert_eq!(date::parse(text), None, "{text}");
    }
}

#[test]
fn no_text_makes_the_date_reader_panic_and_every_date_survives_writing() {
    use proptest::prelude::*;
    let zones = ["UTC", "Europe/Berlin", "Pacific/Apia", "-12:00"].map(|zone| Zone::parse(zone).unwrap());
    proptest!(|(text in "[0-9TZ:+., /a-z()-]{0,40}", seconds in -62_135_596_800_i64..253_402_300_799, nanoseconds in 0_u32..1_000_000_000, zone in 0..4_usize)| {
        let local = DateTime::from_timestamp(seconds, 0).unwrap().format("%Y-%m-%d %H:%M:%S").to_string();
        for read in [date::of_event(&text, zones[zone]), date::of_event(&local, zones[zone])].into_iter().flatten() {
            prop_assert!(read.timestamp() >= 86_400);
            prop_assert_eq!(date::of_event(&date::format(read), zones[zone]), Some(read));
        }
        for read in [date::parse(&text), date::parse_written(&text)].into_iter().flatten() {
            prop_assert_eq!(date::parse_written(&date::format(read)), Some(read));
        }
        let instant: DateTime<Utc> = DateTime::from_timestamp(seconds, nanoseconds).unwrap();
        prop_assert_eq!(date::parse(&date::format(instant)), Some(instant));
    });
}
