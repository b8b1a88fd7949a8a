//! The keys of the local ledger, and the values of both kinds of ledger, as bytes.
//!
//! Keys begin with the tenant's 16 bytes, so that a tenant's rows are neighbours and a sweep's reads share pages. Numbers are
//! big endian, so that byte order is number order. A value's first byte is its format version. Each format has a fixed
//! length, or a count that determines it: a value of any other length is damaged.
//!
//! Older formats are read. Of them, only format 4 is written:
//! - Format 1 has one API and no open intervals: its versions are whole ones of the Defender API.
//! - Format 2 has no start of a tenant's first range. It is read as [`Ticks::MIN`], which is no limit: the tenant's overlap
//!   and reconcile reach back as far as when it was written. A later instant would be a guess, and incidents that appear
//!   late before it would be lost.
//! - Format 3 and earlier formats have a hash of the whole content. It is not read, because it can't be compared with the
//!   hash of the significant members in format 4.
//! - Format 4 has no pause. It is still written of everything but a paused tenant, so that an earlier incidentd can follow.
//!
//! Decoding never panics and never guesses. A later version byte and damaged bytes are different errors, because the
//! remedies differ: install the later incidentd again, or replace the file.

use xxhash_rust::xxh3::xxh3_64;

use super::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::version::{ContentHash, Forms, Phase, Seen};
use crate::core::sources::SourceKind;
use crate::core::sweep::backlog::{Backlog, Interval, MOST};
use crate::core::sweep::cursor::TenantState;
use crate::core::sweep::pause::{Pause, PauseReason};
use crate::core::time::ticks::Ticks;

/// The latest format that this program reads.
pub const FORMAT: u8 = 5;

/// The format of all rows that this program writes, except the states of paused tenants. An earlier incidentd must not read a
/// paused tenant as one that is not: it refuses that row alone.
pub const COMMON: u8 = 4;

/// Bytes of an encoded [`Seen`] without hashes: version, last update, marks (phase, API, alerts, number of hashes). The hashes
/// follow, the newest first: one for nearly every incident (18 bytes in all, besides 24 for its key), and one for each further
/// form at the same last update (74 bytes at most).
const SEEN_LEN: usize = 1 + 8 + 1;
/// Bytes of a hash.
const HASH_LEN: usize = 8;

/// Bytes of an encoded [`TenantState`] without open intervals: version, cursor, last reconcile, start of the first range.
const STATE_LEN: usize = 1 + 8 + 8 + 8;
/// Bytes of a pause without its reason: since when, and the length of the reason.
const PAUSE_LEN: usize = 8 + 2;
/// Bytes of an open interval: its ends, and whether it was read before.
const INTERVAL_LEN: usize = 8 + 8 + 1;

/// Marks of a version beside its phase, which takes the lowest two bits.
const BY_GRAPH: u8 = 1 << 2;
const WITHOUT_ALERTS: u8 = 1 << 3;
/// The number of hashes is in the bits from this one on.
const HASHES: u32 = 4;

/// Bytes of an encoded [`Letter`]: version, when it was met, whether it was accepted.
pub const LETTER_LEN: usize = 1 + 8 + 1;

/// Bytes of a key: tenant, and an incident's id or a dead letter's content hash.
pub const KEY_LEN: usize = 16 + 8;

/// Why the value of a row can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum CodecError {
    #[error(
        "written by a later incidentd (format {found}; this one reads up to {FORMAT}): run that version or a later one"
    )]
    Later { found: u8 },
    #[error("damaged: not a value that incidentd wrote")]
    Corrupt,
}

/// The key of an incident's row.
pub fn incident_key(tenant: TenantId, id: IncidentId) -> [u8; KEY_LEN] {
    key(tenant, id.0)
}

/// The key of a dead letter's row.
pub fn dead_key(tenant: TenantId, content: ContentHash) -> [u8; KEY_LEN] {
    key(tenant, content.0)
}

