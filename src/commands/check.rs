//! `check`: the config's errors and warnings, on stdout, each with its line of the file. Asks nobody and takes no lock.

use std::io::IsTerminal;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::{Exit, StateFolder, first_start, is_colored, print};
use crate::config::{self, Diagnostic, reference};

/// How long a word may be that is shown where a number or a word is expected: `5`, `30s`, `soon`. Anything else may be a
/// secret, by a slip.
const WORD_CHARS_MAX: usize = 6;
/// What stands in the place of what isn't shown.
const HIDDEN: &str = "…";
/// How many APIs are named; of more, their number says enough.
const NAMED_MAX: usize = 10;

pub(super) fn check(path: &Path) -> Exit {
    let text = config::read_file(path).unwrap_or_default();
    let reading = config::load(path);
    let diagnostics = &reading.diagnostics;
    let lines: Vec<&str> = text.lines().collect();
    let is_colored = is_colored(std::io::stdout().is_terminal());
    let renderer = if is_colored { Renderer::styled() } else { Renderer::plain() };
    let errors = diagnostics.errors.iter().map(|error| (Level::ERROR, error));
    for (level, diagnostic) in errors.chain(diagnostics.warnings.iter().map(|warning| (Level::WARNING, warning))) {
        let line = diagnostic.line.and_then(|line| lines.get(line.checked_sub(1)?)).and_then(|line| shown(line));
        print(&(rendered(&renderer, level, diagnostic, path, line.as_deref()) + "\n"));
    }
    let directory = StateFolder::of(path).path;
    let advice = reading.config.as_ref().and_then(|config| first_start::advice(config, &directory, usize::MAX));
    if let Some(advice) = advice {
        print(&format!("note: {advice}\n"));
    }
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    let warnings = count(diagnostics.warnings.len(), "warning");
    match &reading.config {
        Some(config) if !config.faulty.is_empty() => {
            let errors = count(diagnostics.errors.len(), "error");
            let runs = count(config.apis.len(), "API");
            print(&format!("{}: {errors}, {warnings}; without these entries {runs} would run", path.display()));
            Exit::Config
        }
        Some(config) => {
            let names: Vec<&str> = config.apis.iter().map(|plan| plan.name.as_str()).collect();
            let named = if names.len() > NAMED_MAX { String::new() } else { format!(" ({})", names.join(", ")) };
            let resting = match config.resting.len() {
                0 => String::new(),
                number => format!(", {number} not enabled"),
            };
            for (name, words) in config.apis.iter().filter_map(|plan| Some((&plan.name, plan.snapshot_words()?))) {
                print(&format!("{name}: {words}"));
            }
            print(&format!("{}: valid, {}{named}{resting}, {warnings}", path.display(), count(names.len(), "API")));
            Exit::Clean
        }
        None => {
            print(&format!("{}: invalid, {}, {warnings}", path.display(), count(diagnostics.errors.len(), "error")));
            Exit::Config
        }
    }
}

/// As compilers show it: what, where, the line with a mark under it, and what to do.
fn rendered(renderer: &Renderer, level: Level<'_>, diagnostic: &Diagnostic, path: &Path, line: Option<&str>) -> String {
    let what = match diagnostic.path.as_str() {
        "" => diagnostic.what.clone(),
        path => format!("{path}: {}", diagnostic.what),
    };
    let file = path.display().to_string();
    let title = level.primary_title(what);
    let help = diagnostic.hint.as_deref().map(|hint| Level::HELP.message(hint.to_owned()));
    let group = match (line, diagnostic.line) {
        (Some(line), Some(number)) => {
            let start = line.len() - line.trim_start_matches([' ', '-']).len();
            let snippet = Snippet::source(line).line_start(number).path(&file);
            title.element(snippet.annotation(AnnotationKind::Primary.span(start..line.len())))
        }
        (_, Some(number)) => title.element(annotate_snippets::Origin::path(&file).line(number)),
        _ => title.element(annotate_snippets::Origin::path(&file)),
    };
    renderer.render(&[help.into_iter().fold(group, annotate_snippets::Group::element)])
}

/// A line of the file as far as it can't hold a secret: a key that is known, and its value where that is none either.
fn shown(line: &str) -> Option<String> {
    let line = line.trim_end();
    let indent = line.len() - line.trim_start_matches([' ', '-']).len();
    let (key, value) = line.get(indent..)?.split_once(':')?;
    if !reference::is_anywhere(key) {
        return None;
    }
    let value = match value.trim() {
        "" => "",
        word if reference::is_shown(key) && is_harmless(word) => value,
        _ => return Some(format!("{}{key}: {HIDDEN}", line.get(..indent)?)),
    };
    Some(format!("{}{key}:{value}", line.get(..indent)?))
}

/// Whether it is a number, perhaps with a unit, or a short word.
fn is_harmless(value: &str) -> bool {
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim_start();
    unit.len() <= WORD_CHARS_MAX
        && unit.chars().all(|c| c.is_ascii_alphabetic() || c == '/')
        && value.len() <= 2 * WORD_CHARS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_as_far_as_it_holds_no_secret() {
        let of = |line: &str| shown(line);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(of("  - type: cisco"), text("  - type: cisco"));
        assert_eq!(of("  - type: hunter2"), text("  - type: …"));
        assert_eq!(of("    time_interval: soon  "), text("    time_interval: soon"));
        assert_eq!(of("  settings:"), text("  settings:"));
        assert_eq!(of("  token: abc"), text("  token: …"));
        assert_eq!(of("  credentials: {id: a, key: b}"), text("  credentials: …"));
        assert_eq!(of("  type: ${SECRET}"), text("  type: …"));
        assert_eq!(of("  type: general # the key is abc"), text("  type: …"));
        assert_eq!((of("  my-secret: abc"), of("- abc"), of("abc"), of("")), (None, None, None, None));
    }
}
