//! The ledger's keys and values as bytes.
//!
//! Keys begin with the tenant's 16 bytes, so that one tenant's rows are neighbours and a sweep's look-ups share pages;
//! numbers are big endian, so that byte order is number order. A value's first byte is its format version. All sizes are
//! fixed: a value of any other length was not written by this program.
//!
//! Decoding never panics and never guesses. A version byte from the future and damaged bytes are told apart, because the
//! operator's remedies differ: install the later incidentd again, or replace the file.

use xxhash_rust::xxh3::xxh3_64;

use super::cursor::TenantState;
use super::ids::{IncidentId, TenantId};
use super::ticks::Ticks;
use super::version::{ContentHash, Phase, Seen};

/// The version that this program writes, and the latest that it reads.
pub const FORMAT: u8 = 1;

/// Bytes of an encoded [`Seen`]: version, last update, phase, content hash.
pub const SEEN_LEN: usize = 1 + 8 + 1 + 8;

/// Bytes of an encoded [`TenantState`]: version, cursor, last reconcile.
pub const STATE_LEN: usize = 1 + 8 + 8;

/// Bytes of a key: tenant, and an incident's id or a dead letter's content hash.
pub const KEY_LEN: usize = 16 + 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
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

/// The hash that stands for bytes which could not be read as an incident: of the bytes as they are, since there is no
/// structure to look through. Not comparable with the hash of an incident's content.
pub fn raw_hash(raw: &[u8]) -> ContentHash {
    ContentHash(xxh3_64(raw))
}

pub fn encode_seen(seen: &Seen) -> [u8; SEEN_LEN] {
    let mut bytes = [0; SEEN_LEN];
    bytes[0] = FORMAT;
    bytes[1..9].copy_from_slice(&seen.updated.0.to_be_bytes());
    bytes[9] = phase_code(seen.phase);
    bytes[10..].copy_from_slice(&seen.hash.0.to_be_bytes());
    bytes
}

pub fn decode_seen(bytes: &[u8]) -> Result<Seen, CodecError> {
    let rest = body(bytes)?;
    let (updated, rest) = take_ticks(rest)?;
    let (phase, rest) = rest.split_first().ok_or(CodecError::Corrupt)?;
    let hash: [u8; 8] = rest.try_into().map_err(|_| CodecError::Corrupt)?;
    Ok(Seen {
        updated,
        phase: phase_of(*phase)?,
        hash: ContentHash(u64::from_be_bytes(hash)),
    })
}

pub fn encode_state(state: &TenantState) -> [u8; STATE_LEN] {
    let mut bytes = [0; STATE_LEN];
    bytes[0] = FORMAT;
    bytes[1..9].copy_from_slice(&state.cursor.0.to_be_bytes());
    bytes[9..].copy_from_slice(&state.reconciled.0.to_be_bytes());
    bytes
}

pub fn decode_state(bytes: &[u8]) -> Result<TenantState, CodecError> {
    let (cursor, rest) = take_ticks(body(bytes)?)?;
    let (reconciled, rest) = take_ticks(rest)?;
    if !rest.is_empty() {
        return Err(CodecError::Corrupt);
    }
    Ok(TenantState { cursor, reconciled })
}

fn key(tenant: TenantId, number: u64) -> [u8; KEY_LEN] {
    let mut key = [0; KEY_LEN];
    key[..16].copy_from_slice(tenant.as_bytes());
    key[16..].copy_from_slice(&number.to_be_bytes());
    key
}

/// What follows the version byte. The version is judged before the length: a later format may have another.
fn body(bytes: &[u8]) -> Result<&[u8], CodecError> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => Ok(rest),
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

