//! Two fetchers that ask one host with one login: together they ask it no more often than one may, and what it asks one of them
//! for counts for both.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use logzio_api_fetcher::cluster::{MemberId, Slot, Targets};

use crate::fetchers::{Fetcher, MockListener, MockServer, Reply, Running, wait_until};
use crate::harness::Etcd;

/// How many APIs each of the two fetchers owns in the end.
const APIS_EACH: usize = 4;
/// How many requests both may make in a minute.
const PER_MINUTE: usize = 20;
/// How long the host wants not to be asked.
const PAUSE: Duration = Duration::from_secs(8);
/// After this part of it nobody asks any more: the other fetcher was told. That takes milliseconds, and is printed.
const TOLD_BY: Duration = Duration::from_secs(4);

/// What the host has seen: when which path was asked.
#[derive(Default)]
struct Seen {
    asked: Vec<(Instant, String)>,
    /// The path that is refused when it is asked next.
    refuses: Option<String>,
    refused: Option<Instant>,
}

struct TwoOfOneHost {
    etcd: Etcd,
    host: MockServer,
    listener: MockListener,
    seen: Arc<Mutex<Seen>>,
    /// Those of the first fetcher, and those that the second is given.
    names: [Vec<String>; 2],
}

/// Names of APIs that belong to each of two members, by slots that are handed over first.
fn names() -> [Vec<String>; 2] {
    let members = ["m0", "m1"].map(|member| MemberId { member: member.to_owned(), incarnation: 1 });
    let targets = Targets::among(&members);
    members.each_ref().map(|member| {
        let mut names: Vec<String> = (0..1_000).map(|number| format!("api-{number:03}")).collect();
        names.retain(|name| targets.of(Slot::of(name)) == Some(member));
        names.sort_by_key(|name| Slot::of(name).index());
        names.truncate(APIS_EACH);
        names
    })
}

impl TwoOfOneHost {
    async fn start() -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let of_host = Arc::clone(&seen);
        let host = MockServer::start(move |asked, _| {
            let path = asked.path.trim_start_matches('/').to_owned();
            let mut seen = of_host.lock().unwrap();
            let now = Instant::now();
            let is_refused = seen.refuses.as_ref() == Some(&path);
            seen.asked.push((now, path));
            if is_refused {
                (seen.refuses, seen.refused) = (None, Some(now));
                return Reply::status(429, "").with("Retry-After", &PAUSE.as_secs().to_string());
            }
            Reply::json(r#"{"data":[]}"#)
        });
        let (etcd, listener) = (Etcd::one().await, MockListener::start().may_be_idle());
        Self { etcd, host: host.forgetful(), listener, seen, names: names() }
    }

    fn config(&self, member: &str, settings: &str) -> String {
        let (listener, etcd) = (self.listener.url(), &self.etcd.endpoints()[0]);
        let mut config = format!(
            "logzio: {{url: '{listener}', token: shipping-token-1}}\ncluster: {{etcd: ['{etcd}'], member: {member}}}\nauth_apis:\n"
        );
        let apis = self.names.iter().flatten().map(|name| (name.as_str(), "a-key"));
        for (name, key) in apis.chain([("another-login", "another-key")]) {
            config.push_str(&format!(
                "- {{type: general, name: {name}, credentials: {{id: a, key: {key}}}, start_date_name: since, \
                 settings: {{{settings}}}, json_paths: {{data: data, data_date: date, id: id}}, \
                 http_request: {{url: '{}/{name}'}}}}\n",
                self.host.url()
            ));
        }
        config
    }

    /// Two fetchers, each with its APIs.
    fn fetchers(&self, settings: &str) -> [Running; 2] {
        let first = Fetcher::new(&self.config("m0", settings)).start();
        wait_until("all APIs in the first fetcher", || self.names.iter().flatten().all(|name| self.count(name) > 0));
        let second = Fetcher::new(&self.config("m1", settings)).start();
        let moved = |name: &String| {
            let line = |line: &&str| line.contains("goes on in another member") && line.contains(name.as_str());
            first.log().lines().any(|text| line(&text))
        };
        wait_until("APIs of the second fetcher", || self.names[1].iter().all(moved));
        let moved = Instant::now();
        wait_until("all of them there", || self.names[1].iter().all(|name| self.times(name).any(|at| at > moved)));
        [first, second]
    }

