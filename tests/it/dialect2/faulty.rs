//! One invalid entry beside good ones: they run, and everything that tells how the fetcher fares tells of it.

use serde_json::Value;

use super::accounts::Accounts;
use crate::harness::{Fetcher, MockServer, Outcome, Reply, Running, wait_until};
use crate::status::{get, page_of, value};

/// What the invalid entry has instead of a number.
const FAULT: &str = "apis[1].scrape_interval";
const SECRET: &str = "TOPSECRETVALUE";
/// The metric that the alert on an invalid config goes by.
const IS_WHOLE: &str = "logzio_fetcher_config_last_reload_successful";

fn entry(name: &str, api: &str, interval: &str) -> String {
    format!(
        "  - {{name: {name}, type: general, url: '{api}/{name}', headers: {{Authorization: {SECRET}}}, scrape_interval: \
         {interval}}}\n"
    )
}

/// Three entries; the one in the middle has this interval.
fn config(api: &str, listener: &str, interval: &str) -> String {
    let entries = [entry("one", api, "1s"), entry("middle", api, interval), entry("last", api, "1s")].concat();
    format!("status: {{listen: '127.0.0.1:0'}}\nlogzio: {{url: '{listener}', token: tok}}\napis:\n{entries}")
}

fn api() -> MockServer {
    MockServer::start(|asked, _| Reply::json(&format!(r#"{{"from":"{}"}}"#, asked.path)))
}

/// From which APIs records arrived.
fn shipped(accounts: &Accounts) -> Vec<String> {
    let lines = accounts.lines();
    let mut from: Vec<String> =
        lines.values().flatten().map(|line| line["from"].as_str().expect("a path").to_owned()).collect();
    from.sort();
    from.dedup();
    from
}

fn health(running: &Running, arguments: &[&str]) -> Outcome {
    let config = running.config_path();
    let all = [&["--config", &config], arguments].concat();
    Fetcher::new("").arguments(&all).run_bare("health")
}

#[test]
fn check_and_once_name_it_and_end_as_documented() {
    let (api, accounts) = (api(), Accounts::start());
    let text = config(api.url(), accounts.url(), "never");
    let outcome = Fetcher::new(&text).run("check").assert_code(2).assert_says(&format!("error: {FAULT}: "));
    let outcome = outcome.assert_says("1 error, 0 warnings; without these entries 2 APIs would run");
    assert!(!outcome.stdout.contains(SECRET) && api.asked().is_empty(), "{}", outcome.stdout);

    let outcome = Fetcher::again(outcome).once().assert_code(1).assert_says(FAULT);
    assert_eq!(shipped(&accounts), ["/last", "/one"], "{}", outcome.stderr);
    assert!(!outcome.everything().contains(SECRET), "{}", outcome.everything());
    // Who asks for a good one alone gets what was asked for.
    let outcome = Fetcher::again(outcome).arguments(&["--api", "last"]).once().assert_code(0);
    let outcome = Fetcher::again(outcome).arguments(&["--api", "middle"]).once().assert_code(2);
    let outcome = outcome.assert_says("unknown API `middle`; configured: one, last");

    // Where no entry is left, nothing can run.
    let none = text.replace("scrape_interval: 1s", "scrape_interval: never");
    outcome.write("config.yaml", &none);
    let outcome = Fetcher::again(outcome).run("check").assert_code(2).assert_says("invalid, 3 errors");
    Fetcher::again(outcome).once().assert_code(2);
}

#[test]
fn health_page_status_and_metrics_tell_of_it_until_it_is_mended() {
    let (api, accounts) = (api(), Accounts::start());
    let running = Fetcher::new(&config(api.url(), accounts.url(), "never")).start();
    wait_until("the records of the good ones", || shipped(&accounts) == ["/last", "/one"]);
    assert!(running.log().contains(FAULT), "{}", running.log());
    let url = page_of(&running, 1);

    let told = health(&running, &[]).assert_code(0);
    let words =
        "degraded: 2 APIs run, without the entries of the config that have 1 error\nline 5: apis[1].scrape_interval: ";
    assert!(told.stdout.starts_with(words), "{}", told.stdout);
    let told: Value = serde_json::from_str(&health(&running, &["--json"]).assert_code(0).stdout).expect("JSON");
    assert_eq!(told["status"], "degraded");
    assert!(told["details"][0].as_str().is_some_and(|line| line.contains(FAULT)), "{told}");
    assert_eq!((get(&format!("{url}/healthz")).status, get(&format!("{url}/readyz")).status), (200, 200));

    let page = get(&url).text;
    for text in ["Some entries of the config are invalid", "The others run.", FAULT] {
        assert!(page.contains(text), "`{text}` is missing in:\n{page}");
    }
    let status = || -> Value { serde_json::from_str(&get(&format!("{url}/status.json")).text).expect("JSON") };
    let errors = status()["config"]["errors"].as_array().expect("a list").clone();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].as_str().is_some_and(|error| error.contains(FAULT)), "{errors:?}");
    let names = |status: &Value| -> Vec<String> {
        let apis = status["apis"].as_array().expect("a list");
        apis.iter().map(|api| api["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!((names(&status()), &status()["counts"]["apis"]), (vec!["last".to_owned(), "one".to_owned()], &2.into()));
    let metrics = || get(&format!("{url}/metrics")).text;
    assert_eq!(value(&metrics(), IS_WHOLE), 0.0);
    assert!(!metrics().contains("middle"), "{}", metrics());
    for shown in [page, status().to_string(), metrics(), running.log(), told.to_string()] {
        assert!(!shown.contains(SECRET), "{shown}");
    }

    let mended = config(api.url(), accounts.url(), "1s");
    std::fs::write(running.directory().join("config.yaml"), mended).expect("a config");
    wait_until("the records of the mended one", || shipped(&accounts) == ["/last", "/middle", "/one"]);
    let told = health(&running, &[]).assert_code(0);
    assert_eq!(told.stdout.trim(), "healthy: 3 of 3 APIs");
    assert_eq!((value(&metrics(), IS_WHOLE), &status()["config"]["errors"]), (1.0, &serde_json::json!([])));
    assert!(!get(&url).text.contains("are invalid"));
    running.stop().assert_code(0);
}

/// Where entries are invalid and an API fails, one look tells both.
#[test]
fn health_names_the_failing_apis_and_the_invalid_entries() {
    let api = MockServer::start(|asked, _| match asked.path.as_str() {
        "/one" => Reply::status(403, "no"),
        _ => Reply::json(r#"{"from":"/last"}"#),
    });
    let accounts = Accounts::start();
    let running = Fetcher::new(&config(api.url(), accounts.url(), "never").replace("1s", "0.05s")).start();
    wait_until("an API that is failing", || health(&running, &[]).stdout.starts_with("degraded: 1 of 2 APIs failing"));
    let told = health(&running, &[]).assert_code(0);
    let lines: Vec<&str> = told.stdout.lines().collect();
    assert!(lines[1].starts_with("one: ") && lines[2].contains(FAULT), "{}", told.stdout);
    running.stop().assert_code(0);
}

/// An edit that makes one entry invalid ends that API, and its state stays for when it is mended.
#[test]
fn an_entry_that_becomes_invalid_rests_with_its_state() {
    let date = crate::harness::minutes_ago(5);
    let api = MockServer::start(move |asked, _| {
        Reply::json(&format!(r#"{{"items":[{{"from":"{}","at":"{date}"}}]}}"#, asked.path))
    });
    let accounts = Accounts::start();
    let text = |interval: &str| {
        let more = ", response_data_path: items, record_date: at, start_date: '2026-01-01T00:00:00Z', next_url: '";
        let text = config(api.url(), accounts.url(), interval);
        let names = ["one", "middle", "last"];
        names.iter().fold(text, |text, name| {
            let url = format!("url: '{}/{name}'", api.url());
            text.replace(&url, &format!("{url}{more}{}/{name}?at={{res.items.[0].at}}'", api.url()))
        })
    };
    let running = Fetcher::new(&text("1s")).start();
    wait_until("the records", || shipped(&accounts) == ["/last", "/middle", "/one"]);
    wait_until("the checkpoints", || running.read("last_start_dates.txt").contains("middle: "));
    let write = |text: &str| std::fs::write(running.directory().join("config.yaml"), text).expect("a config");
    write(&text("never"));
    wait_until("the word of it", || health(&running, &[]).stdout.starts_with("degraded: 2 APIs run"));
    assert!(running.read("last_start_dates.txt").contains("middle: "), "{}", running.read("last_start_dates.txt"));
    let asked = || api.asked().iter().filter(|asked| asked.path == "/middle").count();
    write(&text("1s"));
    wait_until("a whole config", || health(&running, &[]).stdout.starts_with("healthy: 3 of 3 APIs"));
    let before = asked();
    wait_until("another iteration", || asked() > before + 1);
    let outcome = running.stop().assert_code(0);
    let all: usize = accounts.lines().values().map(Vec::len).sum();
    assert_eq!(all, 3, "nothing twice: {}", outcome.stderr);
}
