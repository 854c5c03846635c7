//! Several fetchers on one etcd, and what becomes of records when one of them dies, stands still, leaves or joins, or when
//! a node of etcd does.
//!
//! Each API has an event every 100 ms. What is counted: every event arrives; the batches of an API that hold an event once
//! more are no more than faults that hit it; how long an API was silent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::fetchers::{Asked, Fetcher, MockListener, MockServer, Outcome, Reply, Running, decoded};
use crate::harness::Etcd;
use crate::proxy::slow_way_to;

const APIS: usize = 8;
/// From one event of an API to the next.
const EVERY: TimeDelta = TimeDelta::milliseconds(100);
const PAGE: usize = 25;
/// How long all of etcd is away.
const AWAY: Duration = Duration::from_secs(20);
/// How long a process stands still: long enough to be replaced, and for everything that waited for it to have ended.
const STILL: Duration = Duration::from_secs(30);
/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A batch that the listener took, of one API.
struct Taken {
    at: Instant,
    api: usize,
    events: Vec<u64>,
}

/// The APIs and the listener.
struct World {
    begun: DateTime<Utc>,
    taken: Mutex<Vec<Taken>>,
    /// After this there are no more events.
    ends: Mutex<Option<DateTime<Utc>>>,
}

/// What came of a play, by API.
#[derive(Debug)]
struct Balance {
    missing: usize,
    /// Batches with an event that had arrived before.
    doubled: BTreeMap<usize, usize>,
    /// The longest time without a batch, since a moment.
    silence: Duration,
}

impl World {
    fn new() -> Self {
        Self { begun: Utc::now() - TimeDelta::seconds(20), taken: Mutex::default(), ends: Mutex::default() }
    }

    fn date(&self, event: u64) -> DateTime<Utc> {
        self.begun + EVERY * i32::try_from(event).unwrap()
    }

    /// How many events an API has by now.
    fn events(&self) -> u64 {
        let now = self.ends.lock().unwrap().unwrap_or_else(Utc::now);
        ((now - self.begun).num_milliseconds() / EVERY.num_milliseconds()).try_into().unwrap()
    }

