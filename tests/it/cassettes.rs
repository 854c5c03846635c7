//! Cassettes: what is recorded, what is kept of it, and what happens when it is replayed.

use std::path::Path;

use logzio_api_fetcher::cassette::{Cassette, difference_in_words, play};
use logzio_api_fetcher::config::{self, Environment, catalog};
use logzio_api_fetcher::plan::{Auth, Plan};
use logzio_api_fetcher::record::{CustomFields, Page};

use crate::harness::{Asked, Fetcher, MockServer, Outcome, Reply};

/// Everything that must not be in a cassette. None of it is shorter than four characters: less may be there by chance.
const PERSONAL: [&str; 22] = [
    "alice",
    "Alice",
    "Liddell",
    "alice.liddell@wonderland.example",
    "wonderland",
    "10.20.30.40",
    "2001:db8:85a3::8a2e:370:7334",
    "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    "+49 151 2345678",
    "4929123412341234",
    "Größe",
    "the-basic-key",
    "the-user-id",
    "dGhlLXVzZXItaWQ",
    "session=c00k1e",
    "c00k1e",
    "cursor-4711-xyz",
    "top-secret-header",
    "the-access-token",
    "the-client-secret",
    "127.0.0.1",
    "Mad Hatter",
];

fn event(id: u64, minute: u32, more: &str) -> String {
    format!(
        r#"{{"id":{id},"at":"2024-05-28T13:{minute:02}:00Z","user":{{"name":"Alice Liddell","mail":"alice.liddell@wonderland.example","phone":"+49 151 2345678"}},"ip":["10.20.30.40","2001:db8:85a3::8a2e:370:7334"],"card":4929123412341234,"device":"f81d4fae-7dec-11d0-a765-00a0c91e6bf6","größe":"Größe","ok":true{more}}}"#
    )
}

