//! Paths into one element of a list, seen from the element.

use super::parse::rfc9535;
use super::{JsonPath, Part, PathForm, PathSegment};

impl JsonPath {
    /// The way from an element of a list to what this path finds in one of them: `sent` of `result[0].sent` and `result`.
    /// `None` where it leads elsewhere, or to the element itself.
    #[must_use]
    pub fn within_element_of(&self, list: &JsonPath) -> Option<JsonPath> {
        let (PathForm::Steps { steps, .. }, PathForm::Steps { steps: above, .. }) = (&self.form, &list.form) else {
            return None;
        };
        let behind = steps.strip_prefix(above.as_slice())?;
        let [PathSegment::Index(_), below @ ..] = behind else { return None };
        if below.is_empty() {
            return None;
        }
        let parts: Vec<Part> = below.iter().cloned().map(Part::Segment).collect();
        let form = PathForm::Steps { literal: None, steps: below.to_vec() };
        Some(JsonPath { text: rfc9535(&parts), form })
    }

    /// Whether it goes the same way as another one, however both are written.
    #[must_use]
    pub fn has_steps_of(&self, other: &JsonPath) -> bool {
        match (&self.form, &other.form) {
            (PathForm::Steps { steps, .. }, PathForm::Steps { steps: others, .. }) => steps == others,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_one_record_is_a_field_of_each() {
        let path = |text: &str| JsonPath::parse(text).expect("a path");
        for (value, list, expected) in [
            ("result.[0].sent", "result", Some("$['sent']")),
            ("result[-1].id.time", "$.result", Some("$['id']['time']")),
            ("[0].at", "$", Some("$['at']")),
            ("result[0]", "result", None),
            ("next_cursor", "result", None),
            ("results[0].at", "result", None),
            ("result.sent", "result", None),
        ] {
            let found = path(value).within_element_of(&path(list));
            assert_eq!(found.as_ref().map(JsonPath::text), expected, "{value} in {list}");
        }
    }
}
