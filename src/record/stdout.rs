//! Records on standard output, one a line: `run --output stdout`.
//!
//! A record's line is its value without insignificant white space. A dead letter, which may be any bytes, is one JSON
//! string, so that each line is JSON and a dead letter can't be taken for an incident.
//!
//! `Ok` for a record means that its line is written and flushed. Lines of one call follow each other. If the reader has
//! ended, an operator has to start it again.

use parking_lot::Mutex;
use std::future::pending;
use std::io::{self, Write};
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::health::status::PartStatus;
use crate::ports::{Part, Publisher, Record, Refused};

use super::white_space::Compactor;
use super::{CONTENT_TYPE, OCTET_STREAM};

/// Writes lines to `W`, which is standard output except in tests.
#[derive(Debug)]
pub struct StdoutPublisher<W> {
    lines: Arc<Mutex<Lines<W>>>,
}

#[derive(Debug)]
struct Lines<W> {
    out: W,
    /// A write failed, maybe in the middle of a line.
    torn: bool,
}

impl<W: Write + Send + 'static> StdoutPublisher<W> {
    pub fn new(out: W) -> Self {
        let lines = Lines { out, torn: false };
        Self {
            lines: Arc::new(Mutex::new(lines)),
        }
    }
}

impl<W: Write + Send + 'static> Publisher for StdoutPublisher<W> {
    /// Writes on a thread where blocking is allowed: a pipe with a slow reader blocks.
    fn publish(&self, records: Vec<Record>) -> BoxFuture<'_, Vec<Result<(), Refused>>> {
        let lines = self.lines.clone();
        Box::pin(async move {
            let count = records.len();
            let written = tokio::task::spawn_blocking(move || {
                let mut lines = lines.lock();
                lines.publish(&records)
            });
            let cut_off = || failure(&io::Error::other("the write was cut off"));
            written
                .await
                .unwrap_or_else(|_| vec![Err(cut_off().into()); count])
        })
    }

    fn limit<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Option<usize>> {
        Box::pin(async { None })
    }
}

/// Its only faults are those of single writes, which the results of the writes report.
impl<W: Write + Send + 'static> Part for StdoutPublisher<W> {
    fn name(&self) -> &'static str {
        "standard output"
    }

    fn status(&self) -> PartStatus {
        PartStatus::OK
    }

    fn alive(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { true })
    }

    fn fatal(&self) -> BoxFuture<'_, String> {
        Box::pin(pending())
    }
}

impl<W: Write> Lines<W> {
    fn publish(&mut self, records: &[Record]) -> Vec<Result<(), Refused>> {
        let mut line = Vec::new();
        let mut results = Vec::with_capacity(records.len());
        for record in records {
            match self.write(record, &mut line) {
                Ok(()) => results.push(Ok(())),
                Err(error) => {
                    // Lines after a failed one would be out of order, so they are not tried.
                    results.resize(records.len(), Err(failure(&error).into()));
                    break;
                }
            }
        }
        results
    }

    /// Flushes each line, so that each result is exact. Standard output flushes at the end of a line anyway.
    fn write(&mut self, record: &Record, line: &mut Vec<u8>) -> io::Result<()> {
        line.clear();
        // Reserved exactly: a line that grows step by step can take twice its size.
        line.reserve_exact(record.value.len() + 2);
        if self.torn {
            line.push(b'\n');
        }
        put_line(record, line)?;
        let written = self.out.write_all(line).and_then(|()| self.out.flush());
        self.torn = written.is_err();
        written
    }
}

fn put_line(record: &Record, line: &mut Vec<u8>) -> io::Result<()> {
    let octets = |(name, value): &(&str, String)| *name == CONTENT_TYPE && value == OCTET_STREAM;
    if record.headers.iter().any(octets) {
        serde_json::to_writer(&mut *line, &String::from_utf8_lossy(&record.value))?;
    } else {
        Compactor::default().push(&record.value, line);
    }
    line.push(b'\n');
    Ok(())
}

