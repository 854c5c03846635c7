//! Values that answers gave, for use in later requests.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A token or cursor as the answer wrote it, as JSON text: a number keeps its digits, an array stays one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Captured(Box<str>);

impl Captured {
    /// From JSON text. `None` where it says nothing: null, false, an empty text, array or object.
    #[must_use]
    pub fn of_json(json: &str) -> Option<Self> {
        Self::of_value(json).filter(|value| value.json() != "false")
    }

    /// The same where false says something.
    #[must_use]
    pub fn of_value(json: &str) -> Option<Self> {
        let json = json.trim();
        let value = serde_json::from_str::<serde_json::Value>(json).ok()?;
        let is_empty = match &value {
            serde_json::Value::Null => true,
            serde_json::Value::String(text) => text.is_empty(),
            serde_json::Value::Array(values) => values.is_empty(),
            serde_json::Value::Object(members) => members.is_empty(),
            _ => false,
        };
        (!is_empty).then(|| Self(if json.contains(['\n', '\r']) { on_one_line(json) } else { json.into() }))
    }

    /// A text.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        Self(serde_json::Value::from(text).to_string().into())
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.0
    }

    /// As text: a string without its quotes, anything else as JSON writes it.
    #[must_use]
    pub fn as_written(&self) -> String {
        serde_json::from_str::<String>(&self.0).unwrap_or_else(|_| self.0.to_string())
    }

    /// The same with a number added, where it is a number or digits.
    #[must_use]
    pub fn plus(&self, plus: i64) -> Option<Self> {
        let text = self.as_written();
        let text = text.trim();
        let whole = text.parse::<i128>().ok().and_then(|number| number.checked_add(plus.into()));
        let sum = match whole {
            Some(whole) => whole.to_string(),
            None => {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "what is added is small, and the other one is a fraction"
                )]
                let sum = text.parse::<f64>().ok()? + plus as f64;
                serde_json::Number::from_f64(sum)?.to_string()
            }
        };
        Some(Self(sum.into()))
    }

    /// As text: a string without its quotes, an array's values joined by commas, anything else as it is written.
    #[must_use]
    pub fn text(&self) -> String {
        let Ok(raw) = serde_json::from_str::<&serde_json::value::RawValue>(&self.0) else { return self.0.to_string() };
        text_of(raw)
    }
}

/// What the next iteration goes on with: values of answers by their names, in the order of the names. The cursor is one of
/// them; the others are called as their variables are, `res.PATH`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapturedValues(BTreeMap<String, Captured>);

impl CapturedValues {
    /// The name under which `json_paths.cursor` is kept.
    pub const CURSOR: &str = "cursor";

    /// The cursor alone, where there is one.
    #[must_use]
    pub fn of_cursor(cursor: Option<Captured>) -> Self {
        cursor.map(|cursor| (Self::CURSOR.to_owned(), cursor)).into_iter().collect()
    }

    /// The cursor, where there is one.
    #[must_use]
    pub fn cursor(&self) -> Option<&Captured> {
        self.get(Self::CURSOR)
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Captured> {
        self.0.get(name)
    }

    /// Puts a value in the place of the one of its name.
    pub fn insert(&mut self, name: &str, value: Captured) {
        self.0.insert(name.to_owned(), value);
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Captured)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// As one JSON object on one line.
    #[must_use]
    pub fn json(&self) -> String {
        let members = self.iter().map(|(name, value)| format!("{}:{}", serde_json::Value::from(name), value.json()));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }
}

impl FromIterator<(String, Captured)> for CapturedValues {
    fn from_iter<I: IntoIterator<Item = (String, Captured)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// A cursor alone is written as it always was: a text, or null where there is nothing.
impl Serialize for CapturedValues {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match (self.cursor(), self.0.len()) {
            (_, 0) => to.serialize_none(),
            (Some(cursor), 1) => cursor.serialize(to),
            _ => self.0.serialize(to),
        }
    }
}

/// Either form is read.
impl<'d> Deserialize<'d> for CapturedValues {
    fn deserialize<D: Deserializer<'d>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Cursor(Captured),
            Values(BTreeMap<String, Captured>),
        }
        Ok(match Option::<Written>::deserialize(from)? {
            None => Self::default(),
            Some(Written::Cursor(cursor)) => Self::of_cursor(Some(cursor)),
            Some(Written::Values(values)) => Self(values),
        })
    }
}

/// JSON text without the white space between its values, so that it fits on one line.
fn on_one_line(json: &str) -> Box<str> {
    let (mut is_text, mut is_escaped) = (false, false);
    let mut line = String::with_capacity(json.len());
    for char in json.chars() {
        let is_quote = char == '"' && !is_escaped;
        is_escaped = is_text && char == '\\' && !is_escaped;
        is_text ^= is_quote;
        if is_text || is_quote || !char.is_ascii_whitespace() {
            line.push(char);
        }
    }
    line.into()
}

fn text_of(raw: &serde_json::value::RawValue) -> String {
    let written = raw.get();
    if let Ok(text) = serde_json::from_str::<String>(written) {
        return text;
    }
    match serde_json::from_str::<Vec<&serde_json::value::RawValue>>(written) {
        Ok(values) => values.into_iter().map(text_of).collect::<Vec<_>>().join(","),
        Err(_) => written.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_nothing_is_no_value() {
        for json in ["null", "false", "\"\"", "[]", "{}", " null ", "no JSON"] {
            assert_eq!(Captured::of_json(json), None, "{json}");
        }
    }

    #[test]
    fn what_stands_on_several_lines_is_put_on_one() {
        let json = |json| Captured::of_json(json).expect("a value").json().to_owned();
        assert_eq!(
            json("{\n  \"a b\": [1.50,\r\n \"x \\\" y\", \"\\\\\" ]\n}"),
            "{\"a b\":[1.50,\"x \\\" y\",\"\\\\\"]}"
        );
        assert_eq!(json("[1, 2]"), "[1, 2]", "on one line it stays as it is");
    }

    #[test]
    fn numbers_keep_their_digits_and_arrays_are_joined() {
        let text = |json| Captured::of_json(json).expect("a value").text();
        assert_eq!(text("12345678901234567890123"), "12345678901234567890123");
        assert_eq!(text("[1716900000000, \"a,b\", 0.10]"), "1716900000000,a,b,0.10");
        assert_eq!(text("\"\\u00e9\\/x\""), "é/x");
        assert_eq!(text("{\"a\": 1}"), "{\"a\": 1}");
        assert_eq!(Captured::of_text("a\"b").json(), "\"a\\\"b\"");
    }

    #[test]
    fn a_cursor_alone_is_kept_as_before_there_were_others() {
        let read = |json: &str| serde_json::from_str::<CapturedValues>(json).expect("it reads");
        let cursor = CapturedValues::of_cursor(Some(Captured::of_text("x")));
        assert_eq!((read("null"), read(r#""\"x\"""#)), (CapturedValues::default(), cursor.clone()));
        assert_eq!(serde_json::to_string(&cursor).expect("JSON"), r#""\"x\"""#);
        let mut both = cursor;
        both.insert("res.next", Captured::of_json("[1, 2]").expect("a value"));
        assert_eq!(both.json(), r#"{"cursor":"x","res.next":[1, 2]}"#);
        for values in [both, CapturedValues::default()] {
            assert_eq!(read(&serde_json::to_string(&values).expect("JSON")), values);
        }
    }
}
