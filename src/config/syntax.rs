//! What is said of a text that is no YAML. Pure.

use super::diagnostic::Diagnostic;
use super::document::{SyntaxError, SyntaxErrorKind};
use super::plain::NOT_SHOWN;
use super::reference::shown_key;

/// The error, and what to do about it.
pub(super) fn diagnostic(error: &SyntaxError, text: &str) -> Diagnostic {
    let line = error.line.and_then(|line| text.lines().nth(line.checked_sub(1)?)).unwrap_or_default();
    let (what, hint) = match &error.kind {
        SyntaxErrorKind::Twice(key) => {
            let key = key.as_ref().map_or(NOT_SHOWN, |key| shown_key(key.expose()));
            (format!("duplicate entry with key `{key}`"), "keep one of the two")
        }
        SyntaxErrorKind::Unfit => {
            ("a number is too large, or a value does not fit its tag".to_owned(), "put it into quotes")
        }
        SyntaxErrorKind::Other(what) => (what.clone(), yaml_hint(line)),
    };
    Diagnostic::of_file(format!("invalid YAML: {what}"), error.line, hint)
}

/// What people do to a line that is no YAML any more.
fn yaml_hint(line: &str) -> &'static str {
    let value = line.split_once(": ").map_or("", |(_, value)| value.trim_start());
    let indent: &str = line.get(..line.len() - line.trim_start().len()).unwrap_or_default();
    match value.chars().next() {
        _ if indent.contains('\t') => "the line is indented with a tab: indent with spaces",
        Some('@' | '`' | '%') => "put the value into quotes: it begins with a character that YAML reserves",
        Some('{' | '[' | '*' | '&' | '!') => {
            "put the value into quotes, unless it is meant to be a list or a mapping, which has to be closed"
        }
        Some('\'' | '"') => "the quotes are not closed, or something follows them",
        Some(_) if value.contains(": ") => "put the value into quotes: it holds `: `",
        _ => "check the indentation, and the quotes around special characters",
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::Document;
    use super::*;

    fn said(text: &str) -> String {
        let error = Document::parse(text).map(|document| document.root).expect_err(text);
        diagnostic(&error, text).to_string()
    }

    #[test]
    fn nothing_is_shown_that_may_be_a_value() {
        for text in
            ["hunter2: 1\nhunter2: 2\n", "a: {\"hun\\\"ter2\": 1, \"hun\\\"ter2\": 2}\n", "hunter2: {a: !!int x}\n"]
        {
            assert!(!said(text).contains("ter2"), "{}", said(text));
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_named() {
        let expected = "line 1: invalid YAML: duplicate entry with key `name` (keep one of the two)";
        assert_eq!(said("name: 1\nname: 2\n"), expected);
    }
}
