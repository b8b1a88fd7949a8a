//! Response bodies: how they end when a fault strikes, and when the last of them has left.

use std::future::{pending, ready};
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::{StreamExt, stream};
use tokio::time::sleep;

use super::super::connection::ConnectionHandle;
use super::super::faults::Effect;
use super::super::journal::InFlight;

/// Bodies leave in pieces of this size, so that a client that stops reading stops the sending.
const PIECE: usize = 64 * 1024;

/// The body of a response, changed by `effect`. A body that is dropped early drops `response` too: nothing was shown. Without
/// an announced length, hyper asks for the end before it sends the last chunk.
pub(super) fn body(
    mut bytes: Bytes,
    effect: Option<&Effect>,
    response: InFlight,
    connection: ConnectionHandle,
) -> Body {
    let (mut keep, mut reset) = (None, false);
    let (mut piece, mut pause) = (PIECE, Duration::ZERO);
    match effect {
        Some(Effect::ShortOfLength(bytes)) => keep = Some(*bytes),
        Some(Effect::ResetAfter(bytes)) => (keep, reset) = (Some(*bytes), true),
        Some(Effect::Drip(per_second)) => {
            piece = (per_second / 10).max(1);
            pause = Duration::from_secs_f64(piece as f64 / (*per_second).max(1) as f64);
        }
        _ => {}
    }
    bytes.truncate(keep.unwrap_or(usize::MAX));
    let pieces = stream::unfold(bytes, move |mut left| async move {
        if left.is_empty() {
            return None;
        }
        if pause > Duration::ZERO {
            sleep(pause).await;
        }
        Some((Ok(left.split_to(piece.min(left.len()))), left))
    });
    let end = stream::once(async move {
        if keep.is_none() {
            connection.hand_over(response);
            return None;
        }
        // hyper flushes what it holds while it waits.
        tokio::task::yield_now().await;
        if reset {
            connection.reset();
            pending::<()>().await;
        }
        Some(Err(io::Error::from(io::ErrorKind::UnexpectedEof)))
    });
    Body::from_stream(pieces.chain(end.filter_map(ready)))
}
