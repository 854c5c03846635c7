//! A way to etcd that can swallow what goes over it, as a network does whose packets vanish, or take its time.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

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

/// A way to a port on which every byte arrives so much later, each way. Gives where it begins.
pub async fn slow_way_to(port: u16, later: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(carry_late(near_in, far_out, later));
            tokio::spawn(carry_late(far_in, near_out, later));
        }
    });
    endpoint
}

async fn carry_late(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    mut to: impl AsyncWrite + Unpin,
    later: Duration,
) {
    let (sender, mut late) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            if sender.send((Instant::now() + later, bytes[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    while let Some((due, bytes)) = late.recv().await {
        sleep_until(due).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
