//! How an entry proves who asks: its credentials, its token request, its signature.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_yaml::Value;

use super::api::Entries;
use super::keys;
use super::kinds::proof::ClientAuth;
use super::request::{FORM, JSON, form_body, is_form_type, is_json_type, json_body};
use super::section::Section;
use super::value::{Found, Text};
use crate::assertion::{Assertion, AssertionUse};
use crate::paging::Locator;
use crate::plan::{Auth, TokenRequest};
use crate::record::path::JsonPath;
use crate::template::query::{self, QueryField, encode_component};
use crate::template::{
    BodyTemplate, RequestParts, RequestTemplate, Sign, SignKind, Template, UrlTemplate, Variable, VariableError,
    VariableSet,
};
use crate::text::Secret;

/// Where the token stands (RFC 6749, section 5.1),
const TOKEN_DEFAULT: &str = "access_token";
/// and how long it lasts.
const EXPIRES_IN_DEFAULT: &str = "expires_in";

/// How a grant by a JWT is called (RFC 7523, section 2.1),
const GRANT_BY_JWT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// and a client's authentication by one (section 2.2).
const CLIENT_BY_JWT: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The client's id and secret.
struct Client<'c> {
    id: Option<&'c str>,
    key: Option<&'c str>,
    auth: ClientAuth,
}

