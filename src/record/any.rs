//! Answers that are read as the original fetcher reads them (`response.records: any`). Pure.
//!
//! Enters: the text of an answer. Leaves: JSON from which the page is read as any other. What always holds: an answer that is
//! JSON and has no records in texts is left as it was sent, and what is in a text keeps its bytes once it is unescaped.

use serde_json::Value;

use super::json::{JsonType, RawJson};
use super::path::JsonPath;

/// How many texts on the way to the records are stepped into: nobody puts JSON into JSON into JSON for long.
const TEXTS_MAX: usize = 8;
/// Answers that say `0` or `false` where others have a list of records are shorter than this.
const SHORT_BYTES_MAX: usize = 4 * 1024;

/// The answer as JSON in which records are objects, where it isn't that already; `None` where it is. A text that is no JSON
/// is one record where the whole answer is, and left to be refused where records stand at a path.
#[must_use]
pub fn unfolded(text: &str, data: &JsonPath) -> Option<String> {
    let is_whole = data.is_root();
    let may_hold_json = may_hold_json(text, data);
    if !may_hold_json && !is_whole && text.len() > SHORT_BYTES_MAX {
        return None;
    }
    let Ok(root) = RawJson::parse(text) else {
        return is_whole.then(|| Value::from(text).to_string());
    };
    let on_the_way = if may_hold_json { data.unfolded(root, TEXTS_MAX) } else { None };
    let page = on_the_way.as_deref().unwrap_or(text);
    let records = RawJson::parse(page).ok().and_then(|root| with_records_unfolded(root, page, data));
    records.or(on_the_way)
}

/// Whether a text of the answer may begin with an object, or with a list where there may be one on the way: to ask that costs
/// a tenth of what it takes to follow a path. Others hold nothing that would be found.
fn may_hold_json(text: &str, data: &JsonPath) -> bool {
    // JSON that is written as a text has its quotes escaped.
    if !text.contains('\\') {
        return false;
    }
    let begins_a_text = |opening: char| text.match_indices(opening).any(|(at, _)| may_begin_a_text(text, at));
    let is_opening =
        |at: usize| text.get(at..).is_some_and(|rest| ESCAPED_OPENINGS.iter().any(|of| rest.starts_with(of)));
    text.match_indices("\\u00").any(|(at, _)| is_opening(at))
        || begins_a_text('{')
        || (data.is_deep() && begins_a_text('['))
}

/// Whether what stands here may be the first of a text but for white space: it follows a quote, or something escaped.
fn may_begin_a_text(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default().trim_end();
    let is_escaped = |length: usize| before.as_bytes().iter().rev().nth(length - 1) == Some(&b'\\');
    before.ends_with('"') || is_escaped("\\n".len()) || is_escaped("\\u0020".len())
}

/// The beginnings of an object and of a list as they may be escaped.
const ESCAPED_OPENINGS: [&str; 4] = ["\\u007b", "\\u007B", "\\u005b", "\\u005B"];

/// The page with the objects that texts hold at the place of the records. `0` and `false` there are none.
fn with_records_unfolded(root: RawJson<'_>, page: &str, data: &JsonPath) -> Option<String> {
    let mut changes: Vec<(usize, usize, String)> = Vec::new();
    let mut change = |value: RawJson<'_>, by: Option<String>| {
        let at = value.offset_in(root);
        changes.extend(by.map(|by| (at, at + value.text().len(), by)));
    };
    for found in data.all(root).ok()? {
        match found.kind() {
            JsonType::Array => found.elements().for_each(|element| change(element, object_in(element))),
            JsonType::Text => change(found, object_in(found)),
            JsonType::Number | JsonType::Bool if is_falsehood(found) => change(found, Some("null".to_owned())),
            _ => {}
        }
    }
    if changes.is_empty() {
        return None;
    }
    let offset = page.len() - page.trim_start().len();
    changes.sort_by_key(|(at, ..)| *at);
    let mut out = String::with_capacity(page.len());
    let mut rest = 0;
    for (at, end, by) in changes {
        out.push_str(page.get(rest..offset + at)?);
        out.push_str(&by);
        rest = offset + end;
    }
    out.push_str(page.get(rest..)?);
    Some(out)
}

