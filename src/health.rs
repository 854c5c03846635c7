//! Whether the daemon does its work, and the question from outside.
//!
//! The daemon answers on a port of loopback that it writes into its lock file. So the question needs no configuration, and
//! a daemon that hangs, or is gone, fails it.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;

use crate::server::{self, Reply};

/// After how many failed iterations in a row an API counts as failing: one or two may be a passing trouble.
const FAILED_ITERATIONS_MIN: u32 = 3;
/// How long the daemon may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// How many failing APIs an answer names.
const APIS_NAMED_MAX: usize = 5;

/// How each API fares.
#[derive(Debug, Default)]
pub struct Health(Mutex<BTreeMap<String, Failing>>);

/// The failures of an API since it last succeeded.
#[derive(Clone, Debug, Default)]
struct Failing {
    iterations: u32,
    cause: String,
}

/// The daemon's word on itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Whether it does its work.
    pub is_healthy: bool,
    /// In words.
    pub text: String,
}

impl Health {
    /// Of these APIs, none of which has failed.
    #[must_use]
    pub fn of<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        Self(Mutex::new(names.map(|name| (name.to_owned(), Failing::default())).collect()))
    }

    /// Notes an iteration that succeeded.
    pub fn succeeded(&self, api: &str) {
        self.note(api, |failing| *failing = Failing::default());
    }

    /// Notes an iteration that failed.
    pub fn failed(&self, api: &str, cause: String) {
        self.note(api, |failing| {
            failing.iterations = failing.iterations.saturating_add(1);
            failing.cause = cause;
        });
    }

    fn note(&self, api: &str, change: impl FnOnce(&mut Failing)) {
        let mut apis = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(apis.entry(api.to_owned()).or_default());
    }

    /// Healthy as long as one API is not failing: the others' trouble is their own.
    #[must_use]
    pub fn word(&self) -> Word {
        let apis = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failing: Vec<_> = apis.iter().filter(|(_, failing)| failing.iterations >= FAILED_ITERATIONS_MIN).collect();
        let is_healthy = failing.len() < apis.len();
        let mut text = match is_healthy {
            true => format!("healthy: {} of {} APIs are not failing", apis.len() - failing.len(), apis.len()),
            false => {
                format!("unhealthy: all {} APIs have been failing for {FAILED_ITERATIONS_MIN} iterations", apis.len())
            }
        };
        for (name, failing) in failing.iter().take(APIS_NAMED_MAX) {
            text.push_str(&format!("\n{name}: {}", failing.cause));
        }
        Word { is_healthy, text }
    }
}

/// Answers on a free port of loopback, for as long as the daemon lives.
///
/// # Errors
/// Where loopback can't be listened on.
pub async fn serve(health: Arc<Health>) -> io::Result<SocketAddr> {
    server::serve(move |asked| {
        let word = health.word();
        match (asked.path.as_str(), word.is_healthy) {
            ("/healthz", true) => Reply::text(StatusCode::OK, &word.text),
            ("/healthz", false) => Reply::text(StatusCode::SERVICE_UNAVAILABLE, &word.text),
            _ => Reply::empty(StatusCode::NOT_FOUND),
        }
    })
    .await
}

/// Asks a daemon how it is.
///
/// # Errors
/// Where it does not answer in time.
pub fn ask(address: SocketAddr) -> io::Result<Word> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    let (head, text) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    Ok(Word { is_healthy: status == "200", text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_healthy_until_every_api_has_failed_three_times_in_a_row() {
        let health = Health::of(["a", "b"].into_iter());
        for _ in 0..5 {
            health.failed("a", "no luck".to_owned());
        }
        assert_eq!(
            health.word(),
            Word { is_healthy: true, text: "healthy: 1 of 2 APIs are not failing\na: no luck".into() }
        );
        health.failed("b", "x".to_owned());
        health.failed("b", "x".to_owned());
        assert!(health.word().is_healthy);
        health.failed("b", "no luck either".to_owned());
        assert!(!health.word().is_healthy && health.word().text.contains("b: no luck either"));
        health.succeeded("b");
        assert!(health.word().is_healthy);
    }
}
