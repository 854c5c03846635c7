//! Signed requests: mocks that make the signature again from what came over the socket.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac};

use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply, general, minutes_ago, record};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac_hex(algorithm: hmac::Algorithm, key: &str, text: &str) -> String {
    hex(hmac::sign(&hmac::Key::new(algorithm, key.as_bytes()), text.as_bytes()).as_ref())
}

/// Two pages, given to whoever signs as expected.
fn api(check: impl Fn(&Asked) -> Result<(), String> + Send + Sync + 'static) -> MockServer {
    let date = minutes_ago(5);
    MockServer::start(move |asked, _| {
        if let Err(what) = check(asked) {
            return Reply::status(401, &what);
        }
        match asked.query.contains("next=") || asked.text().contains("next") {
            true => Reply::json(&format!(r#"{{"data":[{}],"next":null}}"#, record(2, &date))),
            false => Reply::json(&format!(r#"{{"data":[{}],"next":"5,a/b+c"}}"#, record(1, &date))),
        }
    })
}

/// Runs an entry whose keys these are, and expects both pages.
#[track_caller]
fn check(api: &MockServer, request: &str, more: &str) {
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), more)
        .replace("{id: the-id, key: the-basic-key}", "{}")
        .replace("next_url: next", "next_token: next")
        .replace("/events'}", request)
        .replace("    start_date_name: since\n", "");
    let outcome = Fetcher::new(&config).once();
    assert_eq!(outcome.code, Some(0), "{}\n{config}", outcome.stderr);
    assert_eq!(listener.ids(), [1, 2]);
}

/// Cisco Duo: HMAC over the date, the method, the host, the path and the sorted parameters, as the password of Basic.
#[test]
fn duo_takes_the_signature_as_a_password() {
    let api = api(|asked| {
        let date = asked.header("date").ok_or("no Date")?;
        chrono::DateTime::parse_from_rfc2822(date).map_err(|error| error.to_string())?;
        let mut sorted: Vec<&str> = asked.query.split('&').collect();
        sorted.sort_unstable();
        let host = asked.header("host").ok_or("no Host")?;
        let text = [date, &asked.method, host, &asked.path, &sorted.join("&")].join("\n");
        let signature = hmac_hex(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, "the-skey", &text);
        let expected = format!("Basic {}", STANDARD.encode(format!("the-ikey:{signature}")));
        let got = asked.header("authorization").ok_or("no Authorization")?;
        if got == expected { Ok(()) } else { Err(format!("expected a signature of {text:?}")) }
    });
    let more = "    filters: {limit: '1000', maxtime: '{end_date:unix_ms}', mintime: '{start_date:unix_ms}', \
                next: '{next_token}', sort: 'ts:asc'}\n    sign:\n      hmac: sha1\n      key: the-skey\n      \
                text: \"{now:rfc2822}\\n{method}\\n{host}\\n{path}\\n{query}\"\n";
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), more)
        .replace("{id: the-id, key: the-basic-key}", "{id: the-ikey, key: '{signature}'}")
        .replace("next_url: next", "next_token: next")
        .replace("/events'}", "/admin/v2/logs/authentication', headers: {Date: '{now:rfc2822}'}}")
        .replace("    start_date_name: since\n", "");
    let outcome = Fetcher::new(&config).once();
    assert_eq!(outcome.code, Some(0), "{}\n{config}", outcome.stderr);
    assert_eq!(listener.ids(), [1, 2]);
}

/// Darktrace: HMAC over the path with its query, the public token and the date.
#[test]
fn darktrace_takes_the_signature_in_a_header() {
    let api = api(|asked| {
        let [token, date, got] = ["dtapi-token", "dtapi-date", "dtapi-signature"].map(|name| asked.header(name));
        let (token, date) = (token.ok_or("no token")?, date.ok_or("no date")?);
        let text = format!("{}?{}\n{token}\n{date}", asked.path, asked.query);
        let expected = hmac_hex(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, "the-private-token", &text);
        if got == Some(&expected) { Ok(()) } else { Err(format!("expected a signature of {text:?}")) }
    });
    check(
        &api,
        "/modelbreaches', headers: {DTAPI-Token: the-public-token, DTAPI-Date: \"{now:'%Y%m%dT%H%M%S'}\", \
         DTAPI-Signature: '{signature}'}}",
        "    filters: {starttime: '{start_date:unix_ms}', next: '{next_token}'}\n    sign:\n      hmac: sha1\n      \
         key: the-private-token\n      text: \"{path}?{query}\\nthe-public-token\\n{now:'%Y%m%dT%H%M%S'}\"\n",
    );
}

