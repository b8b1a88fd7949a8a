//! Connections that request handlers can reset, and that know when a response has left.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::journal::InFlight;

/// A connection, as the request handlers hold it.
#[derive(Clone)]
pub(super) struct ConnectionHandle {
    reset: CancellationToken,
    /// Responses that hyper has received whole, and may still hold in its buffer.
    handed_over: Arc<Mutex<Vec<InFlight>>>,
}

impl ConnectionHandle {
    pub fn reset(&self) {
        self.reset.cancel();
    }

    /// The response's body has been handed over to hyper.
    pub fn hand_over(&self, mut response: InFlight) {
        response.handed_over();
        self.handed_over.lock().push(response);
    }
}

/// Accepts [`Connection`]s.
pub(super) struct Acceptor {
    pub listener: TcpListener,
    /// Resets all connections.
    pub reset: CancellationToken,
}

impl Listener for Acceptor {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, from) = Listener::accept(&mut self.listener).await;
        // Small answers must not wait for Nagle's algorithm. If the option fails, they are only slower.
        let _ = stream.set_nodelay(true);
        let reset = self.reset.child_token();
        let connection = Connection {
            stream,
            was_reset: Box::pin(reset.clone().cancelled_owned()),
            handle: ConnectionHandle {
                reset,
                handed_over: Arc::default(),
            },
        };
        (connection, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Acceptor>> for ConnectionHandle {
    fn connect_info(stream: IncomingStream<'_, Acceptor>) -> Self {
        stream.io().handle.clone()
    }
}

pub(super) struct Connection {
    stream: TcpStream,
    was_reset: Pin<Box<WaitForCancellationFutureOwned>>,
    handle: ConnectionHandle,
}

impl Connection {
    /// The stream, unless the connection is to be reset.
    fn open(&mut self, cx: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        if self.was_reset.as_mut().poll(cx).is_ready() {
            // With no lingering, closing sends a reset.
            self.stream.set_zero_linger()?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(Pin::new(&mut self.stream))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.open(cx)?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.open(cx)?.poll_write(cx, buf)
    }

    /// hyper flushes after it has written all that it holds.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.open(cx)?.poll_flush(cx);
        if let Poll::Ready(Ok(())) = flushed {
            let left = std::mem::take(&mut *self.handle.handed_over.lock());
            left.into_iter().for_each(InFlight::left);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
