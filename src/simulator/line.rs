//! The connections: each can be cut from within, and tells when what was handed over has left.

use parking_lot::Mutex;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::books::Flight;

/// The end of a connection that the request handlers hold.
#[derive(Clone)]
pub(super) struct Plug(Arc<Socket>);

#[derive(Default)]
struct Socket {
    cut: AtomicBool,
    waker: AtomicWaker,
    /// Responses that hyper has whole, but that may still be in its buffer.
    handed_over: Mutex<Vec<Flight>>,
}

impl Plug {
    /// Resets the connection.
    pub fn cut(&self) {
        self.0.cut.store(true, Ordering::SeqCst);
        self.0.waker.wake();
    }

    /// The response's body has been handed over to hyper.
    pub fn hand_over(&self, mut flight: Flight) {
        flight.handed_over();
        let mut waiting = self.0.handed_over.lock();
        waiting.push(flight);
    }
}

/// All connections that were ever accepted and may still be open.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<Weak<Socket>>>>);

impl Lines {
    pub fn cut_all(&self) {
        let mut lines = self.0.lock();
        for socket in lines.drain(..).filter_map(|line| line.upgrade()) {
            Plug(socket).cut();
        }
    }

    fn add(&self, plug: &Plug) {
        let mut lines = self.0.lock();
        // Sweeping only when the vector would grow keeps accepting cheap.
        if lines.len() == lines.capacity() {
            lines.retain(|line| line.strong_count() > 0);
        }
        lines.push(Arc::downgrade(&plug.0));
    }
}

/// Accepts connections as [`Line`]s.
pub(super) struct Exchange {
    pub listener: TcpListener,
    pub lines: Lines,
}

impl Listener for Exchange {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        let (stream, from) = Listener::accept(&mut self.listener).await;
        // Small answers must not wait for Nagle; without it they are only slower.
        let _ = stream.set_nodelay(true);
        let plug = Plug(Arc::default());
        self.lines.add(&plug);
        (Line { stream, plug }, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Exchange>> for Plug {
    fn connect_info(stream: IncomingStream<'_, Exchange>) -> Self {
        stream.io().plug.clone()
    }
}

/// A connection.
pub(super) struct Line {
    stream: TcpStream,
    plug: Plug,
}

impl Line {
    fn alive(&self, cx: &Context<'_>) -> io::Result<()> {
        self.plug.0.waker.register(cx.waker());
        if self.plug.0.cut.load(Ordering::SeqCst) {
            // With no lingering, closing sends a reset.
            self.stream.set_zero_linger()?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.alive(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.alive(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.alive(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes after it has written all that it holds.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.alive(cx)?;
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if let Poll::Ready(Ok(())) = flushed {
            let socket = &self.plug.0;
            let left = {
                let mut waiting = socket.handed_over.lock();
                std::mem::take(&mut *waiting)
            };
            left.into_iter().for_each(Flight::left);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
