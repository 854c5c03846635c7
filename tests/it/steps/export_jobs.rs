//! A job that is started, polled and fetched in chunks (Tenable vulnerability exports): one at a time, also over restarts.

use std::sync::{Arc, Mutex};

use chrono::{TimeDelta, Utc};

use super::numbers;
use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply, unpack, wait_until};

/// A finding: its number, and when it was seen last.
type Finding = (u64, i64);

#[derive(Default)]
struct Exports {
    findings: Vec<Finding>,
    /// Those of each job.
    jobs: Vec<Vec<Finding>>,
    /// How often each job says that it isn't done.
    busy: usize,
    polls: usize,
    status: Option<&'static str>,
    chunk_status: Option<u16>,
    /// The chunk that isn't given for now.
    busy_chunk: Option<usize>,
    /// How often each chunk was asked for, the first one first.
    chunks: Vec<usize>,
}

#[derive(Clone, Default)]
struct Service(Arc<Mutex<Exports>>);

const EXPORT: &str = "/vulns/export";
/// How many findings a chunk has.
const CHUNK: usize = 2;

impl Service {
    fn change(&self, change: impl FnOnce(&mut Exports)) {
        change(&mut self.0.lock().unwrap());
    }

    fn add(&self, findings: std::ops::Range<u64>, minutes_ago: i64) {
        let seen = (Utc::now() - TimeDelta::minutes(minutes_ago)).timestamp();
        self.change(|exports| exports.findings.extend(findings.map(|number| (number, seen))));
    }

    fn jobs(&self) -> usize {
        self.0.lock().unwrap().jobs.len()
    }

    fn start(&self) -> MockServer {
        let service = self.clone();
        MockServer::start(move |asked, _| service.answer(asked))
    }

