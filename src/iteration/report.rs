//! What came of an iteration.

use std::io;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;

use crate::cluster::UnwrittenError;
use crate::fetch::FetchError;
use crate::paging::{CURSOR_BYTES_MAX, NextLinkError, PaginationError};
use crate::plan::Auth;
use crate::record::path::JsonPath;
use crate::record::{PageError, date};
use crate::ship::{ShipError, Shipped};
use crate::template::AnswerValueError;
use crate::window::{EMPTY_PAGES_MAX, PAGES_MAX};

/// A refused request that begins further back than this may have been refused for that.
const LONG_AGO: TimeDelta = TimeDelta::days(1);

/// What a successful iteration did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct IterationReport {
    /// What went to the listener.
    pub shipped: Shipped,
    /// Pages read.
    pub pages: u64,
    /// Records that were delivered before.
    pub known: u64,
    /// Records older than the window.
    pub older: u64,
    /// Records dated after the span that is shipped again.
    pub later: u64,
    /// Shipped records without a readable date.
    pub undated: u64,
    /// From the first request to the saved checkpoint.
    pub took: Duration,
}

impl IterationReport {
    /// Adds what a further slice did.
    pub(super) fn add(&mut self, slice: &Self) {
        self.shipped.records += slice.shipped.records;
        self.shipped.bytes += slice.shipped.bytes;
        self.shipped.set_aside += slice.shipped.set_aside;
        self.shipped.waiting += slice.shipped.waiting;
        self.pages += slice.pages;
        self.known += slice.known;
        self.older += slice.older;
        self.later += slice.later;
        self.undated += slice.undated;
        self.took += slice.took;
    }
}

