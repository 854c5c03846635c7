//! JSON paths: where in a page the records, their dates and the next link stand.
//!
//! Text that starts with `$` is RFC 9535. Anything else is the config page's shorthand: the whole text as one literal
//! key if the object has it (`@odata.nextLink`), else dotted segments with `[0]`, `[*]` and quoted names. Both come down
//! to steps where they can; these walk [`RawJson`] slices. `a | b` is the first of both that is there. Only what steps can't say (filters, slices, `..`) is asked of
//! jsonpath-rust, and of its answer only the *places* are taken, so that records stay raw slices there, too.

mod either;
mod element;
mod parse;
mod walk;

use std::borrow::Cow;
use std::fmt;

use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;

use either::{alternatives, first_found};
use parse::{form, parts, query};
use walk::{ask, below, below_texts, element, keeps, unfolded, walk};

pub use walk::what_is_there;

use super::json::{JsonType, RawJson};
use super::scan::MemberKey;

/// The largest page that is parsed to a tree of values, as jsonpath-rust wants it: that takes twenty times as much.
const TREE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A path that was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    text: String,
    form: PathForm,
}

#[derive(Clone, Debug, PartialEq)]
enum PathForm {
    /// Steps from the root; `literal` is tried first, as one key of the root.
    Steps { literal: Option<String>, steps: Vec<PathSegment> },
    /// Steps to lists or objects, a filter of their elements that looks at nothing else, and steps below what it keeps.
    Filter { above: Vec<PathSegment>, filter: JpQuery, below: Vec<PathSegment> },
    /// RFC 9535 beyond that; `many` where finding nothing is no surprise.
    Query { query: JpQuery, many: bool },
    /// The first of several that finds something.
    Either(Vec<JsonPath>),
}

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum PathSegment {
    /// The member with this key.
    Key(String),
    /// The element at this place; negative counts from the end.
    Index(i64),
    /// Every element or member value.
    Each,
}

/// A part of a path's text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Segment(PathSegment),
    /// `..`
    Descend,
    /// A bracket with a filter, a slice or a union in it.
    Bracket(String),
}

/// Why a text is no path.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing, or only `.`.
    #[error("the path is empty")]
    Empty,
    /// A bracket or a quote that never ends.
    #[error("`{0}` is not closed")]
    NotClosed(char),
    /// Two dots with nothing behind, a dot at the end.
    #[error("a name is missing after `.`")]
    NameMissing,
    /// RFC 9535 does not know it.
    #[error("it is not an RFC 9535 path")]
    NotRfc9535,
}

/// Why a path found nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The page has no such place.
    #[error("json path `{path}` finds nothing; {there}")]
    Absent {
        /// The path as it was written.
        path: String,
        /// The keys there are, in words.
        there: String,
    },
    /// The page can't be asked.
    #[error("json path `{path}` can't be followed in this page: {cause}")]
    Query {
        /// The path as it was written.
        path: String,
        /// What jsonpath-rust or serde_json says.
        cause: String,
    },
}

