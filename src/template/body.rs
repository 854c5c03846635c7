//! The body of a request, with variables.

use serde_json::Value;

use super::query::fields;
use super::{Piece, QueryField, Scope, Template, UnboundVariable, Variable, VariableError, VariableSet};

/// A body. It may be secret, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum BodyTemplate {
    /// Text; values stand in it as they are.
    Text(Template),
    /// JSON; values are escaped for where they stand.
    Json(JsonTemplate),
    /// JSON that was written as one text, with values in its strings and in places of their own.
    JsonText(Template),
    /// A form; values are percent-encoded.
    Form(Vec<QueryField>),
}

/// A JSON value with variables in its texts. It may be secret, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum JsonTemplate {
    /// A value without variables, as JSON text.
    Plain(String),
    /// A text with variables; one that *is* a variable has the value's own kind.
    Text(Template),
    /// An array.
    Array(Vec<JsonTemplate>),
    /// An object, its names in their order.
    Object(Vec<(String, JsonTemplate)>),
}

impl JsonTemplate {
    /// Finds the variables in the texts of a value; names have none.
    ///
    /// # Errors
    /// [`VariableError`], where a variable has a format that it can't have.
    pub fn of(value: &Value, set: VariableSet) -> Result<Self, VariableError> {
        Ok(match value {
            Value::String(text) => {
                let template = Template::parse_with(text, set)?;
                let (first, is_alone) = (template.variables().next().cloned(), template.as_variable().is_some());
                match first {
                    // A text that is more than a variable is escaped once, here.
                    Some(_) if is_alone => Self::Text(template),
                    Some(_) => Self::Text(template.map_text(escaped)),
                    None => Self::Plain(Value::from(template.texts()).to_string()),
                }
            }
            Value::Array(values) => {
                let values: Vec<Self> = values.iter().map(|value| Self::of(value, set)).collect::<Result<_, _>>()?;
                Self::Array(values)
            }
            Value::Object(members) => {
                let member = |(name, value): (&String, &Value)| Ok((name.clone(), Self::of(value, set)?));
                Self::Object(members.iter().map(member).collect::<Result<_, _>>()?)
            }
            plain => Self::Plain(plain.to_string()),
        })
    }

    /// The templates in it.
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Plain(_) => Vec::new(),
            Self::Text(template) => vec![template],
            Self::Array(values) => values.iter().flat_map(Self::templates).collect(),
            Self::Object(members) => members.iter().flat_map(|(_, value)| value.templates()).collect(),
        }
    }

    fn texts(&self) -> Vec<String> {
        match self {
            Self::Plain(json) => serde_json::from_str::<String>(json).into_iter().collect(),
            Self::Text(template) => vec![template.texts()],
            Self::Array(values) => values.iter().flat_map(Self::texts).collect(),
            Self::Object(members) => members.iter().flat_map(|(_, value)| value.texts()).collect(),
        }
    }

    fn change_variables(&mut self, change: &mut dyn FnMut(&mut Variable)) {
        match self {
            Self::Plain(_) => {}
            Self::Text(template) => template.change_variables(change),
            Self::Array(values) => values.iter_mut().for_each(|value| value.change_variables(change)),
            Self::Object(members) => members.iter_mut().for_each(|(_, value)| value.change_variables(change)),
        }
    }

    fn written(&self) -> String {
        match self {
            Self::Plain(json) => json.clone(),
            Self::Text(template) => template.written(),
            Self::Array(values) => values.iter().map(Self::written).collect::<Vec<_>>().join(","),
            Self::Object(members) => {
                members.iter().map(|(name, value)| format!("{name}:{}", value.written())).collect::<Vec<_>>().join(",")
            }
        }
    }

    /// The JSON text with its values; `None` where it is a variable without one. Members and elements without a value
    /// are left out.
    fn render(&self, scope: &Scope<'_>) -> Result<Option<String>, UnboundVariable> {
        Ok(match self {
            Self::Plain(json) => Some(json.clone()),
            Self::Text(template) => match template.as_variable() {
                Some(variable) => scope.json(variable).map(std::borrow::Cow::into_owned),
                None => template.render(scope, escaped)?.map(|text| format!("\"{text}\"")),
            },
            Self::Array(values) => {
                let values: Vec<Option<String>> =
                    values.iter().map(|value| value.render(scope)).collect::<Result<_, _>>()?;
                Some(format!("[{}]", values.into_iter().flatten().collect::<Vec<_>>().join(",")))
            }
            Self::Object(members) => {
                let mut written = Vec::with_capacity(members.len());
                for (name, value) in members {
                    if let Some(value) = value.render(scope)? {
                        written.push(format!("{}:{value}", Value::from(name.as_str())));
                    }
                }
                Some(format!("{{{}}}", written.join(",")))
            }
        })
    }
}

