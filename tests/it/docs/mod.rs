//! What README.md, CONTRIBUTING.md and docs/ say: that links lead somewhere, that what is quoted is what is printed, and that
//! tables are those of the code.

mod fits;
mod links;
mod migrate;

use std::path::{Path, PathBuf};

use logzio_api_fetcher::config::{self, Environment, LoadedConfig};
use logzio_api_fetcher::memory::MemoryBudget;
use logzio_api_fetcher::status::{StatusRegistry, metrics};

/// Every page for people, by its path from the root.
fn pages() -> Vec<(PathBuf, String)> {
    let directory = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let in_docs = directory.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut paths: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)).into();
    paths.extend(in_docs);
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path.strip_prefix(root()).unwrap().to_owned(), text)
    };
    paths.into_iter().map(read).collect()
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compiles a config in which every variable is set, and every file is there.
fn compile(text: &str) -> LoadedConfig {
    let text = text.replace("<<", "filled-").replace(">>", "-in");
    let text = text.lines().map(without_files).collect::<Vec<_>>().join("\n");
    config::compile(&text, &Environment { variable: &|_| Some("filled-in".to_owned()), directory: Path::new(".") })
}

/// A line with what its `${file:…}` stand for.
fn without_files(line: &str) -> String {
    match line.split_once("${file:") {
        Some((before, rest)) => format!("{before}filled-in{}", rest.split_once('}').unwrap().1),
        None => line.to_owned(),
    }
}

/// The code blocks of a language in a page, with their line numbers.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if let Some(of) = line.strip_prefix("```") {
            let block = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
            let block = block.collect::<Vec<_>>().join("\n");
            if of == language {
                found.push((at + 1, block));
            }
        }
    }
    found
}

#[test]
fn every_recipe_is_a_whole_config_without_errors_and_without_warnings_that_it_does_not_name() {
    let text = page("docs/recipes.md");
    let recipes = blocks(&text, "yaml");
    assert!(recipes.len() >= 8, "{}", recipes.len());
    for (line, recipe) in recipes {
        let reading = compile(&recipe);
        let says_so = recipe.contains("# next_url is left out: check warns that only the first page is read");
        let mut warnings = reading.diagnostics.warnings.iter().map(ToString::to_string);
        let is_good =
            reading.config.is_some() && warnings.all(|warning| says_so && warning.contains("only the first page"));
        assert!(is_good, "docs/recipes.md, line {line}: {:#?}", reading.diagnostics);
    }
}

#[test]
fn docs_monitoring_lists_the_metrics_as_they_are() {
    let board = StatusRegistry::new(chrono::Utc::now(), MemoryBudget::new(1024));
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

/// A line `> …` of docs/troubleshooting.md is what the fetcher prints; `…` stands for what differs.
#[test]
fn what_troubleshooting_quotes_is_what_the_code_says() {
    let code = sources(&root().join("src"));
    let text = page("docs/troubleshooting.md");
    let quotes: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("> `")?.strip_suffix('`')).collect();
    assert!(quotes.len() >= 50, "{}", quotes.len());
    for quote in quotes {
        for piece in quote.split('…').map(str::trim).filter(|piece| !piece.is_empty()) {
            assert!(code.contains(piece), "docs/troubleshooting.md quotes `{quote}`, and no source says `{piece}`");
        }
    }
}

/// The log names an anchor with each failure.
#[test]
fn every_anchor_that_the_log_names_is_there() {
    let text = page("docs/troubleshooting.md");
    let mut anchors = 0;
    for file in ["src/fetch/anchor.rs", "src/http.rs", "src/ship/error.rs", "src/iteration/report.rs"] {
        let code = page(file);
        // Of each function whose name ends so, the texts on the right of an arrow.
        let end = |rest: &str| ["\n    }\n", "\n}\n"].iter().filter_map(|end| rest.find(end)).min();
        let bodies = code.split("anchor(").skip(1).filter_map(|rest| rest.get(..end(rest)?));
        let bodies = bodies.chain(code.split("fn of_status(").skip(1));
        let arms = bodies.flat_map(|body| body.split("=>").skip(1).map(|arm| arm.trim_start_matches(['{', '\n', ' '])));
        for anchor in arms.filter_map(|arm| arm.strip_prefix('"')?.split('"').next()) {
            assert!(text.contains(&format!("<a id=\"{anchor}\"></a>")), "{file} names #{anchor}, which isn't there");
            anchors += 1;
        }
    }
    assert!(anchors >= 40, "{anchors}");
}

/// All sources, with the texts that are written over several lines in one.
fn sources(directory: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&sources(&path));
        } else {
            let source = std::fs::read_to_string(&path).unwrap();
            let mut parts = source.split("\\\n");
            text.push_str(parts.next().unwrap());
            parts.for_each(|part| text.push_str(part.trim_start()));
        }
    }
    text
}