/// The content that a dead letter's key names.
pub fn content_of(key: &[u8; KEY_LEN]) -> ContentHash {
    let [.., a, b, c, d, e, f, g, h] = *key;
    ContentHash(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

/// The hash of bytes that can't be read as an incident. It covers the bytes as they are, and can't be compared with the hash
/// of an incident's content.
pub fn raw_hash(raw: &[u8]) -> ContentHash {
    ContentHash(xxh3_64(raw))
}

/// The value of an incident's row.
pub fn encode_seen(seen: &Seen) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SEEN_LEN + HASH_LEN * seen.forms.count());
    bytes.push(COMMON);
    bytes.extend(seen.updated.0.to_be_bytes());
    bytes.push(marks(seen));
    for hash in seen.forms.hashes() {
        bytes.extend(hash.0.to_be_bytes());
    }
    bytes
}

/// Reads what [`encode_seen`] of this format or an earlier one wrote. Any other bytes are an error.
pub fn decode_seen(bytes: &[u8]) -> Result<Seen, CodecError> {
    let (format, rest) = body(bytes)?;
    let (updated, rest) = take_ticks(rest)?;
    let (marks, rest) = rest.split_first().ok_or(CodecError::Corrupt)?;
    let (known, count) = match format {
        1 => (0, 1),
        2 | 3 => (BY_GRAPH | WITHOUT_ALERTS, 1),
        _ => (
            BY_GRAPH | WITHOUT_ALERTS | (u8::MAX << HASHES),
            usize::from(marks >> HASHES),
        ),
    };
    let (hashes, rest) = rest.as_chunks::<HASH_LEN>();
    if !rest.is_empty() || hashes.len() != count || count > Forms::MOST {
        return Err(CodecError::Corrupt);
    }
    let hash = |bytes: &[u8; HASH_LEN]| ContentHash(u64::from_be_bytes(*bytes));
    let is = |mark: u8| marks & known & mark != 0;
    Ok(Seen {
        updated,
        phase: phase_of(*marks & !known)?,
        forms: match format {
            1..=3 => Forms::NONE,
            _ => (hashes.iter().rev().map(hash)).fold(Forms::NONE, Forms::and),
        },
        origin: match is(BY_GRAPH) {
            true => SourceKind::Graph,
            false => SourceKind::Defender,
        },
        whole: !is(WITHOUT_ALERTS),
    })
}

/// The value of a dead letter's row.
pub fn encode_letter(letter: &Letter) -> [u8; LETTER_LEN] {
    let mut bytes = [0; LETTER_LEN];
    bytes[0] = COMMON;
    bytes[1..9].copy_from_slice(&letter.met.0.to_be_bytes());
    bytes[9] = u8::from(letter.accepted);
    bytes
}

/// Reads what [`encode_letter`] wrote. Any other bytes are an error.
pub fn decode_letter(bytes: &[u8]) -> Result<Letter, CodecError> {
    let (_, rest) = body(bytes)?;
    let (met, rest) = take_ticks(rest)?;
    let accepted = match rest {
        [0] => false,
        [1] => true,
        _ => return Err(CodecError::Corrupt),
    };
    Ok(Letter { met, accepted })
}

/// The value of a tenant's row.
pub fn encode_state(state: &TenantState) -> Vec<u8> {
    let intervals = state.backlog.intervals();
    let pause = |pause: &Pause| PAUSE_LEN + pause.reason.as_str().len();
    let pause = state.paused.as_ref().map_or(0, pause);
    let mut bytes = Vec::with_capacity(STATE_LEN + pause + INTERVAL_LEN * intervals.len());
    bytes.push(match state.paused {
        Some(_) => FORMAT,
        None => COMMON,
    });
    bytes.extend(state.cursor.0.to_be_bytes());
    bytes.extend(state.reconciled.0.to_be_bytes());
    bytes.extend(state.start.0.to_be_bytes());
    if let Some(Pause { since, reason }) = &state.paused {
        bytes.extend(since.0.to_be_bytes());
        // A reason has at most 200 characters.
        bytes.extend((reason.as_str().len() as u16).to_be_bytes());
        bytes.extend(reason.as_str().as_bytes());
    }
    for interval in intervals {
        bytes.extend(interval.from.0.to_be_bytes());
        bytes.extend(interval.to.0.to_be_bytes());
        bytes.push(u8::from(interval.again));
    }
    bytes
}

