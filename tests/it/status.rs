//! The status page, the metrics, and who may see what.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::header::HeaderMap;

use crate::harness::{
    Fetcher, MockListener, MockServer, Reply, Running, general, minutes_ago, page, record, wait_until,
};

/// What the status server says.
pub struct Answer {
    pub status: u16,
    headers: HeaderMap,
    pub text: String,
}

impl Answer {
    #[track_caller]
    fn assert_has(&self, text: &str) {
        assert!(self.text.contains(text), "`{text}` is missing in:\n{}", self.text);
    }
}

fn ask(method: &str, url: &str) -> Option<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client.request(method, url).send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Some(Answer { status, headers, text: response.text().await.unwrap() })
    })
}

pub fn get(url: &str) -> Answer {
    ask("GET", url).unwrap_or_else(|| panic!("{url} does not answer"))
}

/// Where the page is, by the fetcher's own word; the last one.
#[track_caller]
pub fn page_of(running: &Running, times: usize) -> String {
    let said = "the status page is at ";
    running.wait_for_log(said, times);
    let log = running.log();
    let url = log.lines().filter_map(|line| line.split_once(said)).nth(times - 1).unwrap().1;
    url.trim().trim_end_matches('/').to_owned()
}

fn with_page(config: &str) -> String {
    format!("status: {{listen: '127.0.0.1:0'}}\n{config}")
}

/// The value of a metric's sample.
#[track_caller]
pub fn value(metrics: &str, sample: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("`{sample}` is missing in:\n{metrics}")).parse().unwrap()
}

#[test]
fn the_page_says_what_flows_and_the_metrics_count_it() {
    let (date, old) = (minutes_ago(5), minutes_ago(7));
    let api = MockServer::start(move |_, _| page(&[&record(1, &date), &record(2, &old)], None));
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), "").replace("time_interval: 1s", "time_interval: 5");
    let running = Fetcher::new(&with_page(&config)).start();
    running.wait_for_log("iteration done", 1);
    let url = page_of(&running, 1);
    let shown = get(&url);
    assert_eq!(shown.status, 200);
    for text in ["events", "<td>OK</td>", "<td>2</td>", "0 of 1 failed"] {
        shown.assert_has(text);
    }
    let api_page = get(&format!("{url}/api/events"));
    assert_eq!(api_page.headers["content-type"], "text/html; charset=utf-8");
    for text in ["2 records, 1 page in", "(every 5 min)", "/events</dd>", "Complete until", "<svg", "0 left out"] {
        api_page.assert_has(text);
    }
    let metrics = get(&format!("{url}/metrics"));
    assert_eq!(metrics.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let of =
        |name: &str, labels: &str| value(&metrics.text, &format!("logzio_fetcher_{name}{{api=\"events\"{labels}}}"));
    assert_eq!(of("iterations_total", ",outcome=\"success\""), 1.0);
    assert_eq!(of("iterations_total", ",outcome=\"failure\""), 0.0);
    assert_eq!((of("records_shipped_total", ""), of("pages_total", "")), (2.0, 1.0));
    let lines: usize = listener.lines().iter().map(|line| line.len() + 1).sum();
    assert_eq!(of("shipped_bytes_total", ""), lines as f64);
    assert_eq!((of("interval_seconds", ""), of("consecutive_failures", "")), (300.0, 0.0));
    let checkpoint = chrono::DateTime::parse_from_rfc3339(&minutes_ago(5)).unwrap().timestamp() as f64;
    assert!((of("checkpoint_timestamp_seconds", "") - checkpoint).abs() < 30.0);
    assert_eq!(value(&metrics.text, "logzio_fetcher_config_last_reload_successful"), 1.0);
    assert!(value(&metrics.text, "process_resident_memory_bytes") > 1e6);
    assert!(value(&metrics.text, "process_start_time_seconds") > 1.7e9);
    running.stop().assert_code(0);
}

#[test]
fn the_page_says_why_nothing_flows_and_what_to_do() {
    let api = MockServer::start(|_, _| Reply::status(403, "the-basic-key has no right"));
    let listener = MockListener::start().may_be_idle();
    let config = general(api.url(), listener.url(), "").replace("time_interval: 1s", "time_interval: 0.05s");
    let running = Fetcher::new(&with_page(&config)).start();
    running.wait_for_log("iteration failed", 3);
    let url = page_of(&running, 1);
    wait_until("an API that is called failing", || get(&url).text.contains(">failing</td>"));
    let shown = get(&url);
    let host = api.url().strip_prefix("http://").unwrap();
    for text in [&format!("403 from {host}: <b>1 API</b>"), "check the permissions of the account", "(1 failing)"] {
        shown.assert_has(text);
    }
    let api_page = get(&format!("{url}/api/events"));
    for text in ["403 Forbidden: *** has no right", "What to do: ", "probe --api events", "Copy error"] {
        api_page.assert_has(text);
    }
    let (health, ready) = (get(&format!("{url}/healthz")), get(&format!("{url}/readyz")));
    assert_eq!((health.status, ready.status), (200, 503), "alive, and not doing its work");
    ready.assert_has("unhealthy: all 1 APIs");
    assert!(value(&get(&format!("{url}/metrics")).text, "logzio_fetcher_consecutive_failures{api=\"events\"}") >= 3.0);
    running.stop().assert_code(0);
}

