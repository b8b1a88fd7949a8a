//! The connections. Each can be reset from within, and reports when what was handed over has left.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::journal::InFlight;

/// A connection, as the request handlers hold it.
#[derive(Clone, Default)]
pub(super) struct ConnectionHandle(Arc<Shared>);

#[derive(Default)]
struct Shared {
    reset: AtomicBool,
    waker: AtomicWaker,
    /// Responses that hyper has whole, but that may still be in its buffer.
    handed_over: Mutex<Vec<InFlight>>,
}

impl ConnectionHandle {
    pub fn reset(&self) {
        self.0.reset.store(true, Ordering::SeqCst);
        self.0.waker.wake();
    }

    /// The response's body has been handed over to hyper.
    pub fn hand_over(&self, mut response: InFlight) {
        response.handed_over();
        self.0.handed_over.lock().push(response);
    }
}

/// All connections that may still be open.
#[derive(Clone, Default)]
pub(super) struct Connections(Arc<Mutex<Vec<Weak<Shared>>>>);

impl Connections {
    pub fn reset_all(&self) {
        for shared in self.0.lock().drain(..).filter_map(|one| one.upgrade()) {
            ConnectionHandle(shared).reset();
        }
    }

    fn add(&self, handle: &ConnectionHandle) {
        let mut all = self.0.lock();
        // Removing closed ones only when the vector would grow keeps accepting cheap.
        if all.len() == all.capacity() {
            all.retain(|one| one.strong_count() > 0);
        }
        all.push(Arc::downgrade(&handle.0));
    }
}

/// Accepts [`Connection`]s.
pub(super) struct Acceptor {
    pub listener: TcpListener,
    pub connections: Connections,
}

impl Listener for Acceptor {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, from) = Listener::accept(&mut self.listener).await;
        // Small answers must not wait for Nagle's algorithm; without the option they are only slower.
        let _ = stream.set_nodelay(true);
        let handle = ConnectionHandle::default();
        self.connections.add(&handle);
        (Connection { stream, handle }, from)
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
    handle: ConnectionHandle,
}

impl Connection {
    /// The stream, unless the connection is to be reset.
    fn open(&mut self, cx: &Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        self.handle.0.waker.register(cx.waker());
        if self.handle.0.reset.load(Ordering::SeqCst) {
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
            let left = std::mem::take(&mut *self.handle.0.handed_over.lock());
            left.into_iter().for_each(InFlight::left);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
