//! The answer to a request.

use std::io::Write;

use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::journal::Shown;

/// Below this, compression is not worth it.
const GZIP_FROM: usize = 1024;

pub(super) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// What is in it, which counts as shown when all of it has left.
    pub shown: Vec<Shown>,
}

impl Answer {
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::typed(status, "application/json; charset=utf-8", body)
    }

    pub fn typed(status: u16, kind: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), kind.to_owned())],
            body: body.into(),
            shown: Vec::new(),
        }
    }

    pub fn showing(mut self, shown: Vec<Shown>) -> Self {
        self.shown = shown;
        self
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Packs the body with gzip, when that is worth it.
    pub fn pack(mut self) -> Self {
        if self.body.len() < GZIP_FROM {
            return self;
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let written = encoder.write_all(&self.body);
        // Writing to a vector can't fail. The plain body would be valid too.
        let Ok(packed) = written.and_then(|()| encoder.finish()) else {
            return self;
        };
        self.body = packed.into();
        self.header("content-encoding", "gzip")
    }
}
