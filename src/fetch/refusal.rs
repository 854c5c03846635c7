//! Whether an answer refuses the access token, whatever its status. Pure.

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use serde_json::Value;

/// How an answer refuses a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// By a status that means nothing else, or by a redirect to a login page.
    Clear,
    /// By a status that mostly means something else, with a word that means this.
    Unclear,
}

/// Codes that mean a dead token, in small letters without anything between (RFC 6750, Graph, Slack, Salesforce, Dropbox,
/// gRPC, Apigee, and what is common).
const CODES: [&str; 26] = [
    "invalidtoken",
    "tokeninvalid",
    "tokenexpired",
    "expiredtoken",
    "tokenisexpired",
    "tokenhasexpired",
    "tokenrevoked",
    "tokennotvalid",
    "invalidaccesstoken",
    "accesstokeninvalid",
    "accesstokenexpired",
    "expiredaccesstoken",
    "invalidauthtoken",
    "authtokenexpired",
    "invalidauthenticationtoken",
    "expiredauthenticationtoken",
    "authenticationexpired",
    "invalidbearertoken",
    "invalidjwt",
    "jwtexpired",
    "expiredjwt",
    "invalidauth",
    "sessionexpired",
    "invalidsessionid",
    "unauthenticated",
    "notauthed",
];
/// Codes that mean a rate limit: Google's, AWS's, and what is common.
const LIMITS: [&str; 11] = [
    "ratelimitexceeded",
    "userratelimitexceeded",
    "ratelimited",
    "ratelimitreached",
    "quotaexceeded",
    "dailylimitexceeded",
    "requestlimitexceeded",
    "toomanyrequests",
    "throttling",
    "throttlingexception",
    "requestthrottled",
];
/// Words by which a 403 is told to be a rate limit (GitHub's secondary one has nothing else).
const LIMIT_WORDS: [&str; 6] = [
    "rate limit exceeded",
    "secondary rate limit",
    "rate limit has been exceeded",
    "exceeded the rate limit",
    "exceeded your rate limit",
    "too many requests",
];
/// Where errors name their code.
const CODE_KEYS: [&str; 9] =
    ["error", "code", "errorCode", "error_code", "errorcode", "status", "reason", "__type", "errorType"];
/// Where errors have more of them.
const INNER_KEYS: [&str; 8] =
    ["error", "errors", "fault", "detail", "details", "innerError", "innererror", "extensions"];
/// How deep they are looked for.
const DEPTH_MAX: usize = 4;
/// How many entries of a list of errors are looked at.
const ERRORS_MAX: usize = 10;
/// A longer text is no code.
const CODE_CHARS_MAX: usize = 100;

/// Whether an answer that is no success refuses the token.
pub(super) fn of(status: StatusCode, headers: &HeaderMap, body: &str) -> Option<Refusal> {
    match status.as_u16() {
        // 419, 440 and 498 are nobody's standard, and mean an expired login wherever they are used.
        401 | 419 | 440 | 498 => Some(Refusal::Clear),
        400 | 403 if says_invalid_token(headers) || has_code(body, &CODES) => Some(Refusal::Unclear),
        _ => None,
    }
}

/// Whether a success is an error that refuses the token: small, with an error in it whose code means it.
pub(super) fn of_success(text: &str) -> bool {
    let Ok(json) = serde_json::from_str::<Value>(text) else { return false };
    let is = |name: &str, word: &Value| json.get(name) == Some(word);
    let is_error = ["error", "errors", "fault"].iter().any(|name| json.get(name).is_some_and(is_something))
        || is("success", &Value::Bool(false))
        || is("ok", &Value::Bool(false))
        || is("status", &Value::from("error"));
    is_error && codes(&json, DEPTH_MAX).iter().any(|code| CODES.contains(&code.as_str()))
}

/// Whether an answer of this status is a rate limit, though its headers don't say so.
pub(super) fn is_limit(status: StatusCode, body: &str) -> bool {
    match status {
        StatusCode::FORBIDDEN => {
            let words = body.to_lowercase();
            has_code(body, &LIMITS) || LIMIT_WORDS.iter().any(|sign| words.contains(sign))
        }
        StatusCode::BAD_REQUEST => has_code(body, &LIMITS),
        _ => false,
    }
}

/// `WWW-Authenticate: Bearer error="invalid_token"` (RFC 6750, section 3).
fn says_invalid_token(headers: &HeaderMap) -> bool {
    parameter(headers, "error").is_some_and(|error| error.eq_ignore_ascii_case("invalid_token"))
}

/// A parameter of `WWW-Authenticate`, whatever the scheme.
pub(super) fn parameter(headers: &HeaderMap, name: &str) -> Option<String> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    values.into_iter().find_map(|value| {
        let lower = value.to_ascii_lowercase();
        let starts = lower.match_indices(name).map(|(at, _)| at);
        starts.into_iter().find_map(|at| {
            let before = lower.get(..at)?.chars().next_back();
            let rest = value.get(at + name.len()..)?.trim_start().strip_prefix('=')?.trim_start();
            before.is_none_or(|c| matches!(c, ' ' | ',' | '\t')).then(|| quoted_or_token(rest))
        })
    })
}

