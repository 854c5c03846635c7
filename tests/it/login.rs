//! Logins of any shape: where the token stands, where it goes, what else the answer gives, and refresh tokens that are
//! taken once only.

use std::sync::{Arc, Mutex};

use crate::harness::{Asked, Fetcher, MockListener, MockServer, Reply, minutes_ago, page, record, wait_until};

/// An OAuth API with this login and these further lines.
fn config(api: &str, listener: &str, login: &str, more: &str) -> String {
    format!(
        "logzio: {{url: '{listener}', token: shipping-token-1}}\noauth_apis:\n- type: general\n  name: o\n  \
         start_date_name: since\n  json_paths: {{data: data, data_date: date, next_url: next}}\n  \
         settings: {{time_interval: 0.05s}}\n  token_http_request: {{url: '{api}/login', {login}}}\n{more}"
    )
}

/// A login that answers so, and data that is given where a request passes the check.
fn api(answer: Reply, check: impl Fn(&Asked) -> bool + Send + Sync + 'static) -> MockServer {
    let date = minutes_ago(5);
    MockServer::start(move |asked, _| match asked.path.as_str() {
        "/login" => answer.clone(),
        _ if check(asked) => page(&[&record(1, &date)], None),
        _ => Reply::status(401, "who are you?"),
    })
}

/// The records that come through, and the login request.
#[track_caller]
fn check(api: &MockServer, login: &str, more: &str) -> Asked {
    let listener = MockListener::start();
    let more = more.replace("API", api.url());
    Fetcher::new(&config(api.url(), listener.url(), login, &more)).once().assert_code(0);
    assert_eq!(listener.ids(), [1]);
    api.asked().remove(0)
}

