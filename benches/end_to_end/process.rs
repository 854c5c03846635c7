//! Processes, and what the system says of them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::mock::Wire;

/// What a process used from its `exec` to its end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Usage {
    pub cpu_seconds: f64,
    pub wall_seconds: f64,
    pub peak_rss_mb: f64,
}

/// The fetcher, built by the same command as this bench.
pub fn fetcher() -> &'static str {
    env!("CARGO_BIN_EXE_logzio-api-fetcher")
}

/// What the image sets.
const ENVIRONMENT: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "4194304"), ("MALLOC_MMAP_THRESHOLD_", "2097152")];

/// A command of it, with what the image sets.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(fetcher());
    command.args(arguments).envs(ENVIRONMENT).stdout(Stdio::null());
    command
}

/// Runs the fetcher to its end and prints what it used: a process of its own, as the system tells the usage of all
/// children together.
pub fn measure(arguments: &[&str]) {
    let begun = Instant::now();
    let log = File::create(Path::new(arguments.last().unwrap()).with_file_name("log")).unwrap();
    let status = command(arguments).stderr(log).status().unwrap();
    let wall_seconds = begun.elapsed().as_secs_f64();
    assert!(status.success(), "the fetcher ended with {status}");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let cpu = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let peak_rss_mb = usage.max_rss() as f64 * 1024.0 / 1e6;
    let usage = Usage { cpu_seconds: cpu as f64 / 1e6, wall_seconds, peak_rss_mb };
    println!("{}", serde_json::to_string(&usage).unwrap());
}

/// One iteration of every API of the config in this folder.
pub fn once(directory: &Path) -> Usage {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["measure", "once", "--level", "WARN", "--config"])
        .arg(directory.join("config.yaml"))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", fs::read_to_string(directory.join("log")).unwrap_or_default());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A fetcher that runs as a daemon.
pub struct Daemon {
    child: Child,
    /// When it was started, by the monotonic clock.
    pub started_ns: u64,
}

impl Daemon {
    pub fn start(directory: &Path) -> Self {
        let log = File::create(directory.join("log")).unwrap();
        let started_ns = monotonic_ns();
        let mut command = command(&["--level", "WARN", "--config"]);
        command.arg(directory.join("config.yaml")).stderr(log);
        Self { child: command.spawn().unwrap(), started_ns }
    }

    pub fn rss_mb(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024.0 / 1e6
    }

    /// What each thread used until now, by the thread's name, in seconds.
    pub fn threads(&self) -> Vec<(String, f64)> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let of = |task: PathBuf| {
            // A thread may end while it is looked at.
            let name = fs::read_to_string(task.join("comm")).ok()?;
            let used = fs::read_to_string(task.join("schedstat")).ok()?;
            let ns: f64 = used.split(' ').next()?.parse().ok()?;
            Some((name.trim().to_owned(), ns / 1e9))
        };
        tasks.filter_map(|task| of(task.unwrap().path())).collect()
    }

    pub fn cpu_seconds(&self) -> f64 {
        self.threads().iter().map(|(_, seconds)| seconds).sum()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The mock's process.
pub struct Mock {
    child: Child,
    pub url: String,
    questions: u16,
}

/// What the mock's listener has.
#[derive(Debug, Deserialize)]
pub struct Arrived {
    pub lines: u64,
    pub ids: u64,
    pub wire_bytes: u64,
}

/// When the APIs were asked first.
#[derive(Debug, Deserialize)]
pub struct Asked {
    pub apis: u64,
    pub first_ns: Option<u64>,
    pub last_ns: Option<u64>,
}

impl Mock {
    pub fn start(wire: Wire, directory: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["mock", wire.name()]).arg(directory).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut ports = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ports).unwrap();
        let (port, questions) = ports.trim().split_once(' ').expect("the mock says its ports");
        let url = format!("{}://127.0.0.1:{port}", wire.scheme());
        Self { child, url, questions: questions.parse().unwrap() }
    }

    pub fn arrived(&self) -> Arrived {
        serde_json::from_value(self.ask("arrived")).unwrap()
    }

    pub fn asked(&self) -> Asked {
        serde_json::from_value(self.ask("asked")).unwrap()
    }

    /// Waits until so many APIs were asked.
    pub fn wait_until_asked(&self, apis: u64) -> Asked {
        let begun = Instant::now();
        loop {
            let asked = self.asked();
            if asked.apis >= apis {
                return asked;
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "only {} of {apis} APIs were asked", asked.apis);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ask(&self, what: &str) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.questions)).unwrap();
        write!(stream, "GET /{what} HTTP/1.1\r\nhost: mock\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The clock that all processes of this machine share.
pub fn monotonic_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap().num_nanoseconds().cast_unsigned()
}

/// What this thread used until now, in seconds.
pub fn thread_cpu_seconds() -> f64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().num_nanoseconds() as f64 / 1e9
}