/// The beginning of a JSON text, as far as it tells whether a string is open.
#[derive(Clone, Copy, Default)]
struct OpenString {
    is_open: bool,
    is_escaped: bool,
}

impl OpenString {
    fn pass(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = self.is_open,
                b'"' => self.is_open = !self.is_open,
                _ => {}
            }
        }
    }
}

/// JSON text with its values: escaped inside of a string, JSON of their own kind elsewhere.
fn json_text(template: &Template, scope: &Scope<'_>) -> Result<String, UnboundVariable> {
    let (mut out, mut string) = (String::new(), OpenString::default());
    for piece in template.pieces() {
        let (variable, is_raw) = match piece {
            Piece::Text(text) => {
                string.pass(text);
                out.push_str(text);
                continue;
            }
            Piece::Variable { variable, is_raw } => (variable, *is_raw),
        };
        let value = match (is_raw, string.is_open) {
            (true, _) => scope.text(variable),
            (false, true) => scope.text(variable).map(|text| escaped(&text)),
            (false, false) => scope.json(variable).map(std::borrow::Cow::into_owned),
        };
        out.push_str(&value.ok_or(UnboundVariable { name: variable.name() })?);
    }
    Ok(out)
}

/// A text as it stands inside of a JSON string, without its quotes.
fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}

impl BodyTemplate {
    /// A form, as the config writes it in one text.
    ///
    /// # Errors
    /// [`VariableError`], where a variable has a format that it can't have.
    pub fn form(text: &str, set: VariableSet) -> Result<Self, VariableError> {
        Ok(Self::Form(fields(text, set)?))
    }

