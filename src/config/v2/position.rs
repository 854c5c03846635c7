//! What the next iteration of an entry of `apis` begins with, which the dialect says without saying it.
//!
//! A `next_url` that takes a field of a record names the date or number that the API filters by; any other takes a position
//! that an answer gives. Without one the request never changes.

use super::super::catalog::ApisWindow;
use super::super::kinds::apis::DaysBack;
use super::draft::EntryDraft;
use super::path::{ParsedPath, written_field};
use super::text::{OldTextPlace, holds_window, variables};
use crate::record::date;

/// What tells where an iteration begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StartSource {
    /// The type's window, or one that the request holds.
    Window,
    /// The type's cursor.
    Cursor,
    /// `next_url` and `next_body`.
    Captured,
    /// Nothing: the request is always the same.
    Same,
}

impl EntryDraft<'_> {
    /// Puts in what the entry says of it, and tells which it is.
    pub(super) fn position(&mut self) -> StartSource {
        let own = self.own_keys();
        let source = match () {
            () if self.is_window() => self.window(),
            () if self.has_cursor() => StartSource::Cursor,
            () if self.has_next() => self.captured(),
            () => StartSource::Same,
        };
        if source == StartSource::Same {
            let is_known_again = own || self.old.named.fills("json_paths.id");
            let spot = self.old.find("repeat").map_or_else(|| self.old.spot.clone(), |found| found.spot);
            self.put(&["settings", "checkpoint"], "snapshot", &spot);
            self.put(&["settings", "repeat"], if is_known_again { "skip" } else { "ship" }, &spot);
            self.take("repeat", &["settings", "repeat"]);
        }
        source
    }

    /// The keys of our own that an entry of the dialect may have. Tells whether one of them tells records apart.
    fn own_keys(&mut self) -> bool {
        for (from, way) in [
            ("record_date", ["json_paths", "data_date"].as_slice()),
            ("record_id", &["json_paths", "id"]),
            ("overlap", &["settings", "overlap"]),
            ("window", &["settings", "max_window"]),
            ("delay", &["settings", "end_delay"]),
            ("format", &["response", "format"]),
            ("token_url", &["token_http_request", "url"]),
            ("hosts", &["hosts"]),
            ("timeout", &["http_request", "timeout"]),
            ("timezone", &["settings", "timezone"]),
            ("enabled", &["enabled"]),
        ] {
            self.take(from, way);
        }
        ["record_date", "record_id"].iter().any(|key| self.old.has(key))
    }

    /// How many days back the first iteration begins, where the entry or its type says it.
    fn days_back(&self) -> Option<i64> {
        match self.old.has("days_back_fetch") {
            true => self.old.read::<DaysBack>("days_back_fetch").map(|days| days.max(0)),
            false => self.old.named.dialect.days_back,
        }
    }

    /// Whether the window is the type's, or stands in the entry's own request.
    fn is_window(&self) -> bool {
        let has_type_window = match self.old.named.dialect.window {
            ApisWindow::None => false,
            ApisWindow::Always => true,
            ApisWindow::DaysBack => self.days_back().is_some_and(|days| days > 0),
        };
        has_type_window || self.holds_window()
    }

    /// Whether a variable of a window stands in the entry's own request.
    pub(super) fn holds_window(&self) -> bool {
        let parts = ["url", "body", "headers"].iter().filter_map(|key| self.old.find(&self.old.data_key(key)));
        parts.into_iter().any(|found| holds_window(found.value))
    }

    /// Whether the type's pages lead on from one iteration to the next.
    fn has_cursor(&self) -> bool {
        let paths = self.old.named.dialect.pages.get("json_paths");
        self.old.is_paged_by_type() && paths.is_some_and(|paths| paths.get("cursor").is_some())
    }

    fn has_next(&self) -> bool {
        ["next_url", "next_body"].iter().any(|key| self.old.has(&self.old.data_key(key)))
    }

    /// A window: where records have their date, and where it begins.
    fn window(&mut self) -> StartSource {
        if let Some(days) = self.days_back() {
            let spot = self.old.find("days_back_fetch").map_or_else(|| self.old.spot.clone(), |found| found.spot);
            self.put(&["settings", "days_back_fetch"], days, &spot);
        }
        if let Some(found) = self.old.find("start_date") {
            self.put(&["start_date_name"], "start_date", &found.spot);
            self.take("start_date", &["filters", "start_date"]);
        }
        if self.old.has("record_date") || self.old.named.fills("json_paths.data_date") {
            return StartSource::Window;
        }
        match self.date() {
            Some((date, spot)) => self.put(&["json_paths", "data_date"], date, &spot),
            // Nothing says where dates stand: the clock tells where the next window begins.
            None => self.put(&["settings", "checkpoint"], "window", &self.old.spot.clone()),
        }
        StartSource::Window
    }

    /// Where records have their date: the field that `next_url` takes, or what is known of the type's URLs.
    fn date(&self) -> Option<(String, super::super::document::Spot)> {
        let next = self.old.find(&self.old.data_key("next_url"));
        if let Some((found, field)) = next.and_then(|found| Some((found.clone(), self.field_of(&found.text()?)?))) {
            return Some((field, found.spot));
        }
        let url = self.old.find(&self.old.data_key("url"))?;
        let text = url.text()?;
        let known = self.old.named.dialect.dates.iter().find(|(part, _)| text.contains(part.as_str()))?;
        Some((known.1.clone(), url.spot))
    }

    /// The field of records that all variables of a text take.
    fn field_of(&self, text: &str) -> Option<String> {
        let own = [self.old.data_key("response_data_path"), "response_data_path".to_owned()];
        let own = own.iter().find_map(|key| self.old.text(key));
        let preset = || self.old.named.entry.get("json_paths")?.get("data")?.as_str().map(str::to_owned);
        let data = ParsedPath::parse(own.or_else(preset)?.trim_end_matches('?'));
        let found = variables(text);
        let fields: Option<Vec<_>> = found.iter().map(|path| path.within_records_of(&data)).collect();
        let fields = fields?;
        let first = fields.first()?;
        fields.iter().all(|field| field == first).then(|| written_field(first))
    }

    /// What `next_url` and `next_body` take out of answers.
    fn captured(&mut self) -> StartSource {
        let (url, body) = (self.old.data_key("next_url"), self.old.data_key("next_body"));
        if let (true, Some(start)) = (!self.old.has(&body), self.literal_start(&url)) {
            return self.dated(start, &url);
        }
        for key in [&url, &body] {
            if let Some(found) = self.old.find(key) {
                self.came_from(&["next_iteration"], &found.spot, None);
            }
        }
        self.take_text(&url, &["next_iteration", "url"], OldTextPlace::FromAnswer);
        self.body(&body, &["next_iteration", "body"]);
        self.take("cursor", &["next_iteration", "take"]);
        self.take("next_from", &["next_iteration", "answer"]);
        StartSource::Captured
    }

    /// A parameter that has a date in `url` and the field of a record in `next_url`, which are alike in all else: the date
    /// is where the first iteration begins.
    fn literal_start(&self, next: &str) -> Option<LiteralStart> {
        let url = self.old.text(&self.old.data_key("url"))?;
        let next = self.old.text(next)?;
        let (before, rest) = next.split_once("{res.")?;
        let (_, after) = rest.split_once('}')?;
        let literal = url.strip_prefix(before)?.strip_suffix(after)?;
        let name = before.rsplit(['?', '&']).next()?.strip_suffix('=')?;
        let is_parameter = before.contains('?') && !literal.contains(['&', '#', '{']) && !after.contains("{res.");
        let is_date = date::parse(literal).is_some() && !literal.bytes().all(|byte| byte.is_ascii_digit());
        let field = self.field_of(&next)?;
        (is_parameter && is_date && (after.is_empty() || after.starts_with(['&', '#']))).then(|| LiteralStart {
            url: format!("{before}{{start_date:like_records}}{after}"),
            name: name.to_owned(),
            date: literal.to_owned(),
            field,
        })
    }

    /// A window by the date of the newest record.
    fn dated(&mut self, start: LiteralStart, next: &str) -> StartSource {
        let url = self.old.spot_of(&self.old.data_key("url"));
        let text = super::text::translated(&start.url, OldTextPlace::First, &self.old.words(false));
        self.put(&["http_request", "url"], text, &url);
        self.put(&["start_date_name"], start.name.as_str(), &url);
        self.put(&["filters", &start.name], start.date, &url);
        if !self.old.has("record_date") {
            self.put(&["json_paths", "data_date"], start.field, &self.old.spot_of(next));
        }
        StartSource::Window
    }
}

/// Where the first iteration begins, as the URL has it.
struct LiteralStart {
    /// The URL with a variable in the place of the date.
    url: String,
    name: String,
    date: String,
    field: String,
}
