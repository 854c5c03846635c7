//! Every key of the config, once: what is known, what is required, what it means.
//!
//! The reader asks here which keys are known, and the table in docs/config.md is printed from here, so none of them can drift
//! from the others.

use std::fmt::Write;

use super::catalog::List;

/// A key of the config.
pub struct Key {
    /// The way to it: from the top of the file, or from an API's entry.
    pub path: &'static str,
    /// Where it may stand.
    pub place: Place,
    /// Whether it must be there, or what holds without it.
    pub without: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// Where a key may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the top of the file.
    Top,
    /// In an entry of `auth_apis`.
    Auth,
    /// In an entry of `oauth_apis`.
    OAuth,
    /// In an entry of either.
    Both,
}

impl Place {
    /// The list whose entries it is in.
    pub(super) fn list(self) -> Option<List> {
        match self {
            Self::Auth => Some(List::AuthApis),
            Self::OAuth => Some(List::OauthApis),
            Self::Top | Self::Both => None,
        }
    }
}

/// The columns: path, place, without, meaning.
const fn key(path: &'static str, place: Place, without: &'static str, meaning: &'static str) -> Key {
    Key { path, place, without, meaning }
}

use Place::{Auth, Both, OAuth, Top};

/// All of them, in the order in which docs/config.md shows them.
pub const KEYS: &[Key] = &[
    key("logzio.url", Top, "required", "The listener of your region: `https://HOST:8071`."),
    key("logzio.token", Top, "required", "The shipping token of the account that gets the logs."),
    key(
        "logzio.acknowledge",
        Top,
        "a listener's own answers",
        "`2xx`: any success acknowledges a batch, for relays that don't answer like a listener. Without it only a listener's own answers count: an empty body, or its counts.",
    ),
    key("tls.ca_file", Top, "system certificates", "A PEM file with certificates to trust besides the system's."),
    key(
        "status.listen",
        Top,
        "no status page",
        "Where the status page and the metrics are served: `127.0.0.1:8080`, or `0.0.0.0:8080` inside of a container. Whoever reaches it can read them; it has no login.",
    ),
    key(
        "limits.memory",
        Top,
        "`128MiB`",
        "How much memory pages, records and batches of all APIs may take, like `256MiB`. An API that finds none free waits. The process itself takes up to 64 MB more.",
    ),
    key("auth_apis", Top, "none", "The APIs that are asked with Basic authentication."),
    key("oauth_apis", Top, "none", "The APIs that are asked with an OAuth 2.0 access token (client credentials)."),
    key("type", Auth, "required", "`cisco_secure_x` or `general`."),
    key("type", OAuth, "required", "`azure_graph` or `general`."),
    key("name", Both, "required", "Names the API in logs and in `last_start_dates.txt`. No two APIs share one."),
    key(
        "enabled",
        Both,
        "`true`",
        "`false`: the entry rests. It is read and checked, but its API isn't asked, and its state stays.",
    ),
    key(
        "credentials.id",
        Auth,
        "required, unless a header `Authorization` is set",
        "The user of the Basic authentication.",
    ),
    key("credentials.key", Auth, "required, unless a header `Authorization` is set", "Its password or API key."),
    key("credentials.id", OAuth, "required", "The client id; sent where `token_http_request.body` is absent."),
    key("credentials.key", OAuth, "required", "The client secret; sent where `token_http_request.body` is absent."),
    key("token_http_request.url", OAuth, "required", "The token endpoint."),
    key("token_http_request.method", OAuth, "`POST`", "`POST`, or `GET` to carry the fields in the query."),
    key("token_http_request.headers", OAuth, "none", "Headers of the token request."),
    key(
        "token_http_request.body",
        OAuth,
        "made from `credentials`",
        "The form: text like `a=b&c=d`, or names and values. Surrounding whitespace is trimmed.",
    ),
    key("token_http_request.scope", OAuth, "none", "The scope to ask for where the body is made from `credentials`."),
    key(
        "http_request.url",
        Auth,
        "required; `cisco_secure_x`: Cisco's North American host",
        "The URL that lists the events.",
    ),
    key(
        "http_request.url",
        OAuth,
        "required",
        "The URL that lists the events. `data_http_request` is another name for `http_request`.",
    ),
    key("http_request.method", Both, "`GET`", "`GET` or `POST`."),
    key(
        "http_request.headers",
        Both,
        "none",
        "Headers of every request. An `Authorization` here wins over `credentials`.",
    ),
    key(
        "http_request.body",
        Both,
        "none",
        "The body of POST requests: names and values are sent as JSON, text as it is, text like `a=b&c=d` as a form.",
    ),
    key(
        "http_request.timeout",
        Both,
        "60s",
        "How long the API may be silent, the first byte included: seconds, or text like `90s`, `5m`; an hour at most.",
    ),
    key(
        "hosts",
        Both,
        "none",
        "Other origins that a next link or a redirect may lead to: `host`, `*.host`, `host:8443`, `http://host:8080`, or `{host: …, credentials: true}` for one that gets headers, body and credentials, too. Loopback, link-local and private addresses must be spelled out.",
    ),
    key(
        "start_date_name",
        Auth,
        "required; `cisco_secure_x`: `start_date`",
        "The query parameter that takes the start date. Not needed where a filter holds `{start_date}`.",
    ),
    key(
        "start_date_name",
        OAuth,
        "required; `azure_graph`: as `json_paths.data_date`",
        "The query parameter that takes the start date. Not needed where a filter holds `{start_date}`. `azure_graph`: the field that `$filter` compares.",
    ),
    key(
        "json_paths.data",
        Auth,
        "required; `cisco_secure_x`: `data`",
        "Where a page holds its records. With a `?` at the end of the path, a page may come without the list.",
    ),
    key(
        "json_paths.data",
        OAuth,
        "required; `azure_graph`: `value`",
        "Where a page holds its records. With a `?` at the end of the path, a page may come without the list.",
    ),
    key("json_paths.data_date", Auth, "required; `cisco_secure_x`: `date`", "Where a record holds its date."),
    key("json_paths.data_date", OAuth, "required", "Where a record holds its date."),
    key(
        "json_paths.next_url",
        Auth,
        "only the first page is read; `cisco_secure_x`: `metadata.links.next`",
        "Where a page holds the URL of the next one.",
    ),
    key(
        "json_paths.next_url",
        OAuth,
        "only the first page is read; `azure_graph`: `@odata.nextLink`",
        "Where a page holds the URL of the next one.",
    ),
    key(
        "json_paths.id",
        Both,
        "the whole record; named types: `id`",
        "Where a record holds its id, which tells it from other records.",
    ),
    key(
        "json_paths.error",
        Both,
        "`error`, `errors`, `success: false`, `status: error`",
        "Where an answer of status 200 holds an error: any value counts but null, false and empty ones. `null`: never look for one.",
    ),
    key(
        "settings.time_interval",
        Both,
        "required",
        "The pause between two iterations: minutes, or text like `30s`, `5m`, `1h`.",
    ),
    key("settings.days_back_fetch", Both, "14", "How many days back the first iteration begins."),
    key(
        "settings.overlap",
        Both,
        "`auto` where records have an `id`, else one unit of the start date",
        "How far before the checkpoint each iteration looks for late events: minutes, text like `30s`, or `auto`: the arrival delay of 99 % of the records, at least 1 minute, at most 6 hours. Duplicates are not shipped again.",
    ),
    key(
        "settings.timezone",
        Both,
        "`UTC`",
        "The time zone of record dates that name none: a name like `Europe/Berlin`, or an offset like `+02:00`. Where a local time comes twice, as at the end of summer time, the later one counts.",
    ),
    key(
        "settings.rate_limit",
        Both,
        "as fast as the API answers and its limits allow",
        "How often the host may be asked with this login, by all entries together: requests per `s`, `min`, `h` or `day`, like `30/min`.",
    ),
    key(
        "filters",
        Both,
        "none",
        "Query parameters: names and values, encoded or not. The one called `start_date_name` says where the first iteration begins. `{start_date}` in a value is replaced.",
    ),
    key(
        "custom_fields",
        Both,
        "`type: api_fetcher`",
        "Fields added to every record; they win over the record's own. A record's own `type` is then kept as `original_type`. `type: null` adds no type and leaves the record's own alone.",
    ),
];

