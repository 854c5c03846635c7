//! Secrets are sent where they belong and written nowhere.

use crate::harness::{Fetcher, MockListener, MockServer, Reply, general, minutes_ago, page, record};

const SECRETS: [&str; 10] = [
    "the-client",
    "the-basic-key",
    "dGhlLWlkOnRoZS1iYXNpYy1rZXk",
    "shipping-token-1",
    "the-client-secret",
    "the-access-token",
    "the-header-secret",
    "the-query-key",
    "the-body-secret",
    "the%2Dclient%2Dsecret",
];

fn assert_silent(everything: &str) {
    for secret in SECRETS {
        assert!(!everything.contains(secret), "`{secret}` is in\n{everything}");
    }
}

/// What a server says of a part of what it was sent.
#[test]
fn no_part_of_a_body_is_seen() {
    let api =
        MockServer::start(|_, _| Reply::status(400, r#"{"message":"bad key the-body-secret and the-header-secret"}"#));
    let config = general(api.url(), "http://127.0.0.1:1", "").replace(
        "/events'}",
        "/events', method: POST, body: {a: [{password: the-body-secret}]}, headers: {X-Key: Key the-header-secret}}",
    );
    let outcome = Fetcher::new(&config).once().assert_code(1).assert_says("bad key *** and ***");
    assert_silent(&outcome.everything());
}

/// Errors name the keys of an answer, and some answers have what they were sent for keys.
#[test]
fn no_secret_that_is_a_key_of_an_answer_is_seen() {
    let long = "k".repeat(60);
    let in_place = |key: &str| [format!(r#"{{"{key}":1}}"#), format!(r#"{{"data":[{{"{key}":1}}],"next":null}}"#)];
    for key in ["the-basic-key", "the\\u002dbasic-key", "dGhlLWlkOnRoZS1iYXNpYy1rZXk=", &long] {
        for answer in in_place(key) {
            let api = MockServer::start(move |_, _| Reply::json(&answer));
            let config = general(api.url(), "http://127.0.0.1:1", "");
            let config = if key == long { config.replace("the-basic-key", &long) } else { config };
            let outcome = Fetcher::new(&config).once().assert_code(1).assert_says("the keys there are not shown");
            let everything = outcome.everything();
            assert_silent(&everything);
            assert!(!everything.contains("kkkkk"), "a piece of it is in\n{everything}");
        }
    }
    let oauth = MockServer::start(|asked, _| match asked.path.as_str() {
        "/token" => Reply::json(r#"{"access_token":"the-access-token"}"#),
        _ => Reply::json(r#"{"the-access-token":1}"#),
    });
    let config = format!(
        "logzio: {{url: 'http://127.0.0.1:1', token: t}}\noauth_apis:\n- {{type: general, name: a, credentials: {{id: i, key: k}}, \
         token_http_request: {{url: '{0}/token'}}, http_request: {{url: '{0}/a'}}, start_date_name: since, settings: \
         {{time_interval: 1}}, json_paths: {{data: data, data_date: date, next_url: next}}}}\n",
        oauth.url()
    );
    let outcome = Fetcher::new(&config).once().assert_code(1).assert_says("the keys there are not shown");
    assert_silent(&outcome.everything());
}

/// A key may have blanks around it, which then belong to it.
#[test]
fn a_key_with_blanks_is_sent_whole_and_seen_in_no_spelling() {
    let api = MockServer::start(|asked, _| Reply::status(400, asked.header("authorization").unwrap()));
    let config = general(api.url(), "http://127.0.0.1:1", "").replace("the-basic-key", "' the-basic-key '");
    let outcome = Fetcher::new(&config).once().assert_code(1).assert_says("answered 400 Bad Request: Basic ***");
    assert_eq!(api.asked()[0].header("authorization"), Some("Basic dGhlLWlkOiB0aGUtYmFzaWMta2V5IA=="));
    assert!(!outcome.everything().contains("dGhlLWlkOiB0"), "{}", outcome.stderr);
}

/// Servers that echo all they are asked, with every status.
#[test]
fn servers_that_echo_secrets_cannot_make_them_seen() {
    let api = MockServer::start(|asked, before| {
        let echo = format!("{asked:?} {}", asked.text());
        match before % 4 {
            0 => Reply::status(503, &echo),
            1 => Reply::status(
                429,
                &format!(r#"{{"error":{{"code":"x","message":{}}}}}"#, serde_json::Value::from(echo)),
            ),
            2 => Reply::status(302, "").with("Location", "http://127.0.0.1:1/?the-query-key"),
            _ => Reply::status(400, &echo),
        }
    });
    let listener = MockListener::start().may_be_idle();
    let config = general(api.url(), listener.url(), "    filters: {api_key: the-query-key}\n").replace(
        "/events'}",
        "/events', method: POST, body: {password: the-body-secret}, headers: {X-Key: the-header-secret}}",
    );
    let outcome = Fetcher::new(&config).arguments(&["--level", "DEBUG"]).once().assert_code(1);
    assert!(outcome.stderr.contains("***"), "{}", outcome.stderr);
    assert_silent(&outcome.everything());
}

/// What stands in the URL of a later page or iteration only, and comes back from the server.
#[test]
fn no_secret_of_a_later_url_is_seen() {
    let asked_later = |later: &str, runs: usize| {
        let api = MockServer::start(|asked, _| match asked.query.contains("api_key") {
            true => Reply::status(403, &format!("what is {}?", asked.query)),
            false => Reply::json(&format!(r#"{{"data":[{}],"at":"x1"}}"#, record(1, &minutes_ago(5)))),
        });
        let listener = MockListener::start().may_be_idle();
        let config = general(api.url(), listener.url(), &format!("    {}\n", later.replace("API", api.url())))
            .replace("next_url: next, ", "");
        let mut outcome = Fetcher::new(&config).once();
        for _ in 1..runs {
            outcome = Fetcher::again(outcome.assert_code(0)).once();
        }
        let outcome = outcome.assert_code(1).assert_says("what is ").assert_says("***");
        assert_silent(&outcome.everything());
    };
    asked_later("next_request: {url: 'API/events?api_key=the-query-key&page={page}'}", 1);
    asked_later("next_request: {append: '?page={page}&api_key=the-query-key'}", 1);
    asked_later("next_iteration: {url: 'API/events?api_key=the-query-key&after={res.at}'}", 2);
}

#[test]
fn a_token_server_and_a_listener_that_echo_neither() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |asked, before| match (asked.path.as_str(), before) {
        ("/token", 0) => Reply::status(500, &asked.text()),
        ("/token", _) => Reply::json(r#"{"access_token":"the-access-token","expires_in":"3599"}"#),
        ("/data", 2) => Reply::status(503, &format!("{asked:?}")),
        _ => page(&[&record(1, &date)], None),
    });
    let listener = MockListener::answering(|_, before| match before {
        0 => Reply::status(500, "token=shipping-token-1"),
        _ => Reply::status(404, "shipping-token-1"),
    });
    let config = format!(
        "logzio: {{url: '{}', token: shipping-token-1}}\noauth_apis:\n- type: general\n  name: o\n  \
         credentials: {{id: the-client, key: the-client-secret}}\n  token_http_request: {{url: '{}/token'}}\n  \
         http_request: {{url: '{}/data'}}\n  start_date_name: since\n  \
         json_paths: {{data: data, data_date: date, next_url: next}}\n  settings: {{time_interval: 1}}\n",
        listener.url(),
        api.url(),
        api.url()
    );
    let outcome = Fetcher::new(&config).arguments(&["--level", "DEBUG", "--log-format", "json"]).once().assert_code(1);
    assert_silent(&outcome.everything());
}

/// A login whose answers name tokens that nothing uses, and repeat them in their words; servers that echo what they are sent.
#[test]
fn no_token_or_cookie_of_any_answer_of_a_login_is_seen_anywhere() {
    const GIVEN: [&str; 9] = [
        "access-one-123",
        "refresh-two-123",
        "cookie-three-123",
        "id-four-123",
        "access-five-123",
        "refresh-six-123",
        "cookie-seven-123",
        "refresh-first-123",
        "refresh%2Dsix%2D123",
    ];
    let date = minutes_ago(5);
    let api = MockServer::start(move |asked, before| {
        match (asked.path.as_str(), before) {
        ("/token", 0) => Reply::json(
            r#"{"access_token":"access-one-123","refresh_token":"refresh-two-123","id_token":"id-four-123","expires_in":3600}"#,
        )
        .with("Set-Cookie", "sid=cookie-three-123; Path=/"),
        ("/token", _) => Reply::status(
            400,
            r#"{"error":"invalid_grant","error_description":"refresh-two-123 was replaced by refresh-six-123, see access-five-123 of cookie-seven-123","new":[{"refreshToken":"refresh-six-123","access_token":"access-five-123"}]}"#,
        )
        .with("Set-Cookie", "sid=cookie-seven-123"),
        // What it was sent, and what the login told.
        (_, 1) => Reply::status(400, &format!("{asked:?} refresh-two-123 id-four-123")),
        (_, 2) => page(&[&record(1, &date)], None),
        _ => Reply::status(401, &format!("{asked:?} refresh-two-123 id-four-123")),
    }
    });
    let listener = MockListener::start().may_be_idle();
    let config = format!(
        "status: {{listen: '127.0.0.1:0'}}\nlogzio: {{url: '{}', token: shipping-token-1}}\noauth_apis:\n- type: general\n  name: o\n  \
         credentials: {{id: the-client, key: the-client-secret}}\n  \
         token_http_request: {{url: '{1}/token', refresh_token: refresh-first-123}}\n  http_request: {{url: '{1}/data'}}\n  \
         start_date_name: since\n  json_paths: {{data: data, data_date: date, next_url: next}}\n  settings: {{time_interval: 0.2s}}\n",
        listener.url(),
        api.url()
    );
    let running = Fetcher::new(&config).start();
    running.wait_for_log("invalid_grant", 1);
    let url = crate::status::page_of(&running, 1);
    let mut seen = String::new();
    for place in ["", "/api/o", "/status.json", "/metrics"] {
        let answer = crate::status::get(&format!("{url}{place}"));
        let tells = ["/api/o", "/status.json"].contains(&place);
        assert!(!tells || answer.text.contains("***"), "{place} tells of the refusal:\n{}", answer.text);
        seen.push_str(&answer.text);
    }
    let outcome = running.stop();
    let kept = outcome.read("credentials.json");
    assert!(kept.contains("refresh-two-123") && !kept.contains("access-one-123"), "{kept}");
    std::fs::remove_file(outcome.path().join("credentials.json")).unwrap();
    seen.push_str(&outcome.everything());
    for token in GIVEN {
        assert!(!seen.contains(token), "`{token}` is in\n{seen}");
    }
    assert_silent(&seen);
}

#[test]
fn a_token_request_that_is_refused_says_why() {
    let api = MockServer::start(|_, _| {
        Reply::status(
            401,
            r#"{"error":"invalid_client","error_description":"AADSTS7000215: the-client-secret is wrong"}"#,
        )
    });
    let config = format!(
        "logzio: {{url: 'http://127.0.0.1:1', token: shipping-token-1}}\noauth_apis:\n- type: azure_graph\n  name: o\n  \
         credentials: {{id: the-client, key: the-client-secret}}\n  token_http_request: {{url: '{}/token'}}\n  \
         http_request: {{url: '{}/data'}}\n  json_paths: {{data_date: date}}\n  settings: {{time_interval: 1}}\n",
        api.url(),
        api.url()
    );
    let outcome =
        Fetcher::new(&config).once().assert_code(1).assert_says("invalid_client: AADSTS7000215: *** is wrong");
    assert_eq!(api.asked().len(), 1, "asking again does not help");
    assert_silent(&outcome.everything());
}

#[test]
fn a_value_that_does_not_fit_its_tag_is_not_shown() {
    for tag in ["int", "float", "bool", "null"] {
        let config = general("http://127.0.0.1:1", "http://127.0.0.1:1", "")
            .replace("key: the-basic-key", &format!("key: !!{tag} the-basic-key"));
        let outcome = Fetcher::new(&config).run("check").assert_code(2).assert_says("a value does not fit its tag");
        assert_silent(&outcome.everything());
    }
}

/// In a path, in the value of a filter, in the name of a parameter, in a token's URL, in the listener's.
#[test]
fn what_is_filled_in_is_a_secret_wherever_it_stands() {
    const FILLED: &str = "Sup3r/Secret-0123456789";
    let shown_as = |text: &str| {
        let html = text.replace('/', "&#x2F;").replace('-', "&#45;");
        let json = text.replace('/', "\\/");
        let lower = text.replace('/', "%2f");
        let inside = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, format!("bot:{text}:x"));
        format!("{text} {html} {json} {lower} {inside}")
    };
    for (status, place) in [(404, "path"), (400, "filter"), (400, "name"), (401, "token"), (200, "path")] {
        let api = MockServer::start(move |asked, _| match status {
            200 => page(&[&record(1, &minutes_ago(5))], None),
            _ => Reply::status(status, &format!("{} {}", shown_as(FILLED), asked.query)),
        });
        let listener = MockListener::start().may_be_idle();
        let entry = general(api.url(), listener.url(), "    filters: {tenant: v}\n").replace(
            "filters: {tenant: v}",
            match place {
                "filter" => "filters: {tenant: '${SECRET}'}",
                _ => "filters: {a: b}",
            },
        );
        let config = match place {
            "path" => entry.replace("/events'", "/bot${SECRET}/events'"),
            "name" => entry.replace("start_date_name: since", "start_date_name: '${SECRET}'"),
            "token" => entry.replace("auth_apis", "oauth_apis").replace(
                "start_date_name",
                &format!("token_http_request: {{url: '{}/${{SECRET}}'}}\n    start_date_name", api.url()),
            ),
            _ => entry,
        };
        for command in ["once", "probe", "state", "check"] {
            let fetcher = Fetcher::new(&config).variable("SECRET", FILLED).arguments(&["--level", "DEBUG"]);
            let outcome = fetcher.run(command);
            let everything = outcome.everything();
            for piece in ["0123456789", "Sup3r", "U3VwM3I"] {
                assert!(!everything.contains(piece), "{place}, {status}, {command}: {everything}");
            }
            if command == "once" && status == 404 {
                assert!(everything.contains("/bot***/events answered 404"), "{everything}");
            }
        }
    }
    let config = general("http://127.0.0.1:1", "http://127.0.0.1:1/${SECRET}", "");
    let outcome =
        Fetcher::new(&config).variable("SECRET", FILLED).arguments(&["--listener"]).run("probe").assert_code(1);
    outcome.assert_says("http://127.0.0.1:1/*** ").assert_says("nobody listens there");
}

#[test]
fn no_slip_makes_a_config_show_a_secret() {
    const SECRET: &str = "hunter2-Prod-Secret";
    let good = general("http://127.0.0.1:1", "http://127.0.0.1:1", "    status: {}\n");
    for (part, slip) in [
        ("key: the-basic-key", "key:hunter2-Prod-Secret"),
        ("key: the-basic-key", "hunter2-Prod-Secret"),
        ("key: the-basic-key", "keyhunter2-Prod-Secret: x"),
        ("key: the-basic-key", "key: '${KEY:-hunter2-Prod-Secret}'"),
        ("key: the-basic-key", "key: '${hunter2-Prod-Secret}'"),
        ("key: the-basic-key", "key: '${file:hunter2-Prod-Secret}'"),
        ("key: the-basic-key", "key: <<hunter2-Prod-Secret>>"),
        ("key: the-basic-key", "hunter2-Prod-Secret: 1, hunter2-Prod-Secret: 2"),
        ("token: shipping-token-1", "token:hunter2-Prod-Secret"),
        ("type: general", "type: hunter2-Prod-Secret"),
        ("type: general", "type: '${S}'"),
        ("/events'", "/events', headers: {'A hunter2-Prod-Secret': x}"),
        ("/events'", "/events', headers: {'hunter2-Prod-Secret': \"a\\nb\"}"),
        ("data: data,", "data: '${S}[',"),
        ("    status: {}\n", "hunter2-Prod-Secret: 1\n"),
    ] {
        assert!(good.contains(part), "{part}");
        let fetcher = Fetcher::new(&good.replace(part, slip)).variable("S", SECRET);
        let outcome = fetcher.run("check");
        assert!(outcome.stdout.contains("error") || outcome.stdout.contains("warning"), "{slip}: {}", outcome.stdout);
        assert!(!outcome.everything().contains("hunter2"), "{slip}: {}", outcome.everything());
    }
    let outcome = Fetcher::new(&good.replace("key: the-basic-key", "key:hunter2, x: y")).run("check").assert_code(2);
    outcome.assert_says("`key:` needs a blank behind its colon").assert_says("credentials.x: unknown key");
}

#[test]
fn a_faulty_config_shows_no_values() {
    let config = "logzio: {url: 'http://h?token=shipping-token-1', tokn: shipping-token-1}\nauth_apis:\n- type: general\n  name: a\n  \
                  credentials: {id: [the-basic-key], key: {a: the-basic-key}}\n  http_request: {url: 'the-query-key', headers: {a: \"the-header-secret\\n\"}}\n";
    let outcome = Fetcher::new(config).variable("A", "b").run("check").assert_code(2);
    assert_silent(&outcome.everything());
}
