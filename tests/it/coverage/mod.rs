//! Fifty APIs that people collect from, each as an entry of the config (`tests/cases/apis`) against a mock that is as strict
//! as its documentation: it refuses parameters, forms of dates, spans and credentials that it doesn't know.
//!
//! All of them are asked by one fetcher: a backlog of several pages; news and a record that surfaces late; more news, and a
//! kill in the middle of the chain; and the end. Each event must arrive, none twice, and no request may be refused.
//!
//! `COVERAGE_ONLY=07` plays the file with this number alone.

mod answer;
mod assertion;
mod description;
mod log;
mod pattern;
mod service;
mod sign;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

pub use assertion::service_account;

use crate::harness::{Fetcher, MockListener, Outcome, wait_until};
use description::{Clock, Description};
use log::Event;
use service::Service;

const FOLDER: &str = "tests/cases/apis";
/// How many APIs the list has.
const LISTED: usize = 50;
/// The iteration that follows the kill.
const AFTER_A_KILL: &str = "after a kill";
/// How many seconds ago the events took place that surface between the kill and that iteration.
const SURFACED_MEANWHILE: [i64; 2] = [200, 180];
/// An API that filters by arrival lists what came this long ago: its documentation speaks of minutes, for which a test has no
/// time, so its file speaks of seconds.
const ARRIVAL_LAG: Duration = Duration::from_secs(3);
/// A record that surfaces late lies this far behind the newest one.
const LATE_BY: TimeDelta = TimeDelta::seconds(30);

/// A file of a folder.
pub struct Case {
    pub number: String,
    text: String,
}

impl Case {
    pub fn all_in(folder: &str) -> Vec<Self> {
        let only = std::env::var("COVERAGE_ONLY").ok();
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let case = |path: std::path::PathBuf| Self {
            number: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            text: std::fs::read_to_string(&path).unwrap(),
        };
        let mut all: Vec<Self> = files.map(case).collect();
        all.sort_by(|one, other| one.number.cmp(&other.number));
        all.retain(|case| only.as_ref().is_none_or(|only| case.number.starts_with(only.as_str())));
        all
    }

    fn all() -> Vec<Self> {
        Self::all_in(FOLDER)
    }

    fn description(&self) -> Description {
        serde_yaml::from_str(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.number))
    }
}

/// A config of these entries, each with the address of its API, and marked by its file.
fn config<'d>(apis: impl Iterator<Item = (&'d Description, &'d str, [&'d str; 2])>, listener: &str) -> String {
    let mut lists: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (description, number, [url, files]) in apis {
        let text = serde_yaml::to_string(&description.entry).unwrap();
        let text = text.replace("{{HOST}}", url).replace("{{FILES}}", files);
        let mut entry: Value = serde_yaml::from_str(&text).unwrap();
        let added = if description.list == "apis" { "additional_fields" } else { "custom_fields" };
        entry[added]["coverage"] = number.into();
        lists.entry(&description.list).or_default().push(entry);
    }
    let mut config = json!({"logzio": {"url": listener, "token": "shipping-token-1"}});
    for (list, entries) in lists {
        config[list] = entries.into();
    }
    config.to_string()
}

/// All that is asked, and what comes of it.
struct Play {
    services: Vec<Arc<Service>>,
    begun: DateTime<Utc>,
    problems: Vec<String>,
    /// What the fetcher had on its way when it was killed, one batch of each API: it may come twice.
    excused: BTreeMap<String, BTreeSet<u64>>,
}

impl Play {
    /// Events this many seconds before the play began.
    fn surface(&self, service: &Service, seconds_ago: &[i64], late: Option<i64>) {
        let (known, is_by_arrival) = (service.events().len() as u64, service.is_by_arrival());
        let arrived = if known == 0 && is_by_arrival { None } else { Some(Utc::now()) };
        let events = seconds_ago.iter().chain(&late).enumerate().map(|(index, ago)| {
            let has_tie = service.description.mock.ties && index == 3;
            let at = self.begun - TimeDelta::seconds(if has_tie { seconds_ago[index - 1] } else { *ago });
            let at = at + TimeDelta::milliseconds(123);
            let number = known + 1 + index as u64;
            // Each bundle holds two of them.
            let bundle = known + 1 + index as u64 / 2;
            Event { number, at, arrived: arrived.unwrap_or(at + TimeDelta::seconds(2)), bundle }
        });
        service.add(events.collect::<Vec<_>>());
    }

