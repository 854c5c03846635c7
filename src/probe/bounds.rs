//! What an API that refuses a request says of the window that it wants to be asked for. Pure.
//!
//! Enters: the words of its answer. Leaves: the parameters for the start and the end of a window, how their dates are
//! written, and how long it may be. Nothing is taken from common words that may mean something else.

use chrono::TimeDelta;

use crate::config::parse_duration;

/// How long a window is tried where nothing is said of its length: what most APIs allow.
const SPAN_TRIED: TimeDelta = TimeDelta::hours(24);
/// The parameters of a window's start and end, as APIs name them together.
const PAIRS: [(&str, &str); 15] = [
    ("start_date", "end_date"),
    ("startDate", "endDate"),
    ("start_time", "end_time"),
    ("startTime", "endTime"),
    ("sinceTime", "untilTime"),
    ("from_date", "to_date"),
    ("fromDate", "toDate"),
    ("created_after", "created_before"),
    ("updated_after", "updated_before"),
    ("mintime", "maxtime"),
    ("oldest", "latest"),
    ("after", "before"),
    ("since", "until"),
    ("from", "to"),
    ("start", "end"),
];
/// Words by which an answer speaks of a limit.
const LIMIT_WORDS: [&str; 9] =
    ["max", "maximum", "most", "exceed", "exceeds", "longer", "greater", "limited", "within"];
/// Signs that stand around a name.
const QUOTES: [char; 3] = ['\'', '"', '`'];

/// The window that an API wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The parameter that takes the start.
    pub(super) start: &'static str,
    /// The parameter that takes the end.
    pub(super) end: &'static str,
    /// The format of both, as it stands in a variable; nothing for RFC 3339.
    pub(super) format: Option<&'static str>,
    /// The longest window, as `settings.max_window` has it.
    pub(super) longest: Option<String>,
}

impl Bounds {
    /// How long a window is tried.
    pub(super) fn span(&self) -> TimeDelta {
        let longest = self.longest.as_deref().and_then(|text| parse_duration(text).ok());
        longest.and_then(|span| TimeDelta::from_std(span).ok()).unwrap_or(SPAN_TRIED)
    }
}

/// The window that a refusal speaks of.
pub(super) fn demanded(words: &str) -> Option<Bounds> {
    let has = |name: &str| is_named(words, name);
    let (start, end) = PAIRS.into_iter().find(|(start, end)| has(end) || (!is_common(start) && has(start)))?;
    Some(Bounds { start, end, format: format(words), longest: longest(words) })
}

/// Whether a parameter's name stands there: in quotes, or, if it is no common word, by itself.
fn is_named(words: &str, name: &str) -> bool {
    words.match_indices(name).any(|(at, _)| {
        let before = words.get(..at).and_then(|text| text.chars().next_back());
        let after = words.get(at + name.len()..).and_then(|text| text.chars().next());
        let is_of_name = |c: char| c.is_alphanumeric() || c == '_';
        let is_quoted = before.is_some_and(|c| QUOTES.contains(&c)) && after.is_some_and(|c| QUOTES.contains(&c));
        let is_whole = !before.is_some_and(is_of_name) && !after.is_some_and(is_of_name);
        is_quoted || (is_whole && !is_common(name))
    })
}

fn is_common(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_lowercase()) && !["mintime", "maxtime"].contains(&name)
}

fn format(words: &str) -> Option<&'static str> {
    let words = words.to_lowercase();
    let is_unix = words.contains("epoch") || words.contains("unix");
    match words.contains("millisecond") || words.contains("epoch ms") {
        true => Some("unix_ms"),
        false if is_unix => Some("unix"),
        false => None,
    }
}

/// `24 hours`, `7-day`, `30m`, where the words speak of a limit.
fn longest(words: &str) -> Option<String> {
    let words = words.to_lowercase();
    let tokens: Vec<&str> = words.split(|c: char| !c.is_alphanumeric()).filter(|token| !token.is_empty()).collect();
    if !tokens.iter().any(|token| LIMIT_WORDS.contains(token)) {
        return None;
    }
    tokens.iter().enumerate().find_map(|(at, token)| {
        let digits = token.len() - token.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = token.split_at_checked(digits)?;
        let number: u32 = number.parse().ok().filter(|number| (1..=1_000).contains(number))?;
        let unit = if unit.is_empty() { tokens.get(at + 1).copied().unwrap_or_default() } else { unit };
        let unit = match unit {
            "m" | "min" | "mins" | "minute" | "minutes" => "m",
            "h" | "hr" | "hrs" | "hour" | "hours" => "h",
            "d" | "day" | "days" => "d",
            _ => return None,
        };
        Some(format!("{number}{unit}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &str, expected: Option<(&'static str, &'static str, Option<&'static str>, Option<&str>)>) {
        let expected = expected.map(|(start, end, format, longest)| Bounds {
            start,
            end,
            format,
            longest: longest.map(str::to_owned),
        });
        assert_eq!(demanded(words), expected, "{words}");
    }

    #[test]
    fn the_window_that_a_refusal_speaks_of_is_found() {
        check(r#"{"error":"startTime and endTime are required"}"#, Some(("startTime", "endTime", None, None)));
        check(
            "parameters 'from' and 'to' (epoch milliseconds) must be given; the span must not exceed 24 hours",
            Some(("from", "to", Some("unix_ms"), Some("24h"))),
        );
        check("missing mintime (unix time)", Some(("mintime", "maxtime", Some("unix"), None)));
        check(
            "`end_date` is missing: the maximum is a 7-day window",
            Some(("start_date", "end_date", None, Some("7d"))),
        );
    }

    #[test]
    fn common_words_are_no_parameters() {
        check("you need to start from the beginning, after the end", None);
        check("a token is required; tokens last 24 hours at most", None);
        check("", None);
    }
}
