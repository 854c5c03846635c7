//! Nothing is lost in silence: what an answer says beside its records, and what it doesn't say.

use logzio_api_fetcher::record::date;

use crate::harness::{Fetcher, MockListener, MockServer, Outcome, Reply, general, minutes_ago, page, record};

const CHECKPOINTS: &str = "last_start_dates.txt";

/// One iteration of an API with these answers, the last of them again and again.
fn once(answers: Vec<Reply>, config: impl Fn(String) -> String) -> (Outcome, Vec<u64>) {
    let api = MockServer::start(move |_, before| answers[before.min(answers.len() - 1)].clone());
    let listener = MockListener::start().may_be_idle();
    let outcome = Fetcher::new(&config(general(api.url(), listener.url(), ""))).once();
    (outcome, listener.ids())
}

fn as_it_is(config: String) -> String {
    config
}

#[test]
fn an_error_inside_a_good_answer_fails_the_iteration_with_its_words() {
    for error in [
        r#"{"data":null,"errors":[{"message":"Query timed out"}]}"#,
        r#"{"data":[],"error":{"code":503,"message":"Query timed out"}}"#,
        r#"{"success":false,"data":[],"message":"Query timed out"}"#,
        r#"{"status":"error","data":[],"errors":["Query timed out"]}"#,
    ] {
        for first in [true, false] {
            let good = page(&[&record(1, &minutes_ago(5))], Some("?p=2"));
            let answers = if first { vec![Reply::json(error)] } else { vec![good, Reply::json(error)] };
            let (outcome, ids) = once(answers, as_it_is);
            let outcome = outcome.assert_code(1).assert_says("Query timed out");
            assert_eq!((outcome.read(CHECKPOINTS).as_str(), ids.len()), ("", usize::from(!first)), "{error}");
        }
    }
}

