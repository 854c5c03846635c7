//! Chaos: everything goes wrong, the fetcher is killed again and again, and in the end every event must have arrived, no
//! event twice but those that a crash or a lost answer explains: of each API one batch a crash.
//!
//! `CHAOS_KILLS` and `CHAOS_SEED` make it longer and other; `CHAOS_WITHOUT_STORE=1` shows that it can fail.

mod world;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Fetcher, MockListener, MockServer, Outcome, Running};
use world::{Balance, OVERLAP_SECONDS, World, number_of};

const STORE: &str = ".logzio-api-fetcher.store";
/// How many kills a run of all tests has time for.
const KILLS_DEFAULT: u32 = 40;
/// How long a fetcher lives at most before it is killed.
const LIFE_MAX: Duration = Duration::from_millis(1_800);
/// How long the fetcher may need for the rest when nothing goes wrong any more.
const REST_MAX: Duration = Duration::from_secs(120);

struct Play {
    kills: u32,
    seed: u64,
    without_store: bool,
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

fn config(api: &str, listener: &str) -> String {
    let settings = format!("settings: {{time_interval: 0.2s, days_back_fetch: 1, overlap: {OVERLAP_SECONDS}s}}");
    let slices = settings.replace("days_back_fetch: 1", "days_back_fetch: 0.06, max_window: 2m");
    format!(
        "logzio: {{url: '{listener}', token: shipping-token-1}}\n\
         auth_apis:\n\
         - {{type: cisco_secure_x, name: cisco, credentials: {{id: a, key: b}}, {settings}, http_request: {{url: '{api}/cisco'}}}}\n\
         - {{type: general, name: plain, credentials: {{id: a, key: b}}, {settings}, start_date_name: since, \
             http_request: {{url: '{api}/plain'}}, json_paths: {{data: data, data_date: date, next_url: next}}}}\n\
         - {{type: general, name: stream, credentials: {{id: a, key: b}}, {settings}, start_date_name: since, \
             http_request: {{url: '{api}/stream'}}, next_request: {{filters: {{cursor: '{{cursor}}'}}}}, \
             json_paths: {{data: data, data_date: date, id: id, cursor: cursor}}}}\n\
         - {{type: general, name: counted, credentials: {{id: a, key: b}}, {settings}, start_date_name: since, \
             http_request: {{url: '{api}/counted'}}, filters: {{page: '{{page}}'}}, json_paths: {{data: data, data_date: date}}}}\n\
         - {{type: general, name: sliced, credentials: {{id: a, key: b}}, {slices}, http_request: {{url: '{api}/sliced'}}, \
             filters: {{from: '{{start_date}}', to: '{{end_date}}', token: '{{next_token}}'}}, \
             json_paths: {{data: data, data_date: date, id: [id, number], next_token: token}}}}\n\
         oauth_apis:\n\
         - {{type: azure_graph, name: graph, credentials: {{id: a, key: b}}, {settings}, token_http_request: {{url: '{api}/token'}}, \
             data_http_request: {{url: '{api}/graph'}}, json_paths: {{data_date: date}}}}\n"
    )
}

/// The numbers of the records in `undelivered.ndjson`.
fn set_aside(directory: &Path) -> HashSet<u64> {
    let text = std::fs::read_to_string(directory.join("undelivered.ndjson")).unwrap_or_default();
    let record = |line: &str| Some(serde_json::from_str::<serde_json::Value>(line).ok()?["record"].to_string());
    text.lines().filter_map(record).map(|record| number_of(&record)).collect()
}

fn play(play: &Play) -> Balance {
    let world = Arc::new(World::new(play.seed));
    let (for_api, for_listener, for_growth) = (Arc::clone(&world), Arc::clone(&world), Arc::clone(&world));
    let api = MockServer::start(move |asked, _| for_api.answer(asked)).forgetful();
    let listener = MockListener::handing_on(move |text| for_listener.take(text));
    let has_grown = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&has_grown);
    let growth = std::thread::spawn(move || {
        while !ends.load(Ordering::Relaxed) {
            for_growth.grow();
            std::thread::sleep(Duration::from_millis(20));
        }
    });

