//! When an answer says that it is the last (`next_request.stop`). Pure.

use serde_json::{Number, Value};

use crate::record::json::{JsonType, RawJson};
use crate::record::path::JsonPath;

/// What an answer holds where no page follows it.
#[derive(Clone, Debug, PartialEq)]
pub struct StopRule {
    /// Where it stands.
    pub field: JsonPath,
    /// What stands there then.
    pub condition: StopCondition,
}

/// What stands in the last answer.
#[derive(Clone, Debug, PartialEq)]
pub enum StopCondition {
    /// Nothing: it is missing, null, `0`, `false`, or an empty text, list or object.
    Empty,
    /// This text, number or boolean. As in the original fetcher, `3` equals `3.0`, and `true` equals `1`; a text equals nothing
    /// but a text.
    Equals(Value),
    /// A text with this part, a list with this element, or an object with this key.
    Contains(Value),
}

impl StopRule {
    /// Whether an answer is the last. One that is no JSON holds nothing.
    #[must_use]
    pub fn holds(&self, root: Option<RawJson<'_>>) -> bool {
        let Some(root) = root else { return self.condition.holds(None) };
        if let Some(found) = self.field.first(root) {
            return self.condition.holds(Some(found));
        }
        let unfolded = self.field.first_unfolded(root);
        self.condition.holds(unfolded.as_deref().and_then(|text| RawJson::parse(text).ok()))
    }
}

impl StopCondition {
    fn holds(&self, found: Option<RawJson<'_>>) -> bool {
        match self {
            Self::Empty => found.is_none_or(is_empty),
            Self::Equals(value) => found.is_some_and(|found| equals(found, value)),
            Self::Contains(value) => found.is_some_and(|found| contains(found, value)),
        }
    }
}

fn is_empty(found: RawJson<'_>) -> bool {
    match found.kind() {
        JsonType::Null => true,
        JsonType::Bool => found.text() == "false",
        JsonType::Number => found.text().parse::<f64>().is_ok_and(|number| number == 0.0),
        JsonType::Text => found.scalar().is_some_and(|text| text.is_empty()),
        JsonType::Object => found.members().next().is_none(),
        JsonType::Array => found.elements().next().is_none(),
    }
}

fn equals(found: RawJson<'_>, value: &Value) -> bool {
    match (found.kind(), value) {
        (JsonType::Text, Value::String(text)) => found.scalar().is_some_and(|found| found == text.as_str()),
        (JsonType::Number, Value::Number(number)) => is_number(found.text(), number),
        (JsonType::Number, Value::Bool(flag)) => is_number(found.text(), &Number::from(u8::from(*flag))),
        (JsonType::Bool, Value::Bool(flag)) => (found.text() == "true") == *flag,
        (JsonType::Bool, Value::Number(number)) => is_number(if found.text() == "true" { "1" } else { "0" }, number),
        _ => false,
    }
}

/// Whether a number of an answer is this one: whole ones digit by digit.
fn is_number(text: &str, number: &Number) -> bool {
    match (text.parse::<i128>(), number.to_string().parse::<i128>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => text.parse::<f64>().ok().zip(number.as_f64()).is_some_and(|(one, other)| one == other),
    }
}

fn contains(found: RawJson<'_>, value: &Value) -> bool {
    let text = value.as_str();
    match found.kind() {
        JsonType::Text => found.scalar().zip(text).is_some_and(|(found, text)| found.contains(text)),
        JsonType::Array => found.elements().any(|element| equals(element, value)),
        JsonType::Object => text.is_some_and(|text| found.member(text).is_some()),
        JsonType::Number | JsonType::Bool | JsonType::Null => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(condition: &StopCondition, field: &str, answer: &str, expected: bool) {
        let rule = StopRule { field: JsonPath::parse(field).expect("a path"), condition: condition.clone() };
        let holds = rule.holds(RawJson::parse(answer).ok());
        assert_eq!(holds, expected, "{field} {condition:?} in {answer}");
    }

    /// What the original does, case by case.
    #[test]
    fn empty_is_whatever_says_nothing() {
        for answer in [r#"{"p":0}"#, r#"{"p":0.0}"#, r#"{"p":false}"#, r#"{"p":""}"#, r#"{"p":[]}"#, r#"{"p":{}}"#] {
            check(&StopCondition::Empty, "p", answer, true);
        }
        for answer in [r#"{"p":null}"#, "{}", "[]", "no JSON", r#"{"p":{"a":1}}"#] {
            check(&StopCondition::Empty, "p.a", answer, answer != r#"{"p":{"a":1}}"#);
        }
        for answer in [r#"{"p":1}"#, r#"{"p":true}"#, r#"{"p":" "}"#, r#"{"p":[null]}"#, r#"{"p":"0"}"#] {
            check(&StopCondition::Empty, "p", answer, false);
        }
    }

    #[test]
    fn equal_is_what_python_calls_so() {
        for (value, answer, expected) in [
            (json!(3), "3", true),
            (json!(3), "3.0", true),
            (json!(3), "\"3\"", false),
            (json!(1.5), "1.5", true),
            (json!("3"), "3", false),
            (json!("done"), "\"done\"", true),
            (json!("d\u{e9}"), "\"d\\u00e9\"", true),
            (json!(true), "true", true),
            (json!(true), "1", true),
            (json!(1), "true", true),
            (json!(false), "0", true),
            (json!(false), "false", true),
            (json!("false"), "false", false),
            (json!(false), "null", false),
            (json!(9_007_199_254_740_993_i64), "9007199254740992", false),
            (json!("a"), "[\"a\"]", false),
        ] {
            check(&StopCondition::Equals(value), "p", &format!("{{\"p\":{answer}}}"), expected);
        }
        check(&StopCondition::Equals(json!(false)), "p", "{}", false);
    }

    #[test]
    fn a_part_is_one_of_a_text_a_list_or_the_keys_of_an_object() {
        for (value, answer, expected) in [
            (json!("last"), "\"the last page\"", true),
            (json!("\"hits\":[]"), r#""{\"hits\":[]}""#, true),
            (json!(3), "\"page 3\"", false),
            (json!(3), "[1, 3.0]", true),
            (json!("a"), "[\"b\", \"a\"]", true),
            (json!("a"), "[[\"a\"]]", false),
            (json!("end"), "{\"end\":null}", true),
            (json!("end"), "{\"x\":\"end\"}", false),
            (json!("a"), "null", false),
            (json!(1), "11", false),
            (json!(true), "true", false),
        ] {
            check(&StopCondition::Contains(value), "p", &format!("{{\"p\":{answer}}}"), expected);
        }
        check(&StopCondition::Contains(json!("a")), "p", "{}", false);
    }

    #[test]
    fn the_field_may_stand_in_a_text_that_holds_json_and_its_key_may_have_a_hyphen() {
        check(&StopCondition::Empty, "hits.hits", r#"{"hits":"{\"hits\":[]}"}"#, true);
        check(&StopCondition::Empty, "hits.hits", r#"{"hits":"{\"hits\":[1]}"}"#, false);
        check(&StopCondition::Equals(json!(false)), "has-more", r#"{"has-more":false}"#, true);
        check(&StopCondition::Equals(json!(2)), "$[1].n", r#"[0,{"n":2}]"#, true);
    }
}
