//! What a new config leaves as it is: tokens and connections of APIs that it doesn't change; and a change that only a file holds.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{asked_of, config_of, edit_and_tell, entry};
use crate::harness::{Fetcher, MockServer, Reply, page, wait_until};

#[test]
fn an_unchanged_api_keeps_its_token() {
    let api = MockServer::start(|asked, _| match asked.path.as_str() {
        "/token" => Reply::json(r#"{"access_token":"the-access-token","expires_in":3600}"#),
        _ => page(&[], None),
    });
    let text = |more: &str| {
        format!(
            "logzio: {{url: 'http://127.0.0.1:1', token: t}}\noauth_apis:\n- {{type: general, name: a, credentials: {{id: i, key: \
             the-secret}}, token_http_request: {{url: '{0}/token'}}, http_request: {{url: '{0}/a'}}, start_date_name: since, \
             settings: {{time_interval: 0.1s}}, json_paths: {{data: data, data_date: date, next_url: next}}}}\n{more}",
            api.url()
        )
    };
    let other = format!(
        "auth_apis:\n- {{type: general, name: b, credentials: {{id: i, key: k}}, http_request: {{url: '{}/b'}}, \
         start_date_name: since, settings: {{time_interval: 1h}}, json_paths: {{data: data, data_date: date, next_url: next}}}}\n",
        api.url()
    );
    let running = Fetcher::new(&text("")).start();
    wait_until("some requests", || asked_of(&api, "a") >= 2);
    edit_and_tell(&running, &text(&other));
    wait_until("the new API", || asked_of(&api, "b") == 1);
    let before = asked_of(&api, "a");
    wait_until("more requests", || asked_of(&api, "a") >= before + 2);
    assert_eq!(asked_of(&api, "token"), 1);
    running.stop().assert_code(0);
}

/// A server that keeps its connections, as real ones do. Gives its URL, how many connections came, and how many requests.
fn keeping_server() -> (String, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let counts = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (connections, requests) = (Arc::clone(&counts.0), Arc::clone(&counts.1));
    std::thread::spawn(move || {
        for stream in socket.incoming().flatten() {
            connections.fetch_add(1, Ordering::SeqCst);
            let requests = Arc::clone(&requests);
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                // A GET request ends with an empty line.
                while lines.by_ref().map_while(Result::ok).any(|line| line.is_empty()) {
                    requests.fetch_add(1, Ordering::SeqCst);
                    let body = r#"{"data":[],"next":null}"#;
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                    (&stream).write_all(format!("{head}{body}").as_bytes()).unwrap();
                }
            });
        }
    });
    (url, counts.0, counts.1)
}

#[test]
fn an_unchanged_api_keeps_its_connection() {
    let (url, connections, requests) = keeping_server();
    let other = MockServer::start(|_, _| page(&[], None));
    let kept = entry("a", "a", "0.05s");
    let both = |more: &str| config_of(&url, "http://127.0.0.1:1", "t", std::slice::from_ref(&kept)) + more;
    let added = config_of(other.url(), "", "t", &[entry("b", "b", "1h")]);
    let added = added.split_once("auth_apis:\n").unwrap().1;
    let running = Fetcher::new(&both("")).start();
    wait_until("some requests", || requests.load(Ordering::SeqCst) >= 2);
    edit_and_tell(&running, &both(added));
    wait_until("the new API", || asked_of(&other, "b") == 1);
    let before = requests.load(Ordering::SeqCst);
    wait_until("more requests", || requests.load(Ordering::SeqCst) >= before + 3);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    running.stop().assert_code(0);
}

#[test]
fn a_secret_file_that_is_changed_counts_as_a_change() {
    let api = MockServer::start(|_, _| page(&[], None));
    let text = config_of(api.url(), "http://127.0.0.1:1", "t", &[entry("a", "a", "1h")])
        .replace("the-basic-key", "'${file:secrets/key}'");
    let fetcher = Fetcher::new(&text);
    std::fs::create_dir(fetcher.path().join("secrets")).unwrap();
    let running = fetcher.file("secrets/key", "the-first-key\n").start();
    running.wait_for_log("iteration done", 1);
    std::fs::write(running.directory().join("secrets/key"), "the-second-key\n").unwrap();
    running.wait_for_log("iteration done", 2);
    let keys: Vec<String> = api.asked().iter().map(|asked| asked.header("authorization").unwrap().to_owned()).collect();
    assert_ne!(keys[0], keys[1], "the key in the file is used");
    let said = running.stop().assert_code(0).everything();
    assert!(!said.contains("second-key"), "{said}");
}