/// Why an iteration ended before its end. The checkpoint stays.
#[derive(Debug, thiserror::Error)]
pub enum IterationError {
    /// A page could not be fetched.
    #[error("page {page}: {cause}")]
    Fetch {
        /// Which, from 1.
        page: u64,
        /// Why.
        cause: FetchError,
    },
    /// The link to a next page was refused as stale.
    #[error("page {page}: {cause}; the link may have gone stale, so the window is begun again")]
    StaleLink {
        /// Which, from 1.
        page: u64,
        /// Why.
        cause: FetchError,
    },
    /// The first request was refused as wrong, and begins long ago.
    #[error(
        "{cause}; the request begins at {start}: where that is further back than the API answers, write a later date into \
         last_start_dates.txt while the fetcher is stopped"
    )]
    RefusedStart {
        /// The start date.
        start: String,
        /// Why.
        cause: FetchError,
    },
    /// A page could not be understood.
    #[error("page {page}: {cause}")]
    Page {
        /// Which, from 1.
        page: u64,
        /// Why.
        cause: PageError,
    },
    /// No record of a page has a date.
    #[error("page {page}: no record has a readable date at json path `{path}`; in the first record {there}")]
    Undated {
        /// Which, from 1.
        page: u64,
        /// The path of the config.
        path: String,
        /// The keys there are.
        there: String,
    },
    /// A next link can't be followed.
    #[error("page {page}: {cause}")]
    NextLink {
        /// Which, from 1.
        page: u64,
        /// Why.
        cause: NextLinkError,
    },
    /// What stands at the next link's place is no link.
    #[error("page {page}: json path `{path}` finds a token where the next page's URL should be")]
    NextToken {
        /// Which, from 1.
        page: u64,
        /// The path of the config.
        path: String,
    },
    /// What stands at the cursor's place is too long to be kept.
    #[error("page {page}: json_paths.cursor finds {bytes} bytes, and a cursor of up to {CURSOR_BYTES_MAX} is kept")]
    CursorTooLong {
        /// Which, from 1.
        page: u64,
        /// How many, as JSON.
        bytes: usize,
    },
    /// A value of the page can't stand in the next request.
    #[error("page {page}: {cause}")]
    AnswerValue {
        /// Which, from 1.
        page: u64,
        /// Why.
        cause: AnswerValueError,
    },
    /// The pages go in a circle.
    #[error("page {page}: the same request was answered by the same records before, so the pages would never end")]
    Circle {
        /// Which, from 1.
        page: u64,
    },
    /// More than [`PAGES_MAX`], or more than [`EMPTY_PAGES_MAX`] empty ones.
    #[error(
        "a pause at page {page}: an iteration reads {PAGES_MAX} pages, and follows {EMPTY_PAGES_MAX} empty ones; the next one goes on from here"
    )]
    Pause {
        /// Which, from 1.
        page: u64,
    },
    /// A list whose pages are counted grows at its front, so that none of them holds anything that wasn't read.
    #[error(
        "page {page}: the list grows at its front as fast as its pages are read, so what stood behind them isn't reached"
    )]
    Outgrown {
        /// Which, from 1.
        page: u64,
    },
    /// As many pages as `next_request.max_pages` lets an iteration read: no failure, the next one goes on.
    #[error(
        "more pages follow page {page} than next_request.max_pages lets an iteration read; the next one goes on from here"
    )]
    Capped {
        /// Which, from 1.
        page: u64,
    },
    /// An answer of status 200 says that it failed.
    #[error("page {page}: the answer has status 200 and tells of an error{error_body}")]
    ToldError {
        /// Which, from 1.
        page: u64,
        /// What it says, scrubbed.
        error_body: String,
    },
    /// What was asked about an entry of a list came to nothing; the others are delivered.
    #[error("step {step}, entry {entry}: {cause}{}", and_others(*.others))]
    Entry {
        /// Which step, from 1.
        step: usize,
        /// The entry's id, or what else tells which it is.
        entry: String,
        /// Why.
        cause: Box<IterationError>,
        /// How many entries failed besides.
        others: u64,
    },
    /// A job says that it failed.
    #[error("the job has failed: its answer says `{found}`")]
    JobFailed {
        /// What its answer says, scrubbed.
        found: String,
    },
    /// A job takes too long.
    #[error("the job isn't done after {} s, the limit that `within` sets: its answer says `{found}`", within.as_secs())]
    JobLate {
        /// How long it may take.
        within: Duration,
        /// What its answer says, scrubbed.
        found: String,
    },
    /// The iterations of the API's other outputs are over, and this one was ended before its end.
    #[error(
        "the output {}; the API's other outputs have what they need, so its iteration was ended early", left_behind(*.is_failing)
    )]
    LeftBehind {
        /// Whether the output takes nothing; else it is only slower.
        is_failing: bool,
    },
    /// A batch could not be delivered.
    #[error(transparent)]
    Ship(#[from] ShipError),
    /// Everything was delivered, but the checkpoint is not on the disk.
    #[error(
        "everything was delivered, but the checkpoint can't be saved: {0}; it is tried again after the next iteration"
    )]
    State(io::Error),
    /// An answer of an API that keeps the position itself can't be kept on the disk, or read from there.
    #[error(
        "the answer under way can't be kept on the disk: {0}; nothing else is asked, as the API gives nothing twice"
    )]
    Kept(io::Error),
    /// What was delivered can't be looked up, so that nothing may be shipped.
    #[error("what was delivered can't be looked up: {0}; restart the fetcher")]
    Memory(io::Error),
}

/// A status that says of a link that it is of no use; not that of a limit, of a passing trouble, or of who asks.
pub(super) fn is_refusal(status: StatusCode) -> bool {
    let passes = [401, 403, 407, 408, 409, 419, 423, 425, 429].contains(&status.as_u16());
    status.is_client_error() && !passes
}

impl IterationError {
    /// A page whose next one can't be asked for. `path` is that of `json_paths.next_url`.
    pub(super) fn of_paging(page: u64, cause: PaginationError, path: Option<&JsonPath>) -> Self {
        match cause {
            PaginationError::Link(cause) => Self::NextLink { page, cause },
            PaginationError::Token => {
                Self::NextToken { page, path: path.map(|path| path.text().to_owned()).unwrap_or_default() }
            }
            PaginationError::Value(cause) => Self::AnswerValue { page, cause },
        }
    }

    /// A checkpoint that can't be saved.
    pub(super) fn of_state(cause: io::Error) -> Self {
        UnwrittenError::of(&cause).map_or_else(|| Self::State(cause), |error| Self::Ship(ShipError::Unwritten(error)))
    }

    /// What was delivered can't be looked up.
    pub(super) fn of_memory(cause: io::Error) -> Self {
        UnwrittenError::of(&cause).map_or_else(|| Self::Memory(cause), |error| Self::Ship(ShipError::Unwritten(error)))
    }

