//! The members of an incident that make a version, how they are compared, and the hash of them.
//!
//! Each source has a table of them ([`super::reading::Shape`]). Members that are not in it pass through and make no
//! version: Microsoft adds members to all incidents at once, changes the form of its links, and computes scores and states
//! of devices anew at each reading. To compare those would publish whole fleets again.
//!
//! What is compared is the meaning:
//! - A member that is absent, `null`, an empty list or an empty string is not there. (Microsoft sends `""` where it has no
//!   value.)
//! - Lists are compared without order, but each item as often as it is there: an alert listed twice is two
//!   (how many there are is news), a tag said twice as well. Microsoft documents neither; should some of its servers do it, each
//!   form is published once ([`super::version::Forms`]). To compare sets, all items of a list would have to be kept.
//! - The order of members, white space and the spelling of strings do not count. Of a key that occurs twice the last value
//!   counts.
//! - A value that is not of the kind that the table says, that has an escape that JSON does not have, or in which brackets
//!   and keys do not go together, is compared by its bytes.
//!
//! The hash is stored in ledgers and published in `ce_id`. **It must never change** for given members (golden vectors pin
//! it): with another hash every incident would be a new version. That holds for the table as well: a row that is added or
//! removed changes the hash of every incident that has the member, and needs a new format of the ledger's rows, like this
//! one had.
//!
//! The hash is not cryptographic and need not be: a forger would have to meet the same incident, the same 100-ns tick
//! and the same 64 bits, and would gain one suppressed update of their own alert. Sets are hashed as the sum of their mixed
//! items, whose order vanishes; each sum is mixed again with the number of items.

use super::json::{Begins, Broken, Scalar, Scanner, Text};
use crate::core::time::ticks::Ticks;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A member that makes a version.
#[derive(Debug, PartialEq, Eq)]
pub struct Significant {
    pub name: &'static str,
    /// The name under which it goes into the hash: of a member that has two spellings in the field, both are one.
    pub counts_as: &'static str,
    pub compared: Compared,
}

