//! Plots of an API: records over time. Inline SVG, so that the page stays one file.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::day::{Day, HALF_HOUR, HALF_HOURS_MAX, HalfHour};
use super::snapshot::{RECENT_MAX, RecentIteration};
use crate::text::humanize::{counted, grouped, second, short};

/// A bar and the gap beside it, in units of the plot.
const BAR_STEP: f64 = 11.0;
const BAR_WIDTH: f64 = 8.0;
/// Where the bars begin; the scale stands before them.
const LEFT: f64 = 60.0;
const TOP: f64 = 10.0;
const HEIGHT: f64 = 110.0;
/// How high a bar is that stands for nothing.
const BAR_HEIGHT_MIN: f64 = 1.5;
/// How much of a bar that is cut is missing.
const CUT_HEIGHT: f64 = 4.0;
const FOOT: f64 = 30.0;
/// By how much the largest value may be above the 95th percentile before its bar is cut.
const OUTLIER_FACTOR: u64 = 3;
/// How many bars lie between two labels of the time axis.
const LABEL_EVERY: usize = 12;

/// How high a plot goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    /// The value at its top.
    pub(super) top: u64,
    /// The largest value; its bar is cut where it is above the top.
    pub(super) most: u64,
}

/// A scale that a few large values, like a first backfill, don't flatten: then it ends at the 95th percentile of what isn't
/// zero.
pub(super) fn scale(values: impl Iterator<Item = u64>) -> Scale {
    let mut values: Vec<u64> = values.filter(|value| *value > 0).collect();
    values.sort_unstable();
    let most = values.last().copied().unwrap_or_default();
    let p95 = values.get((values.len().saturating_sub(1)) * 95 / 100).copied().unwrap_or_default();
    Scale { top: if most > p95.saturating_mul(OUTLIER_FACTOR) { p95 } else { most }, most }
}

/// What is on the time axis: how many bars from the left, and the text.
type Label = (usize, String);

/// One bar.
struct Bar {
    records: u64,
    /// Whether a failure is shown.
    is_failed: bool,
    /// What is said of it.
    text: String,
}

/// The last iterations; a failed one is a bar of its own colour.
pub(super) fn iterations(recent: &VecDeque<RecentIteration>, now: DateTime<Utc>) -> Markup {
    let bars = recent.iter().map(|ended| Bar {
        records: ended.records,
        is_failed: ended.is_failed,
        text: format!(
            "{} UTC: {}, {} in {:.1} s{}",
            short(ended.at, now),
            counted(ended.records, "record"),
            counted(ended.pages, "page"),
            ended.seconds,
            if ended.is_failed { ", failed" } else { "" }
        ),
    });
    let (bars, first) = (bars.collect::<Vec<Bar>>(), RECENT_MAX.saturating_sub(recent.len()));
    let is_long = recent.front().is_some_and(|ended| now.signed_duration_since(ended.at) > TimeDelta::days(2));
    let format = if is_long { "%-d %b" } else { "%H:%M" };
    let labels = recent.iter().enumerate().step_by(LABEL_EVERY);
    let labels: Vec<Label> = labels.map(|(at, ended)| (first + at, ended.at.format(format).to_string())).collect();
    plot(
        &format!("Records per iteration, last {}", counted(recent.len() as u64, "iteration")),
        &bars,
        RECENT_MAX,
        &labels,
    )
}

/// The last 24 hours.
pub(super) fn day(day: &Day, now: DateTime<Utc>) -> Markup {
    let known: Vec<(DateTime<Utc>, HalfHour)> = day.half_hours(now).collect();
    let bars = known.iter().map(|(at, half_hour)| Bar {
        records: u64::from(half_hour.records),
        is_failed: half_hour.iterations > 0 && half_hour.failures == half_hour.iterations,
        text: format!(
            "from {} UTC: {}, {}, {} failed",
            at.format("%H:%M"),
            counted(u64::from(half_hour.records), "record"),
            counted(u64::from(half_hour.iterations), "iteration"),
            half_hour.failures
        ),
    });
    let bars: Vec<Bar> = bars.collect();
    let first = now.timestamp().div_euclid(HALF_HOUR) + 1 - HALF_HOURS_MAX as i64;
    let labels = (0..HALF_HOURS_MAX).filter_map(|at| {
        let begins = DateTime::from_timestamp((first + at as i64) * HALF_HOUR, 0)?;
        (begins.timestamp() % (LABEL_EVERY as i64 * HALF_HOUR) == 0).then(|| (at, begins.format("%H:%M").to_string()))
    });
    let since = match known.first() {
        Some((at, _)) if known.len() < HALF_HOURS_MAX => format!(", known since {}", at.format("%H:%M")),
        _ => String::new(),
    };
    plot(
        &format!("Records per half hour, last 24 hours{since}"),
        &bars,
        HALF_HOURS_MAX,
        &labels.collect::<Vec<Label>>(),
    )
}

