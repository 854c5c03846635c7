//! Bodies that are no JSON: NDJSON, CSV, gzip and zip files, and answers that have no records by their status.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use logzio_api_fetcher::config::{self, Environment};
use logzio_api_fetcher::counters::Counters;
use logzio_api_fetcher::decode::Format;
use logzio_api_fetcher::fetch::{Answer, FetchError, Fetcher as PageFetcher, Gate, RequestTurn, TokenSlot, Waits};
use logzio_api_fetcher::http::{self, Timeouts};
use logzio_api_fetcher::memory::{MemoryBudget, Outage};
use logzio_api_fetcher::plan::{Plan, ResponseRule};
use logzio_api_fetcher::process::stop::{self, Recall};
use logzio_api_fetcher::template::{Position, ProofScope, Scope};
use logzio_api_fetcher::transport::{Clock, Transport};
use rawzip::{CompressionMethod, ZipArchiveWriter};
use reqwest::StatusCode;

use crate::harness::{Fetcher, MockListener, MockServer, Outcome, Reply, general, minutes_ago, record};

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn zip(files: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = Vec::new();
    let mut archive = ZipArchiveWriter::new(&mut zip);
    for (name, content) in files {
        let new = archive.new_file(name).compression_method(CompressionMethod::DEFLATE);
        let (mut entry, config) = new.start().unwrap();
        let mut writer = config.wrap(DeflateEncoder::new(&mut entry, Compression::fast()));
        writer.write_all(content.as_bytes()).unwrap();
        let (encoder, descriptor) = writer.finish().unwrap();
        encoder.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    zip
}

fn reply(content_type: &str, body: impl Into<Vec<u8>>) -> Reply {
    Reply::Full { status: 200, headers: vec![("Content-Type".to_owned(), content_type.to_owned())], body: body.into() }
}

/// The config of an API whose whole answer is the list of records.
fn whole(api: &MockServer, listener: &MockListener) -> String {
    general(api.url(), listener.url(), "").replace("next_url: next, data: data", "data: $")
}

/// One iteration of an API that answers so, and the lines that arrived.
fn iteration(answer: impl Fn(usize) -> Reply + Send + Sync + 'static) -> (Outcome, Vec<String>) {
    let api = MockServer::start(move |_, before| answer(before));
    let listener = MockListener::start().may_be_idle();
    let outcome = Fetcher::new(&whole(&api, &listener)).once();
    (outcome, listener.lines())
}

/// The lines of records with ids from 1 on, in their order.
#[track_caller]
fn assert_shipped(answer: Reply, records: &[String]) {
    let (outcome, lines) = iteration(move |_| answer.clone());
    outcome.assert_code(0).assert_says(&format!("records={}", records.len()));
    let line = |record: &String| format!(r#"{},"type":"api_fetcher"}}"#, record.strip_suffix('}').unwrap());
    assert_eq!(lines, records.iter().map(line).collect::<Vec<_>>());
}

#[test]
fn the_lines_of_ndjson_arrive_with_their_bytes() {
    let date = minutes_ago(5);
    let odd =
        format!(r#"{{"date": "{date}", "float": 1.10, "big": 123456789012345678901234567890, "esc": "\u00e9\n"}}"#);
    let records = [record(1, &date), odd, record(3, &date)];
    let body = format!("\n{}\r\n\r\n{}\n{}", records[0], records[1], records[2]);
    assert_shipped(reply("application/x-ndjson", body.clone()), &records);
    // The first lines tell, too.
    assert_shipped(reply("application/json", body), &records);
    assert_shipped(reply("application/x-ndjson", record(1, &date)), &records[..1]);
}

#[test]
fn the_rows_of_csv_arrive_as_objects_of_texts() {
    let date = minutes_ago(5);
    let body = format!("\u{feff}id,date,\"a \"\"b\"\"\"\r\n1,{date},\"x, y\"\r\n2,{date},\r\n");
    let object = |id: u64, value: &str| format!(r#"{{"id":"{id}","date":"{date}","a \"b\"":"{value}"}}"#);
    assert_shipped(reply("text/csv; charset=utf-8", body), &[object(1, "x, y"), object(2, "")]);
}

#[test]
fn gzip_and_zip_files_are_opened() {
    let date = minutes_ago(5);
    let records: Vec<String> = (1..=5).map(|id| record(id, &date)).collect();
    let lines = records.join("\n");
    assert_shipped(reply("application/gzip", gzip(lines.as_bytes())), &records);
    // As a content encoding around the file.
    assert_shipped(
        reply("application/octet-stream", gzip(&gzip(lines.as_bytes()))).with("Content-Encoding", "gzip"),
        &records,
    );
    let files = [("2026/a.ndjson", records[..2].join("\n")), ("2026/b.ndjson", records[2..].join("\n"))];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, content)| (*name, content.as_str())).collect();
    assert_shipped(reply("application/zip", zip(&files)), &records);
}

#[test]
fn a_body_without_records_is_believed_where_it_is_ndjson_or_csv() {
    for (content_type, body) in [("application/x-ndjson", ""), ("text/csv", ""), ("text/csv", "id,date\r\n")] {
        let (outcome, _) = iteration(move |_| reply(content_type, body));
        outcome.assert_code(0).assert_says("records=0");
    }
}

#[test]
fn a_web_page_is_no_csv_and_no_ndjson() {
    for content_type in ["application/x-ndjson", "text/csv"] {
        let (outcome, _) = iteration(move |_| reply(content_type, "<html><title>Sign in</title></html>"));
        outcome.assert_code(1).assert_says("answered with a web page \"Sign in\", not with data");
    }
}

#[test]
fn a_line_or_row_that_cant_be_read_loses_none_of_the_others() {
    let date = minutes_ago(5);
    let (one, two) = (record(1, &date), record(2, &date));
    let bodies = [
        ("application/x-ndjson", format!("{one}\n{{oops}}\n{two}"), "line 2 is not valid JSON: "),
        ("text/csv", format!("id,date\n1,{date}\n2\n"), "row 3 has 1 fields, but the header has 2"),
        ("text/csv", format!("date,date\n{date},{date}\n"), "columns 1 and 2 of the header have the same name"),
    ];
    for (content_type, body, said) in bodies {
        let (outcome, lines) = iteration(move |_| reply(content_type, body.clone()));
        let outcome = outcome.assert_code(1).assert_says("a body that can't be decoded").assert_says(said);
        outcome.assert_says("#body-not-decoded");
        assert_eq!(lines.len(), 0, "the page is read as a whole, the next time");
    }
}

#[test]
fn a_body_that_was_cut_off_is_asked_for_again() {
    let date = minutes_ago(5);
    let lines = format!("{}\n{}", record(1, &date), record(2, &date));
    let (whole, zipped) =
        (reply("application/x-ndjson", lines.clone()), reply("application/gzip", gzip(lines.as_bytes())));
    for answer in [whole, zipped] {
        let (outcome, lines) = iteration(move |before| match (&answer, before) {
            (Reply::Full { status, headers, body }, 0) => {
                let body = body[..body.len() - 10].to_vec();
                Reply::Full { status: *status, headers: headers.clone(), body }
            }
            _ => answer.clone(),
        });
        outcome.assert_code(0);
        assert_eq!(lines.len(), 2);
    }
}

#[test]
fn a_small_file_that_is_opened_to_more_than_a_page_is_an_error() {
    let bomb = gzip(&vec![b' '; 65 * 1024 * 1024]);
    let (outcome, _) = iteration(move |_| reply("application/gzip", bomb.clone()));
    outcome.assert_code(1).assert_says("sent more than 67108864 bytes");
}

/// What a page is where the plan says how answers are read.
fn page(response: ResponseRule, answer: Reply) -> Result<Answer, FetchError> {
    let api = MockServer::start(move |_, _| answer.clone());
    let environment = Environment { variable: &|_| None, directory: Path::new(".") };
    let config = config::compile(&general(api.url(), "http://127.0.0.1:1", ""), &environment).config.unwrap();
    let plan = Plan { response, ..Plan::clone(&config.apis[0]) };
    let transport = Transport::from(http::clients(&[], Timeouts::default()).unwrap());
    let (_trigger, stop) = stop::channel();
    let fetcher = PageFetcher {
        transport: &transport,
        plan: &plan,
        waits: Waits::new(stop, Recall::never(), Duration::from_secs(1), Clock::System),
        token: &TokenSlot::default(),
        gate: &Gate::default(),
        memory: &MemoryBudget::default(),
        outage: &Outage::default(),
        counters: &Counters::default(),
        shared: None,
    };
    let position = Position::default();
    let now = Utc::now();
    let scope = Scope { start: now, end: None, now, position: &position, entry: None, proof: ProofScope::None };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(fetcher.page(scope, RequestTurn::First))
}

#[test]
fn the_config_says_what_a_body_is() {
    let text = |format, body: &str| {
        let response = ResponseRule { format, ..ResponseRule::default() };
        page(response, reply("application/json", body)).unwrap().text().unwrap().to_owned()
    };
    assert_eq!(text(Format::Csv, "a,b\n1,2\n"), r#"[{"a":"1","b":"2"}]"#);
    assert_eq!(text(Format::Ndjson, "{\"a\":1}\n"), r#"[{"a":1}]"#);
    assert_eq!(text(Format::Auto, "{\"a\":1}\n"), "{\"a\":1}\n");
    assert_eq!(text(Format::Json, "{\"a\":1}\n{}"), "{\"a\":1}\n{}");
}

#[test]
fn a_status_that_means_no_records_is_believed_unless_a_web_page_comes_with_it() {
    let by = |statuses: &[StatusCode], answer: Reply| {
        page(ResponseRule { empty_statuses: statuses.to_vec(), ..ResponseRule::default() }, answer)
    };
    let both = [StatusCode::NOT_FOUND, StatusCode::ACCEPTED];
    for answer in [Reply::status(404, r#"{"error":"no events"}"#), Reply::status(202, ""), Reply::status(204, "")] {
        assert_eq!(by(&both, answer).unwrap().text, None);
    }
    assert_eq!(by(&[], Reply::status(204, "")).unwrap().text, None, "204 always");
    let web_page = "<html><title>Not here</title></html>";
    let error = |statuses, answer| by(statuses, answer).map(|answer| answer.text).unwrap_err();
    assert!(matches!(
        error(&both, Reply::status(404, web_page)),
        FetchError::Status { status: StatusCode::NOT_FOUND, error_body, .. } if error_body.contains("Not here")
    ));
    assert!(
        matches!(error(&both, Reply::status(202, web_page)), FetchError::WebPage { title, .. } if title.contains("Not here"))
    );
    assert_eq!(error(&[], Reply::status(404, "{}")).status(), Some(StatusCode::NOT_FOUND));
}
