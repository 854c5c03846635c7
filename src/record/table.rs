//! Answers whose rows are arrays, with the names of their columns beside them (`response.columns`). Pure.
//!
//! Enters: the text of an answer, and where its rows and its columns stand. Leaves: JSON in which each row is an object. What
//! always holds: values keep their bytes, and a row that doesn't fit the columns is left as it is, so that nothing is lost.

use std::collections::HashSet;

use serde_json::Value;

use super::json::{JsonType, RawJson};
use super::path::JsonPath;

/// The member of a column's description that names it.
const NAME: &str = "name";
/// The most columns of a table: more than any has.
const COLUMNS_MAX: usize = 10_000;

/// A table became too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableTooLarge;

/// The answer with its rows as objects; `None` where it has no rows, or no columns that tell them apart.
///
/// # Errors
/// [`TableTooLarge`], where that takes more than so many bytes, as each row repeats the names.
pub fn with_columns(
    text: &str,
    data: &JsonPath,
    columns: &JsonPath,
    bytes_max: usize,
) -> Result<Option<String>, TableTooLarge> {
    let Ok(root) = RawJson::parse(text) else { return Ok(None) };
    let Some(names) = names(root, columns) else { return Ok(None) };
    let Ok(found) = data.all(root) else { return Ok(None) };
    let lists = found.into_iter().filter(|found| found.kind() == JsonType::Array);
    let offset = text.len() - text.trim_start().len();
    let (mut out, mut rest) = (String::new(), 0);
    for row in lists.flat_map(|list| list.elements()).filter(|row| row.kind() == JsonType::Array) {
        if row.elements().count() != names.len() {
            continue;
        }
        let at = offset + row.offset_in(root);
        out.push_str(text.get(rest..at).unwrap_or_default());
        push_object(&names, row, &mut out);
        rest = at + row.text().len();
        if out.len() > bytes_max {
            return Err(TableTooLarge);
        }
    }
    if rest == 0 {
        return Ok(None);
    }
    out.push_str(text.get(rest..).unwrap_or_default());
    if out.len() > bytes_max { Err(TableTooLarge) } else { Ok(Some(out)) }
}

/// The names of the columns as JSON texts; `None` where there is none, or one stands twice.
fn names(root: RawJson<'_>, columns: &JsonPath) -> Option<Vec<String>> {
    let found = columns.all(root).ok()?;
    let mut names = Vec::new();
    for value in found {
        match value.kind() {
            JsonType::Array => names.extend(value.elements().map(name)),
            _ => names.push(name(value)),
        }
    }
    let names: Vec<String> = names.into_iter().collect::<Option<_>>()?;
    let is_usable = !names.is_empty() && names.len() <= COLUMNS_MAX;
    (is_usable && names.iter().collect::<HashSet<_>>().len() == names.len()).then_some(names)
}

/// A column's name: a text, or what an object has as its `name`.
fn name(column: RawJson<'_>) -> Option<String> {
    let text = match column.kind() {
        JsonType::Object => column.member(NAME)?,
        _ => column,
    };
    let text = text.scalar().filter(|_| text.kind() == JsonType::Text)?;
    Some(Value::from(text.as_ref()).to_string())
}

fn push_object(names: &[String], row: RawJson<'_>, out: &mut String) {
    out.push('{');
    for (at, (name, value)) in names.iter().zip(row.elements()).enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(name);
        out.push(':');
        out.push_str(value.text());
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(columns: &str, answer: &str, expected: Option<&str>) {
        let [data, columns] = ["data", columns].map(|path| JsonPath::parse(path).expect("a path"));
        assert_eq!(with_columns(answer, &data, &columns, 10_000), Ok(expected.map(str::to_owned)), "{answer}");
    }

    #[test]
    fn rows_become_objects_by_the_names_of_their_columns() {
        check(
            "fields",
            r#" {"fields": [{"name": "id", "type": "x"}, {"name": "at \"b\""}], "data": [[1.50, {"c": [2]}], [12345678901234567890, null]]} "#,
            Some(
                r#" {"fields": [{"name": "id", "type": "x"}, {"name": "at \"b\""}], "data": [{"id":1.50,"at \"b\"":{"c": [2]}}, {"id":12345678901234567890,"at \"b\"":null}]} "#,
            ),
        );
        check("c[*].n", r#"{"data":[["x"]],"c":[{"n":"a"}]}"#, Some(r#"{"data":[{"a":"x"}],"c":[{"n":"a"}]}"#));
        check("c", r#"{"c":["a"],"data":[[1]]}"#, Some(r#"{"c":["a"],"data":[{"a":1}]}"#));
    }

    #[test]
    fn what_does_not_fit_is_left_as_it_is() {
        check(
            "c",
            r#"{"c":["a","b"],"data":[[1],[1,2],{"a":1},3]}"#,
            Some(r#"{"c":["a","b"],"data":[[1],{"a":1,"b":2},{"a":1},3]}"#),
        );
        for answer in [
            r#"{"c":["a","a"],"data":[[1,2]]}"#,
            r#"{"c":[],"data":[[]]}"#,
            r#"{"c":[1],"data":[[1]]}"#,
            r#"{"data":[[1]]}"#,
            r#"{"c":["a"],"data":[]}"#,
            r#"{"c":["a"]}"#,
            "no JSON",
        ] {
            check("c", answer, None);
        }
    }

    #[test]
    fn names_that_make_it_too_large_are_an_error() {
        let long = "n".repeat(1000);
        let answer = format!(r#"{{"c":["{long}"],"data":[[1],[2],[3]]}}"#);
        let [data, columns] = ["data", "c"].map(|path| JsonPath::parse(path).expect("a path"));
        assert_eq!(with_columns(&answer, &data, &columns, 2000), Err(TableTooLarge));
        assert!(with_columns(&answer, &data, &columns, 5000).is_ok_and(|made| made.is_some()));
    }
}
