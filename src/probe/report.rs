//! What was found out about one API, in words.

use std::time::Duration;

use reqwest::Url;

use super::suggest::Candidate;
use super::yaml;
use crate::fetch::{Call, RefusedAnswer};
use crate::plan::Auth;
use crate::text::Redactor;

/// How many candidates are shown for one path.
const SHOWN_MAX: usize = 3;
/// The longest path that is suggested, in characters.
const PATH_CHARS_MAX: usize = 200;
/// The width of the column of paths, so that the reasons stand below each other.
const PATH_COLUMN: usize = 32;

/// A report that grows line by line.
#[derive(Debug)]
pub struct ProbeReport {
    text: String,
    is_wrong: bool,
    /// Whatever is told goes through it.
    redactor: Redactor,
}

impl ProbeReport {
    pub(super) fn begin(name: &str, url: &Url, redactor: &Redactor) -> Self {
        Self { text: format!("{name}: {}\n", redactor.url(url)), is_wrong: false, redactor: redactor.clone() }
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
        self.text.push_str(&format!("  {label:<8} {}\n", self.redactor.hide(what)));
    }

    pub(super) fn wrong(&mut self, label: &str, what: &str) {
        self.is_wrong = true;
        self.text.push_str(&format!("! {label:<8} {}\n", self.redactor.hide(what)));
    }

    pub(super) fn more(&mut self, what: &str) {
        self.text.push_str(&format!("           {}\n", self.redactor.hide(what)));
    }

    /// A call that failed, and what to do about it.
    pub(super) fn refused(&mut self, label: &str, refused: &RefusedAnswer, auth: &Auth) {
        self.wrong(label, &format!("{} (after {})", refused.error, waited(refused.took)));
        if let Some(advice) = hint(refused, auth) {
            self.more(&advice);
        }
    }

    /// Lines for the config, ready to be pasted.
    pub(super) fn suggest(&mut self, key: &str, candidates: &[Candidate], redactor: &Redactor) {
        let has_likely = presentable(candidates, redactor).any(|candidate| candidate.is_likely);
        let lines: Vec<String> = presentable(candidates, redactor)
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
    redactor: &'c Redactor,
) -> impl Iterator<Item = &'c Candidate> {
    let fits = |path: &str| path.chars().nth(PATH_CHARS_MAX).is_none();
    candidates.iter().filter(move |candidate| fits(&candidate.path) && !redactor.finds_in(&candidate.path))
}

/// A call that was answered.
pub(super) fn answered(call: &Call, bytes: Option<usize>) -> String {
    let size = bytes.map(|bytes| format!(", {}", crate::text::humanize::bytes(bytes as u64))).unwrap_or_default();
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
pub(super) fn hint(refused: &RefusedAnswer, auth: &Auth) -> Option<String> {
    match refused.wait.filter(|wait| !wait.is_zero()) {
        Some(wait) => Some(format!("the API asks to wait: try again in {} s", wait.as_secs_f64().ceil())),
        None => refused.error.hint(auth).map(str::to_owned),
    }
}
