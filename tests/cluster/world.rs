//! What is fetched and shipped to while replicas come to harm, and the checker that counts what came of it.
//!
//! Each API has an event every 100 ms. What is counted: every event arrives; the batches of an API that hold an event once
//! more; how long an API was silent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::fetchers::{Asked, Fetcher, MockListener, MockServer, Reply, Running, decoded};
use crate::harness::Etcd;

pub const APIS: usize = 8;
/// From one event of an API to the next.
const EVERY: TimeDelta = TimeDelta::milliseconds(100);
const PAGE: usize = 25;
/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A batch that the listener took, of one API.
pub struct Taken {
    pub at: Instant,
    pub api: usize,
    pub events: Vec<u64>,
}

/// The APIs and the listener.
pub struct World {
    begun: DateTime<Utc>,
    taken: Mutex<Vec<Taken>>,
    /// After this there are no more events.
    ends: Mutex<Option<DateTime<Utc>>>,
    /// How long the listener takes to answer at most: it has the batch at once.
    answers_within_ms: AtomicU64,
}

/// What came of a play, by API.
#[derive(Debug)]
pub struct Balance {
    pub missing: usize,
    pub batches: usize,
    /// Batches with an event that had arrived before.
    pub doubled: BTreeMap<usize, usize>,
    /// The longest time without a batch, since a moment.
    pub silence: Duration,
}

impl World {
    fn new() -> Self {
        Self {
            begun: Utc::now() - TimeDelta::seconds(20),
            taken: Mutex::default(),
            ends: Mutex::default(),
            answers_within_ms: AtomicU64::new(0),
        }
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
        let taken = Reply::status(200, "");
        match self.answers_within_ms.load(Ordering::Relaxed) {
            0 => taken,
            within => Reply::Late(Duration::from_millis(fastrand::u64(0..=within)), Box::new(taken)),
        }
    }

    /// From now on the listener answers late: more batches are on their way when something goes wrong.
    pub fn answer_within(&self, within: Duration) {
        self.answers_within_ms.store(within.as_millis().try_into().unwrap(), Ordering::Relaxed);
    }

    pub fn taken(&self) -> std::sync::MutexGuard<'_, Vec<Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until every API has delivered something that is younger than a moment.
    #[track_caller]
    pub fn wait_for_all_since(&self, since: Instant) {
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
    pub fn balance(&self, since: Instant) -> Balance {
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
            moments.windows(2).map(|pair| (pair[1] - pair[0], pair[0] - since, api)).max().unwrap()
        });
        let (silence, begun, api) = silence.max().unwrap();
        println!("the longest silence is that of api-{api}, {begun:?} after the beginning");
        Balance { missing: missing(), batches: self.taken().len(), doubled, silence }
    }
}

impl Balance {
    /// Nothing is lost, and so many batches of an API doubled at most.
    #[track_caller]
    pub fn assert_whole(&self, what: &str, batches_of_an_api: usize) {
        self.assert_bounded(what, |_| batches_of_an_api);
    }

    /// Nothing is lost, and of each API no more batches doubled than that.
    #[track_caller]
    pub fn assert_bounded(&self, what: &str, batches: impl Fn(usize) -> usize) {
        println!("{what}: silence {:?}, doubled {:?}", self.silence, self.doubled);
        assert_eq!(self.missing, 0, "{what}: {self:?}");
        let beyond: Vec<_> = self.doubled.iter().filter(|(api, doubled)| **doubled > batches(**api)).collect();
        assert!(beyond.is_empty(), "{what}: {beyond:?} are more than they may be: {self:?}");
    }
}

/// The fetchers, with what they fetch from and ship to.
pub struct Play {
    pub world: Arc<World>,
    _api: MockServer,
    _listener: MockListener,
    endpoints: Vec<String>,
    config: String,
    members: usize,
}

impl Play {
    pub fn new(etcd: &Etcd) -> Self {
        Self::over(&etcd.endpoints())
    }

    /// With these ways to etcd.
    pub fn over(endpoints: &[String]) -> Self {
        let world = Arc::new(World::new());
        let (for_api, for_listener) = (Arc::clone(&world), Arc::clone(&world));
        let api = MockServer::start(move |asked, _| for_api.answer(asked)).forgetful().may_be_idle();
        let listener = MockListener::handing_on(move |text| for_listener.take(text)).may_be_idle();
        let mut config = format!(
            "logzio: {{url: '{}', token: shipping-token-1}}\ncluster: {{etcd: [NODES], member: MEMBER}}\nauth_apis:\n",
            listener.url(),
        );
        for number in 0..APIS {
            config.push_str(&format!(
                "- {{type: general, name: api-{number}, credentials: {{id: a, key: b}}, start_date_name: since, \
                 settings: {{time_interval: 0.2s, days_back_fetch: 1}}, http_request: {{url: '{}/api-{number}'}}, \
                 json_paths: {{data: data, data_date: date, next_url: next}}}}\n",
                api.url()
            ));
        }
        Self { world, _api: api, _listener: listener, endpoints: endpoints.to_vec(), config, members: 0 }
    }

    /// One more fetcher.
    pub fn start(&mut self) -> Running {
        let endpoints = self.endpoints.clone();
        self.start_over(&endpoints)
    }

    /// One more, with other ways to etcd.
    pub fn start_over(&mut self, endpoints: &[String]) -> Running {
        Fetcher::new(&self.config_over(endpoints)).start()
    }

    /// The config of a fetcher that is no member of anything.
    pub fn config_alone(&self) -> String {
        self.config.replace("cluster: {etcd: [NODES], member: MEMBER}\n", "")
    }

    /// The config of one more, with these ways to etcd.
    pub fn config_over(&mut self, endpoints: &[String]) -> String {
        self.members += 1;
        let nodes = endpoints.iter().map(|endpoint| format!("'{endpoint}'")).collect::<Vec<_>>().join(", ");
        self.config.replace("NODES", &nodes).replace("MEMBER", &format!("m{}", self.members))
    }
}

/// Three nodes of etcd, what is fetched, and a fetcher that runs all of it.
pub async fn begun() -> (Etcd, Play, Running) {
    let etcd = Etcd::three().await;
    let mut play = Play::new(&etcd);
    let first = play.start();
    first.wait_for_log("iteration done", APIS);
    (etcd, play, first)
}