    fn answer(&self, asked: &Asked) -> Reply {
        let mut exports = self.0.lock().unwrap();
        if asked.header("x-apikeys") != Some("accessKey=a;secretKey=s") {
            return Reply::status(401, r#"{"error":"Invalid Credentials"}"#);
        }
        if !asked.query.is_empty() {
            return Reply::status(400, "there are no parameters");
        }
        if (asked.method.as_str(), asked.path.as_str()) == ("POST", EXPORT) {
            return exports.begin(asked);
        }
        let Some(rest) = asked.path.strip_prefix(&format!("{EXPORT}/job-")).filter(|_| asked.method == "GET") else {
            return Reply::status(405, "no such request");
        };
        let Some((job, what)) = rest.split_once('/') else { return Reply::status(404, "no such path") };
        let Some(findings) = job.parse().ok().and_then(|job: usize| exports.jobs.get(job).cloned()) else {
            return Reply::status(404, "no such export");
        };
        match what.strip_prefix("chunks/") {
            None if what == "status" => exports.status(job, &findings),
            Some(chunk) => exports.chunk(chunk, &findings),
            None => Reply::status(404, "no such path"),
        }
    }
}

impl Exports {
    fn begin(&mut self, asked: &Asked) -> Reply {
        let body: serde_json::Value = serde_json::from_str(&asked.text()).unwrap_or_default();
        let mut names: Vec<&str> =
            body.as_object().into_iter().flat_map(|body| body.keys()).map(String::as_str).collect();
        names.sort_unstable();
        let since = body["filters"]["since"].as_i64().filter(|_| names == ["filters", "num_assets"]);
        let Some(since) = since else {
            return Reply::status(400, "num_assets and filters.since, UNIX seconds, are needed");
        };
        self.jobs.push(self.findings.iter().filter(|(_, seen)| *seen >= since).copied().collect());
        self.polls = 0;
        Reply::json(&format!(r#"{{"export_uuid":"job-{}"}}"#, self.jobs.len() - 1))
    }

    fn status(&mut self, job: &str, findings: &[Finding]) -> Reply {
        self.polls += 1;
        let status = self.status.unwrap_or(if self.polls > self.busy { "FINISHED" } else { "PROCESSING" });
        let chunks: Vec<String> = match status {
            "FINISHED" => (1..=findings.len().div_ceil(CHUNK)).map(|chunk| chunk.to_string()).collect(),
            _ => Vec::new(),
        };
        Reply::json(&format!(r#"{{"uuid":"job-{job}","status":"{status}","chunks_available":[{}]}}"#, chunks.join(",")))
    }

    fn chunk(&mut self, chunk: &str, findings: &[Finding]) -> Reply {
        if let Ok(number) = chunk.parse::<usize>() {
            self.chunks.resize(self.chunks.len().max(number), 0);
            self.chunks[number - 1] += 1;
            if self.busy_chunk == Some(number) {
                return Reply::status(503, "busy");
            }
        }
        if let Some(status) = self.chunk_status.filter(|_| chunk == "2") {
            return Reply::status(status, "no");
        }
        let Some(chunk) = chunk.parse().ok().and_then(|chunk: usize| findings.chunks(CHUNK).nth(chunk - 1)) else {
            return Reply::status(404, "no such chunk");
        };
        let finding = |(number, seen): &Finding| {
            let seen = chrono::DateTime::from_timestamp(*seen, 0).unwrap().format("%Y-%m-%dT%H:%M:%S.000Z");
            format!(r#"{{"finding_id":{number},"last_found":"{seen}","state":"OPEN"}}"#)
        };
        Reply::json(&format!("[{}]", chunk.iter().map(finding).collect::<Vec<_>>().join(",")))
    }
}

fn config(api: &MockServer, listener: &MockListener, within: &str) -> String {
    let (api, listener) = (api.url(), listener.url());
    format!(
        "logzio: {{url: '{listener}', token: shipping-token-1}}\nauth_apis:\n  - type: general\n    name: findings\n    \
         settings: {{time_interval: 1s, days_back_fetch: 2}}\n    \
         http_request:\n      url: '{api}{EXPORT}'\n      method: POST\n      \
         headers: {{X-ApiKeys: accessKey=a;secretKey=s}}\n      \
         body: {{num_assets: 50, filters: {{since: '{{start_date:unix}}'}}}}\n    \
         json_paths: {{data: $, id: export_uuid}}\n    steps:\n      \
         - http_request: {{url: '{api}{EXPORT}/{{item.export_uuid}}/status'}}\n        \
         until: {{status: FINISHED}}\n        fails: {{status: [ERROR, CANCELLED]}}\n        within: {within}\n        \
         json_paths: {{data: chunks_available}}\n      \
         - http_request: {{url: '{api}{EXPORT}/{{parent.uuid}}/chunks/{{item}}'}}\n        \
         json_paths: {{data: $, data_date: last_found, id: finding_id}}\n"
    )
}

fn ids(listener: &MockListener) -> Vec<u64> {
    numbers(listener, "finding_id")
}

fn all(until: u64) -> Vec<u64> {
    (0..until).collect()
}

#[test]
fn a_job_is_started_polled_until_it_is_done_and_fetched_chunk_by_chunk() {
    let service = Service::default();
    service.add(0..5, 60);
    service.change(|exports| exports.busy = 2);
    let (api, listener) = (service.start(), MockListener::start());
    let first = Fetcher::new(&config(&api, &listener, "5m")).once().assert_code(0);
    assert_eq!(ids(&listener), all(5));
    assert_eq!(service.jobs(), 1);
    service.add(5..8, 1);
    let second = Fetcher::again(first).once().assert_code(0);
    assert_eq!(ids(&listener), all(8), "the next iteration starts a job of its own, and ships what is new");
    assert_eq!(service.jobs(), 2);
    Fetcher::again(second).once().assert_code(0);
    assert_eq!(ids(&listener), all(8), "nothing twice");
}

#[test]
fn a_restart_goes_on_polling_the_job_that_was_started() {
    let service = Service::default();
    service.add(0..5, 60);
    service.change(|exports| exports.busy = usize::MAX);
    let (api, listener) = (service.start(), MockListener::start());
    let running = Fetcher::new(&config(&api, &listener, "5m")).start();
    wait_until("the job to be polled", || service.0.lock().unwrap().polls > 0);
    let killed = running.kill();
    service.change(|exports| exports.busy = 0);
    Fetcher::again(killed).once().assert_code(0);
    assert_eq!(ids(&listener), all(5));
    assert_eq!(service.jobs(), 1, "no other job was started");
}

/// Killed after one chunk and after three, with a further one under way: the job isn't started anew, and of what
/// was delivered no more than a batch comes again.
#[test]
fn a_kill_between_chunks_loses_nothing_and_doubles_no_more_than_a_batch() {
    for delivered in [1, 3] {
        let service = Service::default();
        service.add(0..10, 60);
        // While it waits for the next one, what came before is shipped.
        service.change(|exports| exports.busy_chunk = Some(delivered + 1));
        let (api, listener) = (service.start(), MockListener::start());
        let config = config(&api, &listener, "5m").replace("days_back_fetch: 2", "days_back_fetch: 2, parallel: 1");
        let running = Fetcher::new(&config).start();
        let is_under_way = || service.0.lock().unwrap().chunks.get(delivered).is_some_and(|times| *times > 0);
        wait_until("the next chunk to be asked for", is_under_way);
        wait_until("the chunks before to be delivered", || listener.lines().len() >= delivered * CHUNK);
        let killed = running.kill();
        let before = ids(&listener);
        service.change(|exports| exports.busy_chunk = None);
        service.add(10..12, 1);
        let outcome = Fetcher::again(killed).once().assert_code(0);
        assert_eq!(service.jobs(), 1, "the job that was started is gone on with");
        let mut once = ids(&listener);
        let doubled = once.len() - 10;
        once.dedup();
        assert_eq!(once, all(10), "{delivered} chunks were delivered: {before:?}");
        // Chunks that came while nothing was sent are one batch.
        let batches = listener.asked().into_iter().map(|asked| unpack(&asked.body).lines().count());
        assert!(doubled <= batches.max().unwrap(), "more than a batch came twice: {:?}", ids(&listener));
        Fetcher::again(outcome).once().assert_code(0);
        let mut once = ids(&listener);
        assert_eq!(once.len() - doubled, 12, "what came meanwhile is in the next job, and nothing twice: {once:?}");
        once.dedup();
        assert_eq!((once, service.jobs()), (all(12), 2));
    }
}

#[test]
fn a_job_that_failed_or_takes_too_long_fails_the_iteration_and_another_is_started() {
    for (status, within, said) in [
        ("ERROR", "5m", "the job has failed: its answer says `status: ERROR`"),
        ("QUEUED", "2s", "isn't done after 2 s"),
    ] {
        let service = Service::default();
        service.add(0..3, 60);
        service.change(|exports| exports.status = Some(status));
        let (api, listener) = (service.start(), MockListener::start());
        let first = Fetcher::new(&config(&api, &listener, within)).once().assert_code(1).assert_says(said);
        service.change(|exports| exports.status = None);
        Fetcher::again(first).once().assert_code(0);
        assert_eq!((ids(&listener), service.jobs()), (all(3), 2), "{status}");
    }
}

#[test]
fn a_chunk_that_fails_is_fetched_from_the_same_job_and_one_that_is_gone_from_another() {
    for (status, said, jobs) in [(200, "is not valid JSON", 1), (404, "404", 2)] {
        let service = Service::default();
        service.add(0..6, 60);
        service.change(|exports| exports.chunk_status = Some(status));
        let (api, listener) = (service.start(), MockListener::start());
        let first = Fetcher::new(&config(&api, &listener, "5m")).once().assert_code(1);
        let first = first.assert_says("step 2, entry `job-0`: page 1:").assert_says(said);
        assert_eq!(ids(&listener), [0, 1, 4, 5], "what came is delivered");
        service.change(|exports| exports.chunk_status = None);
        Fetcher::again(first).once().assert_code(0);
        assert_eq!(ids(&listener), all(6), "nothing twice");
        assert_eq!(service.jobs(), jobs, "{status}");
    }
}
