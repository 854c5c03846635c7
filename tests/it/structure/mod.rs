//! The shape of the code: modules without circles, files and functions that can be read at once, one name for one thing.
//!
//! What doesn't fit yet is listed here. The lists only shrink: what fits must be taken out of them.

mod modules;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use modules::Modules;
use source::{SourceFile, files_below, is_of_name, item_end, without_test_files};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 60;

/// Modules that stand beside each other and need each other.
const KNOWN_CIRCLES: &[&str] = &[];
/// Files that are too long.
const KNOWN_FILES: &[&str] = &[];
/// Functions that are too long.
const KNOWN_FUNCTIONS: &[&str] = &[];
/// Names of more than one type.
const KNOWN_NAMES: &[&str] = &[];

/// Fails with what offends and isn't known, and with what is known and offends no longer.
#[track_caller]
fn assert_only_known(what: &str, found: &BTreeMap<String, String>, known: &[&str]) {
    let known: BTreeSet<&str> = known.iter().copied().collect();
    let new: Vec<String> = found
        .iter()
        .filter(|(name, _)| !known.contains(name.as_str()))
        .map(|(name, text)| format!("{name}: {text}"))
        .collect();
    let gone: Vec<&&str> = known.iter().filter(|name| !found.contains_key(**name)).collect();
    assert!(new.is_empty(), "{what}:\n{}", new.join("\n"));
    assert!(gone.is_empty(), "no longer so; take them out of the list: {gone:?}");
}

#[test]
fn modules_that_stand_beside_each_other_have_no_circle() {
    let files = without_test_files(files_below("src"));
    let modules = Modules::of(&files);
    assert!(modules.len() > 100 && modules.edge_count() > 100, "the code is not read any more");
    let text = |uses: BTreeSet<String>| uses.into_iter().map(|line| format!("\n  {line}")).collect();
    let found = modules.circles().into_iter().map(|circle| (circle.name, text(circle.uses))).collect();
    assert_only_known("modules that need each other", &found, KNOWN_CIRCLES);
}

#[test]
fn no_file_is_too_long() {
    let files: Vec<SourceFile> = ["src", "tests", "benches"].into_iter().flat_map(files_below).collect();
    assert!(files.len() > 200, "the code is not read any more");
    let long = files.into_iter().map(|file| (file.path, file.text.lines().count()));
    let long = long.filter(|(_, lines)| *lines > FILE_LINES_MAX);
    let found = long.map(|(path, lines)| (path, format!("{lines} lines"))).collect();
    assert_only_known("files that are too long", &found, KNOWN_FILES);
}

#[test]
fn no_function_is_too_long() {
    let files = files_below("src");
    let functions: Vec<(String, usize)> = files.iter().flat_map(functions).collect();
    assert!(functions.len() > 1000, "the code is not read any more");
    let long = functions.into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES_MAX);
    let found = long.map(|(name, lines)| (name, format!("{lines} lines"))).collect();
    assert_only_known("functions that are too long", &found, KNOWN_FUNCTIONS);
}

/// The functions of a file, and how many lines each has from its `fn` to its last brace.
fn functions(file: &SourceFile) -> Vec<(String, usize)> {
    let begin = |at: &usize| !file.code[..*at].ends_with(is_of_name);
    let starts = file.code.match_indices("fn ").map(|(at, _)| at).filter(begin);
    let measured = starts.map(|at| {
        let end = item_end(&file.code, at);
        let name: String = file.code[at + "fn ".len()..].chars().take_while(|char| is_of_name(*char)).collect();
        (format!("{} {name}", file.path), file.line_of(end) - file.line_of(at) + 1)
    });
    measured.collect()
}

#[test]
fn no_two_types_have_the_same_name() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files_below("src") {
        for word in ["struct ", "enum ", "type "] {
            for (at, _) in file.code.match_indices(word).filter(|(at, _)| !file.code[..*at].ends_with(is_of_name)) {
                let name: String = file.code[at + word.len()..].chars().take_while(|char| is_of_name(*char)).collect();
                // The types of a trait's implementations have the trait's name for them.
                let is_associated = word == "type " && file.code[..at].ends_with("    ");
                if is_associated || !name.starts_with(|char: char| char.is_uppercase()) {
                    continue;
                }
                places.entry(name).or_default().push(format!("{}:{}", file.path, file.line_of(at)));
            }
        }
    }
    assert!(places.len() > 300, "the code is not read any more");
    let twice = places.into_iter().filter(|(_, places)| places.len() > 1);
    let found = twice.map(|(name, places)| (name, places.join(", "))).collect();
    assert_only_known("names of more than one type", &found, KNOWN_NAMES);
}

#[test]
fn the_table_in_lib_rs_has_every_module_and_no_other() {
    let text = std::fs::read_to_string("src/lib.rs").expect("src/lib.rs");
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | ")?.split(" | ").next());
    let rows = rows.filter(|cell| cell.contains('`')).flat_map(|cell| cell.split(", "));
    let listed: BTreeSet<&str> = rows.map(|name| name.trim_matches(['[', ']', '`'])).collect();
    let modules =
        text.lines().filter_map(|line| line.strip_suffix(';')?.trim_start_matches("pub ").strip_prefix("mod "));
    let modules: BTreeSet<&str> = modules.collect();
    assert!(modules.len() > 20, "the code is not read any more");
    assert_eq!(listed, modules, "the table of modules in src/lib.rs (left) is not what stands below it (right)");
}

#[test]
fn functions_are_measured_from_their_name_to_their_last_brace() {
    let text = "trait A {\n    fn a(&self, b: [u8; 2]);\n}\nfn c(\n    d: impl Fn(u8) -> u8,\n) {\n    d({ 1 });\n}\n";
    let file = SourceFile { path: "x.rs".to_owned(), text: text.to_owned(), code: source::code_of(text) };
    assert_eq!(functions(&file), [("x.rs a".to_owned(), 1), ("x.rs c".to_owned(), 5)]);
}
