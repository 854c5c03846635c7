//! What an answer means for the batch that it answers. Pure.
//!
//! Only a listener's own answers count: a success without a body, or its counts. Sign-in pages, proxies and services of
//! another kind answer 200, too, and none of them has the records.

use reqwest::StatusCode;
use serde::Deserialize;

use crate::plan::Acknowledge;

/// What the listener did with a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Acceptance {
    /// It has every line.
    All,
    /// It has the lines that it can read; sending them again would double those.
    Partial(ListenerCounts),
    /// It wants less at a time.
    TooLarge,
    /// It, or a firewall before it, doesn't want this batch, or none at all.
    Refused(BatchRefusal),
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Something became of the batch.
    Settled(Acceptance),
    /// A success or a redirect that no listener sends: somebody else answers there.
    Foreign,
    /// A failure that may pass.
    Failure,
}

/// An answer that refuses a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BatchRefusal {
    pub(super) status: StatusCode,
    /// The body as it came.
    pub(super) body: String,
}

impl BatchRefusal {
    /// Whether a listener says by this status that the token is wrong.
    pub(super) fn is_of_token(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }
}

/// What a listener counts in a batch; zero where it doesn't say.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListenerCounts {
    /// Lines that are not valid JSON to it.
    pub(super) malformed_lines: u64,
    /// Lines that it has.
    pub(super) successful_lines: u64,
    /// Lines over its limit.
    pub(super) oversized_lines: u64,
    /// Empty lines.
    pub(super) empty_log_lines: u64,
}

impl ListenerCounts {
    /// Returns the counts in a body, or `None` where the body is anything else: then no listener wrote it.
    fn read(body: &str) -> Option<Self> {
        let names = ["malformedLines", "successfulLines", "oversizedLines", "emptyLogLines"];
        let json: serde_json::Value = serde_json::from_str(content(body)).ok()?;
        let has_counts = names.iter().any(|name| json.get(name).is_some());
        has_counts.then(|| serde_json::from_value(json).ok()).flatten()
    }

    /// Whether a batch of so many lines arrived whole.
    pub(super) fn are_whole(self, lines: usize) -> bool {
        self.malformed_lines == 0 && self.oversized_lines == 0 && self.successful_lines >= lines as u64
    }
}

/// Says what an answer means. `may_pass` tells whether another attempt may help.
pub(super) fn meaning(status: StatusCode, body: &str, may_pass: bool, acknowledge: Acknowledge) -> Meaning {
    let counts = ListenerCounts::read(body).filter(|_| status.is_success() || status == StatusCode::BAD_REQUEST);
    if let Some(counts) = counts {
        return Meaning::Settled(Acceptance::Partial(counts));
    }
    let is_acknowledged = acknowledge == Acknowledge::AnySuccess || content(body).is_empty();
    match status {
        _ if status.is_success() && is_acknowledged => Meaning::Settled(Acceptance::All),
        _ if status.is_success() || status.is_redirection() => Meaning::Foreign,
        StatusCode::PAYLOAD_TOO_LARGE => Meaning::Settled(Acceptance::TooLarge),
        _ if status.is_client_error() && !may_pass => {
            Meaning::Settled(Acceptance::Refused(BatchRefusal { status, body: body.to_owned() }))
        }
        _ => Meaning::Failure,
    }
}

/// A body without what says nothing: a byte order mark and white space.
fn content(body: &str) -> &str {
    body.trim_start_matches('\u{feff}').trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: &str = r#"{"malformedLines":1,"successfulLines":2,"oversizedLines":0,"emptyLogLines":0}"#;

    #[track_caller]
    fn of(status: u16, body: &str) -> Meaning {
        meaning(StatusCode::from_u16(status).expect("a status"), body, false, Acknowledge::Listener)
    }

    fn partial(malformed_lines: u64, successful_lines: u64) -> Meaning {
        let counts = ListenerCounts { malformed_lines, successful_lines, ..ListenerCounts::default() };
        Meaning::Settled(Acceptance::Partial(counts))
    }

    #[test]
    fn a_success_counts_with_an_empty_body_or_a_listeners_counts() {
        for body in ["", " \r\n", "\u{feff}", "\u{feff} \n"] {
            for status in [200, 202, 204] {
                assert_eq!(of(status, body), Meaning::Settled(Acceptance::All), "{status} {body:?}");
            }
        }
        assert_eq!(of(200, COUNTS), partial(1, 2));
        assert_eq!(of(200, "\u{feff}{\"successfulLines\":3}\n"), partial(0, 3));
    }

    #[test]
    fn any_other_success_and_a_redirect_come_from_somebody_else() {
        for body in
            ["<html>sign in</html>", "\u{feff}<html>", r#"{"error":"unauthorized"}"#, "welcome", "{}", "[]", "0"]
        {
            assert_eq!(of(200, body), Meaning::Foreign, "{body}");
        }
        assert_eq!(of(200, r#"{"successfulLines":"all"}"#), Meaning::Foreign, "these are no counts");
        for status in [300, 301, 302, 304, 307] {
            assert_eq!(of(status, ""), Meaning::Foreign, "{status}");
            assert_eq!(of(status, COUNTS), Meaning::Foreign, "{status}");
        }
    }

    #[test]
    fn a_relay_may_answer_any_success_where_the_config_says_so() {
        let relay = |status, body| {
            meaning(StatusCode::from_u16(status).expect("a status"), body, false, Acknowledge::AnySuccess)
        };
        assert_eq!(relay(200, r#"{"ok":true}"#), Meaning::Settled(Acceptance::All));
        assert_eq!(relay(200, COUNTS), partial(1, 2));
        assert_eq!(relay(302, ""), Meaning::Foreign);
    }

    #[test]
    fn a_400_with_counts_is_settled_and_any_other_refusal_is_told_from_a_failure_that_may_pass() {
        assert_eq!(of(400, COUNTS), partial(1, 2));
        for (status, body) in [(400, ""), (400, "<html>"), (401, COUNTS), (403, ""), (404, ""), (406, "no"), (422, "")]
        {
            let refusal =
                BatchRefusal { status: StatusCode::from_u16(status).expect("a status"), body: body.to_owned() };
            assert_eq!(of(status, body), Meaning::Settled(Acceptance::Refused(refusal)), "{status}");
        }
        assert_eq!(of(413, ""), Meaning::Settled(Acceptance::TooLarge));
        assert_eq!(of(500, ""), Meaning::Failure);
        let limited = meaning(StatusCode::TOO_MANY_REQUESTS, "", true, Acknowledge::Listener);
        assert_eq!(limited, Meaning::Failure);
    }
}