    /// When an API was asked.
    fn times(&self, name: &str) -> impl Iterator<Item = Instant> + use<> {
        let asked = self.seen.lock().unwrap().asked.clone();
        let name = name.to_owned();
        asked.into_iter().filter(move |(_, path)| *path == name).map(|(at, _)| at)
    }

    fn count(&self, name: &str) -> usize {
        self.times(name).count()
    }

    /// How often the APIs with the one login were asked since a moment.
    fn count_since(&self, since: Instant) -> usize {
        self.names.iter().flatten().flat_map(|name| self.times(name)).filter(|at| *at >= since).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_fetchers_ask_a_host_as_often_as_its_rate_allows_and_no_more() {
    let play = TwoOfOneHost::start().await;
    let members = play.fetchers("time_interval: 1s");
    let limited = format!("time_interval: 1s, rate_limit: {PER_MINUTE}/min");
    for (member, name) in members.iter().zip(["m0", "m1"]) {
        std::fs::write(member.config_path(), play.config(name, &limited)).unwrap();
    }
    let begun = Instant::now();
    for member in &members {
        member.signal("HUP");
        member.wait_for_log("config reloaded", 1);
    }
    // What was under way by the former config is over.
    std::thread::sleep(Duration::from_millis(500));
    let limited_from = Instant::now();
    // One of them alone may make half of the requests.
    wait_until("requests of both", || play.count_since(begun) > PER_MINUTE / 2 + 2);
    while limited_from.elapsed() < Duration::from_secs(15) {
        let count = play.count_since(limited_from);
        assert!(count <= PER_MINUTE, "{count} requests\nm0: {}\nm1: {}", members[0].log(), members[1].log());
        std::thread::sleep(Duration::from_millis(100));
    }
    println!(
        "{} requests since the new config, {} since both have it",
        play.count_since(begun),
        play.count_since(limited_from)
    );
    let late = play.count_since(limited_from + Duration::from_secs(10));
    assert_eq!(late, 0, "the minute's requests are used up");
    let others = play.times("another-login").filter(|at| *at > limited_from).count();
    assert!(others >= 5, "a login of its own has a rate of its own: {others} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_one_fetcher_is_asked_for_is_kept_by_the_other() {
    let play = TwoOfOneHost::start().await;
    let members = play.fetchers("time_interval: 0.2s");
    play.seen.lock().unwrap().refuses = Some(play.names[1][0].clone());
    wait_until("a refusal", || play.seen.lock().unwrap().refused.is_some());
    let refused = play.seen.lock().unwrap().refused.unwrap();
    wait_until("all go on", || {
        let goes_on = |name: &String| play.times(name).any(|at| at >= refused + PAUSE);
        play.names.iter().flatten().all(goes_on)
    });
    let mut during: Vec<(Duration, String)> = play
        .seen
        .lock()
        .unwrap()
        .asked
        .clone()
        .into_iter()
        .filter(|(at, _)| *at > refused && *at < refused + PAUSE)
        .map(|(at, name)| (at - refused, name))
        .collect();
    let others = during.extract_if(.., |(_, name)| name == "another-login").count();
    assert!(others > 10, "another login goes on: {others}");
    let last = during.iter().map(|(after, _)| *after).max().unwrap_or_default();
    println!("asked last {last:?} after the refusal, {} times in all", during.len());
    assert!(last < TOLD_BY, "{during:?}\nm0: {}\nm1: {}", members[0].log(), members[1].log());
    assert!(
        members[1].log().contains("retrying in 8"),
        "it was the second fetcher that was refused: {}",
        members[1].log()
    );
    assert!(!members[0].log().contains("retrying in 8"), "the first one was not asked: {}", members[0].log());
}
