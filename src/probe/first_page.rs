//! What the first page of an API tells of it.

use chrono::{DateTime, Utc};
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap};

use super::assess;
use super::choice::Choice;
use super::draft::{blank, type_paths};
use super::examine::records;
use super::paging::{self, PagingSign};
use super::propose::{Draft, Kind};
use super::suggest;
use crate::decode::Format;
use crate::paging::in_header;
use crate::record::date;
use crate::record::json::RawJson;
use crate::record::path::JsonPath;
use crate::text::Redactor;
use crate::window::Direction;

/// The first page.
pub(super) struct FirstPage<'a> {
    pub(super) root: RawJson<'a>,
    pub(super) base: &'a Url,
    pub(super) configured: &'a Url,
    pub(super) headers: &'a HeaderMap,
    pub(super) redactor: &'a Redactor,
    pub(super) now: DateTime<Utc>,
}

impl FirstPage<'_> {
    /// What the page tells. Where it isn't like the type's pages, it is one of a general API.
    pub(super) fn draft(&self, kind: Kind) -> Draft {
        let paths = type_paths(kind).filter(|paths| records(self.root, paths).is_ok());
        let Some(paths) = paths else { return self.general() };
        let found = paths.data.all(self.root).unwrap_or_default();
        let raws: Vec<RawJson<'_>> = found.into_iter().flat_map(RawJson::elements).collect();
        let date = match kind {
            Kind::Named(named) if named.fills("json_paths.data_date") => Choice::default(),
            _ => self.date(&raws),
        };
        let start_name = Choice::default();
        Draft { data: Choice::default(), date, start_name, ..blank(kind) }
    }

    fn general(&self) -> Draft {
        let redactor = self.redactor;
        let lists = suggest::records(self.root, self.now);
        let missing = "no list of records was seen on the page; name the path to it";
        let data = Choice::of(&lists, redactor, Some("<<RECORDS-PATH>>"), missing);
        let path = data.value.as_deref().and_then(|path| JsonPath::parse(path).ok());
        let list = path.and_then(|path| path.first(self.root));
        let raws: Vec<RawJson<'_>> = list.into_iter().flat_map(RawJson::elements).collect();
        let links = suggest::next_links(self.root, self.base, self.configured, &[]);
        let missing =
            "no link to a next page was seen; if other pages have one, name its path: only the first page is read";
        let next = Choice::of(&links, redactor, None, missing);
        let missing = "no id was seen; without one the whole record tells it from others";
        let id = Choice::of(&suggest::ids(&raws, self.now), redactor, None, missing);
        Draft { data, date: self.date(&raws), next, id, format: self.format(), ..blank(Kind::General) }
    }

    fn date(&self, records: &[RawJson<'_>]) -> Choice {
        let missing = "no date was seen in the records; name the path to it";
        let candidates = suggest::dates(records, self.now);
        let mut choice = Choice::of(&candidates, self.redactor, Some("<<DATE-PATH>>"), missing);
        let path = choice.value.as_deref().and_then(|path| JsonPath::parse(path).ok());
        let dates: Vec<DateTime<Utc>> = path
            .map(|path| {
                records
                    .iter()
                    .filter_map(|raw| path.first(*raw).and_then(RawJson::scalar).and_then(|text| date::parse(&text)))
                    .collect()
            })
            .unwrap_or_default();
        let order = match assess::order(&dates) {
            Some(Direction::NewestFirst) => "; newest first",
            Some(Direction::OldestFirst) => "; oldest first",
            Some(Direction::Mixed) => "; in no order",
            None => "",
        };
        choice.comments.first_mut().into_iter().for_each(|comment| comment.push_str(order));
        choice
    }

    /// What shows that more follows, where no link in the body leads on.
    pub(super) fn signs(&self, records: usize) -> Vec<PagingSign> {
        let signs = paging::seen(self.root, in_header(self.headers).is_some(), records, self.redactor);
        if signs.is_empty() { paging::full_page(records).into_iter().collect() } else { signs }
    }

    /// What the body is, where its content type says that it is no JSON document.
    fn format(&self) -> Choice {
        let content_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let name = match Format::of_content_type(content_type) {
            Some(Format::Ndjson) => "ndjson",
            Some(Format::Csv) => "csv",
            _ => return Choice::default(),
        };
        Choice { comments: vec!["its content type says so".to_owned()], ..Choice::given(name) }
    }
}
