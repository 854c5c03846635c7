//! What the answer to a token request gives: the token, how long it lasts, cookies, the next refresh token. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderValue, SET_COOKIE};
use reqwest::{StatusCode, Url};
use tokio::time::Instant;

use crate::paging::Locator;
use crate::plan::TokenRequest;
use crate::record::date;
use crate::record::json::RawJson;
use crate::record::path::JsonPath;
use crate::template::{Captured, Cookies, Login};
use crate::text::Secret;

/// A token isn't used in the last minute of its life, as it could end on the way; of a short life in its last quarter.
const EARLY: Duration = Duration::from_secs(60);
/// How long a token lasts that doesn't say so.
const LIFE_DEFAULT_S: f64 = 3600.0;
/// The longest life that is believed.
const LIFE_MAX_S: f64 = 30.0 * 24.0 * 3600.0;
/// A larger number is no life but a moment: seconds since 1970.
const MOMENT_S_MIN: f64 = 1e9;
/// The most cookies that are kept: as many as browsers keep for a host (RFC 6265, section 6.1).
const COOKIES_MAX: usize = 50;
/// How the next refresh token is called (RFC 6749, section 6), and how those call it who write names in camel case.
const REFRESH_TOKEN_NAMES: [&str; 2] = ["refresh_token", "refreshToken"];

/// An answer that was understood.
#[derive(Clone, Debug)]
pub(in crate::fetch) struct LoginAnswer {
    pub(in crate::fetch) login: Login,
    /// How long it lasts, as far as the answer says so.
    pub(in crate::fetch) life: Option<Duration>,
    /// The answer's.
    pub(in crate::fetch) status: StatusCode,
    pub(super) asked_at: Instant,
    pub(super) fresh_until: Instant,
    /// The refresh token that counts from now on.
    pub(super) refresh_token: Option<Secret>,
}

/// What a token request was answered.
pub(super) struct RawAnswer<'a> {
    pub(super) status: StatusCode,
    pub(super) body: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) asked_at: Instant,
    /// The wall's clock.
    pub(super) now: DateTime<Utc>,
}

/// Reads an answer (RFC 6749, section 5.1); `expires_in` also as text, as version 1 of Azure's endpoint writes it, and as
/// the moment when the token ends. `None` where it holds no token and must.
pub(super) fn read(answer: &RawAnswer<'_>, request: &TokenRequest) -> Option<LoginAnswer> {
    let body = answer.body.trim_matches(is_around);
    let root = RawJson::parse(body).ok();
    let token = token(body, root, answer.headers, &request.token);
    let cookies = cookies(answer.headers, &request.request.url);
    if token.is_none() && (request.is_token_required || cookies.is_none()) {
        return None;
    }
    let text_at =
        |path: &JsonPath| Some(Captured::of_json(path.first(root?)?.text())?.text().trim_matches(is_around).to_owned());
    let life_s = text_at(&request.expires_in).and_then(|text| life_s(&text, answer.now));
    let life = Duration::from_secs_f64(life_s.unwrap_or(LIFE_DEFAULT_S));
    Some(LoginAnswer {
        login: Login { token, answer: Secret::new(body), cookies },
        life: life_s.map(Duration::from_secs_f64),
        status: answer.status,
        asked_at: answer.asked_at,
        fresh_until: answer.asked_at + life.saturating_sub(EARLY.min(life / 4)),
        refresh_token: root.and_then(|root| refresh_token(root, &request.token)),
    })
}

fn token(body: &str, root: Option<RawJson<'_>>, headers: &HeaderMap, place: &Locator) -> Option<Secret> {
    let text = match place {
        Locator::Header(name) => headers.get(name)?.to_str().ok()?.to_owned(),
        Locator::Body(path) => match root {
            Some(root) => {
                let found = path.first(root)?.text();
                let is_single = !found.trim_start().starts_with(['{', '[']) && !matches!(found, "true" | "false");
                Captured::of_json(found).filter(|_| is_single)?.text()
            }
            // The whole answer may be the token, as plain text.
            None => Some(body).filter(|body| path.text() == "$" && !body.contains(char::is_whitespace))?.to_owned(),
        },
    };
    let text = text.trim_matches(is_around);
    is_header_text(text).then(|| Secret::new(text))
}

/// Beside the access token, or at the top.
fn refresh_token(root: RawJson<'_>, token: &Locator) -> Option<Secret> {
    let mut above = match token {
        Locator::Body(path) => path.keys().unwrap_or_default(),
        Locator::Header(_) => Vec::new(),
    };
    above.pop();
    let beside = above.iter().try_fold(root, |object, key| object.member(key));
    let texts = beside.into_iter().chain([root]).flat_map(|object| {
        REFRESH_TOKEN_NAMES
            .into_iter()
            .filter_map(move |name| serde_json::from_str::<String>(object.member(name)?.text()).ok())
    });
    texts.map(|text| text.trim_matches(is_around).to_owned()).find(|text| !text.is_empty()).map(Secret::new)
}

