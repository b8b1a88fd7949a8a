//! What a request is met with.

use std::io::Write;

use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::super::books::Shown;
use super::super::faults::{Effect, Hint};
use super::super::time::{self, SECOND};

/// Below this, compression is not worth it.
const GZIP_FROM: usize = 1024;

/// What is to be sent.
pub(in super::super) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// What is in it, which counts as shown when all of it has left.
    pub shown: Vec<Shown>,
}

impl Answer {
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::bytes(status, value.to_string().into())
    }

    pub fn bytes(status: u16, body: Bytes) -> Self {
        Self::typed(status, "application/json; charset=utf-8", body)
    }

    /// With a 429's word on when to come back, unless that stands in the message.
    pub fn hinting(mut self, hint: Hint, now: i64) -> Self {
        let value = match hint {
            Hint::Seconds(seconds) => seconds.to_string(),
            Hint::Date(seconds) => {
                let ahead = i64::try_from(seconds).unwrap_or(i64::MAX);
                time::format_http(now.saturating_add(ahead.saturating_mul(SECOND)))
            }
            Hint::Text(_) | Hint::Nothing => return self,
        };
        self.headers.push(("retry-after".to_owned(), value));
        self
    }

    /// Packs the body with gzip, when that is worth it.
    pub fn pack(&mut self) {
        if self.body.len() < GZIP_FROM {
            return;
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let packed = encoder
            .write_all(&self.body)
            .and_then(|()| encoder.finish());
        // Writing to a vector cannot fail; were it to, the plain body is as good.
        if let Ok(packed) = packed {
            self.body = packed.into();
            self.headers
                .push(("content-encoding".to_owned(), "gzip".to_owned()));
        }
    }

    pub fn typed(status: u16, kind: &str, body: Bytes) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), kind.to_owned())],
            body,
            shown: Vec::new(),
        }
    }
}

/// How a request is met.
pub(in super::super) enum Reply {
    Answer(Answer),
    /// A poisoned incident does this in place of an answer.
    Fault(Effect),
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}
