//! The real binary in a directory of its own.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{DEADLINE, wait_or_tell};

/// What is to be run.
pub struct Fetcher {
    directory: TempDir,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    /// What it must see as a read-only mount.
    read_only: Option<PathBuf>,
}

/// Mounts the first argument read-only onto itself, and runs the others.
const READ_ONLY: &str = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@""#;

/// The arguments for `unshare` to make such a namespace: root's own, or one of a user namespace.
fn namespace(kind: &[&'static str]) -> Vec<&'static str> {
    let as_user = [&["--user", "--map-root-user"], kind].concat();
    let refused = |arguments: &[&str]| {
        let tried = Command::new("unshare").args(arguments).arg("true").output();
        let tried = tried.unwrap_or_else(|error| panic!("`unshare` of util-linux can't be run: {error}"));
        (!tried.status.success()).then(|| String::from_utf8_lossy(&tried.stderr).into_owned())
    };
    let causes = [refused(kind), refused(&as_user)];
    match causes {
        [None, _] => kind.to_vec(),
        [_, None] => as_user,
        causes => {
            panic!("no namespace {kind:?} can be made here; run this as root, or allow user namespaces: {causes:?}")
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    took: Duration,
    /// Kept until the outcome goes.
    directory: TempDir,
}

/// A fetcher under way.
pub struct Running {
    child: Child,
    directory: Option<TempDir>,
}

impl Fetcher {
    /// With this config.
    pub fn new(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.yaml"), config).unwrap();
        Self { directory, arguments: Vec::new(), variables: Vec::new(), read_only: None }
    }

    /// In the folder of an earlier one.
    pub fn again(outcome: Outcome) -> Self {
        Self { directory: outcome.directory, arguments: Vec::new(), variables: Vec::new(), read_only: None }
    }

    pub fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.directory.path().join(name), text).unwrap();
        self
    }

    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// It can't write in its directory, whoever runs it.
    pub fn read_only(self) -> Self {
        let directory = self.directory.path().to_owned();
        self.read_only_at(&directory)
    }

    /// The same of another directory.
    pub fn read_only_at(mut self, directory: &Path) -> Self {
        self.read_only = Some(directory.to_owned());
        self
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// One iteration of every API.
    pub fn once(self) -> Outcome {
        self.run("once")
    }

    /// A command, to its end.
    pub fn run(self, command: &str) -> Outcome {
        self.start_command(Some(command)).wait()
    }

    /// A command with nothing but its arguments.
    pub fn run_bare(self, command: &str) -> Outcome {
        let line = self.line(&[command]);
        self.spawn(line).wait()
    }

    /// The daemon as process 1 of a PID namespace.
    pub fn start_as_process_1(self) -> Running {
        let config = self.directory.path().join("config.yaml");
        let mut line = Command::new("unshare");
        line.args(namespace(&["--pid", "--fork"]))
            .args([env!("CARGO_BIN_EXE_logzio-api-fetcher"), "--config"])
            .arg(config);
        self.spawn(line)
    }

    /// The daemon, which tells of every iteration, also of those without news.
    pub fn start(self) -> Running {
        let has_level = self.arguments.iter().any(|argument| argument == "--level");
        let this = if has_level { self } else { self.arguments(&["--level", "DEBUG"]) };
        this.start_command(None)
    }

    pub fn start_command(self, command: Option<&str>) -> Running {
        let mut line = self.line(command.as_slice());
        line.arg("--config").arg(self.directory.path().join("config.yaml"));
        self.spawn(line)
    }

    fn line(&self, command: &[&str]) -> Command {
        const PROGRAM: &str = env!("CARGO_BIN_EXE_logzio-api-fetcher");
        let mut line = match &self.read_only {
            None => Command::new(PROGRAM),
            Some(directory) => {
                let mut line = Command::new("unshare");
                line.args(namespace(&["--mount"])).args(["sh", "-c", READ_ONLY]).arg(directory).arg(PROGRAM);
                line
            }
        };
        line.args(command).args(&self.arguments);
        line.envs(self.variables.iter().map(|(name, value)| (name, value)));
        line
    }

    /// The daemon with a stderr of its own.
    pub fn start_with_stderr(self, stderr: impl Into<Stdio>) -> Running {
        let mut line = self.line(&[]);
        line.arg("--config").arg(self.directory.path().join("config.yaml"));
        self.spawn_with(line, Some(stderr.into()))
    }

    fn spawn(self, line: Command) -> Running {
        self.spawn_with(line, None)
    }

    fn spawn_with(self, mut line: Command, stderr: Option<Stdio>) -> Running {
        let output = |name: &str| std::fs::File::create(self.directory.path().join(name)).unwrap();
        for proxy in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            if self.variables.iter().all(|(name, _)| name != proxy) {
                line.env_remove(proxy);
            }
        }
        line.stdin(Stdio::null()).stdout(output("stdout"));
        line.stderr(output("stderr"));
        stderr.map(|stderr| line.stderr(stderr));
        Running { child: line.spawn().unwrap(), directory: Some(self.directory) }
    }
}

impl Running {
    pub fn directory(&self) -> PathBuf {
        self.directory.as_ref().unwrap().path().to_owned()
    }

    pub fn config_path(&self) -> String {
        self.directory().join("config.yaml").to_str().unwrap().to_owned()
    }

    /// The most memory that it has had resident (`VmHWM` of proc(5)).
    pub fn peak_memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        1024 * line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory().join("stderr")).unwrap()
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory().join(name)).unwrap_or_default()
    }

    #[track_caller]
    pub fn wait_for_log(&self, text: &str, times: usize) {
        let what = format!("`{text}` {times} times in the log");
        wait_or_tell(&what, || self.log().matches(text).count() >= times, || format!(" of\n{}", self.log()));
    }

    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        send(signal, &id);
    }

    /// A signal to the one child of the process that was started.
    pub fn signal_child(&self, signal: &str) {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        send(signal, children.trim());
    }

    /// SIGTERM, and what comes of it.
    pub fn stop(self) -> Outcome {
        self.signal("TERM");
        self.wait()
    }

    /// SIGKILL, and what is left.
    pub fn kill(mut self) -> Outcome {
        self.child.kill().unwrap();
        self.wait()
    }

    pub fn wait(mut self) -> Outcome {
        let begun = Instant::now();
        let code = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status.code(),
                None => assert!(begun.elapsed() < DEADLINE * 2, "it does not end; its log:\n{}", self.log()),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let took = begun.elapsed();
        let (stdout, stderr) = (self.read("stdout"), self.log());
        Outcome { code, stdout, stderr, took, directory: self.directory.take().unwrap() }
    }
}

