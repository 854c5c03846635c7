//! What is gone on with, for answers of all kinds.

use super::*;
use crate::record::{CustomFields, Page, Paths};

const NOW: &str = "2026-05-28T12:00:00Z";

fn now() -> DateTime<Utc> {
    date::parse(NOW).expect("a date")
}

fn path(text: &str) -> JsonPath {
    JsonPath::parse(text).expect("a path")
}

fn value(text: &str) -> AnswerValue {
    AnswerValue::parse(text, false).expect("a value")
}

/// Of a record's field `at`, which is the date, and its `id`.
fn by_record() -> Continuation {
    let of = |text: &str, field: &str, is_date| CarriedValue {
        value: value(text),
        source: ValueSource::NewestRecord { field: path(field), is_date },
    };
    let values = vec![of("d.[0].id", "id", false), of("d.[0].at", "at", true)];
    Continuation { values, guesses_date: true, zone: Zone::Utc }
}

fn by_answer(source: ValueSource) -> Continuation {
    let values = vec![CarriedValue { value: value("next"), source }];
    Continuation { values, guesses_date: false, zone: Zone::Utc }
}

/// What comes of answers, and what was before.
fn position(rule: &Continuation, answers: &[&str], before: &str) -> CarriedPosition {
    let paths = Paths::new(path("d"), path("at"));
    let mut carried = Carried::default();
    for answer in answers {
        let read = Page::read(answer, &paths, &CustomFields::new(&[]).expect("fields")).expect("a page");
        carried.see(rule, RawJson::parse(answer).ok(), &read.records, now()).expect("it can be kept");
        // It may be cut at any page.
        let saved = serde_json::to_string(&carried).expect("JSON");
        assert_eq!(serde_json::from_str::<Carried>(&saved).expect("it reads"), carried);
    }
    let before: CapturedValues = match before {
        "" => CapturedValues::default(),
        before => [("res.next".to_owned(), Captured::of_text(before))].into_iter().collect(),
    };
    carried.position(rule, &before)
}

#[track_caller]
fn check(rule: &Continuation, answers: &[&str], expected: &str) {
    assert_eq!(position(rule, answers, "").values.json(), expected, "{answers:?}");
}

