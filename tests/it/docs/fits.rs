//! The README's table of which APIs the fetcher can read. Each row has the config that somebody with such an API writes: one
//! that fits has neither errors nor warnings, and one that doesn't fit has some.

use super::{compile, page};
use crate::harness::{Fetcher, MockServer, Reply, general, minutes_ago, record};

struct Row {
    part: &'static str,
    api: &'static str,
    fits: bool,
    how: &'static str,
    /// The list with its entry.
    config: &'static str,
}

const fn row(part: &'static str, api: &'static str, fits: bool, how: &'static str, config: &'static str) -> Row {
    Row { part, api, fits, how, config }
}

const BASIC: &str = "auth_apis: [{type: general, name: a, credentials: {id: i, key: k}, settings: {time_interval: 1}, start_date_name: since, \
                     http_request: {url: 'https://api.example'}, json_paths: {data: items, data_date: date, next_url: next}}]";
const OWN_HEADER: &str = "auth_apis: [{type: general, name: a, settings: {time_interval: 1}, start_date_name: since, \
                          http_request: {url: 'https://api.example', headers: {Authorization: Bearer t}}, \
                          json_paths: {data: items, data_date: date, next_url: next}}]";
const KEY_HEADER: &str = "auth_apis: [{type: general, name: a, settings: {time_interval: 1}, \
                          start_date_name: since, http_request: {url: 'https://api.example', headers: {X-Api-Key: k}}, \
                          json_paths: {data: items, data_date: date, next_url: next}}]";
const OAUTH: &str = "oauth_apis: [{type: general, name: a, credentials: {id: i, key: k}, token_http_request: {url: 'https://login.example'}, \
                     settings: {time_interval: 1}, start_date_name: since, http_request: {url: 'https://api.example'}, \
                     json_paths: {data: items, data_date: date, next_url: next}}]";
const REFRESH: &str = "oauth_apis: [{type: general, name: a, credentials: {id: i, key: k}, \
                       token_http_request: {url: 'https://login.example', refresh_token: t}, \
                       settings: {time_interval: 1}, start_date_name: since, http_request: {url: 'https://api.example'}, \
                       json_paths: {data: items, data_date: date, next_url: next}}]";
const LOGIN: &str = "oauth_apis: [{type: general, name: a, token_http_request: {url: 'https://api.example/login', \
                     headers: {Content-Type: application/json}, body: {user: u, password: p}, token: data.token}, \
                     settings: {time_interval: 1}, start_date_name: since, \
                     http_request: {url: 'https://api.example', headers: {X-Auth-Token: '{token}'}}, \
                     json_paths: {data: items, data_date: date, next_url: next}}]";
const ASSERTION: &str = "oauth_apis: [{type: general, name: a, credentials: {id: i, key: k}, \
                         token_http_request: {url: 'https://login.example', assertion: {file: tests/cases/keys/rsa.pem}}, \
                         settings: {time_interval: 1}, start_date_name: since, http_request: {url: 'https://api.example'}, \
                         json_paths: {data: items, data_date: date, next_url: next}}]";
const CERTIFICATE: &str = "auth_apis: [{type: general, name: a, credentials: {}, tls: {cert_file: tests/cases/keys/client.pem}, \
                           settings: {time_interval: 1}, start_date_name: since, http_request: {url: 'https://api.example'}, \
                           json_paths: {data: items, data_date: date, next_url: next}}]";
const SIGNED: &str = "auth_apis: [{type: general, name: a, sign: {hmac: sha256, key: k, text: '{path}'}, settings: {time_interval: 1}, \
                      start_date_name: since, http_request: {url: 'https://api.example', headers: {X-Sign: '{signature}'}}, \
                      json_paths: {data: items, data_date: date, next_url: next}}]";
const LINK_HEADER: &str = "auth_apis: [{type: general, name: a, credentials: {id: i, key: k}, settings: {time_interval: 1}, start_date_name: since, \
                          http_request: {url: 'https://api.example'},  \
                          json_paths: {data: items, data_date: date, next_url: header.Link}}]";
const TOKEN: &str = "auth_apis: [{type: general, name: a, credentials: {id: i, key: k}, settings: {time_interval: 1}, start_date_name: since, \
                          http_request: {url: 'https://api.example'}, filters: {cursor: '{next_token}'}, \
                          json_paths: {data: items, data_date: date, next_token: next}}]";
const PAGE: &str = "auth_apis: [{type: general, name: a, credentials: {id: i, key: k}, settings: {time_interval: 1}, start_date_name: since, \
                          http_request: {url: 'https://api.example'}, filters: {page: '{page}'}, \
                          json_paths: {data: items, data_date: date}}]";