#[test]
fn a_faulty_config_is_shown_until_it_is_mended() {
    let api = MockServer::start(|_, _| page(&[], None));
    let good = with_page(&general(api.url(), "http://127.0.0.1:1", ""));
    let running = Fetcher::new(&good).start();
    let url = page_of(&running, 1);
    let change = |text: &str| {
        std::fs::write(running.config_path(), text).unwrap();
        running.signal("HUP");
    };
    change(&good.replace("type: general", "type: <<KIND>>"));
    running.wait_for_log("the config is invalid", 1);
    let shown = get(&url);
    shown.assert_has("The config in the file is invalid");
    shown.assert_has("the placeholder &lt;&lt;KIND&gt;&gt; is still there");
    assert_eq!(value(&get(&format!("{url}/metrics")).text, "logzio_fetcher_config_last_reload_successful"), 0.0);
    change(&good);
    running.wait_for_log("no API has changed", 1);
    assert!(!get(&url).text.contains("is invalid"));
    running.stop().assert_code(0);
}

#[test]
fn nothing_can_be_changed_from_outside_and_nothing_is_loaded_from_elsewhere() {
    let api = MockServer::start(|_, _| page(&[], None));
    let running = Fetcher::new(&with_page(&general(api.url(), "http://127.0.0.1:1", ""))).start();
    let url = page_of(&running, 1);
    for path in
        ["/", "/api/events", "/status.json", "/metrics", "/healthz", "/readyz", "/style.css", "/script.js", "/nothing"]
    {
        let url = format!("{url}{path}");
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer = ask(method, &url).unwrap();
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{method} {path}");
        }
        let answer = get(&url);
        assert_eq!(answer.status, if path == "/nothing" { 404 } else { 200 }, "{path}");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{path}: {policy}");
        for part in ["frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
    }
    let head = ask("HEAD", &url).unwrap();
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    for path in ["/", "/api/events"] {
        let page = get(&format!("{url}{path}")).text;
        assert!(
            !page.contains("http-equiv=\"Content") && !page.contains("style=") && !page.contains("onclick"),
            "{page}"
        );
        for link in ["href=\"", "src=\""].into_iter().flat_map(|mark| page.split(mark).skip(1)) {
            let link = link.split('"').next().unwrap();
            assert!(!link.contains("://") && !link.starts_with("//"), "{link} leads elsewhere");
        }
    }
    running.stop().assert_code(0);
}

#[test]
fn names_and_causes_can_do_nothing_to_the_page_and_the_metrics() {
    let api = MockServer::start(|_, _| Reply::status(400, "</p><script>alert(1)</script>\"'&"));
    let name = r#"</summary><img src=x onerror=alert(1)> "quoted" \back"#;
    let config = general(api.url(), "http://127.0.0.1:1", "").replace("name: events", &format!("name: '{name}'"));
    let running = Fetcher::new(&with_page(&config)).start();
    let url = page_of(&running, 1);
    running.wait_for_log("iteration failed", 1);
    wait_until("the failure on the page", || get(&url).text.contains(">retrying</td>"));
    let page = get(&url).text;
    let link = page.split("<th scope=\"row\"><a href=\"").nth(1).unwrap().split('"').next().unwrap();
    let api_page = get(&format!("{url}/{link}")).text;
    assert!(!page.contains("<img") && !api_page.contains("<img") && !api_page.contains("<script>alert"), "{api_page}");
    assert!(api_page.contains("&lt;script&gt;alert(1)") && api_page.contains("&lt;img src=x"), "{api_page}");
    let metrics = get(&format!("{url}/metrics")).text;
    let label = r#"{api="</summary><img src=x onerror=alert(1)> \"quoted\" \\back"}"#;
    assert_eq!(value(&metrics, &format!("logzio_fetcher_consecutive_failures{label}")), 1.0);
    running.stop().assert_code(0);
}

/// The value at a place of `/status.json`.
fn status_of(url: &str, query: &str) -> serde_json::Value {
    let answer = get(&format!("{url}/status.json{query}"));
    assert_eq!(answer.headers["content-type"], "application/json");
    serde_json::from_str(&answer.text).unwrap()
}

