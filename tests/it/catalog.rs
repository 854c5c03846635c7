//! Named types are data: each equals the general entry that writes it out.

use std::path::Path;
use std::sync::Arc;

use logzio_api_fetcher::config::catalog::{self, List, NamedType};
use logzio_api_fetcher::config::{self, Environment};
use logzio_api_fetcher::plan::Plan;
use logzio_api_fetcher::record::date;

use crate::harness::decoded;

#[track_caller]
fn plan(entry: &str) -> Arc<Plan> {
    let text = format!("logzio: {{url: 'http://127.0.0.1:1', token: t}}\n{entry}");
    let reading = config::compile(&text, &Environment { variable: &|_| None, directory: Path::new(".") });
    let findings = format!("{:#?}", reading.diagnostics);
    reading.config.unwrap_or_else(|| panic!("{findings}")).apis.remove(0)
}

#[track_caller]
fn query(entry: &str, start: &str) -> String {
    let start = date::parse(start).unwrap();
    let request = plan(entry).request.build_first(start, start).expect("no variable is unbound");
    request.url.query().unwrap_or_default().to_owned()
}

/// The config of an entry of a type, with the examples that the catalog gives for what the user writes.
fn of_examples(named: &NamedType, list: List) -> String {
    let mut entry = serde_yaml::Mapping::new();
    for (path, value) in [("type", named.name.as_str()), ("name", "a"), ("settings.time_interval", "5")]
        .into_iter()
        .chain(named.parameters.iter().map(|parameter| (parameter.name.as_str(), parameter.example.as_str())))
    {
        let mut at = &mut entry;
        let mut keys = path.split('.').peekable();
        while let Some(key) = keys.next() {
            match keys.peek() {
                Some(_) => {
                    let below = at.entry(key.into()).or_insert_with(|| serde_yaml::Mapping::new().into());
                    at = below.as_mapping_mut().unwrap();
                }
                None => drop(at.insert(key.into(), value.into())),
            }
        }
    }
    let entry = serde_yaml::to_string(&vec![entry]).unwrap();
    format!("logzio: {{url: 'http://127.0.0.1:1', token: t}}\n{}:\n{entry}", list.key())
}

#[test]
fn every_type_of_the_catalog_needs_only_what_its_file_says() {
    let mut types = 0;
    for named in catalog::types().iter().filter(|named| !named.entry.is_empty()) {
        for list in &named.lists {
            types += 1;
            let text = of_examples(named, *list);
            let reading = config::compile(&text, &Environment { variable: &|_| None, directory: Path::new(".") });
            assert!(reading.config.is_some(), "{}: {:#?}\n{text}", named.name, reading.diagnostics);
            assert_eq!(reading.diagnostics.warnings, [], "{}\n{text}", named.name);
        }
    }
    assert!(types >= 2, "{types} types");
}

#[test]
fn cisco_secure_x_is_the_general_entry_for_its_events() {
    let named = plan(
        "auth_apis:\n- type: cisco_secure_x\n  name: c\n  credentials: {id: a, key: b}\n  settings: {time_interval: 5}\n  \
         filters: {event_type%5B%5D: '1', start_date: 2021-10-05T10%3A10%3A10%2B00%3A00}\n",
    );
    let general = plan(
        "auth_apis:\n- type: general\n  name: c\n  credentials: {id: a, key: b}\n  settings: {time_interval: 5}\n  \
         filters: {event_type%5B%5D: '1', start_date: 2021-10-05T10%3A10%3A10%2B00%3A00}\n  \
         start_date_name: start_date\n  http_request: {method: GET, url: 'https://api.amp.cisco.com/v1/events'}\n  \
         json_paths: {next_url: metadata.links.next, data: data, data_date: date, id: id}\n",
    );
    assert_eq!(named, general);
}

#[test]
fn azure_graph_is_the_general_entry_for_its_collections() {
    let common = "name: g\n  credentials: {id: a, key: b}\n  token_http_request: {url: 'https://login.example/t'}\n  \
                  data_http_request: {url: 'https://graph.example/v1.0/auditLogs/signIns'}\n";
    let named = plan(&format!(
        "oauth_apis:\n- type: azure_graph\n  {common}  json_paths: {{data_date: createdDateTime, next_url: , data: }}\n  \
         settings: {{time_interval: 1}}\n  filters: {{top: 100, $filter: status/errorCode eq 0}}\n"
    ));
    let general = plan(&format!(
        "oauth_apis:\n- type: general\n  {common}  \
         json_paths: {{data_date: createdDateTime, next_url: '@odata.nextLink', data: value, id: id}}\n  \
         settings: {{time_interval: 1, overlap: auto}}\n  \
         filters: {{$filter: 'createdDateTime ge {{start_date}} and status/errorCode eq 0', $top: 100}}\n"
    ));
    // How far it looks back until enough is measured is all that an entry can't say.
    let named = Plan { start: general.start, ..Plan::clone(&named) };
    assert_eq!(named, *general);
}

