//! Many APIs on several replicas, one of which dies: its APIs go on elsewhere when they are due, so that nobody is stormed.
//!
//! `SCALE_APIS` and `SCALE_REPLICAS` make it larger: 10,000 and 10 take some minutes and 3 GB.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::fetchers::{Fetcher, MockListener, MockServer, Running, page, record};
use crate::harness::Etcd;

const APIS_DEFAULT: usize = 400;
const REPLICAS_DEFAULT: usize = 3;
/// How many requests a second all APIs make together: what two cores bear beside everything else.
const REQUESTS_PER_S: usize = 150;
const INTERVAL_MIN_S: usize = 8;
/// Of the APIs that go on after a death so many may be asked before they are due, in per cent: they were under way.
const EARLY_PERCENT_MAX: usize = 5;
/// For so long after a death the requests are counted by the second: it is noticed, slots are taken and read.
const TAKEN_WITHIN: Duration = Duration::from_secs(20);

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

/// When each API was asked.
type Asks = Arc<Mutex<BTreeMap<usize, Vec<Instant>>>>;

fn wait_until_within(patience: Duration, what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < patience, "waited {patience:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn memory_mib(of: &Running) -> u64 {
    of.peak_memory_bytes() / 1024 / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn the_apis_of_a_dead_replica_go_on_elsewhere_when_they_are_due() {
    let (apis, replicas) = (number("SCALE_APIS", APIS_DEFAULT), number("SCALE_REPLICAS", REPLICAS_DEFAULT));
    let interval = Duration::from_secs((apis / REQUESTS_PER_S).max(INTERVAL_MIN_S) as u64);
    let etcd = Etcd::three().await;
    let (asks, date) = (Asks::default(), chrono::Utc::now().to_rfc3339());
    let noted = Arc::clone(&asks);
    let api = MockServer::start(move |asked, _| {
        let number = asked.path.trim_start_matches("/api-").parse().unwrap();
        noted.lock().unwrap().entry(number).or_default().push(Instant::now());
        page(&[&record(number as u64, &date)], None)
    });
    let (api, listener) = (api.forgetful().may_be_idle(), MockListener::start());
    let entry = |number: usize| {
        format!(
            "- {{type: general, name: api-{number}, credentials: {{id: a, key: b}}, start_date_name: since, settings: \
             {{time_interval: {}s, days_back_fetch: 1}}, http_request: {{url: '{}/api-{number}'}}, json_paths: {{data: \
             data, data_date: date, id: id}}}}\n",
            interval.as_secs(),
            api.url()
        )
    };
    let entries: String = (0..apis).map(entry).collect();
    let nodes = etcd.endpoints().iter().map(|node| format!("'{node}'")).collect::<Vec<_>>().join(", ");
    let start = |member: usize| {
        let head = format!("logzio: {{url: '{}', token: shipping-token-1}}\n", listener.url());
        let cluster = format!("cluster: {{etcd: [{nodes}], member: m{member}}}\n");
        Fetcher::new(&format!("{head}{cluster}auth_apis:\n{entries}")).arguments(&["--level", "INFO"]).start()
    };
    let begun = Instant::now();
    let mut fetchers: Vec<Running> = (0..replicas).map(start).collect();
    let patience = Duration::from_secs(60) + interval * 4;
    wait_until_within(patience, "all APIs are asked", || asks.lock().unwrap().len() == apis);
    println!("{apis} APIs on {replicas} replicas: all asked after {:?}", begun.elapsed());
    let last = |asks: &Asks| asks.lock().unwrap().values().map(|asked| *asked.last().unwrap()).min().unwrap();
    for fetcher in &fetchers {
        fetcher.wait_for_log("joined", 1);
    }
    let joined = Instant::now();
    wait_until_within(patience, "all APIs are asked twice more", || last(&asks) > joined + interval);

    let memory: Vec<u64> = fetchers.iter().map(memory_mib).collect();
    // Where slots still move to those that joined after it, it has the most of them.
    fetchers.remove(0).kill();
    let killed = Instant::now();
    wait_until_within(patience, "all APIs go on", || last(&asks) > killed);
    let asks = asks.lock().unwrap();
    let gaps: Vec<Duration> = asks
        .values()
        .map(|asked| {
            let after = asked.partition_point(|at| *at <= killed);
            asked[after] - asked[after - 1]
        })
        .collect();
    let early = gaps.iter().filter(|gap| **gap < interval * 9 / 10).count();
    let longest = gaps.iter().max().unwrap();
    let per_second = |seconds: u64| {
        let second = killed + Duration::from_secs(seconds)..killed + Duration::from_secs(seconds + 1);
        asks.values().flatten().filter(|at| second.contains(*at)).count()
    };
    let busiest = (0..TAKEN_WITHIN.as_secs()).map(per_second).max().unwrap();
    println!(
        "one killed: longest pause of an API {longest:?} at an interval of {interval:?}, {early} asked early, {busiest} \
         requests in the busiest second; peak memory {memory:?} MiB"
    );
    assert!(early * 100 <= apis * EARLY_PERCENT_MAX, "{early} of {apis} APIs were asked before they were due");
}
