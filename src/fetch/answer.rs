//! Reading answers: bounded, decoded, and put into words where they are errors.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap};
use reqwest::{Response, Url};
use serde_json::Value;
use tokio::time::timeout;

use super::room::Room;
use super::{AttemptError, FetchError, flaw, refusal};
use crate::counters::Counters;
use crate::record::date;
use crate::text::Redactor;

/// How much room is made at once for a body that says how long it is.
const PROMISED_BYTES_MAX: usize = 1024 * 1024;

/// What words of errors are called, in the order in which they are shown.
const NAMES_OF_WORDS: [&str; 16] = [
    "error",
    "code",
    "error_code",
    "errorCode",
    "title",
    "error_description",
    "description",
    "message",
    "errorMessage",
    "error_message",
    "errorSummary",
    "msg",
    "faultstring",
    "reason",
    "detail",
    "details",
];

/// How a body is read.
pub(super) struct BodyReader<'r, 'a> {
    /// The largest that is read.
    pub(super) bytes_max: usize,
    pub(super) silence: Silence,
    /// Where it is noted that bytes come.
    pub(super) counters: &'r Counters,
    /// Where it may be in memory; nothing where it is small, or alone.
    pub(super) room: Option<&'r mut Room<'a>>,
}

/// The body, up to a limit, as long as it keeps coming. The wait for room doesn't count as the server's silence.
pub(super) async fn read(
    mut response: Response,
    url: &Url,
    BodyReader { bytes_max: max, silence, counters, mut room }: BodyReader<'_, '_>,
    redactor: &Redactor,
) -> Result<Vec<u8>, AttemptError> {
    if let Some(room) = &mut room {
        room.take_for_answer(response.content_length()).await.map_err(AttemptError::end)?;
    }
    // What a server promises is believed up to a megabyte; beyond that memory is taken as the bytes come.
    let promised = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
    let mut body = Vec::with_capacity(promised.min(PROMISED_BYTES_MAX));
    loop {
        let chunk = match &mut room {
            Some(room) => room.patiently(body.len(), silence.within(response.chunk())).await,
            None => silence.within(response.chunk()).await,
        };
        counters.touch();
        if let (Some(room), Some(Ok(Some(chunk)))) = (&mut room, &chunk) {
            room.take_for_body(body.len().saturating_add(chunk.len()).min(max)).await.map_err(AttemptError::end)?;
        }
        match chunk {
            Some(Ok(Some(chunk))) if body.len() + chunk.len() <= max => body.extend_from_slice(&chunk),
            Some(Ok(Some(_))) => return Err(AttemptError::end(FetchError::TooLarge { url: redactor.url(url), max })),
            Some(Ok(None)) => return Ok(body),
            Some(Err(error)) => return Err(AttemptError::cut(url, &error, redactor)),
            None => return Err(AttemptError::broken(redactor.url(url), silence.words())),
        }
    }
}

/// How long a server may be silent, and who says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    pub(super) max: Duration,
    /// The key that sets it.
    pub(super) key: Option<&'static str>,
}

impl Silence {
    /// What the work gives, unless nothing comes.
    pub(super) async fn within<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        timeout(self.max, work).await.ok()
    }

    pub(super) fn words(&self) -> String {
        let seconds = self.max.as_secs_f64();
        let key = self.key.map(|key| format!(", the limit that {key} sets")).unwrap_or_default();
        format!("nothing came for {seconds} s{key}")
    }
}

/// The API's clock (`Date`, RFC 9110, section 6.6.1), if the answer tells it.
pub(super) fn date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    date::parse_written(headers.get(DATE)?.to_str().ok()?)
}

/// What an error inside a good answer says to people, as `: …`.
pub(crate) fn error_words(text: &str, redactor: &Redactor) -> String {
    error_body(&HeaderMap::new(), text, redactor)
}

/// What an answer that is no success says to people, as `: …`; empty where it says nothing.
pub(super) fn error_body(headers: &HeaderMap, body: &str, redactor: &Redactor) -> String {
    let json = || serde_json::from_str::<Value>(body).ok().and_then(|json| error_of(&json));
    let page = || flaw::web_page(body).map(|title| format!("a web page{}", titled(title)));
    let mut words = json().or_else(page).unwrap_or_else(|| body.to_owned());
    // RFC 6750, section 3: the only words of many answers without a body.
    for more in ["error", "error_description"].iter().filter_map(|name| refusal::parameter(headers, name)) {
        if !more.is_empty() && !words.contains(&more) {
            words = if words.trim().is_empty() { more } else { format!("{words}: {more}") };
        }
    }
    let words = redactor.redact(&words);
    if words.is_empty() { words } else { format!(": {words}") }
}

/// A title as it stands behind a word; empty where there is none.
pub(super) fn titled(title: Option<String>) -> String {
    title.map(|title| format!(" \"{title}\"")).unwrap_or_default()
}

/// OAuth's `error` and `error_description` (RFC 6749, section 5.2), Graph's `error.code` and `error.message`, Cisco's
/// `errors[].description` and `details`, RFC 9457's `title` and `detail`, and what else is common.
fn error_of(json: &Value) -> Option<String> {
    let json = json.as_array().and_then(|errors| errors.first()).unwrap_or(json);
    let listed = json.get("errors").and_then(Value::as_array).and_then(|errors| errors.first());
    if let Some(Value::String(text)) = listed {
        return Some(text.clone()).filter(|text| !text.is_empty());
    }
    let nested = ["error", "fault"].iter().filter_map(|name| json.get(*name)).find(|error| error.is_object());
    let of = listed.or(nested).unwrap_or(json);
    let parts = NAMES_OF_WORDS.iter().filter_map(|name| match of.get(*name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) => Some(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")),
        _ => None,
    });
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Secret;
    use reqwest::header::{HeaderValue, WWW_AUTHENTICATE};

    #[track_caller]
    fn check(www_authenticate: Option<&'static str>, body: &str, expected: &str) {
        let header = www_authenticate.map(|value| (WWW_AUTHENTICATE, HeaderValue::from_static(value)));
        let redactor = Redactor::new([Secret::new("the-secret")]);
        assert_eq!(error_body(&header.into_iter().collect(), body, &redactor), expected, "{body}");
    }

    #[test]
    fn an_answers_words_are_found_wherever_they_stand_and_without_secrets() {
        check(None, "", "");
        check(None, r#"{"error":{"code":"busy","message":"come back"}}"#, ": busy: come back");
        check(None, r#"{"errors":["no such luck"]}"#, ": no such luck");
        check(None, r#"{"title":"Bad input","detail":"start: too far","status":422}"#, ": Bad input: start: too far");
        check(None, r#"[{"errorCode":"X","message":"y"}]"#, ": X: y");
        check(None, r#"{"fault":{"faultstring":"expired","detail":{}}}"#, ": expired");
        check(
            None,
            "<html><head><title>Bad Gateway</title></head><body>x</body></html>",
            ": a web page \"Bad Gateway\"",
        );
        let bearer = r#"Bearer realm="r", error="invalid_token", error_description="the-secret has expired""#;
        check(Some(bearer), "", ": invalid_token: *** has expired");
        check(Some(bearer), r#"{"error":"invalid_token"}"#, ": invalid_token: *** has expired");
        check(Some("Basic realm=\"error\""), "", "");
    }
}
