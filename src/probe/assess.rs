//! What the dates of two pages tell: the order of an API, and what it makes of a start date. Pure.

use chrono::{DateTime, Utc};

use crate::template::Granularity;
use crate::window::{ChainOrder, Direction};

/// The order of a page's dates; nothing where it can't be told, as they are all the same.
#[must_use]
pub fn order(dates: &[DateTime<Utc>]) -> Option<Direction> {
    let mut order = ChainOrder::default();
    dates.iter().for_each(|date| order.see(*date));
    order.direction()
}

/// Why no start date can be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconclusive {
    /// There is nothing to compare.
    #[error("fewer than two records have a date")]
    TooFew,
    /// No start date lies between two records.
    #[error("all records are of one date, as a start date is written")]
    OneDate,
}

/// The date to try as a start: one from the middle of a page, such that a record lies before it as it is sent.
///
/// A date that is sent as it is comes first, as only such a one tells whether a start is inclusive.
///
/// # Errors
/// Where no date of the page separates its records.
pub fn start_to_try(dates: &[DateTime<Utc>], granularity: Granularity) -> Result<DateTime<Utc>, Inconclusive> {
    let oldest = dates.iter().min().filter(|_| dates.len() > 1).ok_or(Inconclusive::TooFew)?;
    let mut able: Vec<DateTime<Utc>> = dates.iter().copied().filter(|date| granularity.sent(*date) > *oldest).collect();
    able.sort_unstable();
    able.dedup();
    let exact: Vec<DateTime<Utc>> = able.iter().copied().filter(|date| granularity.sent(*date) == *date).collect();
    let of = if exact.is_empty() { able } else { exact };
    // Not the newest: an answer without anything later would leave everything open.
    of.get(of.len().saturating_sub(1) / 2).copied().ok_or(Inconclusive::OneDate)
}

/// What an API makes of a start date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing older came.
    Honoured(Edge),
    /// So many older records came all the same.
    Ignored(usize),
    /// Nothing came, although the page before has records from after it.
    Empty,
    /// Nothing came, and nothing on the page before is from after it: it is honoured and exclusive, or not understood.
    Unsure,
    /// Records came, none of them with a date.
    Undated,
    /// Nothing older came, but without the start date nothing older comes any more, either: the API has moved on.
    Moved,
}

/// Holds a verdict against the answer to a request from long before: what is honoured must have left something out.
#[must_use]
pub fn confirmed(assessed: Start, sent: DateTime<Utc>, control: &[Option<DateTime<Utc>>]) -> Start {
    let leaves_out = control.iter().flatten().any(|date| *date < sent);
    match assessed {
        Start::Honoured(_) if !leaves_out => Start::Moved,
        assessed => assessed,
    }
}

/// Whether the start date itself belongs to the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The records of that date came again.
    Inclusive,
    /// They didn't.
    Exclusive,
    /// No record is of exactly that date: the dates are finer than a start date is written.
    Inconclusive,
}

/// Assesses by the dates of the page `before`, and by the records of the answer to the same request from `sent` on.
#[must_use]
pub fn start(sent: DateTime<Utc>, before: &[DateTime<Utc>], after: &[Option<DateTime<Utc>>]) -> Start {
    if after.is_empty() {
        let has_later = before.iter().any(|date| *date > sent);
        return if has_later { Start::Empty } else { Start::Unsure };
    }
    let dates: Vec<DateTime<Utc>> = after.iter().copied().flatten().collect();
    let older = dates.iter().filter(|date| **date < sent).count();
    match (dates.is_empty(), older) {
        (true, _) => Start::Undated,
        (false, 0) => Start::Honoured(edge(sent, before, &dates)),
        (false, older) => Start::Ignored(older),
    }
}

