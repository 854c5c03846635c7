//! What steps are made of: their list, their URLs, and when a job is done.

use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};

use super::entry::path;
use super::number::minutes;
use super::pattern::{ORIGIN, one_or_more, or_filled_in, span};
use super::request::{URL_HINT, is_web};
use super::{Kind, Traits};
use crate::config::place::Place;
use crate::config::value::{Found, written};
use crate::plan::Condition;
use crate::template::{Piece, Template, UrlTemplate};

/// The most steps of an entry: more than any API needs.
const STEPS_MAX: usize = 8;
/// The most entries that are asked about at a time: what a server bears of one client.
const PARALLEL_MAX: usize = 32;
/// The longest that a job may take: who needs longer asks for less at once.
const WITHIN_MAX: Duration = Duration::from_secs(3600);

/// The steps of an entry.
pub(in crate::config) enum StepEntries {}

impl Kind for StepEntries {
    /// Each with where it stands.
    type Value<'v> = Vec<Found<'v>>;

    fn read<'v>(found: &Found<'v>) -> Option<Vec<Found<'v>>> {
        match found.value {
            serde_yaml::Value::Sequence(steps) if steps.len() > STEPS_MAX => {
                found.refuse(&format!("there may be {STEPS_MAX} steps at most"), None)
            }
            serde_yaml::Value::Sequence(_) => Some(found.items()),
            _ => found.refuse("it should be a list of steps", Some("begin each with `- http_request: …`")),
        }
    }

    fn schema(_: Place) -> Value {
        json!({ "type": "array", "maxItems": STEPS_MAX })
    }
}

/// How many entries are asked about at a time.
pub(in crate::config) enum Parallel {}

impl Kind for Parallel {
    type Value<'v> = usize;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<usize> {
        match found.text()?.trim().parse() {
            Ok(count) if (1..=PARALLEL_MAX).contains(&count) => Some(count),
            _ => found.refuse(&format!("it should be a whole number from 1 to {PARALLEL_MAX}"), None),
        }
    }

    fn schema(_: Place) -> Value {
        json!({ "type": ["integer", "string"], "minimum": 1, "maximum": PARALLEL_MAX,
            "pattern": or_filled_in(r"^\s*\+?0*([1-9]|[12][0-9]|3[0-2])\s*$") })
    }
}

/// The URL of a step, perhaps with the entry's own host or whole URL.
pub(in crate::config) enum StepUrl {}

impl Kind for StepUrl {
    /// With the URL that fixes the origin, where the entry doesn't.
    type Value<'v> = (UrlTemplate, Option<Url>);

    fn read(found: &Found<'_>) -> Option<Self::Value<'static>> {
        let text = found.filled()?;
        let text = text.trim_end_matches('?');
        let refuse = |what: &str, hint: &str| found.refuse(what, Some(hint));
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(error) => return refuse(&error.to_string(), URL_HINT),
        };
        match UrlTemplate::parse(text) {
            Ok((_, Some(url))) => match is_web(&url) {
                Ok(()) => Some((UrlTemplate::Open(template), Some(url))),
                Err(what) => refuse(what, URL_HINT),
            },
            Ok((told, None)) => Some((told, None)),
            Err(_) => match origin_of_entry(&template) {
                Ok(()) => Some((UrlTemplate::Open(template), None)),
                Err((what, hint)) => refuse(what, hint),
            },
        }
    }

    fn schema(_: Place) -> Value {
        let of_entry = r"^\s*([Hh][Tt][Tt][Pp][Ss]?://)?[^/?#{]*\{(item|parent|res)[.\[}:]";
        json!({ "type": "string", "pattern": or_filled_in(&format!("{ORIGIN}|{of_entry}")) })
    }
}

/// Whether a URL whose origin isn't written out takes it from the entry that is asked about.
fn origin_of_entry(template: &Template) -> Result<(), (&'static str, &'static str)> {
    let not_valid = ("it is not a valid URL", URL_HINT);
    match template.pieces().first() {
        None => Err(not_valid),
        Some(Piece::Variable { variable, .. }) if variable.as_answer_value().is_some() => Ok(()),
        Some(Piece::Variable { variable, .. }) if !variable.is_of_entry() => {
            Err(("scheme, host and port can hold no variable but `{item.PATH}`", URL_HINT))
        }
        Some(Piece::Variable { is_raw: false, .. }) => {
            Err(("a value at the beginning of a URL is a URL itself, and would be encoded", "write `{item.PATH:raw}`"))
        }
        Some(Piece::Variable { .. }) => Ok(()),
        Some(Piece::Text(text)) => {
            let Some((scheme, host)) = text.split_once("://") else { return Err(not_valid) };
            if !matches!(scheme.trim().to_ascii_lowercase().as_str(), "http" | "https") {
                return Err(("it should begin with https://", URL_HINT));
            }
            // The path begins behind the entry's value: what stands before it is part of the host.
            let of_host = template.pieces().get(1);
            match (host.contains(['/', '?', '#']), of_host) {
                (false, Some(Piece::Variable { variable, .. }))
                    if variable.is_of_entry() || variable.as_answer_value().is_some() =>
                {
                    Ok(())
                }
                (false, Some(Piece::Variable { .. })) => {
                    Err(("scheme, host and port can hold no variable but `{item.PATH}`", URL_HINT))
                }
                _ => Err(not_valid),
            }
        }
    }
}

