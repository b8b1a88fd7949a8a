//! An API that answers with pages of any shape, as large as accepted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const MIB: usize = 1 << 20;
const NEAR_LIMIT: usize = 60 * MIB;
/// A last update within every span of these tests.
const UPDATED: &str = "\"lastUpdateTime\":\"2096-01-02T03:04:05Z\"";

/// A page: its beginning, the part that is repeated up to a size, and its end.
struct Shape {
    head: &'static str,
    again: String,
    tail: String,
    bytes: usize,
    /// The number of requests with this answer; all others get an empty page.
    times: usize,
}

/// One element, nearly as large as accepted: one text, many numbers, many members, or many small alerts.
fn large() -> [Shape; 4] {
    let one = |head: &'static str, again: &str, tail: &str| Shape {
        head,
        again: again.to_owned(),
        tail: format!("{tail},{UPDATED}}}]}}"),
        bytes: NEAR_LIMIT,
        times: 1,
    };
    [
        one("{\"value\":[{\"incidentId\":1,\"x\":\"", "x", "\""),
        one("{\"value\":[{\"incidentId\":2,\"x\":[1", ",1", "]"),
        one("{\"value\":[{\"incidentId\":3", ",\"a\":1", ""),
        one("{\"value\":[{\"incidentId\":4,\"alerts\":[{}", ",{}", "]"),
    ]
}

/// The first request gets the first of these.
fn any() -> Vec<Shape> {
    let page = |again: &str, bytes, times| Shape {
        head: "{\"value\":[",
        again: again.to_owned(),
        tail: "1]}".to_owned(),
        bytes,
        times,
    };
    let small = vec![
        // Tiny elements.
        page("{},", NEAR_LIMIT, 100),
        page("1,", NEAR_LIMIT, 100),
        page("[],", NEAR_LIMIT, 100),
        page("{\"incidentId\":7},", NEAR_LIMIT, 100),
        // Deep nesting without an end.
        page("[", 2 * MIB, 200),
        page("{\"a\":", 2 * MIB, 200),
        // An envelope with many keys.
        Shape {
            head: "{\"a\":1",
            again: ",\"a\":1".to_owned(),
            tail: ",\"value\":[]}".to_owned(),
            bytes: 200 << 10,
            times: 200,
        },
    ];
    let [_, numbers, members, _] = large();
    [numbers, members].into_iter().chain(small).collect()
}

/// Answers until it is dropped.
pub struct Shapes {
    address: SocketAddr,
    task: JoinHandle<()>,
    /// The number of answers that it has.
    all: usize,
    answered: Arc<AtomicUsize>,
}

impl Shapes {
    pub async fn start() -> Self {
        Self::answering(any()).await
    }

    pub async fn large() -> Self {
        let [text, _, _, alerts] = large();
        Self::answering(vec![text, alerts]).await
    }

    async fn answering(shapes: Vec<Shape>) -> Self {
        let all = shapes.iter().map(|shape| shape.times).sum();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let answered = Arc::<AtomicUsize>::default();
        let (shapes, count) = (Arc::new(shapes), answered.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shapes, count) = (shapes.clone(), count.clone());
                // A client that has read enough closes the connection.
                tokio::spawn(async move { answer(stream, &shapes, &count).await.ok() });
            }
        });
        Self {
            address,
            task,
            all,
            answered,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The number of requests answered so far, and the number of answers.
    pub fn answered(&self) -> (usize, usize) {
        (self.answered.load(Ordering::SeqCst), self.all)
    }
}

impl Drop for Shapes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    mut stream: TcpStream,
    shapes: &[Shape],
    count: &AtomicUsize,
) -> std::io::Result<()> {
    let mut sent = Vec::new();
    while !sent.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut sent).await? == 0 {
            return Ok(());
        }
    }
    let mut left = count.fetch_add(1, Ordering::SeqCst);
    let shape = shapes.iter().find(|shape| {
        let mine = left < shape.times;
        left = left.saturating_sub(shape.times);
        mine
    });
    let empty = Shape {
        head: "{\"value\":[",
        again: " ".to_owned(),
        tail: "]}".to_owned(),
        bytes: 0,
        times: 1,
    };
    let Shape {
        head,
        again,
        tail,
        bytes,
        ..
    } = shape.unwrap_or(&empty);
    let piece = again.repeat((64 << 10) / again.len());
    let pieces = bytes / piece.len();
    let length = head.len() + pieces * piece.len() + tail.len();
    let line = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{head}"
    );
    stream.write_all(line.as_bytes()).await?;
    for _ in 0..pieces {
        stream.write_all(piece.as_bytes()).await?;
    }
    stream.write_all(tail.as_bytes()).await?;
    stream.shutdown().await
}
