//! Foreign text as YAML: a scalar that reads back as it is, a comment that ends where its line does.

/// How long a foreign piece of a comment may be, in characters.
const COMMENT_CHARS_MAX: usize = 160;
/// Words that YAML readers take for something else than text.
const NOT_TEXT: [&str; 8] = ["true", "false", "null", "yes", "no", "on", "off", "y"];

/// A text as a scalar of one line.
#[must_use]
pub(super) fn scalar(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    if text.chars().all(is_printable) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut quoted = "\"".to_owned();
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            _ if is_printable(char) => quoted.push(char),
            _ => quoted.push_str(&format!("\\U{:08x}", u32::from(char))),
        }
    }
    quoted.push('"');
    quoted
}

/// A text as a piece of a comment: on one line, of bounded length.
#[must_use]
pub(super) fn comment(text: &str) -> String {
    let mut piece: String =
        text.chars().take(COMMENT_CHARS_MAX).map(|c| if is_printable(c) { c } else { '?' }).collect();
    if text.chars().nth(COMMENT_CHARS_MAX).is_some() {
        piece.push('…');
    }
    piece
}

/// Whether a text needs no quotes: fewer than YAML asks for, as a reader can't see at a glance what those are.
fn is_plain(text: &str) -> bool {
    let begins = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let goes_on = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:".contains(c)) && !text.ends_with(':');
    begins && goes_on && !NOT_TEXT.contains(&text.to_ascii_lowercase().as_str())
}

/// Whether YAML takes a character as it is (YAML 1.2, `c-printable`), and it breaks no line and hides nothing.
fn is_printable(char: char) -> bool {
    let hides = matches!(char, '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_refused = char.is_control() || matches!(char, '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    !hides && !is_refused
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_text_reads_back_as_it_is_and_no_comment_breaks_the_line() {
        let texts = prop_oneof![any::<String>(), "[a-z:#'\"\\\\{}<>&*!|%@`,\\[\\] \n\t\u{85}\u{2028}-]{0,8}"];
        proptest!(|(text in texts)| {
            let document = format!("a: {} # {}\nb: 1\n", scalar(&text), comment(&text));
            let read: serde_json::Value = serde_yaml::from_str(&document).unwrap_or_else(|e| panic!("{document}: {e}"));
            prop_assert_eq!(read["a"].as_str(), Some(text.as_str()), "{}", document);
            prop_assert_eq!(&read["b"], 1, "{}", document);
        });
    }

    #[test]
    fn quotes_stand_only_where_they_are_needed() {
        for (text, expected) in [
            ("a.b", "a.b"),
            ("@odata.nextLink", "'@odata.nextLink'"),
            ("it's", "'it''s'"),
            ("No", "'No'"),
            ("12", "'12'"),
            ("", "''"),
            ("a\nb", "\"a\\U0000000ab\""),
        ] {
            assert_eq!(scalar(text), expected);
        }
        assert_eq!(comment("a\nb\u{2028}c"), "a?b?c");
    }
}
