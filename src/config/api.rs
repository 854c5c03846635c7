//! One entry of `auth_apis` or `oauth_apis`, compiled into a [`Plan`].

use std::time::Duration;

use chrono::TimeDelta;
use reqwest::header::AUTHORIZATION;
use serde_yaml::Value;

use super::catalog::{self, List, NamedType};
use super::document::Place as Spot;
use super::merge;
use super::plain::is_plain;
use super::reader::{LIKENESS_MIN, Reader, Section, Text};
use super::reference::Place;
use super::secrets::{self, redactor};
use crate::pace::Rate;
use crate::paging::Paging;
use crate::plan::{Auth, Overlap, Plan, StartPolicy};
use crate::record::path::JsonPath;
use crate::record::{CustomFields, ErrorRule, Paths, Zone};

/// `settings.days_back_fetch` where it is absent.
const DAYS_BACK_DEFAULT: f64 = 14.0;
/// The furthest that `settings.days_back_fetch` goes: a hundred years.
pub(super) const DAYS_BACK_MAX: f64 = 36_500.0;
/// The shortest pause between iterations; a smaller number is more likely a slip than a wish.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// The longest name of a type that is shown where there is none of that name; others may be a value, by a slip.
const SHOWN_TYPE_CHARS_MAX: usize = 20;

/// Reads the entries of `auth_apis` and `oauth_apis`.
pub(super) struct Entries<'r, 'd> {
    pub(super) reader: &'r Reader<'d>,
}

impl<'r, 'd> Entries<'r, 'd> {
    pub(super) fn new(reader: &'r Reader<'d>) -> Self {
        Self { reader }
    }

    /// One entry; nothing where it has an error, which is noted.
    pub(super) fn read(&self, value: &Value, spot: Spot, place: Place) -> Option<Plan> {
        let Value::Mapping(own) = value else {
            self.reader.error(&spot, "an API should be here, with keys and values", None);
            return None;
        };
        let list = place.list()?;
        let entries = Entries { reader: self.reader };
        let named = entries.named_type(&Section::new(self.reader, value, spot.clone(), place), list)?;
        let merged = Value::Mapping(merge::merged(own, &named.entry));
        entries.plan(&Section::new(self.reader, &merged, spot, place), place, named)
    }

    fn plan(&self, entry: &Section<'r, 'd>, place: Place, named: &NamedType) -> Option<Plan> {
        let name = self.name(entry);
        let interval = self.interval(&entry.section("settings"));
        self.warn_of_marks(entry);
        let request = self.request(entry, named);
        let own_header = request.as_ref().is_some_and(|(request, _)| request.first.headers.contains_key(AUTHORIZATION));
        let token = (place == Place::OAuth).then(|| self.token_request(entry));
        let auth = match (own_header, token) {
            (true, _) => Some(Auth::OwnHeader),
            (false, Some(token)) => token,
            (false, None) => self.basic(entry),
        };
        let zone = self.zone(&entry.section("settings"));
        let paths = self.paths(&entry.section("json_paths"), zone);
        let fields = entry.fields("custom_fields");
        let custom_fields = CustomFields::new(&fields).ok();
        let back = self.days_back(&entry.section("settings"));
        let has_id = paths.as_ref().is_some_and(|paths| paths.id.is_some());
        let overlap = self.overlap(&entry.section("settings"), named, has_id);
        let rate = self.rate(&entry.section("settings"));
        let (request, configured) = request?;
        let (auth, paths) = (auth?, paths?);
        let paging = if paths.next_url.is_some() { Paging::by_links() } else { Paging::none() };
        let filled = self.reader.filled(&entry.spot);
        let redactor = redactor(&request, &auth, &entry.section("credentials"), filled);
        let token_url = match &auth {
            Auth::Token(token) => Some(&token.url),
            Auth::Basic { .. } | Auth::OwnHeader => None,
        };
        let shown = |section: &Section<'r, 'd>| self.reader.masked(&section.spot.key("url"));
        let urls = [
            shown(&self.http_section(entry)).map(|masked| (&request.url, masked)),
            token_url.zip(shown(&entry.section("token_http_request"))),
        ];
        let urls = urls.into_iter().flatten();
        let redactor = urls.fold(redactor, |redactor, (url, masked)| redactor.and_url(url, secrets::shown(&masked)));
        Some(Plan {
            redactor,
            name: name?,
            interval: interval?,
            start: StartPolicy { configured, back, overlap, granularity: request.granularity() },
            until: None,
            paths,
            paging,
            custom_fields: custom_fields?,
            auth,
            request,
            rate,
        })
    }

