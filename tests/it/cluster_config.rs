//! What `cluster` in a config means, and where it can't be used.

use std::path::Path;

use logzio_api_fetcher::config::{self, Environment, LoadedConfig};
use logzio_api_fetcher::daemon::Diff;
use logzio_api_fetcher::plan::{ClusterPlan, Config};
use logzio_api_fetcher::process::version;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::harness::{Fetcher, general};

const OURS: &str = "logzio: {url: 'http://127.0.0.1:1', token: t}\nauth_apis:\n- {type: cisco_secure_x, name: a, \
                    credentials: {id: a, key: b}, settings: {time_interval: 5}}\n";
const OF_ORIGINAL: &str = "logzio: {url: 'http://127.0.0.1:1', token: t}\napis:\n- {type: dockerhub, name: a, \
                           dockerhub_user: u, dockerhub_token: t, url: 'https://hub.docker.com/v2/auditlogs/x'}\n";

fn compile(text: &str, directory: &Path) -> LoadedConfig {
    config::compile(text, &Environment { variable: &|_| Some("filled-in".to_owned()), directory })
}

fn config_of(text: &str) -> Config {
    let reading = compile(text, Path::new("."));
    reading.config.unwrap_or_else(|| panic!("{:?}\n{text}", reading.diagnostics))
}

fn cluster_of(text: &str) -> Option<ClusterPlan> {
    config_of(text).cluster
}

#[test]
fn what_it_says_is_in_the_plan_in_both_dialects() {
    for base in [OURS, OF_ORIGINAL] {
        assert_eq!(cluster_of(base), None);
        assert_eq!(cluster_of(&format!("{base}cluster:\n")), None);
        let short = cluster_of(&format!("{base}cluster: {{etcd: 'HTTP://[::1]:2379/'}}\n")).unwrap();
        assert_eq!((short.name.as_str(), short.endpoints), ("default", vec!["http://[::1]:2379".to_owned()]));
        assert!(short.member.is_none() && short.tls.is_none() && short.user.is_none());
        let long = "cluster: {etcd: ['https://a:2379', 'https://b'], name: eu, member: '${HOSTNAME}', user: fetcher, \
                    password: '${PASSWORD}'}\n";
        let long = cluster_of(&format!("{base}{long}")).unwrap();
        assert_eq!(long.endpoints, ["https://a:2379", "https://b"]);
        assert_eq!((long.name.as_str(), long.member.as_deref()), ("eu", Some("filled-in")));
        let user = long.user.unwrap();
        assert_eq!((user.name.as_str(), user.password.expose()), ("fetcher", "filled-in"));
        assert!(!format!("{user:?}").contains("filled-in"), "{user:?}");
    }
}

/// A certificate of its own authority, and its key.
fn self_signed() -> (String, String, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["etcd.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem(), certificate.der().to_vec())
}

#[test]
fn certificates_are_read_and_a_key_beside_them_is_not_among_them() {
    let directory = tempfile::tempdir().unwrap();
    let ((own, key, own_der), (ca, _, ca_der), (_, other_key, _)) = (self_signed(), self_signed(), self_signed());
    for (name, text) in [
        ("ca.pem", &ca),
        ("own.pem", &own),
        ("own.key", &key),
        ("other.key", &other_key),
        ("both.pem", &(key.clone() + &own)),
    ] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let read =
        |tls: &str| compile(&format!("{OURS}cluster: {{etcd: 'https://a:2379', tls: {{{tls}}}}}\n"), directory.path());
    for files in ["cert_file: own.pem, key_file: own.key", "cert_file: both.pem, key_file: both.pem"] {
        let reading = read(&format!("ca_file: ca.pem, {files}"));
        let plan = reading.config.unwrap_or_else(|| panic!("{:?}", reading.diagnostics)).cluster.unwrap();
        let tls = plan.tls.unwrap();
        let authorities = CertificateDer::from_pem_slice(&tls.authorities.unwrap()).unwrap();
        assert_eq!(authorities.as_ref(), ca_der);
        let identity = tls.identity.unwrap();
        let text = String::from_utf8(identity.certificate.clone()).unwrap();
        assert_eq!(CertificateDer::from_pem_slice(text.as_bytes()).unwrap().as_ref(), own_der);
        assert!(!text.contains("PRIVATE") && text.lines().all(|line| line.len() <= 64), "{text}");
        let kept = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes()).unwrap();
        assert_eq!(kept, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap());
        assert_eq!(reading.files.len(), if files.contains("both") { 2 } else { 3 }, "they belong to the config");
    }
    let alone = read("ca_file: ca.pem").config.unwrap().cluster.unwrap().tls.unwrap();
    assert!(alone.authorities.is_some() && alone.identity.is_none());
    for (files, what) in [
        ("cert_file: own.pem, key_file: other.key", "the key in the file other.key is not the certificate's"),
        ("cert_file: own.pem, key_file: own.pem", "the file own.pem holds no private key in PEM form"),
        ("ca_file: own.key", "the file own.key holds no certificate in PEM form"),
        ("ca_file: nowhere.pem", "the file nowhere.pem"),
    ] {
        let reading = read(files);
        assert!(reading.config.is_none(), "{files}");
        let said = reading.diagnostics.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(said.contains(what), "{said}");
    }
}

