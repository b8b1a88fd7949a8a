//! Response bodies: how they end when a fault strikes, and when the last of them has left.

use std::future::pending;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;

use super::super::connection::ConnectionHandle;
use super::super::faults::Effect;
use super::super::journal::InFlight;

/// Bodies leave in pieces of this size, so that a client that stops reading stops the sending.
const PIECE: usize = 64 * 1024;

/// A body on its way out.
pub(super) struct Sending {
    body: Bytes,
    piece: usize,
    pause: Option<Duration>,
    ending: Ending,
    connection: ConnectionHandle,
    /// Present until the end. A body that is dropped earlier drops it too: nothing was shown.
    response: Option<InFlight>,
}

#[derive(Clone, Copy)]
enum Ending {
    Whole,
    BreakOff,
    Reset,
}

impl Sending {
    pub fn new(
        mut body: Bytes,
        effect: Option<&Effect>,
        response: InFlight,
        connection: ConnectionHandle,
    ) -> Self {
        let (keep, ending) = match effect {
            Some(Effect::ShortOfLength(keep) | Effect::ShortOfLastChunk(keep)) => {
                (*keep, Ending::BreakOff)
            }
            Some(Effect::ResetAfter(keep)) => (*keep, Ending::Reset),
            _ => (usize::MAX, Ending::Whole),
        };
        body.truncate(keep);
        let (piece, pause) = match effect {
            Some(Effect::Drip(per_second)) => {
                let piece = (per_second / 10).max(1);
                let pause = Duration::from_secs_f64(piece as f64 / (*per_second).max(1) as f64);
                (piece, Some(pause))
            }
            _ => (PIECE, None),
        };
        Self {
            body,
            piece,
            pause,
            ending,
            connection,
            response: Some(response),
        }
    }

    /// Chunked: without an announced length, hyper asks for the end before it sends the last chunk.
    pub fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, Self::next))
    }

    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        if !self.body.is_empty() {
            if let Some(pause) = self.pause {
                tokio::time::sleep(pause).await;
            }
            let piece = self.body.split_to(self.piece.min(self.body.len()));
            return Some((Ok(piece), self));
        }
        match self.ending {
            Ending::Whole => {
                if let Some(response) = self.response.take() {
                    self.connection.hand_over(response);
                }
                None
            }
            Ending::BreakOff => {
                // hyper flushes what it holds while it waits.
                tokio::task::yield_now().await;
                Some((Err(io::ErrorKind::UnexpectedEof.into()), self))
            }
            Ending::Reset => {
                tokio::task::yield_now().await;
                self.connection.reset();
                pending().await
            }
        }
    }
}
