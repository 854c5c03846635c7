//! The events of one API, and which of them a request gets to see.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde_json::{Value, json};

use super::description::{Bound, Clock, Endpoint, Order, Token, Unit, Window};
use super::pattern::Said;

/// What happened once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// From 1 on, in the order of arrival.
    pub number: u64,
    pub at: DateTime<Utc>,
    pub arrived: DateTime<Utc>,
    /// The blob, file or deployment that it lies in.
    pub bundle: u64,
}

/// The bundles of events, each as an event of its own: as old as its last one.
pub fn bundles(log: &[Event]) -> Vec<Event> {
    let mut bundles: Vec<Event> = Vec::new();
    for event in log {
        match bundles.iter_mut().find(|bundle| bundle.bundle == event.bundle) {
            Some(bundle) => {
                (bundle.at, bundle.arrived) = (bundle.at.max(event.at), bundle.arrived.max(event.arrived));
            }
            None => bundles.push(Event { number: event.bundle, ..*event }),
        }
    }
    bundles
}

/// Where a page begins: behind an event, or a number of them; and the window, for requests that name none.
#[derive(Clone, Debug, Default, PartialEq)]
struct Place {
    start: Option<DateTime<Utc>>,
    end: Option<DateTime<Utc>>,
    behind: Option<(DateTime<Utc>, u64)>,
    skipped: usize,
}

/// A page of events.
#[derive(Debug)]
pub struct Listed {
    pub events: Vec<Event>,
    pub total: usize,
    pub has_more: bool,
    /// Whether the page lies behind the last one.
    pub is_behind: bool,
    pub next: Option<Value>,
}

impl Place {
    fn written(&self, token: &Token) -> Value {
        let date = |date: Option<DateTime<Utc>>| date.map(|date| date.timestamp_millis());
        let parts = json!([
            date(self.start),
            date(self.end),
            self.behind.map(|(at, number)| (at.timestamp_millis(), number)),
            self.skipped
        ]);
        let text = format!("{}+/=", STANDARD.encode(parts.to_string()));
        match (token, self.behind) {
            (Token::Opaque, _) => text.into(),
            (Token::Pair, _) => json!([self.behind.map_or(0, |(at, _)| at.timestamp_millis()).to_string(), text]),
            (Token::Date(form), Some((at, _))) if form.is_number() => {
                form.write(at).parse::<i64>().map(Value::from).unwrap()
            }
            (Token::Date(form), Some((at, _))) => form.write(at).into(),
            (Token::Date(_), None) => Value::Null,
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("the token `{text}` was never given");
        // Of a pair the second part counts, as JSON or joined by a comma.
        let last = text.trim_end_matches(['"', ']']).rsplit([',', '"']).next().unwrap_or_default();
        let encoded = last.strip_suffix("+/=").ok_or_else(wrong)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| wrong())?;
        type Parts = (Option<i64>, Option<i64>, Option<(i64, u64)>, usize);
        let (start, end, behind, skipped): Parts = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
        let date = |ms: i64| DateTime::from_timestamp_millis(ms).unwrap();
        Ok(Self { start: start.map(date), end: end.map(date), behind: behind.map(|(at, n)| (date(at), n)), skipped })
    }
}

impl Window {
    fn clock(&self, event: &Event) -> DateTime<Utc> {
        let date = match self.by {
            Clock::Event => event.at,
            Clock::Arrival => event.arrived,
        };
        match self.compares {
            Unit::Millisecond => date.trunc_subsecs(3),
            Unit::Second => date.trunc_subsecs(0),
            Unit::Day => date.date_naive().and_time(chrono::NaiveTime::MIN).and_utc(),
        }
    }

    /// What the list is sorted by: no coarser than a second.
    fn sorted_by(&self, event: &Event) -> DateTime<Utc> {
        match (self.compares, self.by) {
            (Unit::Day, Clock::Event) => event.at.trunc_subsecs(3),
            (Unit::Day, Clock::Arrival) => event.arrived.trunc_subsecs(3),
            _ => self.clock(event),
        }
    }

    /// Refuses what the API's documentation forbids.
    fn check(
        &self,
        start: Option<DateTime<Utc>>,
        end: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), String> {
        if let (Some(start), Some(end)) = (start, end) {
            if end < start {
                return Err(format!("the end {end} lies before the start {start}"));
            }
            if let Some(most) = self.span_max_minutes.filter(|most| end - start > TimeDelta::minutes(*most)) {
                return Err(format!("{start} to {end} is longer than {most} minutes"));
            }
        }
        if let (Some(most), Some(start)) = (self.back_max_minutes, start)
            && now - start > TimeDelta::minutes(most)
        {
            return Err(format!("the start {start} lies more than {most} minutes back"));
        }
        let latest = now - TimeDelta::seconds(self.lag_seconds);
        match end.filter(|end| self.lag_seconds > 0 && *end > latest) {
            Some(end) => Err(format!("the end {end} is later than {latest}, {} s before now", self.lag_seconds)),
            None => Ok(()),
        }
    }

    fn holds(&self, event: &Event, start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>) -> bool {
        let at = self.clock(event);
        let begins = start.is_none_or(|start| at > start || (at == start && self.start == Bound::Inclusive));
        begins && end.is_none_or(|end| at < end || (at == end && self.end == Bound::Inclusive))
    }
}

/// The page that a request asks for.
pub fn list(endpoint: &Endpoint, log: &[Event], said: &Said, now: DateTime<Utc>) -> Result<Listed, String> {
    let (window, pages) = (&endpoint.window, &endpoint.pages);
    let place = match &said.token {
        Some(token) => Place::read(token)?,
        None => Place::default(),
    };
    let (start, end) = (said.start.or(place.start), said.end.or(place.end));
    window.check(said.start, said.end, now)?;
    let is_after = |event: &&Event| said.after.is_none_or(|after| event.number > after);
    let mut all: Vec<Event> =
        log.iter().filter(|event| window.holds(event, start, end)).filter(is_after).copied().collect();
    let key = |event: &Event| (window.sorted_by(event), event.number);
    all.sort_unstable_by_key(key);
    if window.order == Order::Newest {
        all.reverse();
    }
    let size = pages.size.min(said.limit.unwrap_or(usize::MAX));
    let is_behind = |event: &Event, behind: (DateTime<Utc>, u64)| match window.order {
        Order::Newest => key(event) < behind,
        Order::Oldest => key(event) > behind,
    };
    let named =
        said.behind.map(|number| all.iter().position(|event| event.number == number).map_or(all.len(), |at| at + 1));
    let first = match place.behind.filter(|_| !pages.counted) {
        Some(behind) => all.iter().position(|event| is_behind(event, behind)).unwrap_or(all.len()),
        None => place.skipped.max(said.page.unwrap_or(0) * size).max(said.offset.unwrap_or(0)),
    };
    let first = named.unwrap_or(first);
    let total = all.len();
    let events: Vec<Event> = all.into_iter().skip(first).take(size).collect();
    let has_more = first + events.len() < total;
    let behind = events.last().map(key).or(place.behind);
    // A stream that always leads on has no end.
    let end = end.filter(|_| !pages.always);
    let next = Place { start, end, behind, skipped: first + events.len() };
    Ok(Listed {
        is_behind: first > 0 && events.is_empty(),
        total,
        has_more,
        next: (has_more || pages.always).then(|| next.written(&pages.token)),
        events,
    })
}

/// All events that a request asks for, whatever their pages.
pub fn all(endpoint: &Endpoint, log: &[Event], said: &Said) -> Vec<Event> {
    log.iter().filter(|event| endpoint.window.holds(event, said.start, said.end)).copied().collect()
}
