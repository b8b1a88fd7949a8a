//! The other side: a server on loopback that gives every request the one planned answer, and counts the requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

#[derive(Debug, Clone)]
pub enum Answer {
    Whole(Whole),
    /// A good head, and a body that ends before its announced length.
    Cut,
    Silence,
    /// The connection is reset after the request has arrived.
    Reset,
    /// Nothing listens.
    Refused,
}

#[derive(Debug, Clone)]
pub struct Whole {
    pub status: u16,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: String,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self::Whole(Whole {
            status,
            headers: Vec::new(),
            body: body.into(),
        })
    }

    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, body).with("content-type", "application/json; charset=utf-8")
    }

    pub fn html(status: u16) -> Self {
        let page = "<!DOCTYPE html><html><title>Contoso</title><form action=/login></form></html>";
        Self::new(status, page).with("content-type", "text/html")
    }

    pub fn empty(status: u16) -> Self {
        Self::new(status, "")
    }

    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        if let Self::Whole(whole) = &mut self {
            whole.headers.push((name, value));
        }
        self
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Whole(whole) => whole.bytes(),
            Self::Cut => {
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{"
                    .to_vec()
            }
            Self::Silence | Self::Reset | Self::Refused => Vec::new(),
        }
    }
}

impl Whole {
    fn bytes(&self) -> Vec<u8> {
        let headers: String = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let length = match self.status {
            204 => String::new(),
            _ => format!("content-length: {}\r\n", self.body.len()),
        };
        let Self { status, body, .. } = self;
        format!("HTTP/1.1 {status} -\r\nconnection: close\r\n{length}{headers}\r\n{body}")
            .into_bytes()
    }
}

pub struct Server {
    pub url: Url,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            if matches!(answer, Answer::Refused) {
                return;
            }
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream, &answer, &count).await;
            }
        });
        Self {
            url: Url::parse(&url).unwrap(),
            requests,
            task,
        }
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Waits until nothing listens any more.
    pub async fn closed(&mut self) {
        (&mut self.task).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, answer: &Answer, count: &AtomicUsize) {
    if !read_request(&mut stream).await {
        return;
    }
    count.fetch_add(1, Ordering::SeqCst);
    match answer {
        Answer::Silence => std::future::pending().await,
        Answer::Reset => stream.set_zero_linger().unwrap(),
        // The client may be gone already.
        _ => drop(stream.write_all(&answer.bytes()).await),
    }
}

/// Reads a complete request, so that closing the connection resets nothing. `false`: it never came.
async fn read_request(stream: &mut TcpStream) -> bool {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, value)| value.parse().unwrap());
            if body.len() >= length {
                return true;
            }
        }
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return false;
        }
    }
}