impl Entries<'_> {
    /// How the entry's requests prove who asks.
    pub(super) fn auth(&self, entry: &Section<'_>, request: Option<&RequestTemplate>, has_token: bool) -> Option<Auth> {
        let parts = request.map(|request| &request.first);
        let says_who = parts.is_some_and(|parts| has_header(parts, |name| name == AUTHORIZATION));
        let needs_login = request.is_some_and(|request| request.variables().any(Variable::is_of_login));
        match has_token {
            // What is wrong with the token request is told all the same.
            true if says_who && !needs_login => self.token_request(entry).map(|_| Auth::OwnHeader),
            true => self.token_request(entry),
            false if says_who || self.needs_no_credentials(entry, request) => Some(Auth::OwnHeader),
            false => self.basic(entry),
        }
    }

    /// Whether the entry says that there are none (`credentials: {}`), or leaves them out beside a header that carries a key or
    /// a signature.
    fn needs_no_credentials(&self, entry: &Section<'_>, request: Option<&RequestTemplate>) -> bool {
        let carries = |name: &reqwest::header::HeaderName| super::secrets::carries_credentials(name.as_str());
        match entry.top_level("credentials") {
            Some(credentials) => credentials.as_mapping().is_some_and(serde_yaml::Mapping::is_empty),
            None => request.is_some_and(|request| request.sign.is_some() || has_header(&request.first, carries)),
        }
    }

    fn basic(&self, entry: &Section<'_>) -> Option<Auth> {
        let (id, key) = (entry.require(&keys::USER), entry.require(&keys::PASSWORD));
        let template = |text: Option<String>, spot| {
            let text = Text { value: text?, spot };
            Some(self.template_as_is(&text, |text| Template::parse_with(text, VariableSet::Credentials)))
        };
        let id = template(id, entry.spot_of(&keys::USER));
        Some(Auth::Basic { id: id?, key: template(key, entry.spot_of(&keys::PASSWORD))? })
    }

    fn token_request(&self, entry: &Section<'_>) -> Option<Auth> {
        let (id, key) = (entry.read(&keys::CLIENT_ID), entry.read(&keys::CLIENT_SECRET));
        let client = Client {
            id: id.as_deref(),
            key: key.as_deref(),
            auth: entry.read(&keys::TOKEN_CLIENT_AUTH).unwrap_or_default(),
        };
        let method = entry.read_or(&keys::TOKEN_METHOD, Method::POST);
        let (mut headers, filled_headers) = entry.read_or(&keys::TOKEN_HEADERS, Default::default()).unwrap_or_default();
        self.authenticate_client(entry, &mut headers, &client);
        let is_own =
            headers.contains_key(AUTHORIZATION) || filled_headers.iter().any(|(name, _)| name == AUTHORIZATION);
        let refresh_token = entry.read(&keys::TOKEN_REFRESH);
        let scope = entry.read(&keys::TOKEN_SCOPE);
        let assertion = self.assertion(entry, scope.as_deref());
        let url = self.token_url(entry, assertion.as_ref().and_then(Option::as_deref));
        let assertion = assertion?;
        let body = match &assertion {
            Some(assertion) => self.assertion_body(entry, assertion, client.id, scope.as_deref()),
            None => self.token_body(entry, &headers, &client, (is_own, refresh_token.is_some())),
        };
        let (mut url, method, (body, content_type)) = (url?, method?, body?);
        let mut parts = RequestParts {
            url: UrlTemplate::Plain(url.clone()),
            query: Vec::new(),
            headers,
            filled_headers,
            body: None,
            append: None,
        };
        match (method == Method::GET, body) {
            (true, BodyTemplate::Form(fields)) => parts.query = fields,
            (true, body) => {
                let own = url.query().filter(|query| !query.is_empty()).map(str::to_owned);
                let form = body.texts().concat();
                url.set_query(Some(&own.into_iter().chain([form]).collect::<Vec<_>>().join("&")));
                parts.url = UrlTemplate::Plain(url.clone());
            }
            (false, body) => {
                parts.headers.entry(CONTENT_TYPE).or_insert(content_type);
                parts.body = Some(body);
            }
        }
        let token = entry.read(&keys::TOKEN_PATH);
        let path = |text: &str| JsonPath::parse(text).ok();
        Some(Auth::Token(Box::new(TokenRequest {
            request: RequestTemplate::of(method, url, parts),
            is_token_required: token.is_some(),
            token: token.or_else(|| path(TOKEN_DEFAULT).map(Locator::Body))?,
            expires_in: entry.read(&keys::TOKEN_EXPIRES_IN).or_else(|| path(EXPIRES_IN_DEFAULT))?,
            refresh_token: refresh_token.map(Secret::new),
            assertion,
            identity: None,
        })))
    }

    /// The token endpoint: the entry's, else that of the key file.
    fn token_url(&self, entry: &Section<'_>, assertion: Option<&Assertion>) -> Option<Url> {
        let of_file = assertion.and_then(|assertion| assertion.token_url.as_deref());
        if assertion.is_none() && entry.has(&keys::ASSERTION_FILE) && !entry.has(&keys::TOKEN_URL) {
            // What is wrong with the file is told.
            return None;
        }
        let Some(text) = of_file.filter(|_| !entry.has(&keys::TOKEN_URL)) else { return entry.read(&keys::TOKEN_URL) };
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        if url.is_none() {
            let what = "its `token_uri` is not a valid URL";
            let hint = Some("set token_http_request.url".to_owned());
            self.reader.error(&entry.spot_of(&keys::ASSERTION_FILE), what, hint);
        }
        url
    }

    /// HTTP Basic for the client, where it is asked for: id and secret are encoded as in a form (RFC 6749, section 2.3.1).
    fn authenticate_client(&self, entry: &Section<'_>, headers: &mut HeaderMap, client: &Client<'_>) {
        if client.auth != ClientAuth::Basic {
            return;
        }
        let (Some(id), Some(key)) = (client.id, client.key) else {
            let hint = Some("they are what `client_auth: basic` sends".to_owned());
            return self.reader.error(&entry.spot_of(&keys::CLIENT_ID), "credentials.id and .key are missing", hint);
        };
        let encoded = STANDARD.encode(format!("{}:{}", encode_component(id), encode_component(key)));
        if headers.contains_key(AUTHORIZATION) {
            let hint = Some("there is one way of client authentication at a time: keep one of the two".to_owned());
            let what = "token_http_request.headers has an `Authorization` of its own";
            self.reader.error(&entry.spot_of(&keys::TOKEN_CLIENT_AUTH), what, hint);
        } else if let Ok(mut value) = HeaderValue::from_str(&format!("Basic {encoded}")) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
    }

    /// The token request's body, with its content type; made from the credentials where the config gives none. `is_own`:
    /// whether a header says which client asks.
    fn token_body(
        &self,
        entry: &Section<'_>,
        headers: &HeaderMap,
        client: &Client<'_>,
        (is_own, has_refresh_token): (bool, bool),
    ) -> Option<(BodyTemplate, HeaderValue)> {
        let scope = entry.read(&keys::TOKEN_SCOPE);
        let Some(found) = entry.find(&keys::TOKEN_BODY) else {
            // One way of client authentication at a time (RFC 6749, section 2.3).
            let own = match is_own {
                true => Vec::new(),
                false => {
                    let (id, key) = (entry.require(&keys::CLIENT_ID), entry.require(&keys::CLIENT_SECRET));
                    id.and(key)?;
                    vec![("client_id", client.id?), ("client_secret", client.key?)]
                }
            };
            return Some((own_form(own, scope.as_deref(), has_refresh_token), FORM));
        };
        let checked = |made: Result<BodyTemplate, VariableError>| match made {
            Ok(body) => Some(body),
            Err(error) => found.refuse(&error.to_string(), None),
        };
        match found.value {
            Value::Mapping(_) if headers.get(CONTENT_TYPE).is_some_and(is_json_type) => {
                Some((checked(json_body(&found.json()?, None, VariableSet::Token))?, JSON))
            }
            Value::Mapping(_) => {
                let credential = |text: Text| Found { spot: text.spot, ..found.clone() }.credential(text.value);
                let pairs = found.pairs().into_iter().map(|(name, text)| Some((name, credential(text)?)));
                let pairs = pairs.collect::<Option<Vec<(String, String)>>>()?;
                Some((checked(form_of_pairs(&pairs))?, FORM))
            }
            _ => {
                let text = found.text()?;
                let own_type = headers.get(CONTENT_TYPE).is_some_and(|own| !is_form_type(own));
                let json = || serde_json::from_str::<serde_json::Value>(&text).ok().filter(|json| json.is_object());
                let body = match (own_type, own_type.then(json).flatten()) {
                    (_, Some(json)) => checked(json_body(&json, Some(&text), VariableSet::Token))?,
                    (true, None) => checked(Template::parse_with(&text, VariableSet::Token).map(BodyTemplate::Text))?,
                    (false, None) => checked(form_body(&text, VariableSet::Token))?,
                };
                Some((body, FORM))
            }
        }
    }

    /// The form that carries an assertion, with what the config's own form has besides.
    fn assertion_body(
        &self,
        entry: &Section<'_>,
        assertion: &Assertion,
        client_id: Option<&str>,
        scope: Option<&str>,
    ) -> Option<(BodyTemplate, HeaderValue)> {
        let mut fields: Vec<QueryField> = match entry.find(&keys::TOKEN_BODY) {
            None => Vec::new(),
            Some(found) => match found.value {
                Value::Mapping(_) => {
                    let field = |(name, text): (String, Text)| {
                        let text = self.template(&text, |text| Template::parse_with(text, VariableSet::Token));
                        QueryField { name: encode_component(&name), value: text.map_text(encode_component) }
                    };
                    found.pairs().into_iter().map(field).collect()
                }
                _ => match query::fields(&found.text()?, VariableSet::Token) {
                    Ok(fields) => fields,
                    Err(error) => return found.refuse(&error.to_string(), None),
                },
            },
        };
        let text = |text: &str| Template::text(encode_component(text));
        let signed = || Template::variable(Variable::Assertion);
        let (secret_id, secret) = match &assertion.client {
            Some((id, secret)) => (Some(id.as_str()), Some(secret.expose())),
            None => (None, None),
        };
        let own: Vec<(&str, Option<Template>)> = match assertion.purpose {
            AssertionUse::Grant => vec![
                ("grant_type", Some(text(GRANT_BY_JWT))),
                ("assertion", Some(signed())),
                ("client_id", secret_id.map(text)),
                ("client_secret", secret.map(text)),
            ],
            AssertionUse::Client => vec![
                ("grant_type", Some(text("client_credentials"))),
                ("client_id", client_id.map(text)),
                ("client_assertion_type", Some(text(CLIENT_BY_JWT))),
                ("client_assertion", Some(signed())),
                ("scope", scope.map(text)),
            ],
        };
        for (name, value) in own {
            if let Some(value) = value.filter(|_| fields.iter().all(|field| field.name != name)) {
                fields.push(QueryField { name: name.to_owned(), value });
            }
        }
        Some((BodyTemplate::Form(fields), FORM))
    }

    /// How requests are signed.
    pub(super) fn sign(&self, entry: &Section<'_>) -> Option<Box<Sign>> {
        entry.top_level("sign")?;
        let (hmac, hash) = (entry.read(&keys::SIGN_HMAC), entry.read(&keys::SIGN_HASH));
        let kind = match (hmac, hash) {
            (Some(hmac), None) => Some(SignKind::Hmac(hmac)),
            (None, Some(hash)) => Some(SignKind::Hash(hash)),
            (hmac, _) => {
                let what = if hmac.is_some() { "`hash` is there, too" } else { "`hmac` or `hash` is missing" };
                if !entry.has(&keys::SIGN_HMAC) || !entry.has(&keys::SIGN_HASH) || hmac.is_some() {
                    let hint = Some("say one of them, like `hmac: sha256`".to_owned());
                    self.reader.error(&entry.spot_of(&keys::SIGN_HMAC), what, hint);
                }
                None
            }
        };
        let (key, text) = (entry.require(&keys::SIGN_KEY), entry.require(&keys::SIGN_TEXT));
        let encoding = entry.read_or(&keys::SIGN_ENCODING, Default::default());
        let parse = |text: &str| Template::parse_with(text, VariableSet::Sign);
        let text = self.template_as_is(&text?, parse);
        let key_text = entry.read(&keys::SIGN_KEY_TEXT).map(|text| self.template_as_is(&text, parse));
        if key_text.is_some() && matches!(kind, Some(SignKind::Hash(_))) {
            let what = "only an HMAC has a key that can be made of a text";
            self.reader.error(
                &entry.spot_of(&keys::SIGN_KEY_TEXT),
                what,
                Some("say `hmac` in place of `hash`".to_owned()),
            );
        }
        Some(Box::new(Sign { kind: kind?, key: Secret::new(key?), key_text, text, encoding: encoding? }))
    }

    /// Variables whose source is missing are errors, and a signature that nothing carries is a warning.
    pub(super) fn check_proof(&self, entry: &Section<'_>, request: &RequestTemplate, auth: &Auth) {
        let url = entry.spot_of(&keys::URL);
        let credentials: Vec<&Template> = match auth {
            Auth::Basic { id, key } => vec![id, key],
            Auth::OwnHeader | Auth::Token(_) => Vec::new(),
        };
        let variables = || request.variables().chain(credentials.iter().flat_map(|template| template.variables()));
        if !matches!(auth, Auth::Token(_))
            && let Some(variable) = variables().find(|variable| variable.is_of_login())
        {
            let what =
                format!("`{{{}}}` stands in the request, and no token request gives it a value", variable.name());
            self.reader.error(&url, what, Some("add `token_http_request`, in an entry of `oauth_apis`".to_owned()));
        }
        let has_signature = variables().any(|variable| *variable == Variable::Signature);
        match (&request.sign, has_signature) {
            (None, true) => {
                let what = "`{signature}` stands in the request, and nothing says how it is made";
                self.reader.error(&url, what, Some("add `sign` with `hmac` or `hash`, `key` and `text`".to_owned()));
            }
            (Some(_), false) => {
                let hint = "put `{signature}` into a header, a filter, or credentials.key".to_owned();
                self.reader.warn(&entry.spot.key("sign"), "the signature stands nowhere in the request", Some(hint));
            }
            _ => {}
        }
        // The signature is made of them, so there they are without it.
        let signed = request.templates_but_headers();
        let is_mixed = |template: &&Template| template.as_variable().is_none();
        if signed.filter(is_mixed).any(|template| template.variables().any(|name| *name == Variable::Signature)) {
            let what = "`{signature}` stands beside other text in the URL or the body, which it is made of";
            let hint = "let it be the whole value of a filter or a field, or move it into a header".to_owned();
            self.reader.error(&url, what, Some(hint));
        }
        if let Auth::Token(token) = auth {
            let has_variable = token.request.variables().any(|name| *name == Variable::RefreshToken);
            match (token.refresh_token.is_some(), has_variable) {
                (false, true) => {
                    let what = "`{refresh_token}` stands in the token request, and nothing gives it a value";
                    let hint = Some("set token_http_request.refresh_token to the first one".to_owned());
                    self.reader.error(&entry.spot_of(&keys::TOKEN_REFRESH), what, hint);
                }
                (true, false) => {
                    let what = "the refresh token stands nowhere in the token request";
                    let hint = "put `{refresh_token}` into its body, or leave `body` out".to_owned();
                    self.reader.warn(&entry.spot_of(&keys::TOKEN_REFRESH), what, Some(hint));
                }
                _ => {}
            }
        }
    }
}

