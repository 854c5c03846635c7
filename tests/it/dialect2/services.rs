//! The dialect's types, and what a `general` entry of it can be, each against a mock that is as strict as its documentation: a
//! backlog, news with a late record, a kill in the middle, and the end. Each event must arrive, none twice, and no request
//! may be refused.
//!
//! `COVERAGE_ONLY=azure` plays the files alone whose name begins so.

use crate::coverage::{Case, play};

const FOLDER: &str = "tests/cases/dialect2/services";

#[test]
fn each_type_of_the_dialect_is_read_to_its_end_over_news_late_records_and_a_kill() {
    let cases = Case::all_in(FOLDER);
    assert!(!cases.is_empty(), "no file of {FOLDER} is played");
    let problems = play(&cases);
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