/// Values that an answer should have: paths, each with a value or a list of them.
pub(in crate::config) enum Conditions {}

impl Kind for Conditions {
    type Value<'v> = Vec<Condition>;
    const TRAITS: Traits = Traits::OPEN;

    fn read(found: &Found<'_>) -> Option<Vec<Condition>> {
        let mut conditions: Vec<Condition> = Vec::new();
        for (name, text) in found.pairs() {
            let path = path(&Found { spot: text.spot.clone(), ..found.clone() }, name.trim())?;
            let value = text.value.trim().to_owned();
            match conditions.iter_mut().find(|condition| condition.path == path) {
                Some(condition) => condition.values.push(value),
                None => conditions.push(Condition { path, values: vec![value] }),
            }
        }
        match conditions.is_empty() {
            true => found.refuse("a path and a value should stand here", Some("like `status: FINISHED`")),
            false => Some(conditions),
        }
    }

    fn schema(_: Place) -> Value {
        json!({ "type": "object", "minProperties": 1, "additionalProperties": one_or_more(None) })
    }
}

/// How long a job may take: minutes, or text like `30m`.
pub(in crate::config) enum Within {}

impl Kind for Within {
    type Value<'v> = Duration;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<Duration> {
        match minutes(found)? {
            span if span.is_zero() => found.refuse("it should be more than 0", None),
            span if span > WITHIN_MAX => found.refuse("it should be an hour at most", None),
            span => Some(span),
        }
    }

    fn schema(_: Place) -> Value {
        json!({
            "type": ["number", "string"],
            "exclusiveMinimum": 0,
            "maximum": WITHIN_MAX.as_secs() / 60,
            "pattern": or_filled_in(&format!(r"^\s*(?=[+0-9.]*[1-9]){}\s*$", span()))
        })
    }
}

/// Whether a start date stands in a value, or below it.
pub(in crate::config) fn holds_start(value: &serde_yaml::Value) -> bool {
    match value {
        serde_yaml::Value::Sequence(items) => items.iter().any(holds_start),
        serde_yaml::Value::Mapping(members) => members.iter().any(|(_, value)| holds_start(value)),
        other => written(other).is_some_and(|text| Template::parse(&text).is_ok_and(|text| text.has_start_date())),
    }
}

/// Whether the first step of a list of them asks a job whether it is done.
pub(in crate::config) fn begins_with_job(steps: &serde_yaml::Value) -> bool {
    let first = steps.as_sequence().and_then(|steps| steps.first()).and_then(serde_yaml::Value::as_mapping);
    first.is_some_and(|step| step.get("until").is_some_and(|until| !until.is_null()))
}

/// Where `within` is absent.
pub(in crate::config) const WITHIN_DEFAULT: Duration = WITHIN_MAX;
/// Where `settings.parallel` is absent.
pub(in crate::config) const PARALLEL_DEFAULT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(), &str>) {
        let found = origin_of_entry(&Template::parse(text).expect("a template")).map_err(|(what, _)| what);
        assert_eq!(
            found.map_err(|what| what.contains(expected.err().unwrap_or("nothing"))),
            expected.map_err(|_| true),
            "{text}"
        );
    }

    #[test]
    fn only_the_entry_may_name_where_a_step_goes() {
        check("{item.url:raw}", Ok(()));
        check("{item:raw}?full=1", Ok(()));
        check("{parent.base:raw}/x", Ok(()));
        check("https://{item.host}/v1/{start_date}", Ok(()));
        check("https://a{item.region}.host.example/v1", Ok(()));
        check("{res.next}", Ok(()));
        check("https://{res.host}/v1", Ok(()));
        check("{item.url}", Err("encoded"));
        check("{next_token:raw}", Err("no variable but"));
        check("https://{page}.example/", Err("no variable but"));
        check("ftp://{item.host}/", Err("https://"));
        check("item/{item.id}", Err("not a valid URL"));
    }
}
