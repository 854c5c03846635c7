//! Text with holes: what a request says, compiled once from the config, and filled in for each request. Pure.
//!
//! Enters: a text of the config with variables like `{start_date}` or `{page:0}`. Leaves: the same text with their values,
//! encoded once for where it stands. What always holds: braces that name no variable are text, a value is encoded whole,
//! and a text that *is* one variable without a value is left out.

mod answer_value;
mod body;
mod captured;
mod date_format;
mod date_style;
mod entry;
mod granularity;
mod parameter;
mod proof;
pub mod query;
mod request;
mod scope;
mod sent;
mod sign;
mod url;
mod variable;

use std::fmt;

use crate::record::Zone;

pub use answer_value::{ANSWER_VALUE_BYTES_MAX, AnswerValue, AnswerValueError, AnswerValues};
pub use body::{BodyTemplate, JsonTemplate};
pub use captured::{Captured, CapturedValues};
pub use date_format::DateFormat;
pub use date_style::DateStyle;
pub use entry::ListEntry;
pub use granularity::Granularity;
pub use parameter::{HashName, UnsignedPart, VariablePath};
pub use proof::{Cookies, Login, ProofScope, ProofValues, Unsigned};
pub use query::QueryField;
pub use request::{IterationRequest, RequestParts, RequestTemplate};
pub use scope::{Position, Scope};
pub use sent::{Request, RequestError};
pub use sign::{Sign, SignEncoding, SignKind};
pub use url::UrlTemplate;
pub use variable::{Variable, VariableError, VariableSet, is_of_request, is_variable};

/// A text with variables. Its text may be secret, so it is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// A piece of a template.
#[derive(Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text as it stands, encoded already for where it stands.
    Text(String),
    /// A variable.
    Variable {
        /// Which, in which format.
        variable: Variable,
        /// Whether its value stands as it is (`{name:raw}`), without being encoded.
        is_raw: bool,
    },
}

/// A variable that has no value stands beside other text, so nothing can be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{{{name}}}` has no value yet, and stands beside other text")]
pub struct UnboundVariable {
    /// The variable's name.
    pub name: &'static str,
}

impl Template {
    /// Reads a text of the config. Braces around anything but a known variable stay text; `{'{'}` is a brace before the
    /// name of one.
    ///
    /// # Errors
    /// [`VariableError`], where a known variable has a format that it can't have.
    pub fn parse(text: &str) -> Result<Self, VariableError> {
        Self::parse_with(text, VariableSet::Data)
    }

    /// The same with the variables of another place.
    ///
    /// # Errors
    /// [`VariableError`], where a known variable has a format that it can't have.
    pub fn parse_with(text: &str, set: VariableSet) -> Result<Self, VariableError> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = from.strip_prefix(ESCAPED_BRACE) {
                plain.push('{');
                rest = after;
                continue;
            }
            match variable::parse(from, set)? {
                Some((variable, is_raw, length)) => {
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(Piece::Variable { variable, is_raw });
                    rest = from.get(length..).unwrap_or_default();
                }
                None => {
                    plain.push('{');
                    rest = from.get(1..).unwrap_or_default();
                }
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { pieces })
    }

    /// A text without variables.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { pieces: if text.is_empty() { Vec::new() } else { vec![Piece::Text(text)] } }
    }

    /// One variable alone.
    #[must_use]
    pub fn variable(variable: Variable) -> Self {
        Self { pieces: vec![Piece::Variable { variable, is_raw: false }] }
    }

    /// The same with its texts changed, as they are encoded for where they stand.
    #[must_use]
    pub fn map_text(self, mut change: impl FnMut(&str) -> String) -> Self {
        let changed = self.pieces.into_iter().map(|piece| match piece {
            Piece::Text(text) => Piece::Text(change(&text)),
            variable @ Piece::Variable { .. } => variable,
        });
        Self { pieces: changed.collect() }
    }

    /// Puts another behind it.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for piece in other.pieces {
            match (self.pieces.last_mut(), piece) {
                (Some(Piece::Text(text)), Piece::Text(more)) => text.push_str(&more),
                (_, piece) => self.pieces.push(piece),
            }
        }
        self
    }

    /// Its pieces in their order.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The template in one text, to tell it from others; not for people, as it may hold secrets.
    #[must_use]
    pub fn written(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable { variable, is_raw } => format!("\u{0}{variable:?} {is_raw}\u{0}"),
        };
        self.pieces.iter().map(piece).collect()
    }

    /// Changes its variables.
    pub fn change_variables(&mut self, change: &mut dyn FnMut(&mut Variable)) {
        for piece in &mut self.pieces {
            if let Piece::Variable { variable, .. } = piece {
                change(variable);
            }
        }
    }

    /// Has its patterns of dates that name no zone written as a clock in this one shows them.
    pub fn write_in_zone(&mut self, zone: Zone) {
        self.change_variables(&mut |variable| variable.write_in_zone(zone));
    }

    /// Its texts alone, joined.
    #[must_use]
    pub fn texts(&self) -> String {
        self.pieces
            .iter()
            .filter_map(|piece| if let Piece::Text(text) = piece { Some(text.as_str()) } else { None })
            .collect()
    }

    /// Whether the start date stands in it.
    #[must_use]
    pub fn has_start_date(&self) -> bool {
        self.variables().any(|variable| matches!(variable, Variable::StartDate(_)))
    }

    /// The variables in it.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Variable { variable, .. } => Some(variable),
            Piece::Text(_) => None,
        })
    }

    /// The variable, where it is one and nothing else.
    #[must_use]
    pub fn as_variable(&self) -> Option<&Variable> {
        match self.pieces.as_slice() {
            [Piece::Variable { variable, .. }] => Some(variable),
            _ => None,
        }
    }

    /// The text with its values, each encoded by `encode`; `None` where it is one variable that has no value.
    ///
    /// # Errors
    /// [`UnboundVariable`], where a variable without a value stands beside other text.
    pub fn render(
        &self,
        scope: &Scope<'_>,
        encode: impl Fn(&str) -> String,
    ) -> Result<Option<String>, UnboundVariable> {
        self.render_in_place(scope, |_, _, value| encode(value))
    }

    /// The same where the place decides: `encode` gets the variable, the text before it, and its value.
    ///
    /// # Errors
    /// [`UnboundVariable`], where a variable without a value stands beside other text.
    pub(super) fn render_in_place(
        &self,
        scope: &Scope<'_>,
        encode: impl Fn(&Variable, &str, &str) -> String,
    ) -> Result<Option<String>, UnboundVariable> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Variable { variable, is_raw } => match scope.text(variable) {
                    Some(value) if *is_raw => out.push_str(&value),
                    Some(value) => {
                        let encoded = encode(variable, &out, &value);
                        out.push_str(&encoded);
                    }
                    None if self.pieces.len() == 1 => return Ok(None),
                    None => return Err(UnboundVariable { name: variable.name() }),
                },
            }
        }
        Ok(Some(out))
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.variables()).finish()
    }
}

