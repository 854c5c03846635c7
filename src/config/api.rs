//! One entry of `auth_apis` or `oauth_apis`, compiled into a [`Plan`].

use std::time::Duration;

use chrono::TimeDelta;
use reqwest::header::AUTHORIZATION;
use serde_yaml::Value;

use super::document::Place as Spot;
use super::presets::{AUTH, GENERAL, OAUTH, Preset};
use super::reader::{Reader, Section, Text};
use super::reference::Place;
use super::secrets::scrubber;
use crate::pace::Rate;
use crate::plan::{Auth, Overlap, Plan, StartRule};
use crate::record::path::JsonPath;
use crate::record::{CustomFields, Paths};

/// `settings.days_back_fetch` where it is absent.
const DAYS_BACK_DEFAULT: f64 = 14.0;
/// The furthest that `settings.days_back_fetch` goes: a hundred years.
pub(super) const DAYS_BACK_MAX: f64 = 36_500.0;
/// The shortest pause between iterations; a smaller number is more likely a slip than a wish.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Reads the entries of `auth_apis` and `oauth_apis`.
pub(super) struct Entries<'r, 'd> {
    pub(super) reader: &'r Reader<'d>,
}

impl<'r, 'd> Entries<'r, 'd> {
    pub(super) fn new(reader: &'r Reader<'d>) -> Self {
        Self { reader }
    }

    /// One entry; nothing where it has a fault, which is noted.
    pub(super) fn read(&self, value: &'r Value, spot: Spot, place: Place) -> Option<Plan> {
        if value.as_mapping().is_none() {
            self.reader.fault(&spot, "an API should be here, with keys and values", None);
            return None;
        }
        let entry = Section::new(self.reader, value, spot, place);
        let preset = self.preset(&entry, place);
        let name = self.name(&entry);
        let interval = self.interval(&entry.section("settings"));
        let request = self.request(&entry, preset);
        let own_header = request.as_ref().is_some_and(|(request, _)| request.headers.contains_key(AUTHORIZATION));
        let token = (place == Place::OAuth).then(|| self.token_request(&entry));
        let auth = match (own_header, token) {
            (true, _) => Some(Auth::OwnHeader),
            (false, Some(token)) => token,
            (false, None) => self.basic(&entry),
        };
        let paths = self.paths(&entry.section("json_paths"), preset);
        let fields = entry.fields("custom_fields");
        let custom_fields = CustomFields::new(&fields).ok();
        let back = self.days_back(&entry.section("settings"));
        let overlap = self.overlap(&entry.section("settings"), preset);
        let rate = self.rate(&entry.section("settings"));
        let (request, configured) = request?;
        let auth = auth?;
        Some(Plan {
            scrubber: scrubber(&request, &auth, &entry.section("credentials")),
            name: name?,
            interval: interval?,
            start: StartRule { configured, back, overlap },
            paths: paths?,
            custom_fields: custom_fields?,
            auth,
            request,
            rate,
        })
    }

    /// The entry's type. Where there is none of that name, the likeliest, so that the rest can be looked at, too.
    fn preset(&self, entry: &Section<'r, 'd>, place: Place) -> &'static Preset {
        let (here, there, section) = match place {
            Place::OAuth => (OAUTH, AUTH, "auth_apis"),
            _ => (AUTH, OAUTH, "oauth_apis"),
        };
        let name = entry.required("type", None).map(|text| text.value).unwrap_or_default();
        if let Some(preset) = here.iter().find(|preset| preset.name == name) {
            return preset;
        }
        if !name.is_empty() {
            let names: Vec<String> = here.iter().map(|preset| format!("`{}`", preset.name)).collect();
            let hint = match there.iter().any(|preset| preset.name == name) {
                true => format!("`{name}` belongs into `{section}`"),
                false => format!("one of {}", names.join(", ")),
            };
            let what = format!("there is no type `{}` here", shown(&name));
            self.reader.fault(&entry.spot.key("type"), what, Some(hint));
        }
        let likeness = |preset: &&Preset| strsim::jaro_winkler(preset.name, &name.to_lowercase());
        // Of equally unlikely ones the first: it requires the least.
        here.iter().rev().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or(&GENERAL)
    }

    fn name(&self, entry: &Section<'r, 'd>) -> Option<String> {
        let name = entry.required_filled("name", None)?;
        if name.value.chars().any(char::is_control) {
            self.reader.fault(&name.spot, "a name has no line breaks or control characters in it", None);
            return None;
        }
        Some(name.value)
    }

    fn interval(&self, settings: &Section<'r, 'd>) -> Option<Duration> {
        settings.required("time_interval", None)?;
        let (interval, spot) = settings.minutes("time_interval")?;
        if interval.is_zero() {
            self.reader.fault(&spot, "it should be more than 0", Some("minutes, or text like 30s, 5m, 1h".to_owned()));
            return None;
        }
        Some(interval.max(INTERVAL_MIN))
    }

    fn days_back(&self, settings: &Section<'r, 'd>) -> TimeDelta {
        let days = settings.number("days_back_fetch", DAYS_BACK_MAX).unwrap_or(DAYS_BACK_DEFAULT);
        let span = Duration::try_from_secs_f64(days * 86_400.0).unwrap_or_default();
        TimeDelta::from_std(span).unwrap_or_default()
    }

    fn overlap(&self, settings: &Section<'r, 'd>, preset: &Preset) -> Overlap {
        if settings.text("overlap").is_some_and(|text| text.value.eq_ignore_ascii_case("auto")) {
            return Overlap::Measured;
        }
        let given = settings.minutes("overlap").map(|(span, _)| TimeDelta::from_std(span).unwrap_or_default());
        given.map_or(preset.overlap, Overlap::Fixed)
    }

    fn rate(&self, settings: &Section<'r, 'd>) -> Option<Rate> {
        let text = settings.text("rate_limit")?;
        let hint = || Some("requests per s, min, h or day, like 30/min".to_owned());
        Rate::parse(&text.value).map_err(|what| self.reader.fault(&text.spot, what, hint())).ok()
    }

    fn paths(&self, section: &Section<'r, 'd>, preset: &Preset) -> Option<Paths> {
        let data = self.path(section.required_filled("data", preset.data));
        let date = self.path(section.required_filled("data_date", preset.data_date));
        let optional = |key: &str, preset: Option<&str>| {
            let own = section.text(key).filter(|text| !text.value.is_empty());
            let text = own.or_else(|| Some(Text { value: preset?.to_owned(), spot: section.spot.key(key) }))?;
            self.path(Some(text))
        };
        let next_url = optional("next_url", preset.next_url);
        let id = optional("id", preset.id);
        if next_url.is_none() {
            self.reader.warn(&section.spot.key("next_url"), "absent: only the first page of an answer is read", None);
        }
        Some(Paths { data: data?, date: date?, id, next_url })
    }

    fn path(&self, text: Option<Text>) -> Option<JsonPath> {
        let text = text?;
        match JsonPath::parse(&text.value) {
            Ok(path) => Some(path),
            Err(error) => {
                self.reader.fault(&text.spot, format!("it is no JSON path: {error}"), None);
                None
            }
        }
    }
}

/// A short piece of a value that is no secret.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}
