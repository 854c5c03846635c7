//! A first list without dates: tenants, sets, deployments. Each is asked in each iteration, for its pages from the window's
//! start on.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::{field, fields, numbers};
use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply};

#[derive(Clone)]
struct Tenant {
    name: &'static str,
    status: u16,
    /// Number and date, oldest first.
    events: Vec<(u64, DateTime<Utc>)>,
}

#[derive(Clone, Default)]
struct Service(Arc<Mutex<Vec<Tenant>>>);

/// How many tenants, and how many events, a page has.
const PAGE: usize = 2;

impl Service {
    fn tenant(&self, name: &'static str) {
        self.0.lock().unwrap().push(Tenant { name, status: 200, events: Vec::new() });
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Tenant)) {
        change(self.0.lock().unwrap().iter_mut().find(|tenant| tenant.name == name).unwrap());
    }

    fn add(&self, name: &str, numbers: std::ops::Range<u64>, minutes_ago: i64) {
        let now = Utc::now();
        self.change(name, |tenant| {
            tenant.events.extend(numbers.map(|number| (number, now - TimeDelta::minutes(minutes_ago))));
            tenant.events.sort_by_key(|(_, date)| *date);
        });
    }

    fn start(&self) -> MockServer {
        let service = self.clone();
        MockServer::start(move |asked, _| service.answer(asked).unwrap_or_else(|refused| refused))
    }

    fn answer(&self, asked: &Asked) -> Result<Reply, Reply> {
        if asked.header("authorization") != Some("Bearer the-key") {
            return Err(Reply::status(401, "who are you"));
        }
        let tenants = self.0.lock().unwrap();
        if asked.path == "/tenants" {
            let fields = fields(asked, &["page"], &[])?;
            let page: usize = field(&fields, "page").unwrap().parse().map_err(|_| Reply::status(400, "a number"))?;
            let names: Vec<String> = tenants
                .iter()
                .skip((page - 1) * PAGE)
                .take(PAGE)
                .map(|tenant| format!(r#"{{"id":"{}","plan":"pro"}}"#, tenant.name))
                .collect();
            let more = page * PAGE < tenants.len();
            return Ok(Reply::json(&format!(r#"{{"tenants":[{}],"has_more":{more}}}"#, names.join(","))));
        }
        let name = asked.path.strip_prefix("/tenants/").and_then(|rest| rest.strip_suffix("/events"));
        let Some(tenant) = tenants.iter().find(|tenant| Some(tenant.name) == name) else {
            return Err(Reply::status(404, "no such tenant"));
        };
        if tenant.status != 200 {
            return Err(Reply::status(tenant.status, "no"));
        }
        let fields = fields(asked, &["since"], &["after"])?;
        let since: i64 =
            field(&fields, "since").unwrap().parse().map_err(|_| Reply::status(400, "since is in milliseconds"))?;
        let events: Vec<&(u64, DateTime<Utc>)> =
            tenant.events.iter().filter(|(_, date)| date.timestamp_millis() >= since).collect();
        let from: usize = field(&fields, "after").map_or(0, |after| after.parse().unwrap());
        let page: Vec<String> = events
            .iter()
            .skip(from)
            .take(PAGE)
            .map(|(number, date)| {
                format!(r#"{{"n":{number},"at":"{}"}}"#, date.to_rfc3339_opts(SecondsFormat::Millis, true))
            })
            .collect();
        let next = if from + PAGE < events.len() { format!("\"{}\"", from + PAGE) } else { "null".to_owned() };
        Ok(Reply::json(&format!(r#"{{"events":[{}],"next":{next}}}"#, page.join(","))))
    }
}

fn config(api: &MockServer, listener: &MockListener, settings: &str) -> String {
    let (api, listener) = (api.url(), listener.url());
    format!(
        "logzio: {{url: '{listener}', token: shipping-token-1}}\nauth_apis:\n  - type: general\n    name: tenants\n    \
         settings: {{time_interval: 1s, days_back_fetch: 2{settings}}}\n    \
         http_request: {{url: '{api}/tenants', headers: {{Authorization: Bearer the-key}}}}\n    \
         filters: {{page: '{{page}}'}}\n    \
         json_paths: {{data: tenants, id: id, has_more: has_more}}\n    steps:\n      \
         - http_request: {{url: '{api}/tenants/{{item.id}}/events'}}\n        \
         filters: {{since: '{{start_date:unix_ms}}', after: '{{next_token}}'}}\n        \
         json_paths: {{data: events, data_date: at, id: n, next_token: next}}\n"
    )
}

fn ids(listener: &MockListener) -> Vec<u64> {
    numbers(listener, "n")
}

#[test]
fn each_partition_is_asked_in_each_iteration_and_its_news_are_shipped_once() {
    let service = Service::default();
    for name in ["a", "b", "c"] {
        service.tenant(name);
    }
    service.add("a", 0..5, 60);
    service.add("b", 5..6, 50);
    let (api, listener) = (service.start(), MockListener::start());
    let first = Fetcher::new(&config(&api, &listener, ", overlap: 30m")).once().assert_code(0);
    assert_eq!(ids(&listener), (0..6).collect::<Vec<u64>>());
    service.add("c", 6..9, 1);
    service.add("a", 9..10, 55);
    let second = Fetcher::again(first).once().assert_code(0);
    assert_eq!(ids(&listener), (0..10).collect::<Vec<u64>>(), "news, and an event that surfaced late");
    service.tenant("d");
    service.add("d", 10..11, 0);
    let third = Fetcher::again(second).once().assert_code(0);
    assert_eq!(ids(&listener), (0..11).collect::<Vec<u64>>(), "a new tenant");
    assert!(!third.stderr.contains("readable date"), "tenants need no date: {}", third.stderr);
    let of_b = api.asked().iter().filter(|asked| asked.path == "/tenants/b/events").count();
    assert_eq!(of_b, 3, "each is asked in each iteration");
}

#[test]
fn a_partition_that_fails_holds_the_checkpoint_and_loses_nothing() {
    let service = Service::default();
    for name in ["a", "b"] {
        service.tenant(name);
    }
    service.add("a", 0..3, 60);
    service.add("b", 3..6, 90);
    service.change("b", |tenant| tenant.status = 418);
    let (api, listener) = (service.start(), MockListener::start());
    let first = Fetcher::new(&config(&api, &listener, ", overlap: 0")).once().assert_code(1);
    let first = first.assert_says("step 1, entry `b`: page 1:");
    assert_eq!(ids(&listener), [0, 1, 2]);
    service.change("b", |tenant| tenant.status = 200);
    service.add("a", 6..7, 0);
    Fetcher::again(first).once().assert_code(0);
    assert_eq!(ids(&listener), (0..7).collect::<Vec<u64>>(), "what is older than the other's events came, too");
}

#[test]
fn a_partition_that_is_refused_for_long_no_longer_holds_the_checkpoint_and_is_asked_all_the_same() {
    let service = Service::default();
    for name in ["a", "gone"] {
        service.tenant(name);
    }
    service.change("gone", |tenant| tenant.status = 403);
    service.add("gone", 100..101, 60);
    let (api, listener) = (service.start(), MockListener::start());
    let mut fetcher = Fetcher::new(&config(&api, &listener, ", overlap: 0"));
    for time in 0..4 {
        service.add("a", time..time + 1, 30 - time as i64);
        let outcome = fetcher.once().assert_code(0);
        assert_eq!(outcome.stderr.matches("it is set aside").count(), usize::from(time == 2), "{}", outcome.stderr);
        assert_eq!(outcome.read("last_start_dates.txt").is_empty(), time < 2, "iteration {time}");
        fetcher = Fetcher::again(outcome);
    }
    service.change("gone", |tenant| tenant.status = 200);
    service.add("gone", 101..102, 0);
    fetcher.once().assert_code(0);
    assert_eq!(ids(&listener), [0, 1, 2, 3, 101], "what was set aside is asked again, from the checkpoint on");
}
