//! The binary as a process, as an operator uses it: a configuration file, signals, an exit code, two output streams and
//! four endpoints.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{SOON, until};

/// A running daemon. Dropping it kills it.
pub struct Daemon {
    child: Child,
    pid: u32,
    stdout: Stream,
    stderr: Stream,
    address: String,
}

impl Daemon {
    /// Starts `incidentd run` and waits until its endpoints are open.
    pub async fn start(config: &Path) -> Self {
        Self::start_with(config, &[], &[]).await
    }

    /// The same with further arguments and environment variables.
    pub async fn start_with(config: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::spawn(config, args, env).ready().await
    }

    /// Waits until its endpoints are open.
    pub async fn ready(self) -> Self {
        let mut daemon = self;
        let (mut listen, mut ended) = (None, None);
        until("the daemon says where it listens", SOON, async || {
            ended = daemon.child.try_wait().expect("the daemon's state");
            listen = daemon.listen();
            ended.is_some() || listen.is_some()
        })
        .await;
        daemon.address = listen.unwrap_or_else(|| {
            panic!(
                "the daemon ended at its start, {ended:?}:\n{}",
                daemon.log()
            )
        });
        daemon
    }

    /// Starts `incidentd run` without waiting: for a daemon that is expected to fail, or to be killed early.
    pub fn spawn(config: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = incidentd();
        command.arg("run").arg("--config").arg(config).args(args);
        command.envs(env.iter().copied());
        Self::of(command)
    }

    /// Starts `command`, which becomes a daemon, without waiting.
    pub fn of(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("incidentd starts");
        Self {
            pid: child.id().expect("a process id"),
            stdout: Stream::of(child.stdout.take().expect("piped")),
            stderr: Stream::of(child.stderr.take().expect("piped")),
            child,
            address: String::new(),
        }
    }

    fn listen(&self) -> Option<String> {
        let log = self.log();
        let line = lines(&log).find(|line| line["message"] == "incidentd runs")?;
        Some(line["listen"].as_str()?.to_owned())
    }

    /// The address of its endpoints.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal, with the name that `kill` uses.
    pub fn signal(&self, name: &str) {
        // The `kill` of the shell, because a minimal system has no other, and calling kill(2) would need unsafe code.
        let sent = std::process::Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.pid)])
            .status()
            .expect("sh runs");
        assert!(sent.success(), "no SIG{name} could be sent");
    }

    /// Sends SIGKILL, and waits until the process is gone.
    pub async fn kill(&mut self) {
        self.child
            .kill()
            .await
            .expect("the daemon was there to be killed");
        self.outputs_end().await;
    }

    /// Waits for the end of the process, and returns its exit code.
    pub async fn wait(&mut self, limit: Duration) -> i32 {
        let status = self.end(limit).await;
        status
            .code()
            .unwrap_or_else(|| panic!("it ended by a signal, {status}:\n{}", self.log()))
    }

    async fn end(&mut self, limit: Duration) -> ExitStatus {
        let Ok(status) = timeout(limit, self.child.wait()).await else {
            panic!("the daemon did not end within {limit:?}:\n{}", self.log());
        };
        self.outputs_end().await;
        status.expect("the daemon's exit status")
    }

    /// Sends SIGTERM, and checks for a clean end within the contract's time.
    pub async fn stop(&mut self) {
        self.signal("TERM");
        let code = self.wait(STOP_LIMIT).await;
        assert_eq!(code, 0, "a stop is clean:\n{}", self.log());
    }

    /// Stops it as [`Daemon::stop`] does; a daemon that is still starting may end by the signal.
    pub async fn stop_if_ready(&mut self) {
        match self.listen() {
            Some(_) => self.stop().await,
            None => self.kill().await,
        }
    }

    async fn outputs_end(&mut self) {
        for stream in [&mut self.stdout, &mut self.stderr] {
            let ended = timeout(SOON, &mut stream.reader).await;
            ended
                .expect("the output ends with the process")
                .expect("it was read");
        }
    }

    /// What it has written to standard error.
    pub fn log(&self) -> String {
        self.stderr.text()
    }

    /// What it has written to standard output.
    pub fn output(&self) -> String {
        self.stdout.text()
    }

    /// The log's lines as JSON; what is not JSON is left out.
    pub fn log_lines(&self) -> Vec<Value> {
        lines(&self.log()).collect()
    }

    /// A GET request to one of the endpoints: status and body. The daemon closes a connection without a request after 3
    /// s, which happens to this process on a busy machine; then it asks again.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let answer = timeout(SOON, async {
            let mut answer = get(&self.address, path).await;
            for _ in 0..3 {
                if answer.is_ok() {
                    break;
                }
                answer = get(&self.address, path).await;
            }
            answer
        })
        .await;
        answer
            .expect("an answer in time")
            .unwrap_or_else(|error| panic!("no answer to GET {path}, {error}:\n{}", self.log()))
    }

    pub async fn metrics(&self) -> String {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200, "{text}");
        text
    }

    /// The value of a metric without labels, or with exactly these.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.metrics().await;
        let line = text
            .lines()
            .find(|line| line.split(' ').next() == Some(name));
        let value = line.and_then(|line| line.split(' ').nth(1)?.parse().ok());
        value.unwrap_or_else(|| panic!("no metric {name} in:\n{text}"))
    }

    pub async fn status(&self) -> Value {
        let (status, text) = self.get("/api/status").await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("/api/status is JSON")
    }

    /// The most memory so far, in bytes, without the pages of the binary's own file. Of these a debug build has twice as
    /// many as a release build, they grow with the code, and the kernel can drop them.
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM").saturating_sub(self.memory("RssFile"))
    }

    /// The present memory, in bytes, counted in the same way.
    pub fn memory_now(&self) -> u64 {
        self.memory("RssAnon")
    }

    fn memory(&self, field: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("/proc");
        let line = text
            .lines()
            .find(|line| line.starts_with(field))
            .expect("a line of memory");
        let kib: u64 = line
            .split_whitespace()
            .nth(1)
            .expect("a value")
            .parse()
            .expect("a number");
        kib * 1024
    }

    /// Processor time used so far, user and system.
    pub async fn cpu_seconds(&self) -> f64 {
        self.metric("process_cpu_seconds_total").await
    }
}

/// The daemon's contract: a stop takes at most 25 s.
pub const STOP_LIMIT: Duration = Duration::from_secs(25);

/// The binary, with an environment that has no configuration.
pub fn incidentd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_incidentd"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("INCIDENTD__") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
}

async fn get(address: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    // HTTP/1.0: the answer comes in one piece and ends with the connection.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("an answer: {head:?}")))?;
    Ok((status, body.to_owned()))
}

/// Everything that a process writes to one of its outputs.
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Stream {
    fn of(mut source: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = bytes.clone();
        let reader = tokio::spawn(async move {
            let mut piece = vec![0; 64 << 10];
            while let Ok(length @ 1..) = source.read(&mut piece).await {
                let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
                sink.extend_from_slice(&piece[..length]);
            }
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
