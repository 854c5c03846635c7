//! Values of an answer for use in the next request: `{res.PATH}`, also with a number added to them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Captured, VariablePath};
use crate::record::json::RawJson;
use crate::record::path::PathError;

/// The longest value that is kept, as JSON: it is saved with each page. Tokens of APIs have less than 4 KiB; what is longer
/// is something else.
pub const ANSWER_VALUE_BYTES_MAX: usize = 64 * 1024;
/// The most digits of a number that is added.
const PLUS_DIGITS_MAX: usize = 15;

/// `{res.PATH}` or `{res.PATH+1}`: where an answer holds a value, and what is added to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerValue {
    /// All that was written, which counts first: a key may end in `-2`.
    whole: VariablePath,
    /// The path without the number at its end, and that number.
    sum: Option<(VariablePath, i64)>,
    /// Whether it is a text also where it is the whole value of a JSON field (`{res.PATH:text}`).
    is_text: bool,
}

/// The values that an answer gave, by their paths as the config writes them. They are what is saved of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AnswerValues(BTreeMap<String, Captured>);

/// Why a value of an answer can't stand in the next request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerValueError {
    /// A number is to be added to it, and it is none.
    #[error("`{{res.{path}}}` adds to a value that is not a number")]
    NoNumber {
        /// As it was written.
        path: String,
    },
    /// It is more than [`ANSWER_VALUE_BYTES_MAX`].
    #[error("`{{res.{path}}}` finds {bytes} bytes, and a value of up to {ANSWER_VALUE_BYTES_MAX} is kept")]
    TooLong {
        /// As it was written.
        path: String,
        /// How many, as JSON.
        bytes: usize,
    },
}

impl AnswerValue {
    /// By what is written behind `res.`.
    ///
    /// # Errors
    /// Where that is no path.
    pub fn parse(text: &str, is_text: bool) -> Result<Self, PathError> {
        let whole = VariablePath::parse(text)?;
        let digits_at = text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (before, digits) = text.split_at(digits_at);
        let signed = before.strip_suffix('+').map(|path| (path, 1)).or(before.strip_suffix('-').map(|path| (path, -1)));
        let sum = signed.filter(|_| (1..=PLUS_DIGITS_MAX).contains(&digits.len())).and_then(|(path, sign)| {
            let plus: i64 = digits.parse().ok()?;
            Some((VariablePath::parse(path).ok()?, sign * plus))
        });
        Ok(Self { whole, sum, is_text })
    }

    /// Whether a number is added: then it counts pages or records, and names no place of its own.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.sum.is_some()
    }

    /// Whether it is a text wherever it stands.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.is_text
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        self.whole.text()
    }

    /// As it was written, without the number that is added.
    #[must_use]
    pub fn base(&self) -> &str {
        self.sum.as_ref().map_or(self.whole.text(), |(path, _)| path.text())
    }

    /// Whether a value that is kept under this path is its own.
    #[must_use]
    pub fn is_called(&self, path: &str) -> bool {
        path == self.whole.text() || path == self.base()
    }

    /// Finds the value in an answer. Gives the path that found it.
    fn find(&self, root: RawJson<'_>) -> Option<(&str, Captured)> {
        let of = |path: &VariablePath| Captured::of_value(&path.find_unfolded(root)?);
        let whole = of(&self.whole).map(|found| (self.whole.text(), found));
        whole.or_else(|| self.sum.as_ref().and_then(|(path, _)| Some((path.text(), of(path)?))))
    }
}

impl AnswerValues {
    /// What variables find in an answer; `None` where one of them finds nothing.
    ///
    /// # Errors
    /// [`AnswerValueError`], where one finds what can't be used.
    pub fn of<'v>(
        wanted: impl IntoIterator<Item = &'v AnswerValue>,
        root: Option<RawJson<'_>>,
    ) -> Result<Option<Self>, AnswerValueError> {
        let mut values = Self::default();
        for value in wanted {
            let Some((path, found)) = root.and_then(|root| value.find(root)) else { return Ok(None) };
            let bytes = found.json().len();
            if bytes > ANSWER_VALUE_BYTES_MAX {
                return Err(AnswerValueError::TooLong { path: value.text().to_owned(), bytes });
            }
            // Where a number is expected, false says that there is none.
            let is_sum = path != value.text();
            if is_sum && found.json() == "false" {
                return Ok(None);
            }
            values.0.insert(path.to_owned(), found);
            if values.get(value).is_none() {
                return Err(AnswerValueError::NoNumber { path: value.text().to_owned() });
            }
        }
        Ok(Some(values))
    }

    /// The value of a variable, with what is added to it.
    #[must_use]
    pub fn get(&self, wanted: &AnswerValue) -> Option<Captured> {
        let whole = self.0.get(wanted.whole.text()).cloned();
        whole.or_else(|| wanted.sum.as_ref().and_then(|(path, plus)| self.0.get(path.text())?.plus(*plus)))
    }

    /// Puts a value in the place of the one of its path.
    pub fn insert(&mut self, path: &str, value: Captured) {
        self.0.insert(path.to_owned(), value);
    }

    /// The paths and their values, in the order of the paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Captured)> {
        self.0.iter().map(|(path, value)| (path.as_str(), value))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values.
    pub fn values(&self) -> impl Iterator<Item = &Captured> {
        self.0.values()
    }
}

