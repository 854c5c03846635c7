//! Which keys need which others: what stands in no single key.

use serde_json::{Map, Value, json};

use super::super::catalog::{List, NamedType, types_of};
use super::super::keys::ALIASES;
use super::super::kinds::pattern::{filled, nothing, pattern_of, spelled_in_any_case};
use super::super::reference::{KEYS, Need, Place};
use super::super::secrets::carries_credentials;
use crate::text::SECRET_NAME_PARTS;

/// The names of the section of the data request.
const REQUESTS: [&str; 2] = ["http_request", "data_http_request"];
/// What an output needs, unless the file has `apis`.
pub(super) const NEEDED_WITHOUT_APIS: [&str; 2] = ["url", "name"];
/// The start date in a text, perhaps with a format.
const START: &str = r"\{start_date[:}]";
/// How deep in a body the start date is looked for.
const BODY_LEVELS: u8 = 3;

/// The rules of the top of the file, or of an entry.
pub(super) fn of_place(place: Place) -> Map<String, Value> {
    match place {
        Place::Top => {
            let filled_list = json!({ "type": "array", "minItems": 1 });
            let lists = ["auth_apis", "oauth_apis", "apis"].map(|list| has(&[list], &filled_list));
            let mut all = vec![json!({ "anyOf": lists }), outputs()];
            all.extend(of_cluster());
            Map::from_iter([("allOf".to_owned(), json!(all))])
        }
        Place::Auth => of_entry(place, Some(credentials_or_header())),
        Place::OAuth => of_entry(place, Some(credentials_or_token_request())),
        Place::Both => of_entry(place, None),
        Place::Step | Place::Output | Place::Apis => Map::new(),
    }
}

/// Where there are no `apis` an output names its listener, and in a list itself, too.
fn outputs() -> Value {
    let [url, name] = NEEDED_WITHOUT_APIS.map(|key| has(&[key], &present()));
    let all = json!({ "type": "array", "items": { "allOf": [&url, name] } });
    let named = has(&["logzio"], &json!({ "anyOf": [url, all] }));
    json!({ "anyOf": [has(&["apis"], &present()), named] })
}

/// What the keys of `cluster` need.
fn of_cluster() -> Vec<Value> {
    let is_there = |way: &[&str]| has(way, &present());
    let rule = |when: Value, then: Value| json!({ "if": when, "then": then });
    let tls = ["ca_file", "cert_file", "key_file"].map(|file| is_there(&["cluster", "tls", file]));
    let http = json!({ "type": "string", "pattern": format!(r"^\s*{}:", pattern_of("http")) });
    let some_http = json!({ "anyOf": [http, { "type": "array", "contains": http }] });
    let [user, password] = ["user", "password"].map(|key| is_there(&["cluster", key]));
    let [cert, key] = ["cert_file", "key_file"].map(|file| is_there(&["cluster", "tls", file]));
    vec![
        rule(has(&["cluster"], &json!({ "type": "object" })), is_there(&["cluster", "etcd"])),
        rule(user.clone(), password.clone()),
        rule(password, user),
        rule(cert.clone(), key.clone()),
        rule(key, cert),
        rule(json!({ "anyOf": tls }), json!({ "not": has(&["cluster", "etcd"], &some_http) })),
    ]
}

/// Basic credentials, none (`{}`), an `Authorization` of the user's own, another header that carries a key instead of them,
/// or a type that has its own way.
fn credentials_or_header() -> Value {
    let basic = [["credentials", "id"], ["credentials", "key"]].map(|way| has(&way, &present()));
    let none = has(&["credentials"], &json!({ "type": "object", "maxProperties": 0 }));
    let parts: Vec<String> = SECRET_NAME_PARTS.iter().map(|part| pattern_of(part)).collect();
    let carries_key = format!("{}|^\\s*{}\\s*$", parts.join("|"), pattern_of("cookie"));
    let own_key = json!({ "allOf": [lacks("credentials"), has_header(&carries_key)] });
    let authorization = has_header(&format!("^\\s*{}\\s*$", pattern_of("authorization")));
    let mut ways = vec![json!({ "allOf": basic }), none, own_key, authorization];
    ways.extend(
        types_of(List::AuthApis).filter(|named| has_own_login(named)).map(|named| has(&["type"], &is_type(named))),
    );
    json!({ "anyOf": ways })
}

