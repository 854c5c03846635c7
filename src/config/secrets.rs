//! Which values of an entry are secret, whatever a server makes of them.

use reqwest::header::HeaderMap;

use super::expand::without_line_end;
use super::keys;
use super::section::Section;
use crate::plan::Auth;
use crate::template::{BodyTemplate, RequestParts, RequestTemplate};
use crate::text::{Redactor, Secret};

/// Everything of an entry that must not be seen.
pub(super) fn redactor(request: &RequestTemplate, auth: &Auth, entry: &Section<'_>, filled: Vec<Secret>) -> Redactor {
    // In both lists they stand at the same place.
    let [id, key] = [&keys::USER, &keys::PASSWORD]
        .map(|key| entry.find(key).and_then(|found| found.as_is()).map(|text| without_line_end(&text).to_owned()));
    // An id is half of a credential; nobody misses it in a message that names the API.
    let mut secrets: Vec<String> = id.iter().chain(&key).cloned().collect();
    secrets.extend(id.zip(key).map(|(id, key)| format!("{id}:{key}")));
    for parts in std::iter::once(&request.first).chain(request.next.as_deref()) {
        secrets.extend(parts_secrets(parts));
    }
    secrets.extend(form_values(request.url.query().unwrap_or_default(), is_secret_name));
    secrets.extend(request.url.password().map(str::to_owned));
    if let Auth::Token(token) = auth {
        let form = token.body.as_ref().map_or_else(|| token.url.query().unwrap_or_default(), Secret::expose);
        secrets.extend(body_values(form, |name| !PUBLIC_TOKEN_FIELDS.contains(&name)));
        secrets.extend(header_secrets(&token.headers));
    }
    Redactor::new(secrets.into_iter().map(Secret::new).chain(filled))
}

/// The URL of an entry as it is shown, from the text that has `***` where something was filled in: without its query, user
/// and password.
pub(super) fn shown(masked: &str) -> String {
    let masked = masked.trim();
    let end = masked.find(['?', '#']).unwrap_or(masked.len());
    let text = masked.get(..end).unwrap_or_default();
    let Some((scheme, rest)) = text.split_once("://") else { return "***".to_owned() };
    let (host, path) = rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, format!("/{path}")));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// Fields of a token request that an error may name, as they help to correct it.
const PUBLIC_TOKEN_FIELDS: &[&str] = &["grant_type", "scope"];

/// What must not be seen of the parts of a request.
fn parts_secrets(parts: &RequestParts) -> Vec<String> {
    let mut secrets = header_secrets(&parts.headers);
    secrets.extend(parts.filled_headers.iter().map(|(_, template)| template.texts()));
    let bodies = parts.body.iter().flat_map(BodyTemplate::texts);
    secrets.extend(bodies.flat_map(|text| body_values(&text, |_| true)));
    let secret_fields = parts.query.iter().filter(|field| is_secret_name(&field.name));
    secrets.extend(secret_fields.map(|field| field.value.texts()));
    secrets.retain(|secret| !secret.trim().is_empty());
    secrets
}

/// The values of the user's own headers, and what follows a scheme in them.
fn header_secrets(headers: &HeaderMap) -> Vec<String> {
    let values = headers.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| [Some(value), value.split_once(' ').map(|(_, rest)| rest)])
        .flatten()
        .map(str::to_owned)
        .collect()
}

/// A body, and the values in it that are to be hidden: a form's fields, or all texts of a JSON document.
fn body_values(body: &str, is_hidden: impl Fn(&str) -> bool) -> Vec<String> {
    let mut values = vec![body.to_owned()];
    match serde_json::from_str::<serde_json::Value>(body) {
        Ok(json) => {
            let mut left = vec![json];
            while let Some(value) = left.pop() {
                match value {
                    serde_json::Value::String(text) => values.push(text),
                    serde_json::Value::Array(items) => left.extend(items),
                    serde_json::Value::Object(fields) => left.extend(fields.into_iter().map(|(_, value)| value)),
                    _ => {}
                }
            }
        }
        Err(_) => values.extend(form_values(body, is_hidden)),
    }
    values
}

/// The values of those fields of a form that are to be hidden.
fn form_values(form: &str, is_hidden: impl Fn(&str) -> bool) -> Vec<String> {
    let fields = form.split('&').filter_map(|field| field.split_once('='));
    fields.filter(|(name, _)| is_hidden(name)).map(|(_, value)| value.to_owned()).collect()
}

/// Whether a header of this name proves who asks, so that no other credentials are needed.
pub(crate) fn carries_credentials(header: &str) -> bool {
    is_secret_name(header) || header.eq_ignore_ascii_case("cookie")
}

/// Names that other systems give to fields with secrets in them.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET_NAME_PARTS.iter().any(|part| name.contains(part))
}

/// What the names of secrets have in them.
pub(super) const SECRET_NAME_PARTS: [&str; 14] = [
    "secret",
    "pass",
    "pwd",
    "token",
    "key",
    "assertion",
    "auth",
    "sig",
    "cred",
    "code",
    "session",
    "jwt",
    "hmac",
    "sas",
];
