//! One page of an answer: its records and where the next page is.

use super::answer;
use super::json::{JsonType, RawJson};
use super::line::CustomFields;
use super::path::{JsonPath, Keys, Missing, PathMatcher, Sighting};
use super::paths::{ErrorRule, Paths};
use super::scan::{Invalid, Scan};
use super::{Record, RecordReader};

/// The most records of one page: a page of the largest size has fewer, unless it is meant to exhaust the memory.
const RECORDS_MAX: usize = 1_000_000;

/// A page, taken apart.
#[derive(Debug)]
pub struct Page<'a> {
    /// The records in the order of the page.
    pub records: Vec<Record<'a>>,
    /// The next page's URL as the API wrote it; absolute or relative.
    pub next_url: Option<String>,
    /// What stands where the answer tells of an error.
    pub error: Option<RawJson<'a>>,
    /// Set where the place of the records is missing; there are no records then.
    pub absent: Option<Absent>,
}

/// The place of the records is missing.
#[derive(Debug)]
pub struct Absent {
    /// The error that it is, unless something speaks for an empty list.
    pub missing: Missing,
    /// Whether the page holds another list that isn't empty: the records may be there.
    pub has_other_list: bool,
}

/// Why a page can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The answer is no JSON, or was cut off.
    #[error("the answer is not valid JSON: {0}")]
    NotJson(serde_json::Error),
    /// The place of the records is missing.
    #[error(transparent)]
    Data(#[from] Missing),
    /// More than a million.
    #[error("the page has more than {RECORDS_MAX} records; ask for smaller pages, by a filter like `limit`")]
    TooMany,
    /// What stands at the next link's place is no link.
    #[error("json path `{path}` finds {found} where the next page's URL should be")]
    NextUrl {
        /// The path as it was written.
        path: String,
        /// What stands there.
        found: &'static str,
    },
}

/// What is said in place of the keys of a page that holds a secret.
pub const KEYS_HIDDEN: &str = "the keys there are not shown, as the answer holds a secret of the config";

impl PageError {
    /// The same without the page's keys, where they may not be shown.
    #[must_use]
    pub fn shown(self, may_show: impl FnOnce() -> bool) -> Self {
        match self {
            Self::Data(Missing::Absent { path, .. }) if !may_show() => {
                Self::Data(Missing::Absent { path, there: KEYS_HIDDEN.to_owned() })
            }
            other => other,
        }
    }
}

impl<'a> Page<'a> {
    /// Takes a page's text apart.
    ///
    /// An array at the data path is its elements, a single value one record; `null`, `{}` and `""` are none. Where the path
    /// leads nowhere, the page tells so, and whoever knows the API decides.
    ///
    /// Where the data path is nothing but keys, as nearly all are, everything is done in one pass over the text.
    ///
    /// # Errors
    /// [`PageError`], where the text is no JSON or lacks what the paths name.
    pub fn read(text: &'a str, paths: &Paths, fields: &CustomFields) -> Result<Self, PageError> {
        let wanted = RecordReader::new(paths, fields);
        if let Some(read) = PageReader::new(text, paths, &wanted).and_then(PageReader::page) {
            return read;
        }
        let root = RawJson::parse(text).map_err(PageError::NotJson)?;
        let mut records = Records::default();
        let absent = match paths.data.all(root) {
            Ok(all) => {
                for found in all.into_iter().filter(|found| !is_nothing(*found)) {
                    match found.kind() {
                        JsonType::Array => {
                            found.elements().for_each(|element| records.add(Record::read(element, paths)))
                        }
                        _ => records.add(Record::read(found, paths)),
                    }
                }
                None
            }
            Err(missing @ Missing::Absent { .. }) if !paths.data.ends_in_nothing(root) => {
                Some(Absent { missing, has_other_list: answer::holds_a_list(root) })
            }
            Err(Missing::Absent { .. }) => None,
            Err(missing) => return Err(missing.into()),
        };
        let next_url = paths.next_url.as_ref().map_or(Ok(None), |path| next_url(path, path.first(root)))?;
        let records = records.all()?;
        let error = answer::error(root, paths, !records.is_empty());
        Ok(Self { records, next_url, error, absent })
    }