fn quoted_or_token(text: &str) -> String {
    match text.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or_default().to_owned(),
        None => text.split([',', ' ']).next().unwrap_or_default().to_owned(),
    }
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

fn has_code(body: &str, known: &[&str]) -> bool {
    let json = serde_json::from_str::<Value>(body);
    json.is_ok_and(|json| codes(&json, DEPTH_MAX).iter().any(|code| known.contains(&code.as_str())))
}

/// The codes of an error, in small letters without anything between; of `a.b.Code` the last part, too.
fn codes(json: &Value, depth: usize) -> Vec<String> {
    let Some(depth) = depth.checked_sub(1) else { return Vec::new() };
    let mut found = Vec::new();
    match json {
        Value::Object(fields) => {
            for text in CODE_KEYS.iter().filter_map(|key| fields.get(*key)?.as_str()) {
                if text.chars().count() <= CODE_CHARS_MAX && !text.trim().contains(char::is_whitespace) {
                    let last = text.rsplit(['.', '#', ':']).next().unwrap_or_default();
                    found.extend([plain(text), plain(last)]);
                }
            }
            found.extend(INNER_KEYS.iter().filter_map(|key| fields.get(*key)).flat_map(|inner| codes(inner, depth)));
        }
        Value::Array(items) => found.extend(items.iter().take(ERRORS_MAX).flat_map(|item| codes(item, depth))),
        _ => {}
    }
    found
}

fn plain(code: &str) -> String {
    code.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn headers(www_authenticate: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_static(www_authenticate))])
    }

    #[track_caller]
    fn check(status: u16, header: &'static str, body: &str, expected: Option<Refusal>) {
        let status = StatusCode::from_u16(status).expect("a status");
        assert_eq!(of(status, &headers(header), body), expected, "{status} {header} {body}");
    }

    #[test]
    fn a_dead_token_is_known_by_status_header_or_code() {
        for status in [401, 419, 498] {
            check(status, "", "", Some(Refusal::Clear));
        }
        check(
            403,
            r#"Bearer realm="x", error="invalid_token", error_description="expired""#,
            "",
            Some(Refusal::Unclear),
        );
        check(400, "Bearer error=invalid_token", "", Some(Refusal::Unclear));
        for body in [
            r#"{"error":"invalid_token"}"#,
            r#"{"error":{"code":"InvalidAuthenticationToken","message":"expired"}}"#,
            r#"{"errors":[{"code":"token_expired"}]}"#,
            r#"{"fault":{"detail":{"errorcode":"oauth.v2.InvalidAccessToken"}}}"#,
            r#"[{"errorCode":"INVALID_SESSION_ID"}]"#,
        ] {
            check(403, "", body, Some(Refusal::Unclear));
            check(400, "", body, Some(Refusal::Unclear));
            check(404, "", body, None);
        }
    }

    #[test]
    fn words_and_other_tokens_are_not_about_who_asks() {
        check(400, "", r#"{"error":{"code":"BadRequest","message":"Invalid Skip Token"}}"#, None);
        check(400, "", r#"{"message":"invalid_token"}"#, None);
        check(403, "", "the access token expired", None);
        check(403, r#"Bearer error="insufficient_scope""#, r#"{"error":"insufficient_scope"}"#, None);
        check(403, r#"Bearer error_description="invalid_token""#, "", None);
    }

    #[test]
    fn a_success_refuses_only_as_an_error_with_such_a_code() {
        assert!(of_success(r#"{"ok":false,"error":"token_revoked"}"#));
        assert!(of_success(r#"{"data":null,"errors":[{"message":"x","extensions":{"code":"UNAUTHENTICATED"}}]}"#));
        assert!(of_success(r#"{"success":false,"code":"TOKEN_EXPIRED"}"#));
        assert!(!of_success(r#"{"data":[{"code":"token_expired"}],"errors":[]}"#));
        assert!(!of_success(r#"{"code":"token_expired","data":[]}"#));
        assert!(!of_success(r#"{"error":"no such luck"}"#));
    }

    #[test]
    fn a_limit_is_known_by_its_code_and_a_403_also_by_words() {
        let github = r#"{"message":"You have exceeded a secondary rate limit. Please wait a few minutes."}"#;
        let google = r#"{"error":{"code":403,"errors":[{"reason":"userRateLimitExceeded"}]}}"#;
        assert!(is_limit(StatusCode::FORBIDDEN, github) && is_limit(StatusCode::FORBIDDEN, google));
        assert!(is_limit(StatusCode::BAD_REQUEST, r#"{"__type":"com.amazon#ThrottlingException"}"#));
        assert!(!is_limit(StatusCode::BAD_REQUEST, github) && !is_limit(StatusCode::FORBIDDEN, "no permission"));
        assert!(!is_limit(StatusCode::NOT_FOUND, google));
    }
}
