//! Drafts of whole configs, in any spelling of their keys: the schema takes and refuses what `check` does.

use std::cell::Cell;

use logzio_api_fetcher::config::LoadedConfig;
use proptest::prelude::*;

use super::draft::Draft;
use super::{assert_valid, compile, seen, validator};

/// Spellings of each key; an empty one is its absence.
const SPELLINGS: &[(&str, &[&str])] = &[
    ("logzio.url", &["https://h", "'HTTP://h:8070/a?'", "' https://${WORD}:8071 '", "'${URL}'", "'http:/h'"]),
    ("logzio.acknowledge", &["", "null", "2xx", "' 2XX '", "'${ANY}'"]),
    ("logzio.token", &["t", "0x1F", "1e5", "true", "'${WORD}'", "'a b'"]),
    ("tls", &["", "null", "{}", "{ca_file: null}"]),
    (
        "status",
        &[
            "",
            "null",
            "{}",
            "{listen: null}",
            "{listen: '127.0.0.1:8080'}",
            "{listen: '[::1]:0'}",
            "{listen: 'localhost:80'}",
        ],
    ),
    (
        "cluster",
        &[
            "",
            "",
            "null",
            "{etcd: 'https://etcd-0:2379'}",
            "{etcd: ['http://[::1]:2379', ' HTTPS://etcd-1 '], name: 7, member: '${WORD}', tls: {}, user: null}",
            "{etcd: ['${NODE}'], tls: null, user: a b, password: 1e5}",
            "{etcd: ['https://${WORD}:2379/'], tls: {ca_file: null, cert_file: null}, user: '${WORD}', password: '${WORD}'}",
        ],
    ),
    ("auth_apis.type", &["general", "' general '", "'${GENERAL}'", "cisco_secure_x", "cisco_secure_x"]),
    ("auth_apis.name", &["one", "7", "1.50", "false", "' a: b '", "'ä ${WORD}'"]),
    ("auth_apis.credentials", &["{id: 0x1F, key: 1e5}", "{id: '', key: '${WORD}'}", "{}", "", "null", "{id: null}"]),
    (
        "auth_apis.http_request",
        &[
            "{url: 'https://api.example/v1/events?'}",
            "{url: '${URL}', method: '${POST}', body: {a: [1, {b: null}]}}",
            "{url: 'https://${WORD}.example', method: post, body: 'a=b', headers: {Authorization: Bearer 1}}",
            "{url: 'http:api.example', method: ' Post ', body: [1], headers: {' authorization ': [null, 5], 'no token': }}",
            "{url: 'https://a', timeout: 90}",
            "{url: 'https://a/{start_date:day}/x'}",
            "{url: 'https://a', headers: {X-From: '{start_date}'}}",
            "{url: 'https://a', method: POST, body: {a: [{b: '{start_date:unix}'}]}}",
            "{url: 'https://a', timeout: ' 5 m ', headers: {A: b}}",
            "{url: 'https://a', timeout: '${INTERVAL}s', method: null}",
            "{url: 'https://a', headers: {X-A: 12, B: [ä, true, null], C: null, authorization: null}, body: null}",
            "{url: null, method: null, headers: null}",
            "null",
            "",
        ],
    ),
    (
        "auth_apis.data_http_request",
        &["", "", "null", "{url: 'https://api.example', method: GET}", "{headers: {a: b}}"],
    ),
    (
        "auth_apis.hosts",
        &[
            "",
            "null",
            "[]",
            "a.example",
            "['*.a.example', 'http://[::1]:80', {host: b, credentials: true}]",
            "'${WORD}.example'",
        ],
    ),
    ("auth_apis.start_date_name", &["since", "5", "'${WORD}'", "", "null", "''"]),
    (
        "auth_apis.json_paths",
        &[
            "{data: data, data_date: date, next_url: next}",
            "{data: '$.a[*]', data_date: 5, next_url: '@odata.nextLink', id: null}",
            "{data: '${WORD}', data_date: \"'a.b'.c\", next_url: '${WORD}', id: ''}",
            "{data: null, next_url: ''}",
            "null",
            "",
        ],
    ),
    (
        "auth_apis.settings.time_interval",
        &[
            "5",
            "0.5",
            "1e1",
            "'5'",
            "30s",
            "1h",
            "1.5 h",
            "' 2d '",
            "5 min",
            "+5",
            ".5",
            "5.",
            "'${INTERVAL}'",
            "'${INTERVAL}s'",
        ],
    ),
    ("auth_apis.settings.days_back_fetch", &["", "null", "0", "14", "0.5", "'7'", "1e1", "'${INTERVAL}'", "36500"]),
    ("auth_apis.settings.overlap", &["", "null", "0", "0s", "auto", "' AUTO '", "'${AUTO}'", "90s", "2.5", "1 h"]),
    ("auth_apis.enabled", &["", "null", "true", "false", "' false '"]),
    ("limits.memory", &["", "null", "64MB", "16777216", "' 1 gi '", "'${INTERVAL}GiB'"]),
    ("auth_apis.settings.parallel", &["", "null", "1", "'32'"]),
    (
        "auth_apis.steps",
        &[
            "",
            "null",
            "[{http_request: {url: '{item.url:raw}'}}]",
            "[{http_request: {url: 'https://{item.host}/x'}, until: {a: [1, b]}, within: 5m}]",
            "[{http_request: {url: '{item.url:raw}'}, json_paths: {data_date: d}}]",
        ],
    ),
    ("auth_apis.settings.rate_limit", &["", "null", "30/min", "' 5 / s '", "'${INTERVAL}/h'"]),
    (
        "auth_apis.settings.timezone",
        &[
            "",
            "null",
            "UTC",
            "Europe/Berlin",
            "' america/new_york '",
            "+02:00",
            "-0330",
            "'+2'",
            "'${ZONE}'",
            "Etc/GMT+5",
        ],
    ),
    (
        "auth_apis.filters",
        &[
            "",
            "null",
            "{}",
            "{'event_type[]': [1, null, a], b: null, c: true, 5: 0123}",
            "{a: 'ge {start_date}'}",
            "{a: [1, 'ge {start_date}']}",
            "{a: '${MARKED}', b: '${WORD}'}",
            "{a: '{start_date:unix_ms}'}",
            "{since: 2021-10-05T10%3A10%3A10%2B00%3A00}",
        ],
    ),
    ("auth_apis.custom_fields", &["", "null", "{type: cisco, level: 5, nested: {a: [1, null]}}"]),
    ("oauth_apis.type", &["azure_graph", "general", "\"general\\n\"", "'${GENERAL}'"]),
    ("oauth_apis.credentials", &["{id: 0123, key: 1.10}", "{id: '${WORD}', key: ''}"]),
    (
        "oauth_apis.token_http_request",
        &[
            "{url: 'https://login.example', body: null, headers: null, scope: a}",
            "{url: '${URL}', method: GET, body: 'a=b &c=${WORD}', scope: null}",
            "{url: 'https://login.example', method: POST, body: {a: 1, b: [x, y], c: null}, headers: {A: b}}",
            "{url: 'https://login.example', body: 5, scope: 5}",
        ],
    ),
    ("oauth_apis.http_request", &["{url: 'https://api.example'}", "{url: '${URL}'}", "", "null"]),
    ("oauth_apis.data_http_request", &["", "null", "{url: 'https://api.example', body: 1, method: POST}"]),
    ("oauth_apis.start_date_name", &["", "null", "createdDateTime", "'${WORD}'"]),
    (
        "oauth_apis.json_paths",
        &[
            "{data_date: createdDateTime}",
            "{data_date: '${WORD}', next_url: null, data: null}",
            "{data_date: a, data: value, next_url: '@odata.nextLink', id: id}",
            "",
        ],
    ),
    ("oauth_apis.filters", &["", "null", "{$filter: 'a ge {start_date}'}", "{top: 100}"]),
    ("auth_apis", &["", "", "", "null", "[]"]),
    ("oauth_apis", &["", "", "", "null"]),
];

