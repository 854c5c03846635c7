//! What is kept as it is: the words and numbers that paging, dates, limits and errors are made of.

use chrono::{DateTime, TimeDelta, Utc};

use crate::record::date;

/// Words of protocols and of paths that tell nothing of anybody. In the order of the alphabet.
#[rustfmt::skip]
const KEPT_WORDS: &[&str] = &[
    "AND", "DESC", "Bearer", "GET", "POST", "all", "and", "api", "application", "asc", "ascending", "audit", "auditLogs", "audit_logs",
    "auditlogs", "auth", "bearer", "client_credentials", "csv", "data", "desc", "descending", "directoryAudits", "eq", "error",
    "event", "events", "expired_token", "export", "fail", "failed", "failure", "false", "ge", "graph", "gt", "invalid_client",
    "invalid_grant", "invalid_request", "invalid_scope", "invalid_token", "items", "json", "le", "list", "log", "login", "logs", "lt",
    "ndjson", "newest", "no", "none", "not", "null", "oauth", "oauth2", "oldest", "ok", "or", "records", "report", "reports", "rest",
    "search", "security", "signIns", "signins", "success", "system", "token", "true", "unauthorized_client",
    "unsupported_grant_type", "users", "v1", "v1.0", "v2", "v2.0", "v3", "v4", "yes",
];

/// What the names of numbers are called that say how much there is, or where in it a page stands.
const COUNTING: &[&str] = &[
    "total",
    "count",
    "size",
    "limit",
    "offset",
    "page",
    "pages",
    "perpage",
    "pagesize",
    "index",
    "top",
    "skip",
    "first",
    "last",
    "from",
    "to",
    "remaining",
    "expiresin",
    "itemsperpage",
    "currentitemcount",
    "totalcount",
    "totalpages",
    "totalitems",
    "totalresults",
    "resultcount",
    "pagenumber",
    "currentpage",
    "lastpage",
    "nextoffset",
    "maxresults",
    "num",
];

/// What the names of dates have in them.
const DATING: &[&str] = &[
    "time",
    "date",
    "stamp",
    "created",
    "updated",
    "modified",
    "epoch",
    "since",
    "until",
    "start",
    "end",
    "expire",
    "published",
    "seen",
    "received",
    "occurred",
    "_at",
    "_on",
    "_ts",
    "nanos",
];

/// How far back a number may lie to be a date, and how far ahead.
const DATES_WITHIN: (TimeDelta, TimeDelta) = (TimeDelta::days(20 * 366), TimeDelta::days(366));

/// Whether a text is kept as it is.
pub(super) fn is_kept(text: &str) -> bool {
    text.is_empty() || KEPT_WORDS.contains(&text) || is_date(text)
}

/// Whether a text is a date in one of the forms that are understood, and not a number.
pub(super) fn is_date(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let is_formed = text.len() <= 40 && digits >= 6 && (text.contains('-') || text.contains(':'));
    is_formed && date::parse_written(text).is_some()
}

/// Whether a number is kept as it is: 0 and 1, a count, or a moment, by its name and its value.
pub(super) fn is_kept_number(name: &str, number: &str, now: DateTime<Utc>) -> bool {
    if matches!(number, "0" | "1") {
        return true;
    }
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    if number.len() <= 9 && COUNTING.contains(&plain.as_str()) {
        return true;
    }
    let lower = name.to_ascii_lowercase();
    // `createdAt`, as `created_at`.
    let is_dated = DATING.iter().any(|part| lower.contains(part)) || name.ends_with("At") || plain == "ts";
    is_dated && is_moment(number, now)
}

/// Whether a number is a moment within [`DATES_WITHIN`], in seconds or in a smaller unit.
fn is_moment(number: &str, now: DateTime<Utc>) -> bool {
    let whole = number.split('.').next().unwrap_or_default();
    let Ok(value) = whole.parse::<i64>() else { return false };
    let (back, ahead) = DATES_WITHIN;
    [1, 1_000, 1_000_000, 1_000_000_000].into_iter().any(|unit| {
        DateTime::from_timestamp(value / unit, 0).is_some_and(|date| date >= now - back && date <= now + ahead)
    })
}

/// Whether a header's value is a date, or seconds.
pub(super) fn is_plain_wait(text: &str) -> bool {
    let is_number = !text.is_empty() && text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    is_number || is_date(text)
}

/// Whether a header tells of a rate limit.
pub(super) fn is_limit_header(name: &str) -> bool {
    name.starts_with("x-ratelimit") || name.starts_with("x-rate-limit") || name.starts_with("ratelimit")
}

/// What a rate limit says: its numbers and its parameters; a name in it is replaced.
pub(super) fn limits(text: &str) -> String {
    const PARAMETERS: [&str; 11] = ["r", "t", "w", "q", "l", "limit", "remaining", "reset", "policy", "default", "qu"];
    if is_date(text) {
        return text.to_owned();
    }
    let is_word = |c: char| c.is_ascii_alphanumeric();
    let mut out = String::new();
    for part in text.split_inclusive(|c: char| !is_word(c)) {
        let word = part.trim_end_matches(|c: char| !is_word(c));
        let mark = part.get(word.len()..).unwrap_or_default();
        let is_kept = word.bytes().all(|b| b.is_ascii_digit()) || PARAMETERS.contains(&word);
        out.push_str(if is_kept { word } else { "x" });
        out.extend(mark.chars().filter(char::is_ascii));
    }
    out
}

/// The scheme of a challenge, and its error where that is one of the standard's.
pub(super) fn challenge(text: &str) -> String {
    const ERRORS: [&str; 3] = ["invalid_token", "invalid_request", "insufficient_scope"];
    let scheme = text.split(' ').next().filter(|word| ["Basic", "Bearer"].contains(word)).unwrap_or("Other");
    match ERRORS.into_iter().find(|error| text.contains(error)) {
        Some(error) => format!("{scheme} error=\"{error}\""),
        None => scheme.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_counts_are_kept_and_numbers_of_others_are_not() {
        let now = DateTime::from_timestamp(1_716_900_000, 0).expect("a date");
        for (name, number, is) in [
            ("id", "1716900000", false),
            ("created_at", "1716900000", true),
            ("createdAt", "1716900000123", true),
            ("timestamp_nanoseconds", "1716900000123456789", true),
            ("phone_time", "4915112345678", false),
            ("total", "4711", true),
            ("per_page", "100", true),
            ("account", "4711", false),
            ("flag", "1", true),
        ] {
            assert_eq!(is_kept_number(name, number, now), is, "{name}: {number}");
        }
        for (text, is) in [
            ("2024-05-28T13:08:54.1234567Z", true),
            ("2024-05-28", true),
            ("Tue, 28 May 2024 13:08:54 GMT", true),
            ("1716900000", false),
            ("192.168.10.17", false),
            ("00000000-0000-0000-0000-000000000000", false),
            ("alice@example.com", false),
            ("", false),
        ] {
            assert_eq!(is_date(text), is, "{text}");
        }
    }

    #[test]
    fn limits_and_challenges_keep_their_numbers_and_their_words() {
        assert_eq!(limits("\"acme-plan\";r=0;t=12"), "\"x-x\";r=0;t=12");
        assert_eq!(limits("limit=100, remaining=0, reset=12"), "limit=100, remaining=0, reset=12");
        assert_eq!(
            challenge(r#"Bearer realm="acme", error="invalid_token", error_description="of alice""#),
            r#"Bearer error="invalid_token""#
        );
        assert_eq!(challenge("Negotiate abc"), "Other");
    }
}
