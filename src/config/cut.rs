//! Values that end at a `#` that was not meant to begin a comment: told of as warnings. Pure.

use super::diagnostic::Diagnostic;
use super::reference::shown_key;
use crate::text::is_secret_name;

/// How many values that are cut are told of.
const CUT_MAX: usize = 20;

/// Values that look like secrets or URLs and end where YAML takes the rest for a comment: `key: abc #def`. Such a value is
/// valid, and wrong. Who writes a comment leaves a blank behind the `#`.
pub(super) fn cut_by_comment(text: &str) -> Vec<Diagnostic> {
    let mut block: Option<usize> = None;
    let cut = text.lines().enumerate().filter_map(|(at, line)| {
        let indent = line.len() - line.trim_start_matches([' ', '-']).len();
        // The lines of a block (`|`, `>`) are text, comments and all.
        if block.is_some_and(|outer| indent > outer || line.trim().is_empty()) {
            return None;
        }
        block = None;
        let (key, value) = line.get(indent..)?.split_once(": ")?;
        let value = value.trim_start();
        block = value.starts_with(['|', '>']).then_some(indent);
        is_cut(key, value).then(|| Diagnostic {
            path: shown_key(key).to_owned(),
            line: Some(at + 1),
            what: "the value ends before the `#`: behind a blank it begins a comment".to_owned(),
            hint: Some("if the rest belongs to the value, put the whole value into quotes".to_owned()),
        })
    });
    cut.take(CUT_MAX).collect()
}

/// Whether a value without quotes is cut. What is filled in is whole before the `#`.
fn is_cut(key: &str, value: &str) -> bool {
    let Some((before, after)) = value.split_once(" #") else { return false };
    let is_text = !value.starts_with(['\'', '"', '|', '>', '{', '[', '&', '*', '!', '#']);
    let is_whole = before.trim_end().ends_with(['}', '>']);
    let is_comment = after.chars().next().is_none_or(|c| c.is_whitespace() || c == '#');
    let is_likely = is_secret_name(key) || ["id", "url"].contains(&key) || value.starts_with("http");
    let is_text = is_text && !key.starts_with('#');
    is_text && is_likely && !is_whole && !is_comment
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_that_is_cut_at_a_comment_is_told() {
        let lines = |text: &str| cut_by_comment(text).into_iter().filter_map(|cut| cut.line).collect::<Vec<_>>();
        let text = "a:\n  key: abc #def\n  - id: x #y\n  url: https://api.example/a #b\n  Next: http://x #y\n";
        assert_eq!(lines(text), [2, 3, 4, 5]);
        for fine in [
            "key: abc # a comment",
            "key: abc#def",
            "key: 'abc #def'",
            "key: \"abc #def\"",
            "key: ${KEY} #production",
            "key: <<KEY>> #yours",
            "key: abc ##",
            "key: abc #",
            "key: #nothing",
            "name: events #2",
            "# key: abc #def",
            "token: |\n  key: abc #def\n\n  key: abc #def",
        ] {
            assert_eq!(lines(fine), [0_usize; 0], "{fine}");
        }
        assert_eq!(lines("token: |\n  key: abc #def\nkey: abc #def"), [3]);
        let many = "key: abc #def\n".repeat(100);
        assert_eq!(lines(&many).len(), CUT_MAX);
    }

    #[test]
    fn no_text_is_shown_that_is_cut() {
        proptest!(|(text in "[a-c: #'\"|\n-]{0,40}")| {
            for cut in cut_by_comment(&text) {
                prop_assert!(cut.line.is_some_and(|line| line <= text.lines().count()));
            }
        });
        let shown = cut_by_comment("hunter2_key: abc #def").pop().expect("it is cut").to_string();
        assert!(!shown.contains("hunter2") && !shown.contains("abc") && !shown.contains("def"), "{shown}");
    }
}