    /// A page without records that nothing follows.
    #[must_use]
    pub fn empty() -> Self {
        Self { records: Vec::new(), next_url: None, error: None, absent: None }
    }
}

/// The records of a page, as they are passed.
#[derive(Default)]
struct Records<'a> {
    found: Vec<Record<'a>>,
    are_too_many: bool,
}

impl<'a> Records<'a> {
    /// Passes a value that is a list of records, or a record.
    fn scan(&mut self, scan: &mut Scan<'a>, wanted: &RecordReader<'_>) -> Result<(), Invalid> {
        if !scan.open(JsonType::Array) {
            let record = wanted.read(scan)?;
            if !is_nothing(record.raw) {
                self.add(record);
            }
            return Ok(());
        }
        let mut is_first = true;
        while scan.element(std::mem::take(&mut is_first))? {
            let record = wanted.read(scan)?;
            self.add(record);
        }
        Ok(())
    }

    fn add(&mut self, record: Record<'a>) {
        if record.raw.is_null() {
            return;
        }
        self.are_too_many |= self.found.len() >= RECORDS_MAX;
        if !self.are_too_many {
            self.found.push(record);
        }
    }

    fn all(self) -> Result<Vec<Record<'a>>, PageError> {
        if self.are_too_many { Err(PageError::TooMany) } else { Ok(self.found) }
    }
}

/// One pass over a page.
struct PageReader<'a, 'p> {
    scan: Scan<'a>,
    wanted: &'p RecordReader<'p>,
    data: Keys<'p>,
    next_url: Option<&'p JsonPath>,
    /// Where that begins with a key.
    next_head: Option<PathMatcher<'p>>,
    next: Sighting<'a>,
    records: Records<'a>,
    /// The data path has two meanings here, and the other one counts.
    has_literal: bool,
    error: &'p ErrorRule,
    paths: &'p Paths,
    /// Whether a member of the root is called as those that tell of an error.
    may_tell_error: bool,
}

impl<'a, 'p> PageReader<'a, 'p> {
    /// Before the first byte; nothing where the paths ask for more than one pass.
    fn new(text: &'a str, paths: &'p Paths, wanted: &'p RecordReader<'p>) -> Option<Self> {
        let next_url = paths.next_url.as_ref();
        Some(Self {
            scan: Scan::new(text),
            wanted,
            data: paths.data.as_keys()?,
            next_url,
            next_head: next_url.and_then(JsonPath::head),
            next: Sighting::default(),
            records: Records::default(),
            has_literal: false,
            error: &paths.error,
            paths,
            may_tell_error: false,
        })
    }