fn life_s(text: &str, now: DateTime<Utc>) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a life needs no exact milliseconds")]
    let until = |moment: DateTime<Utc>| moment.signed_duration_since(now).num_milliseconds() as f64 / 1000.0;
    let life = match text.parse::<f64>() {
        Ok(number) if number < MOMENT_S_MIN => number,
        // Of no use as a date, it is a life beyond all that is believed.
        Ok(number) => date::parse(text).map_or(number, until),
        Err(_) => until(date::parse(text)?),
    };
    // A token that ends at once is no token: who writes that means something else.
    Some(life).filter(|life| life.is_finite() && *life > 0.0).map(|life| life.min(LIFE_MAX_S))
}

/// The cookies that an answer sets, as the header of later requests; the last of a name counts.
fn cookies(headers: &HeaderMap, url: &Url) -> Option<Cookies> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for value in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
        let (name, value) = value.split(';').next().unwrap_or_default().split_once('=').unwrap_or_default();
        let (name, value) = (name.trim(), value.trim());
        pairs.retain(|(known, _)| *known != name);
        if !name.is_empty() && !value.is_empty() && pairs.len() < COOKIES_MAX {
            pairs.push((name, value));
        }
    }
    if pairs.is_empty() {
        return None;
    }
    let text = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(Cookies { origin: url.clone(), header })
}

/// How the names of values end that nobody may see, in small letters without anything between.
const CREDENTIAL_ENDINGS: [&str; 9] =
    ["token", "secret", "password", "passwd", "jwt", "assertion", "apikey", "session", "sessionid"];
/// The shortest value that is taken for one: what is shorter is a word.
const CREDENTIAL_CHARS_MIN: usize = 6;
/// How deep an answer is looked into.
const DEPTH_MAX: usize = 8;

/// The tokens and cookies that an answer to a token request names, used or not: a refusal may repeat them in its words.
pub(super) fn credentials_in(body: &str, headers: &HeaderMap) -> Vec<Secret> {
    let mut found = Vec::new();
    if let Ok(root) = RawJson::parse(body.trim_matches(is_around)) {
        collect_credentials(root, 0, &mut found);
    }
    for value in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
        let value = value.split(';').next().and_then(|pair| pair.split_once('=')).map(|(_, value)| value.trim());
        found.extend(value.map(str::to_owned));
    }
    found.retain(|text| text.chars().count() >= CREDENTIAL_CHARS_MIN);
    found.into_iter().map(Secret::new).collect()
}

fn collect_credentials(value: RawJson<'_>, depth: usize, found: &mut Vec<String>) {
    if depth > DEPTH_MAX {
        return;
    }
    for member in value.members() {
        let name = member.key.scalar().unwrap_or_default().to_lowercase().replace(['_', '-', '.', ' '], "");
        match member.value.scalar() {
            Some(text) if CREDENTIAL_ENDINGS.iter().any(|ending| name.ends_with(ending)) => {
                found.push(text.into_owned());
            }
            Some(_) => {}
            None => collect_credentials(member.value, depth + 1, found),
        }
    }
    value.elements().for_each(|element| collect_credentials(element, depth + 1, found));
}

/// What slips in around a value: blanks, line breaks, a byte order mark.
fn is_around(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\u{feff}' | '\u{200b}')
}