/// Room for so many bars, the latest at the right.
fn plot(title: &str, bars: &[Bar], room: usize, labels: &[Label]) -> Markup {
    let scale = scale(bars.iter().map(|bar| bar.records));
    let (width, foot) = (LEFT + BAR_STEP * RECENT_MAX as f64 + 24.0, TOP + HEIGHT);
    // All plots are as wide.
    let step = BAR_STEP * RECENT_MAX as f64 / room as f64;
    let first = room.saturating_sub(bars.len());
    let failed = bars.iter().filter(|bar| bar.is_failed).count();
    let label = format!("{title}: at most {}, {failed} failed", grouped(scale.most));
    html! {
        figure {
            figcaption {
                (title)
                @if scale.most > scale.top { " · cut above " (grouped(scale.top)) ", at most " (grouped(scale.most)) }
                output aria-hidden="true" {}
            }
            svg .plot viewBox=(format!("0 0 {width} {}", foot + FOOT)) role="img" aria-label=(label) {
                path .grid d=(format!("M{LEFT} {TOP}H{width}M{LEFT} {}H{width}M{LEFT} {foot}H{width}", TOP + HEIGHT / 2.0)) {}
                @if scale.top > 0 { (value_label(scale.top, TOP)) }
                @if scale.top >= 2 && scale.top.is_multiple_of(2) { (value_label(scale.top / 2, TOP + HEIGHT / 2.0)) }
                (value_label(0, foot))
                @for (at, bar) in bars.iter().enumerate() { (column(bar, scale, LEFT + (first + at) as f64 * step, step)) }
                @for (at, text) in labels { (time_label(text, LEFT + *at as f64 * step, step, foot)) }
            }
        }
    }
}

/// Below the bar that it stands for.
fn time_label(text: &str, x: f64, step: f64, foot: f64) -> Markup {
    let x = x + step * BAR_WIDTH / BAR_STEP / 2.0;
    html! {
        path .grid d=(format!("M{x:.1} {foot}v5")) {}
        text x=(format!("{x:.1}")) y=(foot + 22.0) text-anchor="middle" { (text) }
    }
}

fn value_label(value: u64, y: f64) -> Markup {
    html! { text x=(LEFT - 6.0) y=(y + 4.0) text-anchor="end" { (abbreviated(value)) } }
}

/// A bar, in front of a column that is as high as the plot: hovering needs no aim.
fn column(bar: &Bar, scale: Scale, x: f64, step: f64) -> Markup {
    let share = if scale.top == 0 { 0.0 } else { bar.records.min(scale.top) as f64 / scale.top as f64 };
    let height = if bar.is_failed && bar.records == 0 { HEIGHT } else { (share * HEIGHT).max(BAR_HEIGHT_MIN) };
    let (class, is_cut) = (if bar.is_failed { "failed" } else { "done" }, bar.records > scale.top);
    let (width, y, foot) = (step * BAR_WIDTH / BAR_STEP, TOP + HEIGHT - height, TOP + HEIGHT);
    let body = match is_cut {
        // With a break near its top.
        true => {
            let (above, below) = (TOP + CUT_HEIGHT, TOP + 2.0 * CUT_HEIGHT);
            format!("M{x:.1} {TOP}h{width:.1}V{above}h-{width:.1}zM{x:.1} {below}h{width:.1}V{foot}h-{width:.1}z")
        }
        false => format!("M{x:.1} {y:.1}h{width:.1}V{foot}h-{width:.1}z"),
    };
    html! {
        g {
            title { (bar.text) }
            path .column d=(format!("M{x:.1} {TOP}h{step:.1}V{foot}h-{step:.1}z")) {}
            path class=(class) d=(body) {}
        }
    }
}

/// A number in four characters: `999`, `1.2k`, `35k`, `4.1M`.
fn abbreviated(number: u64) -> String {
    let mut rest = number as f64;
    for unit in ["", "k", "M", "G", "T"] {
        if rest < 1_000.0 {
            let has_tenth = !unit.is_empty() && rest < 10.0;
            return if has_tenth { format!("{rest:.1}{unit}") } else { format!("{rest:.0}{unit}") };
        }
        rest /= 1_000.0;
    }
    format!("{:.0}P", rest)
}

/// The values of both plots, for those who can't point at them.
pub(super) fn values<'e>(recent: impl DoubleEndedIterator<Item = &'e RecentIteration>) -> Markup {
    html! {
        details {
            summary { "Values of the last iterations" }
            table .values {
                thead { tr {
                    @for heading in ["Began (UTC)", "Records", "Pages", "Seconds", "Result"] { th scope="col" { (heading) } }
                } }
                tbody {
                    @for ended in recent.rev() {
                        tr {
                            td data-t=(ended.at.timestamp()) { (second(ended.at)) }
                            td { (grouped(ended.records)) }
                            td { (grouped(ended.pages)) }
                            td { (format!("{:.1}", ended.seconds)) }
                            td { (if ended.is_failed { "failed" } else { "OK" }) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backfill_does_not_flatten_what_comes_after_it() {
        let backfill = std::iter::once(1_000_000).chain((0..59).map(|at| at % 10));
        assert_eq!(scale(backfill), Scale { top: 9, most: 1_000_000 });
        assert_eq!(scale([5, 10, 12].into_iter()), Scale { top: 12, most: 12 });
        assert_eq!(scale([0, 0].into_iter()), Scale { top: 0, most: 0 });
        assert_eq!(scale([0, 7].into_iter()), Scale { top: 7, most: 7 });
    }

    #[test]
    fn numbers_on_the_axis_are_short() {
        let shown = [0, 999, 1_200, 35_000, 4_100_000].map(abbreviated);
        assert_eq!(shown, ["0", "999", "1.2k", "35k", "4.1M"]);
    }
}
