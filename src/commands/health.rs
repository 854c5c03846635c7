//! `health`: asks the daemon itself, by the address in its lock file.

use std::path::Path;

use serde_json::json;

use super::{Exit, StateFolder, print};
use crate::status::ask_on;

pub(super) fn health(config: &Path, as_json: bool) -> Exit {
    let word = ask_on(config, |config| StateFolder::of(config).path);
    print(&if as_json { in_json(&word.text) } else { word.text });
    if word.is_healthy { Exit::Clean } else { Exit::Failed }
}

/// The word `STATUS: SUMMARY` with its lines of details, for programs.
fn in_json(text: &str) -> String {
    let mut lines = text.lines();
    let (status, summary) = lines.next().and_then(|line| line.split_once(": ")).unwrap_or(("unhealthy", text));
    json!({ "status": status, "summary": summary, "details": lines.collect::<Vec<_>>() }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_json_for_programs() {
        assert_eq!(
            in_json("degraded: 1 of 2 APIs failing\na: page 1: \"no\" luck"),
            r#"{"status":"degraded","summary":"1 of 2 APIs failing","details":["a: page 1: \"no\" luck"]}"#
        );
    }
}