#[test]
fn the_path_of_an_error_can_be_named_and_the_guess_turned_off() {
    let told = r#"{"data":[],"next":null,"error":"none at all","meta":{"fault":"no luck"}}"#;
    let with = |error: &'static str| {
        move |config: String| config.replace("data_date: date}", &format!("data_date: date, error: {error}}}"))
    };
    once(vec![Reply::json(told)], with("null")).0.assert_code(0);
    once(vec![Reply::json(told)], with("meta.fault")).0.assert_code(1).assert_says("no luck");
    once(vec![Reply::json(told)], with("meta.other")).0.assert_code(0);
    once(vec![Reply::json(r#"{"data":[],"next":null,"errors":[],"error":""}"#)], as_it_is).0.assert_code(0);
}

#[test]
fn an_error_beside_records_is_shown_and_holds_the_checkpoint_for_three_iterations() {
    let date = minutes_ago(5);
    let expected = format!("events: {date}\n");
    let api = MockServer::start(move |_, _| {
        Reply::json(&format!(r#"{{"data":[{}],"next":null,"errors":["shard 3 is down"]}}"#, record(1, &date)))
    });
    let listener = MockListener::start();
    let mut outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once();
    for _ in 0..2 {
        outcome = outcome.assert_code(0).assert_says("shard 3 is down");
        assert_eq!(outcome.read(CHECKPOINTS), "");
        outcome = Fetcher::again(outcome).once();
    }
    assert_eq!(outcome.read(CHECKPOINTS), "");
    let outcome = Fetcher::again(outcome).once().assert_code(0);
    assert_eq!((outcome.read(CHECKPOINTS), listener.ids()), (expected, vec![1]));
}

#[test]
fn a_list_that_is_missing_is_believed_only_where_nothing_contradicts_it() {
    let good = || page(&[&record(1, &minutes_ago(5))], Some("?p=2"));
    let (outcome, ids) = once(vec![good(), Reply::json(r#"{"kind":"events","etag":"x"}"#)], as_it_is);
    outcome.assert_code(0);
    assert_eq!(ids, [1], "the path has found a list before");
    once(vec![Reply::json(r#"{"kind":"events"}"#)], as_it_is).0.assert_code(1).assert_says("the keys there are: kind");
    let elsewhere = Reply::json(r#"{"events":[{"id":2}]}"#);
    once(vec![good(), elsewhere], as_it_is).0.assert_code(1).assert_says("the keys there are: events");
    let marked = |config: String| config.replace("data: data,", "data: 'data?',");
    once(vec![Reply::json(r#"{"kind":"events"}"#)], marked).0.assert_code(0);
    for nothing in ["null", "{}", "\"\"", "[]"] {
        once(vec![Reply::json(&format!(r#"{{"data":{nothing}}}"#))], as_it_is).0.assert_code(0);
    }
}

#[test]
fn a_list_that_was_found_before_a_restart_may_be_left_out_and_is_told_of_when_it_stays_away() {
    let date = minutes_ago(5);
    let api = MockServer::start(move |_, before| match before {
        0 => page(&[&record(1, &date)], None),
        _ => Reply::json(r#"{"kind":"events"}"#),
    });
    let listener = MockListener::start();
    let mut outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
    for _ in 0..2 {
        outcome = Fetcher::again(outcome).once().assert_code(0);
        assert!(!outcome.stderr.contains("lack the list"), "{}", outcome.stderr);
    }
    Fetcher::again(outcome).once().assert_code(0).assert_says("the answers lack the list of records");
}

#[test]
fn a_later_page_without_dates_is_shipped_and_one_that_holds_no_records_is_not() {
    let good = || page(&[&record(1, &minutes_ago(5))], Some("?p=2"));
    let (outcome, ids) = once(vec![good(), page(&[r#"{"id":2}"#], None)], as_it_is);
    outcome.assert_code(0).assert_says("have no readable date");
    assert_eq!(ids, [1, 2]);
    let (outcome, ids) = once(vec![good(), Reply::json(r#"{"data":17}"#)], as_it_is);
    assert_eq!(outcome.assert_code(1).read(CHECKPOINTS), "");
    assert_eq!(ids, [1]);
}

/// What an API in this state is called by `state`, after an iteration that went well.
#[track_caller]
fn assert_incomplete(answer: Reply, config: impl Fn(String) -> String, told: &str) {
    let (outcome, ids) = once(vec![answer], config);
    let outcome = outcome.assert_code(0).assert_says(told);
    assert_eq!(ids, [1], "what there is is shipped");
    let shown = Fetcher::again(outcome).run("state").assert_code(0).assert_says(told);
    assert!(!shown.stdout.contains("complete "), "nothing is called complete: {}", shown.stdout);
}

#[test]
fn more_that_nothing_follows_is_told_and_the_api_is_not_called_complete() {
    let told = "the answer shows that more follows";
    let one = || record(1, &minutes_ago(5));
    let without = |config: String| config.replace("next_url: next, ", "");
    let mistyped = |config: String| config.replace("next_url: next,", "next_url: nxt,");
    assert_incomplete(page(&[&one()], Some("?p=2")), without, told);
    assert_incomplete(page(&[&one()], Some("?p=2")), mistyped, told);
    let header = page(&[&one()], None).with("Link", "</events?p=2>; rel=\"next\"");
    assert_incomplete(header, without, told);
    let cursor = Reply::json(&format!(r#"{{"data":[{}],"meta":{{"next_cursor":"abc"}}}}"#, one()));
    assert_incomplete(cursor, as_it_is, told);
    let flag = Reply::json(&format!(r#"{{"data":[{}],"has_more":true}}"#, one()));
    assert_incomplete(flag, as_it_is, told);
    let poll = Reply::json(&format!(r#"{{"data":[{}],"cursor":"abc","has_more":false}}"#, one()));
    let (outcome, _) = once(vec![poll], as_it_is);
    assert!(!outcome.assert_code(0).stderr.contains(told), "a flag that says no outweighs a token");
}

#[test]
fn a_token_at_the_place_of_the_next_link_fails_and_what_came_is_shipped() {
    let (outcome, ids) = once(vec![page(&[&record(1, &minutes_ago(5))], Some("eyJpZCI6MTIzfQ=="))], as_it_is);
    outcome.assert_code(1).assert_says("finds a token where the next page's URL should be");
    assert_eq!(ids, [1]);
}

#[test]
fn a_full_page_of_known_records_without_a_way_on_is_told() {
    let records: Vec<String> = (0..20).map(|id| record(id, &minutes_ago(5))).collect();
    let texts: Vec<&str> = records.iter().map(String::as_str).collect();
    let full = page(&texts, None);
    let api = MockServer::start(move |_, _| full.clone());
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), "").replace("time_interval: 1s", "time_interval: 0.05s");
    let running = Fetcher::new(&config).start();
    running.wait_for_log("a full page holds nothing but records that were delivered", 1);
    let outcome = running.stop().assert_code(0);
    assert_eq!(listener.ids().len(), 20);
    Fetcher::again(outcome).run("state").assert_code(0).assert_says("a full page holds nothing but");
}

#[test]
fn probe_marks_what_does_not_flow() {
    let probe = |answer: Reply, config: &dyn Fn(String) -> String| {
        let api = MockServer::start(move |_, _| answer.clone());
        let config = config(general(api.url(), "http://127.0.0.1:1", ""));
        Fetcher::new(&config).run("probe").assert_code(1)
    };
    let one = record(1, &minutes_ago(5));
    let header = page(&[&one], None).with("Link", "</events?p=2>; rel=\"next\"");
    probe(header, &as_it_is).assert_says("! next     the header `Link` names the next page");
    let token = page(&[&one], Some("eyJpZCI6MTIzfQ=="));
    probe(token, &as_it_is).assert_says("! next     `next`: a token");
    let cursor = Reply::json(&format!(r#"{{"data":[{one}],"meta":{{"next_cursor":"abc"}}}}"#));
    probe(cursor, &as_it_is).assert_says("! next     `meta.next_cursor` looks like a token");
    let total = Reply::json(&format!(r#"{{"data":[{one}],"total":7}}"#));
    probe(total, &as_it_is).assert_says("! next     `total` says that there is more");
    let error = Reply::json(r#"{"data":null,"errors":[{"message":"token expired"}]}"#);
    probe(error, &as_it_is).assert_says("! error    the answer tells of an error").assert_says("token expired");
}

#[test]
fn a_source_whose_clock_is_ahead_moves_no_checkpoint_past_the_others() {
    let (ahead, now) = (minutes_ago(-4), minutes_ago(1));
    let asked_at = chrono::Utc::now();
    let (outcome, ids) = once(vec![page(&[&record(1, &ahead), &record(2, &now)], None)], as_it_is);
    assert_eq!(ids, [1, 2]);
    let line = outcome.assert_code(0).read(CHECKPOINTS);
    let checkpoint = date::parse(line.trim().strip_prefix("events: ").unwrap()).unwrap();
    assert!(checkpoint >= asked_at && checkpoint <= chrono::Utc::now(), "{line}");
}

#[test]
fn the_clock_of_the_api_counts_where_it_is_behind() {
    let of_api = chrono::Utc::now() - chrono::TimeDelta::minutes(3);
    let answer = page(&[&record(1, &minutes_ago(0)), &record(2, &minutes_ago(1))], None);
    let (outcome, _) =
        once(vec![answer.with("Date", &of_api.format("%a, %d %b %Y %H:%M:%S GMT").to_string())], as_it_is);
    let expected = date::format(date::floor_to_second(of_api));
    assert_eq!(outcome.assert_code(0).read(CHECKPOINTS), format!("events: {expected}\n"));
}