    /// The entry's type. Where there is none of that name, the likeliest, so that the rest can be looked at, too.
    fn named_type(&self, entry: &Section<'r, 'd>, list: List) -> Option<&'static NamedType> {
        let here = catalog::types_of(list);
        let name = entry.required("type").map(|text| text.value).unwrap_or_default();
        if let Some(named) = here.clone().find(|named| named.name == name) {
            return Some(named);
        }
        let likeness = |named: &NamedType| strsim::jaro_winkler(&named.name, &name.to_lowercase());
        if !name.is_empty() {
            let names: Vec<String> = here.clone().map(|named| format!("`{}`", named.name)).collect();
            let elsewhere =
                catalog::types().iter().find(|named| named.name == name).and_then(|named| named.lists.first());
            let hint = match elsewhere {
                Some(list) => format!("`{name}` belongs into `{}`", list.key()),
                None => format!("one of {}", names.join(", ")),
            };
            let near = here.clone().any(|named| likeness(named) >= LIKENESS_MIN);
            let is_shown = (near && name.len() <= SHOWN_TYPE_CHARS_MAX) || is_plain(&name);
            let what = match is_shown && self.reader.masked(&entry.spot.key("type")).is_none() {
                true => format!("unknown type `{name}`"),
                false => "unknown type".to_owned(),
            };
            self.reader.error(&entry.spot.key("type"), what, Some(hint));
        }
        // Of equally unlikely ones the first.
        here.rev().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
    }

    fn name(&self, entry: &Section<'r, 'd>) -> Option<String> {
        let name = entry.required_filled("name")?;
        if name.value.chars().any(char::is_control) {
            self.reader.error(&name.spot, "a name has no line breaks or control characters in it", None);
            return None;
        }
        Some(name.value)
    }

    fn interval(&self, settings: &Section<'r, 'd>) -> Option<Duration> {
        settings.required("time_interval")?;
        let (interval, spot) = settings.minutes("time_interval")?;
        if interval.is_zero() {
            self.reader.error(&spot, "it should be more than 0", Some("minutes, or text like 30s, 5m, 1h".to_owned()));
            return None;
        }
        Some(interval.max(INTERVAL_MIN))
    }

    fn days_back(&self, settings: &Section<'r, 'd>) -> TimeDelta {
        let days = settings.number("days_back_fetch", DAYS_BACK_MAX).unwrap_or(DAYS_BACK_DEFAULT);
        let span = Duration::try_from_secs_f64(days * 86_400.0).unwrap_or_default();
        TimeDelta::from_std(span).unwrap_or_default()
    }

    /// By an id a record is known again, so that looking back ships nothing twice.
    fn overlap(&self, settings: &Section<'r, 'd>, named: &NamedType, has_id: bool) -> Overlap {
        let measured = Overlap::Measured { until_measured: named.initial_overlap };
        if settings.text("overlap").is_some_and(|text| text.value.eq_ignore_ascii_case("auto")) {
            return measured;
        }
        let given = settings.minutes("overlap").map(|(span, _)| TimeDelta::from_std(span).unwrap_or_default());
        given.map_or(if has_id { measured } else { Overlap::Unit }, Overlap::Fixed)
    }

    fn rate(&self, settings: &Section<'r, 'd>) -> Option<Rate> {
        let text = settings.text("rate_limit")?;
        let hint = || Some("requests per s, min, h or day, like 30/min".to_owned());
        Rate::parse(&text.value).map_err(|what| self.reader.error(&text.spot, what, hint())).ok()
    }

    /// The zone of dates that name none.
    fn zone(&self, settings: &Section<'r, 'd>) -> Zone {
        let Some(text) = settings.text("timezone") else { return Zone::Utc };
        Zone::parse(&text.value).unwrap_or_else(|| {
            let hint = "a name like `Europe/Berlin`, an offset like `+02:00`, or `UTC`".to_owned();
            self.reader.error(&text.spot, "there is no such time zone", Some(hint));
            Zone::Utc
        })
    }

    fn paths(&self, section: &Section<'r, 'd>, zone: Zone) -> Option<Paths> {
        // A mark behind the path: a page may lack the list.
        let data = section.required_filled("data");
        let marked = data.as_ref().and_then(|text| text.value.strip_suffix('?')).map(str::to_owned);
        let is_data_optional = marked.is_some();
        let data = self.path(data.map(|text| Text { value: marked.unwrap_or(text.value), ..text }));
        let date = self.path(section.required_filled("data_date"));
        let optional = |key: &str| self.path(section.text(key).filter(|text| !text.value.is_empty()));
        let next_url = optional("next_url");
        let id = optional("id");
        if next_url.is_none() {
            self.reader.warn(&section.spot.key("next_url"), "absent: only the first page of an answer is read", None);
        }
        let error = match (section.is_null("error"), optional("error")) {
            (true, _) => ErrorRule::Never,
            (false, None) => ErrorRule::Usual,
            (false, Some(path)) => ErrorRule::At(path),
        };
        Some(Paths { data: data?, date: date?, id, next_url, is_data_optional, error, zone })
    }

    fn path(&self, text: Option<Text>) -> Option<JsonPath> {
        let text = text?;
        match JsonPath::parse(&text.value) {
            Ok(path) => Some(path),
            Err(error) => {
                self.reader.error(&text.spot, format!("it is not a valid JSON path: {error}"), None);
                None
            }
        }
    }
}
