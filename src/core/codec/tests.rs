use proptest::prelude::*;

use super::*;

fn ticks() -> impl Strategy<Value = Ticks> {
    (Ticks::MIN.0..=Ticks::MAX.0).prop_map(Ticks)
}

fn seen() -> impl Strategy<Value = Seen> {
    let phase = prop_oneof![
        Just(Phase::Open),
        Just(Phase::Resolved),
        Just(Phase::Redirected)
    ];
    let origin = prop_oneof![Just(SourceKind::Defender), Just(SourceKind::Graph)];
    let hashes = prop::collection::vec(any::<u64>(), 0..=Forms::MOST);
    (ticks(), phase, hashes, origin, any::<bool>()).prop_map(
        |(updated, phase, hashes, origin, whole)| Seen {
            updated,
            phase,
            forms: (hashes.into_iter().map(ContentHash)).fold(Forms::NONE, Forms::and),
            origin,
            whole,
        },
    )
}

fn letter() -> impl Strategy<Value = Letter> {
    (ticks(), any::<bool>()).prop_map(|(met, accepted)| Letter { met, accepted })
}

fn state() -> impl Strategy<Value = TenantState> {
    let interval = (ticks(), ticks(), any::<bool>()).prop_map(|(from, to, again)| Interval {
        from,
        to,
        again,
    });
    let backlog = prop::collection::vec(interval, 0..70).prop_map(Backlog::from_iter);
    let pause = (ticks(), "\\PC{0,250}").prop_map(|(since, reason)| Pause {
        since,
        reason: PauseReason::new(&reason),
    });
    let state = (ticks(), ticks(), ticks(), backlog, prop::option::of(pause));
    state.prop_map(|(a, b, reconciled, backlog, paused)| TenantState {
        start: a.min(b),
        cursor: a.max(b),
        reconciled,
        backlog,
        paused,
    })
}

