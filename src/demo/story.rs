//! What `demo` tells of the fetcher's log, and what it has to see before it goes on. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

/// How many columns a line takes at most: one less than a terminal has, so that nothing wraps.
pub const COLUMNS_MAX: usize = 79;
/// The name that the mock Cisco API has in the config.
pub const CISCO: &str = "cisco";
/// The name that the mock Microsoft Graph has in the config.
pub const GRAPH: &str = "azure sign-ins";

/// What Cisco has of records before the page that fails.
const SAVED_IN_THE_MIDDLE: u64 = super::FAILING_OFFSET as u64;

/// A line of the fetcher's log.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LogLine {
    timestamp: String,
    level: String,
    message: String,
    api: String,
    cause: String,
    records: u64,
    duplicates: u64,
}

/// What was seen of the log.
#[derive(Debug, Default)]
pub struct Story {
    /// How many records came again and were left out, in all.
    pub duplicates: u64,
    apis: BTreeMap<String, ApiProgress>,
}

/// What was seen of one API since the last [`Story::turn_page`].
#[derive(Debug, Default)]
struct ApiProgress {
    /// Records of which the delivery is saved.
    saved: u64,
    /// Requests that are tried again.
    retries: u64,
    /// Iterations that have ended well.
    done: u64,
}

impl LogLine {
    /// Reads a line as the fetcher writes it with `--log-format json`. Any other text is a message.
    #[must_use]
    pub fn parse(line: &str) -> Self {
        serde_json::from_str(line).unwrap_or_else(|_| Self { message: line.to_owned(), ..Self::default() })
    }

    /// The time of day, in UTC: `HH:MM:SS`.
    #[must_use]
    pub fn time(&self) -> &str {
        self.timestamp.get(11..19).unwrap_or("--:--:--")
    }

    /// Whether it tells of a failure.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.level == "ERROR"
    }
}

impl Story {
    /// Takes in a line of the log. Returns what to tell of it, or `None` if there is nothing to tell.
    pub fn hear(&mut self, line: &LogLine) -> Option<String> {
        let seen = self.apis.entry(line.api.clone()).or_default();
        match line.message.as_str() {
            "a batch is delivered and remembered" => {
                seen.saved += line.records;
                Some(format!("{:<15} {:>4} records delivered and saved", line.api, line.records))
            }
            "iteration done" => {
                seen.done += 1;
                self.duplicates += line.duplicates;
                (line.duplicates > 0)
                    .then(|| format!("{:<15} {:>4} duplicates came again, left out", line.api, line.duplicates))
            }
            "going on where the last iteration was cut" => {
                Some(format!("{:<15}      goes on where it was killed", line.api))
            }
            message if message.starts_with("retrying in") => {
                seen.retries += 1;
                let cause = line.cause.split_once(" answered ").map_or(line.cause.as_str(), |(_, status)| status);
                let cause = cause.split(':').next().unwrap_or_default();
                Some(format!("{:<15}      {cause}, {message}", line.api))
            }
            message if ["WARN", "ERROR"].contains(&line.level.as_str()) => {
                Some(format!("{:<15}      {message} {}", line.api, line.cause))
            }
            _ => None,
        }
    }

    /// Forgets what was seen of each API: from now on only what follows counts.
    pub fn turn_page(&mut self) {
        self.apis.clear();
    }

    /// Whether Cisco's iteration is in its middle: all before the page that fails is delivered and saved, so that nothing is on
    /// its way, and the rest waits for the 503 to pass.
    #[must_use]
    pub fn is_in_the_middle(&self) -> bool {
        let is_cut = self.apis.get(CISCO).is_some_and(|seen| seen.retries > 0 && seen.saved >= SAVED_IN_THE_MIDDLE);
        is_cut && self.apis.get(GRAPH).is_some_and(|seen| seen.done > 0)
    }

    /// Whether each API has ended so many iterations.
    #[must_use]
    pub fn has_done(&self, iterations: u64) -> bool {
        [CISCO, GRAPH].iter().all(|name| self.apis.get(*name).is_some_and(|seen| seen.done >= iterations))
    }
}

/// A line of the demo: never wider than a terminal.
#[must_use]
pub fn line(time: &str, text: &str) -> String {
    let line = format!("{time}  {text}");
    match line.char_indices().nth(COLUMNS_MAX - 1) {
        Some((at, _)) if line.chars().count() > COLUMNS_MAX => line.get(..at).unwrap_or_default().to_owned() + "…",
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(story: &mut Story, api: &str, message: &str, more: &str) -> Option<String> {
        let line = format!(
            r#"{{"timestamp":"2026-11-26T20:41:07.000001Z","level":"INFO","message":"{message}","api":"{api}"{more}}}"#
        );
        let line = LogLine::parse(&line);
        assert_eq!((line.time(), line.is_error()), ("20:41:07", false));
        story.hear(&line)
    }

    #[test]
    fn the_middle_is_where_a_part_is_saved_and_the_rest_waits() {
        let mut story = Story::default();
        let cause = r#","cause":"http://127.0.0.1:1/v1/events answered 503 Service Unavailable: later""#;
        let told = hear(&mut story, CISCO, "retrying in 5.0 s", cause).unwrap();
        assert_eq!(told, "cisco                503 Service Unavailable, retrying in 5.0 s");
        assert!(hear(&mut story, GRAPH, "iteration done", r#","records":180,"duplicates":0"#).is_none());
        for _ in 0..2 {
            assert!(!story.is_in_the_middle(), "a batch may be on its way");
            let told = hear(&mut story, CISCO, "a batch is delivered and remembered", r#","records":100"#).unwrap();
            assert_eq!(told, "cisco            100 records delivered and saved");
        }
        assert!(story.is_in_the_middle() && !story.has_done(1));
        hear(&mut story, CISCO, "iteration done", r#","duplicates":3"#).unwrap();
        assert!(story.has_done(1) && story.duplicates == 3);
        story.turn_page();
        assert!(!story.has_done(1) && story.duplicates == 3);
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        for text in ["", "é", &"é".repeat(69), &"é".repeat(70), &"é".repeat(500)] {
            let line = line("20:41:07", text);
            assert!(line.chars().count() <= COLUMNS_MAX && line.ends_with('…') == (text.chars().count() > 69));
        }
        let foreign = LogLine::parse("no JSON");
        assert_eq!((foreign.time(), foreign.message.as_str()), ("--:--:--", "no JSON"));
    }
}
