//! Ways to etcd on which bytes vanish, arrive late, or pass in one direction alone, as on a network that is broken.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::harness::Etcd;

/// What a link does with what goes over it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passage {
    #[default]
    Open,
    /// What is sent now arrives so much later, in its order. The link may be open again by then.
    Late { requests: Duration, answers: Duration },
    /// Nothing passes until the link does something else. Then all of it arrives, like packets that are sent again.
    Holding,
    /// Nothing passes, and connections that live meanwhile never carry anything again, as behind a router that forgot them.
    Swallowing,
    /// The same of the connections that this node of etcd makes.
    SwallowingFrom(u64),
    /// The same of answers alone: requests get through, and whoever asked doesn't learn it.
    OneWay,
    /// Connections end, and new ones do at once.
    Refusing,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Requests,
    Answers,
}

impl Passage {
    /// Everything takes so long, each way.
    pub fn slow(later: Duration) -> Self {
        Self::Late { requests: later, answers: later }
    }

    fn delay(self, way: Way) -> Duration {
        match (self, way) {
            (Self::Late { requests, .. }, Way::Requests) => requests,
            (Self::Late { answers, .. }, Way::Answers) => answers,
            _ => Duration::ZERO,
        }
    }

    fn swallows(self, way: Way, made_by: Option<u64>) -> bool {
        match self {
            Self::Swallowing => true,
            Self::SwallowingFrom(node) => made_by == Some(node),
            Self::OneWay => way == Way::Answers,
            Self::Open | Self::Late { .. } | Self::Holding | Self::Refusing => false,
        }
    }
}

/// A port from which connections lead to another one.
pub struct Link {
    pub endpoint: String,
    /// What it has done so far; the last is what it does now.
    passages: watch::Sender<Vec<Passage>>,
}

impl Link {
    /// An open link to a port.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (passages, of_passages) = watch::channel(vec![Passage::Open]);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(connect(near, port, of_passages.clone()));
            }
        });
        Self { endpoint, passages }
    }

    /// From now on it does this.
    pub fn set(&self, passage: Passage) {
        self.passages.send_modify(|passages| passages.push(passage));
    }
}

/// The links of one replica, one to each node of etcd.
pub struct Ways {
    pub links: Vec<Link>,
}

impl Ways {
    /// Open ones.
    pub async fn to(etcd: &Etcd) -> Self {
        let mut links = Vec::new();
        for node in &etcd.nodes {
            links.push(Link::to(node.port).await);
        }
        Self { links }
    }

    /// All of them do this.
    pub fn set(&self, passage: Passage) {
        self.links.iter().for_each(|link| link.set(passage));
    }

    /// Where they begin.
    pub fn endpoints(&self) -> Vec<String> {
        self.links.iter().map(|link| link.endpoint.clone()).collect()
    }
}

/// A connection, as long as the link doesn't refuse it.
async fn connect(near: TcpStream, port: u16, passages: watch::Receiver<Vec<Passage>>) {
    let born = passages.borrow().len() - 1;
    let lived = Lived { born, passages, made_by: Arc::default() };
    let mut ending = lived.clone();
    tokio::select! {
        () = carry(near, port, lived) => {}
        // It ends with the test, too.
        () = ending.wait_until(|lived| lived.contains(&Passage::Refusing)) => {}
    }
}

async fn carry(near: TcpStream, port: u16, lived: Lived) {
    // Where nobody listens, the connection ends.
    let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::join!(
        carry_one_way(near_in, far_out, Way::Requests, lived.clone()),
        carry_one_way(far_in, near_out, Way::Answers, lived)
    );
}

/// What a connection has lived through.
#[derive(Clone)]
struct Lived {
    /// Which passage was there when it began.
    born: usize,
    passages: watch::Receiver<Vec<Passage>>,
    /// The node of etcd that made it, where a node did.
    made_by: Arc<OnceLock<u64>>,
}

impl Lived {
    /// Waits until what was lived is such that something holds, or until the test is over.
    async fn wait_until(&mut self, holds: impl Fn(&[Passage]) -> bool) {
        let born = self.born;
        drop(self.passages.wait_for(|passages| holds(&passages[born..])).await);
    }

    fn now(&self) -> Passage {
        self.passages.borrow().last().copied().unwrap_or_default()
    }

    fn is_swallowed(&self, way: Way) -> bool {
        let made_by = self.made_by.get().copied();
        self.passages.borrow()[self.born..].iter().any(|passage| passage.swallows(way, made_by))
    }

    /// A node of etcd says who it is in the head of what it asks another one.
    fn see_who_asks(&self, bytes: &[u8]) {
        const SAYS: &str = "X-Server-From: ";
        let text = String::from_utf8_lossy(bytes);
        let number = text.split_once(SAYS).and_then(|(_, rest)| rest.split_once('\r'));
        if let Some(number) = number.and_then(|(number, _)| u64::from_str_radix(number, 16).ok()) {
            self.made_by.get_or_init(|| number);
        }
    }
}

/// When bytes are due; their end, where there are none.
type Due = (Instant, Vec<u8>);

async fn carry_one_way(from: OwnedReadHalf, to: OwnedWriteHalf, way: Way, lived: Lived) {
    let (sender, due) = mpsc::unbounded_channel();
    tokio::join!(take_in(from, way, lived.clone(), sender), bring(to, way, lived, due));
}

async fn take_in(mut from: OwnedReadHalf, way: Way, lived: Lived, sender: mpsc::UnboundedSender<Due>) {
    let mut bytes = vec![0; 64 * 1024];
    let mut last = Instant::now();
    loop {
        // A connection that broke off has ended.
        let count = from.read(&mut bytes).await.unwrap_or_default();
        if way == Way::Requests {
            lived.see_who_asks(&bytes[..count]);
        }
        last = last.max(Instant::now() + lived.now().delay(way));
        if sender.send((last, bytes[..count].to_vec())).is_err() || count == 0 {
            return;
        }
    }
}

async fn bring(mut to: OwnedWriteHalf, way: Way, mut lived: Lived, mut due: mpsc::UnboundedReceiver<Due>) {
    while let Some((at, bytes)) = due.recv().await {
        sleep_until(at).await;
        lived.wait_until(|passages| passages.last() != Some(&Passage::Holding)).await;
        if lived.is_swallowed(way) {
            // An end isn't heard of, either: the other side believes in the connection until the test is over.
            continue;
        }
        let brought = if bytes.is_empty() { to.shutdown().await } else { to.write_all(&bytes).await };
        if brought.is_err() {
            return;
        }
    }
    if lived.is_swallowed(way) {
        lived.wait_until(|_| false).await;
    }
}
