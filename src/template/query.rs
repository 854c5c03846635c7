//! Queries and forms, percent-encoded once: what is encoded already stays as it is, what isn't gets encoded.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Scope, Template, UnboundVariable, Variable, VariableError, VariableSet};

/// One `name=value` of a query or form, percent-encoded already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryField {
    /// The encoded name.
    pub name: String,
    /// The value, its text encoded.
    pub value: Template,
}

impl QueryField {
    /// The field with its values, `None` where it is a variable without one.
    ///
    /// # Errors
    /// [`UnboundVariable`], where a variable without a value stands beside other text.
    pub fn render(&self, scope: &Scope<'_>) -> Result<Option<String>, UnboundVariable> {
        let value = self.value.render_in_place(scope, |variable, _, value| encode_value(variable, value))?;
        Ok(value.map(|value| format!("{}={value}", self.name)))
    }
}

/// What is left alone in a name or value: the unreserved characters of RFC 3986 and some marks that no server minds.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'*')
    .remove(b'(')
    .remove(b')')
    .remove(b'\'');
/// A name keeps the `$` of OData, too.
const ENCODED_IN_NAME: &AsciiSet = &ENCODED.remove(b'$');
/// What would break a value behind a `=`: it would end there, or mean something else. What an answer gives for the next
/// request is mostly encoded as it should be, and may be a query in itself.
const BREAKING: &AsciiSet = &CONTROLS.add(b' ').add(b'+').add(b'&').add(b'#').add(b'%').add(b'"').add(b'<').add(b'>');

/// How the start date stands in a filter's value, where it has no format of its own.
pub(crate) const START_DATE_MARK: &str = "{start_date}";

/// Encodes plain text in full.
#[must_use]
pub fn encode_component(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Encodes the value of a variable for a place behind a `=`.
pub(super) fn encode_value(variable: &Variable, value: &str) -> String {
    match variable {
        Variable::Answer(_) => encode_rest(value, BREAKING, |_| false),
        _ => encode_component(value),
    }
}

/// Encodes the value of a variable for its place in a URL, behind the text before it. A value of an answer that stands
/// behind no `=` is a link or a part of one, and stands as it is.
pub(super) fn encode_in_url(variable: &Variable, before: &str, value: &str) -> String {
    let field = before.split_once('?').and_then(|(_, query)| query.rsplit('&').next());
    match variable {
        Variable::Answer(_) if !field.is_some_and(|field| field.contains('=')) => value.to_owned(),
        _ => encode_value(variable, value),
    }
}

/// The name of a filter.
pub(crate) fn query_name(text: &str) -> String {
    encode_rest(text, ENCODED_IN_NAME, |_| false)
}

/// The value of a filter, with its variables.
///
/// A `+` stands for a blank, as it does in a query, unless it is the sign of a date's offset.
///
/// # Errors
/// [`VariableError`], where a variable has a format that it can't have.
pub(crate) fn query_value(text: &str) -> Result<Template, VariableError> {
    Ok(Template::parse(text)?.map_text(|part| encode_rest(part, ENCODED, |before| !ends_in_a_time(before))))
}

/// The fields of a form that was written as one text: split on `&`, names and values trimmed, what is encoded kept.
///
/// # Errors
/// [`VariableError`], where a variable has a format that it can't have.
pub(crate) fn fields(text: &str, set: VariableSet) -> Result<Vec<QueryField>, VariableError> {
    let fields = text.split('&').map(str::trim).filter(|field| !field.is_empty()).map(|field| {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        let encode = |text: &str| encode_rest(text, ENCODED, |_| true);
        Ok(QueryField { name: encode(name.trim()), value: Template::parse_with(value.trim(), set)?.map_text(encode) })
    });
    fields.collect()
}

/// A form that was written as one text: split on `&`, names and values trimmed, what is encoded (also by `+`) kept.
pub(crate) fn form_from_text(text: &str) -> String {
    let fields = text.split('&').map(str::trim).filter(|field| !field.is_empty()).map(|field| {
        let keep_plus = |_: &str| true;
        match field.split_once('=') {
            Some((name, value)) => format!(
                "{}={}",
                encode_rest(name.trim(), ENCODED, keep_plus),
                encode_rest(value.trim(), ENCODED, keep_plus)
            ),
            None => encode_rest(field, ENCODED, keep_plus),
        }
    });
    fields.collect::<Vec<_>>().join("&")
}

/// A form from plain names and values.
pub(crate) fn form_from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let fields =
        pairs.into_iter().map(|(name, value)| format!("{}={}", encode_component(name), encode_component(value)));
    fields.collect::<Vec<_>>().join("&")
}

