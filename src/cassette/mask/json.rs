//! JSON, value by value: structure and kinds stay.

use super::Mask;
use super::words;
use crate::record::json::{JsonType, RawJson};

/// How deep values may be nested; what is deeper is left out, as nobody reads it.
const DEPTH_MAX: usize = 64;
/// The strings of a token's answer that say what kind of token it is.
const TOKEN_KINDS: [&str; 2] = ["Bearer", "bearer"];

/// How values are written.
#[derive(Clone, Copy)]
struct Layout {
    /// Whether a line ends behind each value.
    is_spread: bool,
    /// Whether it is the answer to a token request: its strings are secrets.
    is_token: bool,
}

impl Mask {
    /// A whole document, a value a line.
    pub(super) fn json(&mut self, root: RawJson<'_>, is_token: bool) -> String {
        let mut out = String::new();
        self.value(root, "", 0, Layout { is_spread: true, is_token }, &mut out);
        out
    }

    /// The same on one line.
    pub(super) fn json_line(&mut self, root: RawJson<'_>, is_token: bool) -> String {
        let mut out = String::new();
        self.value(root, "", 0, Layout { is_spread: false, is_token }, &mut out);
        out
    }

    fn value(&mut self, value: RawJson<'_>, name: &str, depth: usize, layout: Layout, out: &mut String) {
        let line = |depth: usize, out: &mut String| {
            if layout.is_spread {
                out.push('\n');
                out.extend(std::iter::repeat_n("  ", depth));
            }
        };
        match value.kind() {
            JsonType::Object | JsonType::Array if depth >= DEPTH_MAX => out.push_str("null"),
            JsonType::Object => {
                out.push('{');
                let mut is_empty = true;
                for member in value.members() {
                    if !std::mem::replace(&mut is_empty, false) {
                        out.push(',');
                    }
                    line(depth + 1, out);
                    let key = member.key.scalar().unwrap_or_default();
                    push_string(&self.key(&key), out);
                    out.push_str(if layout.is_spread { ": " } else { ":" });
                    self.value(member.value, &key, depth + 1, layout, out);
                }
                if !is_empty {
                    line(depth, out);
                }
                out.push('}');
            }
            JsonType::Array => {
                out.push('[');
                let mut is_empty = true;
                for element in value.elements() {
                    if !std::mem::replace(&mut is_empty, false) {
                        out.push(',');
                    }
                    line(depth + 1, out);
                    self.value(element, name, depth + 1, layout, out);
                }
                if !is_empty {
                    line(depth, out);
                }
                out.push(']');
            }
            JsonType::Text => {
                let text = value.scalar().unwrap_or_default();
                let masked = if layout.is_token { self.token_text(name, &text) } else { self.named_text(name, &text) };
                push_string(&masked, out);
            }
            JsonType::Number => {
                let masked = self.number(name, value.text());
                out.push_str(&masked);
            }
            _ => out.push_str(value.text()),
        }
    }

    /// A string below a name: a number in quotes is one.
    fn named_text(&mut self, name: &str, text: &str) -> String {
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if is_number && words::is_kept_number(name, text, self.now) { text.to_owned() } else { self.text(text) }
    }

    fn token_text(&mut self, name: &str, text: &str) -> String {
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text {
            "" => String::new(),
            kind if TOKEN_KINDS.contains(&kind) => kind.to_owned(),
            number if is_number && words::is_kept_number(name, number, self.now) => number.to_owned(),
            url if self.is_link(url) => self.link(url),
            error if name == "error" && words::is_kept(error) => error.to_owned(),
            other => self.secret(other),
        }
    }
}

fn push_string(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::super::BodyKind;
    use super::*;
    use crate::text::Redactor;

    #[test]
    fn structure_kinds_and_dates_stay_and_values_go() {
        let now = DateTime::from_timestamp(1_716_900_000, 0).expect("a date");
        let mut mask = Mask::new(Redactor::default(), now);
        let text = r#"{"total":2,"items":[{"id":4711,"user":"alice","at":"2024-05-28T13:00:00Z","ok":true,"x":null},[]],"e":{}}"#;
        let masked = mask.body(text, BodyKind::default());
        assert!(masked.lines().count() > 8, "a value a line: {masked}");
        let [before, after]: [serde_json::Value; 2] =
            [text, masked.as_str()].map(|text| serde_json::from_str(text).expect("JSON"));
        let item = |json: &serde_json::Value, name: &str| json["items"][0][name].clone();
        for kept in ["at", "ok", "x"] {
            assert_eq!(item(&before, kept), item(&after, kept));
        }
        for gone in ["id", "user"] {
            assert_ne!(item(&before, gone), item(&after, gone));
        }
        assert_eq!(
            (&after["total"], &after["items"][1], &after["e"]),
            (&before["total"], &before["items"][1], &before["e"])
        );
    }

    /// A value without its texts and numbers.
    fn skeleton(value: &serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::String(_) => "".into(),
            serde_json::Value::Number(_) => 0.into(),
            serde_json::Value::Array(items) => items.iter().map(skeleton).collect(),
            serde_json::Value::Object(fields) => {
                fields.iter().map(|(key, value)| (key.clone(), skeleton(value))).collect()
            }
            other => other.clone(),
        }
    }

    #[test]
    fn whatever_stands_in_any_answer_its_structure_stays_and_no_name_does() {
        use proptest::prelude::*;
        let name = "[A-Z][a-z]{4,10} [A-Z][a-z]{4,10}(@[a-z]{3,8}\\.test)?";
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".*".prop_map(serde_json::Value::from),
            name.prop_map(serde_json::Value::from),
        ];
        let value = leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::hash_map("[a-z_]{1,8}", inner, 0..5)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        });
        proptest!(|(value in value, person in name)| {
            let value = serde_json::json!({"who": person, "and": value, "mail": [person]});
            let mut mask = Mask::new(Redactor::default(), chrono::Utc::now());
            let masked = mask.body(&value.to_string(), BodyKind::default());
            let after: serde_json::Value =
                serde_json::from_str(&masked).map_err(|error| TestCaseError::fail(format!("{error}: {masked}")))?;
            prop_assert_eq!(skeleton(&after), skeleton(&value));
            prop_assert!(!masked.contains(&person), "{} in {}", person, masked);
            prop_assert_eq!(&after["who"], &after["mail"][0]);
        });
    }

    #[test]
    fn nothing_is_left_of_a_tokens_answer_but_how_long_it_lasts() {
        let mut mask = Mask::new(Redactor::default(), chrono::Utc::now());
        let kind = BodyKind { is_token: true, ..BodyKind::default() };
        let masked =
            mask.body(r#"{"access_token":"eyJhbGciOi","token_type":"Bearer","expires_in":3599,"sub":"a"}"#, kind);
        let json: serde_json::Value = serde_json::from_str(&masked).expect("JSON");
        assert_eq!((&json["token_type"], &json["expires_in"]), (&"Bearer".into(), &3599.into()));
        assert_eq!((&json["access_token"], &json["sub"]), (&"secret-1".into(), &"secret-2".into()));
    }
}
