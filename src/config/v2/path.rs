//! Paths of the dialect: read, and written as ours. Pure.
//!
//! A path is split at its dots; `\.` is a dot within a name, and `[N]` a place in a list, whether a dot stands before it or
//! not. A number with its sign at the end is added to the value.

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OldSegment {
    Key(String),
    /// From the end of the list where it is negative.
    Index(i64),
}

/// A path, and what is added to what it finds, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ParsedPath {
    pub(super) segments: Vec<OldSegment>,
    /// Like `+1`.
    pub(super) plus: String,
}

impl ParsedPath {
    pub(super) fn parse(text: &str) -> Self {
        let (body, plus) = without_sum(text.trim());
        let segments = pieces(body).iter().flat_map(|piece| segments_of(piece)).collect();
        Self { segments, plus: plus.to_owned() }
    }

    /// In our own words.
    pub(super) fn written(&self) -> String {
        let mut text = String::new();
        for segment in &self.segments {
            match segment {
                OldSegment::Index(index) => text.push_str(&format!("[{index}]")),
                OldSegment::Key(key) => {
                    text.push_str(if text.is_empty() { "" } else { "." });
                    text.push_str(&name(key));
                }
            }
        }
        match self.segments.first() {
            // A list in the place of an object.
            Some(OldSegment::Index(_)) => text.insert(0, '$'),
            Some(OldSegment::Key(_)) => {}
            None => text.push('$'),
        }
        text + &self.plus
    }

    /// What follows a place in the list at a path: the way within a record, where it leads into one.
    pub(super) fn within_records_of(&self, data: &Self) -> Option<&[OldSegment]> {
        let rest = self.segments.strip_prefix(data.segments.as_slice())?;
        let (OldSegment::Index(_), field) = rest.split_first()? else { return None };
        (!field.is_empty() && self.plus.is_empty()).then_some(field)
    }
}

/// A way within a record in our own words.
pub(super) fn written_field(field: &[OldSegment]) -> String {
    ParsedPath { segments: field.to_vec(), plus: String::new() }.written()
}

/// A text without the number at its end that is added. Another text behind a sign belongs to the name.
fn without_sum(text: &str) -> (&str, &str) {
    let Some(at) = text.rfind(['+', '-']).filter(|at| *at > 0) else { return (text, "") };
    let (before, sum) = text.split_at(at);
    let digits = sum.get(1..).unwrap_or_default();
    // The sign of a place in a list, or within one of the names before.
    let is_sum = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()) && !before.ends_with('[');
    if is_sum { (before, sum) } else { (text, "") }
}

/// The text split at its dots.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' if chars.peek() == Some(&'.') => {
                chars.next();
                if let Some(last) = pieces.last_mut() {
                    last.push('.');
                }
            }
            '.' => pieces.push(String::new()),
            char => {
                if let Some(last) = pieces.last_mut() {
                    last.push(char);
                }
            }
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// `[N]`, a name, or a name with places behind it.
fn segments_of(piece: &str) -> Vec<OldSegment> {
    let (name, places) = piece.find('[').map_or((piece, ""), |at| piece.split_at(at));
    let index = |place: &str| place.strip_suffix(']')?.trim().parse().ok().map(OldSegment::Index);
    let places: Option<Vec<OldSegment>> = places.split('[').skip(1).map(index).collect();
    let Some(places) = places else { return vec![OldSegment::Key(piece.to_owned())] };
    let name = (!name.is_empty()).then(|| OldSegment::Key(name.to_owned()));
    name.into_iter().chain(places).collect()
}

/// A name in a path of ours: in quotes where it could be read as something else.
fn name(key: &str) -> String {
    let is_plain = key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '@' | '-'));
    let is_sum = !without_sum(key).1.is_empty();
    let is_word = matches!(key, "header" | "headers");
    if is_plain && !is_sum && !is_word && !key.is_empty() {
        return key.to_owned();
    }
    format!("'{}'", key.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_ours() {
        for (text, expected) in [
            ("result", "result"),
            ("result.[0].sent", "result[0].sent"),
            ("obj_arr[0].field2", "obj_arr[0].field2"),
            ("result.[-1].id", "result[-1].id"),
            ("[0].id", "$[0].id"),
            (r"@odata\.nextLink", "'@odata.nextLink'"),
            (r"d.@odata\.nextLink", "d.'@odata.nextLink'"),
            ("info.page+1", "info.page+1"),
            ("next-token", "next-token"),
            ("audit-2", "audit-2"),
            ("a-1.b", "'a-1'.b"),
            ("header.x", "'header'.x"),
            ("$skip", "'$skip'"),
            ("it's", r"'it\'s'"),
            ("", "$"),
            ("a..b.", "a.b"),
            ("a.[*]", "a.'[*]'"),
        ] {
            assert_eq!(ParsedPath::parse(text).written(), expected, "{text}");
        }
    }

    #[test]
    fn a_field_of_records_is_told_from_one_of_the_answer() {
        let data = ParsedPath::parse("result");
        let field = |text: &str| ParsedPath::parse(text).within_records_of(&data).map(written_field);
        assert_eq!(field("result.[0].sent").as_deref(), Some("sent"));
        assert_eq!(field("result[3].id.time").as_deref(), Some("id.time"));
        for text in ["next_cursor", "result.total", "result.[0]", "result.[0].id+1", "results.[0].sent"] {
            assert_eq!(field(text), None, "{text}");
        }
    }
}