    /// A page that could not be fetched. `start` is where the iteration begins.
    pub(super) fn of_fetch(page: u64, cause: FetchError, start: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let is_long_ago = now.signed_duration_since(start) > LONG_AGO;
        match cause.status() {
            Some(StatusCode::BAD_REQUEST) if page > 1 => Self::StaleLink { page, cause },
            Some(StatusCode::BAD_REQUEST) if is_long_ago => Self::RefusedStart { start: date::format(start), cause },
            _ => Self::Fetch { page, cause },
        }
    }

    /// What whoever is on call can do about it. `auth` tells which credentials were sent.
    #[must_use]
    pub fn hint(&self, auth: &Auth) -> &'static str {
        match self {
            Self::Fetch { cause, .. } => {
                cause.hint(auth).unwrap_or("check http_request, and that this machine reaches the API")
            }
            Self::StaleLink { .. } => {
                "nothing, if the next iteration goes through; else ask for smaller pages in filters"
            }
            Self::RefusedStart { .. } => {
                "stop the fetcher, move the checkpoint to a later date (`logzio-api-fetcher state rewind NAME DATE`), and start it"
            }
            Self::Page { .. } | Self::Undated { .. } | Self::NextLink { .. } => {
                "compare json_paths with what the API answers: `logzio-api-fetcher probe --api NAME` shows both"
            }
            Self::NextToken { .. } => {
                "move the path from json_paths.next_url to json_paths.next_token, and put `{next_token}` where the API takes the token"
            }
            Self::CursorTooLong { .. } => {
                "check json_paths.cursor: it must name the cursor alone, not an object or a list that holds it"
            }
            Self::AnswerValue { .. } => {
                "compare the paths in next_request with what the API answers: `logzio-api-fetcher probe --api NAME` shows it"
            }
            Self::ToldError { .. } => {
                "read what the API says; where that is no error, set json_paths.error to null, or to the path of its errors"
            }
            Self::Circle { .. } => {
                "check json_paths.next_url: it must name the link to the next page, which the last page lacks"
            }
            Self::Pause { .. } => "nothing: the next iteration goes on; where it never ends, check json_paths.next_url",
            Self::Capped { .. } => "nothing: the next iteration goes on",
            Self::Outgrown { .. } => {
                "nothing, if it passes; else ask for larger pages or the oldest first, or let `{end_date}` end the window"
            }
            Self::Entry { cause, .. } => cause.hint(auth),
            Self::JobFailed { .. } => {
                "nothing, if the next iteration goes through: it starts another one; else look at the job in the API's own console"
            }
            Self::JobLate { .. } => {
                "the next iteration starts another one; ask for less at once, by settings.max_window, or compare `until` with the answer"
            }
            Self::LeftBehind { .. } => {
                "nothing, if it passes: the output gets what it lacks later; else look at its listener"
            }
            Self::Ship(error) => error.hint(),
            Self::State(_) | Self::Kept(_) => "make room on the disk, or fix the permissions of the config's directory",
            Self::Memory(_) => "restart the fetcher",
        }
    }

    /// The anchor of its entry in docs/troubleshooting.md.
    #[must_use]
    pub fn anchor(&self) -> &'static str {
        match self {
            Self::Fetch { cause, .. } => cause.anchor(),
            Self::StaleLink { .. } => "link-stale",
            Self::RefusedStart { .. } => "start-refused",
            Self::Page { cause: PageError::NotJson(_), .. } => "not-json",
            Self::Page { cause: PageError::Data(_), .. } => "list-missing",
            Self::Page { cause: PageError::TooMany, .. } => "page-too-large",
            Self::Page { cause: PageError::NextUrl { .. }, .. } => "next-link-wrong",
            Self::Undated { .. } => "no-date",
            Self::NextLink { cause, .. } => cause.anchor(),
            Self::NextToken { .. } => "next-token",
            Self::CursorTooLong { .. } => "cursor-too-long",
            Self::AnswerValue { .. } => "answer-value",
            Self::Circle { .. } => "circle",
            Self::Pause { .. } | Self::Capped { .. } => "pause",
            Self::Outgrown { .. } => "list-outgrown",
            Self::ToldError { .. } => "error-in-answer",
            Self::Entry { cause, .. } => cause.anchor(),
            Self::JobFailed { .. } => "job-failed",
            Self::JobLate { .. } => "job-late",
            Self::LeftBehind { .. } => "output-behind",
            Self::Ship(error) => error.anchor(),
            Self::State(_) | Self::Kept(_) => "disk-full",
            Self::Memory(_) => "delivered-unknown",
        }
    }

    /// Whether the place where it was cut is no good any more: the server refuses it, or it leads nowhere.
    pub(super) fn voids_progress(&self) -> bool {
        match self {
            Self::StaleLink { .. } | Self::RefusedStart { .. } | Self::Circle { .. } | Self::NextLink { .. } => true,
            // What is new stands in front.
            Self::Outgrown { .. } => true,
            Self::Fetch { cause: FetchError::Lost(_) | FetchError::Behind, .. } => true,
            Self::Fetch { cause, .. } => cause.status().is_some_and(is_refusal),
            _ => false,
        }
    }

    /// Whether the API answered, be it with a limit.
    pub(super) fn is_answer(&self) -> bool {
        match self {
            Self::Fetch { cause, .. } => cause.status().is_some(),
            Self::Entry { cause, .. } => cause.is_answer(),
            Self::Ship(_) | Self::LeftBehind { .. } | Self::State(_) | Self::Kept(_) | Self::Memory(_) => false,
            _ => true,
        }
    }

    /// Until when the API is not to be asked again, where it said so.
    #[must_use]
    pub fn until(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Fetch { cause, .. } | Self::StaleLink { cause, .. } | Self::RefusedStart { cause, .. } => {
                cause.until()
            }
            Self::Entry { cause, .. } => cause.until(),
            _ => None,
        }
    }

    /// Whether a job that was started is of no use any more.
    pub(super) fn ends_job(&self) -> bool {
        match self {
            Self::JobFailed { .. } | Self::JobLate { .. } => true,
            Self::Fetch { cause, .. } => status_of(cause).is_some_and(is_refusal),
            _ => false,
        }
    }

    /// Whether it is that of an entry of a list; the pages of the list itself are good.
    pub(super) fn is_of_entry(&self) -> bool {
        matches!(self, Self::Entry { .. })
    }

    /// Whether it is only that the config lets an iteration read no more pages.
    pub(super) fn is_cap(&self) -> bool {
        matches!(self, Self::Capped { .. })
    }

    /// Whether it is only that the API was called back, as its entry or its checkpoint has changed.
    #[must_use]
    pub fn is_recall(&self) -> bool {
        matches!(self, Self::Fetch { cause: FetchError::Recalled, .. } | Self::Ship(ShipError::Recalled))
    }

    /// Whether the output took not all.
    pub(super) fn is_of_output(&self) -> bool {
        match self {
            Self::Ship(error) => error.is_of_output(),
            Self::LeftBehind { is_failing } => *is_failing,
            _ => false,
        }
    }

    /// Whether it is only that the process stops.
    #[must_use]
    pub fn is_stop(&self) -> bool {
        matches!(self, Self::Fetch { cause: FetchError::Stopped, .. } | Self::Ship(ShipError::Stopped))
    }
}

