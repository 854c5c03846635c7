//! What to know before the first start of a config that another fetcher ran until now.

use std::collections::HashSet;
use std::path::Path;

use crate::plan::Config;
use crate::state::{CHECKPOINTS_FILE_NAME, STORE_FILE_NAME};

/// How many lines to add the log shows.
pub(super) const LOGGED_MAX: usize = 5;

/// What comes twice at the first start, and how to avoid it: of APIs under `apis`, as the original keeps no state. Nothing
/// where there is a state, or a line for one of them. Shows so many lines to add.
pub(super) fn advice(config: &Config, directory: &Path, lines_max: usize) -> Option<String> {
    let of_original: HashSet<&String> = config.of_original.iter().collect();
    // What is read whole each time has no beginning.
    let begins = config.apis.iter().filter(|plan| of_original.contains(&plan.name) && plan.can_begin_at_date());
    let names: Vec<&str> = begins.map(|plan| plan.name.as_str()).collect();
    if names.is_empty() || directory.join(STORE_FILE_NAME).exists() {
        return None;
    }
    let lines = std::fs::read_to_string(directory.join(CHECKPOINTS_FILE_NAME)).unwrap_or_default();
    let has_line =
        |name: &&str| lines.lines().any(|line| line.strip_prefix(*name).is_some_and(|rest| rest.starts_with(": ")));
    if names.iter().any(has_line) {
        return None;
    }
    let left_out = match names.len().saturating_sub(lines_max) {
        0 => String::new(),
        more => format!(", and {more} more; before the first start `check` shows all"),
    };
    let lines: Vec<String> = names.iter().take(lines_max).map(|name| format!("`{name}: DATE`")).collect();
    Some(format!(
        "this is the first start here: what the original shipped within `days_back_fetch` comes again. To begin later, \
         write a line for each API into {} before the start, with a date like 2026-01-31T10:00:00Z: {}{left_out}",
        directory.join(CHECKPOINTS_FILE_NAME).display(),
        lines.join(", ")
    ))
}
