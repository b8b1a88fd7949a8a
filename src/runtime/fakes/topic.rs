//! A topic in memory, and functions that make records smaller.

use parking_lot::Mutex;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::core::health::failure::{Failure, Health, Reaction};
use crate::ports::*;

/// A topic. While `away`, publications wait.
pub struct Topic {
    pub records: Mutex<Vec<Record>>,
    pub away: watch::Sender<bool>,
    /// Records whose value contains this are refused.
    pub refused: Mutex<Option<&'static str>>,
    /// The largest record that it accepts.
    pub limit: Mutex<Option<usize>>,
    /// The most records of one call.
    pub most: Mutex<usize>,
}

impl Default for Topic {
    fn default() -> Self {
        Self {
            records: Mutex::default(),
            away: watch::Sender::new(false),
            refused: Mutex::default(),
            limit: Mutex::default(),
            most: Mutex::default(),
        }
    }
}

impl Topic {
    pub fn values(&self, topic: &str) -> Vec<String> {
        let records = self.records.lock();
        let on_topic = records.iter().filter(|record| &*record.topic == topic);
        on_topic
            .map(|record| String::from_utf8_lossy(&record.value).into_owned())
            .collect()
    }

    /// The place of the record with this value.
    pub fn position(&self, value: &str) -> Option<usize> {
        let records = self.records.lock();
        records
            .iter()
            .position(|record| record.value == value.as_bytes())
    }
}

impl Publisher for Topic {
    fn publish(&self, records: Vec<Record>) -> BoxFuture<'_, Vec<Result<(), Refused>>> {
        async move {
            let _ = self.away.subscribe().wait_for(|away| !away).await;
            let refused = *self.refused.lock();
            let most = *self.most.lock();
            *self.most.lock() = most.max(records.len());
            let limit = *self.limit.lock();
            let accept = |record: Record| {
                let text = String::from_utf8_lossy(&record.value).into_owned();
                let oversize = limit.is_some_and(|limit| record.size() > limit);
                if oversize || refused.is_some_and(|part| text.contains(part)) {
                    return Err(Refused {
                        failure: Failure::new(
                            Health::Misconfigured,
                            Reaction::HoldBack,
                            "too large",
                            "raise the limit",
                        ),
                        oversize: oversize.then(|| Box::new(record)),
                    });
                }
                self.records.lock().push(record);
                Ok(())
            };
            records.into_iter().map(accept).collect()
        }
        .boxed()
    }

    fn limit<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Option<usize>> {
        let limit = *self.limit.lock();
        async move { limit }.boxed()
    }
}

/// Splits a record at the spaces in its value: each part is one word.
pub fn words<'a>(whole: &Record, limit: usize) -> Option<Records<'a>> {
    let part = |word: &[u8]| Record {
        value: word.to_vec(),
        ..whole.clone()
    };
    let words = whole.value.split(|byte| *byte == b' ');
    let parts: Vec<Record> = words.map(part).collect();
    let fit = parts.len() > 1 && parts.iter().all(|part| part.size() <= limit);
    fit.then(|| -> Records<'a> { Box::new(parts.into_iter()) })
}

/// Cuts a record to `limit`.
pub fn cut<'a>(mut whole: Record, limit: usize) -> Option<Records<'a>> {
    let around = whole.size() - whole.value.len();
    whole.value.truncate(limit.checked_sub(around)?);
    Some(Box::new(std::iter::once(whole)))
}
