//! A record's line: its own bytes with the custom fields spliced in.

use std::fmt;

use super::json::{JsonType, Member, RawJson};
use super::scan::MemberKey;

/// The field that says what kind of record it is, to Logz.io.
const TYPE: &str = "type";
/// The `type` of a record whose API sets none in `custom_fields`.
const TYPE_DEFAULT: &str = "api_fetcher";
/// The name that a record's own `type` gets where ours replaces it; a number follows where that name is taken.
const ORIGINAL_TYPE: &str = "original_type";

/// The fields added to every record of an API. They win over the record's own top-level keys.
#[derive(Clone, PartialEq, Eq)]
pub struct CustomFields {
    keys: Vec<String>,
    /// `"key":value,"key":value`, as it is spliced in.
    members: String,
}

/// Why a custom field can't be added.
#[derive(Debug, thiserror::Error)]
#[error("it can't be written as JSON")]
pub struct FieldError(#[from] serde_json::Error);

/// None of one's own: only the `type` that every record has.
impl Default for CustomFields {
    fn default() -> Self {
        Self { keys: vec![TYPE.to_owned()], members: format!("\"{TYPE}\":\"{TYPE_DEFAULT}\"") }
    }
}

impl CustomFields {
    /// From names and JSON values; `type` is added where it isn't among them. A `type` that is null leaves the records'
    /// own alone.
    ///
    /// # Errors
    /// Where a value can't be written as JSON.
    pub fn new(fields: &[(String, serde_json::Value)]) -> Result<Self, FieldError> {
        let own_type = fields.iter().any(|(key, _)| key == TYPE);
        let default = (TYPE.to_owned(), serde_json::Value::from(TYPE_DEFAULT));
        // Null is absent, here as everywhere in the config.
        let fields = fields.iter().filter(|(_, value)| !value.is_null());
        let all = fields.chain((!own_type).then_some(&default));
        let mut keys = Vec::new();
        let mut members = Vec::new();
        for (key, value) in all {
            members.push(format!("{}:{}", serde_json::to_string(key)?, serde_json::to_string(value)?));
            keys.push(key.clone());
        }
        Ok(Self { keys, members: members.join(",") })
    }

    /// Appends the record's line, without its line break.
    ///
    /// An object keeps its bytes except for white space that holds line breaks and members that a custom field
    /// overrides. Its own `type` is kept by another name then. Anything else becomes the `message` of an object.
    pub fn append_line(&self, record: RawJson<'_>, line: &mut Vec<u8>) {
        if record.kind() != JsonType::Object {
            line.extend_from_slice(b"{\"message\":");
            append_compact(record.text(), line);
            self.close(line, true);
            return;
        }
        line.push(b'{');
        let mut has_members = false;
        // Neighbours that stay are copied together, the first ones with the blanks before them.
        let (mut start, mut end) = (Some(1), 1);
        let mut copy = |start: Option<usize>, end: usize, line: &mut Vec<u8>| {
            let kept = start.filter(|_| end > 1).and_then(|start| record.text().get(start..end));
            if let Some(text) = kept {
                if std::mem::replace(&mut has_members, true) {
                    line.push(b',');
                }
                append_compact(text, line);
            }
        };
        let mut original = None::<RawJson<'_>>;
        for Member { key, value } in record.members() {
            if self.overrides_raw(key) {
                copy(start.take(), end, line);
                if key.is_text(TYPE) {
                    original = Some(value);
                }
            } else {
                start = start.or(Some(key.offset_in(record)));
                end = value.offset_in(record) + value.text().len();
            }
        }
        copy(start, end, line);
        if let Some(value) = original {
            let name = self.original_name(record);
            let separator = if std::mem::replace(&mut has_members, true) { "," } else { "" };
            line.extend_from_slice(format!("{separator}\"{name}\":").as_bytes());
            append_compact(value.text(), line);
        }
        self.close(line, has_members);
    }

    /// A name for the record's own `type` that neither the record nor a custom field has: `original_type`, or with the
    /// number behind the highest that is taken.
    fn original_name(&self, record: RawJson<'_>) -> String {
        let number = |name: &str| match name.strip_prefix(ORIGINAL_TYPE)? {
            "" => Some(1),
            number => number.strip_prefix('_')?.parse::<u64>().ok(),
        };
        let own = self.keys.iter().filter_map(|key| number(key));
        // Most records have no such name, in no spelling.
        let may_have = [ORIGINAL_TYPE, "\\u"].iter().any(|part| record.text().contains(part));
        let of_record = Some(record).filter(|_| may_have).into_iter().flat_map(RawJson::members);
        let of_record = of_record.filter_map(|member| number(&member.key.scalar()?));
        match own.chain(of_record).max() {
            None => ORIGINAL_TYPE.to_owned(),
            Some(taken) => format!("{ORIGINAL_TYPE}_{}", taken.saturating_add(1).max(2)),
        }
    }

    /// Appends the line of an object that has members, but no line breaks and none that is overridden.
    pub(super) fn append_plain(&self, record: RawJson<'_>, line: &mut Vec<u8>) {
        let inside = record.text().strip_suffix('}').unwrap_or_default();
        line.extend_from_slice(inside.trim_ascii_end().as_bytes());
        self.close(line, true);
    }

    /// The keys of the fields.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(String::as_str)
    }

    /// Whether one of the fields has this key.
    pub(super) fn overrides(&self, key: &MemberKey<'_>) -> bool {
        self.keys.iter().any(|own| key.is(own))
    }

    fn overrides_raw(&self, key: RawJson<'_>) -> bool {
        self.keys.iter().any(|own| key.is_text(own))
    }

    fn close(&self, line: &mut Vec<u8>, after_members: bool) {
        if after_members && !self.members.is_empty() {
            line.push(b',');
        }
        line.extend_from_slice(self.members.as_bytes());
        line.push(b'}');
    }
}