/// How many drafts are made; some of each kind must be among them.
const DRAFTS: u32 = 4_000;

const OF_EACH_KIND_MIN: usize = 100;

/// What a type needs that isn't in the file, a schema can't know.
const TYPE_IN_VARIABLE: &str = "${GENERAL}";

/// The spellings are all good, so what is wrong with a draft is a key that is missing or doubled: a schema can see that.
#[test]
fn it_takes_a_draft_where_check_does_and_refuses_it_where_check_does() {
    let validator = validator();
    let (silent, taken, refused) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let choices = prop::collection::vec(any::<prop::sample::Index>(), SPELLINGS.len());
    proptest!(ProptestConfig::with_cases(DRAFTS), |(choices in choices)| {
        let mut draft = Draft::new();
        for ((way, encodings), choice) in SPELLINGS.iter().zip(&choices) {
            let spelling = choice.get(encodings);
            // A list as a whole takes all its keys away, so its absence is none of the spellings.
            if !way.ends_with("_apis") || !spelling.is_empty() {
                draft = draft.put(way, spelling);
            }
        }
        let text = draft.text();
        let LoadedConfig { config, diagnostics, .. } = compile(&text);
        if config.is_some() {
            taken.set(taken.get() + 1);
            silent.set(silent.get() + usize::from(diagnostics.warnings.is_empty()));
            assert_valid(&validator, &text);
        } else if !text.contains(TYPE_IN_VARIABLE) {
            refused.set(refused.get() + 1);
            assert!(!validator.is_valid(&seen(&text).unwrap()), "{:#?}\n{text}", diagnostics.errors);
        }
    });
    for (what, count) in [("without findings", silent), ("taken", taken), ("refused", refused)] {
        assert!(count.get() >= OF_EACH_KIND_MIN, "only {} of {DRAFTS} drafts are {what}", count.get());
    }
}
