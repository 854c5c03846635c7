//! A replica that is cut off from the listener, and from nothing else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::fetchers::{Fetcher, MockListener, MockServer, Reply, Running, decoded};
use crate::harness::Etcd;

const APIS: usize = 8;
/// A minute until it cedes, the looks before that, the handover.
const CEDED_WITHIN: Duration = Duration::from_secs(120);

/// How often each event of each API arrived.
type Arrived = Arc<Mutex<BTreeMap<(String, i64), usize>>>;

/// An API with an event each second.
fn api(begun: DateTime<Utc>) -> MockServer {
    let api = MockServer::start(move |asked, _| {
        let since = DateTime::parse_from_rfc3339(&decoded(asked.raw_field("since").unwrap())).unwrap();
        let event = |second: i64| {
            let date = begun + TimeDelta::seconds(second);
            let text = date.to_rfc3339_opts(SecondsFormat::Secs, true);
            let event = format!(r#"{{"api":"{}","id":{second},"date":"{text}"}}"#, asked.path);
            (date >= since).then_some(event)
        };
        let events: Vec<String> = (0..(Utc::now() - begun).num_seconds()).filter_map(event).collect();
        Reply::json(&format!(r#"{{"data":[{}]}}"#, events.join(",")))
    });
    api.forgetful()
}

fn listener(arrived: &Arrived) -> MockListener {
    let arrived = Arc::clone(arrived);
    let listener = MockListener::handing_on(move |text| {
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let key = (line["api"].as_str().unwrap().to_owned(), line["id"].as_i64().unwrap());
            *arrived.lock().unwrap().entry(key).or_default() += 1;
        }
        Reply::status(200, "")
    });
    listener.may_be_idle()
}

/// A way to a listener, until the task is aborted: then nobody answers there any more.
async fn way_to(listener: &MockListener) -> (String, JoinHandle<()>) {
    let far = listener.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let near = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", near.local_addr().unwrap());
    let carrying = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut near, _)) = near.accept().await {
            let mut far = TcpStream::connect(&far).await.unwrap();
            connections.spawn(async move { copy_bidirectional(&mut near, &mut far).await });
        }
    });
    (url, carrying)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_reaches_no_listener_leaves_its_apis_to_one_that_does() {
    let etcd = Etcd::one().await;
    let begun = Utc::now() - TimeDelta::seconds(5);
    let (api, arrived) = (api(begun), Arrived::default());
    let fetcher = |member: &str, listener: &str| -> Running {
        let mut config = format!(
            "logzio: {{url: '{listener}', token: shipping-token-1}}\ncluster: {{etcd: ['{}'], member: {member}}}\nauth_apis:\n",
            etcd.endpoints()[0]
        );
        for number in 0..APIS {
            config.push_str(&format!(
                "- {{type: general, name: api-{number}, credentials: {{id: a, key: b}}, start_date_name: since, \
                 settings: {{time_interval: 0.5s, days_back_fetch: 1}}, http_request: {{url: '{}/api-{number}'}}, \
                 json_paths: {{data: data, data_date: date, id: id}}}}\n",
                api.url()
            ));
        }
        Fetcher::new(&config).start()
    };
    let listener = listener(&arrived);
    let (url, way) = way_to(&listener).await;
    let first = fetcher("m0", &url);
    first.wait_for_log("iteration done", APIS);
    let second = fetcher("m1", listener.url());
    second.wait_for_log("joined", 1);
    way.abort();
    let cut = Instant::now();
    // What happened a while after the cut has come of every API.
    let late = (Utc::now() - begun).num_seconds() + 3;
    let all = || {
        let arrived = arrived.lock().unwrap();
        (0..APIS).all(|api| (0..=late).all(|id| arrived.contains_key(&(format!("/api-{api}"), id))))
    };
    while !all() {
        assert!(cut.elapsed() < CEDED_WITHIN, "m0: {}\nm1: {}", first.log(), second.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("listener cut off from one of two: all APIs go on after {:?}", cut.elapsed());
    assert!(first.log().contains("has not reached an output for a minute"), "{}", first.log());
    // One batch of an API may have been on its way when the listener went.
    let mut doubled: BTreeMap<&str, usize> = BTreeMap::new();
    let arrived = arrived.lock().unwrap();
    arrived.iter().filter(|(_, times)| **times > 1).for_each(|((api, _), _)| *doubled.entry(api).or_default() += 1);
    assert!(doubled.values().all(|events| *events <= 5), "{doubled:?}");
}
