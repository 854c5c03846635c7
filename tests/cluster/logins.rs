//! Logins of several fetchers with one refresh token, which the server takes once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;

use crate::fetchers::{Asked, Fetcher, MockListener, MockServer, Reply, wait_until};
use crate::harness::Etcd;

const APIS: usize = 12;

/// A token server that takes each refresh token once, as OAuth's best practice has it (RFC 9700, section 4.14.2), and the one
/// before as long as the next wasn't used. An older one revokes all of them, for ever.
#[derive(Default)]
struct TokenServer {
    latest: usize,
    is_revoked: bool,
    rotations: usize,
    is_under_way: bool,
    had_two: bool,
}

/// Answers after a while, in which nobody else may ask.
fn log_in(server: &Mutex<TokenServer>, asked: &Asked) -> Reply {
    let body = asked.text();
    let given = body.split('&').find_map(|field| field.strip_prefix("refresh_token=refresh-"));
    let given: usize = given.and_then(|given| given.parse().ok()).expect("a refresh token");
    {
        let mut server = server.lock().unwrap();
        server.had_two |= std::mem::replace(&mut server.is_under_way, true);
        server.is_revoked |= given + 1 < server.latest || given > server.latest;
        server.latest = given + 1;
        server.rotations += 1;
    }
    std::thread::sleep(Duration::from_millis(20));
    let mut server = server.lock().unwrap();
    server.is_under_way = false;
    if server.is_revoked {
        return Reply::status(400, r#"{"error":"invalid_grant","error_description":"refresh token reuse"}"#);
    }
    let latest = server.latest;
    Reply::json(&format!(r#"{{"access_token":"access-{latest}","refresh_token":"refresh-{latest}","expires_in":2}}"#))
}

fn start() -> (MockServer, Arc<Mutex<TokenServer>>) {
    let server = Arc::<Mutex<TokenServer>>::default();
    let own = Arc::clone(&server);
    let api = MockServer::start(move |asked, _| match asked.path.as_str() {
        "/login" => log_in(&own, asked),
        _ => {
            let date = Utc::now().to_rfc3339();
            Reply::json(&format!(r#"{{"data":[{{"id":"{}-{date}","date":"{date}"}}]}}"#, asked.path))
        }
    });
    (api.forgetful(), server)
}

/// Entries with one refresh token, each with a token request of its own.
fn config(etcd: Option<&Etcd>, api: &MockServer, listener: &MockListener) -> String {
    let mut config = format!("logzio: {{url: '{}', token: shipping-token-1}}\n", listener.url());
    if let Some(etcd) = etcd {
        let endpoints: Vec<String> = etcd.endpoints().iter().map(|endpoint| format!("'{endpoint}'")).collect();
        config.push_str(&format!("cluster: {{etcd: [{}], member: MEMBER}}\n", endpoints.join(", ")));
    }
    config.push_str("oauth_apis:\n");
    for number in 0..APIS {
        config.push_str(&format!(
            "- {{type: general, name: api-{number}, credentials: {{id: i, key: k}}, start_date_name: since, \
             settings: {{time_interval: 0.2s}}, json_paths: {{data: data, data_date: date, id: id}}, \
             token_http_request: {{url: '{0}/login', refresh_token: refresh-0, scope: s{number}}}, \
             data_http_request: {{url: '{0}/api-{number}'}}}}\n",
            api.url()
        ));
    }
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn fetchers_that_are_killed_lose_no_refresh_token_and_never_log_in_at_the_same_time() {
    let etcd = Etcd::one().await;
    let (api, server) = start();
    let listener = MockListener::start().may_be_idle();
    let config = config(Some(&etcd), &api, &listener);
    let fetcher = |number: usize| Fetcher::new(&config.replace("MEMBER", &format!("m{number}"))).start();
    let rotations = || server.lock().unwrap().rotations;
    let mut first = fetcher(0);
    first.wait_for_log("iteration done", APIS);
    for round in 1..3 {
        let second = fetcher(round);
        // Both own APIs, and log in all the time.
        second.wait_for_log("iteration done", 1);
        let before = rotations();
        wait_until("logins", || rotations() > before + 4);
        // Around the answer of the token server.
        std::thread::sleep(Duration::from_millis(7 * round as u64));
        first.kill();
        let before = rotations();
        wait_until("logins of the other one", || rotations() > before + 2 * APIS);
        let log = second.log();
        assert!(!log.contains("no access token"), "round {round}: {log}");
        assert!(!log.contains("refresh-"), "a secret is not printed");
        first = second;
    }
    let state = server.lock().unwrap();
    assert!(!state.is_revoked && !state.had_two, "{} rotations, two at once: {}", state.rotations, state.had_two);
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_tokens_go_into_a_cluster_and_back() {
    let etcd = Etcd::one().await;
    let (api, server) = start();
    let listener = MockListener::start().may_be_idle();
    let (alone, shared) = (config(None, &api, &listener), config(Some(&etcd), &api, &listener));
    let outcome = Fetcher::new(&alone).once().assert_code(0);
    let latest = |text: &str| text.contains(&format!("refresh-{}\"", server.lock().unwrap().latest));
    assert!(latest(&outcome.read("credentials.json")));

    outcome.write("config.yaml", &shared);
    outcome.remove("last_start_dates.txt");
    outcome.remove(".logzio-api-fetcher.store");
    let outcome = Fetcher::again(outcome).start_command(None).wait().assert_code(2);
    let outcome = outcome.assert_says("has refresh tokens that the cluster doesn't know");
    let outcome = Fetcher::again(outcome).run("probe").assert_code(1);
    assert!(outcome.stdout.contains("that of the cluster's members"), "{}", outcome.stdout);
    let outcome = Fetcher::again(outcome).arguments(&["import"]).run("state").assert_code(0);
    let before = outcome.read("credentials.json");
    let running = Fetcher::again(outcome).start();
    running.wait_for_log("iteration done", 2 * APIS);
    let outcome = running.stop().assert_code(0);
    assert_eq!(outcome.read("credentials.json"), before, "in a cluster it stays as it is");
    let outcome = Fetcher::again(outcome).arguments(&["export"]).run("state").assert_code(0);
    assert!(latest(&outcome.read("credentials.json")), "{}", outcome.read("credentials.json"));
    outcome.write("config.yaml", &alone);
    Fetcher::again(outcome).once().assert_code(0);
    assert!(!server.lock().unwrap().is_revoked);
}