    /// The whole page; nothing where it isn't as expected, and everything has to be looked at again.
    fn page(mut self) -> Option<Result<Page<'a>, PageError>> {
        self.scan.peek();
        let start = self.scan.at();
        let keys = std::mem::take(&mut self.data.keys);
        let has_data = self.level(&keys, true).ok()?;
        let root = self.scan.since(start);
        self.scan.end().ok()?;
        if !has_data || self.has_literal {
            return None;
        }
        let next_url = self.next_url.map_or(Ok(None), |path| {
            let found = match self.next_head {
                Some(head) if root.kind() == JsonType::Object && !keys.is_empty() => head.first(self.next),
                _ => path.first(root),
            };
            next_url(path, found)
        });
        Some(next_url.and_then(|next_url| {
            let records = self.records.all()?;
            let is_told = self.may_tell_error || matches!(self.error, ErrorRule::At(_));
            let error = if is_told { answer::error(root, self.paths, !records.is_empty()) } else { None };
            Ok(Page { records, next_url, error, absent: None })
        }))
    }

    /// Passes a value below which the data stand, as the keys say. Whether they do.
    fn level(&mut self, keys: &[&str], is_root: bool) -> Result<bool, Invalid> {
        let [data_key, rest @ ..] = keys else {
            self.records.scan(&mut self.scan, self.wanted)?;
            return Ok(true);
        };
        if !self.scan.open(JsonType::Object) {
            self.scan.value()?;
            return Ok(false);
        }
        let (mut is_met, mut has_data, mut is_first) = (false, false, true);
        while let Some(key) = self.scan.key(std::mem::take(&mut is_first))? {
            self.scan.peek();
            let start = self.scan.at();
            if !is_met && key.is(data_key) {
                is_met = true;
                has_data = self.level(rest, false)?;
            } else {
                self.scan.value()?;
            }
            if is_root {
                self.may_tell_error |= answer::ERROR_KEYS.iter().any(|name| key.is(name));
                self.has_literal |= self.data.literal.is_some_and(|literal| key.is(literal));
                if let Some(head) = &self.next_head {
                    head.see(&mut self.next, &key, self.scan.since(start));
                }
            }
        }
        Ok(has_data)
    }
}

/// What stands for no records at the place of the list: null, and what languages write that know no empty list.
fn is_nothing(found: RawJson<'_>) -> bool {
    match found.kind() {
        JsonType::Null => true,
        JsonType::Text => found.scalar().is_some_and(|text| text.trim().is_empty()),
        JsonType::Object => found.members().next().is_none(),
        _ => false,
    }
}