    /// What arrived of each API: how often each event came.
    fn arrived(listener: &MockListener) -> BTreeMap<String, BTreeMap<u64, u32>> {
        let mut arrived: BTreeMap<String, BTreeMap<u64, u32>> = BTreeMap::new();
        for line in listener.lines() {
            let record: Value = serde_json::from_str(&line).unwrap();
            let number = line.split("event-").nth(1).map(|rest| rest.trim_start_matches('0'));
            let digits = number.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default());
            let Some(number) = digits.and_then(|digits| digits.parse().ok()) else {
                panic!("no event is named in {line}")
            };
            let file = record["coverage"].as_str().unwrap_or_default().to_owned();
            *arrived.entry(file).or_default().entry(number).or_default() += 1;
        }
        arrived
    }

    fn check(&mut self, when: &str, listener: &MockListener) {
        let arrived = Self::arrived(listener);
        let none = BTreeMap::new();
        let mut problems = Vec::new();
        for service in &self.services {
            let arrived = arrived.get(&service.number).unwrap_or(&none);
            let events = service.events();
            let goes_on = service.description.mock.goes_on && when == AFTER_A_KILL;
            let expected = events.len() - if goes_on { SURFACED_MEANWHILE.len() } else { 0 };
            let numbers = events.iter().take(expected).map(|event| event.number);
            let missing: Vec<u64> = numbers.filter(|number| !arrived.contains_key(number)).collect();
            let excused = self.excused.get(&service.number);
            let most = |number: &u64| 1 + u32::from(excused.is_some_and(|excused| excused.contains(number)));
            let doubled = arrived.iter().filter(|(number, times)| **times > most(number));
            let doubled: Vec<u64> = doubled.map(|(number, _)| *number).collect();
            if !missing.is_empty() || !doubled.is_empty() {
                let count = events.len();
                problems.push(format!(
                    "{} {when}: of {count} events {missing:?} missing, {doubled:?} doubled",
                    service.number
                ));
            }
        }
        self.problems.extend(problems);
    }

    /// Warnings and errors that the log has of an API, and requests that it refused.
    fn check_log(&mut self, when: &str, log: &str) {
        let mut problems = Vec::new();
        for service in &self.services {
            let name = service.description.entry["name"].as_str().unwrap();
            let is_bad = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
            let named =
                |line: &&str| line.contains(&format!("api=\"{name}\"")) || line.contains(&format!("api={name} "));
            let expected = |line: &&str| service.description.mock.warnings.iter().any(|text| line.contains(text));
            let lines = log.lines().filter(is_bad).filter(named).filter(|line| !expected(line));
            problems.extend(lines.map(|line| format!("{} {when}: {line}", service.number)));
        }
        self.problems.extend(problems);
    }

    fn is_started(&self, holds: bool) {
        self.services.iter().for_each(|service| service.is_started(holds));
    }

    /// APIs that filter by arrival list nothing that has just come.
    fn wait_for_arrivals(&self) {
        if self.services.iter().any(|service| service.description.mock.waits) {
            let until = std::time::Instant::now() + ARRIVAL_LAG;
            wait_until("what arrived being listed", || std::time::Instant::now() >= until);
        }
    }

    fn once(&mut self, when: &str, fetcher: Fetcher, listener: &MockListener) -> Outcome {
        self.wait_for_arrivals();
        self.is_started(false);
        let outcome = fetcher.once();
        if outcome.code != Some(0) {
            self.problems.push(format!("{when}: exit code {:?}", outcome.code));
        }
        self.check_log(when, &outcome.stderr);
        self.check(when, listener);
        outcome
    }
}

