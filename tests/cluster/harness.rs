//! etcd processes on loopback, which can be killed, stopped and begun again.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use logzio_api_fetcher::cluster::etcd::{EtcdEngine, EtcdOptions, EtcdStatus};
use logzio_api_fetcher::cluster::{Compare, EngineChange, EngineError, KeyRange, Operation, Transaction};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::proxy::{Link, Passage};

/// How long something may take that is awaited without a promise. It is never waited for in full, but by a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A test with three nodes is about times that are promised: nothing else runs meanwhile.
static MACHINE: RwLock<()> = RwLock::const_new(());

/// A test's part of the machine.
enum Part {
    Some { _guard: RwLockReadGuard<'static, ()> },
    All { _guard: RwLockWriteGuard<'static, ()> },
}

/// Some nodes. When they go, their processes do.
pub struct Etcd {
    pub nodes: Vec<Node>,
    /// On what the nodes reach each other, by who is reached; empty where they do so directly.
    peer_links: Vec<Link>,
    scheme: &'static str,
    _directory: TempDir,
    _part: Part,
}

/// One of them.
pub struct Node {
    pub port: u16,
    arguments: Vec<String>,
    log: std::path::PathBuf,
    child: Option<Child>,
}

impl Etcd {
    /// One node.
    pub async fn one() -> Self {
        Self::one_with(&[]).await
    }

    /// One node with more arguments.
    pub async fn one_with(arguments: &[&str]) -> Self {
        Self::with("http", 1, arguments, Part::Some { _guard: MACHINE.read().await }).await
    }

    /// One node that speaks TLS. Nobody waits for it, as nobody without a certificate can ask.
    pub async fn one_of_tls(arguments: &[&str]) -> Self {
        Self::with("https", 1, arguments, Part::Some { _guard: MACHINE.read().await }).await
    }

    /// Three nodes that have a leader, for this test alone.
    pub async fn three() -> Self {
        Self::with("http", 3, &[], Part::All { _guard: MACHINE.write().await }).await
    }

    /// Three nodes that reach each other over links.
    pub async fn three_over_links() -> Self {
        let ports = free_ports(6);
        let mut links = Vec::new();
        for port in &ports[3..] {
            links.push(Link::to(*port).await);
        }
        Self::on("http", &ports, links, &[], Part::All { _guard: MACHINE.write().await }).await
    }

    /// Of nodes over links: nothing gets through any more between this one and the others.
    pub async fn cut_off(&self, at: usize) {
        let id = self.status().await[at].as_ref().expect("it answers").member_id;
        for (of, link) in self.peer_links.iter().enumerate() {
            link.set(if of == at { Passage::Swallowing } else { Passage::SwallowingFrom(id) });
        }
    }

    /// Of nodes over links: all reach each other again.
    pub fn heal(&self) {
        self.peer_links.iter().for_each(|link| link.set(Passage::Open));
    }

    async fn with(scheme: &'static str, count: usize, more: &[&str], part: Part) -> Self {
        Self::on(scheme, &free_ports(count * 2), Vec::new(), more, part).await
    }

    /// Nodes on these ports: those for clients, then those for each other.
    async fn on(scheme: &'static str, ports: &[u16], peer_links: Vec<Link>, more: &[&str], part: Part) -> Self {
        let directory = TempDir::new().unwrap();
        let count = ports.len() / 2;
        let (clients, peers) = ports.split_at(count);
        let listens = |at: usize| format!("http://127.0.0.1:{}", peers[at]);
        let peer = |at: usize| peer_links.get(at).map_or_else(|| listens(at), |link| link.endpoint.clone());
        let cluster: Vec<String> = (0..count).map(|at| format!("n{at}={}", peer(at))).collect();
        let node = |at: usize| {
            let client = format!("{scheme}://127.0.0.1:{}", clients[at]);
            let data = directory.path().join(format!("n{at}"));
            let named = [
                ("--name", format!("n{at}")),
                ("--data-dir", data.to_str().unwrap().to_owned()),
                ("--listen-client-urls", client.clone()),
                ("--advertise-client-urls", client),
                ("--listen-peer-urls", listens(at)),
                ("--initial-advertise-peer-urls", peer(at)),
                ("--initial-cluster", cluster.join(",")),
                ("--initial-cluster-state", "new".to_owned()),
            ];
            let named = named.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
            let arguments = named.chain(more.iter().map(|&argument| argument.to_owned())).collect();
            let log = directory.path().join(format!("n{at}.log"));
            let mut node = Node { port: clients[at], arguments, log, child: None };
            node.start();
            node
        };
        let nodes = (0..count).map(node).collect();
        let mut etcd = Self { nodes, peer_links, scheme, _directory: directory, _part: part };
        if scheme == "http" {
            etcd.wait_for_leader().await;
        }
        etcd
    }

    /// Where the nodes are, in their order.
    pub fn endpoints(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("{}://127.0.0.1:{}", self.scheme, node.port)).collect()
    }

    /// An engine that asks the nodes from this one on.
    pub fn engine_from(&self, first: usize) -> EtcdEngine {
        let mut endpoints = self.endpoints();
        endpoints.rotate_left(first);
        EtcdEngine::new(EtcdOptions { endpoints, ..EtcdOptions::default() }).unwrap()
    }

    /// An engine that asks this node alone.
    pub fn engine_of(&self, at: usize) -> EtcdEngine {
        let endpoints = vec![self.endpoints().swap_remove(at)];
        EtcdEngine::new(EtcdOptions { endpoints, ..EtcdOptions::default() }).unwrap()
    }

    /// An engine that asks the first node first.
    pub fn engine(&self) -> EtcdEngine {
        self.engine_from(0)
    }

    /// What the nodes say of themselves, in their order.
    pub async fn status(&self) -> Vec<Result<EtcdStatus, EngineError>> {
        self.engine().status().await.into_iter().map(|(_, status)| status).collect()
    }

    /// Which node leads.
    pub async fn leader(&self) -> usize {
        let leads = |status: &Result<EtcdStatus, EngineError>| status.as_ref().is_ok_and(EtcdStatus::is_leader);
        self.status().await.iter().position(leads).expect("a leader")
    }

    /// Which of the nodes but this one leads.
    pub async fn leader_but(&self, cut_off: usize) -> usize {
        let leads = |status: &Result<EtcdStatus, EngineError>| status.as_ref().is_ok_and(EtcdStatus::is_leader);
        let all = self.status().await;
        all.iter().enumerate().position(|(at, status)| at != cut_off && leads(status)).expect("a leader")
    }

    /// A node that doesn't lead.
    pub async fn follower(&self) -> usize {
        (self.leader().await + 1) % self.nodes.len()
    }

    /// Waits until all nodes answer and know a leader.
    async fn wait_for_leader(&mut self) {
        let engine = self.engine();
        let knows = |status: &EtcdStatus| status.leader != 0;
        let all_know = async {
            while !engine.status().await.iter().all(|(_, status)| status.as_ref().is_ok_and(knows)) {
                for node in &mut self.nodes {
                    node.fail_if_ended();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, all_know).await.expect("etcd begins");
        patient(async || engine.read(&range("a")).await).await;
    }

    /// Runs `etcdctl` on the first node.
    pub fn ctl(&self, arguments: &[impl AsRef<OsStr> + Debug]) {
        let endpoint = &self.endpoints()[0];
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", endpoint]).args(arguments);
        let output = command.output().unwrap_or_else(|error| panic!("etcdctl: {error}; {INSTALL}"));
        assert!(output.status.success(), "etcdctl {arguments:?}: {output:?}");
    }
}

/// What a machine without etcd is told.
const INSTALL: &str = "install etcd and etcdctl (Debian: apt-get install etcd-server etcd-client)";

impl Node {
    /// Begins its process, for the first time or again.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "it is there");
        let log = || Stdio::from(File::options().create(true).append(true).open(&self.log).unwrap());
        let mut command = Command::new("etcd");
        command.args(&self.arguments).stdin(Stdio::null()).stdout(log()).stderr(log());
        let child = command.spawn().unwrap_or_else(|error| panic!("etcd: {error}; {INSTALL}"));
        self.child = Some(child);
    }

    /// SIGKILL
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("a process");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGSTOP: it accepts connections, and says nothing.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT
    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().expect("a process").id();
        kill(Pid::from_raw(i32::try_from(id).unwrap()), signal).unwrap();
    }

    fn fail_if_ended(&mut self) {
        if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) {
            panic!("etcd ended ({status}): {}", std::fs::read_to_string(&self.log).unwrap());
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It is killed where it is stopped, too; what fails here has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ports that nobody has now.
fn free_ports(count: usize) -> Vec<u16> {
    let all: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    all.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// Asks until there is an answer.
pub async fn patient<T>(ask: impl AsyncFn() -> Result<T, EngineError>) -> T {
    let answered = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(EngineError::InDoubt { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("an answer")
}

/// What must come, whenever it does.
pub async fn awaited<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it comes")
}

/// The keys that begin with a text.
pub fn range(prefix: &str) -> KeyRange {
    KeyRange { from: prefix.to_owned(), to: format!("{prefix}~") }
}

pub fn put(key: &str, value: &str) -> Operation {
    Operation::Put { key: key.to_owned(), value: value.as_bytes().to_vec(), lease: None }
}

pub fn get(key: &str) -> Operation {
    Operation::Get { key: key.to_owned() }
}

pub fn written_at(key: &str, revision: i64) -> Compare {
    Compare::WrittenAt { key: key.to_owned(), revision }
}

/// A transaction without conditions.
pub fn done(then: Vec<Operation>) -> Transaction {
    Transaction { then, ..Transaction::default() }
}

/// A transaction that writes a key once, however often it is asked, and reads it where it is there.
pub fn once(key: &str, value: &str) -> Transaction {
    Transaction { compare: vec![written_at(key, 0)], then: vec![put(key, value)], otherwise: vec![get(key)] }
}

/// The names of what was put (`+`) and deleted (`-`).
pub fn told(changes: &[EngineChange]) -> Vec<String> {
    let name = |change: &EngineChange| match change {
        EngineChange::Put(entry) => format!("+{}", entry.key),
        EngineChange::Deleted { key, .. } => format!("-{key}"),
    };
    changes.iter().map(name).collect()
}

/// A file's path as text.
pub fn path(of: &Path) -> &str {
    of.to_str().unwrap()
}
