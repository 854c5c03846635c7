//! What a cluster shows of itself: on the page of any member, to programs, in metrics, and to `health`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use logzio_api_fetcher::status::{ClusterReading, ClusterSources, StatusRegistry, metrics};

use crate::fetchers::{Fetcher, MockListener, MockServer, Running, general, minutes_ago, page, record, wait_until};
use crate::harness::Etcd;

const APIS: usize = 12;

/// The status and the text of an answer.
fn get(url: &str) -> (u16, String) {
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// Where a fetcher's page is.
fn url(running: &Running) -> String {
    let said = "the status page is at ";
    running.wait_for_log(said, 1);
    let log = running.log();
    log.split_once(said).unwrap().1.lines().next().unwrap().trim_end_matches('/').to_owned()
}

/// A sample of the metrics.
fn value(metrics: &str, sample: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')).map(|value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_member_shows_all_apis_and_members_and_says_when_etcd_is_away() {
    let etcd = Etcd::three().await;
    let date = minutes_ago(30);
    let api = MockServer::start(move |_, _| page(&[&record(1, &date)], None)).forgetful().may_be_idle();
    let listener = MockListener::start();
    let entry = general(api.url(), listener.url(), "");
    let (head, entry) = entry.split_once("auth_apis:\n").unwrap();
    let entries: String =
        (0..APIS).map(|number| entry.replace("name: events", &format!("name: api-{number}"))).collect();
    let nodes = etcd.endpoints().iter().map(|node| format!("'{node}'")).collect::<Vec<_>>().join(", ");
    let config = |member: &str| {
        let cluster = format!("cluster: {{etcd: [{nodes}], member: {member}}}\nstatus: {{listen: '127.0.0.1:0'}}\n");
        format!("{head}{cluster}auth_apis:\n{entries}")
    };
    let first = Fetcher::new(&config("one")).start();
    first.wait_for_log("iteration done", APIS);
    let second = Fetcher::new(&config("two")).start();
    let (one, two) = (url(&first), url(&second));

    // The second one runs none of the APIs yet, and shows all of them.
    wait_until("the second member's page", || get(&format!("{two}/")).1.contains("on other members"));
    let (_, shown) = get(&format!("{two}/"));
    assert!((0..APIS).all(|number| shown.contains(&format!("api-{number}"))), "{shown}");
    wait_until("two members on both pages", || {
        [&one, &two]
            .iter()
            .all(|url| value(&get(&format!("{url}/metrics")).1, "logzio_fetcher_cluster_members") == Some(2.0))
    });
    let json: serde_json::Value = serde_json::from_str(&get(&format!("{two}/status.json")).1).unwrap();
    let of_cluster = &json["cluster"];
    assert_eq!(of_cluster["member"], "two");
    let elsewhere = of_cluster["elsewhere"].as_array().unwrap();
    let here = json["apis"].as_array().unwrap().len();
    assert_eq!(elsewhere.len() + here, APIS, "{json}");
    assert!(elsewhere.iter().any(|api| api["member"] == "one" && api["newest_event"].is_string()), "{elsewhere:?}");
    assert!(of_cluster["database_bytes"].as_u64().unwrap() > 0);
    let (_, text) = get(&format!("{one}/metrics"));
    // But for their names.
    assert_eq!(value(&text, "logzio_fetcher_cluster_config_differs"), Some(0.0), "{text}");
    assert_eq!(value(&text, "logzio_fetcher_cluster_suspended"), Some(0.0), "{text}");
    assert_eq!(value(&text, "logzio_fetcher_cluster_slots_orphaned"), Some(0.0), "{text}");
    assert!(value(&text, "logzio_fetcher_cluster_lease_remaining_seconds").unwrap() > 0.0, "{text}");
    for operation in ["write", "renew", "read"] {
        let name = format!("logzio_fetcher_cluster_engine_seconds_count{{operation=\"{operation}\"}}");
        assert!(value(&text, &name).unwrap() > 0.0, "{name} in {text}");
    }
    assert!(value(&text, "logzio_fetcher_cluster_takeovers_total{reason=\"handover\"}").unwrap() > 0.0, "{text}");
    assert_eq!(get(&format!("{one}/readyz")).0, 200);

    etcd.nodes.iter().for_each(|node| node.stop());
    wait_until("the member says that etcd is away", || get(&format!("{one}/readyz")).0 == 503);
    let (_, word) = get(&format!("{one}/readyz"));
    assert!(word.contains("etcd does not answer"), "{word}");
    assert_eq!(get(&format!("{one}/healthz")).0, 200, "to start it anew mends nothing");
    assert!(get(&format!("{one}/")).1.contains("etcd does not answer"));
    assert_eq!(value(&get(&format!("{one}/metrics")).1, "logzio_fetcher_cluster_suspended"), Some(1.0));
    etcd.nodes.iter().for_each(|node| node.go_on());
    wait_until("it goes on", || get(&format!("{one}/readyz")).0 == 200);
    first.stop().assert_code(0);
    second.stop().assert_code(0);
}

/// The names in a text: of metrics, labels, alerts.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_').filter(|word| !word.is_empty())
}

