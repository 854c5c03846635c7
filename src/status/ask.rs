//! Whether the daemon does its work, and the question from outside.
//!
//! The daemon answers on a port of loopback that it writes into its lock file. So the question needs no configuration, and
//! a daemon that hangs, or is gone, fails it. It says which directory it is about, as a copy of one names the same daemon.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use crate::state::{Health, health_of};

/// How long the daemon may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long everything may take, files that are read included: their disk may hang.
const ALL_WITHIN: Duration = Duration::from_secs(8);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// The daemon's word on itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// Whether it does its work.
    pub is_healthy: bool,
    /// In words.
    pub text: String,
}

/// Asks the daemon of a config how it is: on the directory that `find` tells. Where none answers in time, that is its word.
#[must_use]
pub fn ask_on(config: &Path, find: impl FnOnce(&Path) -> PathBuf + Send + 'static) -> HealthReport {
    ask_by(config, ALL_WITHIN, move |config| ask_at(&find(config)))
}

/// The same by somebody who may hang; that is waited for so long.
fn ask_by(
    directory: &Path,
    within: Duration,
    ask: impl FnOnce(&Path) -> HealthReport + Send + 'static,
) -> HealthReport {
    let (said, heard) = mpsc::channel();
    let asked = PathBuf::from(directory);
    let asking = std::thread::Builder::new().name("health".to_owned()).spawn(move || said.send(ask(&asked)));
    let word = asking.ok().and_then(|_| heard.recv_timeout(within).ok());
    word.unwrap_or_else(|| HealthReport {
        is_healthy: false,
        text: format!(
            "unhealthy: no answer within {} s, by the fetcher or by the disk with {}",
            within.as_secs(),
            directory.display()
        ),
    })
}

fn ask_at(directory: &Path) -> HealthReport {
    let answered = match health_of(directory) {
        Some(health) => ask(&health),
        None => {
            let text = format!("unhealthy: no fetcher runs on {}", directory.display());
            return HealthReport { is_healthy: false, text };
        }
    };
    answered.unwrap_or_else(|cause| HealthReport {
        is_healthy: false,
        text: format!("unhealthy: the fetcher on {} does not answer: {cause}", directory.display()),
    })
}

fn ask(health: &Health) -> io::Result<HealthReport> {
    let mut stream = TcpStream::connect_timeout(&health.address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    let query = health.whereabouts.to_query();
    stream.write_all(
        format!("GET /readyz?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    let (head, text) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    Ok(HealthReport { is_healthy: status == "200", text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_hangs_is_no_reason_to_hang() {
        let (release, held) = mpsc::channel::<()>();
        let word = ask_by(Path::new("/config"), Duration::from_millis(50), move |_| {
            let _ = held.recv();
            HealthReport { is_healthy: true, text: String::new() }
        });
        drop(release);
        assert!(!word.is_healthy && word.text.contains("no answer within 0 s") && word.text.contains("/config"));
    }
}