/// Whether a type fills in a header that carries credentials, or says itself what they are.
fn has_own_login(named: &NamedType) -> bool {
    let headers = named.entry.get("http_request").and_then(|request| request.get("headers"));
    let names = headers.and_then(serde_yaml::Value::as_mapping).into_iter().flat_map(serde_yaml::Mapping::keys);
    named.fills("credentials") || names.filter_map(serde_yaml::Value::as_str).any(carries_credentials)
}

/// The name of a type.
fn is_type(named: &NamedType) -> Value {
    json!({ "type": "string", "pattern": format!("^\\s*{}\\s*$", named.name) })
}

/// A client's id and secret, or a token request that says itself who asks.
fn credentials_or_token_request() -> Value {
    let client = [["credentials", "id"], ["credentials", "key"]].map(|way| has(&way, &present()));
    let body = has(&["token_http_request", "body"], &present());
    let authorization = format!("^\\s*{}\\s*$", pattern_of("authorization"));
    let header = has(&["token_http_request", "headers"], &header_like(&authorization));
    let assertion = has(&["token_http_request", "assertion"], &present());
    let mut ways = vec![json!({ "allOf": client }), body, header, assertion];
    let filled = ["credentials", "token_http_request.body", "token_http_request.assertion"];
    let fills = |named: &&NamedType| filled.iter().any(|path| named.fills(path));
    ways.extend(types_of(List::OauthApis).filter(fills).map(|named| has(&["type"], &is_type(named))));
    json!({ "anyOf": ways })
}

/// A header whose name is like a pattern.
fn has_header(pattern: &str) -> Value {
    json!({ "anyOf": REQUESTS.map(|request| has(&[request, "headers"], &header_like(pattern))) })
}

/// Headers with a name like a pattern among them.
fn header_like(pattern: &str) -> Value {
    json!({ "type": "object", "not": { "patternProperties": { pattern: nothing() } } })
}

/// What any entry needs, and what each type leaves to it.
fn of_entry(place: Place, more: Option<Value>) -> Map<String, Value> {
    let both = REQUESTS.map(|request| has(&[request], &present()));
    let types = place.list().into_iter().flat_map(types_of);
    let of_types = types.filter_map(|named| {
        let left = Some(left_to_the_entry(named, place)).filter(|left| !left.is_empty())?;
        Some(json!({ "if": has(&["type"], &is_type(named)), "then": { "allOf": left } }))
    });
    // One rule for all types that leave the start date to the entry, as it is a long one.
    let needs_start = place.list().into_iter().flat_map(types_of).filter(|named| !named.odata && !named.says_start());
    let names: Vec<&str> =
        needs_start.filter(|named| !named.fills("start_date_name")).map(|named| named.name.as_str()).collect();
    let needs_start = json!({ "type": "string", "pattern": format!("^\\s*({})\\s*$", names.join("|")) });
    let of_start = (!names.is_empty()).then(|| json!({ "if": has(&["type"], &needs_start), "then": start() }));
    // What a queue gives once can't be asked about again, and a reading is one list.
    let queue = has(&["settings", "checkpoint"], &spelled_in_any_case(&["server", "snapshot"], None));
    let queue = [has(&["steps"], &json!({ "type": "array", "minItems": 1 })), queue];
    let rules = [both.to_vec(), queue.to_vec()].map(|together| json!({ "not": { "allOf": together } }));
    let rules = rules.into_iter().chain(more).chain(of_start).chain(of_types);
    Map::from_iter([("allOf".to_owned(), rules.collect::<Vec<_>>().into())])
}

/// What a type doesn't fill in.
fn left_to_the_entry(named: &NamedType, place: Place) -> Vec<Value> {
    let of_type = KEYS.iter().filter(|key| key.need == Need::OfType && key.place.each().contains(&place));
    let left = of_type.filter(|key| !named.fills(key.path));
    let left = left.filter_map(|key| match key.path {
        "start_date_name" => None,
        "json_paths.data" if named.fills("response.format") => None,
        "json_paths.data" => Some(data_or_whole_answer()),
        // A list that steps ask about may be one of jobs or partitions, which have no dates.
        "json_paths.data_date" if !named.odata && (named.fills("json_paths.cursor") || named.fills("steps")) => None,
        "json_paths.data_date" if !named.odata => Some(date_or_position()),
        // The key file may name it.
        path @ "token_http_request.url" => Some(any_way(&[path, "token_http_request.assertion.file"])),
        path => Some(one_of_the_names(path)),
    });
    let parameters = named.own_parameters().filter(|parameter| !parameter.may_be_absent());
    left.chain(parameters.map(|parameter| has(&[&parameter.name], &present()))).collect()
}

