//! Spans of time as people write them. Pure.

use std::time::Duration;

/// The longest span a config may give, in minutes (ten years): far beyond any use, and far from any overflow.
pub(super) const MINUTES_MAX: f64 = 10.0 * 365.0 * 24.0 * 60.0;

/// Minutes, or a number with a unit.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    let text = text.trim();
    let is_plain = text.parse::<f64>().is_ok();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).filter(|at| *at > 0 && !is_plain).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let minutes_each = match unit.trim() {
        "" | "m" | "min" => 1.0,
        "s" | "sec" => 1.0 / 60.0,
        "h" => 60.0,
        "d" => 24.0 * 60.0,
        _ => return Err("it is not a duration"),
    };
    let minutes = number.trim().parse::<f64>().map_err(|_| "it is not a duration")? * minutes_each;
    if minutes < 0.0 {
        return Err("it can't be negative");
    }
    if minutes > MINUTES_MAX {
        return Err("it is longer than ten years");
    }
    Duration::try_from_secs_f64(minutes * 60.0).map_err(|_| "it is not a duration")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_spans_of_time() {
        for (text, seconds) in [
            ("5", 300.0),
            ("0.5", 30.0),
            ("30s", 30.0),
            ("5m", 300.0),
            ("1h", 3600.0),
            ("1.5 h", 5400.0),
            ("1e1", 600.0),
            ("1d", 86400.0),
        ] {
            assert_eq!(duration(text).map(|span| span.as_secs_f64()), Ok(seconds), "{text}");
        }
        for text in ["", "-1", "soon", "5x", "NaN", "inf", "1e99", "5 m 3"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