#[test]
fn a_change_of_it_touches_no_api_and_waits_for_a_restart() {
    let with = |cluster: &str| config_of(&format!("{OURS}{cluster}"));
    let texts = ["", "cluster: {etcd: 'https://a:2379'}\n", "cluster: {etcd: 'https://a:2379', member: b}\n"];
    for (at, running) in texts.iter().enumerate() {
        for (to, new) in texts.iter().enumerate() {
            let (running, mut new) = (with(running), with(new));
            let diff = Diff::between(&running, &new);
            assert_eq!((diff.needs_restart, diff.steps.len()), (at != to, 0), "{at} to {to}");
            diff.keep_unchanged(&running, &mut new);
            assert_eq!(new.cluster, running.cluster, "{at} to {to}");
        }
    }
}

#[test]
fn a_build_that_has_it_takes_it_and_another_one_says_what_to_do() {
    let text = format!("{OURS}cluster: {{etcd: 'https://127.0.0.1:1'}}\n");
    let check = Fetcher::new(&text).run("check");
    if version::HAS_CLUSTER {
        check.assert_code(0).assert_says("valid, 1 API");
        return;
    }
    check
        .assert_code(2)
        .assert_says("error: cluster: this build can't run in a cluster")
        .assert_says("config.yaml:4:")
        .assert_says("build with `--features cluster`");
    Fetcher::new(&text).run("run").assert_code(2).assert_says("this build can't run in a cluster");
    // What else is wrong is told, too.
    let faulty = Fetcher::new(&text.replace("https://127.0.0.1:1", "x")).run("check").assert_code(2);
    faulty.assert_says("this build can't run in a cluster").assert_says("cluster.etcd: it is not a valid URL");
    let (good, nobody) = (general("http://127.0.0.1:1", "http://127.0.0.1:1", ""), "cluster: {etcd: 'https://a'}\n");
    let running = Fetcher::new(&good).start();
    running.wait_for_log("fetcher runs", 1);
    std::fs::write(running.config_path(), good + nobody).unwrap();
    running.wait_for_log("the config is invalid; still running the previous version faults=1", 1);
    running.stop().assert_code(0);
}

#[test]
fn a_converted_file_has_it_without_its_password() {
    let cluster = "cluster: {etcd: ['https://a:2379'], user: fetcher, password: swordfish}\n";
    let around = Environment { variable: &|_| None, directory: Path::new(".") };
    let (converted, _) = config::converted(&format!("{OF_ORIGINAL}{cluster}"), &around).unwrap();
    assert!(converted.contains("password: ${") && !converted.contains("swordfish"), "{converted}");
    let plan = cluster_of(&converted).unwrap();
    assert_eq!(plan.user.unwrap().name, "fetcher");
}
