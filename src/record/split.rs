//! Splits an incident into records that fit its topic. Each has the whole incident, but only some of its `alerts`: a run
//! of them.
//!
//! Invariants:
//! - The runs together hold each alert once, in order, with its bytes unchanged. Each part holds the rest of the incident
//!   unchanged.
//! - Only the incident's own `alerts` count. If that key repeats, the last one counts, as for other readers of JSON.
//! - The parts of one split share an id that no other split has. The version alone is not enough: the same version may be
//!   read again with its alerts in another order, or be split for another limit, and a consumer must only drop real repeats.
//!
//! The rest of the incident (half of a surrogate pair, any number or nesting, bytes that are no UTF-8) is not parsed.
//!
//! Failure modes: an incident is not split if it has no alerts, or if one alert does not fit together with the rest.

use std::ops::Range;

use xxhash_rust::xxh3::Xxh3;

use crate::core::incident::json::{Begins, Scanner};
use crate::ports::{Record, Records};

use super::{CE_ID, PART, PARTS};

const ALERTS: &str = "alerts";
/// Replaces each number when a part is measured. No incident has more alerts.
const WIDEST: usize = u32::MAX as usize;

/// A record whose value is not yet built.
pub(super) struct RecordDraft<'a> {
    /// All but the value.
    pub(super) record: Record,
    pub(super) head: EventHead,
    pub(super) incident: &'a [u8],
    pub(super) tail: &'static [u8],
}

/// The value up to the incident.
#[derive(Debug, Default)]
pub(super) struct EventHead {
    pub(super) bytes: Vec<u8>,
    /// Where the text of the event's id ends. `None`: there is no event around the incident.
    pub(super) id_end: Option<usize>,
    /// Where the event has the numbers of a part, before another member. Not before the id's end.
    pub(super) parts_at: usize,
}

impl EventHead {
    /// The head of a part, whose id ends with `suffix`.
    fn of_part(&self, suffix: &str, numbers: &str) -> Vec<u8> {
        let Some(id_end) = self.id_end else {
            return self.bytes.clone();
        };
        let parts_at = self.parts_at.clamp(id_end, self.bytes.len());
        let (id, between) = self.bytes[..parts_at].split_at(id_end);
        let rest = &self.bytes[parts_at..];
        [id, suffix.as_bytes(), between, numbers.as_bytes(), rest].concat()
    }
}

impl<'a> RecordDraft<'a> {
    /// Builds the value in one allocation. The incident is copied, not parsed: it can be megabytes long, parsing costs ten
    /// times as much, and its bytes would change.
    pub(super) fn whole(self) -> Record {
        let head = &self.head.bytes;
        let value = [head, self.incident, self.tail].concat();
        Record {
            value,
            raw: head.len()..head.len() + self.incident.len(),
            ..self.record
        }
    }

    /// The incident in two records or more, none larger than `limit`.
    pub(super) fn split(self, limit: usize) -> Option<Records<'a>> {
        let frame = Frame::of(self)?;
        let room = limit.checked_sub(frame.part(0, WIDEST, WIDEST, b"").size())?;
        let runs = runs(frame.alerts, room)?;
        let (cut, count) = (frame.name(&runs), runs.len());
        if !(2..=WIDEST).contains(&count) {
            return None;
        }
        let parts = runs.into_iter().enumerate();
        Some(Box::new(parts.map(move |(earlier, run)| {
            frame.part(cut, earlier + 1, count, run)
        })))
    }
}

/// What all parts of an incident have in common.
struct Frame<'a> {
    draft: RecordDraft<'a>,
    /// The incident up to its alerts.
    before: &'a [u8],
    /// An array, or something else.
    alerts: &'a [u8],
    after: &'a [u8],
}

impl<'a> Frame<'a> {
    fn of(draft: RecordDraft<'a>) -> Option<Self> {
        let incident = draft.incident;
        let Range { start, end } = member(incident, ALERTS)?;
        Some(Self {
            before: incident.get(..start)?,
            alerts: incident.get(start..end)?,
            after: incident.get(end..)?,
            draft,
        })
    }

    /// One part, with `run` for its alerts.
    fn part(&self, cut: u64, number: usize, count: usize, run: &[u8]) -> Record {
        let RecordDraft {
            record, head, tail, ..
        } = &self.draft;
        let suffix = format!("/{cut:016x}/{number}");
        let mut headers = Vec::with_capacity(record.headers.len() + 2);
        headers.extend(record.headers.iter().cloned());
        for (_, id) in headers.iter_mut().filter(|(name, _)| *name == CE_ID) {
            id.push_str(&suffix);
        }
        headers.push((PART, number.to_string()));
        headers.push((PARTS, count.to_string()));
        let numbers = format!(r#""{PART}":"{number}","{PARTS}":"{count}","#);
        let head = head.of_part(&suffix, &numbers);
        let pieces = [&head, self.before, b"[", run, b"]", self.after, tail];
        Record {
            topic: record.topic.clone(),
            key: record.key.clone(),
            headers,
            value: pieces.concat(),
            raw: 0..0,
        }
    }

    /// A number that only this incident with this split has.
    fn name(&self, runs: &[&[u8]]) -> u64 {
        let mut hash = Xxh3::new();
        for piece in [&self.draft.head.bytes, self.draft.incident, self.draft.tail] {
            hash.update(piece);
        }
        for run in runs {
            hash.update(&run.len().to_be_bytes());
        }
        hash.digest()
    }
}

/// Where the value of `name` lies in a JSON object; the last one where the name repeats.
fn member(object: &[u8], name: &str) -> Option<Range<usize>> {
    let mut input = Scanner::new(object);
    if !input.enter(Begins::Object) {
        return None;
    }
    let mut found = None;
    while let Some(key) = input.key().ok()? {
        let place = input.skip().ok()?;
        if key.is(name) {
            found = Some(place);
        }
    }
    input.end().ok()?;
    found
}

/// An array's elements in as few runs as can be, none longer than `room`; `None` when it is no array, or one element
/// alone is longer.
fn runs(array: &[u8], room: usize) -> Option<Vec<&[u8]>> {
    let mut input = Scanner::new(array);
    if !input.enter(Begins::List) {
        return None;
    }
    let mut runs: Vec<Range<usize>> = Vec::new();
    while input.item().ok()? {
        let element = input.skip().ok()?;
        if element.len() > room {
            return None;
        }
        match runs.last_mut() {
            Some(run) if element.end - run.start <= room => run.end = element.end,
            _ => runs.push(element),
        }
    }
    runs.into_iter().map(|run| array.get(run)).collect()
}

#[cfg(test)]
mod tests;
