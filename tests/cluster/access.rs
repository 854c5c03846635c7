//! Who may ask, and how both sides prove who they are.

use logzio_api_fetcher::cluster::EngineError;
use logzio_api_fetcher::cluster::etcd::{EtcdEngine, EtcdOptions};
use logzio_api_fetcher::plan::{ClusterIdentity, ClusterTls, ClusterUser};
use logzio_api_fetcher::text::Secret;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::harness::{Etcd, awaited, once, path, patient, range, told};

fn user(name: &str, password: &str) -> Option<ClusterUser> {
    Some(ClusterUser { name: name.to_owned(), password: Secret::new(password) })
}

fn as_user(etcd: &Etcd, user: Option<ClusterUser>) -> EtcdEngine {
    EtcdEngine::new(EtcdOptions { endpoints: etcd.endpoints(), user, tls: None }).unwrap()
}

fn is_refused<T: std::fmt::Debug>(result: Result<T, EngineError>, word: &str) {
    assert!(matches!(&result, Err(EngineError::Refused { cause, .. }) if cause.contains(word)), "{result:?}");
}

/// An etcd where `fetcher`, whose password is `right-word`, may write below `mine/`.
async fn with_users() -> Etcd {
    let etcd = Etcd::one().await;
    etcd.ctl(&["user", "add", "root:root-word"]);
    etcd.ctl(&["user", "grant-role", "root", "root"]);
    etcd.ctl(&["role", "add", "mine"]);
    etcd.ctl(&["role", "grant-permission", "mine", "--prefix=true", "readwrite", "mine/"]);
    etcd.ctl(&["user", "add", "fetcher:right-word"]);
    etcd.ctl(&["user", "grant-role", "fetcher", "mine"]);
    etcd.ctl(&["auth", "enable"]);
    etcd
}

#[tokio::test]
async fn a_user_has_its_prefix_and_nothing_else() {
    let etcd = with_users().await;
    let engine = as_user(&etcd, user("fetcher", "right-word"));
    let revision = patient(async || engine.commit(&once("mine/1", "x")).await).await.revision;
    let mut watch = engine.watch(&range("mine/"), revision).await.unwrap();
    assert_eq!(told(&awaited(watch.next()).await.unwrap()), ["+mine/1"]);
    let lease = engine.grant(60).await.unwrap();
    engine.keep_alive(lease).await.unwrap();
    engine.revoke(lease).await.unwrap();
    assert_eq!(engine.members().await.unwrap().len(), 1);
    // Newer versions tell only root how they are; that is no failure.
    assert!(
        matches!(&engine.nodes().await[..], [(_, Ok(node))] if node.alarms.is_empty()),
        "{:?}",
        engine.nodes().await
    );

    is_refused(engine.commit(&once("other/1", "x")).await, "permission denied");
    is_refused(engine.read(&range("other/")).await, "permission denied");
    is_refused(engine.watch(&range("other/"), 0).await, "permission denied");
    assert_eq!(engine.read(&range("mine/")).await.unwrap().0.len(), 1, "and goes on");
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_never_shown() {
    let etcd = with_users().await;
    let engine = as_user(&etcd, user("fetcher", "wrong-word"));
    let error = engine.commit(&once("mine/1", "x")).await;
    is_refused(error.clone(), "invalid user ID or password");
    assert!(!format!("{engine:?} {error:?}").contains("wrong-word"));
    is_refused(as_user(&etcd, None).commit(&once("mine/1", "x")).await, "user name is empty");
    let options = EtcdOptions { user: user("fetcher", "wrong-word"), ..EtcdOptions::default() };
    assert!(!format!("{options:?}").contains("wrong-word"));
}

#[tokio::test]
async fn a_user_of_an_etcd_without_users_is_told() {
    let etcd = Etcd::one().await;
    let engine = as_user(&etcd, user("fetcher", "right-word"));
    is_refused(engine.commit(&once("mine/1", "x")).await, "authentication is not enabled");
}

#[tokio::test]
async fn a_token_that_etcd_has_forgotten_is_asked_for_anew() {
    let mut etcd = with_users().await;
    let engine = as_user(&etcd, user("fetcher", "right-word"));
    patient(async || engine.commit(&once("mine/1", "x")).await).await;
    // Tokens die with the process; and a change of rights makes all of them old.
    etcd.nodes[0].kill();
    etcd.nodes[0].start();
    patient(async || engine.commit(&once("mine/2", "x")).await).await;
    etcd.ctl(&["--user", "root:root-word", "role", "grant-permission", "mine", "readwrite", "more"]);
    patient(async || engine.commit(&once("more", "x")).await).await;
    assert_eq!(engine.read(&range("mine/")).await.unwrap().0.len(), 2);
}

/// An authority, with a certificate for loopback and one to show, all as files.
struct Papers {
    directory: TempDir,
    authority: Vec<u8>,
    own: ClusterIdentity,
}

impl Papers {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let signed = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
            (certificate.pem(), key.serialize_pem())
        };
        let (certificate, key) = signed(&["127.0.0.1"]);
        for (name, text) in [("ca.pem", issuer.pem()), ("node.pem", certificate), ("node.key", key)] {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let (certificate, key) = signed(&["fetcher"]);
        let own = ClusterIdentity { certificate: certificate.into_bytes(), key: Secret::new(key) };
        Self { directory, authority: issuer.pem().into_bytes(), own }
    }

    /// An etcd that wants to see a certificate of this authority.
    async fn etcd(&self) -> Etcd {
        let file = |name: &str| self.directory.path().join(name);
        Etcd::one_of_tls(&[
            "--cert-file",
            path(&file("node.pem")),
            "--key-file",
            path(&file("node.key")),
            "--trusted-ca-file",
            path(&file("ca.pem")),
            "--client-cert-auth",
        ])
        .await
    }
}