/// Cortex XDR, advanced keys: a hash over the key, a nonce of 64 characters and the time; the body isn't in it.
#[test]
fn cortex_hashes_its_key_with_a_nonce_that_is_new_each_time() {
    let seen = std::sync::Mutex::new(std::collections::HashSet::new());
    let api = api(move |asked| {
        let [nonce, time] = ["x-xdr-nonce", "x-xdr-timestamp"].map(|name| asked.header(name).unwrap_or_default());
        if nonce.len() != 64 || !seen.lock().unwrap().insert(nonce.to_owned()) {
            return Err(format!("a nonce of 64 characters, and never the same: {nonce}"));
        }
        let age = chrono::Utc::now().timestamp_millis() - time.parse::<i64>().map_err(|error| error.to_string())?;
        let expected = hex(digest::digest(&digest::SHA256, format!("the-key{nonce}{time}").as_bytes()).as_ref());
        let is_right = asked.header("authorization") == Some(&expected) && asked.header("x-xdr-auth-id") == Some("7");
        if is_right && age < 30_000 { Ok(()) } else { Err("wrong".to_owned()) }
    });
    check(
        &api,
        "/public_api/v1/audits', method: POST, body: {request_data: {from: '{start_date:unix_ms}', next: '{next_token}'}}, \
         headers: {x-xdr-auth-id: '7', x-xdr-nonce: '{nonce}', x-xdr-timestamp: '{now:unix_ms}', \
         Authorization: '{signature}'}}",
        "    sign: {hash: sha256, key: the-key, text: '{key}{nonce}{now:unix_ms}'}\n",
    );
}

/// A signature over the body's hash, in base64, as the value of a filter: which it is not made of.
#[test]
fn a_signature_may_be_a_filter_and_cover_the_body() {
    let api = api(|asked| {
        let body_hash = hex(digest::digest(&digest::SHA256, &asked.body).as_ref());
        let rest: Vec<&str> = asked.query.split('&').filter(|field| !field.starts_with("sig=")).collect();
        let text = format!("POST {} {} {body_hash}", asked.path, rest.join("&"));
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"the-key");
        let expected = STANDARD.encode(hmac::sign(&key, text.as_bytes()).as_ref());
        let got = crate::harness::decoded(asked.raw_field("sig").ok_or("no sig")?);
        if got == expected { Ok(()) } else { Err(format!("expected a signature of {text:?}")) }
    });
    check(
        &api,
        "/events', method: POST, body: {since: '{start_date}', after: '{next_token}', next_is: '{next_token}'}}",
        "    filters: {a: '1', sig: '{signature}', b: '2'}\n    sign: {hmac: SHA-256, key: the-key, encoding: base64, \
         text: '{method} {path} {query} {body:sha256}'}\n",
    );
}

#[test]
fn a_retry_is_signed_anew_and_nothing_of_it_is_seen() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |asked, before| match before {
        0 => Reply::status(503, &format!("{asked:?}")),
        _ => Reply::json(&format!(r#"{{"data":[{}]}}"#, record(1, &date))),
    });
    let listener = MockListener::start();
    let more = "    sign: {hmac: sha256, key: the-sign-key, text: '{nonce}'}\n";
    let config = general(api.url(), listener.url(), more)
        .replace("/events'}", "/events', headers: {X-Nonce: '{nonce}', X-Signature: 'v1={signature}'}}");
    let outcome = Fetcher::new(&config).arguments(&["--level", "DEBUG"]).once().assert_code(0);
    let asked = api.asked();
    let signature = |at: usize| asked[at].header("x-signature").unwrap().trim_start_matches("v1=").to_owned();
    assert_ne!(signature(0), signature(1));
    let everything = outcome.everything();
    for secret in ["the-sign-key", &signature(0), &signature(1)] {
        assert!(!everything.contains(secret), "`{secret}` is in\n{everything}");
    }
}

#[test]
fn check_refuses_a_signature_that_would_have_to_sign_itself() {
    let more = "    filters: {q: 'x {signature}'}\n    sign: {hmac: sha256, key: k, text: '{query}'}\n";
    let config = general("http://127.0.0.1:1", "http://127.0.0.1:1", more);
    let outcome = Fetcher::new(&config).run("check").assert_code(2);
    assert!(outcome.stdout.contains("`{signature}` stands beside other text"), "{}", outcome.stdout);
    for (sign, told) in [
        ("{key: k, text: x}", "`hmac` or `hash` is missing"),
        ("{hmac: sha1, hash: sha1, key: k, text: x}", "`hash` is there, too"),
        ("{hmac: md4, key: k, text: x}", "it should be sha1, sha256 or sha512"),
        ("{hmac: sha1, text: '{body:md5}'}", "`{body}` has no format `md5`"),
        ("{hmac: sha1, key: k}", "a required key is missing"),
    ] {
        let config = general("http://127.0.0.1:1", "http://127.0.0.1:1", &format!("    sign: {sign}\n"));
        let outcome = Fetcher::new(&config).run("check").assert_code(2);
        assert!(outcome.stdout.contains(told), "{sign}: {}", outcome.stdout);
    }
}
