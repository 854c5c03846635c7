//! What a replay says: its summary, and where it asked for something else.

use std::fmt::Write;

use super::file::Cassette;
use super::play::PlayOutcome;
use crate::record::date;
use crate::text::humanize::counted;
use crate::transport::{Difference, differences};

/// The longest text of a part that is shown.
const SHOWN_CHARS_MAX: usize = 300;

/// One line an iteration.
#[must_use]
pub fn summary_in_words(cassette: &Cassette, played: &PlayOutcome) -> String {
    let mut out = String::new();
    for (number, iteration) in played.iterations.iter().enumerate() {
        let at = cassette.iterations.get(number).map(|recorded| date::format(recorded.at)).unwrap_or_default();
        let requests = counted(iteration.requests as u64, "request");
        let shipped = counted(iteration.shipped, "record");
        let checkpoint = iteration.checkpoint.map_or_else(|| "none".to_owned(), date::format);
        let failed = iteration.failed.as_ref().map(|failed| format!("; failed: {failed}")).unwrap_or_default();
        let number = number + 1;
        let _ =
            writeln!(out, "iteration {number} at {at}: {requests}, {shipped} shipped, checkpoint {checkpoint}{failed}");
    }
    out
}

/// What isn't as it was recorded; nothing where everything is.
#[must_use]
pub fn difference_in_words(cassette: &Cassette, played: &PlayOutcome) -> Option<String> {
    if let Some(difference) = &played.difference {
        return Some(request_in_words(difference));
    }
    for (number, (now, recorded)) in played.iterations.iter().zip(&cassette.iterations).enumerate() {
        let number = number + 1;
        if now.requests != now.recorded {
            let (made, recorded) = (now.requests, now.recorded);
            return Some(format!("iteration {number} makes {made} of {recorded} recorded requests, and ends"));
        }
        if now.shipped != recorded.shipped {
            let (now, then) = (now.shipped, recorded.shipped);
            return Some(format!("iteration {number} ships {now} records; recorded are {then}"));
        }
        match (&now.failed, &recorded.failed) {
            (Some(failed), None) => return Some(format!("iteration {number} fails, and did not: {failed}")),
            (None, Some(failed)) => return Some(format!("iteration {number} does not fail, and did: {failed}")),
            _ => {}
        }
    }
    let (played, recorded) = (played.iterations.len(), cassette.iterations.len());
    (played != recorded).then(|| format!("{played} of {recorded} iterations were played"))
}

/// A request that isn't the recorded one, part by part.
fn request_in_words(difference: &Difference) -> String {
    let Difference { number, recorded, made } = difference;
    let Some(recorded) = recorded else {
        let url = cut(made.url.as_str());
        return format!("request {number} is not recorded, as the cassette is over:\n  + {} {url}", made.method);
    };
    let mut out = format!("request {number} is not as recorded (- recorded, + asked for):");
    for part in differences(recorded, made) {
        let _ = write!(out, "\n  {}", part.part);
        for (mark, text) in [("-", &part.recorded), ("+", &part.made)] {
            let _ = match text {
                Some(text) => write!(out, "\n  {mark} {}", cut(text)),
                None => write!(out, "\n  {mark} (nothing)"),
            };
        }
    }
    out
}

fn cut(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}
