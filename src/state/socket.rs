//! The socket in the directory through which the fetcher that runs there is asked about its state, and told to change it.
//!
//! One order and one reply per connection, each as JSON. Only the directory's owner may connect (mode 0600).

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixStream as ClientStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::order::{StateOrder, StateReply};

/// The socket's name, beside the config.
pub const SOCKET_FILE_NAME: &str = ".logzio-api-fetcher.sock";
/// The longest order that is read.
const ORDER_BYTES_MAX: u64 = 64 * 1024;
/// The longest reply: some 200 bytes for each of the most APIs that a config may have.
const REPLY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long an order may take to come.
const ORDER_WITHIN: Duration = Duration::from_secs(5);
/// How long a reply may take: an iteration has to end first, and its batch under way, and the disk has to answer.
const REPLY_WITHIN: Duration = Duration::from_secs(120);
/// How many orders wait to be obeyed; whoever comes then waits to connect.
pub const ORDERS_MAX: usize = 8;
/// The longest path of a socket, on every system.
const PATH_BYTES_MAX: usize = 100;

/// An order, and where its reply goes.
pub type OrderRequest = (StateOrder, oneshot::Sender<StateReply>);

/// The way to a file of a directory, which is held open as long as the way is used.
struct SocketPath {
    path: PathBuf,
    _folder: Option<File>,
}

impl SocketPath {
    /// Paths of sockets are short; a long one goes by the directory's descriptor, where the system has such a thing.
    fn to(directory: &Path, name: &str) -> io::Result<Self> {
        let path = directory.join(name);
        if path.as_os_str().len() <= PATH_BYTES_MAX {
            return Ok(Self { path, _folder: None });
        }
        let directory = File::open(directory)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()));
        Ok(Self { path, _folder: Some(directory) })
    }
}

/// Makes the socket. What is there of that name is of a fetcher that is gone, as this one has the lock.
///
/// # Errors
/// Where the directory's file system has no sockets, or can't be written.
fn listen(directory: &Path) -> io::Result<UnixListener> {
    // Nobody else gets in between the socket is made and closed to others.
    let private = directory.join(format!("{SOCKET_FILE_NAME}.new"));
    match std::fs::remove_dir_all(&private) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => DirBuilder::new().mode(0o700).create(&private)?,
    }
    let made = SocketPath::to(&private, "s").and_then(|way| {
        let listener = UnixListener::bind(&way.path)?;
        std::fs::set_permissions(&way.path, Permissions::from_mode(0o600))?;
        std::fs::rename(&way.path, directory.join(SOCKET_FILE_NAME))?;
        Ok(listener)
    });
    std::fs::remove_dir_all(&private)?;
    made
}

/// Takes orders until the receiver is gone. A socket that can't be made is told of: `state` needs a stopped fetcher then.
pub async fn serve_orders(directory: PathBuf, orders: mpsc::Sender<OrderRequest>) {
    let listener = match listen(&directory) {
        Ok(listener) => listener,
        Err(cause) => {
            return tracing::info!(%cause, "{SOCKET_FILE_NAME} can't be made, so `state` can only be used while the fetcher is stopped");
        }
    };
    let connections = Arc::new(Semaphore::new(ORDERS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        if orders.is_closed() {
            return;
        }
        // A change may wait for an iteration's end; whoever only looks doesn't wait behind it.
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        let orders = orders.clone();
        tokio::spawn(async move {
            if let Err(cause) = serve(stream, &orders).await {
                tracing::debug!(%cause, "an order to the state was not answered");
            }
            drop(permit);
        });
    }
}

async fn serve(mut stream: UnixStream, orders: &mpsc::Sender<OrderRequest>) -> io::Result<()> {
    let mut text = Vec::new();
    let (read, mut written) = stream.split();
    timeout(ORDER_WITHIN, read.take(ORDER_BYTES_MAX).read_to_end(&mut text)).await??;
    let reply = match serde_json::from_slice(&text) {
        Ok(order) => {
            let (reply, replied) = oneshot::channel();
            let gone = |_| io::Error::other("the fetcher stops");
            orders.send((order, reply)).await.map_err(|_| io::Error::other("the fetcher stops"))?;
            timeout(REPLY_WITHIN, replied).await?.map_err(gone)?
        }
        Err(_) => StateReply::failed(2, "the fetcher that runs is of another version; restart it".to_owned()),
    };
    timeout(ORDER_WITHIN, written.write_all(&serde_json::to_vec(&reply)?)).await??;
    timeout(ORDER_WITHIN, written.shutdown()).await?
}

/// Asks the fetcher that runs on a directory. Gives nothing where none listens there.
///
/// # Errors
/// Where it doesn't answer.
pub fn ask_running(directory: &Path, order: &StateOrder) -> io::Result<Option<StateReply>> {
    let Ok(mut stream) = SocketPath::to(directory, SOCKET_FILE_NAME).and_then(|way| ClientStream::connect(&way.path))
    else {
        return Ok(None);
    };
    stream.set_write_timeout(Some(ORDER_WITHIN))?;
    stream.set_read_timeout(Some(REPLY_WITHIN + ORDER_WITHIN))?;
    stream.write_all(&serde_json::to_vec(order)?)?;
    stream.shutdown(Shutdown::Write)?;
    let mut reply = Vec::new();
    stream.take(REPLY_BYTES_MAX).read_to_end(&mut reply)?;
    serde_json::from_slice(&reply).map(Some).map_err(io::Error::other)
}