#[test]
fn a_cisco_request_looks_like_the_one_of_the_page() {
    let entry = "auth_apis:\n- type: cisco_secure_x\n  name: c\n  credentials: {id: a, key: b}\n  settings: {time_interval: 5}\n  \
                 filters:\n    event_type%5B%5D: '1090519054'\n    connector_guid[]: a b\n";
    assert_eq!(
        query(entry, "2021-10-05T10:10:10.5Z"),
        "event_type%5B%5D=1090519054&connector_guid%5B%5D=a%20b&start_date=2021-10-05T10%3A10%3A10%2B00%3A00"
    );
}

#[test]
fn a_graph_request_has_the_start_in_its_filter_once() {
    let entry = |filters: &str| {
        format!(
            "oauth_apis:\n- type: azure_graph\n  name: g\n  credentials: {{id: a, key: b}}\n  \
             token_http_request: {{url: 'https://login.example/t'}}\n  \
             data_http_request: {{url: 'https://graph.example/v1.0/x'}}\n  \
             json_paths: {{data_date: createdDateTime}}\n  settings: {{time_interval: 1}}\n  filters: {filters}\n"
        )
    };
    let start = "2024-05-28T13:08:54Z";
    let asked = |filters: &str| decoded(&query(&entry(filters), start));
    assert_eq!(asked("{}"), "$filter=createdDateTime ge 2024-05-28T13:08:54Z");
    assert_eq!(asked("{top: 5, $select: id}"), "$filter=createdDateTime ge 2024-05-28T13:08:54Z&$top=5&$select=id");
    assert_eq!(asked("{filter: a eq 'b c'}"), "$filter=createdDateTime ge 2024-05-28T13:08:54Z and a eq 'b c'");
    assert_eq!(
        asked("{$filter: a eq 1 or b eq 2}"),
        "$filter=createdDateTime ge 2024-05-28T13:08:54Z and (a eq 1 or b eq 2)"
    );
    assert_eq!(asked("{$filter: a%20eq%20'b'}"), "$filter=createdDateTime ge 2024-05-28T13:08:54Z and a eq 'b'");
    assert_eq!(asked("{$filter: a+eq+1+or+b}"), "$filter=createdDateTime ge 2024-05-28T13:08:54Z and (a+eq+1+or+b)");
    let until = asked("{$filter: 'a le {end_date} or b'}");
    assert_eq!(until, "$filter=createdDateTime ge 2024-05-28T13:08:54Z and (a le 2024-05-28T13:08:54Z or b)");
    assert_eq!(asked("{$filter: 'x le {start_date}'}"), "$filter=x le 2024-05-28T13:08:54Z");
    assert_eq!(asked("{$search: 'x {start_date}', $filter: a eq 1}"), "$search=x 2024-05-28T13:08:54Z&$filter=a eq 1");
    for (path, field) in [("$.createdDateTime", "createdDateTime"), ("a.b", "a/b"), ("\"'c'\"", "c")] {
        let entry = entry("{}").replace("data_date: createdDateTime", &format!("data_date: {path}"));
        assert_eq!(decoded(&query(&entry, start)), format!("$filter={field} ge 2024-05-28T13:08:54Z"));
    }
}

#[test]
fn the_start_date_goes_where_the_filters_want_it() {
    let entry = |more: &str| {
        format!(
            "auth_apis:\n- type: general\n  name: c\n  credentials: {{id: a, key: b}}\n  settings: {{time_interval: 5}}\n  \
             http_request: {{url: 'https://api.example/e?fixed=1'}}\n  json_paths: {{next_url: n, data: d, data_date: t}}\n  {more}\n"
        )
    };
    let asked = |more: &str| query(&entry(more), "2024-05-28T13:08:54Z");
    assert_eq!(asked("start_date_name: from"), "fixed=1&from=2024-05-28T13%3A08%3A54%2B00%3A00");
    assert_eq!(asked("filters: {q: 'since {start_date} now'}"), "fixed=1&q=since%202024-05-28T13%3A08%3A54Z%20now");
    let both = asked("start_date_name: from\n  filters: {q: 'x{start_date}'}");
    assert_eq!(both, "fixed=1&q=x2024-05-28T13%3A08%3A54Z", "no parameter of its own");
    // The user's own way to write a date is kept.
    for (own, sent) in [
        ("2024-05-01T00:00:00Z", "2024-05-28T13%3A08%3A54Z"),
        ("'2024-05-01'", "2024-05-28"),
        ("1714521600", "1716901734"),
        ("1714521600000", "1716901734000"),
        ("2024-05-01T00:00:00+00:00", "2024-05-28T13%3A08%3A54%2B00%3A00"),
    ] {
        let more = format!("start_date_name: from\n  filters: {{from: {own}}}");
        assert_eq!(asked(&more), format!("fixed=1&from={sent}"));
        assert!(plan(&entry(&more)).start.configured.is_some());
    }
}