/// How a brace is written that stands before the name of a variable and means none.
const ESCAPED_BRACE: &str = "{'{'}";

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        crate::record::date::parse(text).expect("a date")
    }

    #[track_caller]
    fn check(text: &str, position: &Position, expected: Result<Option<&str>, &str>) {
        let template = Template::parse(text).expect("a template");
        let now = at("2024-05-28T12:00:00.123456Z");
        let proof = ProofScope::default();
        let scope = Scope { start: at("2024-05-01T10:00:00.5Z"), end: Some(now), now, position, entry: None, proof };
        let rendered = template.render(&scope, query::encode_component);
        assert_eq!(
            rendered,
            expected
                .map(|text| text.map(str::to_owned))
                .map_err(|_| { UnboundVariable { name: template.variables().next().expect("a variable").name() } })
        );
    }

    #[test]
    fn braces_that_name_no_variable_are_text() {
        let nowhere = Position::default();
        for text in [
            "{}",
            "{ events(first: 10) { id } }",
            "{\"a\": {\"b\": 1}}",
            "{tenant}",
            "{{x}}",
            "{start",
            "}{",
            "{key}",
            "{login}",
            "{login.x",
        ] {
            check(text, &nowhere, Ok(Some(text)));
        }
        check("{'{'}page}", &nowhere, Ok(Some("{page}")));
        check("{'{'}{page}", &nowhere, Ok(Some("{1")));
    }

    #[test]
    fn values_are_encoded_once_and_raw_ones_not() {
        let position =
            Position { next_token: Some(Captured::of_text("a/b=")), page: 2, offset: 200, ..Position::default() };
        check("{next_token}", &position, Ok(Some("a%2Fb%3D")));
        check("x{next_token:raw}y", &position, Ok(Some("xa/b=y")));
        check("{page}-{page:0}-{offset}-{offset:+100}", &position, Ok(Some("3-2-200-300")));
    }

    #[test]
    fn dates_have_formats() {
        let nowhere = Position::default();
        check("{start_date}", &nowhere, Ok(Some("2024-05-01T10%3A00%3A00Z")));
        check("{start_date:unix}", &nowhere, Ok(Some("1714557600")));
        check("{start_date:unix_ms}", &nowhere, Ok(Some("1714557600500")));
        check("{now:unix_us}", &nowhere, Ok(Some("1716897600123456")));
        check("{now:unix_ns}", &nowhere, Ok(Some("1716897600123456000")));
        check("{end_date:day}", &nowhere, Ok(Some("2024-05-28")));
        check("{end_date:rfc3339_ms}", &nowhere, Ok(Some("2024-05-28T12%3A00%3A00.123Z")));
        check("{now:'%Y/%m/%d'}", &nowhere, Ok(Some("2024%2F05%2F28")));
        check("{now:rfc2822}", &nowhere, Ok(Some("Tue%2C%2028%20May%202024%2012%3A00%3A00%20%2B0000")));
    }

    #[test]
    fn a_token_that_is_a_date_is_written_in_a_format_and_another_as_it_is() {
        let token = |json: &str| Position { next_token: Captured::of_json(json), ..Position::default() };
        check("{next_token:'%Y-%m-%d %H'}", &token("1716900123000000"), Ok(Some("2024-05-28%2012")));
        check("{next_token:unix}", &token("\"2024-05-28T12:42:03.5Z\""), Ok(Some("1716900123")));
        check("{next_token:unix}", &token("\"abc\""), Ok(Some("abc")));
        check("{next_token:unix}", &Position::default(), Ok(None));
    }

    #[test]
    fn a_variable_without_a_value_is_left_out_alone_and_refused_beside_text() {
        let nowhere = Position::default();
        check("{next_token}", &nowhere, Ok(None));
        check("id:{cursor}", &nowhere, Err("unbound"));
    }

    #[test]
    fn a_format_that_a_variable_can_not_have_is_refused() {
        for text in
            ["{start_date:epoch}", "{page:x}", "{offset:100}", "{next_token:epoch}", "{cursor:day}", "{now:'%Q'}"]
        {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