    /// A page, oldest first.
    fn answer(&self, asked: &Asked) -> Reply {
        let api = &asked.path;
        let since = decoded(asked.raw_field("since").unwrap());
        let since = DateTime::parse_from_rfc3339(&since).unwrap().with_timezone(&Utc);
        let from: u64 = asked.raw_field("from").map_or(0, |from| from.parse().unwrap());
        let window = (0..self.events()).filter(|event| self.date(*event) >= since && *event >= from);
        let page: Vec<u64> = window.take(PAGE).collect();
        let event = |event: &u64| {
            let date = self.date(*event).to_rfc3339_opts(SecondsFormat::Millis, true);
            format!(r#"{{"api":"{api}","id":{event},"date":"{date}"}}"#)
        };
        let data: Vec<String> = page.iter().map(event).collect();
        let next = page.last().filter(|_| page.len() == PAGE).map_or("null".to_owned(), |last| {
            format!(r#""{api}?since={}&from={}""#, asked.raw_field("since").unwrap(), last + 1)
        });
        Reply::json(&format!(r#"{{"data":[{}],"next":{next}}}"#, data.join(",")))
    }

    fn take(&self, text: &str) -> Reply {
        let mut by_api: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let api = line["api"].as_str().unwrap().trim_start_matches("/api-").parse().unwrap();
            by_api.entry(api).or_default().push(line["id"].as_u64().unwrap());
        }
        let at = Instant::now();
        self.taken().extend(by_api.into_iter().map(|(api, events)| Taken { at, api, events }));
        Reply::status(200, "")
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Vec<Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until every API has delivered something that is younger than a moment.
    #[track_caller]
    fn wait_for_all_since(&self, since: Instant) {
        let begun = Instant::now();
        loop {
            let apis: BTreeSet<usize> =
                self.taken().iter().filter(|taken| taken.at > since).map(|taken| taken.api).collect();
            if apis.len() == APIS {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "only {apis:?} of {APIS} APIs go on");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the events, waits until all have arrived, and counts.
    #[track_caller]
    fn balance(&self, since: Instant) -> Balance {
        let until = Instant::now();
        *self.ends.lock().unwrap() = Some(Utc::now());
        let expected = self.events();
        let missing = || {
            let taken = self.taken();
            let arrived: BTreeSet<(usize, u64)> =
                taken.iter().flat_map(|taken| taken.events.iter().map(|event| (taken.api, *event))).collect();
            APIS * usize::try_from(expected).unwrap() - arrived.len()
        };
        while missing() > 0 && until.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut doubled = BTreeMap::new();
        let mut known = BTreeSet::new();
        for Taken { api, events, at } in &*self.taken() {
            let again = events.iter().filter(|event| !known.insert((*api, **event))).count();
            if again > 0 {
                println!("doubled api-{api}: {events:?} at {:?} {:?}", at.elapsed(), Utc::now());
                *doubled.entry(*api).or_default() += 1;
            }
        }
        let silence = (0..APIS).map(|api| {
            let taken = self.taken();
            let of_api = taken.iter().filter(|taken| taken.api == api && taken.at >= since && taken.at <= until);
            let mut moments: Vec<Instant> = std::iter::once(since).chain(of_api.map(|taken| taken.at)).collect();
            moments.push(until);
            moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
        });
        let silence = silence.max().unwrap();
        Balance { missing: missing(), doubled, silence }
    }
}

impl Balance {
    /// Nothing is lost, and so many batches of an API doubled at most.
    #[track_caller]
    fn assert_whole(&self, what: &str, batches_of_an_api: usize) {
        println!("{what}: silence {:?}, doubled {:?}", self.silence, self.doubled);
        assert_eq!(self.missing, 0, "{self:?}");
        assert!(self.doubled.values().all(|batches| *batches <= batches_of_an_api), "{self:?}");
    }
}

/// The fetchers, with what they fetch from and ship to.
struct Play {
    world: Arc<World>,
    _api: MockServer,
    _listener: MockListener,
    config: String,
    members: usize,
}

impl Play {
    fn new(etcd: &Etcd) -> Self {
        Self::over(&etcd.endpoints())
    }

    /// With these ways to etcd.
    fn over(endpoints: &[String]) -> Self {
        let world = Arc::new(World::new());
        let (for_api, for_listener) = (Arc::clone(&world), Arc::clone(&world));
        let api = MockServer::start(move |asked, _| for_api.answer(asked)).forgetful().may_be_idle();
        let listener = MockListener::handing_on(move |text| for_listener.take(text)).may_be_idle();
        let mut config = format!(
            "logzio: {{url: '{}', token: shipping-token-1}}\ncluster: {{etcd: [{}], member: MEMBER}}\nauth_apis:\n",
            listener.url(),
            endpoints.iter().map(|endpoint| format!("'{endpoint}'")).collect::<Vec<_>>().join(", ")
        );
        for number in 0..APIS {
            config.push_str(&format!(
                "- {{type: general, name: api-{number}, credentials: {{id: a, key: b}}, start_date_name: since, \
                 settings: {{time_interval: 0.2s, days_back_fetch: 1}}, http_request: {{url: '{}/api-{number}'}}, \
                 json_paths: {{data: data, data_date: date, next_url: next}}}}\n",
                api.url()
            ));
        }
        Self { world, _api: api, _listener: listener, config, members: 0 }
    }

    /// One more fetcher.
    fn start(&mut self) -> Running {
        self.members += 1;
        let config = self.config.replace("MEMBER", &format!("m{}", self.members));
        Fetcher::new(&config).start()
    }
}

/// Three nodes of etcd, what is fetched, and a fetcher that runs all of it.
async fn begun() -> (Etcd, Play, Running) {
    let etcd = Etcd::three().await;
    let mut play = Play::new(&etcd);
    let first = play.start();
    first.wait_for_log("iteration done", APIS);
    (etcd, play, first)
}

/// Whether a fetcher runs any API.
fn runs(fetcher: &Running) -> usize {
    fetcher.log().matches("iteration done").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_is_replaced() {
    let (_etcd, mut play, first) = begun().await;
    let _second = play.start();
    let begun = Instant::now();
    play.world.wait_for_all_since(begun);
    first.kill();
    let since = Instant::now();
    play.world.wait_for_all_since(since + Duration::from_millis(1));
    play.world.wait_for_all_since(Instant::now());
    play.world.balance(since).assert_whole("replica killed", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stands_still_is_replaced_and_wakes_up_to_nothing() {
    let (_etcd, mut play, first) = begun().await;
    let second = play.start();
    second.wait_for_log("joined", 1);
    first.signal("STOP");
    let since = Instant::now();
    // Until it was replaced, and a while after.
    play.world.wait_for_all_since(since + Duration::from_millis(500));
    std::thread::sleep(STILL.saturating_sub(since.elapsed()));
    let awake = Instant::now();
    first.signal("CONT");
    first.wait_for_log("goes on in another member", 1);
    play.world.wait_for_all_since(awake);
    play.world.balance(since).assert_whole("replica stood still", 1);
    assert!(runs(&second) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_leaves_doubles_nothing() {
    let (_etcd, mut play, first) = begun().await;
    let second = play.start();
    second.wait_for_log("joined", 1);
    let since = Instant::now();
    let stopped: Outcome = first.stop();
    stopped.assert_code(0);
    play.world.wait_for_all_since(Instant::now());
    play.world.balance(since).assert_whole("replica left", 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_joins_gets_its_part_and_doubles_nothing() {
    let (_etcd, mut play, first) = begun().await;
    let since = Instant::now();
    let second = play.start();
    // One of its APIs at least moves there.
    second.wait_for_log("iteration done", 1);
    play.world.wait_for_all_since(Instant::now());
    play.world.balance(since).assert_whole("replica joined", 0);
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_death_of_etcds_leader_costs_no_record() {
    let (mut etcd, play, _first) = begun().await;
    let leader = etcd.leader().await;
    etcd.nodes[leader].kill();
    let since = Instant::now();
    play.world.wait_for_all_since(since + Duration::from_millis(500));
    play.world.wait_for_all_since(Instant::now());
    play.world.balance(since).assert_whole("leader killed", 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_of_etcd_that_hangs_costs_no_record() {
    let (etcd, play, _first) = begun().await;
    let leader = etcd.leader().await;
    etcd.nodes[leader].stop();
    let since = Instant::now();
    play.world.wait_for_all_since(since + Duration::from_millis(500));
    let awake = Instant::now();
    etcd.nodes[leader].go_on();
    play.world.wait_for_all_since(awake);
    play.world.balance(since).assert_whole("leader stood still", 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_etcd_nothing_is_sent_and_all_goes_on_when_it_is_back() {
    let (etcd, play, first) = begun().await;
    let since = Instant::now();
    etcd.nodes.iter().for_each(|node| node.stop());
    // By the clock: what is to be shown is what isn't sent.
    std::thread::sleep(AWAY);
    let silent_from = since + Duration::from_secs(6);
    let late = play.world.taken().iter().filter(|taken| taken.at > silent_from).count();
    assert_eq!(late, 0, "nothing is sent without a lease");
    let back = Instant::now();
    etcd.nodes.iter().for_each(|node| node.go_on());
    play.world.wait_for_all_since(back);
    println!("etcd away {AWAY:?}: all go on {:?} after its return", back.elapsed());
    play.world.wait_for_all_since(Instant::now());
    play.world.balance(back).assert_whole("etcd away", 0);
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_of_etcd_and_a_replica_may_die_at_once() {
    let (mut etcd, mut play, first) = begun().await;
    let second = play.start();
    second.wait_for_log("joined", 1);
    let leader = etcd.leader().await;
    etcd.nodes[leader].kill();
    first.kill();
    let since = Instant::now();
    play.world.wait_for_all_since(since + Duration::from_millis(1));
    play.world.wait_for_all_since(Instant::now());
    play.world.balance(since).assert_whole("leader and replica killed", 1);
}

/// It ends in its grace window, and what it could not give back is taken over like that of a dead one.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_stopped_while_etcd_is_away_ends_in_time() {
    let (etcd, mut play, first) = begun().await;
    etcd.nodes.iter().for_each(|node| node.stop());
    first.wait_for_log("takes no writes", 1);
    first.stop().assert_code(0).assert_within(Duration::from_secs(30));
    etcd.nodes.iter().for_each(|node| node.go_on());
    let since = Instant::now();
    let _second = play.start();
    play.world.wait_for_all_since(since);
    play.world.balance(since).assert_whole("stopped while etcd was away", 1);
}

/// A quarter of a second each way: a connection with its first request takes longer than a try may.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_network_to_etcd_suspends_nobody() {
    let etcd = Etcd::three().await;
    let mut ways = Vec::new();
    for node in &etcd.nodes {
        ways.push(slow_way_to(node.port, Duration::from_millis(250)).await);
    }
    let mut play = Play::over(&ways);
    let first = play.start();
    first.wait_for_log("iteration done", APIS);
    let since = Instant::now();
    let second = play.start();
    second.wait_for_log("joined", 1);
    play.world.wait_for_all_since(Instant::now());
    play.world.wait_for_all_since(Instant::now());
    play.world.balance(since).assert_whole("slow network", 0);
    for fetcher in [first, second] {
        fetcher.stop().assert_code(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_an_etcd_that_is_away_and_may_be_stopped_meanwhile() {
    let etcd = Etcd::three().await;
    etcd.nodes.iter().for_each(|node| node.stop());
    let mut play = Play::new(&etcd);
    let (first, second) = (play.start(), play.start());
    for fetcher in [&first, &second] {
        fetcher.wait_for_log("the start waits for it", 1);
    }
    second.stop().assert_code(0).assert_within(Duration::from_secs(30));
    etcd.nodes.iter().for_each(|node| node.go_on());
    first.wait_for_log("iteration done", APIS);
    let since = Instant::now();
    play.world.wait_for_all_since(since);
    play.world.balance(since).assert_whole("started while etcd was away", 0);
}
