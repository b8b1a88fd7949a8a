//! The newcomer's terminal: what is typed, what is printed, and the transcript of both.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use incidentd::simulator::{Simulator, Tenant};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::calm::calm;
use crate::support::daemon::{STOP_LIMIT, incidentd};
use crate::support::{SOON, until};

const TRANSCRIPT: &str = "tests/newcomer/transcript.txt";

pub struct Desk {
    folder: TempDir,
    /// The daemon's port, chosen once because the configuration names it.
    port: u16,
    daemon: Option<Child>,
    transcript: String,
    /// Texts that differ between runs, and their replacements; longest first.
    names: Vec<(String, String)>,
}

impl Desk {
    pub fn new(simulator: &Simulator, kafka: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Free now, and hopefully for the seconds that this takes.
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its address").port();
        let names = vec![
            (format!("{}/", folder.path().display()), String::new()),
            (simulator.url(), "http://microsoft:00443".to_owned()),
            (kafka.to_owned(), "kafka.test:9092".to_owned()),
            (format!("127.0.0.1:{port}"), "127.0.0.1:09464".to_owned()),
        ];
        Self {
            folder,
            port,
            daemon: None,
            transcript: String::new(),
            names,
        }
    }

    pub fn listen(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Writes down a thought of the newcomer.
    pub fn tell(&mut self, text: &str) {
        self.write(&format!("\n# {text}\n"));
    }

    /// Types a command that must end with this code.
    pub async fn types(&mut self, words: &str, code: i32) {
        let output = self.run(words).await;
        self.show(words, &output, code);
    }

    /// Types a command until it ends with this code. Only the last try is kept.
    pub async fn becomes(&mut self, words: &str, code: i32) {
        let mut last = None;
        until(&format!("{words} ends with {code}"), SOON, async || {
            let output = self.run(words).await;
            let done = output.status.code() == Some(code);
            last = Some(output);
            done
        })
        .await;
        self.show(words, &last.expect("it ended"), code);
    }

    async fn run(&self, words: &str) -> Output {
        let output = timeout(SOON, self.command(words).output()).await;
        output.expect("it ends").expect("it runs")
    }

    fn command(&self, words: &str) -> Command {
        let mut command = incidentd();
        command
            .args(words.split(' '))
            .current_dir(self.folder.path())
            .env("INCIDENTD__LOG__FORMAT", "text");
        command
    }

    fn show(&mut self, words: &str, output: &Output, code: i32) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{words}:\n{out}{err}");
        let ended = match code {
            0 => String::new(),
            code => format!("[exit code {code}]\n"),
        };
        self.write(&format!("\n$ incidentd {words}\n{out}{err}{ended}"));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn edits(&mut self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).expect(name);
        assert!(text.contains(from), "{from} is not in {name}:\n{text}");
        fs::write(self.path(name), text.replacen(from, to, 1)).expect(name);
        self.write(&format!("\n[{name}: {from} becomes {to}]\n"));
    }

    /// Adds a key to a section of a file, or to its end.
    pub fn sets(&mut self, name: &str, section: &str, key: &str, value: &str) {
        let text = fs::read_to_string(self.path(name)).expect(name);
        let line = format!("{key} = {value:?}\n");
        let text = if section.is_empty() {
            text + &line
        } else {
            let header = format!("\n[{section}]\n");
            assert!(text.contains(&header), "no [{section}] in {name}");
            let commented: String = text
                .lines()
                .filter(|old| !old.starts_with(&format!("{key} =")))
                .map(|old| old.to_owned() + "\n")
                .collect();
            commented.replacen(&header, &format!("{header}{line}"), 1)
        };
        fs::write(self.path(name), text).expect(name);
        let place = if section.is_empty() {
            String::new()
        } else {
            format!(" in [{section}]")
        };
        self.write(&format!("\n[{name}: {key} = {value:?}{place}]\n"));
    }

    /// Writes a secret into a file that only its owner can read.
    pub fn pastes(&mut self, name: &str, secret: &str) {
        use std::os::unix::fs::PermissionsExt;
        fs::write(self.path(name), secret).expect(name);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).expect(name);
        self.write(&format!("\n[a secret is pasted into {name}]\n"));
    }

    /// Starts the daemon and waits until it is ready.
    pub async fn starts(&mut self) {
        let log = fs::File::create(self.path("log")).expect("a log");
        let daemon = self
            .command("run --config incidentd.toml")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.daemon = Some(daemon.expect("the daemon starts"));
        self.write("\n$ incidentd run --config incidentd.toml 2>log &\n");
        self.becomes("status --ready --config incidentd.toml", 0)
            .await;
    }

    pub async fn reloads(&mut self) {
        self.signal("HUP");
        self.write("\n$ kill -HUP %1\n");
    }

    /// Sends SIGTERM, and then shows the log.
    pub async fn stops(&mut self) {
        self.signal("TERM");
        let mut daemon = self.daemon.take().expect("a daemon");
        let ended = timeout(STOP_LIMIT, daemon.wait()).await;
        let status = ended.expect("it ends in time").expect("a status");
        assert_eq!(status.code(), Some(0), "a clean stop");
        let log = fs::read_to_string(self.path("log")).expect("a log");
        self.write(&format!("\n$ kill -TERM %1\n$ cat log\n{log}"));
    }

    fn signal(&self, name: &str) {
        let pid = self.daemon.as_ref().and_then(Child::id).expect("a daemon");
        let sent = std::process::Command::new("sh")
            .args(["-c", &format!("kill -{name} {pid}")])
            .status();
        assert!(sent.expect("sh runs").success(), "SIG{name}");
    }

    fn write(&mut self, text: &str) {
        assert!(!text.contains(Tenant::SECRET), "a secret is shown: {text}");
        self.transcript.push_str(text);
        if std::env::var_os("UPDATE").is_some() {
            // Write it each time, so that a failing run can be read up to its failure.
            fs::write(kept(), self.named()).expect("written");
        }
    }

    /// The transcript without what differs between runs.
    fn named(&self) -> String {
        let names = self.names.iter();
        let text = names.fold(self.transcript.clone(), |text, (from, to)| {
            text.replace(from, to)
        });
        calm(text.trim_start())
    }

    /// Compares what was shown with the stored transcript.
    pub fn finish(self) {
        let kept = fs::read_to_string(kept()).unwrap_or_default();
        let now = self.named();
        let differs = now
            .lines()
            .zip(kept.lines())
            .find(|(now, kept)| now != kept);
        assert!(
            now == kept,
            "the transcript differs from {TRANSCRIPT} (UPDATE=1 writes it anew), first here (now, kept): {differs:#?}"
        );
    }
}

fn kept() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(TRANSCRIPT)
}
