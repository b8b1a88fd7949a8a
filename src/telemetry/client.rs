//! Asks the endpoints of a running daemon ([`super::http`]), for the command line.
//!
//! One request over one connection, never through a proxy. Another program may have the port, so size and time are limited,
//! and an answer that is cut short is an error, never half a status.

use std::io;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::header::{DATE, HOST};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::core::time::ticks::Ticks;

/// To connect: at once on loopback, and soon elsewhere.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// For the whole exchange. The daemon ends a connection after ten seconds.
const LIMIT: Duration = Duration::from_secs(12);
/// Enough for some ten thousand tenants, all with errors.
const MAX_ANSWER: usize = 32 << 20;

/// An answer of any status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointAnswer {
    pub status: u16,
    /// The time by the server's clock, in whole seconds.
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
    Broken(#[source] hyper::Error),
    #[error("what answers there is not incidentd: {0}")]
    Strange(&'static str),
}

/// GET `path` from `address`, which is `HOST:PORT`.
///
/// # Errors
/// No complete answer arrived.
pub async fn get(address: &str, path: &str) -> Result<EndpointAnswer, RequestError> {
    get_within(address, path, LIMIT).await
}

async fn get_within(
    address: &str,
    path: &str,
    limit: Duration,
) -> Result<EndpointAnswer, RequestError> {
    let connected = timeout(CONNECT_LIMIT.min(limit), TcpStream::connect(address)).await;
    let stream = connected
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(RequestError::Connect)?;
    timeout(limit, exchange(stream, address, path))
        .await
        .map_err(|_| RequestError::Silence)?
}

async fn exchange(
    stream: TcpStream,
    address: &str,
    path: &str,
) -> Result<EndpointAnswer, RequestError> {
    let request = Request::get(path).header(HOST, address).body(Body::empty());
    let request = request.map_err(|_| RequestError::Strange("its address is no host"))?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(of_head)?;
    // The task ends with the sender and the body. They report its errors, too.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(of_head)?;
    let (head, body) = response.into_parts();
    let body = to_bytes(Body::new(body), MAX_ANSWER).await;
    let body = body.map_err(|_| RequestError::Strange("the answer is cut short, or has no end"))?;
    let body = String::from_utf8(body.into());
    let date = head.headers.get(DATE).and_then(|value| value.to_str().ok());
    Ok(EndpointAnswer {
        status: head.status.as_u16(),
        date: date.and_then(instant_of),
        body: body.map_err(|_| RequestError::Strange("the answer is not text"))?,
    })
}

fn of_head(error: hyper::Error) -> RequestError {
    match error.is_parse() || error.is_incomplete_message() {
        true => RequestError::Strange("the answer is not HTTP"),
        false => RequestError::Broken(error),
    }
}

fn instant_of(value: &str) -> Option<Ticks> {
    let at = httpdate::parse_http_date(value).ok()?;
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    Some(Ticks(0).plus(since))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
        let expected = EndpointAnswer {
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
                "not HTTP",
            ),
            (
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
                "cut short",
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
