//! Named types are data: each equals the general entry that writes it out.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use logzio_api_fetcher::config::catalog::{self, List, NamedType, SampleAnswer};
use logzio_api_fetcher::config::{self, Environment, LoadedConfig, catalog_text};
use logzio_api_fetcher::decode::Decoder;
use logzio_api_fetcher::paging::{PageFacts, Pagination};
use logzio_api_fetcher::plan::{Overlap, Plan, StartPolicy};
use logzio_api_fetcher::record::json::RawJson;
use logzio_api_fetcher::record::{Page, date};
use logzio_api_fetcher::template::{ListEntry, Position, ProofScope, RequestTemplate, Scope};
use reqwest::Url;

use crate::coverage::service_account;
use crate::harness::{Fetcher, decoded};

/// The directory of the configs, with the files that the examples of parameters name.
static DIRECTORY: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("service-account.json"), service_account()).unwrap();
    directory
});

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

/// Compiles entries in which every variable is filled in.
fn compile(entries: &str) -> LoadedConfig {
    let text = format!("logzio: {{url: 'http://127.0.0.1:1', token: t}}\n{entries}");
    config::compile(&text, &Environment { variable: &|_| Some("filled-in".to_owned()), directory: DIRECTORY.path() })
}

/// The plan of entries that must be valid, without warnings.
#[track_caller]
fn valid(entries: &str) -> Plan {
    let reading = compile(entries);
    assert!(reading.config.is_some(), "{:#?}\n{entries}", reading.diagnostics);
    assert_eq!(reading.diagnostics.warnings, [], "{entries}");
    Plan::clone(&reading.config.unwrap().apis[0])
}

/// Every type, in each list in which it may stand.
fn named_in_lists() -> impl Iterator<Item = (&'static NamedType, List)> {
    catalog::named_types().flat_map(|named| named.lists.iter().map(move |list| (named, *list)))
}

/// The entry to copy of a type as a value, to change it.
fn entry_of(named: &NamedType, list: List) -> serde_yaml::Mapping {
    let text = catalog_text::entry_to_copy(named, list);
    let top: serde_yaml::Mapping = serde_yaml::from_str(&text).unwrap();
    top[list.key()][0].as_mapping().unwrap().clone()
}

fn in_list(list: List, entry: serde_yaml::Mapping) -> String {
    serde_yaml::to_string(&serde_yaml::Mapping::from_iter([(list.key().into(), vec![entry].into())])).unwrap()
}

#[test]
fn the_entry_to_copy_of_every_type_is_valid_and_means_the_general_one_beside_it() {
    for (named, list) in named_in_lists() {
        let own = valid(&catalog_text::entry_to_copy(named, list));
        let general = valid(&catalog_text::general_entry(named, list));
        // How far it looks back until enough is measured is all that an entry can't say.
        let is_measured = |plan: &Plan| matches!(plan.start.overlap, Overlap::Measured { .. });
        assert_eq!(is_measured(&own), is_measured(&general), "{}", named.name);
        let own = Plan { start: StartPolicy { overlap: general.start.overlap, ..own.start }, ..own };
        assert_eq!(own, general, "{}", named.name);
    }
    assert!(named_in_lists().count() >= 28, "{} types", named_in_lists().count());
}

#[test]
fn every_type_is_known_to_the_schema() {
    let schema = jsonschema::draft202012::new(&config::schema::schema()).unwrap();
    for (named, list) in named_in_lists() {
        let text = format!(
            "logzio: {{url: 'https://listener.example:8071', token: t}}\n{}",
            catalog_text::entry_to_copy(named, list)
        );
        let config: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        let errors: Vec<String> = schema.iter_errors(&config).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{text}");
    }
}