const OFFSET: &str = "auth_apis: [{type: general, name: a, credentials: {id: i, key: k}, settings: {time_interval: 1}, start_date_name: since, \
                          http_request: {url: 'https://api.example'}, filters: {offset: '{offset}', limit: 100}, \
                          json_paths: {data: items, data_date: date}}]";
const VALUES: &str = "auth_apis: [{type: general, name: a, credentials: {id: i, key: k}, settings: {time_interval: 1}, start_date_name: since, \
                      http_request: {url: 'https://api.example'}, json_paths: {data: items, data_date: date}, \
                      next_request: {append: '&page={res.info.page+1}', stop: {field: items}}}]";
const UNIX: &str = "auth_apis: [{type: general, name: a, credentials: {id: i, key: k}, settings: {time_interval: 1}, start_date_name: since, \
                    http_request: {url: 'https://api.example'}, filters: {since: 1700000000}, \
                    json_paths: {data: items, data_date: date, next_url: next}}]";
const IN_FILTER: &str = "auth_apis: [{type: general, name: a, credentials: {id: i, key: k}, settings: {time_interval: 1}, \
                         http_request: {url: 'https://api.example'}, filters: {q: 'date ge {start_date}'}, \
                         json_paths: {data: items, data_date: date, next_url: next}}]";
const IN_BODY: &str = "auth_apis: [{type: general, name: a, credentials: {id: i, key: k}, settings: {time_interval: 1}, start_date_name: since, \
                       http_request: {url: 'https://api.example', method: POST, body: {from: '{start_date}'}}, \
                       json_paths: {data: items, data_date: date, next_url: next}}]";
const END_DATE: &str = "auth_apis: [{type: general, name: a, credentials: {id: i, key: k}, settings: {time_interval: 1}, start_date_name: since, \
                        http_request: {url: 'https://api.example'}, filters: {until: '{end_date}'}, \
                        json_paths: {data: items, data_date: date, next_url: next}}]";
const DAY: &str = "auth_apis: [{type: general, name: a, credentials: {id: i, key: k}, settings: {time_interval: 1}, start_date_name: since, \
                         http_request: {url: 'https://api.example'}, filters: {since: 2026-01-31}, \
                         json_paths: {data: items, data_date: date, next_url: next}}]";
const FORMAT: &str = "auth_apis: [{type: general, name: a, credentials: {id: i, key: k}, settings: {time_interval: 1}, start_date_name: since, \
                      http_request: {url: 'https://api.example'}, response: {format: xml}, \
                      json_paths: {data: items, data_date: date, next_url: next}}]";
const LIST: &str = "auth_apis: [{type: general, name: a, credentials: {id: i, key: k}, settings: {time_interval: 1}, start_date_name: since, \
                    http_request: {url: 'https://api.example'}, json_paths: {data: $, data_date: date, next_url: header.Link}}]";
const STEPS: &str = "auth_apis: [{type: general, name: a, credentials: {id: i, key: k}, settings: {time_interval: 1}, start_date_name: since, \
                     http_request: {url: 'https://api.example'}, steps: [{http_request: {url: 'https://api.example/{item.id}'}}], \
                     json_paths: {data: items, data_date: date, next_url: next}}]";
const COLUMNS: &str = "auth_apis: [{type: general, name: a, credentials: {id: i, key: k}, settings: {time_interval: 1}, start_date_name: since, \
                       http_request: {url: 'https://api.example'}, response: {columns: fields}, \
                       json_paths: {data: rows, data_date: date, next_url: next}}]";
const NOT_READY: &str = "auth_apis: [{type: general, name: a, credentials: {id: i, key: k}, settings: {time_interval: 1}, start_date_name: since, \
                         http_request: {url: 'https://api.example'}, response: {retry_statuses: 202, retry_header: Response-Id}, \
                         json_paths: {data: data, data_date: date, next_url: next}}]";
const JOB: &str = "auth_apis: [{type: general, name: a, credentials: {id: i, key: k}, settings: {time_interval: 1}, \
                   http_request: {url: 'https://api.example', method: POST, body: {since: '{start_date}'}}, json_paths: {data: $}, \
                   steps: [{http_request: {url: 'https://api.example/{item.id}'}, until: {status: done}, \
                   json_paths: {data: items, data_date: date}}]}]";

