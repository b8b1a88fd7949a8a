//! The hash that tells whether two readings of an incident have the same content.
//!
//! It is blind to what carries no news: white space, the order of object keys, the spelling of string escapes, and the
//! order of the arrays in [`UNORDERED`], which the API returns in any order. Everything else counts, `null` against
//! absent too. It is stored in ledgers and published in `ce_id`: what it yields for a given content must never change
//! (a test pins it), or every incident would be published again.
//!
//! Numbers beyond 64 bits are compared as doubles; no field of an incident is such a number.
//!
//! The hash is not cryptographic and need not be: a forger would have to meet the same incident, the same 100-ns tick
//! and the same 64 bits, and would gain one suppressed update of their own alert.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Arrays whose order means nothing: an incident's alerts, an alert's entities, devices and (Graph) evidence.
const UNORDERED: [&str; 4] = ["alerts", "entities", "devices", "evidence"];

// One seed for each kind of value keeps "1" apart from 1, {} from [] and so on.
const NULL: u64 = 1;
const BOOL: u64 = 2;
const NUMBER: u64 = 3;
const FLOAT: u64 = 4;
const TEXT: u64 = 5;
const KEY: u64 = 6;
const OBJECT: u64 = 7;
const LIST: u64 = 8;
const BAG: u64 = 9;

/// A value that one of the daemon's own fields may have.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Null,
    Unsigned(u64),
    Text(String),
    Other,
}

/// Hash of an object key.
pub(super) fn key(text: &str) -> u64 {
    leaf(KEY, text.as_bytes())
}

/// Hash of one `key: value` pair; an object's pairs are summed, which makes their order vanish.
pub(super) fn pair(key: u64, value: u64) -> u64 {
    mix(KEY, key, value)
}

/// Hash of an object from the wrapping sum of its pairs.
pub(super) fn object(pairs: u64, count: u64) -> u64 {
    mix(OBJECT, pairs, count)
}

pub(super) fn is_unordered(key: &str) -> bool {
    UNORDERED.contains(&key)
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

/// Reads one JSON value to its hash, without building it. serde_json bounds the nesting (128 levels).
pub(super) struct Hash {
    /// The value, should it be an array, is one of [`UNORDERED`].
    pub unordered: bool,
}

impl<'de> DeserializeSeed<'de> for Hash {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<u64, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Hash {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<u64, E> {
        Ok(leaf(NULL, b""))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<u64, E> {
        Ok(leaf(BOOL, &[u8::from(value)]))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        Ok(leaf(NUMBER, &value.to_le_bytes()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
        Ok(leaf(NUMBER, &value.to_le_bytes()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<u64, E> {
        Ok(leaf(FLOAT, &value.to_bits().to_le_bytes()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<u64, E> {
        Ok(leaf(TEXT, value.as_bytes()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<u64, A::Error> {
        let (mut sum, mut count) = (0_u64, 0);
        while let Some(item) = items.next_element_seed(Hash { unordered: false })? {
            count += 1;
            sum = if self.unordered {
                sum.wrapping_add(mix(BAG, item, 0))
            } else {
                mix(LIST, sum, item)
            };
        }
        Ok(mix(if self.unordered { BAG } else { LIST }, sum, count))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<u64, A::Error> {
        let (mut pairs, mut count) = (0_u64, 0);
        while let Some((key, unordered)) = entries.next_key_seed(Key)? {
            let value = entries.next_value_seed(Hash { unordered })?;
            pairs = pairs.wrapping_add(pair(key, value));
            count += 1;
        }
        Ok(object(pairs, count))
    }
}

/// Reads an object key to its hash, and whether an array under it is unordered.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = (u64, bool);

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = (u64, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object key")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok((key(text), is_unordered(text)))
    }
}

/// Reads a scalar to its hash and its value; composite values hash as always and are [`Scalar::Other`].
pub(super) struct Field;

impl<'de> DeserializeSeed<'de> for Field {
    type Value = (u64, Scalar);

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_any(self)
    }
}

const PLAIN: Hash = Hash { unordered: false };

impl<'de> Visitor<'de> for Field {
    type Value = (u64, Scalar);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok((PLAIN.visit_unit()?, Scalar::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok((PLAIN.visit_bool(value)?, Scalar::Other))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok((PLAIN.visit_u64(value)?, Scalar::Unsigned(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok((PLAIN.visit_i64(value)?, Scalar::Other))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok((PLAIN.visit_f64(value)?, Scalar::Other))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok((PLAIN.visit_str(value)?, Scalar::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        Ok((PLAIN.visit_seq(items)?, Scalar::Other))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        Ok((PLAIN.visit_map(entries)?, Scalar::Other))
    }
}