fn has_header(parts: &RequestParts, is_it: impl Fn(&reqwest::header::HeaderName) -> bool) -> bool {
    parts.headers.keys().any(&is_it) || parts.filled_headers.iter().any(|(name, _)| is_it(name))
}

/// The form of client credentials, or of a refresh token.
fn own_form(client: Vec<(&str, &str)>, scope: Option<&str>, has_refresh_token: bool) -> BodyTemplate {
    let grant = if has_refresh_token { "refresh_token" } else { "client_credentials" };
    let scope = scope.map(|scope| ("scope", scope));
    let fields = std::iter::once(("grant_type", grant)).chain(client).chain(scope);
    if !has_refresh_token {
        return BodyTemplate::Text(Template::text(query::form_from_pairs(fields)));
    }
    let field = |name: &str, value| QueryField { name: encode_component(name), value };
    let plain = fields.map(|(name, value)| field(name, Template::text(encode_component(value))));
    BodyTemplate::Form(plain.chain([field("refresh_token", Template::variable(Variable::RefreshToken))]).collect())
}

/// A form of names and values. Without variables it is one text.
fn form_of_pairs(pairs: &[(String, String)]) -> Result<BodyTemplate, VariableError> {
    let mut fields = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        let value = Template::parse_with(value, VariableSet::Token)?.map_text(encode_component);
        fields.push(QueryField { name: encode_component(name), value });
    }
    if fields.iter().any(|field| field.value.variables().next().is_some()) {
        return Ok(BodyTemplate::Form(fields));
    }
    let text: Vec<String> = fields.iter().map(|field| format!("{}={}", field.name, field.value.texts())).collect();
    Ok(BodyTemplate::Text(Template::text(text.join("&"))))
}