const ROWS: &[Row] = &[
    row("login", "user and password, or user and API key (Basic)", true, "`auth_apis`, `credentials`", BASIC),
    row("", "a fixed `Authorization` header, such as a bearer token", true, "`http_request.headers`", OWN_HEADER),
    row("", "an API key in another header", true, "the same, without `credentials`", KEY_HEADER),
    row("", "OAuth 2.0 client credentials", true, "`oauth_apis`", OAUTH),
    row(
        "",
        "a login of its own: a token anywhere in its answer, a cookie",
        true,
        "`oauth_apis`, `token_http_request`",
        LOGIN,
    ),
    row("", "OAuth 2.0 refresh tokens", true, "`token_http_request.refresh_token`", REFRESH),
    row("", "OAuth 2.0 with signed JWTs (service accounts)", true, "`token_http_request.assertion`", ASSERTION),
    row("", "signed requests (HMAC, hash)", true, "`sign`, `{signature}`", SIGNED),
    row("", "client certificates", true, "`tls.cert_file`, `tls.key_file`", CERTIFICATE),
    row("paging", "a link to the next page in the answer's body", true, "`json_paths.next_url`", BASIC),
    row("", "a `Link` header", true, "`json_paths.next_url: header.Link`", LINK_HEADER),
    row("", "a token or cursor for the next page", true, "`json_paths.next_token`, `{next_token}`", TOKEN),
    row("", "page numbers", true, "`{page}`", PAGE),
    row("", "offsets", true, "`{offset}`", OFFSET),
    row("", "values of its answer in the next request", true, "`{res.PATH}` in `next_request`", VALUES),
    row("start date", "a query parameter: ISO 8601, a day", true, "`start_date_name`", DAY),
    row("", "UNIX seconds or milliseconds", true, "the same, with an example in `filters`", UNIX),
    row("", "a part of a filter, such as `date ge …`", true, "`{start_date}` in `filters`", IN_FILTER),
    row("", "in the body, a header or the path", true, "`{start_date}` there", IN_BODY),
    row("", "an end date as well", true, "`{end_date}`, `settings.max_window`", END_DATE),
    row("answer", "JSON with a list of records", true, "`json_paths.data`", BASIC),
    row("", "NDJSON (one JSON object per line), CSV; gzip and zip files", true, "`json_paths.data: $`", LIST),
    row("", "rows as arrays, with the names of their columns beside them", true, "`response.columns`", COLUMNS),
    row("", "\"not ready, ask again\" (202)", true, "`response.retry_statuses`", NOT_READY),
    row("", "XML", false, "", FORMAT),
    row("", "a list of ids, and a request for each", true, "`steps`", STEPS),
    row("", "an export job that is started and polled", true, "`steps`, `until`", JOB),
];

fn table() -> String {
    let mut text = "| | your API has | fits | how |\n|---|---|---|---|\n".to_owned();
    for row in ROWS {
        let fits = if row.fits { "yes" } else { "not yet" };
        let cells = [row.part, row.api, fits, row.how].map(|cell| format!(" {cell}").trim_end().to_owned());
        text.push_str(&format!("|{} |\n", cells.join(" |")));
    }
    text
}

#[test]
fn what_fits_has_a_config_without_errors_and_warnings_and_what_does_not_has_none() {
    for Row { api, fits, config, .. } in ROWS {
        let reading = compile(&format!("logzio: {{url: 'https://listener.example', token: t}}\n{config}\n"));
        let is_good = reading.config.is_some() && reading.diagnostics.warnings.is_empty();
        assert_eq!(is_good, *fits, "{api}: {:#?}", reading.diagnostics);
    }
}

#[test]
fn the_readme_says_what_fits() {
    assert!(page("README.md").contains(table().trim()), "put this into README.md:\n\n{}", table());
}

/// Where pages go on in a way that isn't followed, `probe` says so.
#[test]
fn probe_marks_paging_that_does_not_fit() {
    let one = record(1, &minutes_ago(5));
    let with = |more: &str| Reply::json(&format!(r#"{{"data":[{one}]{more}}}"#));
    for answer in [
        with("").with("Link", "</events?page=2>; rel=\"next\""),
        with(r#","next_page_token":"abc""#),
        with(r#","cursor":"abc","has_more":true"#),
        with(r#","page":1,"total_pages":3"#),
        with(r#","offset":0,"limit":1,"total":3"#),
    ] {
        let api = MockServer::start(move |_, _| answer.clone());
        let config = general(api.url(), "http://127.0.0.1:1", "").replace("next_url: next, ", "");
        Fetcher::new(&config).run("probe").assert_code(1).assert_says("! next");
    }
}
