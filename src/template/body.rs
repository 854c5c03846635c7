//! The body of a request, with variables.

use serde_json::Value;

use super::query::{encode_component, fields};
use super::{QueryField, Scope, Template, UnboundVariable, Variable, VariableError, VariableSet};

/// A body. It may be secret, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum BodyTemplate {
    /// Text; values stand in it as they are.
    Text(Template),
    /// JSON; values are escaped for where they stand.
    Json(JsonTemplate),
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

    /// Its texts, those without variables among them.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::Text(template) => vec![template.texts()],
            Self::Json(json) => json.texts(),
            Self::Form(fields) => fields.iter().map(|field| field.value.texts()).collect(),
        }
    }

    /// Changes the variables in it.
    pub(super) fn change_variables(&mut self, change: &mut dyn FnMut(&mut Variable)) {
        match self {
            Self::Text(template) => template.change_variables(change),
            Self::Json(json) => json.change_variables(change),
            Self::Form(fields) => fields.iter_mut().for_each(|field| field.value.change_variables(change)),
        }
    }

    /// The templates in it.
    #[must_use]
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Text(template) => vec![template],
            Self::Json(json) => json.templates(),
            Self::Form(fields) => fields.iter().map(|field| &field.value).collect(),
        }
    }

    /// Its text that has no variables, to tell it from others; not for people, as it may hold secrets.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Text(_) => String::new(),
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
            Self::Form(fields) => {
                let fields: Vec<Option<String>> =
                    fields.iter().map(|field| field.render(scope, encode_component)).collect::<Result<_, _>>()?;
                Ok(fields.into_iter().flatten().collect::<Vec<_>>().join("&"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::super::{Captured, Position};
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
