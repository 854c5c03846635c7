//! The sections of the config with their keys, and which keys need which others. Nothing here is ever filled in: only the
//! shape counts, and what the keys mean is said in [`reference`](super::reference).

use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::super::catalog::{List, NamedType, types_of};
use super::values::{
    Acknowledge, AuthType, Bytes, CustomFields, Days, Filled, Filters, Flag, Form, Headers, Hosts, Interval, Json,
    Listen, ListenerUrl, Method, Name, OAuthType, Overlap, RateLimit, Text, TimeZone, Timeout, Url, filled, nothing,
    pattern_of,
};
use crate::template::query::START_DATE_MARK;

/// Sections, each with its keys. A key without `Option` must be there, and none else may.
macro_rules! sections {
    ($($(#[$with:meta])* $name:ident { $($key:ident: $value:ty,)* })*) => { $(
        #[derive(JsonSchema)]
        #[schemars(deny_unknown_fields)]
        #[expect(dead_code, reason = "only the shape counts")]
        $(#[$with])*
        pub(super) struct $name { $($key: $value,)* }
    )* };
}

sections! {
    #[schemars(title = "config.yaml of logzio-api-fetcher", transform = require_an_api)]
    ConfigFile {
        logzio: Logzio,
        tls: Option<Tls>,
        status: Option<Status>,
        limits: Option<Limits>,
        auth_apis: Option<Vec<AuthApi>>,
        oauth_apis: Option<Vec<OAuthApi>>,
    }

    Logzio { url: ListenerUrl, token: Filled, acknowledge: Option<Acknowledge>, }

    Tls { ca_file: Option<Filled>, }

    Status { listen: Option<Listen>, }

    Limits { memory: Option<Bytes>, }

    #[schemars(transform = require_of_auth)]
    AuthApi {
        r#type: AuthType,
        name: Name,
        enabled: Option<Flag>,
        credentials: Option<Basic>,
        http_request: Option<Request>,
        data_http_request: Option<Request>,
        hosts: Option<Hosts>,
        start_date_name: Option<Text>,
        json_paths: Option<JsonPaths>,
        settings: Settings,
        filters: Option<Filters>,
        custom_fields: Option<CustomFields>,
    }

    #[schemars(transform = require_of_oauth)]
    OAuthApi {
        r#type: OAuthType,
        name: Name,
        enabled: Option<Flag>,
        credentials: Client,
        token_http_request: TokenRequest,
        http_request: Option<Request>,
        data_http_request: Option<Request>,
        hosts: Option<Hosts>,
        start_date_name: Option<Text>,
        json_paths: Option<JsonPaths>,
        settings: Settings,
        filters: Option<Filters>,
        custom_fields: Option<CustomFields>,
    }

    Basic { id: Option<Text>, key: Option<Text>, }

    Client { id: Text, key: Text, }

    Request {
        url: Option<Url>,
        method: Option<Method>,
        headers: Option<Headers>,
        body: Option<Json>,
        timeout: Option<Timeout>,
    }

    TokenRequest {
        url: Url,
        method: Option<Method>,
        headers: Option<Headers>,
        body: Option<Form>,
        scope: Option<Text>,
    }

    JsonPaths {
        data: Option<Filled>,
        data_date: Option<Filled>,
        next_url: Option<Text>,
        id: Option<Text>,
        error: Option<Text>,
    }

    Settings {
        time_interval: Interval,
        days_back_fetch: Option<Days>,
        overlap: Option<Overlap>,
        timezone: Option<TimeZone>,
        rate_limit: Option<RateLimit>,
    }
}

/// The names of the section of the data request.
const REQUESTS: [&str; 2] = ["http_request", "data_http_request"];

fn require_an_api(schema: &mut Schema) {
    let filled_list = json!({ "type": "array", "minItems": 1 });
    schema.insert("anyOf".to_owned(), ["auth_apis", "oauth_apis"].map(|list| has(&[list], &filled_list)).into());
}

fn require_of_auth(schema: &mut Schema) {
    let basic = [["credentials", "id"], ["credentials", "key"]].map(|way| has(&way, &present()));
    let is_authorization = format!("^\\s*{}\\s*$", pattern_of("authorization"));
    let own_header = json!({ "type": "object", "not": { "patternProperties": { is_authorization: nothing() } } });
    let own = REQUESTS.map(|request| has(&[request, "headers"], &own_header));
    let who = json!({ "anyOf": [{ "allOf": basic }, { "anyOf": own }] });
    require(schema, List::AuthApis, Some(who));
}

fn require_of_oauth(schema: &mut Schema) {
    require(schema, List::OauthApis, None);
}

/// What any entry needs, and what each type leaves to it.
fn require(schema: &mut Schema, list: List, more: Option<Value>) {
    let both = REQUESTS.map(|request| has(&[request], &present()));
    let of_types = types_of(list).filter_map(|named| {
        let is_type = json!({ "type": "string", "pattern": format!("^\\s*{}\\s*$", named.name) });
        let left = Some(left_to_the_entry(named)).filter(|left| !left.is_empty())?;
        Some(json!({ "if": has(&["type"], &is_type), "then": { "allOf": left } }))
    });
    let rules = [json!({ "not": { "allOf": both } })].into_iter().chain(more).chain(of_types);
    schema.insert("allOf".to_owned(), rules.collect::<Vec<_>>().into());
}

/// What a type doesn't fill in.
fn left_to_the_entry(named: &NamedType) -> Vec<Value> {
    let url = || json!({ "anyOf": REQUESTS.map(|request| has(&[request, "url"], &present())) });
    let path = |key| has(&["json_paths", key], &present());
    let start = || {
        let mark = START_DATE_MARK.replace('{', r"\{").replace('}', r"\}");
        let marked = json!({ "type": "string", "pattern": format!(r"{mark}|\$\{{") });
        let marked_in_a_list = json!({ "type": "array", "contains": marked });
        let unmarked = json!({ "not": { "anyOf": [marked, marked_in_a_list] } });
        let filters = json!({ "type": "object", "not": { "additionalProperties": unmarked } });
        json!({ "anyOf": [has(&["start_date_name"], &filled()), has(&["filters"], &filters)] })
    };
    let has_start = named.fills("start_date_name") || named.odata;
    let left = [
        (!named.fills("http_request.url")).then(url),
        (!named.fills("json_paths.data")).then(|| path("data")),
        (!named.fills("json_paths.data_date")).then(|| path("data_date")),
        (!has_start).then(start),
    ];
    left.into_iter().flatten().collect()
}

/// An object with a key, below it the next one, and a value like `what` at the end.
fn has(way: &[&str], what: &Value) -> Value {
    match way.split_first() {
        Some((key, rest)) => json!({ "type": "object", "required": [key], "properties": { *key: has(rest, what) } }),
        None => what.clone(),
    }
}

/// Any value: null is absent.
fn present() -> Value {
    json!({ "not": { "type": "null" } })
}