/// An API whose starts are exclusive gives nothing of that very date, be it on the page before or new.
fn edge(sent: DateTime<Utc>, before: &[DateTime<Utc>], after: &[DateTime<Utc>]) -> Edge {
    match (before.contains(&sent), after.contains(&sent)) {
        (_, true) => Edge::Inclusive,
        (true, false) => Edge::Exclusive,
        (false, false) => Edge::Inconclusive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::date;

    fn at(text: &str) -> DateTime<Utc> {
        date::parse(&format!("2024-05-28T{text}Z")).expect("a date")
    }

    fn all(texts: &[&str]) -> Vec<DateTime<Utc>> {
        texts.iter().map(|text| at(text)).collect()
    }

    #[test]
    fn the_order_is_told_where_there_is_one() {
        use Direction::{Mixed, NewestFirst, OldestFirst};
        for (dates, expected) in [
            (&["10:00:02", "10:00:02", "10:00:01"][..], Some(NewestFirst)),
            (&["10:00:01", "10:00:02", "10:00:02"], Some(OldestFirst)),
            (&["10:00:01", "10:00:03", "10:00:02"], Some(Mixed)),
            (&["10:00:01", "10:00:01"], None),
            (&["10:00:01"], None),
            (&[], None),
        ] {
            assert_eq!(order(&all(dates)), expected, "{dates:?}");
        }
    }

    #[test]
    fn the_date_to_try_has_an_older_record_as_it_is_sent() {
        use Granularity::{Day, Second};
        for (dates, granularity, expected) in [
            (&["10:00:03", "10:00:02", "10:00:01"][..], Second, Ok("10:00:02")),
            (&["10:00:02", "10:00:01"], Second, Ok("10:00:02")),
            (&["10:00:04", "10:00:03", "10:00:02", "10:00:01"], Second, Ok("10:00:03")),
            (&["10:00:03.5", "10:00:02.5", "10:00:01.5"], Second, Ok("10:00:02.5")),
            (&["10:00:03.5", "10:00:02", "10:00:01.5"], Second, Ok("10:00:02")),
            (&["10:00:01.9", "10:00:01.2"], Second, Err(Inconclusive::OneDate)),
            (&["10:00:01", "10:00:01"], Second, Err(Inconclusive::OneDate)),
            (&["10:00:03", "09:00:00"], Day, Err(Inconclusive::OneDate)),
            (&["10:00:01"], Second, Err(Inconclusive::TooFew)),
            (&[], Second, Err(Inconclusive::TooFew)),
        ] {
            assert_eq!(start_to_try(&all(dates), granularity), expected.map(at), "{dates:?} {granularity:?}");
        }
        let days =
            [date::parse("2024-05-28T10:00:00Z"), date::parse("2024-05-27T10:00:00Z")].map(|d| d.expect("a date"));
        assert_eq!(start_to_try(&days, Day), Ok(days[0]));
    }

    #[track_caller]
    fn check(sent: &str, before: &[&str], after: &[&str], expected: Start) {
        let seen = |dates: &[&str]| -> Vec<Option<DateTime<Utc>>> {
            dates.iter().map(|text| (*text != "none").then(|| at(text))).collect()
        };
        let dated: Vec<DateTime<Utc>> = seen(before).into_iter().flatten().collect();
        assert_eq!(start(at(sent), &dated, &seen(after)), expected, "{sent} {before:?} {after:?}");
    }

    #[test]
    fn what_is_honoured_must_leave_something_out() {
        let (sent, honoured) = (at("10:00:02"), Start::Honoured(Edge::Exclusive));
        let dates = |texts: &[&str]| texts.iter().map(|text| Some(at(text))).collect::<Vec<_>>();
        assert_eq!(confirmed(honoured, sent, &dates(&["10:00:03", "10:00:01"])), honoured);
        assert_eq!(confirmed(honoured, sent, &dates(&["10:00:09", "10:00:08"])), Start::Moved);
        assert_eq!(confirmed(honoured, sent, &[None]), Start::Moved);
        assert_eq!(confirmed(Start::Ignored(2), sent, &[]), Start::Ignored(2));
    }

    #[test]
    fn a_start_is_judged_by_what_comes_again() {
        let page = ["10:00:03", "10:00:02", "10:00:01"];
        check("10:00:02", &page, &["10:00:03", "10:00:02"], Start::Honoured(Edge::Inclusive));
        check("10:00:02", &page, &["10:00:04", "10:00:03"], Start::Honoured(Edge::Exclusive));
        check("10:00:02", &page, &page, Start::Ignored(1));
        check("10:00:03", &page, &page, Start::Ignored(2));
        check("10:00:02", &page, &[], Start::Empty);
        check("10:00:03", &page, &[], Start::Unsure);
        check("10:00:02", &page, &["none"], Start::Undated);
        check("10:00:02", &page, &["none", "10:00:03"], Start::Honoured(Edge::Exclusive));
        let fractions = ["10:00:03.5", "10:00:02.5", "10:00:01.5"];
        check("10:00:02", &fractions, &["10:00:03.5", "10:00:02.5"], Start::Honoured(Edge::Inconclusive));
        check("10:00:02", &fractions, &fractions, Start::Ignored(1));
        check("10:00:02", &["none", "10:00:03"], &["10:00:03"], Start::Honoured(Edge::Inconclusive));
    }
}
