//! What the outlets do alike with the items of a batch.

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::edge::Edges;
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::ids::IncidentId;
use crate::core::incident::version::Change;
use crate::ports::{Event, Item, LedgerEntry, Observer, Record};

use std::sync::Arc;

/// Topics that do not accept dead letters.
#[derive(Default)]
pub(super) struct LetterTopics(Edges);

impl LetterTopics {
    /// Logs when a topic starts to refuse dead letters, and when it accepts them again.
    pub(super) fn note(&self, topic: &Arc<str>, result: &Result<(), Failure>) {
        match result {
            Ok(()) if self.0.ends(topic) => {
                tracing::info!(%topic, "dead letters are accepted again");
            }
            Err(failure) if self.0.begins(topic) => {
                tracing::warn!(%topic, error = %failure, remedy = failure.remedy,
                    "dead letters are not accepted; each is tried again when it is next read");
            }
            _ => {}
        }
    }
}

/// Adds to `entry` what the items are recorded as. Returns the changes that are published.
pub(super) fn record_items(entry: &mut LedgerEntry, done: Vec<Item>) -> Vec<Change> {
    let mut changes = Vec::new();
    for item in done {
        match item {
            Item::Version {
                reading,
                seen,
                change,
                compared,
                ..
            } => {
                entry.seen.push((reading.id, seen));
                let outline = compared.outline.map(|outline| (reading.id, outline));
                entry.outlines.extend(outline);
                changes.push(change);
            }
            Item::Adopted { id, seen } => entry.seen.push((id, seen)),
            Item::Unreadable { content, letter }
            | Item::DeadLetter {
                content, letter, ..
            } => entry.letters.push((content, letter)),
        }
    }
    changes
}

pub(super) fn see_changes(observer: &dyn Observer, changes: &[Change]) {
    for change in changes {
        observer.see(Event::Published { change: *change });
    }
}

/// A number that a record of an alert has in common with records of the same version alone: key and headers have all that
/// makes one.
pub(super) fn version_of(record: &Record) -> u64 {
    let mut hash = Xxh3::new();
    let headers = record.headers.iter();
    let headers = headers.flat_map(|(name, value)| [*name, value]);
    for text in [&*record.topic, &record.key].into_iter().chain(headers) {
        hash.update(&text.len().to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.digest()
}

/// Gives a refused item its bytes back.
pub(super) fn restore(item: &mut Item, record: Record) {
    if !record.raw.is_empty() && record.raw.end <= record.value.len() {
        item.set_raw(Bytes::from(record.value).slice(record.raw));
    }
}

/// Settles an item of which no record is made: it is recorded, or is the reason why the cursor waits.
pub(super) fn settle_without_record(
    item: Item,
    done: &mut Vec<Item>,
    failure: &mut Option<Failure>,
) {
    match item {
        // Without a topic the letter stays recorded as not accepted.
        Item::DeadLetter { .. } => {}
        Item::Version { reading, .. } => {
            failure.get_or_insert_with(|| no_record(reading.id));
        }
        Item::Adopted { .. } | Item::Unreadable { .. } => done.push(item),
    }
}

/// An incident must not count as published when there is no record of it.
fn no_record(id: IncidentId) -> Failure {
    Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        format!("a defect in incidentd: no record was made of incident {id}"),
        "report this with the log lines before it",
    )
}

pub(super) fn unsplittable(refusal: &Failure, limit: usize) -> Failure {
    let what = format!(
        "{}, and has no parts of {limit} bytes or less: it can only be split between its alerts",
        refusal.what
    );
    Failure {
        what,
        ..refusal.clone()
    }
}
