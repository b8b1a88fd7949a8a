//! Splits an incident's record into parts that fit its topic: each is the whole incident but for its `alerts`, of which
//! it has a run.
//!
//! Stateless, and works on the encoded record. Invariants:
//! - The runs, one after the other, are the alerts: each once, in order, its bytes untouched. Everything else in the
//!   incident is in each part as it was.
//! - Only the incident's own `alerts` count. Where that key repeats it is the last one, which is what readers take.
//! - Parts of one cut have an id in common, and no other cut has it. The version alone would not do: the same version may
//!   be read again with its alerts in another order, or be cut for another limit, and a part that is dropped as a repeat
//!   must be one.
//!
//! - What else the incident holds (half of a surrogate pair, any number or nesting, bytes that are no UTF-8) is not looked at.
//!
//! Failure modes: a record that is no incident with alerts, or of which a single alert does not fit beside all the rest,
//! is not split.
//!
//! A dead letter has no alerts: one that is too large is cut.

use std::ops::Range;

use xxhash_rust::xxh3::Xxh3;

use crate::core::incident::json::{Begins, Scanner};
use crate::ports::{Record, RecordParts, Splitter};

use super::{CE_ID, CLOUDEVENT_JSON, CONTENT_TYPE, JSON, PART, PARTS, TRUNCATED};

const ALERTS: &str = "alerts";
/// Stands for every number while a part is measured. No record has more alerts than that.
const WIDEST: usize = u32::MAX as usize;

/// The [`Splitter`] of this module's records.
#[derive(Debug, Clone, Copy)]
pub struct AlertSplitter;

impl Splitter for AlertSplitter {
    fn split<'a>(&self, record: &'a Record, limit: usize) -> Option<RecordParts<'a>> {
        let (frame, alerts) = Frame::of(record)?;
        let room = limit.checked_sub(frame.part(0, (WIDEST, WIDEST), b"").size())?;
        let runs = runs(alerts, room)?;
        let (cut, count) = (name(record, &runs), runs.len());
        if !(2..=WIDEST).contains(&count) {
            return None;
        }
        let parts = runs.into_iter().enumerate();
        Some(Box::new(parts.map(move |(earlier, run)| {
            frame.part(cut, (earlier + 1, count), run)
        })))
    }

    fn cut(&self, letter: &Record, limit: usize) -> Option<Record> {
        let mut cut = Record {
            topic: letter.topic.clone(),
            key: letter.key.clone(),
            headers: letter.headers.clone(),
            value: Vec::new(),
        };
        cut.headers
            .push((TRUNCATED, letter.value.len().to_string()));
        let room = limit.checked_sub(cut.size())?;
        cut.value.extend(letter.value.iter().take(room));
        Some(cut)
    }
}

/// What all parts of a record have in common.
struct Frame<'a> {
    record: &'a Record,
    /// The value up to the end of the event's id, without the quote that closes it; in raw form nothing.
    id: Option<&'a [u8]>,
    /// From there to the alerts.
    before: &'a [u8],
    after: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame and the alerts, which are an array or something else.
    fn of(record: &'a Record) -> Option<(Self, &'a [u8])> {
        let value = record.value.as_slice();
        let mut headers = record.headers.iter();
        let (_, content_type) = headers.find(|(name, _)| *name == CONTENT_TYPE)?;
        let (id, begins, incident) = match content_type.as_str() {
            CLOUDEVENT_JSON => {
                let [id, data] = members(value, ["id", "data"])?;
                let id = id?;
                let text = value.get(..id.end)?.strip_suffix(b"\"")?;
                (Some(text), id.end, data?)
            }
            JSON => (None, 0, 0..value.len()),
            _ => return None,
        };
        let [alerts] = members(value.get(incident.clone())?, [ALERTS])?;
        let Range { start, end } = alerts?;
        let (start, end) = (incident.start + start, incident.start + end);
        let frame = Self {
            record,
            id,
            before: value.get(begins..start)?,
            after: value.get(end..)?,
        };
        Some((frame, value.get(start..end)?))
    }

    /// The part of this number and count, with `run` for its alerts.
    fn part(&self, cut: u64, (number, count): (usize, usize), run: &[u8]) -> Record {
        let suffix = format!("/{cut:016x}/{number}");
        let mut headers = Vec::with_capacity(self.record.headers.len() + 2);
        headers.extend(self.record.headers.iter().cloned());
        for (_, id) in headers.iter_mut().filter(|(name, _)| *name == CE_ID) {
            id.push_str(&suffix);
        }
        headers.push((PART, number.to_string()));
        headers.push((PARTS, count.to_string()));
        let attributes = match self.id {
            Some(_) => format!(r#"{suffix}","{PART}":"{number}","{PARTS}":"{count}""#),
            None => String::new(),
        };
        let pieces = [
            self.id.unwrap_or_default(),
            attributes.as_bytes(),
            self.before,
            b"[",
            run,
            b"]",
            self.after,
        ];
        Record {
            topic: self.record.topic.clone(),
            key: self.record.key.clone(),
            headers,
            value: pieces.concat(),
        }
    }
}

/// A number that this record, cut so, has and no other.
fn name(record: &Record, runs: &[&[u8]]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&record.value);
    for run in runs {
        hash.update(&run.len().to_be_bytes());
    }
    hash.digest()
}

/// Where the members of these names lie in a JSON object; `None` when it is no object.
fn members<const N: usize>(object: &[u8], names: [&str; N]) -> Option<[Option<Range<usize>>; N]> {
    let mut input = Scanner::new(object);
    if !input.enter(Begins::Object) {
        return None;
    }
    let mut found = [const { None }; N];
    while let Some(key) = input.key().ok()? {
        let place = input.skip().ok()?;
        let mut slots = names.iter().zip(&mut found);
        if let Some((_, slot)) = slots.find(|(name, _)| key.is(name)) {
            *slot = Some(place);
        }
    }
    input.end().ok()?;
    Some(found)
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