/// The next link: absent, null, false and empty text all mean that this page is the last.
fn next_url(path: &JsonPath, found: Option<RawJson<'_>>) -> Result<Option<String>, PageError> {
    let Some(found) = found else { return Ok(None) };
    let wrong = |found| Err(PageError::NextUrl { path: path.text().to_owned(), found });
    match found.kind() {
        JsonType::Text => {
            let link = found.scalar().unwrap_or_default();
            let link = link.trim();
            Ok((!link.is_empty()).then(|| link.to_owned()))
        }
        JsonType::Bool if found.text() == "false" => Ok(None),
        JsonType::Bool | JsonType::Null => wrong("true"),
        JsonType::Number => wrong("a number"),
        JsonType::Object => wrong("an object"),
        JsonType::Array if found.elements().next().is_none() => Ok(None),
        JsonType::Array => wrong("an array"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As [`Page::read`] does it, but one look after the other: everything is parsed, then found, then read.
    fn read_slowly<'a>(text: &'a str, paths: &Paths) -> Result<Page<'a>, PageError> {
        let root = RawJson::parse(text).map_err(PageError::NotJson)?;
        let mut records = Vec::new();
        let mut absent = None;
        match paths.data.all(root) {
            Ok(all) => {
                for found in all {
                    let elements = found.elements().filter(|element| !element.is_null());
                    match found.kind() {
                        JsonType::Array => records.extend(elements.map(|element| Record::read(element, paths))),
                        _ if is_nothing(found) => {}
                        _ => records.push(Record::read(found, paths)),
                    }
                }
            }
            Err(missing @ Missing::Absent { .. }) if !paths.data.ends_in_nothing(root) => {
                absent = Some(Absent { missing, has_other_list: answer::holds_a_list(root) });
            }
            Err(Missing::Absent { .. }) => {}
            Err(missing) => return Err(missing.into()),
        }
        let next_url = paths.next_url.as_ref().map_or(Ok(None), |path| next_url(path, path.first(root)))?;
        let error = answer::error(root, paths, !records.is_empty());
        Ok(Page { records, next_url, error, absent })
    }

    fn lines(page: &Page<'_>, append: impl Fn(&Record<'_>, &mut Vec<u8>)) -> Vec<String> {
        let line = |record| {
            let mut line = Vec::new();
            append(record, &mut line);
            String::from_utf8_lossy(&line).into_owned()
        };
        page.records.iter().map(line).collect()
    }

    /// Pages with the keys and values that matter.
    fn pages() -> impl Strategy<Value = String> {
        let key = || {
            prop::sample::select(vec![
                "a",
                "a.b",
                "b",
                "date",
                "id",
                "type",
                "ty\\u0070e",
                "next",
                "x",
                "error",
                "status",
            ])
        };
        let leaf = prop::sample::select(vec![
            "1",
            "null",
            "\"2026-01-02T03:04:05Z\"",
            "\"?page=2\"",
            "false",
            "[]",
            "{}",
            "{ }",
            "\"\"",
            "{\"type\":\n1}",
            "\"error\"",
        ]);
        leaf.prop_map(str::to_owned).prop_recursive(4, 24, 4, move |inner| {
            let member = (key(), inner.clone()).prop_map(|(key, value)| format!("\"{key}\": {value}"));
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(|all| format!("[{}]", all.join(","))),
                (prop::collection::vec(member, 0..5), prop::sample::select(vec!["", " ", "\t"]))
                    .prop_map(|(all, blank)| format!("{{{blank}{} }}", all.join(",\n"))),
            ]
        })
    }

    #[test]
    fn one_pass_finds_what_one_look_after_the_other_finds() {
        let path = |all: Vec<&'static str>| prop::sample::select(all);
        let paths = (
            path(vec!["a", "a.b", "$.a.b", "$", "a[0]", "a[*]", "$.a[?@.x]", "x.a.b"]),
            path(vec!["date", "a.date", "a.b", "[0]"]),
            path(vec!["id", "a.b", "$..id", "x"]),
            path(vec!["next", "a.next", "$.b.next", "a[0]"]),
        );
        let fields = CustomFields::new(&[("type".to_owned(), "t".into()), ("x".to_owned(), 1.into())]).expect("plain");
        proptest!(ProptestConfig::with_cases(3_000), |(text in pages(), (data, date, id, next) in paths)| {
            let path = |text| JsonPath::parse(text).expect("a path");
            let paths = Paths { id: Some(path(id).into()), next_url: Some(path(next)), ..Paths::new(path(data), path(date)) };
            match (Page::read(&text, &paths, &fields), read_slowly(&text, &paths)) {
                (Ok(page), Ok(slow)) => {
                    prop_assert_eq!(&page.next_url, &slow.next_url);
                    prop_assert_eq!(page.error, slow.error);
                    let missing = |page: &Page<'_>| page.absent.as_ref().map(|absent| absent.missing.to_string());
                    prop_assert_eq!(missing(&page), missing(&slow));
                    let identities = |page: &Page<'_>| page.records.iter().map(Record::identity).collect::<Vec<_>>();
                    prop_assert_eq!(identities(&page), identities(&slow));
                    let fast = lines(&page, |record, line| record.append_line(&fields, line));
                    prop_assert_eq!(fast, lines(&slow, |record, line| fields.append_line(record.raw, line)));
                }
                (Err(one), Err(other)) => prop_assert_eq!(one.to_string(), other.to_string()),
                (one, other) => prop_assert!(false, "{:?} and {:?}", one.map(|_| ()), other.map(|_| ())),
            }
        });
    }

    #[test]
    fn a_million_records_are_a_page_and_one_more_is_too_many() {
        let path = |text| JsonPath::parse(text).expect("a path");
        let paths = Paths::new(path("$"), path("date"));
        let read = |records: usize| {
            let text = format!("[{}null]", "1,".repeat(records));
            Page::read(&text, &paths, &CustomFields::default()).map(|page| page.records.len())
        };
        assert_eq!(read(RECORDS_MAX).expect("all of them"), RECORDS_MAX);
        assert!(matches!(read(RECORDS_MAX + 1), Err(PageError::TooMany)));
    }
}
