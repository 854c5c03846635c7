//! A list of content blobs, each of which is fetched (Microsoft 365 management activity): spans of 24 hours at most, the
//! next page in a header, records older than their blob.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};

use super::{field, fields, numbers, plain_date};
use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply, wait_until};

const LIST: &str = "/api/v1.0/tenant/activity/feed/subscriptions/content";
const BLOBS: &str = "/api/v1.0/tenant/activity/feed/audit/";
/// How many blobs a page of the list has.
const PAGE: usize = 2;

/// A blob: when it was made, how its request is answered, and the records in it.
#[derive(Clone)]
struct Blob {
    created: DateTime<Utc>,
    status: u16,
    records: std::ops::Range<u64>,
}

/// The service: its blobs, by number.
#[derive(Clone, Default)]
struct Service(Arc<Mutex<Vec<Blob>>>);

impl Service {
    fn add(&self, minutes_ago: i64, records: std::ops::Range<u64>) -> usize {
        let mut blobs = self.0.lock().unwrap();
        blobs.push(Blob { created: Utc::now() - TimeDelta::minutes(minutes_ago), status: 200, records });
        blobs.len() - 1
    }

    fn answers(&self, blob: usize, status: u16) {
        self.0.lock().unwrap()[blob].status = status;
    }

    fn start(&self) -> MockServer {
        let service = self.clone();
        let url = Arc::new(Mutex::new(String::new()));
        let own = Arc::clone(&url);
        let server = MockServer::start(move |asked, _| service.answer(asked, &own.lock().unwrap().clone()));
        url.lock().unwrap().push_str(server.url());
        server
    }

    fn answer(&self, asked: &Asked, url: &str) -> Reply {
        if asked.method != "GET" || asked.header("authorization") != Some("Bearer the-key") {
            return Reply::status(401, "AF10001");
        }
        match asked.path.strip_prefix(BLOBS) {
            Some(blob) => self.blob(blob, asked),
            None if asked.path == LIST => self.list(asked, url).unwrap_or_else(|refused| refused),
            None => Reply::status(404, "no such path"),
        }
    }

    fn list(&self, asked: &Asked, url: &str) -> Result<Reply, Reply> {
        let fields = fields(asked, &["contentType", "startTime", "endTime"], &["nextPage"])?;
        let date = |name| field(&fields, name).and_then(plain_date).ok_or(Reply::status(400, "AF20030: not a date"));
        let (start, end) = (date("startTime")?, date("endTime")?);
        if end - start > TimeDelta::hours(24) || start > end {
            return Err(Reply::status(400, "AF20030: start and end must lie within 24 hours of each other"));
        }
        if Utc::now() - start > TimeDelta::days(7) {
            return Err(Reply::status(400, "AF20055: start can't be more than 7 days back"));
        }
        let blobs = self.0.lock().unwrap();
        let mut listed: Vec<(usize, &Blob)> =
            blobs.iter().enumerate().filter(|(_, blob)| blob.created >= start && blob.created < end).collect();
        listed.sort_by_key(|(_, blob)| blob.created);
        let from: usize = field(&fields, "nextPage").map_or(0, |token| token.parse().unwrap());
        let page: Vec<String> = listed
            .iter()
            .skip(from)
            .take(PAGE)
            .map(|(number, blob)| {
                format!(
                    r#"{{"contentUri":"{url}{BLOBS}{number}","contentId":"{number}","contentType":"Audit.General","contentCreated":"{}","contentExpiration":"2199-01-01T00:00:00.000Z"}}"#,
                    blob.created.format("%Y-%m-%dT%H:%M:%S%.3fZ")
                )
            })
            .collect();
        let reply = Reply::json(&format!("[{}]", page.join(",")));
        Ok(match from + PAGE < listed.len() {
            true => {
                reply.with("NextPageUri", &format!("{url}{LIST}?{}&nextPage={}", first_of(&asked.query), from + PAGE))
            }
            false => reply,
        })
    }

