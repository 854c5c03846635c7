//! What the schema refuses, as `check` does, and what it can't see.

use logzio_api_fetcher::config::reference;
use reference::Place;

use super::draft::Draft;
use super::{assert_valid, compile, seen, validator};

/// Single faults that a schema sees: the key, and what is wrong with it.
const FAULTS: &[(&str, &str)] = &[
    ("logzio", ""),
    ("logzio", "[1]"),
    ("logzio", "[{url: 'https://listener.logz.io:8071', token: t}]"),
    ("logzio", "[{name: null, url: 'https://listener.logz.io:8071', token: t}]"),
    ("logzio", "[{name: a, token: t}]"),
    ("logzio.url", "null"),
    ("logzio.url", ""),
    ("logzio.url", "listener.logz.io:8071"),
    ("logzio.url", "'https://listener.logz.io:8071/?token=t'"),
    ("logzio.url", "'https://listener.logz.io:8071/#x'"),
    ("logzio.token", "null"),
    ("logzio.token", "' '"),
    ("logzio.acknowledge", "all"),
    ("logzio.acknowledge", "200"),
    ("logzio.acknowledge", "[2xx]"),
    ("tls", "text"),
    ("tls.ca_file", "''"),
    ("status.listen", "''"),
    ("status.listen", "8080"),
    ("status.listen", "[]"),
    ("status.listen", "loopback"),
    ("cluster", "{}"),
    ("cluster", "text"),
    ("cluster", "{name: a}"),
    ("cluster", "{etcd: null}"),
    ("cluster", "{etcd: []}"),
    ("cluster", "{etcd: ''}"),
    ("cluster", "{etcd: 'etcd-0:2379'}"),
    ("cluster", "{etcd: 'https:/etcd-0:2379'}"),
    ("cluster", "{etcd: 'https://etcd-0:2379/v3'}"),
    ("cluster", "{etcd: 'https://etcd-0:2379?'}"),
    ("cluster", "{etcd: 'https://etcd-0:2379/#a'}"),
    ("cluster", "{etcd: 'https://user@etcd-0:2379'}"),
    ("cluster", "{etcd: ['https://etcd-0:2379', 'ftp://etcd-1:2379']}"),
    ("cluster", "{etcd: ['https://etcd-0:2379', 'https://etcd-0:2379']}"),
    (
        "cluster",
        "{etcd: ['http://a', 'http://b', 'http://c', 'http://d', 'http://e', 'http://f', 'http://g', 'http://h', 'http://i', 'http://j']}",
    ),
    ("cluster", "{etcd: 'https://a', name: ''}"),
    (
        "cluster",
        "{etcd: 'https://a', name: aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbc}",
    ),
    ("cluster", r#"{etcd: 'https://a', member: "a\tb"}"#),
    ("cluster", "{etcd: 'https://a', user: a}"),
    ("cluster", "{etcd: 'https://a', password: a}"),
    ("cluster", "{etcd: 'https://a', user: a, password: ' '}"),
    ("cluster", "{etcd: 'https://a', tls: {cert_file: a.pem}}"),
    ("cluster", "{etcd: 'https://a', tls: {key_file: a.pem}}"),
    ("cluster", "{etcd: 'http://a', tls: {ca_file: a.pem}}"),
    ("cluster", "{etcd: ['https://a', ' HTTP://b'], tls: {ca_file: a.pem}}"),
    ("auth_apis", "{type: general}"),
    ("auth_apis", "[text]"),
    ("auth_apis", "[null]"),
    ("auth_apis.type", ""),
    ("auth_apis.type", "azure_graph"),
    ("auth_apis.type", "General"),
    ("oauth_apis.type", "cisco_secure_x"),
    ("auth_apis.name", ""),
    ("auth_apis.name", "''"),
    ("auth_apis.name", r#""a\tb""#),
    ("auth_apis.name", "[a]"),
    ("auth_apis.credentials", ""),
    ("auth_apis.credentials", "text"),
    ("auth_apis.credentials.id", "null"),
    ("auth_apis.credentials.key", "[a]"),
    ("oauth_apis.credentials.id", ""),
    ("auth_apis.http_request", ""),
    ("auth_apis.http_request.url", "null"),
    ("auth_apis.http_request.url", "''"),
    ("auth_apis.http_request.url", "api.example"),
    ("auth_apis.http_request.url", "'ftp://api.example'"),
    ("auth_apis.http_request.url", "'https://'"),
    ("auth_apis.http_request.url", "5"),
    ("auth_apis.data_http_request", "{url: 'https://api.example/v1'}"),
    ("auth_apis.http_request.method", "PUT"),
    ("auth_apis.http_request.method", "''"),
    ("auth_apis.http_request.headers", "[a]"),
    ("auth_apis.http_request.headers", "{'a b': c}"),
    ("auth_apis.http_request.headers", r#"{a: "b\u0007c"}"#),
    ("auth_apis.http_request.headers", r#"{a: "b\nc"}"#),
    ("auth_apis.http_request.headers", "{a: {b: c}}"),
    ("auth_apis.http_request.timeout", "0"),
    ("auth_apis.http_request.timeout", "-1"),
    ("auth_apis.http_request.timeout", "soon"),
    ("auth_apis.http_request.timeout", "3601"),
    ("auth_apis.next_request.url", "next"),
    ("auth_apis.next_request.append", "''"),
    ("auth_apis.next_request.max_pages", "-1"),
    ("auth_apis.next_request.max_pages", "100001"),
    ("auth_apis.next_request.stop", "{field: a, condition: sometimes}"),
    ("auth_apis.next_request.stop", "{field: a, value: [1]}"),
    ("auth_apis.response.records", "some"),
    ("auth_apis.hosts", "''"),
    ("auth_apis.hosts", "['host/path']"),
    ("auth_apis.hosts", "['*']"),
    ("auth_apis.hosts", "[[a]]"),
    ("auth_apis.hosts", "[{credentials: true}]"),
    ("auth_apis.hosts", "[{host: a, credentials: perhaps}]"),
    ("auth_apis.hosts", "[{host: a, port: 1}]"),
    ("oauth_apis.token_http_request", ""),
    ("oauth_apis.token_http_request.url", ""),
    ("oauth_apis.token_http_request.body", "[a]"),
    ("oauth_apis.token_http_request.body", "{a: {b: c}}"),
    ("oauth_apis.token_http_request.scope", "[a]"),
    ("oauth_apis.http_request.url", "null"),
    ("auth_apis.start_date_name", ""),
    ("auth_apis.start_date_name", "''"),
    ("auth_apis.start_date_name", "[a]"),
    ("auth_apis.json_paths", "null"),
    ("auth_apis.json_paths.data", ""),
    ("auth_apis.json_paths.data", "' '"),
    ("auth_apis.json_paths.data_date", "null"),
    ("auth_apis.json_paths.data_date", "[a]"),
    ("auth_apis.json_paths.next_url", "{a: b}"),
    ("oauth_apis.json_paths.data_date", ""),
    ("oauth_apis.json_paths.data_date", "''"),
    ("auth_apis.settings", "null"),
    ("auth_apis.settings.time_interval", ""),
    ("auth_apis.settings.time_interval", "0"),
    ("auth_apis.settings.time_interval", "0.0h"),
    ("auth_apis.settings.time_interval", "-5"),
    ("auth_apis.settings.time_interval", "-5m"),
    ("auth_apis.settings.time_interval", "5 weeks"),
    ("auth_apis.settings.time_interval", "1e9"),
    ("auth_apis.settings.time_interval", "true"),
    ("auth_apis.settings.days_back_fetch", "-1"),
    ("auth_apis.settings.days_back_fetch", "36501"),
    ("auth_apis.settings.days_back_fetch", "1h"),
    ("auth_apis.settings.overlap", "soon"),
    ("auth_apis.settings.overlap", "-1"),
    ("auth_apis.settings.overlap", "''"),
    ("auth_apis.settings.timezone", "''"),
    ("auth_apis.settings.timezone", "'+2:0:0'"),
    ("auth_apis.settings.timezone", "true"),
    ("auth_apis.settings.timezone", "[UTC]"),
    ("auth_apis.enabled", "maybe"),
    ("limits.memory", "much"),
    ("limits.memory", "1.5GiB"),
    ("auth_apis.settings.parallel", "33"),
    ("auth_apis.steps", "[{http_request: {}}]"),
    ("auth_apis.steps", "[{http_request: {url: x}}]"),
    ("auth_apis.settings.rate_limit", "30"),
    ("auth_apis.settings.rate_limit", "0/s"),
    ("auth_apis.settings.rate_limit", "5/week"),
    ("auth_apis.filters", "text"),
    ("auth_apis.filters", "{a: {b: c}}"),
    ("auth_apis.filters", "{a: [[1]]}"),
    ("auth_apis.custom_fields", "text"),
    ("auth_apis.custom_fields", "[a]"),
];

/// Single faults that it can't see, and why.
const UNSEEN: &[(&str, &str, &str)] = &[
    ("auth_apis.json_paths.data", "'a['", "the syntax of a JSON path"),
    ("oauth_apis.json_paths.data_date", "'a[*]'", "what a JSON path leads to"),
    ("auth_apis.name", "two", "a name that is taken in another list"),
    ("auth_apis.name", "<<NAME>>", "a placeholder is a text like any other"),
    ("auth_apis.name", "'${NOT_SET}'", "the environment is not in the file"),
    ("auth_apis.name", "'${NOT CLOSED'", "a text that holds `${` is taken as it is"),
    ("tls.ca_file", "/nowhere.pem", "another file"),
    ("auth_apis.http_request.url", "'https://api.example:port/'", "the parts of a URL behind its host's first letter"),
    ("auth_apis.http_request.timeout", "2h", "how long a text makes a span"),
    ("cluster", "{etcd: 'https://a', tls: {ca_file: /nowhere.pem}}", "another file"),
    ("cluster", "{etcd: ['https://a', 'https://A:443/']}", "what URLs have in common"),
    ("cluster", "{etcd: 'https://a:port'}", "the parts of a URL behind its host's first letter"),
    ("limits.memory", "1MiB", "how large a number in a text is"),
    ("auth_apis.settings.rate_limit", "10001/h", "how large a number in a text is"),
    ("auth_apis.next_request", "{url: 'https://other.example/'}", "which origin another key has"),
    ("auth_apis.next_request", "{url: '/next', append: 'a=b'}", "what a key means for another one"),
    ("auth_apis.next_request.stop", "{condition: empty}", "what a key means for another one"),
    ("auth_apis.next_request.stop", "{field: a, condition: equals}", "what a key means for another one"),
    ("auth_apis.http_request.url", "'https://api.example/?x={res.x}'", "which variables stand in a text"),
    ("auth_apis.hosts", "['*.com']", "how many names stand behind a star"),
    ("auth_apis.hosts", "[{host: 'http://a', credentials: true}]", "what the scheme of another key means for it"),
    ("auth_apis.settings.time_interval", "0x10", "to a schema this number is 16, however it is written"),
    ("auth_apis.settings.time_interval", "999999h", "how long a text makes a span"),
    ("auth_apis.settings.days_back_fetch", "'36501'", "how large a number in quotes is"),
    ("auth_apis.settings.timezone", "Mars/Base", "which names of time zones there are"),
    ("auth_apis.filters", "{since: yesterday}", "which filter holds the start date is said elsewhere"),
    ("auth_apis.custom_fields", "{a: .inf}", "JSON, and so a schema, has no word for it"),
    ("auth_apis.http_request", "{method: POST, url: 'https://api.example', body: {[a]: b}}", "as above"),
];

#[test]
fn it_refuses_every_fault_but_those_that_no_schema_can_see() {
    let validator = validator();
    let complete = Draft::new();
    assert_eq!(compile(&complete.text()).diagnostics.errors, []);
    assert_valid(&validator, &complete.text());
    let judged = |way: &str, value: &str| {
        let text = complete.clone().put(way, value).text();
        assert!(compile(&text).config.is_none(), "`{way}: {value}` is no fault:\n{text}");
        seen(&text).is_some_and(|document| !validator.is_valid(&document))
    };
    for (way, value) in FAULTS {
        assert!(judged(way, value), "the schema takes `{way}: {value}`");
    }
    for (way, value, reason) in UNSEEN {
        assert!(!judged(way, value), "the schema sees `{way}: {value}`, in spite of: {reason}");
    }
    let none = complete.put("auth_apis", "[]").put("oauth_apis", "");
    assert!(compile(&none.text()).config.is_none() && !validator.is_valid(&seen(&none.text()).unwrap()));
}

#[test]
fn it_refuses_a_key_that_check_calls_unknown_wherever_it_stands() {
    let validator = validator();
    for key in reference::KEYS {
        let lists: &[&str] = match key.place {
            Place::Top => &[""],
            Place::Auth => &["auth_apis."],
            Place::OAuth => &["oauth_apis."],
            Place::Both => &["auth_apis.", "oauth_apis."],
            Place::Step => &["auth_apis.steps."],
            Place::Output => &["logzio."],
            Place::Apis => &[],
        };
        for list in lists {
            let draft = match key.place {
                Place::Step => Draft::new().put("auth_apis.steps.http_request.url", "https://api.example/1"),
                _ => Draft::new(),
            };
            let text = draft.put(&format!("{list}{}x", key.path), "1").text();
            let warnings = compile(&text).diagnostics.warnings;
            assert!(warnings.iter().any(|warning| warning.what.contains("unknown key")), "{warnings:#?}\n{text}");
            assert!(!validator.is_valid(&seen(&text).unwrap()), "{text}");
        }
    }
}