fn with_tls(etcd: &Etcd, authority: &[u8], identity: Option<ClusterIdentity>) -> EtcdEngine {
    let tls = Some(ClusterTls { authorities: Some(authority.to_vec()), identity });
    EtcdEngine::new(EtcdOptions { endpoints: etcd.endpoints(), tls, user: None }).unwrap()
}

#[tokio::test]
async fn both_sides_prove_who_they_are() {
    let papers = Papers::new();
    let etcd = papers.etcd().await;
    let engine = with_tls(&etcd, &papers.authority, Some(papers.own.clone()));
    let revision = patient(async || engine.commit(&once("t/1", "x")).await).await.revision;
    let mut watch = engine.watch(&range("t/"), revision).await.unwrap();
    assert_eq!(told(&awaited(watch.next()).await.unwrap()), ["+t/1"]);

    let stranger = with_tls(&etcd, &Papers::new().authority, Some(papers.own.clone()));
    let error = stranger.commit(&once("t/2", "x")).await.unwrap_err();
    assert!(matches!(&error, EngineError::InDoubt { cause, .. } if cause.contains("certificate")), "{error}");
    let of_system = EtcdEngine::new(EtcdOptions { endpoints: etcd.endpoints(), ..EtcdOptions::default() }).unwrap();
    let error = of_system.commit(&once("t/2", "x")).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    let nobody = with_tls(&etcd, &papers.authority, None);
    assert!(nobody.commit(&once("t/2", "x")).await.is_err());
    assert_eq!(engine.read(&range("t/")).await.unwrap().0.len(), 1);
}

#[tokio::test]
async fn papers_that_are_none_are_refused() {
    let papers = Papers::new();
    let etcd = papers.etcd().await;
    let broken = ClusterIdentity { certificate: b"no certificate".to_vec(), key: Secret::new("no key at all") };
    let engine = with_tls(&etcd, &papers.authority, Some(broken));
    let error = engine.commit(&once("t/1", "x")).await;
    is_refused(error.clone(), "TLS can't be set up");
    assert!(!format!("{engine:?} {error:?}").contains("no key at all"));
}