    fn blob(&self, number: &str, asked: &Asked) -> Reply {
        if !asked.query.is_empty() {
            return Reply::status(400, "a blob has no parameters");
        }
        let blobs = self.0.lock().unwrap();
        let Some(blob) = number.parse().ok().and_then(|number: usize| blobs.get(number)) else {
            return Reply::status(404, "AF20051");
        };
        if blob.status != 200 {
            return Reply::status(blob.status, r#"{"error":{"code":"AF20051","message":"the content is gone"}}"#);
        }
        // What happened lies hours before its blob.
        let created = (blob.created - TimeDelta::hours(9)).format("%Y-%m-%dT%H:%M:%S");
        let record = |id| format!(r#"{{"CreationTime":"{created}","Id":"{id}","Operation":"x"}}"#);
        Reply::json(&format!("[{}]", blob.records.clone().map(record).collect::<Vec<_>>().join(",")))
    }
}

/// A query without its `nextPage`.
fn first_of(query: &str) -> String {
    query.split('&').filter(|field| !field.starts_with("nextPage=")).collect::<Vec<_>>().join("&")
}

fn config(api: &MockServer, listener: &MockListener, settings: &str) -> String {
    let (api, listener) = (api.url(), listener.url());
    format!(
        "logzio: {{url: '{listener}', token: shipping-token-1}}\nauth_apis:\n  - type: general\n    name: audit\n    \
         settings: {{time_interval: 1s, days_back_fetch: 2, max_window: 24h{settings}}}\n    \
         http_request: {{url: '{api}{LIST}', headers: {{Authorization: Bearer the-key}}}}\n    \
         filters:\n      contentType: Audit.General\n      startTime: \"{{start_date:'%Y-%m-%dT%H:%M:%S'}}\"\n      \
         endTime: \"{{end_date:'%Y-%m-%dT%H:%M:%S'}}\"\n    \
         json_paths: {{data: $, data_date: contentCreated, id: contentId, next_url: header.NextPageUri}}\n    \
         steps:\n      - http_request: {{url: '{{item.contentUri:raw}}'}}\n        json_paths: {{data: $, id: Id}}\n"
    )
}

fn ids(listener: &MockListener) -> Vec<u64> {
    numbers(listener, "Id")
}

/// How often a blob was asked for.
fn times_asked(api: &MockServer, blob: usize) -> usize {
    api.asked().iter().filter(|asked| asked.path == format!("{BLOBS}{blob}")).count()
}

fn all(until: u64) -> Vec<u64> {
    (0..until).collect()
}

#[test]
fn every_blob_of_every_page_is_fetched_once_also_one_that_surfaces_late() {
    let service = Service::default();
    for (number, ago) in (0..5).zip([2_000, 1_500, 100, 90, 80]) {
        service.add(ago, number * 3..number * 3 + 3);
    }
    let (api, listener) = (service.start(), MockListener::start());
    let first = Fetcher::new(&config(&api, &listener, ", overlap: 30m")).once().assert_code(0);
    assert_eq!(ids(&listener), all(15), "records are older than the window, and are shipped all the same");
    service.add(1, 15..18);
    service.add(85, 18..20);
    let second = Fetcher::again(first).once().assert_code(0);
    assert_eq!(ids(&listener), all(20), "news, and a blob that surfaced late");
    service.add(0, 20..21);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    Fetcher::again(second).once().assert_code(0);
    assert_eq!(ids(&listener), all(21));
    for blob in 0..8 {
        assert_eq!(times_asked(&api, blob), 1, "blob {blob}");
    }
}

#[test]
fn a_blob_that_fails_fails_the_iteration_after_the_others_are_delivered_and_is_asked_again() {
    let service = Service::default();
    let blobs: Vec<usize> = (0..4).map(|number| service.add(50 - number as i64, number * 2..number * 2 + 2)).collect();
    service.answers(blobs[1], 418);
    let (api, listener) = (service.start(), MockListener::start());
    let first = Fetcher::new(&config(&api, &listener, "")).once().assert_code(1);
    let first = first.assert_says("step 1, entry `1`: page 1:").assert_says("answered 418");
    assert_eq!(ids(&listener), [0, 1, 4, 5, 6, 7], "the others are delivered");
    service.answers(blobs[1], 200);
    Fetcher::again(first).once().assert_code(0);
    assert_eq!(ids(&listener), all(8));
    assert_eq!([0, 1, 2, 3].map(|blob| times_asked(&api, blob)), [1, 2, 1, 1], "what is done is not asked again");
}

#[test]
fn a_blob_that_is_gone_is_a_warning_and_set_aside_after_three_iterations_with_others() {
    let service = Service::default();
    let gone = service.add(60, 100..101);
    service.answers(gone, 404);
    service.add(59, 0..1);
    let (api, listener) = (service.start(), MockListener::start());
    let mut fetcher = Fetcher::new(&config(&api, &listener, ""));
    for time in 1..=3 {
        let outcome = fetcher.once().assert_code(0);
        let words = ["entries of the list are refused; they are asked about again", "it is set aside"];
        let outcome = outcome.assert_says(words[usize::from(time == 3)]);
        assert_eq!(ids(&listener), all(time));
        assert_eq!(times_asked(&api, gone), time as usize);
        service.add(40 - time as i64, time..time + 1);
        fetcher = Fetcher::again(outcome);
    }
    let outcome = fetcher.once().assert_code(0);
    assert_eq!(times_asked(&api, gone), 3, "set aside, it counts as done");
    assert!(!outcome.stderr.contains("refused"), "{}", outcome.stderr);
    assert_eq!(ids(&listener), all(4));
}

#[test]
fn where_every_blob_is_refused_the_iteration_fails() {
    let service = Service::default();
    for ago in [50, 40] {
        let blob = service.add(ago, 0..1);
        service.answers(blob, 403);
    }
    let (api, listener) = (service.start(), MockListener::start().may_be_idle());
    let outcome = Fetcher::new(&config(&api, &listener, "")).once().assert_code(1);
    outcome.assert_says("step 1, entry `0`: page 1:").assert_says("403");
    assert_eq!(api.asked().iter().filter(|asked| asked.path.starts_with(BLOBS)).count(), 2);
}

#[test]
fn no_more_blobs_are_asked_for_at_a_time_than_the_config_says() {
    for parallel in [1, 3] {
        let (busy, most) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
        let service = Service::default();
        for number in 0..8 {
            service.add(50, number..number + 1);
        }
        let (own, seen, asked_of) = (Arc::clone(&busy), Arc::clone(&most), service.clone());
        let url = Arc::new(Mutex::new(String::new()));
        let base = Arc::clone(&url);
        let api = MockServer::start(move |asked, _| {
            let is_blob = asked.path.starts_with(BLOBS);
            if is_blob {
                let mut busy = own.lock().unwrap();
                *busy += 1;
                let mut most = seen.lock().unwrap();
                *most = (*most).max(*busy);
            }
            // Long enough for all that may come at a time to come.
            std::thread::sleep(std::time::Duration::from_millis(if is_blob { 60 } else { 0 }));
            let reply = asked_of.answer(asked, &base.lock().unwrap().clone());
            *own.lock().unwrap() -= i32::from(is_blob);
            reply
        });
        url.lock().unwrap().push_str(api.url());
        let listener = MockListener::start();
        Fetcher::new(&config(&api, &listener, &format!(", parallel: {parallel}"))).once().assert_code(0);
        assert_eq!(ids(&listener), all(8));
        let most = *most.lock().unwrap();
        let expected = if parallel == 1 { 1..=1 } else { 2..=3 };
        assert!(expected.contains(&most), "{most} at a time, where `parallel: {parallel}`");
    }
}

#[test]
fn a_kill_between_blobs_loses_nothing_and_doubles_no_more_than_a_batch() {
    let service = Service::default();
    let blobs: Vec<usize> = (0..6).map(|number| service.add(50 - number as i64, number * 2..number * 2 + 2)).collect();
    let hangs = Arc::new(Mutex::new(true));
    let (own, asked_of) = (Arc::clone(&hangs), service.clone());
    let url = Arc::new(Mutex::new(String::new()));
    let base = Arc::clone(&url);
    let last = format!("{BLOBS}{}", blobs[5]);
    let api = MockServer::start(move |asked, _| match *own.lock().unwrap() && asked.path == last {
        true => Reply::Hang,
        false => asked_of.answer(asked, &base.lock().unwrap().clone()),
    });
    url.lock().unwrap().push_str(api.url());
    let listener = MockListener::start();
    let running = Fetcher::new(&config(&api, &listener, ", parallel: 1")).start();
    wait_until("the last blob to be asked for", || times_asked(&api, blobs[5]) > 0);
    wait_until("the page before to be delivered", || listener.lines().len() >= 8);
    let killed = running.kill();
    *hangs.lock().unwrap() = false;
    Fetcher::again(killed).once().assert_code(0);
    let mut once = ids(&listener);
    let with_doubles = once.len();
    once.dedup();
    assert_eq!(once, all(12), "nothing is lost");
    assert!(with_doubles <= 14, "more than a batch came twice: {:?}", ids(&listener));
    let asked: Vec<usize> = blobs.iter().map(|blob| times_asked(&api, *blob)).collect();
    assert!(asked[..4].iter().all(|times| *times == 1), "done entries are not asked again: {asked:?}");
}

#[test]
fn blobs_at_another_origin_are_fetched_only_where_hosts_names_it_and_without_credentials() {
    let service = Service::default();
    service.add(50, 0..2);
    let foreign = MockServer::start(|asked, _| match asked.header("authorization") {
        None => Reply::json(r#"[{"Id":"0"},{"Id":"1"}]"#),
        Some(_) => Reply::status(400, "credentials came along"),
    })
    .may_be_idle();
    let elsewhere = foreign.url().to_owned();
    let own = service.clone();
    let api = MockServer::start(move |asked, _| own.answer(asked, &elsewhere));
    let listener = MockListener::start().may_be_idle();
    let text = config(&api, &listener, "");
    let refused = Fetcher::new(&text).once().assert_code(1);
    let line = format!("hosts: ['{}']", foreign.url());
    let refused = refused.assert_says("not to the configured origin").assert_says(&line);
    assert!(foreign.asked().is_empty());
    std::fs::write(refused.path().join("config.yaml"), format!("{text}    {line}\n")).unwrap();
    Fetcher::again(refused).once().assert_code(0);
    assert_eq!(ids(&listener), all(2));
    assert_eq!(foreign.asked().len(), 1);
}
