//! What was found out about one API, in words.

use std::time::Duration;

use indicatif::HumanBytes;
use reqwest::StatusCode;

use super::suggest::Candidate;
use super::yaml;
use crate::fetch::{Call, FetchError, Refused};
use crate::plan::Auth;
use crate::secret::Scrubber;
use crate::window::is_too_old;

/// How many candidates are shown for one path.
const SHOWN_MAX: usize = 3;
/// The longest path that is suggested, in characters.
const PATH_CHARS_MAX: usize = 200;
/// The width of the column of paths, so that the reasons stand below each other.
const PATH_COLUMN: usize = 32;

/// A report that grows line by line.
#[derive(Debug)]
pub struct Report {
    text: String,
    is_wrong: bool,
}

impl Report {
    pub(super) fn begin(name: &str, url: &str) -> Self {
        Self { text: format!("{name}: {url}\n"), is_wrong: false }
    }

    /// The report, line by line; what is wrong is marked with `!`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether something is wrong.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.is_wrong
    }

    pub(super) fn well(&mut self, label: &str, what: &str) {
        self.text.push_str(&format!("  {label:<8} {what}\n"));
    }

    pub(super) fn wrong(&mut self, label: &str, what: &str) {
        self.is_wrong = true;
        self.text.push_str(&format!("! {label:<8} {what}\n"));
    }

    pub(super) fn more(&mut self, what: &str) {
        self.text.push_str(&format!("           {what}\n"));
    }

    /// A call that failed, and what to do about it.
    pub(super) fn refused(&mut self, label: &str, refused: &Refused, auth: &Auth) {
        self.wrong(label, &format!("{} (after {})", refused.error, waited(refused.took)));
        if let Some(advice) = advice(refused, auth) {
            self.more(&advice);
        }
    }

    /// Lines for the config, ready to be pasted.
    pub(super) fn suggest(&mut self, key: &str, candidates: &[Candidate], scrubber: &Scrubber) {
        let has_likely = presentable(candidates, scrubber).any(|candidate| candidate.is_likely);
        let lines: Vec<String> = presentable(candidates, scrubber)
            .filter(|candidate| candidate.is_likely || !has_likely)
            .take(SHOWN_MAX)
            .map(|candidate| {
                let line = format!("{key}: {}", yaml::scalar(&candidate.path));
                format!("  {line:<PATH_COLUMN$} # {}", candidate.why)
            })
            .collect();
        match lines.len() {
            0 => return self.more("nothing else on the page looks like it"),
            1 => self.more("this would, in json_paths:"),
            _ => self.more("these would, in json_paths:"),
        }
        lines.iter().for_each(|line| self.more(line));
    }
}

/// Those that may be shown: a key of the page may hold what the API was sent.
pub(super) fn presentable<'c>(
    candidates: &'c [Candidate],
    scrubber: &'c Scrubber,
) -> impl Iterator<Item = &'c Candidate> {
    let fits = |path: &str| path.chars().nth(PATH_CHARS_MAX).is_none();
    candidates.iter().filter(move |candidate| fits(&candidate.path) && !scrubber.finds_in(&candidate.path))
}

/// A call that was answered.
pub(super) fn answered(call: &Call, bytes: Option<usize>) -> String {
    let size = bytes.map(|bytes| format!(", {}", HumanBytes(bytes as u64))).unwrap_or_default();
    format!("{} in {}{size}", call.status, waited(call.took))
}

/// A span as somebody felt it who waited.
pub(super) fn waited(span: Duration) -> String {
    if span < Duration::from_secs(1) {
        format!("{} ms", span.as_millis())
    } else {
        format!("{:.1} s", span.as_secs_f64())
    }
}

/// What to do about a failure; nothing where its own words say it.
pub(super) fn advice(refused: &Refused, auth: &Auth) -> Option<String> {
    if let Some(wait) = refused.wait.filter(|wait| !wait.is_zero()) {
        return Some(format!("the API asks to wait: try again in {} s", wait.as_secs_f64().ceil()));
    }
    let advice = match &refused.error {
        FetchError::Token(error) => match error.status() {
            Some(StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                "check credentials.id and credentials.key (the secret's value, not its id), and token_http_request.scope"
            }
            Some(StatusCode::NOT_FOUND) => "check token_http_request.url",
            Some(status) if status.is_server_error() => "the token server has a fault of its own: try again later",
            _ => return advice_without_answer(error, "token_http_request.url").map(str::to_owned),
        },
        FetchError::Status { status, said, .. } => return advice_on(*status, said, auth).map(str::to_owned),
        error => return advice_without_answer(error, "http_request.url").map(str::to_owned),
    };
    Some(advice.to_owned())
}

fn advice_on(status: StatusCode, said: &str, auth: &Auth) -> Option<&'static str> {
    Some(match status {
        StatusCode::BAD_REQUEST if is_too_old(said) => {
            "the start date lies too far back: the fetcher looks for the earliest that is taken; lower settings.days_back_fetch"
        }
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
            "the API does not take the request: check filters and start_date_name"
        }
        StatusCode::UNAUTHORIZED => match auth {
            Auth::Basic { .. } => "check credentials.id and credentials.key",
            Auth::OwnHeader => "check the header Authorization in http_request.headers",
            Auth::Token(_) => {
                "there is a token, but not for this API: check token_http_request.scope and the permissions"
            }
        },
        StatusCode::FORBIDDEN => {
            "the credentials are known, but may not read this: check the permissions of the account"
        }
        StatusCode::NOT_FOUND => "nothing is there: check http_request.url",
        StatusCode::METHOD_NOT_ALLOWED => "check http_request.method",
        StatusCode::TOO_MANY_REQUESTS => "too many requests: try again later, and make settings.time_interval longer",
        status if status.is_server_error() => "the API has a fault of its own: try again later",
        _ => return None,
    })
}

/// Where no answer came, told by the system's words.
fn advice_without_answer(error: &FetchError, key: &str) -> Option<&'static str> {
    let FetchError::Broken { cause, .. } = error else { return None };
    unreachable_advice(cause, key)
}

/// What to do where nobody answers; `key` is where the config names the host.
pub(super) fn unreachable_advice(cause: &str, key: &str) -> Option<&'static str> {
    let cause = cause.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| cause.contains(part));
    let is_listener = key == "logzio.url";
    Some(match () {
        () if has(&["lookup", "name or service", "resolve", "dns"]) => match is_listener {
            true => "the host's name is unknown: check logzio.url, and the DNS of this machine",
            false => "the host's name is unknown: check the URL, and the DNS of this machine",
        },
        () if has(&["certificate", "unknownissuer"]) => {
            "the certificate is not trusted: where a private CA vouches for it, name it in tls.ca_file"
        }
        () if has(&["refused"]) => "nobody listens there: check host and port, and firewalls in between",
        () if has(&["tls", "handshake", "corrupt message", "invalidcontenttype"]) => {
            "no TLS is spoken there: check scheme and port"
        }
        () if has(&["too long", "timed out"]) => "check host and port; firewalls and proxies in between may swallow it",
        () => return None,
    })
}