fn failure(error: &io::Error) -> Failure {
    let (what, remedy) = match error.kind() {
        io::ErrorKind::BrokenPipe => (
            "the program that reads the records from standard output has ended".to_owned(),
            "start incidentd again together with that program; what was already in the pipe counts as published",
        ),
        _ => (
            format!("standard output can't be written ({error})"),
            "check what standard output is connected to, and whether there is space",
        ),
    };
    Failure::new(Health::Misconfigured, Reaction::Backoff, what, remedy)
        .caused_by("standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Pipe {
        taken: Vec<u8>,
        flushed: usize,
        /// Bytes it still takes.
        room: Option<usize>,
    }

    #[derive(Debug, Clone, Default)]
    struct Shared(Arc<Mutex<Pipe>>);

    impl Shared {
        fn with<T>(&self, body: impl FnOnce(&mut Pipe) -> T) -> T {
            body(&mut self.0.lock())
        }

        fn text(&self) -> String {
            self.with(|pipe| String::from_utf8(pipe.taken.clone()).expect("UTF-8"))
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.with(|pipe| {
                let takes = pipe.room.unwrap_or(bytes.len()).min(bytes.len());
                if takes == 0 {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                if let Some(room) = &mut pipe.room {
                    *room -= takes;
                }
                pipe.taken.extend_from_slice(&bytes[..takes]);
                Ok(takes)
            })
        }

        fn flush(&mut self) -> io::Result<()> {
            self.with(|pipe| pipe.flushed = pipe.taken.len());
            Ok(())
        }
    }

    fn record(content_type: &str, value: &[u8]) -> Record {
        Record {
            raw: 0..0,
            topic: "incidents".into(),
            key: "key".to_owned(),
            headers: vec![(CONTENT_TYPE, content_type.to_owned())],
            value: value.to_vec(),
        }
    }

    fn json(value: &str) -> Record {
        record("application/json", value.as_bytes())
    }

    #[tokio::test]
    async fn each_record_is_one_line_and_flushed_before_the_answer() {
        let pipe = Shared::default();
        let publisher = StdoutPublisher::new(pipe.clone());
        let records = vec![json("{\n  \"a b\": [1, 2]\r\n}"), json("{\"c\":3}")];
        assert_eq!(publisher.publish(records).await, vec![Ok(()), Ok(())]);
        assert_eq!(pipe.text(), "{\"a b\":[1,2]}\n{\"c\":3}\n");
        assert_eq!(pipe.with(|pipe| pipe.flushed), pipe.text().len());
    }

    #[tokio::test]
    async fn a_dead_letter_is_one_json_string() {
        let pipe = Shared::default();
        let publisher = StdoutPublisher::new(pipe.clone());
        let dead = record(OCTET_STREAM, b"{\"id\": \n\xff");
        assert_eq!(publisher.publish(vec![dead]).await, vec![Ok(())]);
        assert_eq!(pipe.text(), "\"{\\\"id\\\": \\n\u{fffd}\"\n");
    }

    #[tokio::test]
    async fn a_reader_that_went_away_fails_this_record_and_those_after_it() {
        let pipe = Shared::default();
        pipe.with(|pipe| pipe.room = Some(6));
        let publisher = StdoutPublisher::new(pipe.clone());
        let results = publisher
            .publish(vec![json("1"), json("234567"), json("8")])
            .await;
        assert_eq!(results.len(), 3);
        assert_eq!(results[0], Ok(()));
        for result in &results[1..] {
            let failure = &result.as_ref().expect_err("nobody reads").failure;
            assert!(failure.what.contains("has ended"), "{failure}");
        }
        // With a reader again, the torn line is closed first.
        pipe.with(|pipe| pipe.room = None);
        assert_eq!(publisher.publish(vec![json("234567")]).await, vec![Ok(())]);
        assert_eq!(pipe.text(), "1\n2345\n234567\n");
    }
}
