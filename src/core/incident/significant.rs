//! The members of an incident that make a version, how they are compared, and their hash.
//!
//! Each source has a table of them ([`super::reading::Shape`]). Members outside the table pass through and make no
//! version: Microsoft adds members to all incidents at once, changes the form of its links, and computes scores and
//! device states again at each reading. If they were compared, whole fleets would be published again.
//!
//! Members are compared by their meaning:
//! - A member that is absent, `null`, an empty list or an empty string counts as absent. (Microsoft sends `""` where it
//!   has no value.)
//! - The order of a list does not count, but the number of times an item occurs does: an alert listed twice is two
//!   alerts, because the number of alerts is news. The same holds for a tag. Microsoft documents neither; if some of
//!   its servers repeat items, each form is published once ([`super::version::Forms`]). To compare sets instead, all
//!   items of a list would have to be kept.
//! - The order of members, white space and the spelling of strings do not count. If a key occurs twice, the last value
//!   counts.
//! - A value is compared by its bytes if its kind differs from the table, if it has an escape that JSON does not have,
//!   or if its brackets and keys don't match.
//!
//! The hash is stored in ledgers and published in `ce_id`. **It must never change** for given members (golden vectors
//! pin it): with another hash every incident would be a new version. This holds for the table too: adding or removing a
//! row changes the hash of every incident that has the member, and requires a new format of the ledger's rows.
//!
//! The hash is not cryptographic and need not be: a forger would have to match the same incident, the same 100-ns tick
//! and the same 64 bits, and would only suppress one update of their own alert. A list is hashed as the sum of its
//! mixed items, which removes their order; each sum is mixed again with the number of items.

use super::json::{Begins, Broken, Scalar, Scanner, Text};
use crate::core::time::ticks::Ticks;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A member that makes a version.
#[derive(Debug, PartialEq, Eq)]
pub struct Significant {
    pub name: &'static str,
    /// The name that goes into the hash. If a member has two spellings in practice, both count as one.
    pub counts_as: &'static str,
    pub compared: Compared,
}

/// How the values of a member are compared.
#[derive(Debug, PartialEq, Eq)]
pub enum Compared {
    /// A value of an enumeration: upper and lower case are equal.
    Word,
    Text,
    /// A number and a text with the same digits are equal. Zero is no id and counts as absent.
    Id,
    /// RFC 3339, compared as an instant. Anything else is compared as text.
    Time,
    /// The order does not count.
    List(&'static Compared),
    /// These members are compared, at most [`MOST`].
    Object(&'static [Significant]),
}

/// The most members that a table may have.
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

// A seed for each kind distinguishes a text "1" from an id 1, an empty object from an empty list, and so on.
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

/// The hash of an absent value.
pub(super) const ABSENT: u64 = 0;

/// The hashes of the significant members of one object, as they are found.
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

    /// Hashes the next value, which belongs to `key`, or skips it.
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

    /// The hash of each member, in the order of the table.
    pub(super) fn into_hashes(self) -> [u64; MOST] {
        self.hashes
    }
}

/// The hash of bytes that can't be compared by their meaning.
pub(super) fn bytes(raw: &[u8]) -> u64 {
    leaf(BYTES, raw)
}

/// The hash of the next value. If its content can't be followed but its end can, it is compared by its bytes.
fn value_or_bytes(input: &mut Scanner<'_>, compared: &Compared) -> Result<u64, Broken> {
    let before = *input;
    value(input, compared).or_else(|_| {
        *input = before;
        let place = input.skip()?;
        Ok(bytes(input.slice(place)))
    })
}

/// The hash of the next value.
pub(super) fn value(input: &mut Scanner<'_>, compared: &Compared) -> Result<u64, Broken> {
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

/// The hash of a value that is not one of the lists and objects in a table.
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

/// The instant in a string.
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