/// Values may come out of secrets, so only the names are shown.
impl fmt::Debug for CustomFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CustomFields").field(&self.keys).finish()
    }
}

/// Appends JSON text, leaving out white space with line breaks in it. In valid JSON such breaks stand between tokens,
/// never in a string.
fn append_compact(text: &str, line: &mut Vec<u8>) {
    let breaks = |c: char| c == '\n' || c == '\r';
    if !text.contains(breaks) {
        line.extend_from_slice(text.as_bytes());
        return;
    }
    let last = text.matches(breaks).count();
    for (index, piece) in text.split(breaks).enumerate() {
        let piece = if index > 0 { piece.trim_ascii_start() } else { piece };
        let piece = if index < last { piece.trim_ascii_end() } else { piece };
        line.extend_from_slice(piece.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[(&str, &str)], record: &str, expected: &str) {
        let fields: Vec<_> = fields.iter().map(|(k, v)| ((*k).to_owned(), serde_json::Value::from(*v))).collect();
        let custom = CustomFields::new(&fields).expect("plain strings");
        let mut line = Vec::new();
        custom.append_line(RawJson::parse(record).expect("the record is JSON"), &mut line);
        assert_eq!(String::from_utf8_lossy(&line), expected);
    }

    #[test]
    fn keeps_the_bytes_of_a_record() {
        let record = r#"{"id":6159258594551267592, "score": 1.10,"a":"\u00e9\/\ud800","z": {"b" : [1e400]}}"#;
        let spliced = r#"{"id":6159258594551267592, "score": 1.10,"a":"\u00e9\/\ud800","z": {"b" : [1e400]},"type":"api_fetcher"}"#;
        check(&[], record, spliced);
    }

    #[test]
    fn lets_custom_fields_win_over_every_spelling_of_a_key() {
        check(
            &[("type", "cisco"), ("le\"vel", "high")],
            r#"{"type":1,"a":{"type":2},"ty\u0070e":3,"b":"x","le\"vel":{}}"#,
            r#"{"a":{"type":2},"b":"x","original_type":3,"type":"cisco","le\"vel":"high"}"#,
        );
        check(&[("a", "x"), ("type", "t")], r#"{"a":1}"#, r#"{"a":"x","type":"t"}"#);
        check(&[("a", "x"), ("type", "t")], "{ }", r#"{"a":"x","type":"t"}"#);
    }

    #[test]
    fn keeps_a_records_own_type_by_another_name_where_ours_replaces_it() {
        check(&[], r#"{"type":"own"}"#, r#"{"original_type":"own","type":"api_fetcher"}"#);
        check(
            &[],
            r#"{"a":1,"type": {"x":[1,2]},"b":2}"#,
            r#"{"a":1,"b":2,"original_type":{"x":[1,2]},"type":"api_fetcher"}"#,
        );
        check(
            &[("type", "t"), ("a", "x")],
            "{\n \"type\":\n {\"x\":\n1},\n \"b\": 2\n}",
            r#"{"b": 2,"original_type":{"x":1},"type":"t","a":"x"}"#,
        );
    }

    #[test]
    fn loses_no_original_type_that_a_record_or_the_config_has() {
        check(
            &[],
            r#"{"type":"a","original_type":"b"}"#,
            r#"{"original_type":"b","original_type_2":"a","type":"api_fetcher"}"#,
        );
        check(
            &[],
            r#"{"original_type_7":1,"type":"a","original_type_x":2}"#,
            r#"{"original_type_7":1,"original_type_x":2,"original_type_8":"a","type":"api_fetcher"}"#,
        );
        check(
            &[("type", "t"), ("original_type", "ours")],
            r#"{"type":"a"}"#,
            r#"{"original_type_2":"a","type":"t","original_type":"ours"}"#,
        );
    }

    #[test]
    fn leaves_the_type_alone_where_the_config_says_null() {
        let of = |fields: &[(&str, serde_json::Value)], record: &str| {
            let fields: Vec<_> = fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
            let (custom, mut line) = (CustomFields::new(&fields).expect("plain values"), Vec::new());
            custom.append_line(RawJson::parse(record).expect("the record is JSON"), &mut line);
            String::from_utf8_lossy(&line).into_owned()
        };
        let null = ("type", serde_json::Value::Null);
        assert_eq!(of(std::slice::from_ref(&null), r#"{"type":"own"}"#), r#"{"type":"own"}"#);
        assert_eq!(of(std::slice::from_ref(&null), r#"{"a":1}"#), r#"{"a":1}"#);
        assert_eq!(of(std::slice::from_ref(&null), "{}"), "{}");
        assert_eq!(of(std::slice::from_ref(&null), "17"), r#"{"message":17}"#);
        assert_eq!(of(&[null, ("b", 2.into())], r#"{"type":"own"}"#), r#"{"type":"own","b":2}"#);
    }

    #[test]
    fn ships_what_is_no_object_as_a_message() {
        check(&[], "\"a line\"", r#"{"message":"a line","type":"api_fetcher"}"#);
        check(&[], "17", r#"{"message":17,"type":"api_fetcher"}"#);
        check(&[], "[1,\n 2]", r#"{"message":[1,2],"type":"api_fetcher"}"#);
    }

    #[test]
    fn compacts_white_space_with_line_breaks_only() {
        check(
            &[],
            "{\r\n  \"a\": \"two  blanks \\n\",\n\t\"b\" : [ 1,\n\n 2 ]\n}",
            r#"{"a": "two  blanks \n","b" : [ 1,2 ],"type":"api_fetcher"}"#,
        );
        check(&[("a", "x"), ("type", "t")], "{\n \"a\": 1,\n \"b\":\n 2\n}", r#"{"b":2,"a":"x","type":"t"}"#);
    }
}