    let mut fetcher = Fetcher::new(&config(api.url(), listener.url()));
    for number in 1..=play.kills {
        if number % 100 == 0 {
            println!("life {number} of {}", play.kills);
        }
        let running = start(fetcher, play);
        let life = Duration::from_millis(world.random(|random| random.u64(30..LIFE_MAX.as_millis() as u64)));
        std::thread::sleep(life);
        let outcome = match world.random(|random| random.u32(..10)) {
            // By a stop, now and then.
            0 => {
                let outcome = running.stop();
                world.was_stopped();
                outcome
            }
            // While a batch is on its way, or just taken.
            1..=5 => {
                world.wait_for_batch(LIFE_MAX);
                kill(running, &listener, &world)
            }
            _ => kill(running, &listener, &world),
        };
        fetcher = Fetcher::again(outcome);
    }

    has_grown.store(true, Ordering::Relaxed);
    growth.join().unwrap();
    world.calm_down();
    let running = start(fetcher, play);
    let directory = running.directory();
    let begun = Instant::now();
    while !world.is_complete(&set_aside(&directory)) && begun.elapsed() < REST_MAX {
        std::thread::sleep(Duration::from_millis(50));
    }
    // One more iteration: whatever is shipped twice by it counts.
    let outcome = running.stop();
    world.was_stopped();
    let outcome = Fetcher::again(outcome).once();
    world.balance(&set_aside(outcome.path()))
}

/// What is on its way to the listener when the fetcher dies belongs to this life, not to the next.
fn kill(running: Running, listener: &MockListener, world: &World) -> Outcome {
    let outcome = running.kill();
    listener.wait_until_idle();
    world.was_killed();
    outcome
}

fn start(fetcher: Fetcher, play: &Play) -> Running {
    if play.without_store {
        let _ = std::fs::remove_file(fetcher.path().join(STORE));
    }
    fetcher.start()
}

fn verdict(balance: &Balance) -> Result<(), String> {
    let Balance { figures, events, missing, doubled, unexplained } = balance;
    println!(
        "{events} events, {} kills, {} stops; {} requests, {} of them answered wrongly; {} batches of up to {} lines, {} of \
         them answered wrongly, {} answers lost",
        figures.kills,
        figures.stops,
        figures.requests,
        figures.api_faults,
        figures.batches,
        figures.batch_lines_max,
        figures.listener_faults,
        figures.lost_answers
    );
    println!(
        "{} missing, {doubled} doubled by crashes and lost answers, {unexplained} beyond one batch each",
        missing.len()
    );
    match (missing.len(), unexplained) {
        (0, 0) => Ok(()),
        (0, doubled) => Err(format!("{doubled} records came twice, and no crash or lost answer explains it")),
        (lost, _) => Err(format!("{lost} records never arrived, such as {:?}", &missing[..lost.min(5)])),
    }
}

#[test]
fn nothing_is_lost_and_nothing_doubled_but_what_crashes_explain() {
    let kills = number("CHAOS_KILLS").unwrap_or(u64::from(KILLS_DEFAULT)) as u32;
    let seed = number("CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    let without_store = std::env::var_os("CHAOS_WITHOUT_STORE").is_some();
    println!("CHAOS_KILLS={kills} CHAOS_SEED={seed}");
    let balance = play(&Play { kills, seed, without_store });
    if let Err(what) = verdict(&balance) {
        panic!("{what}; again with CHAOS_SEED={seed}");
    }
}

#[test]
fn chaos_fails_where_there_is_no_store() {
    let balance = play(&Play { kills: 14, seed: 7, without_store: true });
    assert!(balance.missing.is_empty(), "without its store it must lose nothing either: {:?}", balance.missing);
    verdict(&balance).expect_err("without its store the fetcher must double records");
}