#[test]
fn every_host_of_every_type_can_be_another() {
    for (named, list) in named_in_lists() {
        let mut entry = entry_of(named, list);
        if named.entry.contains_key("steps") {
            // Steps have URLs of their own.
            entry.insert("base_url".into(), "http://127.0.0.1:9/elsewhere".into());
            let plan = valid(&in_list(list, entry));
            let urls = plan.steps.iter().map(|step| &step.plan.request.url).chain([&plan.request.url]);
            for url in urls {
                assert!(url.as_str().starts_with("http://127.0.0.1:9/elsewhere/"), "{}: {url}", named.name);
            }
            continue;
        }
        let mut request = entry.remove("data_http_request").unwrap_or(serde_yaml::Mapping::new().into());
        request.as_mapping_mut().unwrap().insert("url".into(), "http://127.0.0.1:9/elsewhere".into());
        entry.insert("http_request".into(), request);
        let plan = valid(&in_list(list, entry));
        assert_eq!(plan.request.url.as_str(), "http://127.0.0.1:9/elsewhere", "{}", named.name);
    }
}

/// The requests that a type makes for its first page, for the one behind the answer that its file gives, and for the first
/// entry of that answer, step by step.
fn requests(named: &NamedType, list: List) -> String {
    let answer = named.answer.as_ref().unwrap_or_else(|| panic!("catalog/{}.yaml has no answer", named.name));
    let plan = valid(&catalog_text::entry_to_copy(named, list));
    let (first, url) = built(&plan.request, &Position::default(), None);
    let text = decoded_answer(&plan, &answer.text());
    let next = next_request(&plan, answer, (&text, &url));
    let mut told = format!("First page\n{first}\nNext page\n{next}\n");
    if plan.steps.is_empty() {
        return format!("{told}Records\n{}", records(named, &plan, &text));
    }
    assert_eq!(answer.steps.len(), plan.steps.len(), "{}: an answer for each step", named.name);
    let mut entry = first_entry(&plan, &text, &plan.steps[0].plan.request);
    for (number, (step, answer)) in plan.steps.iter().zip(&answer.steps).enumerate() {
        let (first, _) = built(&step.plan.request, &Position::default(), Some(&entry));
        told.push_str(&format!("Step {}\n{first}\n", number + 1));
        let text = decoded_answer(&step.plan, &answer.text());
        if let Some(poll) = &step.poll {
            let root = RawJson::parse(&text).expect("JSON");
            assert!(
                poll.until.iter().all(|condition| condition.holds(root)),
                "{}: the job is done: {text}",
                named.name
            );
            assert!(!poll.fails.iter().any(|condition| condition.holds(root)), "{}: it has not failed", named.name);
        }
        match plan.steps.get(number + 1) {
            Some(next) => entry = first_entry(&step.plan, &text, &next.plan.request),
            None => told.push_str(&format!("Records\n{}", records(named, &step.plan, &text))),
        }
    }
    told
}

/// A request as it is sent, and its URL.
fn built(template: &RequestTemplate, position: &Position, entry: Option<&ListEntry>) -> (String, Url) {
    let [start, end] = ["2026-01-31T10:00:00Z", "2026-01-31T11:00:00Z"].map(|text| date::parse(text).unwrap());
    let scope = Scope { start, end: Some(end), now: end, position, entry, proof: ProofScope::StandIn };
    let request = template.build(&scope).expect("a request");
    let headers = request.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()));
    let body = request.body.as_ref().map(|body| format!("{}\n", body.expose())).unwrap_or_default();
    (format!("{} {}\n{}{body}", request.method, request.url, headers.collect::<String>()), request.url)
}

/// The request for the page behind an answer.
fn next_request(plan: &Plan, answer: &SampleAnswer, (text, url): (&str, &Url)) -> String {
    let page = Page::read(text, &plan.paths, &plan.custom_fields).expect("a page");
    let headers = answer.headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let facts = PageFacts {
        headers: &headers.collect(),
        root: RawJson::parse(text).ok(),
        next_url: page.next_url.as_deref(),
        base: url,
        records: match plan.paging.kind {
            // As if the page were full.
            Pagination::Counted { page_size: Some(size) } => size,
            _ => page.records.len() as u64,
        },
    };
    let next = plan.paging.next(&plan.request, &Position::default(), &facts).expect("it can be asked for");
    next.map_or("nothing\n".to_owned(), |position| built(&plan.request, &position, None).0)
}

