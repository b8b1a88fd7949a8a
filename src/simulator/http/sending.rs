//! Bodies that end as they are told to, and know when the last of them has left.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;

use super::super::books::Flight;
use super::super::faults::Effect;
use super::super::line::Plug;

/// Bodies leave in pieces of this size, so that a reader that stops reading stops us.
const PIECE: usize = 64 * 1024;

/// A body on its way out.
pub(super) struct Sending {
    body: Bytes,
    piece: usize,
    pause: Option<Duration>,
    ending: Ending,
    plug: Plug,
    /// Present until the end; a body dropped before takes it along, and with it the claim to have been shown.
    flight: Option<Flight>,
}

#[derive(Clone, Copy)]
enum Ending {
    Whole,
    BreakOff,
    Reset,
}

impl Sending {
    pub fn new(mut body: Bytes, effect: Option<&Effect>, flight: Flight, plug: Plug) -> Self {
        let ending = match effect {
            Some(Effect::ShortOfLength(keep) | Effect::ShortOfLastChunk(keep)) => {
                body.truncate(*keep);
                Ending::BreakOff
            }
            Some(Effect::ResetAfter(keep)) => {
                body.truncate(*keep);
                Ending::Reset
            }
            _ => Ending::Whole,
        };
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
            plug,
            flight: Some(flight),
        }
    }

    /// Chunked, as its length is not told: its last chunk is sent after the last piece was asked for and gone.
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
                if let Some(flight) = self.flight.take() {
                    self.plug.hand_over(flight);
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
                self.plug.cut();
                let never: Infallible = pending().await;
                match never {}
            }
        }
    }
}
