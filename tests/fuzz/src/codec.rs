//! The ledger's values.

use incidentd::core::codec::{
    CodecError, FORMAT, decode_letter, decode_seen, decode_state, encode_letter, encode_seen,
    encode_state,
};
use incidentd::core::sweep::backlog::MOST;

/// The value of any row, decoded as either kind.
pub fn codec(value: &[u8]) {
    let later = value.first().filter(|found| **found > FORMAT);
    let later = later.map(|found| CodecError::Later { found: *found });
    seen(value, later);
    state(value, later);
    letter(value, later);
}

fn letter(value: &[u8], later: Option<CodecError>) {
    match decode_letter(value) {
        Ok(letter) => {
            let encoded = encode_letter(&letter);
            assert_eq!(decode_letter(&encoded), Ok(letter), "{value:?}");
            if value.first() == Some(&FORMAT) {
                assert_eq!(encoded, value, "two values for one letter");
            }
        }
        Err(error) => assert_eq!(error, later.unwrap_or(CodecError::Corrupt), "{value:?}"),
    }
}

fn seen(value: &[u8], later: Option<CodecError>) {
    match decode_seen(value) {
        Ok(seen) => {
            let encoded = encode_seen(&seen);
            assert_eq!(decode_seen(&encoded), Ok(seen), "{value:?}");
            if value.first() == Some(&FORMAT) {
                assert_eq!(encoded, value, "two values for one version");
            }
        }
        Err(error) => assert_eq!(error, later.unwrap_or(CodecError::Corrupt), "{value:?}"),
    }
}

fn state(value: &[u8], later: Option<CodecError>) {
    match decode_state(value) {
        Ok(state) => {
            let encoded = encode_state(&state);
            let intervals = state.backlog.intervals();
            assert!(intervals.len() <= MOST, "{intervals:?}");
            assert!(
                intervals.iter().all(|open| open.from < open.to),
                "{intervals:?}"
            );
            let ascending = intervals.windows(2).all(|pair| pair[0].to <= pair[1].from);
            assert!(ascending, "{intervals:?}");
            assert!(state.start <= state.cursor, "{state:?}");
            // Touching intervals are joined when they are opened, which makes the value shorter.
            if value.first() == Some(&FORMAT) && encoded.len() == value.len() {
                assert_eq!(encoded, value, "two values for one state");
            }
            assert_eq!(decode_state(&encoded), Ok(state), "{value:?}");
        }
        Err(error) => assert_eq!(error, later.unwrap_or(CodecError::Corrupt), "{value:?}"),
    }
}