/// As docs/cluster.md lists them.
#[test]
fn the_metrics_of_a_cluster_are_those_of_the_docs() {
    use logzio_api_fetcher::cluster::{ClusterCounters, EngineError, LeaseClock, MemberId};
    use logzio_api_fetcher::memory::MemoryBudget;

    let registry = StatusRegistry::new(chrono::Utc::now(), MemoryBudget::new(1024));
    let alone = metrics(&registry.snapshot());
    assert!(!alone.contains("cluster_"), "a single fetcher has none of them");
    let (_, clock) = tokio::sync::watch::channel(LeaseClock::default());
    let me = MemberId { member: "m".to_owned(), incarnation: 1 };
    let counters = ClusterCounters::default();
    // So that its label is there.
    counters.failed(&EngineError::InDoubt { endpoint: "a".to_owned(), cause: "silence".to_owned() });
    registry.joined(ClusterSources { name: "c".to_owned(), me, clock, counters });
    registry.cluster_was_read(ClusterReading::default());
    let text = metrics(&registry.snapshot());
    let mut table = "| metric | kind | meaning |\n|---|---|---|\n".to_owned();
    let mut help = None;
    for line in text.lines().filter(|line| line.contains("logzio_fetcher_cluster_")) {
        if let Some(of) = line.strip_prefix("# HELP ") {
            help = of.split_once(' ');
        } else if let Some(of) = line.strip_prefix("# TYPE ") {
            let ((name, meaning), (_, kind)) = (help.unwrap(), of.split_once(' ').unwrap());
            table.push_str(&format!("| `{name}` | {kind} | {meaning} |\n"));
        }
    }
    let file = |name: &str| std::fs::read_to_string(format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let (docs, rules) = (file("cluster.md"), file("prometheus-rules.cluster.yaml"));
    for name in words(&rules) {
        let is_metric = name.starts_with("logzio_fetcher_");
        assert!(!is_metric || text.contains(&format!("# TYPE {name} ")), "an alert names {name}, which isn't there");
        let is_alert = name.starts_with("LogzioFetcher");
        assert!(!is_alert || docs.contains(&format!("| `{name}` | ")), "docs/cluster.md lacks {name}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(&file("grafana-dashboard.cluster.json")).unwrap();
    let targets =
        dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    for target in targets {
        let (expr, legend) = (target["expr"].as_str().unwrap(), target["legendFormat"].as_str().unwrap());
        for name in words(expr).filter(|word| word.starts_with("logzio_fetcher_")) {
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
            let is_there = [name, family].iter().any(|name| text.contains(&format!("# TYPE {name} ")));
            assert!(is_there, "the dashboard names {name}, which isn't there");
        }
        let grouped = expr.split(" by (").skip(1).filter_map(|rest| rest.split(')').next()).flat_map(words);
        let shown = legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
        for label in grouped.chain(shown).filter(|label| !["instance", "job"].contains(label)) {
            assert!(text.contains(&format!("{label}=\"")), "the dashboard names the label {label}, which isn't there");
        }
    }
    assert!(docs.contains(table.trim()), "put this into docs/cluster.md:\n\n{table}");
}