/// Keys that mean the same as another: the alias and the key that the table shows.
const ALIASES: &[(&str, &str)] = &[("data_http_request", "http_request")];

/// Keys whose content is the user's own.
const OPEN: &[&str] = &["hosts", "filters", "custom_fields", "headers", "body"];

/// Keys that take a blank for no value.
const BLANK_IS_ABSENT: &[&str] = &["start_date_name", "json_paths.next_url", "json_paths.id", "json_paths.error"];

/// Keys to which null is a value.
const NULL_COUNTS: &[&str] = &["json_paths.error"];

/// Whether a blank at a way of an entry is no value.
pub(super) fn blank_is_absent(path: &str) -> bool {
    BLANK_IS_ABSENT.contains(&path)
}

/// Whether null at a way of an entry is a value.
pub(super) fn null_counts(path: &str) -> bool {
    NULL_COUNTS.contains(&path)
}

/// The names that are known right below `within` (empty: the top), with where they lead from there.
pub(super) fn known(place: Place, within: &str) -> Vec<&'static str> {
    let within = canonical(within);
    let mut names: Vec<&'static str> = at(place)
        .filter_map(|key| match within.as_str() {
            "" => Some(key.path),
            _ => key.path.strip_prefix(within.as_str())?.strip_prefix('.'),
        })
        .filter_map(|rest| rest.split('.').next())
        .collect();
    if within.is_empty() && place != Top {
        names.extend(ALIASES.iter().map(|(alias, _)| *alias));
    }
    names.dedup();
    names
}