/// By the shell's own `kill`, which is everywhere.
fn send(signal: &str, process: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -s {signal} {process}")]).status();
    assert!(sent.unwrap().success(), "no {signal} could be sent to process {process}");
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Outcome {
    #[track_caller]
    pub fn assert_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// It kept a time that is promised, such as the shutdown timeout. A busy machine may take some more; what doesn't end by
    /// itself would take far longer.
    #[track_caller]
    pub fn assert_within(self, promised: Duration) -> Self {
        let limit = promised + DEADLINE / 3;
        assert!(self.took < limit, "it took {:?}, and {promised:?} are promised; its log:\n{}", self.took, self.stderr);
        self
    }

    /// It waited as long as it was told to.
    #[track_caller]
    pub fn assert_took_at_least(self, told: Duration) -> Self {
        assert!(self.took >= told, "it took {:?}, less than {told:?}; its log:\n{}", self.took, self.stderr);
        self
    }

    #[track_caller]
    pub fn assert_says(self, text: &str) -> Self {
        let said = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(said, "`{text}` is missing in\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.directory.path().join(name)).unwrap();
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    /// Everything that was written: both outputs and every file of the folder but the config.
    pub fn everything(&self) -> String {
        let mut all = String::new();
        for entry in std::fs::read_dir(self.directory.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && !path.ends_with("config.yaml") {
                let mut bytes = Vec::new();
                std::fs::File::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
                all.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        all
    }
}
