//! The fetcher as a child process of `demo`: the same program, started, listened to, killed, stopped.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use super::story::LogLine;

/// How long a child may take to end after SIGTERM, before it is killed; and after SIGKILL, before it is left to the system.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// The variables that would send requests for the mock servers through a proxy.
const PROXY_VARIABLES: [&str; 6] = ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// A fetcher that runs as a child process. It is killed when this is dropped.
#[derive(Debug)]
pub struct ChildFetcher {
    process: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl ChildFetcher {
    /// Starts this program as `run --config PATH`.
    ///
    /// # Errors
    /// Returns the cause if the program can't be started.
    pub fn start(config: &Path) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["run", "--level", "debug", "--log-format", "json", "--config"]).arg(config);
        PROXY_VARIABLES.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn()?;
        let stderr = process.stderr.take().ok_or_else(|| io::Error::other("the child has no stderr"))?;
        Ok(Self { process, lines: BufReader::new(stderr).lines() })
    }

    /// The number of the process, or `None` if it has ended.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Returns the next line of its log, or `None` if it has ended. A call that is given up loses no line.
    ///
    /// # Errors
    /// Returns the cause if its log can't be read.
    pub async fn next_line(&mut self) -> io::Result<Option<LogLine>> {
        Ok(self.lines.next_line().await?.map(|line| LogLine::parse(&line)))
    }

    /// Kills it as `kill -9` does, and returns when it is gone.
    ///
    /// # Errors
    /// Returns the cause if it can't be killed.
    pub async fn kill(mut self) -> io::Result<()> {
        match timeout(ENDS_WITHIN, self.process.kill()).await {
            Ok(killed) => killed,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        }
    }

    /// Stops it as `docker stop` does, and returns when it is gone.
    ///
    /// # Errors
    /// Returns the cause if it can't be stopped.
    pub async fn stop(mut self) -> io::Result<()> {
        let id = self.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id {
            kill(Pid::from_raw(id), Signal::SIGTERM)?;
        }
        // Its log is read to the end, so that it never waits for somebody who reads it.
        let ended = async { while let Ok(Some(_)) = self.lines.next_line().await {} };
        let _ = timeout(ENDS_WITHIN, ended).await;
        match timeout(ENDS_WITHIN, self.process.wait()).await {
            Ok(ended) => ended.map(drop),
            Err(_) => self.kill().await,
        }
    }
}
