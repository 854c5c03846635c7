//! Batches of signed URLs that lead to files at another host (Mimecast SIEM logs): gzip files with one JSON object a line, a
//! position that goes on from iteration to iteration, and URLs that are signed anew whenever they are listed.

use std::io::Write;
use std::sync::{Arc, Mutex};

use chrono::{SecondsFormat, TimeDelta, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{field, fields, numbers};
use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply, wait_until};

const PAGE: usize = 2;

/// A file: the numbers in it, their date, and the status of the answer.
type Batch = (std::ops::Range<u64>, String, u16);

#[derive(Clone, Default)]
struct Service {
    batches: Arc<Mutex<Vec<Batch>>>,
    signed: Arc<Mutex<u64>>,
}

impl Service {
    fn add(&self, numbers: std::ops::Range<u64>) {
        let at = (Utc::now() - TimeDelta::minutes(5)).to_rfc3339_opts(SecondsFormat::Millis, true);
        self.batches.lock().unwrap().push((numbers, at, 200));
    }

    fn answers(&self, batch: usize, status: u16) {
        self.batches.lock().unwrap()[batch].2 = status;
    }

    /// The API, and the storage that its URLs lead to.
    fn start(&self) -> (MockServer, MockServer) {
        let (service, own) = (self.clone(), self.clone());
        let storage = MockServer::start(move |asked, _| service.file(asked));
        let url = storage.url().to_owned();
        let api = MockServer::start(move |asked, _| own.list(asked, &url).unwrap_or_else(|refused| refused));
        (api, storage)
    }

