//! Walks JSON text without building values.
//!
//! A [`RawJson`] is a slice of the page that is known to be one valid JSON value: a scan of the text is the only way in, and
//! everything below it hands out sub-slices of the same text. So a 19-digit id, a float's last zero, the order of keys
//! and every escape reach the listener as the API sent them.
//!
//! Nothing here recurses, so no nesting can exhaust the stack.

use serde_json::value::RawValue;

use super::scan::Scan;
pub use super::value::{JsonType, RawJson};

/// One `"key": value` of an object.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// The key with its quotes and escapes.
    pub key: RawJson<'a>,
    /// The value.
    pub value: RawJson<'a>,
}

impl<'a> RawJson<'a> {
    /// Takes text that is exactly one JSON value.
    ///
    /// # Errors
    /// Where the text is no valid JSON (RFC 8259); the error tells line and column.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut scan = Scan::new(text);
        match scan.value().and_then(|value| scan.end().map(|()| value)) {
            Ok(value) => Ok(value),
            // Only to tell where and why.
            Err(_) => serde_json::from_str::<&RawValue>(text).map(|value| Self::of_valid(value.get().trim_ascii())),
        }
    }

    /// The members of an object, in their order; none for any other kind.
    #[must_use]
    pub fn members(self) -> Members<'a> {
        Members(Inside::of(self, JsonType::Object))
    }

    /// The elements of an array, in their order; none for any other kind.
    #[must_use]
    pub fn elements(self) -> Elements<'a> {
        Elements(Inside::of(self, JsonType::Array))
    }

    /// The value of the first member with this key.
    #[must_use]
    pub fn member(self, key: &str) -> Option<RawJson<'a>> {
        self.members().find(|member| member.key.is_text(key)).map(|member| member.value)
    }
}

/// Iterates over an object's members.
#[derive(Clone, Debug)]
pub struct Members<'a>(Inside<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let Inside { scan, is_first } = &mut self.0;
        let key = scan.key(std::mem::take(is_first)).ok()??.raw;
        let value = scan.value().ok()?;
        Some(Member { key, value })
    }
}

/// Iterates over an array's elements.
#[derive(Clone, Debug)]
pub struct Elements<'a>(Inside<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = RawJson<'a>;

    fn next(&mut self) -> Option<RawJson<'a>> {
        let Inside { scan, is_first } = &mut self.0;
        scan.element(std::mem::take(is_first)).ok()?.then(|| scan.value().ok())?
    }
}

/// A place between the brackets of a container. As the value is valid, the scan finds nothing invalid; behind the closing
/// bracket, and in what is no such container, it finds nothing at all.
#[derive(Clone, Debug)]
struct Inside<'a> {
    scan: Scan<'a>,
    is_first: bool,
}

impl<'a> Inside<'a> {
    fn of(raw: RawJson<'a>, kind: JsonType) -> Self {
        let mut scan = Scan::new(if raw.kind() == kind { raw.text() } else { "" });
        scan.open(kind);
        Self { scan, is_first: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_out_slices_of_the_same_text() -> Result<(), serde_json::Error> {
        let text = r#" {"id": 1090519054123456789, "a\"b" : [1.10, {"x":"]"}, "é\\"], "n":null,"t":true } "#;
        let raw = RawJson::parse(text)?;
        let members: Vec<_> = raw.members().map(|m| (m.key.text(), m.value.text())).collect();
        assert_eq!(
            members,
            [
                ("\"id\"", "1090519054123456789"),
                (r#""a\"b""#, r#"[1.10, {"x":"]"}, "é\\"]"#),
                ("\"n\"", "null"),
                ("\"t\"", "true"),
            ]
        );
        let list = raw.member("a\"b").map(|list| list.elements().map(RawJson::text).collect::<Vec<_>>());
        assert_eq!(list, Some(vec!["1.10", r#"{"x":"]"}"#, r#""é\\""#]));
        Ok(())
    }

    #[test]
    fn agrees_with_the_json_library_on_any_value() {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".*".prop_map(serde_json::Value::from),
        ];
        let value = leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::hash_map(".*", inner, 0..5)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        });
        proptest!(|(value in value, pretty in any::<bool>())| {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.map_err(|e| TestCaseError::fail(e.to_string()))?;
            let raw = RawJson::parse(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(rebuild(raw), value);
        });
    }

    fn rebuild(raw: RawJson<'_>) -> serde_json::Value {
        match raw.kind() {
            JsonType::Object => serde_json::Value::Object(
                raw.members().filter_map(|m| m.key.scalar().map(|key| (key.into_owned(), rebuild(m.value)))).collect(),
            ),
            JsonType::Array => raw.elements().map(rebuild).collect(),
            _ => serde_json::from_str(raw.text()).unwrap_or_default(),
        }
    }
}