#[test]
fn status_json_has_what_the_page_shows() {
    let (date, is_limited) = (minutes_ago(5), AtomicBool::new(false));
    let api = MockServer::start(move |_, _| match is_limited.fetch_or(true, Ordering::Relaxed) {
        false => page(&[&record(1, &date)], None),
        true => Reply::status(429, "slowly").with("retry-after", "3600"),
    });
    let listener = MockListener::start();
    let running = Fetcher::new(&with_page(&general(api.url(), listener.url(), ""))).start();
    let url = page_of(&running, 1);
    wait_until("a rate limit", || status_of(&url, "")["counts"]["waiting"] == 1);
    let status = status_of(&url, "?api=events");
    assert_eq!((&status["version"], &status["counts"]["apis"]), (&1.into(), &1.into()));
    let shown = &status["apis"][0];
    assert_eq!((&shown["name"], &shown["state"]), (&"events".into(), &"waiting".into()));
    let moment = |name: &str| chrono::DateTime::parse_from_rfc3339(shown[name].as_str().unwrap()).unwrap().to_utc();
    assert!(moment("waiting_until") > chrono::Utc::now() + chrono::TimeDelta::minutes(50));
    assert!(moment("last_success") <= chrono::Utc::now() && moment("newest_event") < moment("last_success"));
    assert_eq!((&shown["totals"]["records"], &shown["records_last_hour"]), (&1.into(), &1.into()));
    assert_eq!((&shown["recent"][0]["records"], &shown["recent"][1]["failed"]), (&1.into(), &true.into()));
    assert!(shown["error"]["cause"].as_str().unwrap().starts_with("429 from 127.0.0.1:"), "{shown}");
    assert_eq!(get(&format!("{url}/status.json?api=nothing")).status, 404);
    get(&url).assert_has(">waiting</td>");
    running.stop().assert_code(0);
}

#[test]
fn any_name_has_a_page_of_its_own() {
    let api = MockServer::start(|_, _| page(&[], None));
    let names = ["a/b", "..", "100%", "%2F", "it''s \"q\"", "\u{1f600}", "a?b#c&d+e f"];
    let entry = |name: &str| {
        format!(
            "  - {{type: general, name: '{name}', credentials: {{id: i, key: k}}, settings: {{time_interval: 1h}}, \
             start_date_name: since, http_request: {{url: '{}/e'}}, json_paths: {{data: data, data_date: date}}}}\n",
            api.url()
        )
    };
    let entries: String = names.iter().map(|name| entry(name)).collect();
    let config = format!("logzio: {{url: 'http://127.0.0.1:1', token: t}}\nauth_apis:\n{entries}");
    let running = Fetcher::new(&with_page(&config)).start();
    let url = page_of(&running, 1);
    let page = get(&url).text;
    let links: Vec<&str> =
        page.split("<th scope=\"row\"><a href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(links.len(), names.len());
    let titles: Vec<String> = links.iter().map(|link| get(&format!("{url}/{link}")).text).collect();
    for name in names {
        let name = name.replace("''", "'").replace('&', "&amp;").replace('"', "&quot;");
        let heading = format!("/ <span>{name}</span></h1>");
        assert_eq!(titles.iter().filter(|page| page.contains(&heading)).count(), 1, "of {name}");
    }
    for path in ["/api/nothing", "/api/", "/api/a/b", "/api/%FF", "/api/events/", "/api"] {
        assert_eq!(get(&format!("{url}{path}")).status, 404, "{path}");
    }
    running.stop().assert_code(0);
}

#[test]
fn no_answer_holds_a_secret() {
    let echo = "the-id the-basic-key shipping-token-1 dGhlLWlkOnRoZS1iYXNpYy1rZXk= custom-secret query-secret";
    let api = MockServer::start(move |_, _| Reply::status(400, echo));
    let more = "    filters: {api_key: query-secret}\n";
    let config = general(api.url(), "http://127.0.0.1:1", more)
        .replace("/events'}", "/events', headers: {X-Api-Key: custom-secret}}");
    let running = Fetcher::new(&with_page(&config)).start();
    let url = page_of(&running, 1);
    running.wait_for_log("iteration failed", 1);
    wait_until("the failure on the page", || get(&url).text.contains(">retrying</td>"));
    get(&format!("{url}/api/events")).assert_has("*** *** ***");
    for path in ["/", "/api/events", "/status.json", "/status.json?api=events", "/metrics", "/healthz", "/readyz"] {
        let text = get(&format!("{url}{path}")).text;
        for secret in ["the-basic-key", "shipping-token-1", "dGhlLWlk", "custom-secret", "query-secret"] {
            assert!(!text.contains(secret), "{secret} is in {path}:\n{text}");
        }
    }
    running.stop().assert_code(0);
}

#[test]
fn without_the_key_there_is_no_page_and_loopback_has_the_report_on_health_alone() {
    let api = MockServer::start(|_, _| page(&[], None));
    let running = Fetcher::new(&general(api.url(), "http://127.0.0.1:1", "")).start();
    running.wait_for_log("iteration done", 1);
    let lock = running.read(".logzio-api-fetcher.lock");
    let url = format!("http://{}", lock.lines().nth(1).unwrap());
    let of = |path: &str| get(&format!("{url}{path}")).status;
    assert_eq!(["/healthz", "/readyz"].map(of), [200; 2]);
    assert_eq!(["/", "/api/events", "/status.json", "/metrics", "/style.css"].map(of), [404; 5]);
    assert!(!running.log().contains("the status page"));
    running.stop().assert_code(0);
}

/// A page from elsewhere whose name is made to lead to loopback would be asked by that name.
#[test]
fn on_loopback_only_this_machine_is_answered() {
    let api = MockServer::start(|_, _| page(&[], None));
    let running = Fetcher::new(&with_page(&general(api.url(), "http://127.0.0.1:1", ""))).start();
    let url = page_of(&running, 1);
    let address = url.strip_prefix("http://").unwrap().to_owned();
    let asked_as = |host: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        let head = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "127.9.9.9", "[::1]:8080"] {
        assert_eq!(asked_as(host), 200, "{host}");
    }
    for host in
        ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example", ""]
    {
        assert_eq!(asked_as(host), 421, "{host}");
    }
    running.stop().assert_code(0);
}