fn is_header_text(token: &str) -> bool {
    !token.is_empty() && HeaderValue::from_str(token).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::VariablePath;

    fn request(token: &str, is_token_required: bool) -> TokenRequest {
        let url = Url::parse("https://login.example/token").expect("a URL");
        let path = |text: &str| JsonPath::parse(text).expect("a path");
        TokenRequest {
            request: crate::template::RequestTemplate::plain(url),
            token: Locator::Body(path(token)),
            is_token_required,
            expires_in: path("expires_in"),
            refresh_token: None,
            assertion: None,
            identity: None,
        }
    }

    fn read_with(body: &str, headers: &HeaderMap, request: &TokenRequest) -> Option<LoginAnswer> {
        let now = DateTime::from_timestamp(1_716_900_000, 0).unwrap_or_default();
        let asked_at = Instant::now();
        read(&RawAnswer { status: StatusCode::OK, body, headers, asked_at, now }, request)
    }

    fn fresh_s(body: &str) -> Option<u64> {
        let answer = read_with(body, &HeaderMap::new(), &request("access_token", false))?;
        Some((answer.fresh_until - answer.asked_at).as_secs())
    }

    fn value(body: &str, path: &str) -> Option<String> {
        let answer = read_with(body, &HeaderMap::new(), &request(path, true))?;
        answer.login.token.map(|token| token.expose().to_owned())
    }

    #[test]
    fn what_an_answer_names_a_token_is_known_wherever_it_stands() {
        let body = r#"{"error":"invalid_grant","error_code":700082,"token_type":"Bearer","data":[{"refreshToken":"r-12345"}],
            "access_token":"a-12345","id_token":"x","session":{"api-key":"k-12345"}}"#;
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, HeaderValue::from_static("sid=c-12345; Path=/; HttpOnly"));
        let mut found: Vec<String> =
            credentials_in(body, &headers).iter().map(|secret| secret.expose().to_owned()).collect();
        found.sort();
        assert_eq!(found, ["a-12345", "c-12345", "k-12345", "r-12345"], "a token type is none, nor is a single letter");
    }

    #[test]
    fn understands_every_way_to_say_how_long_a_token_lasts() {
        for (life, expected) in [
            ("3599", 3539),
            (r#""3599""#, 3539),
            (r#"" 3599\n""#, 3539),
            ("null", 3540),
            ("60", 45),
            ("10", 7),
            ("-5", 3540),
            ("1e300", 30 * 24 * 3600 - 60),
            ("1716903600", 3540),
            (r#""2024-05-28T13:40:00Z""#, 3540),
            (r#""2024-05-28T12:39:00Z""#, 3540),
        ] {
            assert_eq!(fresh_s(&format!(r#"{{"access_token":"a","expires_in":{life}}}"#)), Some(expected), "{life}");
        }
        assert_eq!(fresh_s(r#"{"access_token":"a"}"#), Some(3540));
        for no_token in [r#"{"access_token":""}"#, r#"{"access_token":"a\u0000b"}"#, r#"{"token":"a"}"#, "{}", "x"] {
            assert_eq!(fresh_s(no_token), None, "{no_token}");
        }
    }

    #[test]
    fn what_slips_in_around_a_token_goes() {
        let value = |body: &str| value(body, "access_token");
        assert_eq!(value("\u{feff} {\"access_token\":\"\u{feff} a.b \\r\\n\"}\n").as_deref(), Some("a.b"));
        assert_eq!(value(r#"{"access_token":"a b"}"#).as_deref(), Some("a b"));
    }

    #[test]
    fn a_token_is_found_under_any_path() {
        assert_eq!(value(r#"{"data":{"session":{"id":"a"}}}"#, "data.session.id").as_deref(), Some("a"));
        assert_eq!(value(r#"[{"token":12}]"#, "[0].token").as_deref(), Some("12"));
        assert_eq!(value(r#""the-token""#, "$").as_deref(), Some("the-token"));
        assert_eq!(value("the-token\n", "$").as_deref(), Some("the-token"));
        assert_eq!(value("<html>an error</html>", "$"), None);
        assert_eq!(value(r#"{"token":{"x":1}}"#, "token"), None);
        let header = HeaderMap::from_iter([(SET_COOKIE, HeaderValue::from_static("a=b"))]);
        let in_header = TokenRequest { token: Locator::Header(SET_COOKIE), ..request("x", true) };
        let answer = read_with("", &header, &in_header).expect("an answer");
        assert_eq!(answer.login.token.map(|token| token.expose().to_owned()).as_deref(), Some("a=b"));
    }

    #[test]
    fn the_next_refresh_token_stands_beside_the_token_or_at_the_top() {
        let refresh = |body: &str, path: &str| {
            let answer = read_with(body, &HeaderMap::new(), &request(path, true)).expect("an answer");
            answer.refresh_token.map(|token| token.expose().to_owned())
        };
        assert_eq!(refresh(r#"{"access_token":"a","refresh_token":"b"}"#, "access_token").as_deref(), Some("b"));
        assert_eq!(refresh(r#"{"d":{"t":"a","refreshToken":"b"},"refresh_token":"c"}"#, "d.t").as_deref(), Some("b"));
        assert_eq!(refresh(r#"{"d":{"t":"a"},"refresh_token":"c"}"#, "d.t").as_deref(), Some("c"));
        assert_eq!(refresh(r#"{"access_token":"a","refresh_token":""}"#, "access_token"), None);
    }

    #[test]
    fn cookies_may_be_all_that_a_login_gives() {
        let set = ["sid=1; Path=/; HttpOnly", "lang=en", "sid=2", "gone=; Max-Age=0", "none"];
        let headers: HeaderMap = set.map(|value| (SET_COOKIE, HeaderValue::from_static(value))).into_iter().collect();
        let answer = read_with("", &headers, &request("access_token", false)).expect("an answer");
        let cookies = answer.login.cookies.expect("cookies");
        assert_eq!(cookies.header.to_str().ok(), Some("lang=en; sid=2"));
        assert!(read_with("", &headers, &request("access_token", true)).is_none(), "a token is asked for");
    }

    #[test]
    fn further_values_of_the_answer_are_there() {
        let body = r#"{"access_token":"a","instance_url":"https://x.example","t":{"n":[7]}}"#;
        let answer = read_with(body, &HeaderMap::new(), &request("access_token", true)).expect("an answer");
        let find =
            |path: &str| answer.login.find(&VariablePath::parse(path).expect("a path")).map(|value| value.text());
        assert_eq!(find("instance_url").as_deref(), Some("https://x.example"));
        assert_eq!((find("t.n[0]").as_deref(), find("none")), (Some("7"), None));
    }
}
