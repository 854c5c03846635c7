//! Reading answers: bounded, decoded, and put into words where they are errors.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Response, Url};
use serde_json::Value;

use super::{Failure, FetchError};
use crate::http::cause;
use crate::meter::Meter;
use crate::secret::{Scrubber, Secret};

/// How much room is made at once for a body that says how long it is.
const PROMISED_BYTES_MAX: usize = 1024 * 1024;

/// The body, up to a limit.
pub(super) async fn read(
    mut response: Response,
    url: &Url,
    max: usize,
    scrubber: &Scrubber,
    meter: &Meter,
) -> Result<Vec<u8>, Failure> {
    // What a server promises is believed up to a megabyte; beyond that memory is taken as the bytes come.
    let promised = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
    let mut body = Vec::with_capacity(promised.min(PROMISED_BYTES_MAX));
    loop {
        let chunk = response.chunk().await;
        meter.touch();
        match chunk {
            Ok(Some(chunk)) if body.len() + chunk.len() <= max => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(Failure::end(FetchError::TooLarge { url: scrubber.url(url), max })),
            Ok(None) => return Ok(body),
            Err(error) => return Err(Failure::broken(scrubber.url(url), cause(&error, scrubber))),
        }
    }
}

/// The body as text, and whether some bytes had to be replaced.
pub(super) fn text(bytes: Vec<u8>) -> (String, bool) {
    let (text, was_lossy) = match String::from_utf8(bytes) {
        Ok(text) => (text, false),
        Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
    };
    match text.strip_prefix('\u{feff}') {
        Some(rest) => (rest.to_owned(), was_lossy),
        None => (text, was_lossy),
    }
}

/// The part of an error's body that people wrote for people, as `: …`; empty where it says nothing.
pub(super) fn words(body: &str, scrubber: &Scrubber) -> String {
    let words = serde_json::from_str::<Value>(body).ok().and_then(|json| error_of(&json));
    let words = scrubber.scrub(words.as_deref().unwrap_or(body));
    if words.is_empty() { words } else { format!(": {words}") }
}

/// OAuth's `error` and `error_description` (RFC 6749, section 5.2), Graph's `error.code` and `error.message`, Cisco's
/// `errors[].description` and `details`, and what else is common.
fn error_of(json: &Value) -> Option<String> {
    let listed = json.get("errors").and_then(Value::as_array).and_then(|errors| errors.first());
    let nested = json.get("error").filter(|error| error.is_object());
    let of = listed.or(nested).unwrap_or(json);
    let names = ["error", "code", "error_code", "error_description", "description", "message", "detail", "details"];
    let parts = names.iter().filter_map(|name| match of.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) => Some(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")),
        _ => None,
    });
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}

/// The user and the key of HTTP Basic (RFC 7617).
pub(super) fn base64(id: &str, key: &Secret) -> Secret {
    Secret::new(STANDARD.encode(format!("{id}:{}", key.expose())))
}
