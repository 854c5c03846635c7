//! A way to etcd that can swallow what goes over it, as a network does whose packets vanish.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A port from which connections lead to another one.
pub struct Proxy {
    pub endpoint: String,
    /// How often its connections were frozen.
    frozen: watch::Sender<u32>,
}

impl Proxy {
    /// A proxy before a port.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (frozen, of_frozen) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                tokio::spawn(carry(near, far, of_frozen.clone()));
            }
        });
        Self { endpoint, frozen }
    }

    /// The connections there are stay open, and nothing goes over them any more. New ones are as before.
    pub fn freeze(&self) {
        self.frozen.send_modify(|frozen| *frozen += 1);
    }
}

async fn carry(mut near: TcpStream, mut far: TcpStream, mut frozen: watch::Receiver<u32>) {
    frozen.mark_unchanged();
    tokio::select! {
        // Either side may have had enough; the other one sees that.
        _ = copy_bidirectional(&mut near, &mut far) => {}
        is_frozen = frozen.changed() => if is_frozen.is_ok() {
            // Until the test is over, which drops the sender.
            while frozen.changed().await.is_ok() {}
        },
    }
}
