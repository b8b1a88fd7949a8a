//! Asks the endpoints of a running daemon ([`super::http`]), for the commands that look at it from outside.
//!
//! One HTTP/1.0 request over one connection: the answer ends with the connection, and there is nothing to negotiate. What
//! answers may be anything that took the port, so that size and time are limited, and an answer that is cut short is an
//! error, never half a status.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::core::time::ticks::Ticks;

/// For a connection to come about: on loopback at once, and elsewhere soon.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// For all of it. The daemon gives a connection ten seconds.
const LIMIT: Duration = Duration::from_secs(12);
/// Some ten thousand tenants, all of them ill.
const MAX_ANSWER: u64 = 32 << 20;

/// What was answered, whatever the status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    /// The time by the answering side's clock, in whole seconds.
    pub date: Option<Ticks>,
    pub body: String,
}

#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("can't connect")]
    Connect(#[source] io::Error),
    #[error("no answer within {} seconds", LIMIT.as_secs())]
    Silence,
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    #[error("what answers there is not incidentd: {0}")]
    Strange(&'static str),
}

/// GET `path` from `address`, which is `HOST:PORT`.
///
/// # Errors
/// There is no whole answer.
pub async fn get(address: &str, path: &str) -> Result<HttpAnswer, RequestError> {
    get_within(address, path, LIMIT).await
}

async fn get_within(
    address: &str,
    path: &str,
    limit: Duration,
) -> Result<HttpAnswer, RequestError> {
    let connected = timeout(CONNECT_LIMIT.min(limit), TcpStream::connect(address)).await;
    let stream = connected
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(RequestError::Connect)?;
    let answer = timeout(limit, exchange(stream, address, path)).await;
    let bytes = answer
        .map_err(|_| RequestError::Silence)?
        .map_err(RequestError::Broken)?;
    if bytes.len() as u64 > MAX_ANSWER {
        return Err(RequestError::Strange("the answer has no end"));
    }
    read(&bytes)
}

async fn exchange(mut stream: TcpStream, address: &str, path: &str) -> io::Result<Vec<u8>> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.take(MAX_ANSWER + 1).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

fn read(bytes: &[u8]) -> Result<HttpAnswer, RequestError> {
    let strange = RequestError::Strange;
    let text = std::str::from_utf8(bytes).map_err(|_| strange("the answer is not text"))?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or(strange("the answer is not HTTP"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(status_of);
    let mut answer = HttpAnswer {
        status: status.ok_or(strange("the answer is not HTTP"))?,
        date: None,
        body: body.to_owned(),
    };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "date" => answer.date = date(value),
            "content-length" if value.parse() != Ok(body.len()) => {
                return Err(strange("the answer is cut short"));
            }
            "transfer-encoding" => return Err(strange("the answer is not HTTP/1.0")),
            _ => {}
        }
    }
    Ok(answer)
}

/// `HTTP/1.0 200 OK`.
fn status_of(line: &str) -> Option<u16> {
    let (version, rest) = line.split_once(' ')?;
    let status = rest.split(' ').next()?;
    version
        .starts_with("HTTP/1.")
        .then(|| status.parse().ok())
        .flatten()
}

fn date(value: &str) -> Option<Ticks> {
    let at = httpdate::parse_http_date(value).ok()?;
    let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Ticks(0).plus(since))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Answers one connection with these bytes and closes it; its address.
    async fn answering(bytes: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(bytes).await;
        });
        address
    }

    #[tokio::test]
    async fn an_answer_comes_with_its_status_and_its_time() {
        let address = answering(
            b"HTTP/1.0 503 Service Unavailable\r\ndate: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Length: 8\r\n\r\nwaiting\n",
        )
        .await;
        let expected = HttpAnswer {
            status: 503,
            date: Some(Ticks::from_unix_seconds(1_700_000_000)),
            body: "waiting\n".into(),
        };
        assert_eq!(get(&address, "/readyz").await.unwrap(), expected);
    }

    #[tokio::test]
    async fn what_is_not_a_whole_answer_is_refused() {
        for (bytes, why) in [
            (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], "not HTTP"),
            (b"", "not HTTP"),
            (
                b"HTTP/1.0 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
                "cut short",
            ),
            (
                b"HTTP/1.0 200 OK\r\ncontent-length: x\r\n\r\nhalf",
                "cut short",
            ),
            (
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
                "HTTP/1.0",
            ),
            (b"HTTP/1.0 twohundred OK\r\n\r\n", "not HTTP"),
            (b"HTTP/1.0 200 OK\r\n\r\n\xff\xfe", "not text"),
        ] {
            let address = answering(bytes).await;
            let error = get(&address, "/").await.expect_err(why).to_string();
            assert!(error.contains(why), "{why}: {error}");
        }
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_told_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = get(&address, "/").await.expect_err("nobody is there");
        assert!(matches!(error, RequestError::Connect(_)), "{error:?}");
    }

    #[tokio::test]
    async fn silence_has_an_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let error = get_within(&address, "/", Duration::from_millis(50)).await;
        assert!(matches!(error, Err(RequestError::Silence)), "{error:?}");
    }
}