    fn list(&self, asked: &Asked, storage: &str) -> Result<Reply, Reply> {
        if asked.path != "/siem/v1/batch/events/cg" || asked.header("authorization") != Some("Bearer the-key") {
            return Err(Reply::status(401, "who are you"));
        }
        let fields = fields(asked, &["type"], &["dateRangeStartsAt", "nextPage"])?;
        let from = match (field(&fields, "nextPage"), field(&fields, "dateRangeStartsAt")) {
            (Some(token), None) => token.strip_prefix("at-").and_then(|at| at.parse().ok()),
            (None, Some(day)) if chrono::NaiveDate::parse_from_str(day, "%Y-%m-%d").is_ok() => Some(0),
            _ => None,
        };
        let from: usize = from.ok_or(Reply::status(400, "either a day or a token of ours"))?;
        let batches = self.batches.lock().unwrap();
        let until = (from + PAGE).min(batches.len());
        let mut signed = self.signed.lock().unwrap();
        let entries: Vec<String> = (from..until)
            .map(|number| {
                *signed += 1;
                format!(r#"{{"url":"{storage}/batch-{number}.json.gz?X-Sig={signed}%2Bx","size":10}}"#)
            })
            .collect();
        let is_caught_up = until == batches.len();
        Ok(Reply::json(&format!(
            r#"{{"value":[{}],"@nextPage":"at-{until}","isCaughtUp":{is_caught_up}}}"#,
            entries.join(",")
        )))
    }

    fn file(&self, asked: &Asked) -> Reply {
        let own = ["authorization", "cookie", "x-own"];
        if own.iter().any(|name| asked.header(name).is_some())
            || asked.raw_field("X-Sig").is_none_or(|sig| !sig.ends_with("%2Bx"))
        {
            return Reply::status(400, "the signature doesn't fit the request");
        }
        let number = asked.path.strip_prefix("/batch-").and_then(|rest| rest.strip_suffix(".json.gz"));
        let batches = self.batches.lock().unwrap();
        let Some((numbers, at, status)) = number.and_then(|number| batches.get(number.parse::<usize>().ok()?)) else {
            return Reply::status(404, "<Error><Code>NoSuchKey</Code></Error>");
        };
        let lines: String = numbers.clone().map(|id| format!("{{\"id\":{id},\"timestamp\":\"{at}\"}}\n")).collect();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(lines.as_bytes()).unwrap();
        let headers = vec![("Content-Type".to_owned(), "application/octet-stream".to_owned())];
        Reply::Full { status: *status, headers, body: gzip.finish().unwrap() }
    }
}

fn config(api: &MockServer, storage: &MockServer, listener: &MockListener) -> String {
    let (api, storage, listener) = (api.url(), storage.url(), listener.url());
    format!(
        "logzio: {{url: '{listener}', token: shipping-token-1}}\nauth_apis:\n  - type: general\n    name: mail\n    \
         settings: {{time_interval: 1s, days_back_fetch: 2, parallel: 2}}\n    hosts: ['{storage}']\n    \
         http_request: {{url: '{api}/siem/v1/batch/events/cg', headers: {{Authorization: Bearer the-key, X-Own: '1'}}}}\n    \
         filters: {{type: receipt, dateRangeStartsAt: '{{start_date:day}}'}}\n    \
         next_request: {{filters: {{type: receipt, nextPage: '{{cursor}}'}}}}\n    \
         json_paths: {{data: value, cursor: '@nextPage', has_more: '!isCaughtUp'}}\n    steps:\n      \
         - http_request: {{url: '{{item.url:raw}}'}}\n        json_paths: {{data_date: timestamp, id: id}}\n"
    )
}

fn ids(listener: &MockListener) -> Vec<u64> {
    numbers(listener, "id")
}

fn all(until: u64) -> Vec<u64> {
    (0..until).collect()
}

#[test]
fn every_file_is_fetched_by_its_url_alone_and_the_position_goes_on() {
    let service = Service::default();
    (0..5).for_each(|number| service.add(number * 10..number * 10 + 10));
    let (api, storage) = service.start();
    let listener = MockListener::start();
    let first = Fetcher::new(&config(&api, &storage, &listener)).once().assert_code(0);
    assert_eq!(ids(&listener), all(50));
    service.add(50..55);
    let second = Fetcher::again(first).once().assert_code(0);
    assert_eq!(ids(&listener), all(55));
    let before = storage.asked().len();
    assert_eq!(before, 6, "each file once");
    let third = Fetcher::again(second).once().assert_code(0);
    assert_eq!(storage.asked().len(), before, "nothing new");
    assert!(!third.everything().contains("X-Sig"), "a signed URL is a secret: {}", third.everything());
}

#[test]
fn a_file_that_fails_is_listed_and_fetched_again_before_the_position_moves() {
    for (status, code) in [(418, 1), (404, 0)] {
        let service = Service::default();
        (0..3).for_each(|number| service.add(number * 2..number * 2 + 2));
        service.answers(1, status);
        let (api, storage) = service.start();
        let listener = MockListener::start();
        let first = Fetcher::new(&config(&api, &storage, &listener)).once().assert_code(code);
        assert_eq!(ids(&listener), [0, 1, 4, 5], "{status}");
        service.answers(1, 200);
        Fetcher::again(first).once().assert_code(0);
        assert_eq!(ids(&listener), all(6), "{status}: nothing is lost, nothing comes twice");
    }
}

#[test]
fn a_kill_between_files_loses_nothing() {
    let service = Service::default();
    (0..6).for_each(|number| service.add(number * 2..number * 2 + 2));
    let (api, storage) = service.start();
    let listener = MockListener::start();
    service.answers(5, 503);
    let running = Fetcher::new(&config(&api, &storage, &listener)).start();
    wait_until("the files before to be delivered", || listener.lines().len() >= 8);
    let killed = running.kill();
    service.answers(5, 200);
    Fetcher::again(killed).once().assert_code(0);
    let mut once = ids(&listener);
    let with_doubles = once.len();
    once.dedup();
    assert_eq!(once, all(12));
    assert!(with_doubles <= 12 + 4, "more than a batch came twice: {:?}", ids(&listener));
}
