//! APIs whose events surface late, in the same second and in bursts, a listener, and everything that goes wrong between.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use fastrand::Rng;
use logzio_api_fetcher::record::date;
use serde_json::{Value, json};

use crate::harness::{Asked, Reply, decoded};

/// The overlap of each API: longer than an event is late at most (to the second), and a life of the fetcher lasts.
pub const OVERLAP_SECONDS: i64 = 8;
const LATE_SECONDS_MAX: i64 = 3;
/// How far the clock of a source may be ahead.
const AHEAD_SECONDS_MAX: i64 = 240;
/// Of so many batches one is answered by somebody else, who takes none: the fetcher then asks again after a minute, which is
/// longer than it lives.
const FOREIGN_ANSWERS_EVERY: u32 = 150;
/// How many events of each API are there at the beginning, from the hour before: a first window of several pages.
const EVENTS_BEFORE: usize = 3_000;
/// Records of a page.
const PAGE_RECORDS: usize = 500;
/// Of a hundred requests to an API, how many go wrong.
const API_FAULTS_PERCENT: u32 = 12;
/// Of a hundred batches, how many go wrong.
const LISTENER_FAULTS_PERCENT: u32 = 30;
/// The largest batch of which lines are refused, so that `undelivered.ndjson` stays small.
const REFUSED_LINES_MAX: usize = 40;
/// Each API numbers its events from a multiple of this on.
const NUMBERS: u64 = 1_000_000_000;

/// The APIs of the config, by name.
pub const APIS: [&str; 6] = ["cisco", "graph", "plain", "stream", "counted", "sliced"];
const STREAM: usize = 3;
const COUNTED: usize = 4;
const SLICED: usize = 5;
/// The longest span that the sliced API answers: two minutes, and a second for how it is written.
const SPAN_SECONDS_MAX: i64 = 121;

/// Everything outside of the fetcher.
pub struct World {
    inner: Mutex<Inner>,
    taken: Condvar,
}

struct Inner {
    random: Rng,
    /// Nothing goes wrong any more.
    is_calm: bool,
    /// Per API, what has surfaced.
    events: [BTreeSet<(DateTime<Utc>, u64)>; APIS.len()],
    numbers: [u64; APIS.len()],
    /// What the stream gives, in the order in which it surfaced.
    stream: Vec<(DateTime<Utc>, u64)>,
    figures: Figures,
    /// How often each number arrived.
    arrived: HashMap<u64, u32>,
    /// Numbers that the listener refused.
    refused: HashSet<u64>,
    /// How often a number may have come twice: it was in a batch whose end the fetcher can't know.
    excused: HashMap<u64, u32>,
    /// Per API, its last batch since the fetcher was started.
    last: [Vec<u64>; APIS.len()],
}

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub kills: u32,
    pub stops: u32,
    pub requests: u64,
    pub api_faults: u64,
    pub batches: u64,
    pub listener_faults: u64,
    pub lost_answers: u64,
    pub batch_lines_max: usize,
}