/// Two pages by a cursor, full of what is personal.
fn personal_api(has_token: bool) -> MockServer {
    MockServer::start(move |asked: &Asked, _| {
        if asked.path == "/wonderland/token" {
            return Reply::json(
                r#"{"access_token":"the-access-token","token_type":"Bearer","expires_in":3599,"user":"Alice"}"#,
            );
        }
        let expected = if has_token { "Bearer the-access-token" } else { "Basic dGhlLXVzZXItaWQ6dGhlLWJhc2ljLWtleQ==" };
        assert_eq!(asked.header("authorization"), Some(expected));
        assert_eq!(asked.raw_field("owner"), Some("alice.liddell%40wonderland.example"));
        let page = |records: &[String], next: &str| {
            let body = format!(r#"{{"total":3,"events":[{}],"next":{next},"by":"Mad Hatter"}}"#, records.join(","));
            Reply::json(&body)
                .with("Content-Type", "application/json; charset=utf-8")
                .with("Set-Cookie", "session=c00k1e")
                .with("X-Served-By", "Mad Hatter")
                .with("X-RateLimit-Remaining", "99")
        };
        match asked.raw_field("after") {
            None => page(&[event(1090519054123456789, 1, ""), event(2, 2, "")], "\"cursor-4711-xyz\""),
            Some("cursor-4711-xyz") => page(&[event(2, 2, ""), event(3, 3, r#","note":"by Mad Hatter""#)], "null"),
            Some(other) => panic!("another cursor: {other}"),
        }
    })
}

fn entry(api: &str, list: &str, more: &str) -> String {
    format!(
        "logzio: {{url: 'http://127.0.0.1:1', token: shipping-token-1}}\n{list}:\n- type: general\n  name: Events of Alice\n  \
         credentials: {{id: the-user-id, key: {key}}}\n{more}  http_request:\n    url: {api}/api/v1/wonderland/events\n    \
         headers: {{X-Tenant: top-secret-header, Accept: application/json}}\n  start_date_name: since\n  \
         filters: {{owner: alice.liddell@wonderland.example, limit: 2, after: '{{next_token}}', since: '2024-05-28'}}\n  \
         json_paths: {{data: events, data_date: at, next_token: next, id: id}}\n  settings: {{time_interval: 1s}}\n  \
         custom_fields: {{team: Mad Hatter}}\n",
        key = if list == "auth_apis" { "the-basic-key" } else { "the-client-secret" }
    )
}

fn recorded(config: &str, arguments: &[&str]) -> Outcome {
    let arguments = [&["--api", "Events of Alice"], arguments].concat();
    Fetcher::new(config).arguments(&arguments).run("record").assert_code(0)
}

fn replayed(cassette: &str) -> Outcome {
    let fetcher = Fetcher::new("").file("cassette.yaml", cassette);
    let path = fetcher.path().join("cassette.yaml").to_str().unwrap().to_owned();
    fetcher.arguments(&[&path]).run_bare("replay")
}

#[track_caller]
fn assert_nothing_personal(text: &str) {
    for personal in PERSONAL {
        assert!(!text.contains(personal), "`{personal}` is in the cassette:\n{text}");
    }
}

#[test]
fn a_cassette_holds_nothing_personal_and_replays_as_it_was_recorded() {
    for list in ["auth_apis", "oauth_apis"] {
        let api = personal_api(list == "oauth_apis");
        let token = format!("  token_http_request: {{url: '{}/wonderland/token'}}\n", api.url());
        let more = if list == "oauth_apis" { token } else { String::new() };
        let outcome = recorded(&entry(api.url(), list, &more), &[]);
        let cassette = outcome.stdout.clone();
        assert_nothing_personal(&cassette);
        assert!(
            cassette.contains("2024-05-28T13:03:00Z") && cassette.contains("1090519054123456789").eq(&false),
            "{cassette}"
        );
        assert_eq!(outcome.read("last_start_dates.txt"), "", "nothing is saved");
        let again = replayed(&cassette).assert_code(0);
        assert_nothing_personal(&again.stdout);
        let records: Vec<serde_json::Value> =
            again.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
        assert_eq!(records.len(), 3, "{cassette}");
        assert!(records.iter().all(|record| record["ok"] == true && record["user"]["name"].is_string()), "{records:?}");
        assert_eq!(records[0]["id"].to_string().len(), 19);
        again.assert_says("3 records shipped, checkpoint 2024-05-28T13:03:00Z");
    }
}

/// A cassette of two iterations: an answer that asks for a wait of a minute, a page, and a late record in the next iteration.
fn cassette(config_more: &str) -> String {
    let exchange = |at: &str, since: &str, answer: &str| {
        let [since, clock] = [since, at].map(|date| date.replace(':', "%3A"));
        format!(
            "  - at: {at}\n    request:\n      method: GET\n      \
             url: https://api.example/events?since={since}&clock={clock}\n      \
             headers: {{accept: application/json, authorization: '***'}}\n{answer}"
        )
    };
    let page = |records: &str| format!("    answer: {{status: 200, body: '{{\"data\":[{records}]}}'}}\n");
    let record = |id: u32, date: &str| format!(r#"{{"id":{id},"date":"{date}"}}"#);
    let limited = "    answer: {status: 429, headers: {retry-after: '60'}}\n";
    let first = [record(1, "2024-05-28T12:00:00Z"), record(2, "2024-05-28T13:00:00Z")].join(",");
    let second = [record(3, "2024-05-28T12:59:30Z"), record(2, "2024-05-28T13:00:00Z")].join(",");
    format!(
        "cassette: 1\nvalues: synthetic\nconfig: |\n  auth_apis:\n  - type: general\n    name: a\n    \
         credentials: {{id: a, key: b}}\n    http_request: {{url: 'https://api.example/events'}}\n    \
         filters: {{since: '{{start_date}}', clock: '{{now}}'}}\n    json_paths: {{data: data, data_date: date, id: id}}\n    \
         settings: {{time_interval: 60m, days_back_fetch: 1}}\n{config_more}iterations:\n\
         - at: 2024-05-28T13:30:00Z\n  shipped: 2\n  exchanges:\n{}{}\
         - at: 2024-05-28T13:45:00Z\n  shipped: 1\n  exchanges:\n{}",
        exchange("2024-05-28T13:30:00Z", "2024-05-27T13:30:00Z", limited),
        exchange("2024-05-28T13:31:00Z", "2024-05-27T13:30:00Z", &page(&first)),
        exchange("2024-05-28T13:45:00Z", "2024-05-28T12:58:59Z", &page(&second)),
    )
}

#[test]
fn a_replay_goes_by_the_recorded_clock_waits_for_nothing_and_knows_what_was_delivered() {
    let begun = std::time::Instant::now();
    let outcome = replayed(&cassette("")).assert_code(0);
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "it waited for the minute that was recorded");
    assert_eq!(
        outcome.stdout,
        "{\"id\":1,\"date\":\"2024-05-28T12:00:00Z\",\"type\":\"api_fetcher\"}\n\
         {\"id\":2,\"date\":\"2024-05-28T13:00:00Z\",\"type\":\"api_fetcher\"}\n\
         {\"id\":3,\"date\":\"2024-05-28T12:59:30Z\",\"type\":\"api_fetcher\"}\n"
    );
    outcome.assert_says("iteration 2 at 2024-05-28T13:45:00Z: 1 request, 1 record shipped");
}

#[test]
fn a_request_that_is_not_as_recorded_is_shown_part_by_part() {
    let other = cassette("").replace("since=2024-05-28T12%3A58", "from=2024-05-28T12%3A58");
    let outcome = replayed(&other).assert_code(1);
    assert_eq!(outcome.stdout.lines().count(), 2, "what came before is shipped");
    outcome.assert_says(
        "request 3 is not as recorded (- recorded, + asked for):\n  query from\n  - 2024-05-28T12:58:59Z\n  + (nothing)\n  \
         query since\n  - (nothing)\n  + 2024-05-28T12:58:59Z\n",
    );
    let short = cassette("");
    let (short, _) = short.split_once("  - at: 2024-05-28T13:31:00Z").unwrap();
    replayed(short)
        .assert_code(1)
        .assert_says("request 2 is not recorded, as the cassette is over:\n  + GET https://api.example");
    let more = cassette("").replace("shipped: 1", "shipped: 2");
    replayed(&more).assert_code(1).assert_says("iteration 2 ships 1 records; recorded are 2");
}

#[test]
fn a_replay_fills_nothing_in_opens_no_file_and_writes_none() {
    let literal = cassette("    custom_fields: {home: '${HOME}', file: '${file:/etc/hostname}', key: '$${x}'}\n");
    let outcome = replayed(&literal).assert_code(0);
    let first = outcome.stdout.lines().next().unwrap();
    assert!(first.contains(r#""home":"${HOME}","file":"${file:/etc/hostname}","key":"$${x}""#), "{first}");
    let names: Vec<String> = std::fs::read_dir(outcome.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 4, "config, cassette, stdout and stderr: {names:?}");
    let named = cassette("    tls: {cert_file: /etc/hostname}\n");
    replayed(&named).assert_code(2).assert_says("name files, and a replay opens none");
    replayed("cassette: 2\nvalues: synthetic\nconfig: ''\niterations: []\n").assert_code(2).assert_says("format 2");
    replayed("a: [").assert_code(2).assert_says("it is not a cassette");
}

#[test]
fn a_verbatim_cassette_keeps_values_and_no_credentials() {
    let api = personal_api(true);
    let token = format!("  token_http_request: {{url: '{}/wonderland/token'}}\n", api.url());
    let outcome = recorded(&entry(api.url(), "oauth_apis", &token), &["--verbatim", "--from", "2024-05-28"]);
    let cassette = outcome.stdout.clone();
    for secret in ["the-client-secret", "the-user-id", "the-access-token", "top-secret-header", "c00k1e"] {
        assert!(!outcome.everything().contains(secret), "`{secret}`:\n{cassette}");
    }
    for kept in ["Alice Liddell", "1090519054123456789", "after=cursor-4711-xyz"] {
        assert!(cassette.contains(kept), "`{kept}`:\n{cassette}");
    }
    let again = replayed(&cassette).assert_code(0);
    assert_eq!(again.stdout.lines().count(), 3);
}

#[test]
fn a_failed_iteration_and_a_second_one_are_recorded_too() {
    let api = MockServer::start(|_, before| match before {
        0 => Reply::status(400, r#"{"error":"invalid_request","message":"of Alice"}"#),
        _ => Reply::json(&format!(r#"{{"events":[{}]}}"#, event(1, 1, ""))),
    });
    let outcome = recorded(&entry(api.url(), "auth_apis", ""), &["--iterations", "2"]);
    assert_nothing_personal(&outcome.stdout);
    let again = replayed(&outcome.stdout).assert_code(0);
    again
        .assert_says("iteration 1 at ")
        .assert_says("failed: http://host-1.example")
        .assert_says("1 request, 1 record shipped");
}

/// Types of the catalog that have no cassette yet. The list only shrinks.
const KNOWN_WITHOUT: &[&str] = &["cloudflare_logs", "proofpoint_tap"];
/// Types whose API gives everything on one page.
const KNOWN_OF_ONE_PAGE: &[&str] = &["tailscale"];

/// The records of a cassette's answers, each once, in no order.
fn records_of_answers(text: &str, plan: &Plan) -> Vec<serde_json::Value> {
    let cassette: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
    let token = match &plan.auth {
        Auth::Token(request) => Some(request.request.url.as_str()),
        _ => None,
    };
    let mut records = Vec::new();
    let iterations = cassette["iterations"].as_sequence().unwrap().iter();
    for exchange in iterations.flat_map(|iteration| iteration["exchanges"].as_sequence().unwrap()) {
        if exchange["request"]["url"].as_str() == token {
            continue;
        }
        let body = exchange["answer"]["body"].as_str().unwrap();
        let page = Page::read(body, &plan.paths, &CustomFields::default()).expect("a page");
        for record in page.records {
            let record: serde_json::Value = serde_json::from_str(record.raw.text()).unwrap();
            if !records.contains(&record) {
                records.push(record);
            }
        }
    }
    records
}

/// The same with the requests that are made now.
async fn filled(cassette: &Cassette) -> Cassette {
    let cassette = cassette.without_requests();
    let played = play(&cassette).await.unwrap();
    let shipped: Vec<u64> = played.iterations.iter().map(|iteration| iteration.shipped).collect();
    cassette.filled(&played.made, &shipped).unwrap()
}

#[test]
fn every_type_of_the_catalog_has_a_cassette_that_ships_each_record_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog/cassettes");
    let mut without = Vec::new();
    for named in catalog::types().iter().filter(|named| !named.entry.is_empty()) {
        let name = named.name.as_str();
        let Ok(text) = std::fs::read_to_string(directory.join(format!("{name}.yaml"))) else {
            without.push(name);
            continue;
        };
        let mut cassette = Cassette::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        if std::env::var_os("WRITE_CASES").is_some() {
            cassette = runtime.block_on(filled(&cassette));
            std::fs::write(directory.join(format!("{name}.yaml")), cassette.to_text().unwrap()).unwrap();
        }
        let played = runtime.block_on(play(&cassette)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let difference = difference_in_words(&cassette, &played);
        let hint = "if the new requests are right, WRITE_CASES=1 cargo test --test it cassettes writes them";
        assert_eq!(difference, None, "{name}; {hint}");
        let config = format!("logzio: {{url: 'http://127.0.0.1:1', token: t}}\n{}", cassette.config);
        let environment = Environment { variable: &|_| None, directory: Path::new(".") };
        let plan = config::compile(&config, &environment).config.expect(name).apis.remove(0);
        let shipped: Vec<serde_json::Value> = String::from_utf8(played.shipped)
            .unwrap()
            .lines()
            .map(|line| {
                let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
                let fields = record.as_object_mut().unwrap();
                fields.shift_remove("type");
                if let Some(own) = fields.shift_remove("original_type") {
                    fields.insert("type".to_owned(), own);
                }
                record
            })
            .collect();
        let expected = records_of_answers(&text, &plan);
        assert_eq!(shipped.len(), expected.len(), "{name}: as many as there are, each once: {shipped:#?}");
        assert!(expected.iter().all(|record| shipped.contains(record)), "{name}: none is missing: {shipped:#?}");
        let [first, second] = &played.iterations[..] else { panic!("{name}: two iterations") };
        let is_paged = first.requests > usize::from(matches!(plan.auth, Auth::Token(_))) + 1;
        assert_eq!(is_paged, !KNOWN_OF_ONE_PAGE.contains(&name), "{name}: {} requests", first.requests);
        assert!(second.shipped >= 2 && second.checkpoint > first.checkpoint, "{name}: a late record, and a new one");
    }
    assert_eq!(without, KNOWN_WITHOUT, "types without a cassette");
}
