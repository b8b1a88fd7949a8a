//! The messages to systemd, received on a socket of this test.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use incidentd::simulator::Options;
use tempfile::TempDir;

use crate::support::daemon::Daemon;
use crate::support::setup::{Setup, simulator};
use crate::support::{SOON, until};

/// A notify socket, and the messages received.
struct Systemd {
    folder: TempDir,
    messages: Arc<Mutex<Vec<Message>>>,
}

/// One datagram: `NAME=value` lines.
#[derive(Debug, Clone)]
struct Message(Vec<(String, String)>);

impl Message {
    fn get(&self, name: &str) -> Option<&str> {
        let mut lines = self.0.iter();
        lines
            .find(|(of, _)| of == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Systemd {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        let messages = Arc::<Mutex<Vec<Message>>>::default();
        let sink = messages.clone();
        // Ends with the process of the test, because a datagram socket is not closed from the other side.
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(length) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let lines = text.lines().filter_map(|line| line.split_once('='));
                let lines = lines.map(|(name, value)| (name.to_owned(), value.to_owned()));
                sink.lock().expect("lock").push(Message(lines.collect()));
            }
        });
        Self { folder, messages }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("notify")
    }

    fn messages(&self) -> Vec<Message> {
        self.messages.lock().expect("lock").clone()
    }

    /// Waits for messages in order, each with these names and values; an empty value matches any.
    async fn told(&self, what: &str, wanted: &[(&str, &str)]) -> Message {
        let found = || {
            let fits = |message: &Message| {
                wanted.iter().all(|(name, value)| {
                    message
                        .get(name)
                        .is_some_and(|told| value.is_empty() || told == *value)
                })
            };
            self.messages().into_iter().rfind(fits)
        };
        until(what, SOON, async || found().is_some()).await;
        found().expect("it was there")
    }

    fn count(&self, name: &str) -> usize {
        let messages = self.messages();
        messages.iter().filter(|it| it.get(name).is_some()).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_of_start_life_reload_and_stop() {
    let simulator = simulator(2, Options::default()).await;
    let setup = Setup::new(&simulator, "127.0.0.1:9", "unused");
    let (config, systemd) = (setup.write(), Systemd::start());
    let socket = systemd.socket();
    let env = [
        ("NOTIFY_SOCKET", socket.to_str().expect("text")),
        ("WATCHDOG_USEC", "400000"),
    ];
    let mut daemon = Daemon::start_with(&config, &["--output", "stdout"], &env).await;
    systemd.told("READY", &[("READY", "1")]).await;
    systemd
        .told("the status in words", &[("STATUS", "all 2 tenants ok")])
        .await;
    let fed = systemd.count("WATCHDOG");
    until("the watchdog is fed again and again", SOON, async || {
        systemd.count("WATCHDOG") > fed + 3
    })
    .await;

    let ready = systemd.count("READY");
    daemon.signal("HUP");
    let reloading = systemd.told("RELOADING", &[("RELOADING", "1")]).await;
    let began: u64 = reloading
        .get("MONOTONIC_USEC")
        .expect("the time of the reload")
        .parse()
        .expect("microseconds");
    let uptime = fs::read_to_string("/proc/uptime").expect("/proc");
    let uptime: f64 = uptime.split(' ').next().expect("one").parse().expect("s");
    assert!(
        (uptime - began as f64 / 1e6).abs() < 60.0,
        "began at {began} us, the machine is up for {uptime} s"
    );
    until("READY after the reload", SOON, async || {
        systemd.count("READY") > ready
    })
    .await;

    fs::write(&config, "nonsense").expect("written");
    daemon.signal("HUP");
    let refused = "all 2 tenants ok; the last reload was refused";
    systemd
        .told(
            "READY, and that it was refused",
            &[("READY", "1"), ("STATUS", refused)],
        )
        .await;

    daemon.stop().await;
    systemd
        .told("STOPPING", &[("STOPPING", "1"), ("STATUS", "")])
        .await;
}