/// A key that is there, by any of its names.
fn one_of_the_names(path: &str) -> Value {
    let way: Vec<&str> = path.split('.').collect();
    let aliases = ALIASES.iter().filter(|(_, name)| way.first() == Some(name)).map(|(alias, _)| {
        let rest = way.iter().skip(1).copied();
        has(&std::iter::once(*alias).chain(rest).collect::<Vec<_>>(), &present())
    });
    let mut ways: Vec<Value> = std::iter::once(has(&way, &present())).chain(aliases).collect();
    if ways.len() > 1 { json!({ "anyOf": ways }) } else { ways.remove(0) }
}

/// One of several keys is there, and filled.
fn any_way(paths: &[&str]) -> Value {
    let ways = paths.iter().map(|path| has(&path.split('.').collect::<Vec<_>>(), &filled()));
    json!({ "anyOf": ways.collect::<Vec<_>>() })
}

/// The path of the records, or what says that the answer itself holds them.
fn data_or_whole_answer() -> Value {
    let any = spelled_in_any_case(&["any"], None);
    let paths = any_way(&["json_paths.data", "response.format"]);
    json!({ "anyOf": [paths, has(&["response", "records"], &any)] })
}

/// The path of the date, of the entry or of a step, or what keeps the place without dates.
fn date_or_position() -> Value {
    let window = spelled_in_any_case(&["window", "server", "snapshot"], None);
    let paths = any_way(&["json_paths.data_date", "json_paths.cursor"]);
    let in_a_step = json!({ "type": "array", "contains": any_way(&["json_paths.data_date"]) });
    let others = [paths, has(&["settings", "checkpoint"], &window), has(&["steps"], &in_a_step)];
    json!({ "anyOf": others.into_iter().chain(next_iteration()).collect::<Vec<_>>() })
}

/// A request for the next iteration.
fn next_iteration() -> [Value; 3] {
    ["url", "filters", "body"].map(|part| has(&["next_iteration", part], &present()))
}

/// A name for the start date, a request that holds it, or what keeps the place without one.
fn start() -> Value {
    let server = spelled_in_any_case(&["server", "snapshot"], None);
    let in_a_step = json!({ "type": "array", "contains": { "anyOf": requests_hold_start() } });
    let mut ways = vec![
        has(&["start_date_name"], &filled()),
        has(&["json_paths", "cursor"], &filled()),
        has(&["settings", "checkpoint"], &server),
        has(&["steps"], &in_a_step),
    ];
    ways.extend(requests_hold_start());
    ways.extend(next_iteration());
    json!({ "anyOf": ways })
}

/// The places of an entry, or of a step, where the start date may stand.
fn requests_hold_start() -> Vec<Value> {
    let requests = REQUESTS.into_iter().chain(["next_request"]);
    let parts = |request| {
        [("url", 0), ("headers", 1), ("body", BODY_LEVELS)].map(|(part, levels)| (vec![request, part], levels))
    };
    let parts = requests.flat_map(parts).map(|(way, levels)| has(&way, &holds_start(levels, START)));
    // A list of values is the same name several times; and what is filled in there may hold the start date.
    let filters = [vec!["filters"], vec!["next_request", "filters"]];
    let filled_in = format!("{START}|\\$\\{{");
    let append = has(&["next_request", "append"], &holds_start(0, START));
    parts.chain([append]).chain(filters.map(|way| has(&way, &holds_start(2, &filled_in)))).collect()
}

/// A value with a text like the pattern in it, or so many levels below it.
fn holds_start(levels: u8, pattern: &str) -> Value {
    let text = json!({ "type": "string", "pattern": pattern });
    let Some(below) = levels.checked_sub(1).map(|levels| holds_start(levels, pattern)) else { return text };
    let in_a_list = json!({ "type": "array", "contains": below });
    let in_a_mapping = json!({ "type": "object", "not": { "additionalProperties": { "not": below } } });
    json!({ "anyOf": [text, in_a_list, in_a_mapping] })
}

/// An object with a key, below it the next one, and a value like `what` at the end.
fn has(way: &[&str], what: &Value) -> Value {
    match way.split_first() {
        Some((key, rest)) => json!({ "type": "object", "required": [key], "properties": { *key: has(rest, what) } }),
        None => what.clone(),
    }
}

/// An object without a key, or with null there.
fn lacks(key: &str) -> Value {
    json!({ "properties": { key: { "type": "null" } } })
}

/// Any value: null is absent.
fn present() -> Value {
    json!({ "not": { "type": "null" } })
}