fn phase_code(phase: Phase) -> u8 {
    match phase {
        Phase::Open => 0,
        Phase::Resolved => 1,
        Phase::Redirected => 2,
    }
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ticks() -> impl Strategy<Value = Ticks> {
        (Ticks::MIN.0..=Ticks::MAX.0).prop_map(Ticks)
    }

    fn seen() -> impl Strategy<Value = Seen> {
        let phase = prop_oneof![
            Just(Phase::Open),
            Just(Phase::Resolved),
            Just(Phase::Redirected)
        ];
        (ticks(), phase, any::<u64>()).prop_map(|(updated, phase, hash)| Seen {
            updated,
            phase,
            hash: ContentHash(hash),
        })
    }

    fn state() -> impl Strategy<Value = TenantState> {
        (ticks(), ticks()).prop_map(|(cursor, reconciled)| TenantState { cursor, reconciled })
    }

    proptest! {
        #[test]
        fn a_seen_version_survives_the_round_trip(seen in seen()) {
            prop_assert_eq!(decode_seen(&encode_seen(&seen)), Ok(seen));
        }

        #[test]
        fn a_tenant_state_survives_the_round_trip(state in state()) {
            prop_assert_eq!(decode_state(&encode_state(&state)), Ok(state));
        }

        #[test]
        fn no_bytes_panic_and_what_decodes_encodes_to_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            if let Ok(seen) = decode_seen(&bytes) {
                prop_assert_eq!(&encode_seen(&seen)[..], &bytes[..]);
            }
            if let Ok(state) = decode_state(&bytes) {
                prop_assert_eq!(&encode_state(&state)[..], &bytes[..]);
            }
        }

        #[test]
        fn near_misses_do_not_panic(seen in seen(), at in 0..SEEN_LEN, byte in any::<u8>()) {
            let mut bytes = encode_seen(&seen);
            bytes[at] = byte;
            if let Ok(other) = decode_seen(&bytes) {
                prop_assert_eq!(encode_seen(&other), bytes);
            }
        }

        #[test]
        fn a_wrong_length_is_damage(seen in seen(), state in state(), extra in 1..9_usize) {
            let mut long = encode_seen(&seen).to_vec();
            long.resize(SEEN_LEN + extra, 0);
            prop_assert_eq!(decode_seen(&long), Err(CodecError::Corrupt));
            prop_assert_eq!(decode_seen(&long[..SEEN_LEN - extra]), Err(CodecError::Corrupt));
            let mut long = encode_state(&state).to_vec();
            long.resize(STATE_LEN + extra, 0);
            prop_assert_eq!(decode_state(&long), Err(CodecError::Corrupt));
            prop_assert_eq!(decode_state(&long[..STATE_LEN - extra]), Err(CodecError::Corrupt));
        }

        #[test]
        fn a_later_format_is_named_whatever_its_length(found in FORMAT + 1.., rest in proptest::collection::vec(any::<u8>(), 0..40)) {
            let bytes = [&[found][..], &rest].concat();
            prop_assert_eq!(decode_seen(&bytes), Err(CodecError::Later { found }));
            prop_assert_eq!(decode_state(&bytes), Err(CodecError::Later { found }));
        }

        #[test]
        fn keys_sort_by_tenant_then_by_number(a in any::<([u8; 16], u64)>(), b in any::<([u8; 16], u64)>()) {
            let key = |(tenant, id)| incident_key(TenantId::from_bytes(tenant), IncidentId(id));
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
        }
    }

    #[test]
    fn the_bytes_of_format_1_never_change() {
        let seen = Seen {
            updated: Ticks(0x0102_0304_0506_0708),
            phase: Phase::Redirected,
            hash: ContentHash(0xa1a2_a3a4_a5a6_a7a8),
        };
        assert_eq!(
            encode_seen(&seen),
            [
                1, 1, 2, 3, 4, 5, 6, 7, 8, 2, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8
            ]
        );
        let state = TenantState {
            cursor: Ticks(256),
            reconciled: Ticks(-1),
        };
        assert_eq!(
            encode_state(&state),
            [
                1, 0, 0, 0, 0, 0, 0, 1, 0, 255, 255, 255, 255, 255, 255, 255, 255
            ]
        );
    }
}
