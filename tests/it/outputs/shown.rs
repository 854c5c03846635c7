//! Each output of an API is shown by itself: on the page, in the metrics, by `state` and `health`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::{GrowingApi, config, numbers, unsteady};
use crate::harness::{Fetcher, MockListener, Outcome, Running, wait_until};
use crate::status::{get, page_of, value};

fn asked(running: &Running, command: &str) -> Outcome {
    Fetcher::new("").arguments(&["--config", &running.config_path()]).run_bare(command)
}

#[test]
fn an_output_that_fails_is_shown_beside_the_one_that_works() {
    let (api, is_down) = (GrowingApi::start(4), Arc::new(AtomicBool::new(true)));
    let (one, other) = (MockListener::start(), unsteady(&is_down, 401));
    let text = config(api.server.url(), &[("one", one.url(), ""), ("other", other.url(), "")]);
    let running = Fetcher::new(&format!("status: {{listen: '127.0.0.1:0'}}\n{text}")).start();
    let url = page_of(&running, 1);
    let apis = || -> Vec<Value> {
        let status: Value = serde_json::from_str(&get(&format!("{url}/status.json")).text).unwrap();
        status["apis"].as_array().unwrap().clone()
    };
    wait_until("the other output to fail", || apis().iter().any(|api| api["state"] == "failing"));
    let shown: Vec<_> = apis().iter().map(|api| ["name", "api", "output"].map(|key| api[key].clone())).collect();
    assert_eq!(shown, [["events → one", "events", "one"], ["events → other", "events", "other"]]);
    let [of_one, of_other] = &apis()[..] else { panic!("two elements") };
    assert_eq!((&of_one["error"], &of_one["totals"]["records"]), (&Value::Null, &4.into()));
    assert!(of_other["error"]["text"].as_str().unwrap().contains("refuses the token"), "{of_other}");
    // By the API's name both are found, by the name that is shown the one.
    for (name, count) in [("events", 2), ("events%20%E2%86%92%20other", 1), ("other", 0)] {
        let answer = get(&format!("{url}/status.json?api={name}"));
        let found = serde_json::from_str::<Value>(&answer.text).ok();
        let found = found.map_or(0, |status| status["apis"].as_array().map_or(0, Vec::len));
        assert_eq!(found, count, "{name}: {}", answer.text);
    }

    let page = get(&url).text;
    assert!(
        page.contains("events → one") && page.contains("events → other") && page.contains(">failing</td>"),
        "{page}"
    );
    let links: Vec<&str> = page.split("href=\"").filter_map(|rest| rest.split('"').next()).collect();
    let link = links.iter().find(|link| link.contains("api/") && link.contains("other")).expect("a link to it");
    let of_other = get(&format!("{url}/{link}")).text;
    assert!(of_other.contains("events → other") && of_other.contains("refuses the token"), "{of_other}");

    let metrics = get(&format!("{url}/metrics")).text;
    let of = |name: &str, output: &str| {
        value(&metrics, &format!("logzio_fetcher_{name}{{api=\"events\",output=\"{output}\"}}"))
    };
    assert_eq!((of("records_shipped_total", "one"), of("records_shipped_total", "other")), (4.0, 0.0));
    assert!(of("consecutive_failures", "one") < 1.0 && of("consecutive_failures", "other") >= 3.0, "{metrics}");
    assert!(!metrics.contains("{api=\"events\"}"), "a series without its output: {metrics}");

    let health = asked(&running, "health").assert_code(0).assert_says("degraded: 1 of 2 APIs failing");
    assert!(health.stdout.lines().any(|line| line.starts_with("events → other: ")), "{}", health.stdout);
    let state = asked(&running, "state").assert_code(0).assert_says("events → one").assert_says("events → other");
    assert_eq!(state.stdout.matches("events → ").count(), 2, "{}", state.stdout);

    is_down.store(false, Ordering::SeqCst);
    wait_until("all to be well", || apis().iter().all(|api| api["error"].is_null()));
    assert_eq!((one.ids(), other.ids()), (numbers(4), numbers(4)), "{}", running.log());
    asked(&running, "health").assert_code(0).assert_says("healthy: 2 of 2 APIs");
    running.stop().assert_code(0);
}

#[test]
fn a_single_output_needs_no_label_also_where_it_stands_in_a_list() {
    let (api, one) = (GrowingApi::start(2), MockListener::start());
    let text = config(api.server.url(), &[("one", one.url(), "")]);
    let running = Fetcher::new(&format!("status: {{listen: '127.0.0.1:0'}}\n{text}")).start();
    let url = page_of(&running, 1);
    one.wait_for_lines(2);
    let shipped = || {
        let metrics = get(&format!("{url}/metrics")).text;
        assert!(!metrics.contains("output="), "{metrics}");
        value(&metrics, "logzio_fetcher_records_shipped_total{api=\"events\"}")
    };
    wait_until("the records among the metrics", || shipped() == 2.0);
    assert!(!get(&url).text.contains("events → "));
    running.stop().assert_code(0);
}
