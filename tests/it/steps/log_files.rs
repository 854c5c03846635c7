//! A list of log files by a query, each of which is a CSV document (Salesforce event log files).

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};

use super::{field, fields, numbers};
use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply};

const QUERY: &str = "/services/data/v58.0/query";
const FILES: &str = "/services/data/v58.0/sobjects/EventLogFile/";
const SELECT: &str = "SELECT Id,CreatedDate,LogFile FROM EventLogFile WHERE Interval='Hourly' AND CreatedDate >= ";
const PAGE: usize = 2;

/// When a file was made, the numbers in it, and the status of the answer.
type LogFile = (DateTime<Utc>, Vec<u64>, u16);

#[derive(Clone, Default)]
struct Service(Arc<Mutex<Vec<LogFile>>>);

impl Service {
    fn add(&self, minutes_ago: i64, numbers: &[u64]) {
        self.0.lock().unwrap().push((Utc::now() - TimeDelta::minutes(minutes_ago), numbers.to_vec(), 200));
    }

    fn start(&self) -> MockServer {
        let service = self.clone();
        MockServer::start(move |asked, _| service.answer(asked).unwrap_or_else(|refused| refused))
    }

    fn answer(&self, asked: &Asked) -> Result<Reply, Reply> {
        if asked.header("authorization") != Some("Bearer the-key") {
            return Err(Reply::status(401, r#"[{"errorCode":"INVALID_SESSION_ID"}]"#));
        }
        let files = self.0.lock().unwrap();
        if let Some(file) = asked.path.strip_prefix(FILES).and_then(|rest| rest.strip_suffix("/LogFile")) {
            let Some((_, numbers, status)) = file.parse().ok().and_then(|file: usize| files.get(file)) else {
                return Err(Reply::status(404, "no such file"));
            };
            let rows: String = numbers.iter().map(|number| format!("\"Login\",\"{number}\"\r\n")).collect();
            let reply = Reply::status(*status, &format!("\"EVENT_TYPE\",\"N\"\r\n{rows}"));
            return Ok(reply.with("Content-Type", "text/csv"));
        }
        let (since, from) = match asked.path.strip_prefix(&format!("{QUERY}/more-")) {
            Some(more) => {
                let (since, from) = more.split_once('-').unwrap();
                (DateTime::from_timestamp(since.parse().unwrap(), 0).unwrap(), from.parse().unwrap())
            }
            None if asked.path == QUERY => {
                let fields = fields(asked, &["q"], &[])?;
                let since = field(&fields, "q").unwrap().strip_prefix(SELECT);
                let since = since.and_then(|since| since.strip_suffix(" ORDER BY CreatedDate"));
                let since = since.and_then(|since| DateTime::parse_from_rfc3339(since).ok());
                (since.ok_or(Reply::status(400, r#"[{"errorCode":"MALFORMED_QUERY"}]"#))?.to_utc(), 0)
            }
            None => return Err(Reply::status(404, "no such path")),
        };
        let mut listed: Vec<(usize, &LogFile)> =
            files.iter().enumerate().filter(|(_, (created, ..))| *created >= since).collect();
        listed.sort_by_key(|(_, (created, ..))| *created);
        let page: Vec<String> = listed
            .iter()
            .skip(from)
            .take(PAGE)
            .map(|(number, (created, ..))| {
                let created = created.format("%Y-%m-%dT%H:%M:%S%.3f+0000");
                format!(r#"{{"Id":"0AT{number}","CreatedDate":"{created}","LogFile":"{FILES}{number}/LogFile"}}"#)
            })
            .collect();
        let next = match from + PAGE < listed.len() {
            true => format!(r#","nextRecordsUrl":"{QUERY}/more-{}-{}""#, since.timestamp(), from + PAGE),
            false => String::new(),
        };
        let (size, is_done) = (listed.len(), next.is_empty());
        Ok(Reply::json(&format!(r#"{{"totalSize":{size},"done":{is_done},"records":[{}]{next}}}"#, page.join(","))))
    }
}

fn config(api: &MockServer, listener: &MockListener) -> String {
    let (api, listener) = (api.url(), listener.url());
    format!(
        "logzio: {{url: '{listener}', token: shipping-token-1}}\nauth_apis:\n  - type: general\n    name: files\n    \
         settings: {{time_interval: 1s, days_back_fetch: 2, overlap: 30m}}\n    \
         http_request: {{url: '{api}{QUERY}', headers: {{Authorization: Bearer the-key}}}}\n    \
         filters: {{q: \"{SELECT}{{start_date}} ORDER BY CreatedDate\"}}\n    \
         json_paths: {{data: records, data_date: CreatedDate, id: Id, next_url: nextRecordsUrl}}\n    steps:\n      \
         - http_request: {{url: '{{item.LogFile:raw}}'}}\n        response: {{format: csv}}\n"
    )
}

fn ids(listener: &MockListener) -> Vec<u64> {
    numbers(listener, "N")
}

#[test]
fn every_row_of_every_file_is_a_record_also_one_that_stands_in_two_files() {
    let service = Service::default();
    service.add(90, &[0, 1, 7, 7]);
    service.add(80, &[2, 7]);
    service.add(70, &[3]);
    let (api, listener) = (service.start(), MockListener::start());
    let first = Fetcher::new(&config(&api, &listener)).once().assert_code(0);
    assert_eq!(ids(&listener), [0, 1, 2, 3, 7, 7, 7]);
    assert!(!first.stderr.contains("readable date"), "rows need no date: {}", first.stderr);
    service.add(1, &[4]);
    service.add(75, &[5]);
    service.0.lock().unwrap()[3].2 = 404;
    let second = Fetcher::again(first).once().assert_code(0).assert_says("entries of the list are refused");
    assert_eq!(ids(&listener), [0, 1, 2, 3, 5, 7, 7, 7], "a file that surfaced late");
    service.0.lock().unwrap()[3].2 = 200;
    let third = Fetcher::again(second).once().assert_code(0);
    assert_eq!(ids(&listener), [0, 1, 2, 3, 4, 5, 7, 7, 7]);
    Fetcher::again(third).once().assert_code(0);
    assert_eq!(ids(&listener).len(), 9, "nothing twice");
}

#[test]
fn probe_asks_for_the_first_file_once_and_says_what_is_in_it() {
    let service = Service::default();
    service.add(90, &[0, 1]);
    service.add(80, &[2]);
    let (api, listener) = (service.start(), MockListener::start().may_be_idle());
    let outcome = Fetcher::new(&config(&api, &listener)).run("probe").assert_code(0);
    outcome.assert_says("step 1").assert_says("`$`: 2 records");
    assert_eq!(api.asked().iter().filter(|asked| asked.path.starts_with(FILES)).count(), 1);
    assert!(listener.lines().is_empty());
}
