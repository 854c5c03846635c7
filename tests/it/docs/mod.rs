//! What docs/ says: that what is quoted is what is printed, and that tables are those of the code.

use std::path::Path;

use logzio_api_fetcher::memory::MemoryBudget;
use logzio_api_fetcher::status::{Board, metrics};

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn docs_monitoring_lists_the_metrics_as_they_are() {
    let board = Board::new(chrono::Utc::now(), MemoryBudget::new(1024));
    let mut table = "| metric | kind | meaning |\n|---|---|---|\n".to_owned();
    let text = metrics(&board.snapshot());
    let mut help = None;
    for line in text.lines() {
        if let Some(of) = line.strip_prefix("# HELP ") {
            help = of.split_once(' ');
        } else if let Some(of) = line.strip_prefix("# TYPE ") {
            let ((name, meaning), (_, kind)) = (help.unwrap(), of.split_once(' ').unwrap());
            table.push_str(&format!("| `{name}` | {kind} | {meaning} |\n"));
        }
    }
    assert!(page("docs/monitoring.md").contains(table.trim()), "put this into docs/monitoring.md:\n\n{table}");
}

/// Every alert has its row, with its severity.
#[test]
fn docs_monitoring_lists_every_alert() {
    let rules = page("docs/prometheus-rules.yaml");
    let text = page("docs/monitoring.md");
    let mut alerts = 0;
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap();
        let severity = rule.split_once("severity: ").unwrap().1.lines().next().unwrap();
        assert!(text.contains(&format!("| `{name}` | {severity} |")), "docs/monitoring.md lacks {name}, {severity}");
        alerts += 1;
    }
    assert_eq!(text.matches("| `LogzioFetcher").count(), alerts, "docs/monitoring.md has an alert that is gone");
}
