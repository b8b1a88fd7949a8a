//! An alert's id in few bytes.
//!
//! Microsoft's ids (`da637551227677560813_-961444813`, a GUID) consist of digits, the first letters and two signs. Such an
//! id takes 5 bits for each character, any other its own bytes.

/// The most bytes that an id may have.
pub(super) const MOST: usize = 127;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrst-_";
const BITS: usize = 5;

/// Marks the length of a packed id.
const PACKED: u8 = 1 << 7;

/// Bytes that the id takes.
pub(super) fn bytes(id: &str) -> usize {
    1 + match codes(id) {
        Some(_) => packed_len(id.len()),
        None => id.len(),
    }
}

/// Appends an id of at most [`MOST`] bytes.
pub(super) fn put(bytes: &mut Vec<u8>, id: &str) {
    debug_assert!(id.len() <= MOST, "an id of more than {MOST} bytes");
    let length = id.len() as u8;
    let Some(codes) = codes(id) else {
        bytes.push(length);
        return bytes.extend(id.as_bytes());
    };
    bytes.push(length | PACKED);
    let (mut held, mut bits) = (0_u16, 0);
    for code in codes {
        held = held << BITS | u16::from(code);
        bits += BITS;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    if bits > 0 {
        bytes.push((held << (8 - bits)) as u8);
    }
}

/// Takes an id from the beginning of `bytes`. `None`: none is there.
pub(super) fn take(bytes: &mut &[u8]) -> Option<String> {
    let (head, rest) = bytes.split_first()?;
    let length = usize::from(head & !PACKED);
    let is_packed = head & PACKED != 0;
    let takes = if is_packed {
        packed_len(length)
    } else {
        length
    };
    let (id, rest) = rest.split_at_checked(takes)?;
    *bytes = rest;
    if !is_packed {
        return String::from_utf8(id.to_vec()).ok();
    }
    let bit = |at: usize| usize::from(id[at / 8] >> (7 - at % 8) & 1);
    let code = |at: usize| (at * BITS..(at + 1) * BITS).fold(0, |code, at| code << 1 | bit(at));
    Some(
        (0..length)
            .map(|at| char::from(ALPHABET[code(at)]))
            .collect(),
    )
}

fn packed_len(characters: usize) -> usize {
    (characters * BITS).div_ceil(8)
}

/// `None`: the id has another character.
fn codes(id: &str) -> Option<impl Iterator<Item = u8>> {
    let code = |byte: u8| ALPHABET.iter().position(|one| *one == byte);
    let all = id.bytes().all(|byte| code(byte).is_some());
    all.then(|| id.bytes().filter_map(move |byte| Some(code(byte)? as u8)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ids_of_microsoft_are_packed() {
        for (id, takes) in [
            ("", 1),
            ("da637551227677560813_-961444813", 21),
            ("2f9d1c5e-1111-4222-8333-944445555abc", 24),
            ("caD70CFEE2-1F54-32DB-9988-3A868A1EBFAC", 39),
        ] {
            let mut packed = Vec::new();
            put(&mut packed, id);
            assert_eq!((packed.len(), bytes(id)), (takes, takes), "{id}");
        }
    }

    proptest! {
        #[test]
        fn an_id_survives_the_round_trip(ids in prop::collection::vec("[0-9a-t_-]{0,127}|\\PC{0,30}", 0..5)) {
            let mut packed = Vec::new();
            for id in &ids {
                let before = packed.len();
                put(&mut packed, id);
                prop_assert_eq!(packed.len() - before, bytes(id));
            }
            let mut rest = packed.as_slice();
            let found: Option<Vec<_>> = ids.iter().map(|_| take(&mut rest)).collect();
            prop_assert_eq!(found, Some(ids));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn no_bytes_panic(given in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = given.as_slice();
            while take(&mut rest).is_some() {}
            prop_assert!(rest.len() <= given.len());
        }
    }
}
