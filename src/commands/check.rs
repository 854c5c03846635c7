//! `check`: the config's faults, on stdout. Asks nobody and takes no lock.

use std::path::Path;

use super::{Exit, print};
use crate::config;

pub(super) fn check(path: &Path) -> Exit {
    let reading = config::load(path);
    let findings = &reading.findings;
    for fault in &findings.faults {
        print(&format!("fault: {fault}"));
    }
    for warning in &findings.warnings {
        print(&format!("warning: {warning}"));
    }
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    let warnings = count(findings.warnings.len(), "warning");
    match &reading.config {
        Some(config) => {
            let names: Vec<&str> = config.apis.iter().map(|plan| plan.name.as_str()).collect();
            let apis = count(names.len(), "API");
            print(&format!("{}: valid, {apis} ({}), {warnings}", path.display(), names.join(", ")));
            Exit::Clean
        }
        None => {
            print(&format!("{}: not usable, {}, {warnings}", path.display(), count(findings.faults.len(), "fault")));
            Exit::Config
        }
    }
}