impl JsonPath {
    /// Understands a path.
    ///
    /// # Errors
    /// Where the text is no path in either form.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let text = text.trim();
        let alternatives = alternatives(text);
        if alternatives.len() > 1 {
            // A key may be called so.
            let key = PathForm::Steps { literal: None, steps: vec![PathSegment::Key(text.to_owned())] };
            let key = Self { text: text.to_owned(), form: key };
            let paths = std::iter::once(Ok(key)).chain(alternatives.into_iter().map(Self::parse_one));
            return Ok(Self { text: text.to_owned(), form: PathForm::Either(paths.collect::<Result<_, _>>()?) });
        }
        Self::parse_one(text)
    }

    /// The same of one that has no alternative.
    fn parse_one(text: &str) -> Result<Self, PathError> {
        let (rooted, body) = match text.strip_prefix('$') {
            Some(body) => (true, body),
            None => (false, text),
        };
        if body.is_empty() && !rooted {
            return Err(PathError::Empty);
        }
        let form = match parts(body, rooted) {
            Ok(parts) => form(text, rooted, parts)?,
            Err(_) if rooted && parse_json_path(text).is_ok() => query(text)?,
            Err(error) => return Err(error),
        };
        Ok(Self { text: text.to_owned(), form })
    }

    /// The path as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The keys on the way, where the path has nothing but keys.
    #[must_use]
    pub fn keys(&self) -> Option<Vec<&str>> {
        self.as_keys().map(|path| path.keys).filter(|keys| !keys.is_empty())
    }

    /// Every value at the path; none where a `null` stands in the way.
    ///
    /// # Errors
    /// [`Missing`] where the page has no such place; it names the keys there are.
    pub fn all<'a>(&self, root: RawJson<'a>) -> Result<Vec<RawJson<'a>>, Missing> {
        match &self.form {
            PathForm::Steps { literal, steps } => {
                if let Some(found) = literal.as_ref().and_then(|key| root.member(key)) {
                    return Ok(vec![found]);
                }
                walk(root, steps).map_err(|there| Missing::Absent { path: self.text.clone(), there })
            }
            PathForm::Filter { above, filter, below: steps } => {
                let lists = walk(root, above).map_err(|there| Missing::Absent { path: self.text.clone(), there })?;
                let unasked = |cause| Missing::Query { path: self.text.clone(), cause };
                let mut kept = Vec::new();
                for list in lists {
                    for element in list.elements().chain(list.members().map(|member| member.value)) {
                        if keeps(filter, element).map_err(unasked)? {
                            kept.extend(walk(element, steps).unwrap_or_default());
                        }
                    }
                }
                Ok(kept)
            }
            PathForm::Query { query, many } => {
                if root.text().len() > TREE_BYTES_MAX {
                    let cause = format!(
                        "it has {} bytes, and `..`, slices and filters that look elsewhere are followed in pages of up to \
                         {TREE_BYTES_MAX}; ask for smaller pages",
                        root.text().len()
                    );
                    return Err(Missing::Query { path: self.text.clone(), cause });
                }
                let found = ask(root, query).map_err(|cause| Missing::Query { path: self.text.clone(), cause })?;
                if found.is_empty() && !many {
                    return Err(Missing::Absent { path: self.text.clone(), there: what_is_there(root) });
                }
                Ok(found)
            }
            PathForm::Either(paths) => {
                let absent = || Missing::Absent { path: self.text.clone(), there: what_is_there(root) };
                first_found(paths, root).unwrap_or_else(|| Err(absent()))
            }
        }
    }

    /// Whether the way ends in an empty object, list or text: what is written there for nothing at all.
    #[must_use]
    pub fn ends_in_nothing(&self, root: RawJson<'_>) -> bool {
        let steps = match &self.form {
            PathForm::Steps { steps, .. } => steps,
            PathForm::Either(paths) => return paths.iter().any(|path| path.ends_in_nothing(root)),
            PathForm::Filter { .. } | PathForm::Query { .. } => return false,
        };
        let mut here = root;
        for step in steps {
            let next = match step {
                PathSegment::Key(key) => here.member(key),
                PathSegment::Index(index) => element(here, *index),
                PathSegment::Each => None,
            };
            match next {
                Some(next) => here = next,
                None => break,
            }
        }
        let is_root = here.offset_in(root) == 0;
        let is_empty = match here.kind() {
            JsonType::Object => here.members().next().is_none(),
            JsonType::Array => here.elements().next().is_none(),
            JsonType::Text => here.scalar().is_some_and(|text| text.trim().is_empty()),
            JsonType::Null => true,
            JsonType::Number | JsonType::Bool => false,
        };
        is_empty && !is_root
    }

    /// The first value at the path that is not `null`, as JSON text. A text on the way is stepped into where it holds JSON.
    #[must_use]
    pub fn first_unfolded<'a>(&self, root: RawJson<'a>) -> Option<Cow<'a, str>> {
        match (self.first(root), &self.form) {
            (Some(found), _) => Some(Cow::Borrowed(found.text())),
            (None, PathForm::Steps { steps, .. }) => below_texts(root, steps).map(Cow::Owned),
            (None, _) => None,
        }
    }

    /// Whether it is the root itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        matches!(&self.form, PathForm::Steps { steps, .. } if steps.is_empty())
    }

    /// Whether values stand on the way between the root and what it leads to.
    #[must_use]
    pub fn is_deep(&self) -> bool {
        !matches!(&self.form, PathForm::Steps { steps, .. } if steps.len() <= 1)
    }

    /// The page with JSON in the places of the texts on the way that hold it, of so many at most; `None` where there is none.
    #[must_use]
    pub fn unfolded(&self, root: RawJson<'_>, texts_max: usize) -> Option<String> {
        let PathForm::Steps { literal, steps } = &self.form else { return None };
        let has_literal = literal.as_ref().is_some_and(|key| root.member(key).is_some());
        if has_literal { None } else { unfolded(root, steps, texts_max) }
    }

    /// The first value at the path that is not `null`.
    #[must_use]
    pub fn first<'a>(&self, root: RawJson<'a>) -> Option<RawJson<'a>> {
        match &self.form {
            PathForm::Steps { literal: None, steps } => below(root, steps),
            PathForm::Either(paths) => paths.iter().find_map(|path| path.first(root)),
            _ => self.all(root).ok()?.into_iter().find(|value| !value.is_null()),
        }
    }
}