/// Encodes what isn't encoded. `keep_plus` decides on each `+` by the text before it.
fn encode_rest(text: &str, set: &'static AsciiSet, keep_plus: impl Fn(&str) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, char) in text.char_indices() {
        let kept = match char {
            '%' => is_escape(text.get(at..).unwrap_or_default()),
            '+' => keep_plus(text.get(..at).unwrap_or_default()),
            _ => false,
        };
        if kept {
            out.push(char);
        } else {
            out.extend(utf8_percent_encode(char.encode_utf8(&mut [0; 4]), set));
        }
    }
    out
}

fn is_escape(text: &str) -> bool {
    let mut bytes = text.bytes().skip(1);
    bytes.next().is_some_and(|b| b.is_ascii_hexdigit()) && bytes.next().is_some_and(|b| b.is_ascii_hexdigit())
}

/// Whether the text ends in the time of an ISO 8601 date (`…T10:10`, `…T10%3A10:10.5`), so that a `+` behind it is the
/// sign of an offset.
fn ends_in_a_time(text: &str) -> bool {
    let plain = text.replace("%3A", ":").replace("%3a", ":").replace("%20", " ");
    let date = plain.rsplit(|c: char| !(c.is_ascii_digit() || "T:.,- t".contains(c))).next().unwrap_or_default();
    let date = date.trim_start();
    let time_at = date.rfind(['T', 't', ' ']);
    time_at.is_some_and(|at| at >= 8) && crate::record::date::parse(date).is_some()
}

#[cfg(test)]
mod tests {
    use super::super::Piece;
    use super::*;

    fn value(text: &str) -> String {
        let value = query_value(text).expect("a template");
        let pieces = value.pieces().iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable { variable, .. } => format!("<{}>", variable.name()),
        });
        pieces.collect()
    }

    #[test]
    fn encodes_what_is_not_encoded_and_only_that() {
        for (text, expected) in [
            ("1090519054", "1090519054"),
            ("2021-10-05T10%3A10%3A10%2B00%3A00", "2021-10-05T10%3A10%3A10%2B00%3A00"),
            ("2021-10-05T10:10:10+00:00", "2021-10-05T10%3A10%3A10%2B00%3A00"),
            ("2021-10-05T10%3A10:10+00:00", "2021-10-05T10%3A10%3A10%2B00%3A00"),
            (
                "createdDateTime ge 2021-10-05 10:10:10.5+0200",
                "createdDateTime%20ge%202021-10-05%2010%3A10%3A10.5%2B0200",
            ),
            ("two+words", "two+words"),
            ("100%", "100%25"),
            ("a&b=c#d", "a%26b%3Dc%23d"),
            ("é", "%C3%A9"),
            ("x ge {start_date} and y", "x%20ge%20<start_date>%20and%20y"),
        ] {
            assert_eq!(value(text), expected);
        }
        assert_eq!(query_name("event_type[]"), "event_type%5B%5D");
        assert_eq!(query_name("event_type%5B%5D"), "event_type%5B%5D");
        assert_eq!(query_name("$filter"), "$filter");
    }

    #[test]
    fn cleans_the_form_that_yaml_folds() {
        let folded =
            "client_id=a-b &scope=https://graph.microsoft.com/.default &client_secret=x~%2F+== &grant_type=c_c";
        assert_eq!(
            form_from_text(folded),
            "client_id=a-b&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default&client_secret=x~%2F+%3D%3D&grant_type=c_c"
        );
        assert_eq!(form_from_pairs([("a b", "c+d%")]), "a%20b=c%2Bd%25");
    }
}
