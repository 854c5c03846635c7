//! A private authority is vouched for as the original's users do it: by a variable of the environment.

use std::path::PathBuf;

use crate::harness::{Fetcher, MockListener, MockServer, Reply};
use crate::tls::private_ca;

const VARIABLES: [&str; 2] = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
const UNTRUSTED: &str = "the certificate is not trusted: where a private CA vouches for it, name it in tls.ca_file";
const NO_CERTIFICATE: &str = "names no certificate in PEM form, so it adds none to those that are trusted";

fn config(api: &str, listener: &str) -> String {
    format!(
        "logzio: {{url: '{listener}', token: shipping-token-1}}\napis:\n  - {{name: events, type: general, url: '{api}/events'}}\n"
    )
}

#[test]
fn the_authority_of_a_bundle_is_trusted_by_api_and_listener() {
    let (ca_pem, tls) = private_ca();
    let api = MockServer::start_with(Some(tls.clone()), |_, _| Reply::json(r#"{"id":1}"#));
    let listener = MockListener::start_with(Some(tls), |_, _| Reply::status(200, ""));
    let fetcher = || Fetcher::new(&config(api.url(), listener.url())).file("private.pem", &ca_pem);
    for (before, variable) in VARIABLES.into_iter().enumerate() {
        let fetcher = fetcher();
        let path = fetcher.path().join("private.pem").to_str().expect("a path").to_owned();
        let outcome = fetcher.variable(variable, &path).once().assert_code(0);
        assert_eq!(listener.ids(), vec![1; before + 1], "{variable}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains(NO_CERTIFICATE), "{}", outcome.stderr);
    }
}

#[test]
fn without_it_the_error_says_that_the_authority_is_not_trusted_and_a_bundle_without_it_is_named() {
    let (_, tls) = private_ca();
    let api = MockServer::start_with(Some(tls), |_, _| Reply::json(r#"{"id":1}"#)).may_be_idle();
    let listener = MockListener::start().may_be_idle();
    let text = config(api.url(), listener.url());
    let outcome = Fetcher::new(&text).once().assert_code(1).assert_says(UNTRUSTED);
    let outcome = outcome.assert_says("invalid peer certificate: UnknownIssuer");
    assert!(!outcome.stderr.contains(NO_CERTIFICATE), "{}", outcome.stderr);
    Fetcher::new(&text).run("probe").assert_code(1).assert_says(UNTRUSTED);

    // Another authority is no help, and a file that isn't there, or holds none, is told of by its name.
    let (other, _) = private_ca();
    for (variable, name, is_told) in
        [(VARIABLES[0], "other.pem", false), (VARIABLES[0], "absent.pem", true), (VARIABLES[1], "empty.pem", true)]
    {
        let fetcher = Fetcher::new(&text).file("other.pem", &other).file("empty.pem", "");
        let path: PathBuf = fetcher.path().join(name);
        let outcome = fetcher.variable(variable, path.to_str().expect("a path")).once().assert_code(1);
        let outcome = outcome.assert_says(UNTRUSTED);
        let told = format!("{variable} {NO_CERTIFICATE}");
        assert_eq!(outcome.stderr.matches(&told).count(), usize::from(is_told), "{name}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.contains(&format!("path={}", path.display())), is_told, "{}", outcome.stderr);
    }
    assert!(api.asked().is_empty() && listener.lines().is_empty());
}