/// A path of nothing but keys, for whoever passes them in their order.
#[derive(Clone, Debug)]
pub(super) struct Keys<'p> {
    /// The whole path as one key of the root, which counts before the others.
    pub(super) literal: Option<&'p str>,
    /// One key below the other; none for the root itself.
    pub(super) keys: Vec<&'p str>,
}

/// The beginning of a path that begins with a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct PathMatcher<'p> {
    literal: Option<&'p str>,
    key: &'p str,
    rest: &'p [PathSegment],
}

/// What the members of an object have for a path, as they are passed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sighting<'a> {
    literal: Option<RawJson<'a>>,
    first: Option<RawJson<'a>>,
}

impl JsonPath {
    /// The path as keys, where it has nothing else.
    pub(super) fn as_keys(&self) -> Option<Keys<'_>> {
        let PathForm::Steps { literal, steps } = &self.form else { return None };
        let keys = steps.iter().map(|step| match step {
            PathSegment::Key(key) => Some(key.as_str()),
            PathSegment::Index(_) | PathSegment::Each => None,
        });
        let keys: Option<Vec<&str>> = keys.collect();
        Some(Keys { literal: literal.as_deref(), keys: keys? })
    }

    /// The beginning of the path, where that is a key.
    pub(super) fn head(&self) -> Option<PathMatcher<'_>> {
        match &self.form {
            PathForm::Steps { literal, steps } => match steps.as_slice() {
                [PathSegment::Key(key), rest @ ..] => Some(PathMatcher { literal: literal.as_deref(), key, rest }),
                _ => None,
            },
            PathForm::Filter { .. } | PathForm::Query { .. } | PathForm::Either(_) => None,
        }
    }

    /// Whether a page is parsed to a tree of values for it, which takes many times the page's text.
    #[must_use]
    pub fn has_tree(&self) -> bool {
        match &self.form {
            PathForm::Query { .. } => true,
            PathForm::Either(paths) => paths.iter().any(Self::has_tree),
            PathForm::Steps { .. } | PathForm::Filter { .. } => false,
        }
    }
}