fn left_behind(is_failing: bool) -> &'static str {
    if is_failing { "does not take its batch" } else { "is not done yet" }
}

/// How many entries failed besides the one that is named.
fn and_others(others: u64) -> String {
    match others {
        0 => String::new(),
        1 => "; another entry failed, too".to_owned(),
        others => format!("; {others} other entries failed, too"),
    }
}

/// The status of an answer, whoever gave it.
pub(super) fn status_of(cause: &FetchError) -> Option<StatusCode> {
    match cause {
        FetchError::Elsewhere { status, .. } => Some(*status),
        other => other.status(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::delivery::cant_remember;
    use super::*;

    #[test]
    fn what_the_cluster_does_not_take_is_not_blamed_on_the_disk() {
        let made: [fn(io::Error) -> IterationError; 3] =
            [IterationError::of_state, IterationError::of_memory, |cause| cant_remember(cause).into()];
        for make in made {
            for (unwritten, anchor) in [
                (UnwrittenError::Lost, "cluster-replaced"),
                (UnwrittenError::Edited, "cluster-replaced"),
                (UnwrittenError::TooLarge, "cluster-unwritten"),
                (UnwrittenError::Unanswered, "cluster-unwritten"),
                (UnwrittenError::Closed, "stopped"),
            ] {
                let error = make(unwritten.into());
                let told = (error.to_string(), error.hint(&Auth::OwnHeader), error.anchor());
                assert_eq!(told, (unwritten.to_string(), unwritten.hint(), anchor));
            }
            let error = make(io::Error::other("no space"));
            assert!(["disk-full", "delivered-unknown"].contains(&error.anchor()), "{error}");
        }
    }
}