#[test]
fn of_dates_the_newest_record_counts_wherever_it_stands_and_its_date_is_the_start_date() {
    let newest_first = r#"{"d":[{"at":"2026-05-28T11:00:00Z","id":3},{"at":"2026-05-28T10:00:00Z","id":2}]}"#;
    let oldest_first = r#"{"d":[{"at":"2026-05-28T10:00:00Z","id":2},{"at":"2026-05-28T11:00:00Z","id":3}]}"#;
    let ahead = r#"{"d":[{"at":"2026-05-28T12:10:00Z","id":9}]}"#;
    let epoch = r#"{"d":[{"at":1779962400000,"id":2},{"at":1779966000000,"id":3}]}"#;
    for answers in [&[newest_first][..], &[oldest_first], &[newest_first, ahead], &[epoch]] {
        let found = position(&by_record(), answers, "");
        assert!(found.kind.is_some_and(ValueKind::is_date), "{answers:?}");
        assert_eq!(found.values.json(), r#"{"res.d.[0].id":3}"#, "{answers:?}");
    }
}

#[test]
fn of_numbers_the_largest_counts_as_it_is_written_and_never_goes_back() {
    let rule = Continuation {
        values: vec![CarriedValue {
            value: value("d.[0].n"),
            source: ValueSource::NewestRecord { field: path("n"), is_date: true },
        }],
        ..by_record()
    };
    check(&rule, &[r#"{"d":[{"n":"0012"},{"n":"7"}]}"#], r#"{"res.d.[0].n":"0012"}"#);
    check(&rule, &[r#"{"d":[{"n":5},{"n":7}]}"#, r#"{"d":[{"n":6}]}"#], r#"{"res.d.[0].n":7}"#);
    check(&rule, &[r#"{"d":[{"n":123456789012345678901234}]}"#], r#"{"res.d.[0].n":123456789012345678901234}"#);
    let mut carried = Carried::default();
    let answer = r#"{"d":[{"n":5},{"n":7},{"n":6}]}"#;
    let read = Page::read(answer, &Paths::new(path("d"), path("n")), &CustomFields::new(&[]).expect("fields"))
        .expect("a page");
    carried.see(&rule, RawJson::parse(answer).ok(), &read.records, now()).expect("it can be kept");
    let before = [("res.d.[0].n".to_owned(), Captured::of_json("9").expect("a value"))].into_iter().collect();
    let found = carried.position(&rule, &before);
    assert_eq!((found.values, found.is_missing, found.is_mixed), (before, false, true));
}

#[test]
fn of_other_texts_the_first_answer_counts() {
    let rule = by_record();
    check(
        &rule,
        &[r#"{"d":[{"at":"x1","id":"b"},{"at":"x2","id":"a"}]}"#, r#"{"d":[{"at":"x0","id":"c"}]}"#],
        r#"{"res.d.[0].at":"x1","res.d.[0].id":"b"}"#,
    );
    check(
        &rule,
        &[r#"{"d":[{"at":"2026-05-28T11:00:00Z","id":1},{"at":"soon","id":2}]}"#],
        r#"{"res.d.[0].at":"2026-05-28T11:00:00Z","res.d.[0].id":1}"#,
    );
}

#[test]
fn of_an_answer_the_first_or_the_last_value_counts_and_a_missing_one_stays() {
    let (first, last) = (by_answer(ValueSource::FirstAnswer), by_answer(ValueSource::LastAnswer));
    let answers = [r#"{"next":"a","d":[]}"#, r#"{"next":"b","d":[]}"#, r#"{"next":null,"d":[{"id":1}]}"#];
    check(&first, &answers, r#"{"res.next":"a"}"#);
    check(&last, &answers, r#"{"res.next":"b"}"#);
    let found = position(&first, &[r#"{"d":[{"id":1}]}"#], "old");
    assert_eq!((found.values.json().as_str(), found.is_missing), (r#"{"res.next":"old"}"#, true));
    let found = position(&first, &[r#"{"d":[]}"#], "old");
    assert_eq!((found.values.json().as_str(), found.is_missing), (r#"{"res.next":"old"}"#, false), "nothing came");
}

#[test]
fn what_is_kept_stands_in_the_request_where_it_is_all_that_the_request_needs() {
    let rule = by_record();
    let kept = |names: &[&str]| -> CapturedValues {
        names.iter().map(|name| ((*name).to_owned(), Captured::of_text("x"))).collect()
    };
    let start = || Some(Captured::of_text("2026-05-28T10:59:59Z"));
    let values = rule.values_of(&kept(&["cursor", "res.d.[0].id"]), start()).expect("all there");
    assert_eq!(values.get(&value("d.[0].at")), start());
    assert_eq!(rule.values_of(&kept(&["res.d.[0].id"]), None), None, "the date is missing");
    assert_eq!(rule.values_of(&kept(&["res.d.[0].id", "res.old"]), start()), None, "the request was edited");
    assert_eq!(rule.values_of(&CapturedValues::default(), None), None);
}

#[test]
fn a_number_is_a_date_only_where_it_would_be_one_of_the_last_years() {
    let kind = |text: &str| ValueKind::of(text, Zone::Utc, now()).0;
    for date in ["1779966000", "1779966000000", "1779966000000000000", "1779966000.5", "1150000000"] {
        assert_eq!(kind(date), ValueKind::NumberDate, "{date}");
    }
    for number in ["17", "1148000000", "1780100000", "99999999999999999999", "0", "-5"] {
        assert_eq!(kind(number), ValueKind::Number, "{number}");
    }
    for text in ["abc", "", "1.5", "v2", "1e9x"] {
        assert_eq!(kind(text), ValueKind::Text, "{text}");
    }
    for date in ["2026-05-28", "/Date(1779966000000)/", "1999-01-01T00:00:00Z"] {
        assert_eq!(kind(date), ValueKind::TextDate, "{date}");
    }
}
