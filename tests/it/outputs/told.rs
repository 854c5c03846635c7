//! What is odd about an API is told once, however many outputs it has.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{config, unsteady};
use crate::harness::{Fetcher, MockListener, MockServer, Outcome, Reply, minutes_ago};

/// What the answers of [`odd_api`] are warned of.
const ODDITIES: [&str; 4] = [
    "the page holds bytes that are not UTF-8; they are replaced",
    "the answer tells of an error beside its records",
    "the API sends records from before the start date; they are left out",
    "shipped records have no readable date; check json_paths.data_date",
];

/// Bytes that are no text, an error beside the records, a record from before the start date, and one without a date.
fn odd_api() -> MockServer {
    let date = minutes_ago(5);
    MockServer::start(move |_, _| {
        let start = format!(r#"{{"data":[{{"id":1,"date":"{date}","text":""#).into_bytes();
        let end =
            br#""},{"id":2,"date":"2001-01-01T00:00:00Z"},{"id":3}],"next":null,"errors":"half of it is missing"}"#;
        let body = [&start[..], &[0xff, 0xfe], &end[..]].concat();
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Reply::Full { status: 200, headers, body }
    })
}

fn with_error(text: &str) -> String {
    text.replace("id: id}", "id: id, error: errors}")
}

#[track_caller]
fn assert_told_once(outcome: &Outcome) {
    for oddity in ODDITIES {
        assert_eq!(outcome.stderr.matches(oddity).count(), 1, "{oddity}\n{}", outcome.stderr);
    }
}

#[test]
fn three_outputs_tell_of_it_as_one_does() {
    let listeners: Vec<MockListener> = (0..3).map(|_| MockListener::start()).collect();
    for count in [1, 3] {
        let api = odd_api();
        let names = ["one", "other", "third"];
        let outputs: Vec<(&str, &str, &str)> =
            listeners.iter().zip(names).take(count).map(|(listener, name)| (name, listener.url(), "")).collect();
        let outcome = Fetcher::new(&with_error(&config(api.url(), &outputs))).once().assert_code(0);
        assert_told_once(&outcome);
    }
    assert_eq!(listeners[2].ids(), [1, 3]);
}

/// The one that would tell it first may take nothing.
#[test]
fn it_is_told_though_the_first_output_takes_nothing() {
    let (api, is_down) = (odd_api(), Arc::new(AtomicBool::new(true)));
    let (one, other) = (unsteady(&is_down, 401), MockListener::start());
    let outputs = [("one", one.url(), ""), ("other", other.url(), "")];
    let outcome = Fetcher::new(&with_error(&config(api.url(), &outputs))).once().assert_code(1);
    assert_told_once(&outcome);
}

#[test]
fn a_request_that_never_changes_is_told_of_once() {
    let api = MockServer::start(|_, _| Reply::json(r#"{"id":1}"#));
    let (one, other) = (MockListener::start(), MockListener::start());
    let text = format!(
        "logzio:\n  - {{name: one, url: '{}', token: shipping-token-1, inputs: [state]}}\n  - {{name: other, url: '{}', token: \
         shipping-token-1, inputs: [state]}}\napis:\n  - {{name: state, type: general, url: '{}/state'}}\n",
        one.url(),
        other.url(),
        api.url()
    );
    let outcome = Fetcher::new(&text).once().assert_code(0);
    assert_eq!(outcome.stderr.matches("its request never changes").count(), 1, "{}", outcome.stderr);
    assert_eq!((one.ids(), other.ids()), (vec![1], vec![1]));
}
