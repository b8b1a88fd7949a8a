//! The head and body of an answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use reqwest::{Response, StatusCode};
use tokio::time::{Instant, timeout};

use crate::core::health::failure::Failure;
use crate::microsoft::transport::{self, Peer};

/// Error bodies are read up to this size.
const MAX_ERROR_BODY: usize = 64 << 10;
/// Pieces that have arrived are returned as one, up to this size. Decompression yields 8 KiB at a time, and each piece
/// costs the reader a look into the ledger.
const GATHER: usize = 64 << 10;

/// An answer whose body is still on its way.
pub(in crate::microsoft) struct StreamedAnswer {
    response: Response,
    peer: Arc<Peer>,
    /// The time spent waiting for the other side. No limit runs while the reader pauses (Kafka is unavailable).
    waited: Duration,
    /// Bytes received so far, decompressed.
    received: usize,
    /// What followed the last piece: the end of the body, or a failure.
    ending: Option<reqwest::Result<()>>,
    /// An encoding that was not requested, so that the body can't be read.
    encoding: Option<String>,
}

impl StreamedAnswer {
    /// `waited`: how long the head took to arrive.
    pub(in crate::microsoft) fn new(response: Response, peer: Arc<Peer>, waited: Duration) -> Self {
        Self {
            encoding: unasked_encoding(response.headers()),
            response,
            peer,
            waited,
            received: 0,
            ending: None,
        }
    }

    pub(in crate::microsoft) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(in crate::microsoft) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next piece of the body, decompressed. A body longer than `max` bytes is a failure.
    pub(in crate::microsoft) async fn chunk(
        &mut self,
        max: usize,
    ) -> Result<Option<Bytes>, Failure> {
        if let Some(encoding) = &self.encoding {
            return Err(transport::encoded(&self.peer, encoding));
        }
        let left = self.peer.total.saturating_sub(self.waited);
        let started = Instant::now();
        let read = timeout(left.min(self.peer.silence), self.gather()).await;
        self.waited += started.elapsed();
        match read {
            Ok(Ok(Some(bytes))) => {
                self.received = self.received.saturating_add(bytes.len());
                if self.received > max {
                    return Err(transport::too_large(&self.peer, max));
                }
                Ok(Some(bytes))
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => Err(transport::failure(&error, &self.peer)),
            Err(_) if left <= self.peer.silence => Err(transport::too_slow(&self.peer)),
            Err(_) => Err(transport::silent(&self.peer)),
        }
    }

    /// Waits for a piece, and appends those that have arrived already.
    async fn gather(&mut self) -> reqwest::Result<Option<Bytes>> {
        if let Some(ending) = self.ending.take() {
            return ending.map(|()| None);
        }
        let Some(first) = self.response.chunk().await? else {
            return Ok(None);
        };
        let mut gathered = BytesMut::from(first);
        while gathered.len() < GATHER
            && let Some(next) = self.response.chunk().now_or_never()
        {
            match next {
                Ok(Some(piece)) => {
                    if gathered.capacity() - gathered.len() < piece.len() {
                        gathered.reserve(GATHER);
                    }
                    gathered.extend_from_slice(&piece);
                }
                Ok(None) => {
                    self.ending = Some(Ok(()));
                    break;
                }
                Err(error) => {
                    self.ending = Some(Err(error));
                    break;
                }
            }
        }
        Ok(Some(gathered.freeze()))
    }

    /// The whole body.
    pub(in crate::microsoft) async fn body(&mut self, max: usize) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(bytes) = self.chunk(max).await? {
            body.extend_from_slice(&bytes);
        }
        Ok(body)
    }

    /// The error body as far as it arrives without an error, at most 64 KiB: the status already says what matters.
    pub(in crate::microsoft) async fn error_body(&mut self) -> Vec<u8> {
        if let Some(encoding) = &self.encoding {
            return transport::in_encoding(encoding).into_bytes();
        }
        let mut body = Vec::new();
        let deadline = Instant::now() + self.peer.silence;
        while body.len() < MAX_ERROR_BODY && Instant::now() < deadline {
            match self.chunk(usize::MAX).await {
                Ok(Some(bytes)) => body.extend_from_slice(&bytes),
                Ok(None) | Err(_) => break,
            }
        }
        body.truncate(MAX_ERROR_BODY);
        body
    }
}

/// Names of encodings (RFC 9110, 8.4.1) are short words. Anything longer may repeat what was sent.
const LONGEST_ENCODING: usize = 12;

/// The encoding of a body after decompression. Only gzip is requested, and decompression removes its header.
fn unasked_encoding(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let texts: Vec<String> = values
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect();
    let names = texts.iter().flat_map(|text| text.split(','));
    let names: Vec<&str> = names
        .map(str::trim)
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"))
        .map(|name| if is_word(name) { name } else { "unknown" })
        .take(4)
        .collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn is_word(name: &str) -> bool {
    let of_a_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    name.len() <= LONGEST_ENCODING && name.chars().all(of_a_word)
}
