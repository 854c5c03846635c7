//! Which values of an entry are secret, whatever a server makes of them.

use reqwest::header::HeaderMap;

use super::expand::without_line_end;
use super::keys;
use super::section::Section;
use crate::plan::{Auth, TokenRequest};
use crate::template::{BodyTemplate, RequestParts, RequestTemplate};
use crate::text::{Redactor, Secret, is_secret_name};

/// Everything of an entry that must not be seen.
pub(super) fn redactor<'r>(
    requests: impl Iterator<Item = &'r RequestTemplate>,
    auth: &Auth,
    entry: &Section<'_>,
    filled: Vec<Secret>,
) -> Redactor {
    // In both lists they stand at the same place.
    let [id, key] = [&keys::USER, &keys::PASSWORD]
        .map(|key| entry.find(key).and_then(|found| found.as_is()).map(|text| without_line_end(&text).to_owned()));
    // An id is half of a credential; nobody misses it in a message that names the API.
    let mut secrets: Vec<String> = id.iter().chain(&key).cloned().collect();
    secrets.extend(id.zip(key).map(|(id, key)| format!("{id}:{key}")));
    for request in requests {
        for parts in std::iter::once(&request.first)
            .chain(request.next.as_deref())
            .chain(request.iteration.iter().map(|parts| &parts.first))
            .chain(request.iteration.iter().filter_map(|parts| parts.next.as_ref()))
        {
            secrets.extend(parts_secrets(parts));
        }
        secrets.extend(url_secrets(request.url.as_str(), is_secret_name));
        secrets.extend(request.sign.iter().map(|sign| sign.key.expose().to_owned()));
    }
    if let Auth::Token(token) = auth {
        secrets.extend(token_secrets(token));
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

/// What must not be seen of a token request.
fn token_secrets(token: &TokenRequest) -> Vec<String> {
    let RequestParts { query, headers, filled_headers, body, .. } = &token.request.first;
    let is_hidden = |name: &str| !PUBLIC_TOKEN_FIELDS.contains(&name);
    let fields = match body {
        Some(BodyTemplate::Form(fields)) => fields.iter().chain(query),
        _ => [].iter().chain(query),
    };
    let fields = fields.filter(|field| is_hidden(&field.name)).map(|field| field.value.texts());
    let texts = match body {
        Some(BodyTemplate::Form(_)) => Vec::new(),
        Some(body) => body.texts(),
        None => vec![token.request.url.query().unwrap_or_default().to_owned()],
    };
    let mut secrets: Vec<String> = texts.iter().flat_map(|text| body_values(text, is_hidden)).chain(fields).collect();
    secrets.extend(url_secrets(token.request.url.as_str(), is_secret_name));
    secrets.extend(header_secrets(headers));
    secrets.extend(filled_headers.iter().map(|(_, template)| template.texts()));
    let client = token.assertion.iter().filter_map(|assertion| assertion.client.as_ref());
    secrets.extend(client.map(|(_, secret)| secret.expose().to_owned()));
    secrets.extend(token.refresh_token.iter().map(|token| token.expose().to_owned()));
    secrets.retain(|secret| !secret.trim().is_empty());
    secrets
}

/// What must not be seen of the parts of a request.
fn parts_secrets(parts: &RequestParts) -> Vec<String> {
    let mut secrets = header_secrets(&parts.headers);
    secrets.extend(parts.filled_headers.iter().map(|(_, template)| template.texts()));
    let bodies = parts.body.iter().flat_map(BodyTemplate::texts);
    secrets.extend(bodies.flat_map(|text| body_values(&text, |_| true)));
    let secret_fields = parts.query.iter().filter(|field| is_secret_name(&field.name));
    secrets.extend(secret_fields.map(|field| field.value.texts()));
    secrets.extend(url_secrets(&parts.url.texts(), is_secret_name));
    secrets.extend(parts.append.iter().flat_map(|append| url_secrets(&append.texts(), is_secret_name)));
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

/// What is secret in a URL, or in the end of one: the user and password before its host, and fields of its query.
fn url_secrets(url: &str, is_hidden: impl Fn(&str) -> bool) -> Vec<String> {
    let user =
        user_of(url).into_iter().flat_map(|user| [Some(user), user.split_once(':').map(|(_, password)| password)]);
    let mut secrets: Vec<String> = user.flatten().map(str::to_owned).collect();
    secrets.extend(url.split(['?', '#']).flat_map(|part| form_values(part, &is_hidden)));
    secrets.retain(|secret| !secret.is_empty());
    secrets
}

/// The user and password that stand before the host of a URL.
pub(super) fn user_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    host.rsplit_once('@').map(|(user, _)| user)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_tells_its_secrets() {
        for (url, expected) in [
            ("https://x.example/a?page=1&api_key=abc&token=#key=def", &["abc", "def"][..]),
            ("https://user:pass@x.example/a@b", &["user:pass", "pass"]),
            ("https://token@x.example", &["token"]),
            ("&api_key=abc", &["abc"]),
            ("/next?sig=abc", &["abc"]),
            ("x", &[]),
        ] {
            assert_eq!(url_secrets(url, is_secret_name), expected, "{url}");
        }
    }
}
