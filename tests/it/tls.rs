//! HTTPS with a private certificate authority.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

use crate::harness::{Fetcher, MockListener, MockServer, Reply, Tls, general, minutes_ago, page, record};

/// A private CA, and a certificate of its for loopback.
pub fn private_ca() -> (String, Tls) {
    ca_with(CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap())
}

fn ca_with(leaf: CertificateParams) -> (String, Tls) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    (ca_pem, Tls::new(&leaf.pem(), &key.serialize_pem()))
}

#[test]
fn a_private_ca_is_trusted_where_the_config_says_so() {
    let (ca_pem, tls) = private_ca();
    let date = minutes_ago(5);
    let api = MockServer::start_with(Some(tls.clone()), move |_, before| {
        page(&[&record(before as u64, &date)], (before == 0).then_some("?p=2"))
    });
    let listener = MockListener::start_with(Some(tls), |_, _| Reply::status(200, ""));
    let config = general(api.url(), listener.url(), "tls: {ca_file: ca.pem}\n");
    Fetcher::new(&config).file("ca.pem", &ca_pem).once().assert_code(0);
    assert_eq!(listener.ids(), [0, 1]);
}

#[test]
fn an_unknown_ca_is_refused() {
    let (_, tls) = private_ca();
    let api = MockServer::start_with(Some(tls), |_, _| page(&[], None)).may_be_idle();
    let listener = MockListener::start().may_be_idle();
    let outcome = Fetcher::new(&general(api.url(), listener.url(), "")).once().assert_code(1);
    outcome.assert_says("invalid peer certificate");
    assert_eq!(api.asked().len(), 0);
}

/// To name its authority in the config wouldn't help.
#[test]
fn a_certificate_of_other_dates_or_another_host_is_told_as_that() {
    let loopback = || CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let (mut expired, mut future) = (loopback(), loopback());
    expired.not_after = date_time_ymd(2020, 1, 1);
    future.not_before = date_time_ymd(3020, 1, 1);
    let other = CertificateParams::new(vec!["other.example".to_owned()]).unwrap();
    for (leaf, advice) in [
        (expired, "the certificate is out of its dates: check the clock of this machine"),
        (future, "the certificate is out of its dates: check the clock of this machine"),
        (other, "the certificate is for another host"),
    ] {
        let (ca_pem, tls) = ca_with(leaf);
        let api = MockServer::start_with(Some(tls), |_, _| page(&[], None)).may_be_idle();
        let config = general(api.url(), "http://127.0.0.1:1", "tls: {ca_file: ca.pem}\n");
        let outcome = Fetcher::new(&config).file("ca.pem", &ca_pem).run("probe").assert_code(1).assert_says(advice);
        assert!(!outcome.stdout.contains("tls.ca_file"), "{}", outcome.stdout);
    }
}

#[test]
fn a_link_from_https_down_to_http_is_refused() {
    let (ca_pem, tls) = private_ca();
    let api = MockServer::start_with(Some(tls), |asked, _| {
        let host = asked.header("host").unwrap();
        page(&[], Some(&format!("http://{host}/events?p=2")))
    });
    let listener = MockListener::start().may_be_idle();
    let config = general(api.url(), listener.url(), "tls: {ca_file: ca.pem}\n");
    Fetcher::new(&config).file("ca.pem", &ca_pem).once().assert_code(1).assert_says("from https down to http");
    assert_eq!(api.asked().len(), 1);
}

/// A server that wants a certificate of this authority, and one of a client that has it.
struct Mutual {
    ca_pem: String,
    tls: Tls,
    client_pem: String,
    client_key_pem: String,
}

fn mutual() -> Mutual {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let (key, client_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let client = CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
    let client = client.signed_by(&client_key, &issuer).unwrap();
    let tls = Tls::asking(&leaf.pem(), &key.serialize_pem(), &ca_pem);
    Mutual { ca_pem, tls, client_pem: client.pem(), client_key_pem: client_key.serialize_pem() }
}

const OWN: &str = "    tls: {cert_file: client.pem, key_file: client.key, ca_file: ca.pem}\n";

#[test]
fn an_entry_shows_its_own_certificate_and_no_other_entry_does() {
    let Mutual { ca_pem, tls, client_pem, client_key_pem } = mutual();
    let date = minutes_ago(5);
    let api = MockServer::start_with(Some(tls), move |_, _| page(&[&record(1, &date)], None));
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), OWN);
    let with_files = |config: &str| {
        Fetcher::new(config).file("ca.pem", &ca_pem).file("client.pem", &client_pem).file("client.key", &client_key_pem)
    };
    with_files(&config).once().assert_code(0);
    assert_eq!(listener.ids(), [1]);
    with_files(&config).run("probe").assert_says("answer   200 OK");
    // In one file, too.
    let both = format!("{client_pem}{client_key_pem}");
    let one_file = config.replace("key_file: client.key, ", "").replace("client.pem", "both.pem");
    with_files(&one_file).file("both.pem", &both).once().assert_code(0);
    let before = api.asked().len();
    with_files(&config.replace("cert_file: client.pem, key_file: client.key, ", "")).once().assert_code(1);
    assert_eq!(api.asked().len(), before, "without a certificate nobody is let in");
}

#[test]
fn a_renewed_certificate_is_used_without_a_restart() {
    let (old, new) = (mutual(), mutual());
    let date = minutes_ago(5);
    let api = MockServer::start_with(Some(new.tls), move |_, _| page(&[&record(1, &date)], None));
    let listener = MockListener::start();
    let config = general(api.url(), listener.url(), OWN).replace("1s", "0.05s");
    let fetcher = Fetcher::new(&config).file("ca.pem", &new.ca_pem);
    let running = fetcher.file("client.pem", &old.client_pem).file("client.key", &old.client_key_pem).start();
    running.wait_for_log("iteration failed", 1);
    std::fs::write(running.directory().join("client.key"), &new.client_key_pem).unwrap();
    std::fs::write(running.directory().join("client.pem"), &new.client_pem).unwrap();
    listener.wait_for_lines(1);
    running.stop().assert_code(0);
}

#[test]
fn check_names_the_file_that_is_wrong() {
    let (Mutual { ca_pem, client_pem, client_key_pem, .. }, other) = (mutual(), mutual());
    let check = |files: &[(&str, &str)], told: &str| {
        let config = general("https://127.0.0.1:1", "http://127.0.0.1:1", OWN);
        let fetcher = files.iter().fold(Fetcher::new(&config), |fetcher, (name, text)| fetcher.file(name, text));
        let outcome = fetcher.run("check").assert_code(2);
        assert!(outcome.stdout.contains(told), "{told}\n{}", outcome.stdout);
        assert!(!outcome.stdout.contains("BEGIN"), "{}", outcome.stdout);
    };
    let (ca, client, key) = (("ca.pem", &*ca_pem), ("client.pem", &*client_pem), ("client.key", &*client_key_pem));
    check(&[client, key], "the file ca.pem can't be read");
    check(&[ca, key], "the file client.pem can't be read");
    check(&[ca, client], "the file client.key can't be read");
    check(&[ca, client, ("client.key", "text")], "the file client.key holds no private key in PEM form");
    check(
        &[ca, client, ("client.key", &other.client_key_pem)],
        "the key in the file client.key is not the certificate's",
    );
    check(&[ca, ("client.pem", ""), key], "the file client.pem holds no certificate in PEM form");
}