impl<'p> PathMatcher<'p> {
    /// The keys that it looks for.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'p str> {
        [Some(self.key), self.literal].into_iter().flatten()
    }

    /// Looks at a member of the root; of equal keys the first counts.
    pub(super) fn see<'a>(&self, sighting: &mut Sighting<'a>, key: &MemberKey<'a>, value: RawJson<'a>) {
        if sighting.first.is_none() && key.is(self.key) {
            sighting.first = Some(value);
        }
        if sighting.literal.is_none() && self.literal.is_some_and(|literal| key.is(literal)) {
            sighting.literal = Some(value);
        }
    }

    /// What [`JsonPath::first`] finds in an object whose members were all seen.
    pub(super) fn first<'a>(&self, sighting: Sighting<'a>) -> Option<RawJson<'a>> {
        let found = match (sighting.literal, sighting.first, self.rest) {
            (Some(literal), _, _) => Some(literal),
            (None, first, []) => first,
            (None, Some(first), rest) => below(first, rest),
            (None, None, _) => None,
        };
        found.filter(|value| !value.is_null())
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"{
        "a": {"b": [{"date": 1}, {"date": 2.50}], "b-c": "x", "null": null},
        "@odata.nextLink": "next", "data": [10, 20, 30], "x.y": "dotted key", "x": {"y": "nested"},
        "links": {"next": "n", "it's": 1}, "empty": [], "d": {"results": [1]}
    }"#;

    #[track_caller]
    fn check(path: &str, expected: &[&str]) {
        let root = RawJson::parse(PAGE).expect("the page is JSON");
        let path = JsonPath::parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let found = path.all(root).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(found.into_iter().map(RawJson::text).collect::<Vec<_>>(), expected, "{path}");
    }

    #[test]
    fn finds_what_every_form_of_the_shorthand_names() {
        check("a.b-c", &["\"x\""]);
        check("$.a['b-c']", &["\"x\""]);
        check("$.a.b-c", &["\"x\""]);
        check("d.results", &["[1]"]);
        check("@odata.nextLink", &["\"next\""]);
        check("'@odata.nextLink'", &["\"next\""]);
        check("\"@odata.nextLink\"", &["\"next\""]);
        check("$['@odata.nextLink']", &["\"next\""]);
        check("x.y", &["\"dotted key\""]);
        check("$.x.y", &["\"nested\""]);
        check("x['y']", &["\"nested\""]);
        check("data[0]", &["10"]);
        check("data.[0]", &["10"]);
        check("$.data.[0]", &["10"]);
        check("data[-1]", &["30"]);
        check("data[*]", &["10", "20", "30"]);
        check("data.*", &["10", "20", "30"]);
        check("a.b[*].date", &["1", "2.50"]);
        check("a..date", &["1", "2.50"]);
        check("$..date", &["1", "2.50"]);
        check("links[next]", &["\"n\""]);
        check("links['it\\'s']", &["1"]);
        check("empty[*]", &[]);
        check("a.null.deeper", &[]);
        check("$.a.b[?@.date > 2]", &[r#"{"date": 2.50}"#]);
        check("$.data[0:2]", &["10", "20"]);
        check("data[1:]", &["20", "30"]);
        check("$", &[PAGE]);
    }

    /// As jsonpath-rust finds it in the whole page.
    fn asked_of_the_whole(path: &str, page: &str) -> Vec<String> {
        let query = parse_json_path(path).expect("a path");
        let found = ask(RawJson::parse(page).expect("JSON"), &query).expect("it can be asked");
        found.into_iter().map(|raw| raw.text().to_owned()).collect()
    }

    #[test]
    fn a_filter_is_asked_of_one_element_at_a_time_and_keeps_what_it_keeps_of_the_whole_page() {
        let page = r#"{"a": {"b": [{"t": "x", "n": 1, "sub": {"v": 1}}, {"t": "y,]", "n": 2}, 7, null, ["x"]],
            "c": {"k": {"t": "x"}, "l": {"n": 3}}}, "none": null, "text": "x"}"#;
        for (path, is_by_element) in [
            ("$.a.b[?@.t == 'x']", true),
            ("$.a.b[?@.t == 'x'].sub.v", true),
            ("$.a.b[?@.t == 'y,]' || @.n > 0]", true),
            ("$.a.b[?@.n > 0 && !(@.t == 'x')]", true),
            ("$.a.b[?@ == 7]", true),
            ("$.a.c[?@.t]", true),
            ("$.a.*[?@.t == 'x']", true),
            ("$.text[?@.t]", true),
            ("$.none[?@.t]", true),
            ("$.a.b[?@.t == 'x', ?@.n == 2]", false),
            ("$.a.b[?@.t == $.text]", false),
            ("$..b[?@.t == 'x']", false),
        ] {
            let parsed = JsonPath::parse(path).expect("a path");
            assert_eq!(!parsed.has_tree(), is_by_element, "{path}");
            let found = parsed.all(RawJson::parse(page).expect("JSON")).unwrap_or_else(|error| panic!("{error}"));
            let found: Vec<String> = found.into_iter().map(|raw| raw.text().to_owned()).collect();
            assert_eq!(found, asked_of_the_whole(path, page), "{path}");
        }
    }

    #[test]
    fn a_large_page_is_not_made_a_tree_of_values() {
        let page = format!(r#"{{"a": [{{"t": "{}"}}]}}"#, "x".repeat(TREE_BYTES_MAX));
        let root = RawJson::parse(&page).expect("JSON");
        let all = |path| JsonPath::parse(path).expect("a path").all(root);
        let refused = all("$..t").expect_err("it would take twenty times as much").to_string();
        assert!(refused.contains("ask for smaller pages"), "{refused}");
        assert_eq!(all("$.a[?@.t]").expect("one element at a time").len(), 1);
    }

    #[test]
    fn names_the_keys_there_are_where_it_finds_nothing() {
        let root = RawJson::parse(PAGE).expect("the page is JSON");
        let missing = |path: &str| {
            let path = JsonPath::parse(path).expect("a path");
            path.all(root).expect_err("nothing stands there").to_string()
        };
        assert_eq!(missing("a.c"), "json path `a.c` finds nothing; the keys there are: b, b-c, null");
        assert_eq!(missing("data[7]"), "json path `data[7]` finds nothing; what is there is an array");
        assert_eq!(missing("$.a.c[?@.x]"), "json path `$.a.c[?@.x]` finds nothing; the keys there are: b, b-c, null");
        assert!(missing("$..nowhere").contains("@odata.nextLink"), "{}", missing("$..nowhere"));
    }

    #[test]
    fn refuses_what_is_no_path() {
        for text in ["", " ", ".", "a.", "a...b", "a[", "a['b", "a[]", "$.a[?@.x", "$[?(]"] {
            assert!(JsonPath::parse(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn never_panics_on_any_text() {
        use proptest::prelude::*;
        let root = RawJson::parse(PAGE).expect("the page is JSON");
        proptest!(|(text in r#"[$.\[\]'"*a-c@?:,0-9()\\ -]{0,16}"#)| {
            if let Ok(path) = JsonPath::parse(&text) {
                let _ = path.all(root);
                let _ = path.first(root);
            }
        });
    }
}