#[test]
fn clients_that_say_nothing_keep_nobody_out() {
    let api = MockServer::start(|_, _| page(&[], None));
    let running = Fetcher::new(&with_page(&general(api.url(), "http://127.0.0.1:1", ""))).start();
    let url = page_of(&running, 1);
    let address = url.strip_prefix("http://").unwrap();
    let idle: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(get(&format!("{url}/healthz")).status, 200);
    // Who says nothing is hung up on after a while; it was answered before that.
    let is_open = |idle: &&TcpStream| {
        idle.set_nonblocking(true).unwrap();
        (&**idle).read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    let open = idle.iter().filter(is_open).count();
    assert!(open > 0, "none of {} is connected any more", idle.len());
    running.stop().assert_code(0);
}

#[test]
fn the_page_moves_begins_and_ends_with_the_config() {
    let api = MockServer::start(|_, _| page(&[], None));
    let plain = general(api.url(), "http://127.0.0.1:1", "").replace("time_interval: 1s", "time_interval: 1h");
    // All of 127.0.0.0/8 is loopback, and port 0 is any that is free.
    let at = |host: &str| format!("status: {{listen: '{host}:0'}}\n{plain}");
    let running = Fetcher::new(&at("localhost")).start();
    let change = |text: &str| {
        std::fs::write(running.config_path(), text).unwrap();
        running.signal("HUP");
    };
    let first = page_of(&running, 1);
    assert_eq!(get(&first).status, 200);
    change(&at("127.0.0.2"));
    let second = page_of(&running, 2);
    assert!(second.starts_with("http://127.0.0.2:") && get(&second).status == 200, "{second}");
    assert!(ask("GET", &first).is_none(), "the old address still answers");
    change(&plain);
    running.wait_for_log("the status page is no longer served", 1);
    wait_until("the end of the page", || ask("GET", &second).is_none());
    assert_eq!(api.asked().len(), 1, "no API notices");
    running.stop().assert_code(0);
}

#[test]
fn an_address_that_is_taken_keeps_no_record_waiting() {
    // From a range of which the system gives none by itself: no other test gets it once it is free.
    let mut ports = std::iter::repeat_with(|| fastrand::u16(20_000..30_000)).take(1_000);
    let taken = ports.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).unwrap();
    let port = taken.local_addr().unwrap().port();
    let date = minutes_ago(5);
    let api = MockServer::start(move |_, _| page(&[&record(1, &date)], None));
    let listener = MockListener::start();
    let config = format!("status: {{listen: '127.0.0.1:{port}'}}\n{}", general(api.url(), listener.url(), ""));
    let running = Fetcher::new(&config).start();
    running.wait_for_log("the status page can't be served there", 1);
    listener.wait_for_lines(1);
    drop(taken);
    assert_eq!(get(&page_of(&running, 1)).status, 200, "it is tried again");
    running.stop().assert_code(0);
}

#[test]
fn the_page_shows_iterations_from_before_a_restart() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |_, before| match before {
        0 => page(&[&record(1, &date), &record(2, &date)], None),
        _ => Reply::Hang,
    });
    let listener = MockListener::start();
    let config = with_page(&general(api.url(), listener.url(), ""));
    let outcome = Fetcher::new(&config).once().assert_code(0);
    let running = Fetcher::again(outcome).start();
    let url = page_of(&running, 1);
    get(&url).assert_has("0 of 1 failed");
    get(&format!("{url}/api/events")).assert_has("UTC: 2 records, 1 page in");
    drop(running.kill());
}
