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
