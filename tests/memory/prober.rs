//! A probe like a kubelet's: a separate process that waits only for the daemon. So it has its own thread here.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::time::Instant;

const BETWEEN: Duration = Duration::from_millis(20);
/// A slower answer fails the test at once.
const NEVER: Duration = Duration::from_secs(10);

pub struct Prober {
    /// Dropped to end the thread.
    running: SyncSender<()>,
    thread: JoinHandle<Vec<Duration>>,
}

impl Prober {
    /// Requests `/livez` repeatedly.
    pub fn start(address: &str) -> Self {
        let (running, stop) = sync_channel(0);
        let address = address.to_owned();
        let thread = thread::spawn(move || {
            let mut waits = Vec::new();
            while stop.recv_timeout(BETWEEN) == Err(RecvTimeoutError::Timeout) {
                waits.push(probe(&address));
            }
            waits.sort_unstable();
            waits
        });
        Self { running, thread }
    }

    /// How long each answer took, the shortest first.
    pub fn stop(self) -> Vec<Duration> {
        drop(self.running);
        let waits = self.thread.join().expect("every probe was answered");
        assert!(!waits.is_empty(), "no probe was answered");
        waits
    }
}

fn probe(address: &str) -> Duration {
    let asked = Instant::now();
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(NEVER)).expect("a limit");
    write!(stream, "GET /livez HTTP/1.0\r\nHost: {address}\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let took = asked.elapsed();
    assert!(answer.contains(" 200 OK"), "it counts as dead: {answer}");
    took
}
