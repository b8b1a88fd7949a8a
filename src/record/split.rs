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
//! Failure modes: a record that is no incident with alerts, or of which a single alert does not fit beside all the rest,
//! is not split.

use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::Xxh3;

use crate::ports::{Record, RecordParts, Splitter};

use super::{CE_ID, CLOUDEVENT_JSON, CONTENT_TYPE, JSON, PART, PARTS};

const ALERTS: &str = "alerts";
/// Stands for every number while a part is measured. No record has more alerts than that.
const WIDEST: usize = u32::MAX as usize;

/// The [`Splitter`] of this module's records.
#[derive(Debug, Clone, Copy)]
pub struct AlertSplitter;

impl Splitter for AlertSplitter {
    fn split<'a>(&self, record: &'a Record, limit: usize) -> Option<RecordParts<'a>> {
        let (frame, alerts) = Frame::of(record)?;
        let room = limit.checked_sub(frame.part(0, (WIDEST, WIDEST), "").size())?;
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
}

/// What all parts of a record have in common.
struct Frame<'a> {
    record: &'a Record,
    /// The value up to the end of the event's id, without the quote that closes it; in raw form nothing.
    id: Option<&'a str>,
    /// From there to the alerts.
    before: &'a str,
    after: &'a str,
}

impl<'a> Frame<'a> {
    /// The frame and the alerts, which are an array or something else.
    fn of(record: &'a Record) -> Option<(Self, &'a str)> {
        let value = std::str::from_utf8(&record.value).ok()?;
        let mut headers = record.headers.iter();
        let (_, content_type) = headers.find(|(name, _)| *name == CONTENT_TYPE)?;
        let (id, rest, incident) = match content_type.as_str() {
            CLOUDEVENT_JSON => {
                let [id, data] = members(value, ["id", "data"])?;
                let end = span(value, id?)?.end;
                let (head, rest) = value.split_at_checked(end)?;
                (Some(head.strip_suffix('"')?), rest, data?)
            }
            JSON => (None, value, value),
            _ => return None,
        };
        let [alerts] = members(incident, [ALERTS])?;
        let alerts = alerts?;
        let Range { start, end } = span(rest, alerts)?;
        let frame = Self {
            record,
            id,
            before: rest.get(..start)?,
            after: rest.get(end..)?,
        };
        Some((frame, alerts))
    }

    /// The part of this number and count, with `run` for its alerts.
    fn part(&self, cut: u64, (number, count): (usize, usize), run: &str) -> Record {
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
            &attributes,
            self.before,
            "[",
            run,
            "]",
            self.after,
        ];
        Record {
            topic: self.record.topic.clone(),
            key: self.record.key.clone(),
            headers,
            value: pieces.concat().into_bytes(),
        }
    }
}

/// A number that this record, cut so, has and no other.
fn name(record: &Record, runs: &[&str]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&record.value);
    for run in runs {
        hash.update(&run.len().to_be_bytes());
    }
    hash.digest()
}

/// Where `piece` lies in `whole`, which it was taken from; `None` when it was not.
fn span(whole: &str, piece: &str) -> Option<Range<usize>> {
    let start = piece.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    Some(start..start + piece.len())
}

/// The members of these names of a JSON object, as they are written; `None` when it is no object.
fn members<'a, const N: usize>(
    object: &'a str,
    names: [&'static str; N],
) -> Option<[Option<&'a str>; N]> {
    serde_json::Deserializer::from_str(object)
        .deserialize_map(Members(names))
        .ok()
}

struct Members<const N: usize>([&'static str; N]);

impl<'de, const N: usize> Visitor<'de> for Members<N> {
    type Value = [Option<&'de str>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(place) = entries.next_key_seed(Place(&self.0))? {
            let value: &RawValue = entries.next_value()?;
            if let Some(slot) = place.and_then(|place| found.get_mut(place)) {
                *slot = Some(value.get());
            }
        }
        Ok(found)
    }
}

/// Reads a key as its place among these names.
struct Place<'n>(&'n [&'static str]);

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_str(self)
    }
}

impl Visitor<'_> for Place<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|name| *name == key))
    }
}

/// An array's elements in as few runs as can be, none longer than `room`; `None` when it is no array, or one element
/// alone is longer.
fn runs(array: &str, room: usize) -> Option<Vec<&str>> {
    let runs = serde_json::Deserializer::from_str(array)
        .deserialize_seq(Runs { array, room })
        .ok()?;
    runs.into_iter().map(|run| array.get(run)).collect()
}

struct Runs<'a> {
    array: &'a str,
    room: usize,
}

impl<'de> Visitor<'de> for Runs<'_> {
    type Value = Vec<Range<usize>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of elements of {} bytes at most", self.room)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        while let Some(element) = elements.next_element::<&RawValue>()? {
            let place = span(self.array, element.get()).filter(|place| place.len() <= self.room);
            let Some(Range { start, end }) = place else {
                return Err(A::Error::invalid_length(element.get().len(), &self));
            };
            match runs.last_mut() {
                Some(run) if end - run.start <= self.room => run.end = end,
                _ => runs.push(start..end),
            }
        }
        Ok(runs)
    }
}

#[cfg(test)]
mod tests;