proptest! {
    #[test]
    fn a_seen_version_survives_the_round_trip(seen in seen()) {
        prop_assert_eq!(decode_seen(&encode_seen(&seen)), Ok(seen));
    }

    #[test]
    fn a_letter_survives_the_round_trip_and_near_misses_are_damage(letter in letter(), at in 1..LETTER_LEN, byte in any::<u8>()) {
        let mut bytes = encode_letter(&letter);
        prop_assert_eq!(decode_letter(&bytes), Ok(letter));
        prop_assert_eq!(decode_letter(&bytes[..LETTER_LEN - 1]), Err(CodecError::Corrupt));
        prop_assert_eq!(decode_letter(&[&bytes[..], &[0]].concat()), Err(CodecError::Corrupt));
        bytes[at] = byte;
        if let Ok(other) = decode_letter(&bytes) {
            prop_assert_eq!(encode_letter(&other), bytes);
        }
    }

    #[test]
    fn a_letters_key_names_its_content(tenant in any::<[u8; 16]>(), content in any::<u64>()) {
        let key = dead_key(TenantId::from_bytes(tenant), ContentHash(content));
        prop_assert_eq!(content_of(&key), ContentHash(content));
    }

    #[test]
    fn a_tenant_state_survives_the_round_trip(state in state()) {
        prop_assert_eq!(decode_state(&encode_state(&state)), Ok(state));
    }

    #[test]
    fn no_bytes_panic_and_what_decodes_survives_the_round_trip(
        format in 0..=FORMAT + 1, rest in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let bytes = [&[format][..], &rest].concat();
        if let Ok(seen) = decode_seen(&bytes) {
            prop_assert_eq!(decode_seen(&encode_seen(&seen)), Ok(seen));
        }
        if let Ok(state) = decode_state(&bytes) {
            prop_assert_eq!(decode_state(&encode_state(&state)), Ok(state));
        }
    }

    #[test]
    fn near_misses_do_not_panic(seen in seen(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode_seen(&seen);
        let at = 1 + at.index(bytes.len() - 1);
        bytes[at] = byte;
        if let Ok(other) = decode_seen(&bytes) {
            prop_assert_eq!(encode_seen(&other), bytes);
        }
    }

    #[test]
    fn a_wrong_length_is_damage(seen in seen(), state in state(), extra in 1..9_usize) {
        let mut long = encode_seen(&seen);
        let len = long.len();
        long.resize(len + extra, 0);
        prop_assert_eq!(decode_seen(&long), Err(CodecError::Corrupt));
        prop_assert_eq!(decode_seen(&long[..len - extra]), Err(CodecError::Corrupt));
        let mut long = encode_state(&state);
        let len = long.len();
        long.resize(len + extra, 0);
        prop_assert_eq!(decode_state(&long), Err(CodecError::Corrupt));
        prop_assert_eq!(decode_state(&long[..len - extra]), Err(CodecError::Corrupt));
    }

    #[test]
    fn a_later_format_is_named_whatever_its_length(found in FORMAT + 1.., rest in proptest::collection::vec(any::<u8>(), 0..40)) {
        let bytes = [&[found][..], &rest].concat();
        prop_assert_eq!(decode_seen(&bytes), Err(CodecError::Later { found }));
        prop_assert_eq!(decode_letter(&bytes), Err(CodecError::Later { found }));
        prop_assert_eq!(decode_state(&bytes), Err(CodecError::Later { found }));
    }

    #[test]
    fn keys_sort_by_tenant_then_by_number(a in any::<([u8; 16], u64)>(), b in any::<([u8; 16], u64)>()) {
        let key = |(tenant, id)| incident_key(TenantId::from_bytes(tenant), IncidentId(id));
        prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
    }
}

#[test]
fn open_intervals_that_no_backlog_has_are_damage() {
    let between = |from, to| Interval::unread(Ticks(from), Ticks(to));
    let (_, mut state) = example();
    state.backlog = Backlog::from_iter([between(1, 5), between(7, 9)]);
    let whole = encode_state(&state);
    assert_eq!(decode_state(&whole), Ok(state));
    let (first, second) = (STATE_LEN + 7, STATE_LEN + INTERVAL_LEN + 7);
    for (at, byte, why) in [
        (first, 5, "empty"),
        (first, 6, "turned round"),
        (first + 8, 8, "into the next"),
        (second, 4, "into the one before"),
    ] {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        assert_eq!(decode_state(&bytes), Err(CodecError::Corrupt), "{why}");
    }
}

fn example() -> (Seen, TenantState) {
    let seen = Seen {
        updated: Ticks(0x0102_0304_0506_0708),
        phase: Phase::Redirected,
        forms: Forms::NONE,
        origin: SourceKind::Defender,
        whole: true,
    };
    let state = TenantState {
        start: Ticks(255),
        cursor: Ticks(256),
        reconciled: Ticks(-1),
        backlog: Backlog::default(),
        paused: None,
    };
    (seen, state)
}

#[test]
fn format_1_is_read_as_what_it_meant() {
    let (seen, mut state) = example();
    state.start = Ticks::MIN;
    let bytes = [
        1, 1, 2, 3, 4, 5, 6, 7, 8, 2, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8,
    ];
    assert_eq!(decode_seen(&bytes), Ok(seen));
    let bytes = [
        1, 0, 0, 0, 0, 0, 0, 1, 0, 255, 255, 255, 255, 255, 255, 255, 255,
    ];
    assert_eq!(decode_state(&bytes), Ok(state));
    let marked = [1, 1, 2, 3, 4, 5, 6, 7, 8, 6, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(decode_seen(&marked), Err(CodecError::Corrupt));
}

#[test]
fn format_2_is_read_as_what_it_meant_and_its_first_range_as_without_bound() {
    let (mut seen, mut state) = example();
    (seen.origin, seen.whole) = (SourceKind::Graph, false);
    let bytes = [
        2, 1, 2, 3, 4, 5, 6, 7, 8, 14, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8,
    ];
    assert_eq!(decode_seen(&bytes), Ok(seen));
    state.start = Ticks::MIN;
    state.backlog.open(Interval::again(Ticks(1), Ticks(258)));
    let bytes = [
        2, 0, 0, 0, 0, 0, 0, 1, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 1,
        0, 0, 0, 0, 0, 0, 1, 2, 1,
    ];
    assert_eq!(decode_state(&bytes), Ok(state.clone()));
    // Encoded again, the start is still unknown instead of a guess.
    assert_eq!(decode_state(&encode_state(&state)), Ok(state));
}

#[test]
fn format_3_is_read_as_what_it_meant_but_for_its_hash_which_nothing_can_be_compared_with() {
    let (mut seen, mut state) = example();
    (seen.origin, seen.whole) = (SourceKind::Graph, false);
    let bytes = [
        3, 1, 2, 3, 4, 5, 6, 7, 8, 14, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8,
    ];
    assert_eq!(decode_seen(&bytes), Ok(seen));
    let longer = [&bytes[..], &[0; 8]].concat();
    assert_eq!(decode_seen(&longer), Err(CodecError::Corrupt));
    state.backlog.open(Interval::again(Ticks(1), Ticks(258)));
    let bytes = [
        3, 0, 0, 0, 0, 0, 0, 1, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0,
        255, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2, 1,
    ];
    assert_eq!(decode_state(&bytes), Ok(state));
}

#[test]
fn the_bytes_of_format_4_never_change() {
    let (mut seen, mut state) = example();
    (seen.origin, seen.whole) = (SourceKind::Graph, false);
    assert_eq!(encode_seen(&seen), [4, 1, 2, 3, 4, 5, 6, 7, 8, 14]);
    seen.forms = Forms::NONE
        .and(ContentHash(0xb1b2_b3b4_b5b6_b7b8))
        .and(ContentHash(0xa1a2_a3a4_a5a6_a7a8));
    assert_eq!(
        encode_seen(&seen),
        [
            4, 1, 2, 3, 4, 5, 6, 7, 8, 46, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xb1,
            0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8
        ]
    );
    let letter = Letter {
        met: Ticks(258),
        accepted: true,
    };
    assert_eq!(encode_letter(&letter), [4, 0, 0, 0, 0, 0, 0, 1, 2, 1]);
    state.backlog.open(Interval::again(Ticks(1), Ticks(258)));
    assert_eq!(
        encode_state(&state),
        [
            4, 0, 0, 0, 0, 0, 0, 1, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0,
            255, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2, 1
        ]
    );
}

#[test]
fn the_bytes_of_format_5_never_change() {
    let (_, mut state) = example();
    state.backlog.open(Interval::again(Ticks(1), Ticks(258)));
    state.paused = Some(Pause {
        since: Ticks(513),
        reason: PauseReason::new("é"),
    });
    assert_eq!(
        encode_state(&state),
        [
            5, 0, 0, 0, 0, 0, 0, 1, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0,
            255, 0, 0, 0, 0, 0, 0, 2, 1, 0, 2, 0xc3, 0xa9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0,
            0, 1, 2, 1
        ]
    );
}

#[test]
fn a_start_behind_the_cursor_is_damage() {
    let (_, mut state) = example();
    state.start = state.cursor;
    assert_eq!(decode_state(&encode_state(&state)), Ok(state.clone()));
    state.start = Ticks(state.cursor.0 + 1);
    assert_eq!(
        decode_state(&encode_state(&state)),
        Err(CodecError::Corrupt)
    );
}