impl Service {
    fn is_by_arrival(&self) -> bool {
        self.description.mock.endpoints.iter().any(|endpoint| endpoint.window.by == Clock::Arrival)
    }
}

/// Plays the APIs of these files, and tells of everything that is not as it should be.
pub fn play(cases: &[Case]) -> Vec<String> {
    let services: Vec<Arc<Service>> =
        cases.iter().map(|case| Arc::new(Service::new(&case.number, case.description()))).collect();
    let servers: Vec<_> = services.iter().map(Service::serve).collect();
    let listener = MockListener::start().may_be_idle();
    let entries = services.iter().zip(&servers);
    let entries = entries.map(|(service, (api, files))| {
        let urls = [api.url(), files.as_ref().map_or("", |files| files.url())];
        (&service.description, service.number.as_str(), urls)
    });
    let fetcher =
        Fetcher::new(&config(entries, listener.url())).file("service-account.json", &assertion::service_account());
    let mut play =
        Play { services: services.clone(), begun: Utc::now(), problems: Vec::new(), excused: BTreeMap::new() };

    for service in &services {
        play.surface(service, &[3000, 2700, 2400, 2100, 1800, 1500, 1200, 900], None);
    }
    let outcome = play.once("in the backlog", fetcher, &listener);
    if outcome.code == Some(2) {
        return vec![outcome.stderr];
    }

    for service in &services {
        let late = service.description.mock.late.then(|| 900 + LATE_BY.num_seconds());
        play.surface(service, &[540, 500, 460, 420], late);
    }
    let outcome = play.once("with news", Fetcher::again(outcome), &listener);

    for service in &services {
        play.surface(service, &[360, 340, 320, 300, 280, 260, 240], None);
    }
    play.wait_for_arrivals();
    let before = Play::arrived(&listener);
    play.is_started(true);
    let running = Fetcher::again(outcome).start_command(Some("once"));
    let held = || services.iter().filter(|service| !service.is_held()).map(|service| service.number.clone());
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while held().next().is_some() && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let not_held: Vec<String> = held().collect();
    if !not_held.is_empty() {
        play.problems.push(format!("no request came at which the fetcher is to be killed: {not_held:?}"));
    }
    let outcome = running.kill();
    listener.wait_until_idle();
    for (file, arrived) in Play::arrived(&listener) {
        let in_this_life = |number: &u64| !before.get(&file).is_some_and(|before| before.contains_key(number));
        play.excused.insert(file.clone(), arrived.into_keys().filter(in_this_life).collect());
    }
    play.check_log("before the kill", &outcome.stderr);

    for service in &services {
        play.surface(service, &SURFACED_MEANWHILE, None);
    }
    let outcome = play.once(AFTER_A_KILL, Fetcher::again(outcome), &listener);
    play.once("again", Fetcher::again(outcome), &listener);
    let refused = |service: &Arc<Service>| {
        let number = service.number.clone();
        service.refused().into_iter().map(move |why| format!("{number} refused {why}"))
    };
    play.problems.extend(services.iter().flat_map(refused));
    play.problems
}

#[test]
fn each_api_is_read_to_its_end_over_news_late_records_and_a_kill() {
    let problems = play(&Case::all());
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn every_api_of_the_list_has_a_file() {
    let all = Case::all();
    for case in &all {
        println!("{:<40} {}", case.number, case.description().name);
    }
    let number = |case: &Case| case.number.split('-').next().and_then(|digits| digits.parse::<usize>().ok());
    let numbers: Vec<usize> = all.iter().filter_map(number).collect();
    let names: BTreeSet<String> = all.iter().map(|case| case.description().name).collect();
    assert_eq!(names.len(), all.len(), "no name stands in two files");
    if std::env::var_os("COVERAGE_ONLY").is_none() {
        assert_eq!(numbers, (1..=all.len()).collect::<Vec<_>>(), "each number has one file");
        assert!(all.len() >= LISTED, "{} of {LISTED}", all.len());
    }
}
