//! What is wrong with the body of a success, as far as that shows without reading it as a page. Pure.

/// The longest title of a web page that is shown, in characters.
const TITLE_CHARS_MAX: usize = 100;
/// How far into a web page its title is looked for.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// So many bytes never fill a counter of eight bits.
const PIECE_BYTES: usize = 64;

/// What is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is a web page, with a title or without.
    WebPage(Option<String>),
    /// There is nothing in it.
    Empty,
    /// It ends before its end.
    Cut,
}

/// Looks at a body. What is no JSON at all isn't looked at.
pub(super) fn of(text: &str) -> Option<Flaw> {
    let text = text.trim();
    match text.as_bytes().first() {
        None => Some(Flaw::Empty),
        Some(b'<') => web_page(text).map(Flaw::WebPage),
        Some(b'{' | b'[') => is_cut(text).then_some(Flaw::Cut),
        _ => None,
    }
}

/// Whether a text is a web page; then its title, where it has one.
pub(super) fn web_page(text: &str) -> Option<Option<String>> {
    let text = text.trim_start();
    let head = text.as_bytes().get(..HEAD_BYTES_MAX).unwrap_or(text.as_bytes());
    let head = String::from_utf8_lossy(head);
    let lower = head.to_ascii_lowercase();
    let is_page =
        lower.starts_with('<') && ["<html", "<!doctype html", "<head", "<body"].iter().any(|tag| lower.contains(tag));
    is_page.then(|| {
        let start = lower.find("<title").and_then(|at| Some(at + lower.get(at..)?.find('>')? + 1))?;
        let title = head.get(start..)?.split('<').next()?;
        let words = title.split_whitespace().collect::<Vec<_>>().join(" ");
        let title: String = words.chars().take(TITLE_CHARS_MAX).collect();
        Some(title).filter(|title| !title.is_empty())
    })
}

/// Whether JSON ends before its end. The counts of brackets are nearly free, and only where they don't match it is read:
/// brackets may stand in strings, too.
fn is_cut(text: &str) -> bool {
    if text.ends_with(['}', ']']) && unclosed(text) == (0, 0) {
        return false;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    values.find_map(Result::err).is_some_and(|error| error.is_eof())
}

/// How many braces and brackets are opened beyond those that are closed. In short pieces with small counters, as that is
/// what the compiler does sixteen bytes at a time.
fn unclosed(text: &str) -> (i64, i64) {
    let of_piece = |piece: &[u8]| {
        piece.iter().fold((0_i8, 0_i8), |(braces, brackets), byte| {
            let is = |bracket: u8| i8::from(*byte == bracket);
            (braces + is(b'{') - is(b'}'), brackets + is(b'[') - is(b']'))
        })
    };
    text.as_bytes().chunks(PIECE_BYTES).map(of_piece).fold(
        (0, 0),
        |(braces, brackets), (more_braces, more_brackets)| {
            (braces + i64::from(more_braces), brackets + i64::from(more_brackets))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn web_pages_are_named_by_their_titles() {
        let page = |title: Option<&str>| Some(Flaw::WebPage(title.map(str::to_owned)));
        assert_eq!(of("<html>Service temporarily unavailable</html>"), page(None));
        assert_eq!(of(" <!DOCTYPE html>\n<HTML><head><TITLE lang=x>Sign\n in </TITLE>"), page(Some("Sign in")));
        assert_eq!(of("<?xml version=\"1.0\"?><error/>"), None);
        assert_eq!(of("<title"), None);
    }

    #[test]
    fn nothing_is_a_flaw_and_other_kinds_are_not() {
        assert_eq!(of(" \n"), Some(Flaw::Empty));
        for text in ["id,date\n1,2", "null", "{\"a\":1}\n{\"a\":2}\n", r#"{"a":"}"}"#, r#"["\"]"]"#, "{oops}"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn json_is_cut_wherever_it_ends_too_early_and_nowhere_else() {
        proptest!(|(text in "[a-c{}\\[\\]\"\\\\]{0,12}", cut in 1_usize..60)| {
            let whole = serde_json::json!({ "data": [{ &text: [1, { "b": &text }] }], "x": {} }).to_string();
            prop_assert_eq!(of(&whole), None, "{}", &whole);
            let cut = whole.get(..cut.min(whole.len() - 1)).unwrap_or("{");
            // Where brackets in strings make up for those that are missing it isn't seen here, and the page's reader fails.
            if text.is_empty() || !text.contains(['{', '}', '[', ']']) {
                prop_assert_eq!(of(cut), Some(Flaw::Cut), "{}", cut);
            }
        });
    }
}
