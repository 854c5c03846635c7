//! Cassettes: what is recorded, what is kept of it, and what happens when it is replayed.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use logzio_api_fetcher::cassette::{Cassette, difference_in_words, play};
use logzio_api_fetcher::config::{self, catalog};
use logzio_api_fetcher::decode::Decoder;
use logzio_api_fetcher::plan::{Auth, Plan};
use logzio_api_fetcher::record::{CustomFields, Page};
use rawzip::{CompressionMethod, ZipArchiveWriter};

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
    replayed(&named).assert_code(2).assert_says("`tls` names files, and a replay opens none");
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

fn gzip(body: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = Vec::new();
    let mut archive = ZipArchiveWriter::new(&mut zip);
    for (name, body) in files {
        let (mut entry, config) = archive.new_file(name).compression_method(CompressionMethod::STORE).start().unwrap();
        let mut writer = config.wrap(&mut entry);
        writer.write_all(body).unwrap();
        let (_, descriptor) = writer.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    zip
}

/// A list of files at two kinds of URLs: gzip files of lines, one with a single line, and a zip file of CSV and of a gzip
/// file; the next page in a header.
#[test]
fn what_is_in_archives_is_masked_readable_and_replayed_as_it_came() {
    let event = |id: u64| event(id, 1, "").replace("\n", "");
    let csv = "id,who,at\r\n7,\"Alice Liddell\",2024-05-28T13:01:00Z\r\n";
    let zipped = gzip(&format!("{}\n{}\n", event(4), event(5)));
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("/wonderland/a.gz", gzip(&format!("{}\n{}\n", event(1), event(2)))),
        ("/wonderland/b.gz", gzip(&format!("{}\n", event(3)))),
        ("/wonderland/c.zip", zip(&[("alice/liddell.csv", csv.as_bytes()), ("alice.ndjson.gz", &zipped)])),
    ];
    let api = MockServer::start(move |asked, _| {
        if let Some((_, body)) = files.iter().find(|(path, _)| *path == asked.path) {
            let headers = vec![("Content-Type".to_owned(), "application/octet-stream".to_owned())];
            return Reply::Full { status: 200, headers, body: body.clone() };
        }
        let entry =
            |name: &str| format!(r#"{{"path":"/wonderland/{name}","made":"2024-05-28T13:0{}:00Z"}}"#, name.len());
        match asked.raw_field("page") {
            None => Reply::json(&format!("[{},{}]", entry("a.gz"), entry("b.gz"))).with("X-Next", "?page=liddell-2"),
            Some("liddell-2") => Reply::json(&format!("[{}]", entry("c.zip"))),
            Some(other) => panic!("another page: {other}"),
        }
    });
    let config = format!(
        "logzio: {{url: 'http://127.0.0.1:1', token: shipping-token-1}}\nauth_apis:\n- type: general\n  name: Events of Alice\n  \
         credentials: {{id: the-user-id, key: the-basic-key}}\n  http_request: {{url: '{}/api/v1/wonderland/events'}}\n  \
         start_date_name: since\n  filters: {{since: '2024-05-28'}}\n  \
         json_paths: {{data: $, data_date: made, id: path, next_url: header.X-Next}}\n  settings: {{time_interval: 1s}}\n  \
         steps:\n  - http_request: {{url: '{{item.path:raw}}'}}\n    json_paths: {{data: $, data_date: at, id: id}}\n",
        api.url()
    );
    // Of a zip file each file's name says what is in it, of the gzip files the entry does.
    for (format, records) in [("", 6), ("    response: {format: ndjson}\n", 0)] {
        let outcome = Fetcher::new(&format!("{config}{format}"));
        let outcome = outcome.arguments(&["--api", "Events of Alice"]).run("record");
        if records == 0 {
            // A CSV file that is no NDJSON fails its entry, recorded and replayed alike.
            let cassette = outcome.assert_code(0).stdout;
            assert_nothing_personal(&cassette);
            replayed(&cassette).assert_code(0).assert_says("failed");
            continue;
        }
        let cassette = outcome.assert_code(0).stdout;
        assert_nothing_personal(&cassette);
        for readable in ["gzip:", "zip:", "name: file-1.csv", "name: file-2.ndjson.gz", "id,who,at"] {
            assert!(cassette.contains(readable), "`{readable}` is missing in:\n{cassette}");
        }
        assert!(!cassette.contains("body_base64"), "{cassette}");
        let again = replayed(&cassette).assert_code(0);
        assert_nothing_personal(&again.stdout);
        assert_eq!(again.stdout.lines().count(), records, "{}", again.stdout);
    }
}

/// The key file isn't opened, and stands for nothing in the cassette.
#[test]
fn a_login_by_a_signed_jwt_is_recorded_and_replayed_without_its_key() {
    let api = MockServer::start(move |asked, _| match asked.path.as_str() {
        "/wonderland/token" => {
            assert!(asked.text().contains("assertion=ey"), "{}", asked.text());
            Reply::json(r#"{"access_token":"the-access-token","expires_in":3599}"#)
        }
        _ => Reply::json(&format!(r#"{{"events":[{}]}}"#, event(1, 1, ""))),
    });
    let login = format!(
        "  token_http_request: {{url: '{}/wonderland/token', scope: all, assertion: {{file: alice.json, subject: \
         alice.liddell@wonderland.example}}}}\n",
        api.url()
    );
    let config = entry(api.url(), "oauth_apis", &login)
        .replace("  credentials: {id: the-user-id, key: the-client-secret}\n", "");
    for arguments in [&["--api", "Events of Alice"][..], &["--api", "Events of Alice", "--verbatim"]] {
        let fetcher = Fetcher::new(&config).file("alice.json", &crate::coverage::service_account());
        let cassette = fetcher.arguments(arguments).run("record").assert_code(0).stdout;
        assert!(!cassette.contains("PRIVATE KEY") && !cassette.contains("assertion=ey"), "{cassette}");
        if arguments.len() == 2 {
            assert_nothing_personal(&cassette);
            assert!(cassette.contains("assertion=assertion-1"), "{cassette}");
        }
        assert_eq!(replayed(&cassette).assert_code(0).stdout.lines().count(), 1);
    }
}

/// Signatures are made of the clock, of chance and of the key: all three are others in a replay, and always the same.
#[test]
fn signed_requests_are_recorded_and_replayed() {
    let api = MockServer::start(|asked, _| {
        assert_eq!(asked.header("x-nonce").map(str::len), Some(64));
        Reply::json(&format!(r#"{{"events":[{}]}}"#, event(1, 1, "")))
    });
    let sign = "  sign: {hmac: sha256, key: the-basic-key, text: '{method}{path}{query}{nonce}{now:unix_ms}'}\n";
    let config = entry(api.url(), "auth_apis", sign).replace(
        "headers: {X-Tenant: top-secret-header,",
        "headers: {X-Nonce: '{nonce}', X-Now: '{now:unix_ms}', X-Signature: 'v1 {signature}', X-Tenant: top-secret-header,",
    );
    for (arguments, nonce) in [(&[][..], "0".repeat(64)), (&["--verbatim"], "'***'".to_owned())] {
        let cassette = recorded(&config, arguments).stdout;
        assert!(
            cassette.contains(&format!("x-nonce: {nonce}")) || cassette.contains(&format!("x-nonce: '{nonce}'")),
            "{cassette}"
        );
        assert_eq!(replayed(&cassette).assert_code(0).stdout.lines().count(), 1, "{cassette}");
        if arguments.is_empty() {
            assert_nothing_personal(&cassette);
        }
    }
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

/// What a cassette's answers hold of an entry's records.
struct RecordsOfAnswers {
    /// Each once, in no order.
    records: Vec<serde_json::Value>,
    /// How many answers of the first iteration hold any.
    first_pages: usize,
}

fn records_of_answers(text: &str, plan: &Plan) -> RecordsOfAnswers {
    let cassette: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
    let token = match &plan.auth {
        Auth::Token(request) => Some(request.request.url.as_str()),
        _ => None,
    };
    // Of an entry with steps only the last one's answers hold records, which are known by their dates.
    let has_steps = !plan.steps.is_empty();
    let plan = plan.steps.last().map_or(plan, |step| &step.plan);
    let mut found = RecordsOfAnswers { records: Vec::new(), first_pages: 0 };
    for (number, iteration) in cassette["iterations"].as_sequence().unwrap().iter().enumerate() {
        for exchange in iteration["exchanges"].as_sequence().unwrap() {
            if exchange["request"]["url"].as_str() == token {
                continue;
            }
            let answer = &exchange["answer"];
            let body = answer["body"].as_str().or(answer["gzip"]["body"].as_str()).unwrap();
            let decoder = Decoder::new(plan.response.format, answer["headers"]["content-type"].as_str());
            let body =
                if is_json(body) { body.to_owned() } else { decoder.decode(body.as_bytes(), 1 << 20).unwrap().text };
            let page = Page::read(&body, &plan.paths, &CustomFields::default()).expect("a page");
            let of_last_step = page.records.iter().filter(|record| !has_steps || record.date.is_some());
            let records: Vec<serde_json::Value> =
                of_last_step.map(|record| serde_json::from_str(record.raw.text()).unwrap()).collect();
            found.first_pages += usize::from(number == 0 && !records.is_empty());
            for record in records {
                if !found.records.contains(&record) {
                    found.records.push(record);
                }
            }
        }
    }
    found
}

/// Whether a body is one document of several lines, whatever the last step's format is.
fn is_json(body: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(body).is_ok() && body.trim().lines().count() > 1
}

/// The same with the requests that are made now.
async fn filled(cassette: &Cassette) -> Cassette {
    let cassette = cassette.without_requests();
    let played = play(&cassette).await.unwrap();
    let shipped: Vec<u64> = played.iterations.iter().map(|iteration| iteration.shipped).collect();
    cassette.filled(&played.made, &shipped).unwrap()
}

/// What was shipped, without what is added to each record.
fn shipped_records(shipped: Vec<u8>) -> Vec<serde_json::Value> {
    let record = |line: &str| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        let fields = record.as_object_mut().unwrap();
        fields.shift_remove("type");
        if let Some(own) = fields.shift_remove("original_type") {
            fields.insert("type".to_owned(), own);
        }
        record
    };
    String::from_utf8(shipped).unwrap().lines().map(record).collect()
}

#[test]
fn every_type_of_the_catalog_has_a_cassette_that_ships_each_record_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog/cassettes");
    for named in catalog::named_types() {
        let name = named.name.as_str();
        let file = directory.join(format!("{name}.yaml"));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut cassette = Cassette::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        if std::env::var_os("WRITE_CASES").is_some() {
            cassette = runtime.block_on(filled(&cassette));
            std::fs::write(&file, cassette.to_text().unwrap()).unwrap();
        }
        let played = runtime.block_on(play(&cassette)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let difference = difference_in_words(&cassette, &played);
        let hint = "if the new requests are right, WRITE_CASES=1 cargo test --test it cassettes writes them";
        assert_eq!(difference, None, "{name}; {hint}");
        let config = format!("logzio: {{url: 'http://127.0.0.1:1', token: t}}\n{}", cassette.config);
        let plan = config::compile_without_files(&config).config.expect(name).apis.remove(0);
        let shipped = shipped_records(played.shipped);
        let expected = records_of_answers(&cassette.to_text().unwrap(), &plan);
        let RecordsOfAnswers { records, first_pages } = expected;
        assert_eq!(shipped.len(), records.len(), "{name}: as many as there are, each once: {shipped:#?}");
        assert!(records.iter().all(|record| shipped.contains(record)), "{name}: none is missing: {shipped:#?}");
        assert!(first_pages >= 2, "{name}: records on {first_pages} page of the first iteration");
        let [first, second] = &played.iterations[..] else { panic!("{name}: two iterations") };
        assert!(second.shipped >= 2 && second.checkpoint > first.checkpoint, "{name}: a late record, and a new one");
    }
}