#[test]
fn a_token_under_any_path_goes_into_any_header() {
    let api = api(Reply::json(r#"{"token":"the-token"}"#), |asked| {
        asked.header("x-auth-token") == Some("jwt the-token") && asked.header("authorization").is_none()
    });
    let login = "token: token, headers: {Content-Type: application/json}, body: {username: me, password: pw}";
    let asked = check(&api, login, "  http_request: {url: 'API/data', headers: {X-Auth-Token: 'jwt {token}'}}\n");
    assert_eq!(asked.text(), r#"{"username":"me","password":"pw"}"#);
}

#[test]
fn a_token_may_stand_in_the_query_and_in_a_scheme_of_its_own() {
    let plain = Reply::status(200, "the-token\n");
    let in_query = api(plain.clone(), |asked| asked.raw_field("session") == Some("the-token"));
    let more = "  http_request: {url: 'API/data'}\n  filters: {session: '{token}'}\n";
    check(&in_query, "token: $, body: user=me&pass=pw", more);
    let in_scheme = api(plain, |asked| asked.header("authorization") == Some("Token the-token"));
    let more = "  http_request: {url: 'API/data', headers: {Authorization: 'Token {token}'}}\n";
    check(&in_scheme, "token: $, body: user=me&pass=pw", more);
    let in_header = Reply::status(204, "").with("X-Subject-Token", "the-token");
    let bearer = api(in_header, |asked| asked.header("authorization") == Some("Bearer the-token"));
    check(&bearer, "token: header.X-Subject-Token, body: user=me", "  http_request: {url: 'API/data'}\n");
}

#[test]
fn cookies_of_a_login_go_along_within_its_origin_and_nowhere_else() {
    let date = minutes_ago(5);
    let other = MockServer::start(move |asked, _| {
        assert!(asked.header("cookie").is_none() && asked.header("authorization").is_some(), "{asked:?}");
        page(&[&record(2, &date)], None)
    });
    let (date, next) = (minutes_ago(6), format!("{}/p2", other.url()));
    let api = MockServer::start(move |asked, _| match asked.path.as_str() {
        "/login" => Reply::json(r#"{"access_token":"t"}"#).with("Set-Cookie", "sid=the-cookie; Path=/; HttpOnly"),
        _ => match asked.header("cookie") {
            Some("sid=the-cookie") => page(&[&record(1, &date)], Some(&next)),
            _ => Reply::status(401, ""),
        },
    });
    let listener = MockListener::start();
    let more = format!(
        "  http_request: {{url: '{}/data'}}\n  hosts: [{{host: '{}', credentials: true}}]\n",
        api.url(),
        other.url()
    );
    Fetcher::new(&config(api.url(), listener.url(), "body: a=b", &more)).once().assert_code(0);
    assert_eq!(listener.ids(), [1, 2]);
}

#[test]
fn a_login_may_give_a_cookie_and_no_token() {
    let answer = Reply::json(r#"{"user":7}"#).with("Set-Cookie", "sid=the-cookie");
    let api = api(answer, |asked| asked.header("cookie") == Some("sid=the-cookie"));
    let asked =
        check(&api, "headers: {Authorization: 'PS-Auth key=k'}, body: ''", "  http_request: {url: 'API/data'}\n");
    assert_eq!((asked.header("authorization"), asked.text().as_str()), (Some("PS-Auth key=k"), ""));
}

#[test]
fn further_values_of_the_answer_stand_in_the_request() {
    let answer = Reply::json(r#"{"access_token":"t","user":{"tenant":"a/b","account":[5]}}"#);
    let api = api(answer, |asked| asked.path == "/a%2Fb/data" && asked.header("x-account") == Some("5"));
    let more =
        "  http_request: {url: 'API/{login.user.tenant}/data', headers: {X-Account: '{login.user.account[0]}'}}\n";
    check(&api, "body: a=b", more);
}

#[test]
fn a_host_that_the_login_tells_is_asked_only_where_hosts_names_it() {
    let date = minutes_ago(5);
    let data = MockServer::start(move |asked, _| {
        assert_eq!((asked.path.as_str(), asked.header("authorization")), ("/v1/data", Some("Bearer the-token")));
        page(&[&record(1, &date)], None)
    });
    let told = data.url().to_owned();
    let login = MockServer::start(move |_, _| {
        Reply::json(&format!(r#"{{"access_token":"the-token","instance_url":"{told}"}}"#))
    });
    let listener = MockListener::start();
    let of = |hosts: &str| {
        let more = format!("  http_request: {{url: '{{login.instance_url}}/v1/data'}}\n{hosts}");
        config(login.url(), listener.url(), "body: a=b", &more)
    };
    let named = format!("  hosts: [{{host: '{}', credentials: true}}]\n", data.url());
    Fetcher::new(&of(&named)).once().assert_code(0);
    assert_eq!(listener.ids(), [1]);
    let before = data.asked().len();
    let other = "  hosts: [{host: 'https://*.vendor.example', credentials: true}]\n";
    Fetcher::new(&of(other)).once().assert_code(1).assert_says("isn't followed unless the entry says `hosts:");
    Fetcher::new(&of("")).run("check").assert_code(2);
    assert_eq!(data.asked().len(), before, "nothing went to a host that the entry doesn't name");
}

#[test]
fn a_client_may_authenticate_by_basic() {
    let api = api(Reply::json(r#"{"access_token":"t"}"#), |asked| asked.header("authorization") == Some("Bearer t"));
    let more = "  credentials: {id: 'a:b', key: 'p w'}\n  http_request: {url: 'API/data'}\n";
    let asked = check(&api, "client_auth: basic, scope: read", more);
    assert_eq!(asked.text(), "grant_type=client_credentials&scope=read");
    // RFC 6749, section 2.3.1: both are encoded as in a form before they are joined.
    assert_eq!(asked.header("authorization"), Some("Basic YSUzQWI6cCUyMHc="));
}

#[test]
fn the_password_grant_is_a_body_like_any_other() {
    let api = api(Reply::json(r#"{"access_token":"t"}"#), |asked| asked.header("authorization") == Some("Bearer t"));
    let login = "body: {grant_type: password, username: me@x.example, password: 'p&w'}";
    let asked = check(&api, login, "  http_request: {url: 'API/data'}\n");
    assert_eq!(asked.text(), "grant_type=password&username=me%40x.example&password=p%26w");
}

/// A token server that takes each refresh token once, as OAuth's best practice has it (RFC 9700, section 4.14.2): with each
/// answer comes the next one. Until that one is used the server takes the one before, too, as an answer may be lost on its
/// way: Auth0 and Okta call it the reuse interval. A token that is older revokes all of them, for ever.
#[derive(Default)]
struct Rotating {
    latest: usize,
    is_revoked: bool,
    rotations: usize,
}

impl Rotating {
    fn answer(&mut self, asked: &Asked) -> Reply {
        let body = asked.text();
        let given = body.split('&').find_map(|field| field.strip_prefix("refresh_token=refresh-"));
        let given: usize = given.and_then(|given| given.parse().ok()).expect("a refresh token");
        if given + 1 == self.latest || given == self.latest {
            self.latest = given + 1;
        } else {
            self.is_revoked = true;
        }
        if self.is_revoked {
            return Reply::status(400, r#"{"error":"invalid_grant","error_description":"refresh token reuse"}"#);
        }
        self.rotations += 1;
        let latest = self.latest;
        Reply::json(&format!(
            r#"{{"access_token":"access-{latest}","refresh_token":"refresh-{latest}","expires_in":3600}}"#
        ))
    }
}

/// An API whose tokens such a server gives; each is refused after one use, so that the next one is asked for.
fn rotating() -> (MockServer, Arc<Mutex<Rotating>>) {
    let state = Arc::<Mutex<Rotating>>::default();
    let (own, date) = (Arc::clone(&state), minutes_ago(5));
    let api = MockServer::start(move |asked, _| match asked.path.as_str() {
        "/login" => own.lock().unwrap().answer(asked),
        _ => page(&[&record(1, &date)], None),
    });
    (api, state)
}

const REFRESH: &str = "refresh_token: refresh-0";
const CLIENT: &str = "  credentials: {id: the-client, key: the-secret}\n";

fn rotating_config(api: &str) -> String {
    config(api, "http://127.0.0.1:1", REFRESH, &format!("{CLIENT}  http_request: {{url: '{api}/data'}}\n"))
}

#[test]
fn a_rotated_refresh_token_is_kept_over_restarts_and_a_new_one_of_the_config_counts() {
    let (api, state) = rotating();
    let listener = MockListener::start();
    let of = |first: &str| {
        rotating_config(api.url()).replace("http://127.0.0.1:1", listener.url()).replace("refresh-0", first)
    };
    let outcome = Fetcher::new(&of("refresh-0")).once().assert_code(0);
    let first = api.asked().remove(0).text();
    assert_eq!(first, "grant_type=refresh_token&client_id=the-client&client_secret=the-secret&refresh_token=refresh-0");
    assert!(outcome.read("credentials.json").contains("refresh-1"));
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert!(outcome.read("credentials.json").contains("refresh-2"), "{}", outcome.read("credentials.json"));
    assert!(!outcome.read("credentials.json").contains("refresh-0"), "its key is no secret");
    // Somebody logs in again by hand: the server begins a new line, and so does the fetcher.
    *state.lock().unwrap() = Rotating { latest: 500, ..Rotating::default() };
    outcome.write("config.yaml", &of("refresh-500"));
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert!(api.asked().iter().any(|asked| asked.text().ends_with("refresh_token=refresh-500")));
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!(state.lock().unwrap().latest, 502);
    // What is edited beside it changes nothing.
    outcome.write("config.yaml", &of("refresh-500").replace("the-secret", "a-new-secret"));
    Fetcher::again(outcome).once().assert_code(0);
    assert_eq!(state.lock().unwrap().latest, 503);
}

/// A hundred kills, each at another moment around the answer. The server as above: it forgives an answer that was lost, and
/// nothing else.
#[test]
fn a_hundred_kills_lose_no_refresh_token() {
    let (api, state) = rotating();
    let mut fetcher = Fetcher::new(&rotating_config(api.url()));
    for turn in 0..100_u64 {
        let before = state.lock().unwrap().rotations;
        let running = fetcher.start();
        wait_until("the token server's answer", || state.lock().unwrap().rotations > before);
        // From the moment of the answer on, over the save, to after it.
        std::thread::sleep(std::time::Duration::from_micros(turn * 60));
        fetcher = Fetcher::again(running.kill());
        assert!(!state.lock().unwrap().is_revoked, "after {turn} kills an old refresh token was sent");
    }
    assert!(state.lock().unwrap().rotations >= 100);
}

#[test]
fn entries_with_one_refresh_token_ask_one_after_the_other() {
    let (api, state) = rotating();
    let one = rotating_config(api.url()).replace("refresh_token:", "scope: a, refresh_token:");
    let (_, entry) = one.split_once("oauth_apis:\n").unwrap();
    let other =
        |name: &str| entry.replace("name: o", &format!("name: {name}")).replace("scope: a", &format!("scope: {name}"));
    let listener = MockListener::start();
    let all = format!("{one}{}{}", other("b"), other("c")).replace("http://127.0.0.1:1", listener.url());
    Fetcher::new(&all).once().assert_code(0);
    let state = state.lock().unwrap();
    assert!(state.rotations == 3 && !state.is_revoked, "{} rotations", state.rotations);
}

#[test]
fn a_refresh_token_that_can_not_be_kept_is_told_and_not_used() {
    let (api, _) = rotating();
    let api = api.may_be_idle();
    let outcome = Fetcher::new(&rotating_config(api.url())).file("credentials.json", "{\"oops").once().assert_code(1);
    let outcome = outcome.assert_says("credentials.json can't be read: it is not valid JSON (line 1)");
    assert!(outcome.stderr.contains("fix the file"), "{}", outcome.stderr);
    assert_eq!(outcome.read("credentials.json"), "{\"oops", "it stays as it is");
    assert!(api.asked().is_empty(), "nothing is asked with a token that may not count any more");
}

#[test]
fn a_refused_refresh_token_is_told_with_what_to_do() {
    let api = MockServer::start(|_, _| Reply::status(400, r#"{"error":"invalid_grant"}"#));
    let outcome = Fetcher::new(&rotating_config(api.url())).once().assert_code(1);
    outcome.assert_says("the refresh token may be expired or revoked: log in again");
}

#[test]
fn probe_keeps_the_refresh_token_that_comes_and_leaves_a_running_fetcher_its_own() {
    let (api, state) = rotating();
    let listener = MockListener::start();
    let config = rotating_config(api.url()).replace("http://127.0.0.1:1", listener.url());
    let outcome = Fetcher::new(&config).run("probe");
    assert!(outcome.read("credentials.json").contains("refresh-1"), "{}", outcome.stdout);
    let running = Fetcher::again(outcome).start();
    running.wait_for_log("iteration done", 1);
    let before = state.lock().unwrap().rotations;
    let beside = std::process::Command::new(env!("CARGO_BIN_EXE_logzio-api-fetcher"))
        .args(["probe", "--config", &running.config_path()])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&beside.stdout).into_owned();
    assert!(told.contains("not asked for, as it needs its refresh token: another fetcher"), "{told}");
    assert_eq!(state.lock().unwrap().rotations, before);
    running.stop().assert_code(0);
}

#[test]
fn no_secret_of_a_login_is_seen_but_in_the_file_for_refresh_tokens() {
    let secrets = ["refresh-0", "refresh-1", "the-access", "the-session", "the-cookie", "the-password", "the-secret"];
    let api = MockServer::start(|asked, _| match asked.path.as_str() {
        "/login" => Reply::json(r#"{"access_token":"the-access","refresh_token":"refresh-1","session":"the-session"}"#)
            .with("Set-Cookie", "sid=the-cookie"),
        _ => Reply::status(400, &format!("{asked:?}")),
    });
    let login = "refresh_token: refresh-0, body: 'password=the-password&refresh_token={refresh_token}'";
    let more =
        format!("{CLIENT}  http_request: {{url: '{}/data', headers: {{X-Session: '{{login.session}}'}}}}\n", api.url());
    let config = config(api.url(), "http://127.0.0.1:1", login, &more);
    let outcome = Fetcher::new(&config).arguments(&["--level", "DEBUG"]).once().assert_code(1);
    outcome.remove("credentials.json");
    let everything = outcome.everything();
    for secret in secrets {
        assert!(!everything.contains(secret), "`{secret}` is in\n{everything}");
    }
}

#[test]
fn check_names_variables_without_their_source() {
    let checked = |more: &str| {
        let config = config("http://127.0.0.1:1", "http://127.0.0.1:1", "body: a=b", more);
        Fetcher::new(&config).run("check").assert_code(2).stdout
    };
    let auth = |text: &str| {
        let config = crate::harness::general("http://127.0.0.1:1", "http://127.0.0.1:1", "").replace("/events'", text);
        Fetcher::new(&config).run("check").assert_code(2).stdout
    };
    let told = auth("/events', headers: {X-T: 'a {token}'}");
    assert!(told.contains("`{token}` stands in the request, and no token request gives it a value"), "{told}");
    let told = auth("/events', headers: {X-S: '{signature}'}");
    assert!(told.contains("`{signature}` stands in the request, and nothing says how it is made"), "{told}");
    let told = auth("/{login.tenant}/events'");
    assert!(told.contains("`{login}` stands in the request"), "{told}");
    let told = checked("  http_request: {url: 'https://{login.host}/x'}\n");
    assert!(told.contains("the login tells the host, and no entry of `hosts` says which it may be"), "{told}");
}

/// Dates of token requests, of passwords and of data requests are those of one clock.
#[test]
fn a_date_without_a_zone_is_written_in_the_zone_of_the_entry_in_every_request() {
    let tokyo = || (chrono::Utc::now() + chrono::TimeDelta::hours(9)).format("%Y-%m-%dT%H").to_string();
    let before = tokyo();
    let api = api(Reply::json(r#"{"access_token":"t"}"#), |_| true);
    let listener = MockListener::start();
    let more = format!(
        "  http_request: {{url: '{}/data', headers: {{X-Now: \"{{now:'%Y-%m-%dT%H'}}\"}}}}\n  settings: {{time_interval: 1, \
         timezone: Asia/Tokyo}}\n",
        api.url()
    );
    let login = "headers: {X-Now: \"{now:'%Y-%m-%dT%H'}\"}, body: {at: \"{now:'%Y-%m-%dT%H'}\"}";
    let config = config(api.url(), listener.url(), login, &more).replace("  settings: {time_interval: 0.05s}\n", "");
    Fetcher::new(&config).once().assert_code(0);
    let basic = config.replace("oauth_apis", "auth_apis").replace("  token_http_request", "  # ");
    let basic = format!("{basic}  credentials: {{id: me, key: \"{{now:'%Y-%m-%dT%H'}}\"}}\n");
    Fetcher::new(&basic).once().assert_code(0);
    let (asked, is_now) = (api.asked(), |text: &str| text == before || text == tokyo());
    let [login, data, with_password] = &asked[..] else { panic!("{asked:?}") };
    let form = crate::harness::decoded(login.text().strip_prefix("at=").unwrap());
    assert!(is_now(login.header("x-now").unwrap()) && is_now(&form), "{login:?}");
    assert!(is_now(data.header("x-now").unwrap()), "{data:?}");
    let password = with_password.header("authorization").unwrap().strip_prefix("Basic ").unwrap();
    let password = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, password).unwrap();
    assert!(is_now(String::from_utf8(password).unwrap().strip_prefix("me:").unwrap()), "{with_password:?}");
}

/// Google's token endpoint, as far as it looks: the grant, the claims, the signature.
#[test]
fn a_service_account_gets_its_token_by_a_signed_jwt() {
    let api = api(Reply::json(r#"{"access_token":"t","expires_in":3599}"#), |asked| {
        asked.header("authorization") == Some("Bearer t")
    });
    let key = include_str!("../cases/keys/rsa.pem");
    let file = serde_json::json!({ "type": "service_account", "client_email": "me@x.example", "private_key_id": "k1",
        "private_key": key, "token_uri": "https://oauth2.example/token" });
    let listener = MockListener::start();
    let more = format!("  http_request: {{url: '{}/data'}}\n", api.url());
    let login = "scope: 'a b', assertion: {file: key.json, subject: admin@x.example}";
    let config = config(api.url(), listener.url(), login, &more);
    let outcome = Fetcher::new(&config).file("key.json", &file.to_string()).once().assert_code(0);
    assert_eq!(listener.ids(), [1]);
    let body = api.asked().remove(0).text();
    let jwt = body
        .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
        .unwrap_or_else(|| panic!("{body}"));
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let decoded = |part: &str| base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, part).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&decoded(signed.split('.').nth(1).unwrap())).unwrap();
    assert_eq!((&claims["sub"], &claims["scope"]), (&"admin@x.example".into(), &"a b".into()));
    assert!((claims["iat"].as_i64().unwrap() - chrono::Utc::now().timestamp()).abs() < 60, "{claims}");
    let der = <rustls::pki_types::PrivateKeyDer as rustls::pki_types::pem::PemObject>::from_pem_slice(key.as_bytes())
        .unwrap();
    let pair = ring::signature::RsaKeyPair::from_pkcs8(der.secret_der()).unwrap();
    let public = ring::signature::KeyPair::public_key(&pair).as_ref().to_vec();
    ring::signature::UnparsedPublicKey::new(&ring::signature::RSA_PKCS1_2048_8192_SHA256, public)
        .verify(signed.as_bytes(), &decoded(signature))
        .expect("the signature is right");
    assert!(!outcome.stderr.contains(signature), "{}", outcome.stderr);
}

#[test]
fn a_client_with_a_key_of_its_own_says_so_by_a_signed_jwt() {
    let api = api(Reply::json(r#"{"access_token":"t"}"#), |asked| asked.header("authorization") == Some("Bearer t"));
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let listener = MockListener::start();
    let more = format!("  credentials: {{id: the-client}}\n  http_request: {{url: '{}/data'}}\n", api.url());
    let login = "scope: read, assertion: {file: key.pem, key_id: k1}";
    let config = config(api.url(), listener.url(), login, &more);
    Fetcher::new(&config).file("key.pem", &key).once().assert_code(0);
    let body = api.asked().remove(0).text();
    let before = "grant_type=client_credentials&client_id=the-client&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3A\
                  client-assertion-type%3Ajwt-bearer&client_assertion=";
    assert!(body.starts_with(before) && body.ends_with("&scope=read"), "{body}");
    let wrong = Fetcher::new(&config).file("key.pem", "no key").run("check").assert_code(2);
    assert!(wrong.stdout.contains("the file key.pem holds no private key in PEM form"), "{}", wrong.stdout);
}