/// How the values of a member are compared.
#[derive(Debug, PartialEq, Eq)]
pub enum Compared {
    /// A value of an enumeration: the case of its letters does not count.
    Word,
    Text,
    /// A number and a text of the same digits are equal. Zero is no id: it is not there.
    Id,
    /// RFC 3339, as instants. What is none is compared as text.
    Time,
    /// Without order.
    List(&'static Compared),
    /// By these of its members, at most [`MOST`].
    Object(&'static [Significant]),
}

/// Members that a table may have.
pub const MOST: usize = 12;

impl Significant {
    pub const fn new(name: &'static str, compared: Compared) -> Self {
        Self {
            name,
            counts_as: name,
            compared,
        }
    }

    pub const fn word(name: &'static str) -> Self {
        Self::new(name, Compared::Word)
    }

    pub const fn text(name: &'static str) -> Self {
        Self::new(name, Compared::Text)
    }

    pub const fn id(name: &'static str) -> Self {
        Self::new(name, Compared::Id)
    }

    pub const fn time(name: &'static str) -> Self {
        Self::new(name, Compared::Time)
    }

    /// A list of objects, of which these members are compared.
    pub const fn list(name: &'static str, of: &'static Compared) -> Self {
        Self::new(name, Compared::List(of))
    }

    pub const fn counting_as(self, name: &'static str) -> Self {
        Self {
            counts_as: name,
            ..self
        }
    }
}

// One seed for each kind keeps a text "1" apart from an id 1, an empty object from an empty list and so on.
const TEXT: u64 = 1;
const WORD: u64 = 2;
const ID: u64 = 3;
const INSTANT: u64 = 4;
const BYTES: u64 = 5;
const NAME: u64 = 6;
const MEMBER: u64 = 7;
const OBJECT: u64 = 8;
const ITEM: u64 = 9;
const LIST: u64 = 10;

/// The hash of what is not there.
const ABSENT: u64 = 0;

/// The significant members of one object as they are met.
#[derive(Debug)]
pub(super) struct MemberHashes {
    members: &'static [Significant],
    hashes: [u64; MOST],
}

impl MemberHashes {
    pub(super) fn of(members: &'static [Significant]) -> Self {
        debug_assert!(members.len() <= MOST, "a table of more than {MOST} members");
        Self {
            members,
            hashes: [ABSENT; MOST],
        }
    }

    /// Takes the value that comes next, which is the one of `key`, or passes over it.
    pub(super) fn take(&mut self, key: Text<'_>, input: &mut Scanner<'_>) -> Result<(), Broken> {
        let rows = self.members.iter().zip(&mut self.hashes);
        match rows.into_iter().find(|(member, _)| key.is(member.name)) {
            Some((member, slot)) => *slot = value_or_bytes(input, &member.compared)?,
            None => {
                input.skip()?;
            }
        }
        Ok(())
    }

    pub(super) fn hash(&self) -> u64 {
        let (mut sum, mut count) = (0_u64, 0);
        for (member, hash) in self.members.iter().zip(self.hashes) {
            if hash != ABSENT {
                let name = leaf(NAME, member.counts_as.as_bytes());
                sum = sum.wrapping_add(mix(MEMBER, name, hash));
                count += 1;
            }
        }
        mix(OBJECT, sum, count)
    }
}

/// The hash of bytes that can't be compared by their meaning.
pub(super) fn bytes(raw: &[u8]) -> u64 {
    leaf(BYTES, raw)
}

/// The hash of the next value. One that can't be followed inside, but ends, is compared by its bytes.
fn value_or_bytes(input: &mut Scanner<'_>, compared: &Compared) -> Result<u64, Broken> {
    let before = *input;
    value(input, compared).or_else(|_| {
        *input = before;
        let place = input.skip()?;
        Ok(bytes(input.slice(place)))
    })
}

/// The hash of the next value.
fn value(input: &mut Scanner<'_>, compared: &Compared) -> Result<u64, Broken> {
    match compared {
        Compared::Object(members) if input.enter(Begins::Object) => {
            let mut collected = MemberHashes::of(members);
            while let Some(key) = input.key()? {
                collected.take(key, input)?;
            }
            Ok(collected.hash())
        }
        Compared::List(of) if input.enter(Begins::List) => {
            let (mut sum, mut count) = (0_u64, 0);
            while input.item()? {
                sum = sum.wrapping_add(mix(ITEM, value(input, of)?, 0));
                count += 1;
            }
            Ok(if count == 0 {
                ABSENT
            } else {
                mix(LIST, sum, count)
            })
        }
        _ => plain(input, compared),
    }
}

/// The hash of a value that is none of the lists and objects in a table.
fn plain(input: &mut Scanner<'_>, compared: &Compared) -> Result<u64, Broken> {
    let mut again = *input;
    Ok(match input.scalar()? {
        Some(Scalar::Text(text)) => said(text, compared),
        Some(Scalar::Token(b"null")) => ABSENT,
        Some(Scalar::Token(digits))
            if *compared == Compared::Id && digits.iter().all(u8::is_ascii_digit) =>
        {
            id(digits)
        }
        Some(Scalar::Token(token)) => bytes(token),
        None => {
            let place = again.skip()?;
            match again.slice(place) {
                [b'[', inner @ .., b']'] if inner.trim_ascii().is_empty() => ABSENT,
                other => bytes(other),
            }
        }
    })
}

fn said(text: Text<'_>, compared: &Compared) -> u64 {
    let Some(said) = text.said() else {
        return bytes(text.written());
    };
    if said.is_empty() {
        return ABSENT;
    }
    match compared {
        Compared::Word => leaf(WORD, &said.to_ascii_lowercase()),
        Compared::Id => id(&said),
        Compared::Time => match instant(&said) {
            Some(instant) => leaf(INSTANT, &instant.0.to_le_bytes()),
            None => leaf(TEXT, &said),
        },
        Compared::Text | Compared::List(_) | Compared::Object(_) => leaf(TEXT, &said),
    }
}

fn id(said: &[u8]) -> u64 {
    match said.iter().all(|digit| *digit == b'0') {
        true => ABSENT,
        false => leaf(ID, said),
    }
}

/// The instant that a string says.
pub(super) fn instant(said: &[u8]) -> Option<Ticks> {
    std::str::from_utf8(said).ok()?.parse().ok()
}

fn leaf(kind: u64, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, kind)
}

fn mix(kind: u64, a: u64, b: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&a.to_le_bytes());
    bytes[8..].copy_from_slice(&b.to_le_bytes());
    leaf(kind, &bytes)
}
