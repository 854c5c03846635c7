//! `probe --listener`: an empty request, and what the answer means.

use super::Outcome;
use crate::harness::{Fetcher, MockServer, Reply, general};

fn probe_listener(listener: &str) -> Outcome {
    Fetcher::new(&general("http://127.0.0.1:1", listener, "")).arguments(&["--listener"]).run("probe")
}

#[test]
fn a_listener_that_takes_the_token_is_right() {
    let counts = r#"{"malformedLines":0,"successfulLines":0,"oversizedLines":0,"emptyLogLines":1}"#;
    for reply in [Reply::status(200, ""), Reply::status(400, counts)] {
        let listener = MockServer::start(move |_, _| reply.clone());
        probe_listener(listener.url()).assert_code(0).assert_says("host and token are right");
        let asked = listener.asked();
        assert_eq!((asked.len(), asked[0].method.as_str(), asked[0].text().as_str()), (1, "POST", ""));
        let lengths =
            asked[0].headers.iter().filter(|(name, _)| name == "content-length").map(|(_, value)| value.as_str());
        assert_eq!(lengths.collect::<Vec<_>>(), ["0"], "servers may insist on a length");
        assert_eq!((asked[0].path.as_str(), asked[0].query.as_str()), ("/", "token=shipping-token-1"));
    }
}

#[test]
fn a_token_that_is_refused_is_told() {
    for status in [401, 403] {
        let listener = MockServer::start(move |asked, _| Reply::status(status, &asked.query));
        let outcome =
            probe_listener(listener.url()).assert_code(1).assert_says("refuses the token").assert_says("logzio.token");
        assert!(!outcome.everything().contains("shipping-token-1"), "{}", outcome.stdout);
        assert_eq!(listener.asked().len(), 1);
    }
}

#[test]
fn what_is_no_listener_is_told() {
    for reply in [
        Reply::status(200, "<html>welcome</html>"),
        Reply::status(200, r#"{"hello":"world"}"#),
        Reply::status(400, "<html>bad</html>"),
        Reply::status(400, r#"{"message":"shipping-token-1"}"#),
        Reply::status(404, "nothing"),
        Reply::status(301, "").with("Location", "/login"),
    ] {
        let listener = MockServer::start(move |_, _| reply.clone());
        let outcome = probe_listener(listener.url()).assert_code(1).assert_says("it is not a listener");
        assert!(!outcome.everything().contains("shipping-token-1"), "{}", outcome.stdout);
    }
    let broken = MockServer::start(|_, _| Reply::status(503, ""));
    probe_listener(broken.url()).assert_code(1).assert_says("answered 503").assert_says("try again later");
}

#[test]
fn a_listener_that_is_not_there_is_told_plainly() {
    probe_listener("http://127.0.0.1:1")
        .assert_code(1)
        .assert_says("Connection refused")
        .assert_says("nobody listens there");
    let plain = MockServer::start(|_, _| Reply::Close).may_be_idle();
    let https = plain.url().replace("http://", "https://");
    probe_listener(&https).assert_code(1).assert_says("gave no answer");
    let unknown = "https://listener.logz.invalid:8071";
    probe_listener(unknown).assert_code(1).assert_says("the host's name is unknown");
}