/// Where else a name is known that is unknown where it stands.
pub(super) fn elsewhere(place: Place, name: &str) -> Option<&'static str> {
    at(place).map(|key| key.path).find(|path| path.rsplit('.').next() == Some(name))
}

/// Whether a name is that of a key, wherever it stands.
pub(super) fn is_anywhere(name: &str) -> bool {
    KEYS.iter().any(|key| key.path.split('.').any(|part| part == name))
        || ALIASES.iter().any(|(alias, _)| *alias == name)
}

/// What the key at an error's path means, or the nearest one around it.
pub(super) fn meaning(path: &str) -> Option<&'static str> {
    let entry = |list: &str| path.strip_prefix(list)?.split_once(']').map(|(_, rest)| rest.trim_start_matches('.'));
    let (place, within) = match (entry("auth_apis["), entry("oauth_apis[")) {
        (Some(rest), _) => (Auth, rest),
        (_, Some(rest)) => (OAuth, rest),
        (None, None) => (Top, path),
    };
    let within = canonical(within);
    let mut way = within.as_str();
    loop {
        if let Some(key) = at(place).find(|key| key.path == way) {
            return Some(key.meaning.trim_end_matches('.'));
        }
        way = way.rsplit_once('.')?.0;
    }
}

/// The key at a place, by either of its names.
pub(super) fn key_at(place: Place, within: &str) -> Option<&'static Key> {
    let within = canonical(within);
    at(place).find(|key| key.path == within)
}

/// Whether what stands below a key is the user's own.
pub(super) fn is_open(within: &str) -> bool {
    within.rsplit('.').next().is_some_and(|last| OPEN.contains(&last))
}

fn at(place: Place) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.place == place || (key.place == Both && place != Top))
}

/// A way with the names that the table shows.
pub(super) fn canonical(within: &str) -> String {
    let alias = ALIASES.iter().find(|(alias, _)| within == *alias || within.starts_with(&format!("{alias}.")));
    alias.map_or_else(|| within.to_owned(), |(alias, name)| within.replacen(alias, name, 1))
}

/// The table of docs/config.md: one row per path, for both lists of APIs.
#[must_use]
pub fn markdown() -> String {
    let mut text = "| key | where | meaning | default |\n|---|---|---|---|\n".to_owned();
    for (index, key) in KEYS.iter().enumerate() {
        if KEYS.iter().take(index).any(|before| before.path == key.path) {
            continue;
        }
        let other = KEYS.iter().skip(index + 1).find(|other| other.path == key.path);
        let (meaning, without) = match other {
            Some(other) => (of_both(key.meaning, other.meaning), of_both_types(key.without, other.without)),
            None => (key.meaning.to_owned(), key.without.to_owned()),
        };
        let where_it_stands = match key.place {
            _ if other.is_some() => "both",
            Top => "top",
            Auth => "`auth_apis`",
            OAuth => "`oauth_apis`",
            Both => "both",
        };
        let _ = writeln!(text, "| `{}` | {where_it_stands} | {meaning} | {without} |", key.path);
    }
    text
}

/// What holds in both lists, where one text goes on from the other; else each by its list.
fn of_both(auth: &str, oauth: &str) -> String {
    match (auth.starts_with(oauth), oauth.starts_with(auth)) {
        (true, _) => auth.to_owned(),
        (_, true) => oauth.to_owned(),
        _ => format!("`auth_apis`: {auth} `oauth_apis`: {oauth}"),
    }
}

/// The same of defaults: behind a common one stands what each type fills in.
fn of_both_types(auth: &str, oauth: &str) -> String {
    let (common, of_auth) = auth.split_once("; ").unwrap_or((auth, ""));
    let (common_too, of_oauth) = oauth.split_once("; ").unwrap_or((oauth, ""));
    if common != common_too {
        return format!("`auth_apis`: {auth}; `oauth_apis`: {oauth}");
    }
    [common, of_auth, of_oauth].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}
