//! What answers are made of: compressed, large, empty, or no text.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::harness::{Fetcher, MockListener, MockServer, Reply, general, minutes_ago};

#[test]
fn compressed_answers_are_understood() {
    let plain = r#"{"data":[{"id":1,"date":"2024-05-28T12:00:00Z"}]}"#.as_bytes();
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    let deflate = {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    // The same text, by node's `zlib.brotliCompressSync`.
    let brotli = STANDARD.decode("CxiAeyJkYXRhIjpbeyJpZCI6MSwiZGF0ZSI6IjIwMjQtMDUtMjhUMTI6MDA6MDBaIn1dfQM=").unwrap();
    for (name, body) in [("gzip", gzip), ("deflate", deflate), ("br", brotli)] {
        let api = MockServer::start(move |asked, _| {
            let accepted = asked.header("accept-encoding").unwrap();
            assert!(accepted.contains(name), "{accepted}");
            Reply::Full { status: 200, headers: vec![("Content-Encoding".into(), name.into())], body: body.clone() }
        });
        let listener = MockListener::start();
        Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0);
        assert_eq!(listener.ids(), [1], "{name}");
    }
}

#[test]
fn a_page_that_unpacks_to_more_than_64_mib_is_an_error() {
    let bomb = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let blanks = vec![b' '; 1024 * 1024];
        for _ in 0..65 {
            encoder.write_all(&blanks).unwrap();
        }
        encoder.finish().unwrap()
    };
    let api = MockServer::start(move |_, _| Reply::Full {
        status: 200,
        headers: vec![("Content-Encoding".into(), "gzip".into())],
        body: bomb.clone(),
    });
    let listener = MockListener::start().may_be_idle();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1);
    outcome.assert_says("more than 67108864 bytes");
    assert_eq!(api.asked().len(), 1, "a large page is not asked for again at once");
}

#[test]
fn a_page_without_content_has_no_records() {
    let api = MockServer::start(|_, _| Reply::status(204, ""));
    let listener = MockListener::start().may_be_idle();
    Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0).assert_says("records=0");
}

#[test]
fn bytes_that_are_no_utf8_are_replaced_and_warned_of() {
    let mut body = format!(r#"{{"data":[{{"id":1,"date":"{}","text":"caf"#, minutes_ago(5)).into_bytes();
    body.extend_from_slice(b"\xe9\"}]}");
    let api = MockServer::start(move |_, _| Reply::Full { status: 200, headers: Vec::new(), body: body.clone() });
    let listener = MockListener::start();
    Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(0).assert_says("not UTF-8");
    assert!(listener.lines()[0].contains("caf\u{fffd}"));
}