/// How it ended.
#[derive(Debug)]
pub struct Balance {
    pub figures: Figures,
    pub events: u64,
    /// Each with its date, and how many of its API up to then arrived.
    pub missing: Vec<String>,
    /// Arrivals beyond the first.
    pub doubled: u64,
    /// Those of them that no crash and no lost answer explains.
    pub unexplained: u64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut inner = Inner {
            random: Rng::with_seed(seed),
            is_calm: false,
            events: Default::default(),
            numbers: [0; APIS.len()],
            stream: Vec::new(),
            figures: Figures::default(),
            arrived: HashMap::new(),
            refused: HashSet::new(),
            excused: HashMap::new(),
            last: Default::default(),
        };
        for api in 0..APIS.len() {
            for _ in 0..EVENTS_BEFORE {
                let ago = TimeDelta::milliseconds(inner.random.i64(0..3_600_000));
                inner.add(api, Utc::now() - ago);
            }
        }
        Self { inner: Mutex::new(inner), taken: Condvar::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A few events surface, sometimes a burst of more than a batch.
    pub fn grow(&self) {
        let mut inner = self.inner();
        for api in 0..APIS.len() {
            let count =
                if inner.random.u32(..200) == 0 { inner.random.usize(1_000..2_500) } else { inner.random.usize(..6) };
            (0..count).for_each(|_| inner.surface(api));
        }
    }

    pub fn calm_down(&self) {
        self.inner().is_calm = true;
    }

    pub fn random<T>(&self, choose: impl FnOnce(&mut Rng) -> T) -> T {
        choose(&mut self.inner().random)
    }

    /// Waits until a batch is taken, for some time at most.
    pub fn wait_for_batch(&self, most: Duration) {
        let _ = self.taken.wait_timeout(self.inner(), most);
    }

    /// The fetcher was killed: of each API the last batch may not be remembered.
    pub fn was_killed(&self) {
        let mut inner = self.inner();
        inner.figures.kills += 1;
        for api in 0..APIS.len() {
            let last = std::mem::take(&mut inner.last[api]);
            inner.excuse(&last);
        }
    }

    /// The fetcher ended by itself: it remembers everything.
    pub fn was_stopped(&self) {
        let mut inner = self.inner();
        inner.figures.stops += 1;
        inner.last = Default::default();
    }

    /// An answer of one of the APIs, or of the token endpoint.
    pub fn answer(&self, asked: &Asked) -> Reply {
        let mut inner = self.inner();
        inner.figures.requests += 1;
        if asked.path == "/token" {
            return Reply::json(r#"{"access_token":"a-token","expires_in":3600}"#);
        }
        let api = APIS.iter().position(|api| asked.path == format!("/{api}")).expect("a known API");
        let is_stale = api == 1 && asked.query.contains("skiptoken") && !inner.is_calm && inner.random.u32(..40) == 0;
        if is_stale {
            return Reply::status(400, r#"{"error":{"code":"BadRequest","message":"Invalid Skip Token"}}"#);
        }
        let body = inner.page(api, asked).to_string();
        inner.maybe_broken(api, body)
    }

    /// What the listener does with a batch.
    pub fn take(&self, text: &str) -> Reply {
        let mut inner = self.inner();
        let numbers: Vec<u64> = text.lines().map(number_of).collect();
        inner.figures.batches += 1;
        inner.figures.batch_lines_max = inner.figures.batch_lines_max.max(numbers.len());
        if inner.is_calm || inner.random.u32(..100) >= LISTENER_FAULTS_PERCENT {
            inner.keep(&numbers);
            self.taken.notify_all();
            return Reply::status(200, "");
        }
        inner.figures.listener_faults += 1;
        let answer = inner.random.u32(..FOREIGN_ANSWERS_EVERY);
        // One record alone that is refused while others are taken is set aside, and rightly.
        if let (1 | 2, [alone]) = (answer, numbers.as_slice()) {
            inner.refused.insert(*alone);
        }
        match answer {
            0 => return Reply::status(200, "<html>Please sign in</html>"),
            1 => return Reply::status(400, "no"),
            2 => return Reply::status(403, "<html>blocked</html>"),
            _ => {}
        }
        let reply = match inner.random.u32(..8) {
            0 => Reply::Close,
            1 => Reply::status(503, ""),
            2 => Reply::status(429, "").with("Retry-After", "1"),
            3 if numbers.len() > 1 => Reply::status(413, ""),
            4 if numbers.len() <= REFUSED_LINES_MAX => inner.keep_some(&numbers),
            5 => Reply::Late(Duration::from_millis(inner.random.u64(100..800)), Box::new(Reply::status(500, ""))),
            // It has them, and the fetcher never hears of it.
            6 => {
                inner.keep(&numbers);
                inner.excuse(&numbers);
                inner.figures.lost_answers += 1;
                Reply::Close
            }
            _ => {
                inner.keep(&numbers);
                Reply::Late(Duration::from_millis(inner.random.u64(50..500)), Box::new(Reply::status(200, "")))
            }
        };
        self.taken.notify_all();
        reply
    }

    /// Whether everything has arrived, or was set aside.
    pub fn is_complete(&self, set_aside: &HashSet<u64>) -> bool {
        self.inner().missing(set_aside).is_empty()
    }

    pub fn balance(&self, set_aside: &HashSet<u64>) -> Balance {
        let inner = self.inner();
        let excused = |number: &u64| inner.excused.get(number).copied().unwrap_or_default();
        Balance {
            figures: inner.figures,
            events: inner.events.iter().map(|events| events.len() as u64).sum(),
            missing: inner.missing(set_aside).into_iter().map(|number| inner.described(number, set_aside)).collect(),
            doubled: inner.arrived.values().map(|count| u64::from(count - 1)).sum(),
            unexplained: inner
                .arrived
                .iter()
                .map(|(number, count)| u64::from((count - 1).saturating_sub(excused(number))))
                .sum(),
        }
    }
}

impl Inner {
    fn surface(&mut self, api: usize) {
        let now = Utc::now();
        let late = match self.random.u32(..100) {
            ..70 => TimeDelta::milliseconds(self.random.i64(0..1_000)),
            70..95 => TimeDelta::zero(),
            _ => TimeDelta::seconds(self.random.i64(0..LATE_SECONDS_MAX)),
        };
        let at = now - late;
        let at = if self.random.bool() { date::floor_to_second(at) } else { at };
        // The clock of one source is ahead.
        // An end of now never lists what is ahead.
        let ahead = if api != SLICED && self.random.u32(..50) == 0 {
            TimeDelta::seconds(self.random.i64(1..AHEAD_SECONDS_MAX))
        } else {
            TimeDelta::zero()
        };
        self.add(api, at + ahead);
    }

    fn add(&mut self, api: usize, at: DateTime<Utc>) {
        // Cisco's dates have whole seconds.
        let at = if api == 0 { date::floor_to_second(at) } else { at };
        let at = DateTime::from_timestamp_millis(at.timestamp_millis()).unwrap_or_default();
        self.numbers[api] += 1;
        let number = api as u64 * NUMBERS + self.numbers[api];
        self.events[api].insert((at, number));
        if api == STREAM {
            self.stream.push((at, number));
        }
    }

    fn page(&mut self, api: usize, asked: &Asked) -> Value {
        let field = |name: &str| asked.raw_field(name).map(decoded);
        let url = |query: String| format!("http://{}/{}?{query}", asked.header("host").unwrap_or_default(), APIS[api]);
        match api {
            // Newest first, by offsets into a list that grows.
            0 => {
                let (from, offset) = (field("start_date").expect("a start date"), field("offset").unwrap_or_default());
                let offset: usize = offset.parse().unwrap_or_default();
                let since = date::parse(&from).expect("a date");
                let all: Vec<_> =
                    self.events[0].range((since, 0)..).rev().skip(offset).take(PAGE_RECORDS + 1).collect();
                let next = (all.len() > PAGE_RECORDS)
                    .then(|| url(format!("start_date={}&offset={}", from.replace('+', "%2B"), offset + PAGE_RECORDS)));
                let data: Vec<Value> = all.into_iter().take(PAGE_RECORDS).map(|event| record(*event, false)).collect();
                json!({"data": data, "metadata": {"links": {"next": next}}})
            }
            // Newest first, by a token that says after which event to go on.
            1 => {
                let filter = field("$filter").expect("a filter");
                let since = date::parse(filter.rsplit(' ').next().expect("a date")).expect("a date");
                let before = field("$skiptoken").and_then(|token| {
                    let (ms, number) = token.split_once('-')?;
                    Some((DateTime::from_timestamp_millis(ms.parse().ok()?)?, number.parse().ok()?))
                });
                let before = before.unwrap_or((DateTime::<Utc>::MAX_UTC, 0));
                let page: Vec<_> = self.events[1].range((since, 0)..before).rev().take(PAGE_RECORDS).collect();
                let next = page.last().filter(|_| page.len() == PAGE_RECORDS).map(|(at, number)| {
                    let token = format!("{}-{number}", at.timestamp_millis());
                    url(format!("$filter={}&$skiptoken={token}", filter.replace(' ', "%20")))
                });
                let value: Vec<Value> = page.into_iter().map(|event| record(*event, false)).collect();
                json!({"value": value, "@odata.nextLink": next})
            }
            STREAM => self.stream_page(field("since"), field("cursor")),
            COUNTED => self.counted_page(&field("since").expect("a start date"), &field("page").expect("a page")),
            SLICED => {
                let [from, to] = ["from", "to"].map(|name| date::parse(&field(name).expect(name)).expect("a date"));
                self.sliced_page(from, to, field("token"))
            }
            // Oldest first, by pages of which each begins with the last records of the one before.
            _ => {
                let from = field("since").expect("a start date");
                let number: usize = field("p").unwrap_or_default().parse().unwrap_or_default();
                let since = date::parse(&from).expect("a date");
                let skipped = (number * (PAGE_RECORDS - 3)).min(self.events[2].len());
                let page: Vec<_> = self.events[2].range((since, 0)..).skip(skipped).take(PAGE_RECORDS).collect();
                let next = (page.len() == PAGE_RECORDS)
                    .then(|| url(format!("since={}&p={}", from.replace('+', "%2B"), number + 1)));
                let data: Vec<Value> = page.into_iter().map(|event| record(*event, true)).collect();
                json!({"data": data, "next": next})
            }
        }
    }

    /// As events surface, by a cursor; a start date is where the first of that date or later surfaced.
    fn stream_page(&self, since: Option<String>, cursor: Option<String>) -> Value {
        let at: usize = match (cursor, since) {
            (Some(cursor), None) => {
                cursor.strip_prefix("at-").and_then(|at| at.parse().ok()).expect("a cursor of ours")
            }
            (None, Some(since)) => {
                let since = date::parse(&since).expect("a date");
                self.stream.iter().position(|(at, _)| *at >= since).unwrap_or(self.stream.len())
            }
            both => panic!("either a cursor or a start date, and not {both:?}"),
        };
        let page: Vec<Value> = self.stream[at..].iter().take(PAGE_RECORDS).map(|event| record(*event, false)).collect();
        json!({"data": page, "cursor": format!("at-{}", at + page.len())})
    }

    /// Newest first, by page numbers into a list that grows; behind the last page all are empty.
    fn counted_page(&self, since: &str, page: &str) -> Value {
        let since = date::parse(since).expect("a date");
        let skipped =
            page.parse::<usize>().ok().and_then(|page| page.checked_sub(1)).expect("pages from 1 on") * PAGE_RECORDS;
        let page = self.events[COUNTED].range((since, 0)..).rev().skip(skipped).take(PAGE_RECORDS);
        json!({"data": page.map(|event| record(*event, true)).collect::<Vec<_>>()})
    }

    /// Oldest first, in spans that must be short, by a token that says behind which event to go on.
    fn sliced_page(&self, from: DateTime<Utc>, to: DateTime<Utc>, token: Option<String>) -> Value {
        assert!(to - from <= TimeDelta::seconds(SPAN_SECONDS_MAX), "a span of {}", to - from);
        let behind = token.map(|token| {
            let (ms, number) = token.split_once('-').expect("a token of ours");
            let at = DateTime::from_timestamp_millis(ms.parse().expect("a date")).expect("a date");
            (at, number.parse::<u64>().expect("a number") + 1)
        });
        let begin = behind.unwrap_or((from, 0)).max((from, 0));
        let page: Vec<_> = self.events[SLICED].range(begin..(to.max(begin.0), u64::MAX)).take(PAGE_RECORDS).collect();
        let next = page.last().filter(|_| page.len() == PAGE_RECORDS);
        let token = next.map(|(at, number)| format!("{}-{number}", at.timestamp_millis()));
        json!({"data": page.into_iter().map(|event| record(*event, false)).collect::<Vec<_>>(), "token": token})
    }

    fn maybe_broken(&mut self, api: usize, body: String) -> Reply {
        if self.is_calm || self.random.u32(..100) >= API_FAULTS_PERCENT {
            return Reply::json(&body);
        }
        self.figures.api_faults += 1;
        match self.random.u32(..11) {
            0 => Reply::Close,
            1 => Reply::CutOff(body.into_bytes()),
            2 => Reply::ClaimsLess(body.into_bytes()),
            3 => Reply::status(429, "").with("Retry-After", "1"),
            4 => Reply::status(500 + self.random.u16(..5), ""),
            5 => Reply::json("<html>not now</html>"),
            6 => Reply::json(r#"{"data":17,"value":17}"#),
            // Of counted pages it says that there is none.
            7 if api != COUNTED => Reply::status(404, ""),
            8 => Reply::json(r#"{"data":[],"value":[],"error":{"code":503,"message":"timed out"}}"#),
            9 => Reply::json(r#"{"data":null,"value":null,"errors":[{"message":"timed out"}]}"#),
            _ => Reply::Late(Duration::from_millis(self.random.u64(200..1_500)), Box::new(Reply::Close)),
        }
    }

    fn keep(&mut self, numbers: &[u64]) {
        for number in numbers {
            *self.arrived.entry(*number).or_default() += 1;
        }
        if let Some(first) = numbers.first() {
            self.last[(first / NUMBERS) as usize] = numbers.to_vec();
        }
    }

    /// Takes some lines, and refuses the others without a word which.
    fn keep_some(&mut self, numbers: &[u64]) -> Reply {
        let (mut kept, mut refused) = (Vec::new(), Vec::new());
        for number in numbers {
            if self.random.u32(..10) == 0 { refused.push(*number) } else { kept.push(*number) }
        }
        let (malformed, successful) = (refused.len(), kept.len());
        self.keep(&kept);
        self.refused.extend(refused);
        let counts = json!({"malformedLines": malformed, "successfulLines": successful, "oversizedLines": 0, "emptyLogLines": 0});
        Reply::status(400, &counts.to_string())
    }

    fn excuse(&mut self, numbers: &[u64]) {
        for number in numbers {
            *self.excused.entry(*number).or_default() += 1;
        }
    }

    fn described(&self, number: u64, set_aside: &HashSet<u64>) -> String {
        let events = &self.events[(number / NUMBERS) as usize];
        let date = events.iter().find(|(_, known)| *known == number).map(|(at, _)| *at);
        let beside = events.iter().filter(|(at, other)| Some(*at) <= date && self.arrived.contains_key(other)).count();
        let kept = if set_aside.contains(&number) { ", and is set aside" } else { "" };
        format!("{number} of {date:?}, with {beside} of its API up to then that arrived{kept}")
    }

    fn missing(&self, set_aside: &HashSet<u64>) -> Vec<u64> {
        let all = self.events.iter().flatten().map(|(_, number)| *number);
        let is_there = |number: &u64| {
            self.arrived.contains_key(number) || (self.refused.contains(number) && set_aside.contains(number))
        };
        all.filter(|number| !is_there(number)).collect()
    }
}

/// About half a kilobyte; without an id where the whole record tells it from others.
fn record((at, number): (DateTime<Utc>, u64), is_hashed: bool) -> Value {
    let date = at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let text = "an event like any other; ".repeat(20 + number as usize % 20);
    match is_hashed {
        true => json!({"number": number, "date": date, "text": text}),
        false => json!({"id": format!("event-{number}"), "number": number, "date": date, "text": text}),
    }
}

/// The number in a line.
pub fn number_of(line: &str) -> u64 {
    serde_json::from_str::<Value>(line).ok().and_then(|record| record["number"].as_u64()).expect("a numbered record")
}