/// Reads what [`encode_state`] of this format or an earlier one wrote. Any other bytes are an error.
pub fn decode_state(bytes: &[u8]) -> Result<TenantState, CodecError> {
    let (format, rest) = body(bytes)?;
    let (cursor, rest) = take_ticks(rest)?;
    let (reconciled, rest) = take_ticks(rest)?;
    let (start, rest) = match format {
        1 | 2 => (Ticks::MIN, rest),
        _ => take_ticks(rest)?,
    };
    // Nothing between the two would ever be read.
    if start > cursor {
        return Err(CodecError::Corrupt);
    }
    let (paused, rest) = match format {
        FORMAT => take_pause(rest).map(|(pause, rest)| (Some(pause), rest))?,
        _ => (None, rest),
    };
    let (intervals, rest) = rest.as_chunks::<INTERVAL_LEN>();
    if !rest.is_empty() || (format == 1 && !intervals.is_empty()) || intervals.len() > MOST {
        return Err(CodecError::Corrupt);
    }
    let intervals = intervals.iter().map(|bytes| take_interval(bytes));
    let intervals = intervals.collect::<Result<Vec<_>, _>>()?;
    // A damaged interval must be an error: it is still to be read, and must not be dropped silently.
    if !intervals.is_sorted_by(|one, next| one.to <= next.from) {
        return Err(CodecError::Corrupt);
    }
    Ok(TenantState {
        start,
        cursor,
        reconciled,
        backlog: Backlog::from_iter(intervals),
        paused,
    })
}

fn take_pause(bytes: &[u8]) -> Result<(Pause, &[u8]), CodecError> {
    let (since, rest) = take_ticks(bytes)?;
    let (len, rest) = rest.split_first_chunk().ok_or(CodecError::Corrupt)?;
    let len = usize::from(u16::from_be_bytes(*len));
    let (reason, rest) = rest.split_at_checked(len).ok_or(CodecError::Corrupt)?;
    let reason = std::str::from_utf8(reason).map_err(|_| CodecError::Corrupt)?;
    let reason = PauseReason::new(reason);
    Ok((Pause { since, reason }, rest))
}

fn take_interval(bytes: &[u8]) -> Result<Interval, CodecError> {
    let (from, rest) = take_ticks(bytes)?;
    let (to, rest) = take_ticks(rest)?;
    if from >= to {
        return Err(CodecError::Corrupt);
    }
    match rest {
        [0] => Ok(Interval::unread(from, to)),
        [1] => Ok(Interval::again(from, to)),
        _ => Err(CodecError::Corrupt),
    }
}

fn key(tenant: TenantId, number: u64) -> [u8; KEY_LEN] {
    let mut key = [0; KEY_LEN];
    key[..16].copy_from_slice(tenant.as_bytes());
    key[16..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The format and the rest. The format is checked before the length, because a later format may have another length.
fn body(bytes: &[u8]) -> Result<(u8, &[u8]), CodecError> {
    match bytes.split_first() {
        Some((&found @ 1..=FORMAT, rest)) => Ok((found, rest)),
        Some((&found, _)) if found > FORMAT => Err(CodecError::Later { found }),
        _ => Err(CodecError::Corrupt),
    }
}

fn take_ticks(bytes: &[u8]) -> Result<(Ticks, &[u8]), CodecError> {
    let (head, rest) = bytes.split_first_chunk().ok_or(CodecError::Corrupt)?;
    let ticks = Ticks(i64::from_be_bytes(*head));
    if !(Ticks::MIN..=Ticks::MAX).contains(&ticks) {
        return Err(CodecError::Corrupt);
    }
    Ok((ticks, rest))
}

fn marks(seen: &Seen) -> u8 {
    let phase = match seen.phase {
        Phase::Open => 0,
        Phase::Resolved => 1,
        Phase::Redirected => 2,
    };
    let origin = match seen.origin {
        SourceKind::Defender => 0,
        SourceKind::Graph => BY_GRAPH,
    };
    let alerts = if seen.whole { 0 } else { WITHOUT_ALERTS };
    phase | origin | alerts | (seen.forms.count() as u8) << HASHES
}

fn phase_of(code: u8) -> Result<Phase, CodecError> {
    match code {
        0 => Ok(Phase::Open),
        1 => Ok(Phase::Resolved),
        2 => Ok(Phase::Redirected),
        _ => Err(CodecError::Corrupt),
    }
}

#[cfg(test)]
mod tests;