impl FromIterator<(String, Captured)> for AnswerValues {
    fn from_iter<I: IntoIterator<Item = (String, Captured)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `{res.PATH}` says for an answer, as text and as JSON; `None` where it is missing.
    #[track_caller]
    fn check(path: &str, answer: &str, expected: Option<(&str, &str)>) {
        let value = AnswerValue::parse(path, false).expect("a path");
        let root = RawJson::parse(answer).expect("JSON");
        let values = AnswerValues::of([&value], Some(root)).expect("it can be used");
        let found = values.map(|values| values.get(&value).expect("its value"));
        let found = found.map(|found| (found.as_written(), found.json().to_owned()));
        let found = found.as_ref().map(|(text, json)| (text.as_str(), json.as_str()));
        assert_eq!(found, expected, "{path} in {answer}");
    }

    #[test]
    fn zero_and_false_are_values_and_what_says_nothing_is_missing() {
        check("v", r#"{"v": 0}"#, Some(("0", "0")));
        check("v", r#"{"v": false}"#, Some(("false", "false")));
        check("v", r#"{"v": true}"#, Some(("true", "true")));
        for answer in [r#"{"v": null}"#, r#"{"v": ""}"#, r#"{"v": []}"#, r#"{"v": {}}"#, "{}", "[]"] {
            check("v", answer, None);
        }
    }

    #[test]
    fn values_are_written_as_json_writes_them() {
        check("v", r#"{"v": 1.50}"#, Some(("1.50", "1.50")));
        check("v", r#"{"v": 1e21}"#, Some(("1e21", "1e21")));
        check("v", r#"{"v": 12345678901234567890123}"#, Some(("12345678901234567890123", "12345678901234567890123")));
        check("v", r#"{"v": [1, "a"]}"#, Some((r#"[1, "a"]"#, r#"[1, "a"]"#)));
        check("v", r#"{"v": {"k": "v"}}"#, Some((r#"{"k": "v"}"#, r#"{"k": "v"}"#)));
        check("v", r#"{"v": "a b\u00e9\""}"#, Some(("a bé\"", r#""a b\u00e9\"""#)));
    }

    #[test]
    fn a_number_is_added_to_numbers_and_to_digits() {
        check("page+1", r#"{"page": 2}"#, Some(("3", "3")));
        check("page+1", r#"{"page": 0}"#, Some(("1", "1")));
        check("page-1", r#"{"page": 0}"#, Some(("-1", "-1")));
        check("page+1", r#"{"page": "2"}"#, Some(("3", "3")));
        check("page+1", r#"{"page": 1.5}"#, Some(("2.5", "2.5")));
        check("i.p+100", r#"{"i": {"p": 9007199254740993}}"#, Some(("9007199254741093", "9007199254741093")));
        check("page+1", r#"{"page": null}"#, None);
        check("page+1", r#"{"page": false}"#, None);
        check(
            "n-1",
            r#"{"n": 170141183460469231731687303715884105000}"#,
            Some(("170141183460469231731687303715884104999", "170141183460469231731687303715884104999")),
        );
    }

    #[test]
    fn nothing_is_added_to_what_is_no_number() {
        let value = AnswerValue::parse("page+1", false).expect("a path");
        for answer in [r#"{"page": "abc"}"#, r#"{"page": true}"#, r#"{"page": [1]}"#, r#"{"page": "NaN"}"#] {
            let root = RawJson::parse(answer).expect("JSON");
            let refused = AnswerValues::of([&value], Some(root)).expect_err("no number");
            assert_eq!(refused, AnswerValueError::NoNumber { path: "page+1".to_owned() }, "{answer}");
        }
    }

    #[test]
    fn what_is_too_long_is_no_token() {
        let value = AnswerValue::parse("v", false).expect("a path");
        let answer = format!(r#"{{"v": "{}"}}"#, "x".repeat(ANSWER_VALUE_BYTES_MAX));
        let refused = AnswerValues::of([&value], Some(RawJson::parse(&answer).expect("JSON"))).expect_err("too long");
        assert!(matches!(refused, AnswerValueError::TooLong { .. }), "{refused}");
    }

    #[test]
    fn a_key_counts_before_a_sum() {
        check("audit-2", r#"{"audit-2": "a", "audit": 5}"#, Some(("a", "\"a\"")));
        check("audit-2", r#"{"audit": 5}"#, Some(("3", "3")));
        check("audit-logs", r#"{"audit-logs": "x"}"#, Some(("x", "\"x\"")));
        check("list[-1]", r#"{"list": [1, 2]}"#, Some(("2", "2")));
        check("list.[-1].n", r#"{"list": [{"n": 1}, {"n": 7}]}"#, Some(("7", "7")));
        check("'a.b'.c", r#"{"a.b": {"c": 1}}"#, Some(("1", "1")));
        check("@odata.nextLink", r#"{"@odata.nextLink": "n"}"#, Some(("n", "\"n\"")));
    }

    #[test]
    fn a_text_that_holds_json_is_stepped_into() {
        check("hits.next", r#"{"hits": "{\"next\": \"n\"}"}"#, Some(("n", "\"n\"")));
        check("a.b[1].c+1", r#"{"a": "{\"b\": \"[0, {\\\"c\\\": 4}]\"}"}"#, Some(("5", "5")));
        check("hits.next", r#"{"hits": "no JSON"}"#, None);
        check("hits.next", r#"{"hits": "12"}"#, None);
    }

    #[test]
    fn what_is_saved_is_what_the_answer_gave() {
        let [page, next] = ["page+1", "next"].map(|path| AnswerValue::parse(path, false).expect("a path"));
        let root = RawJson::parse(r#"{"page": 4, "next": "n", "big": [1]}"#).expect("JSON");
        let values = AnswerValues::of([&page, &next], Some(root)).expect("usable").expect("all there");
        let saved = serde_json::to_string(&values).expect("JSON");
        assert_eq!(saved, r#"{"next":"\"n\"","page":"4"}"#);
        assert_eq!(serde_json::from_str::<AnswerValues>(&saved).expect("it reads"), values);
    }
}