    /// JSON that was written as one text, where it is JSON with any values; `None` where it isn't, or holds no value of a
    /// page (`{res.PATH}`).
    #[must_use]
    pub fn json_text(template: &Template) -> Option<Self> {
        template.variables().find_map(Variable::as_answer_value)?;
        let filled: String = template
            .pieces()
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Variable { .. } => "0",
            })
            .collect();
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&filled).is_ok();
        is_json.then(|| Self::JsonText(template.clone()))
    }

    /// Its texts, those without variables among them.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::Text(template) | Self::JsonText(template) => vec![template.texts()],
            Self::Json(json) => json.texts(),
            Self::Form(fields) => fields.iter().map(|field| field.value.texts()).collect(),
        }
    }

    /// Changes the variables in it.
    pub(super) fn change_variables(&mut self, change: &mut dyn FnMut(&mut Variable)) {
        match self {
            Self::Text(template) | Self::JsonText(template) => template.change_variables(change),
            Self::Json(json) => json.change_variables(change),
            Self::Form(fields) => fields.iter_mut().for_each(|field| field.value.change_variables(change)),
        }
    }

    /// The templates in it.
    #[must_use]
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Text(template) | Self::JsonText(template) => vec![template],
            Self::Json(json) => json.templates(),
            Self::Form(fields) => fields.iter().map(|field| &field.value).collect(),
        }
    }

    /// Its text that has no variables, to tell it from others; not for people, as it may hold secrets.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Text(_) | Self::JsonText(_) => String::new(),
            Self::Json(json) => json.written(),
            Self::Form(fields) => fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join("&"),
        }
    }

    /// The whole of it, to tell it from others; not for people, as it may hold secrets.
    pub(super) fn whole(&self) -> String {
        let templates: Vec<String> = self.templates().into_iter().map(Template::written).collect();
        format!("{}\n{}", self.written(), templates.join("\n"))
    }

    /// The body with its values.
    ///
    /// # Errors
    /// [`UnboundVariable`], where a variable without a value stands beside other text.
    pub fn render(&self, scope: &Scope<'_>) -> Result<String, UnboundVariable> {
        match self {
            Self::Text(template) => Ok(template.render(scope, str::to_owned)?.unwrap_or_default()),
            Self::Json(json) => Ok(json.render(scope)?.unwrap_or_default()),
            Self::JsonText(template) => json_text(template, scope),
            Self::Form(fields) => {
                let fields: Vec<Option<String>> =
                    fields.iter().map(|field| field.render(scope)).collect::<Result<_, _>>()?;
                Ok(fields.into_iter().flatten().collect::<Vec<_>>().join("&"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use crate::record::json::RawJson;

    use super::super::{AnswerValue, AnswerValues, Captured, Position};
    use super::*;

    #[track_caller]
    fn check(body: &BodyTemplate, position: &Position, expected: &str) {
        let now = DateTime::from_timestamp(1_716_900_000, 0).expect("a date");
        let scope =
            Scope { start: now, end: None, now, position, entry: None, proof: super::super::ProofScope::default() };
        assert_eq!(body.render(&scope).expect("bound"), expected);
    }

    #[test]
    fn a_json_body_keeps_kinds_and_leaves_out_what_has_no_value() {
        let json = r#"{"page":"{page}","from":"{start_date}","ms":"{start_date:unix_ms}","q":"say \"{next_token}\" {x}","after":"{cursor}","n":1.50,"list":["{cursor}",null]}"#;
        let value = serde_json::from_str(json).expect("JSON");
        let body = BodyTemplate::Json(JsonTemplate::of(&value, VariableSet::Data).expect("a template"));
        let token = Captured::of_text("a\"b");
        let first = Position { next_token: Some(token.clone()), ..Position::default() };
        check(
            &body,
            &first,
            "{\"page\":1,\"from\":\"2024-05-28T12:40:00Z\",\"ms\":1716900000000,\"q\":\"say \\\"a\\\"b\\\" {x}\",\"n\":1.5,\"list\":[null]}",
        );
        let cursor = Captured::of_json("[1716900000000,\"x\"]").expect("a value");
        let later = Position { next_token: Some(token), cursor: Some(cursor), page: 4, ..Position::default() };
        check(
            &body,
            &later,
            "{\"page\":5,\"from\":\"2024-05-28T12:40:00Z\",\"ms\":1716900000000,\"q\":\"say \\\"a\\\"b\\\" {x}\",\"after\":[1716900000000,\"x\"],\"n\":1.5,\"list\":[[1716900000000,\"x\"],null]}",
        );
    }

    fn with_values(answer: &str) -> Position {
        let paths = ["page+1", "q", "list"].map(|path| AnswerValue::parse(path, false).expect("a path"));
        let root = RawJson::parse(answer).expect("JSON");
        let values = AnswerValues::of(&paths, Some(root)).expect("usable").expect("all there");
        Position { values, page: 1, ..Position::default() }
    }

    #[test]
    fn values_of_a_page_keep_their_kind_alone_and_are_texts_where_that_is_said() {
        let value = serde_json::json!({"page": "{res.page+1}", "as_text": "{res.page+1:text}", "q": "{res.q}",
            "list": ["{res.list}"], "all": "{res.list:text}", "said": "say \"{res.q}\""});
        let body = BodyTemplate::Json(JsonTemplate::of(&value, VariableSet::Data).expect("a template"));
        check(
            &body,
            &with_values(r#"{"page":2,"q":"a\"b","list":[1,"x"]}"#),
            r#"{"page":3,"as_text":"3","q":"a\"b","list":[[1,"x"]],"all":"[1,\"x\"]","said":"say \"a\"b\""}"#,
        );
    }

    #[test]
    fn json_that_is_written_as_text_is_escaped_in_its_strings_alone() {
        let template = |text: &str| {
            BodyTemplate::json_text(&Template::parse(text).expect("a template")).expect("JSON with any value")
        };
        let position = with_values(r#"{"page":2,"q":"a\"b\\","list":[1,"x"]}"#);
        check(
            &template(r#"{"page": {res.page+1}, "q": "\"{res.q}\"", "r": {res.q}, "l": {res.list}}"#),
            &position,
            r#"{"page": 3, "q": "\"a\"b\\\"", "r": "a\"b\\", "l": [1,"x"]}"#,
        );
        for text in [r#"{"page": {page}}"#, "page={res.page}", r#"{"page": }{res.page}"#] {
            assert!(BodyTemplate::json_text(&Template::parse(text).expect("a template")).is_none(), "{text}");
        }
    }

    #[test]
    fn a_form_encodes_values_and_leaves_out_what_has_none() {
        let body =
            BodyTemplate::form("offset={offset}&cursor={cursor} & from={start_date}&kind=a%20b", VariableSet::Data)
                .expect("a form");
        check(
            &body,
            &Position { offset: 50, ..Position::default() },
            "offset=50&from=2024-05-28T12%3A40%3A00Z&kind=a%20b",
        );
    }
}