/// The first entry of an answer, for the request of the next step.
fn first_entry(plan: &Plan, text: &str, of: &RequestTemplate) -> ListEntry {
    let page = Page::read(text, &plan.paths, &plan.custom_fields).expect("a page");
    let first = page.records.first().unwrap_or_else(|| panic!("no entry in {text}"));
    ListEntry::of(first.raw, RawJson::parse(text).unwrap_or(first.raw), &of.parent_paths())
}

/// The dates and ids of an answer's records.
fn records(named: &NamedType, plan: &Plan, text: &str) -> String {
    let page = Page::read(text, &plan.paths, &plan.custom_fields).expect("a page");
    assert!(page.error.is_none() && page.absent.is_none(), "{}: {page:#?}", named.name);
    assert!(page.records.len() >= 2, "{}: {} records", named.name, page.records.len());
    let mut records = String::new();
    for record in &page.records {
        let date = record.date.unwrap_or_else(|| panic!("{}: a record has no date", named.name));
        let id = plan.paths.id.as_ref().map(|id| id.first.first(record.raw).expect("an id").text());
        records.push_str(&format!("{} {}\n", date.to_rfc3339(), id.unwrap_or("without an id")));
    }
    records
}

/// What the records of an answer are read from.
fn decoded_answer(plan: &Plan, body: &str) -> String {
    let decoder = Decoder::new(plan.response.format, None);
    decoder.decode(body.as_bytes(), body.len() * 10 + 1024).expect("it is understood").text
}

/// Set to anything, tests write what they expect: read it, and compare it with the vendor's documentation.
const WRITE_CASES: &str = "WRITE_CASES";

#[test]
fn every_type_asks_as_its_vendor_documents() {
    for (named, list) in named_in_lists() {
        let found = requests(named, list);
        let file = format!("{}/tests/cases/catalog/{}.txt", env!("CARGO_MANIFEST_DIR"), named.name);
        if std::env::var_os(WRITE_CASES).is_some() {
            std::fs::write(&file, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(found, expected, "{file}; with {WRITE_CASES}=1 the test writes it");
    }
}

#[test]
fn docs_catalog_is_the_page_of_the_catalog() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/catalog.md")).unwrap();
    let is_same = page == catalog_text::page();
    assert!(is_same, "write it anew: `cargo run -- catalog list --markdown > docs/catalog.md`");
}

#[test]
fn readme_names_the_number_of_types() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let number = catalog::named_types().count();
    assert!(readme.contains(&format!("{number} services are built in")), "README.md: {number} services are built in");
}

#[test]
fn the_catalog_is_listed_and_each_type_shown() {
    let printed = |arguments: &[&str]| Fetcher::new("").arguments(arguments).run_bare("catalog").assert_code(0).stdout;
    let list = printed(&["list"]);
    assert_eq!(printed(&[]), list);
    for named in catalog::named_types() {
        let row = list.lines().find(|line| line.split_whitespace().next() == Some(&named.name)).unwrap();
        assert!(row.contains(&named.title) && row.contains(&named.collects), "{row}");
        let shown = catalog_text::show(named);
        for told in ["What to write", "The general entry that it stands for", "Sources", "tried on the real service"] {
            assert!(shown.contains(told), "{}: {told}", named.name);
        }
        assert!(named.parameters.iter().all(|parameter| shown.contains(&parameter.meaning)), "{shown}");
    }
    let shown = printed(&["show", "okta"]);
    assert_eq!(
        shown.trim_end(),
        catalog_text::show(catalog::named_types().find(|named| named.name == "okta").unwrap())
    );
    let unknown = Fetcher::new("").arguments(&["show", "octa"]).run_bare("catalog").assert_code(2);
    assert!(unknown.stderr.contains("okta"), "{}", unknown.stderr);
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
