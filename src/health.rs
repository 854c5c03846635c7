//! Whether the daemon does its work, and the question from outside.
//!
//! The daemon answers on a port of loopback that it writes into its lock file. So the question needs no configuration, and
//! a daemon that hangs, or is gone, fails it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long the daemon may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// The daemon's word on itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Whether it does its work.
    pub is_healthy: bool,
    /// In words.
    pub text: String,
}

/// Asks a daemon how it is.
///
/// # Errors
/// Where it does not answer in time.
pub fn ask(address: SocketAddr) -> io::Result<Word> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    let (head, text) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    Ok(Word { is_healthy: status == "200", text: text.to_owned() })
}