/// The object that a text holds.
fn object_in(value: RawJson<'_>) -> Option<String> {
    let text = value.scalar().filter(|_| value.kind() == JsonType::Text)?;
    let text = text.trim();
    let is_object = text.starts_with('{') && RawJson::parse(text).is_ok();
    is_object.then(|| text.to_owned())
}

fn is_falsehood(found: RawJson<'_>) -> bool {
    found.text() == "false" || found.text().parse::<f64>().is_ok_and(|number| number == 0.0)
}

#[cfg(test)]
mod tests {
    use super::super::{CustomFields, Page, Paths};
    use super::*;

    /// The lines that are shipped of an answer.
    #[track_caller]
    fn check(data: &str, answer: &str, expected: &[&str]) {
        let data = JsonPath::parse(data).expect("a path");
        let made = unfolded(answer, &data);
        let paths = Paths { date: None, ..Paths::new(data.clone(), data) };
        let fields = CustomFields::new(&[("type".to_owned(), Value::Null)]).expect("none");
        let text = made.as_deref().unwrap_or(answer);
        let page = Page::read(text, &paths, &fields).unwrap_or_else(|error| panic!("{answer}: {error}"));
        let line = |record: &super::super::Record<'_>| {
            let mut line = Vec::new();
            record.append_line(&fields, &mut line);
            String::from_utf8_lossy(&line).into_owned()
        };
        assert_eq!(page.records.iter().map(line).collect::<Vec<_>>(), expected, "{answer}");
    }

    #[test]
    fn the_whole_answer_is_a_record_or_the_list_of_them() {
        check(
            "$",
            r#"{"status": "ok", "nested": {"a": [1, 2.0, null]}}"#,
            &[r#"{"status": "ok", "nested": {"a": [1, 2.0, null]}}"#],
        );
        check("$", r#"[{"id": 1}, {"id": 2}]"#, &[r#"{"id": 1}"#, r#"{"id": 2}"#]);
        check("$", "[]", &[]);
        check("$", "null", &[]);
        check("$", "{}", &[]);
        check("$", "0", &[]);
        check("$", "7", &[r#"{"message":7}"#]);
        check("$", "line one\nline two é\n", &[r#"{"message":"line one\nline two é\n"}"#]);
        check("$", r#"{"nan": NaN}"#, &[r#"{"message":"{\"nan\": NaN}"}"#]);
        check("$", r#""{\"a\": 1}""#, &[r#"{"a": 1}"#]);
        check("$", r#"" {\"a\": 1.50} ""#, &[r#"{"a": 1.50}"#]);
        check("$", r#"["{\"a\":1}", {"b": "\\"}]"#, &[r#"{"a":1}"#, r#"{"b": "\\"}"#]);
    }

    #[test]
    fn elements_of_a_list_are_records_whatever_they_are() {
        check(
            "data",
            r#"{"data": [{"id": "before 0"}, 7, true, [1], null, {"id": "after 0"}]}"#,
            &[
                r#"{"id": "before 0"}"#,
                r#"{"message":7}"#,
                r#"{"message":true}"#,
                r#"{"message":[1]}"#,
                r#"{"id": "after 0"}"#,
            ],
        );
        check(
            "data",
            r#"{"data": ["one", "two \u00e9", "{\"a\": 1, \"u\": \"\\u00e9\"}", "", "[1]", "123", "{x"]}"#,
            &[
                r#"{"message":"one"}"#,
                r#"{"message":"two \u00e9"}"#,
                r#"{"a": 1, "u": "\u00e9"}"#,
                r#"{"message":""}"#,
                r#"{"message":"[1]"}"#,
                r#"{"message":"123"}"#,
                r#"{"message":"{x"}"#,
            ],
        );
    }

    #[test]
    fn what_is_no_list_at_the_path_is_one_record_or_none() {
        check("data", r#"{"data": {"id": 1, "t": "x"}}"#, &[r#"{"id": 1, "t": "x"}"#]);
        check("data", r#"{"data": 7}"#, &[r#"{"message":7}"#]);
        check("data", r#"{"data": "plain \u00e9 text"}"#, &[r#"{"message":"plain \u00e9 text"}"#]);
        check("data", r#"{"data": "{\"in\": {\"side\": 1}}"}"#, &[r#"{"in": {"side": 1}}"#]);
        for nothing in ["0", "false", "null", "\"\"", "[]", "{}", "0.0"] {
            check("data", &format!("{{\"data\": {nothing}}}"), &[]);
        }
        check("a[1].b[0]", r#"{"a": [1, {"b": [{"id": 1}]}]}"#, &[r#"{"id": 1}"#]);
        check("audit-logs", r#"{"audit-logs": [{"id": 1}]}"#, &[r#"{"id": 1}"#]);
        check("a[*].b", r#"{"a": [{"b": "{\"n\":1}"}, {"b": "{\"n\":2}"}]}"#, &[r#"{"n":1}"#, r#"{"n":2}"#]);
    }

    #[test]
    fn a_text_on_the_way_is_stepped_into() {
        check(
            "data.in",
            r#"{"data": "{\"in\": [{\"side\": 1}, {\"side\": 2}]}"}"#,
            &[r#"{"side": 1}"#, r#"{"side": 2}"#],
        );
        let scroll = r#" {"code": 200, "hits": "{\"hits\":[\"{\\\"n\\\": 1}\"]}", "id": "x"}"#;
        check("hits.hits", scroll, &[r#"{"n": 1}"#]);
        check("a.b.c", r#"{"a": "{\"b\": \"{\\\"c\\\": [{}, {\\\"d\\\": 1}]}\"}"}"#, &["{}", r#"{"d": 1}"#]);
    }

    /// Against what is found by looking at every text.
    #[test]
    fn no_text_that_holds_json_is_passed_over() {
        use proptest::prelude::*;
        let held = r#"[ \t\n\u{a0}\u{2003}]{0,2}[{\[][ "a:1{}\[\]]{0,8}"#;
        let escapes = |text: &str, how: u8| -> String {
            let escaped = |char: char| match how {
                0 => Value::from(char.to_string()).to_string().trim_matches('"').to_owned(),
                1 => format!("\\u{:04x}", char as u32),
                _ => format!("\\u{:04X}", char as u32),
            };
            let escaped = |char: char| if char == '"' { "\\\"".to_owned() } else { escaped(char) };
            text.chars().map(escaped).collect()
        };
        proptest!(|(text in held, how in 0_u8..3, before in "[a-z \\[{]{0,3}", is_list in any::<bool>())| {
            let (escaped, path) = (escapes(&text, how), if is_list { "a" } else { "a.b" });
            let (open, end) = if is_list { ("[", "]") } else { ("", "") };
            let page = format!(r#"{{"c": "{before}\\", "a": {open}"{escaped}"{end}}}"#);
            prop_assume!(RawJson::parse(&page).is_ok());
            let data = JsonPath::parse(path).expect("a path");
            prop_assert!(may_hold_json(&page, &data) || (is_list && !text.trim().starts_with('{')), "{page}");
        });
    }

    #[test]
    fn an_ordinary_answer_is_left_as_it_is() {
        let data = JsonPath::parse("data").expect("a path");
        let ordinary = r#"{"data": [{"a": "x \"y {", "b": {"c": "\\"}, "d": [{}, {"e": "[f"}]}], "n": "\u00e9 q {"}"#;
        assert!(!may_hold_json(ordinary, &data), "nothing more is looked at");
        for answer in [r#"{"data": [{"a": "x \" y"}], "n": 0}"#, r#"{"data": []}"#, "no JSON", r#"{"data": {"a": 1}}"#]
        {
            assert_eq!(unfolded(answer, &data), None, "{answer}");
        }
    }

    #[test]
    fn nothing_panics_and_what_is_made_is_json() {
        use proptest::prelude::*;
        let paths =
            ["$", "a", "a.b", "a[*]", "[0]", "$..a", "$.a[?@.b]"].map(|path| JsonPath::parse(path).expect("a path"));
        proptest!(|(text in r#"[{}\[\]",:ab\\0-1 n-u]{0,24}"#, quoted in any::<bool>())| {
            let text = if quoted { format!("{{\"a\": {}, \"b\": \"\\\\\"}}", Value::from(text)) } else { text };
            for path in &paths {
                if let Some(made) = unfolded(&text, path) {
                    prop_assert!(RawJson::parse(&made).is_ok(), "{text} became {made}");
                }
            }
        });
    }
}
