//! The rows of the ledger's topic as bytes.
//!
//! A key is one byte for the kind of row, and what the row is about; the value is that of [`crate::core::codec`], the same as
//! in the local ledger:
//!
//! | kind | the rest of the key | value |
//! |---|---|---|
//! | 1 | tenant (16 bytes) | the tenant's state |
//! | 2 | tenant, incident's id (8 bytes) | the version published last |
//! | 3 | tenant, hash of the content (8 bytes) | what is remembered of an element that can't be read |
//!
//! The key `partitions` has no kind: its value is the number of partitions that the ledger is written with, in decimal digits.
//!
//! The row of a version has its outline in a header, `outline`: an earlier incidentd, which refuses a kind of row that it does
//! not know, reads no header, and writes the next version without one. So an outline is always that of its row's version.
//!
//! A row that can't be read stops the restore: without it, something would be published again, or a range never be read.

use super::log::Row;
use crate::core::codec::{self, CodecError};
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::outline::PackedOutline;
use crate::core::incident::version::{ContentHash, Seen};
use crate::core::sweep::cursor::TenantState;

const STATE: u8 = 1;
const VERSION: u8 = 2;
const LETTER: u8 = 3;
pub(super) const PARTITIONS: &[u8] = b"partitions";
/// The name of the header.
pub(super) const OUTLINE: &str = "outline";

/// What a row says. Without a value, it removes what earlier rows of its key said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LedgerRow {
    State {
        tenant: TenantId,
        state: Option<TenantState>,
    },
    Version {
        tenant: TenantId,
        id: IncidentId,
        seen: Option<Seen>,
        outline: Option<PackedOutline>,
    },
    Letter {
        tenant: TenantId,
        content: ContentHash,
        letter: Option<Letter>,
    },
    /// With how many partitions the ledger is written. With another number, tenants are looked for where their rows are not.
    Partitions(u16),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RowError {
    #[error(
        "it was written with {written} partitions, and ledger.partitions is {configured}: tenants would be looked for where their \
         rows are not, and all their incidents would be published again"
    )]
    Partitions { written: u16, configured: u16 },
    #[error("the row that holds its number of partitions holds no number")]
    NoNumber,
    #[error(
        "the ledger's topic has a row of an unknown kind (key {key}): if a later incidentd wrote it, install that version or a later one; otherwise give the ledger a topic that nothing else writes to"
    )]
    UnknownKind { key: String },
    #[error("the row of {of} in the ledger's topic is {source}")]
    Value { of: String, source: CodecError },
}

impl LedgerRow {
    pub(super) fn encode(&self) -> Row {
        match self {
            Self::State { tenant, state } => Row {
                key: key(STATE, tenant.as_bytes()),
                value: state.as_ref().map(codec::encode_state),
                outline: None,
            },
            Self::Version {
                tenant,
                id,
                seen,
                outline,
            } => Row {
                key: key(VERSION, &codec::incident_key(*tenant, *id)),
                value: seen.as_ref().map(codec::encode_seen),
                outline: outline.clone(),
            },
            Self::Letter {
                tenant,
                content,
                letter,
            } => Row {
                key: key(LETTER, &codec::dead_key(*tenant, *content)),
                value: letter.as_ref().map(|it| codec::encode_letter(it).to_vec()),
                outline: None,
            },
            Self::Partitions(count) => Row {
                key: PARTITIONS.to_vec(),
                value: Some(count.to_string().into_bytes()),
                outline: None,
            },
        }
    }

    pub(super) fn decode(row: &Row) -> Result<Self, RowError> {
        let unknown = || RowError::UnknownKind { key: hex(&row.key) };
        let value = row.value.as_deref();
        if row.key == PARTITIONS {
            let text = value.and_then(|value| std::str::from_utf8(value).ok());
            let count = text.and_then(|text| text.parse().ok());
            return count.map(Self::Partitions).ok_or(RowError::NoNumber);
        }
        let (kind, rest) = row.key.split_first().ok_or_else(unknown)?;
        let (tenant, rest) = rest.split_first_chunk().ok_or_else(unknown)?;
        let tenant = TenantId::from_bytes(*tenant);
        let number = rest.try_into().map(u64::from_be_bytes);
        match (*kind, number) {
            (STATE, _) if rest.is_empty() => Ok(Self::State {
                tenant,
                state: read(value, codec::decode_state, || {
                    format!("the tenant {tenant}")
                })?,
            }),
            (VERSION, Ok(id)) => Ok(Self::Version {
                tenant,
                id: IncidentId(id),
                seen: read(value, codec::decode_seen, || {
                    format!("incident {id} of the tenant {tenant}")
                })?,
                outline: row.outline.clone().filter(|_| value.is_some()),
            }),
            (LETTER, Ok(content)) => Ok(Self::Letter {
                tenant,
                content: ContentHash(content),
                letter: read(value, codec::decode_letter, || {
                    format!("the dead letter {content:016x} of the tenant {tenant}")
                })?,
            }),
            _ => Err(unknown()),
        }
    }
}

fn read<T>(
    value: Option<&[u8]>,
    decode: impl FnOnce(&[u8]) -> Result<T, CodecError>,
    of: impl FnOnce() -> String,
) -> Result<Option<T>, RowError> {
    let decoded = value.map(decode).transpose();
    decoded.map_err(|source| RowError::Value { of: of(), source })
}

fn key(kind: u8, of: &[u8]) -> Vec<u8> {
    [&[kind], of].concat()
}

/// The beginning of a key. Keys of others may be of any length.
fn hex(key: &[u8]) -> String {
    const SHOWN: usize = 32;
    let shown = key.iter().take(SHOWN);
    let mut hex: String = shown.map(|byte| format!("{byte:02x}")).collect();
    if key.len() > SHOWN {
        hex.push('…');
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::incident::version::{Forms, Phase};
    use crate::core::sources::SourceKind;
    use crate::core::sweep::backlog::{Backlog, Interval};
    use crate::core::time::ticks::Ticks;
    use proptest::prelude::*;

    fn rows() -> [LedgerRow; 6] {
        let tenant = TenantId::from_bytes(7_u128.to_be_bytes());
        let state = TenantState {
            start: Ticks(1),
            cursor: Ticks(2),
            reconciled: Ticks(3),
            backlog: Backlog::from_iter([Interval::again(Ticks(1), Ticks(2))]),
            paused: None,
        };
        let seen = Seen {
            updated: Ticks(5),
            phase: Phase::Resolved,
            forms: Forms::NONE.and(ContentHash(6)),
            origin: SourceKind::Graph,
            whole: true,
        };
        let letter = Letter {
            met: Ticks(8),
            accepted: true,
        };
        let (id, content) = (IncidentId(0x1042), ContentHash(0xabc));
        let (state, seen, letter) = (Some(state), Some(seen), Some(letter));
        [
            LedgerRow::State { tenant, state },
            LedgerRow::Version {
                tenant,
                id,
                seen,
                outline: Some(PackedOutline::from_bytes(&[1, 2, 3])),
            },
            LedgerRow::Letter {
                tenant,
                content,
                letter,
            },
            LedgerRow::State {
                tenant,
                state: None,
            },
            LedgerRow::Version {
                tenant,
                id,
                seen: None,
                outline: None,
            },
            LedgerRow::Letter {
                tenant,
                content,
                letter: None,
            },
        ]
    }

    #[test]
    fn the_number_of_partitions_is_a_row_of_its_own() {
        let row = Row {
            key: b"partitions".to_vec(),
            value: Some(b"32".to_vec()),
            outline: None,
        };
        assert_eq!(LedgerRow::Partitions(32).encode(), row);
        assert_eq!(LedgerRow::decode(&row), Ok(LedgerRow::Partitions(32)));
        for value in [
            None,
            Some(b"".to_vec()),
            Some(b"many".to_vec()),
            Some(b"65536".to_vec()),
        ] {
            let row = Row {
                value,
                ..row.clone()
            };
            assert_eq!(LedgerRow::decode(&row), Err(RowError::NoNumber), "{row:?}");
        }
    }

    #[test]
    fn a_row_survives_the_round_trip() {
        for row in rows() {
            assert_eq!(LedgerRow::decode(&row.encode()), Ok(row));
        }
    }

    /// Every installation has rows with these keys.
    #[test]
    fn keys_never_change() {
        let tenant = "00000000000000000000000000000007";
        let keys: Vec<String> = rows()[..3]
            .iter()
            .map(|row| hex(&row.encode().key))
            .collect();
        assert_eq!(keys[0], format!("01{tenant}"));
        assert_eq!(keys[1], format!("02{tenant}0000000000001042"));
        assert_eq!(keys[2], format!("03{tenant}0000000000000abc"));
    }

    #[test]
    fn an_error_names_the_row_and_what_to_do() {
        let says = |row: &Row| LedgerRow::decode(row).expect_err("an error").to_string();
        for (row, of) in rows()[..3].iter().zip([
            "the tenant 00000000-0000-0000-0000-000000000007",
            "incident 4162 of the tenant 00000000-0000-0000-0000-000000000007",
            "the dead letter 0000000000000abc of the tenant 00000000-0000-0000-0000-000000000007",
        ]) {
            let mut row = row.encode();
            row.value.as_mut().expect("a value")[0] = codec::FORMAT + 1;
            let later = says(&row);
            assert!(later.contains(of), "{later}");
            assert!(
                later.contains("written by a later incidentd (format 6;"),
                "{later}"
            );
            assert!(later.contains("run that version or a later one"), "{later}");
            row.value = Some(vec![codec::FORMAT]);
            let damaged = says(&row);
            assert!(
                damaged.contains(of) && damaged.contains("damaged"),
                "{damaged}"
            );
        }
        for key in [
            vec![9; 25],
            vec![],
            vec![STATE; 18],
            vec![VERSION; 17],
            vec![LETTER; 26],
        ] {
            let row = Row {
                key,
                ..Row::default()
            };
            let unknown = says(&row);
            assert!(unknown.contains(&hex(&row.key)), "{unknown}");
            assert!(
                unknown.contains("install that version or a later one"),
                "{unknown}"
            );
        }
        let long = Row {
            key: vec![0xff; 100_000],
            ..Row::default()
        };
        assert!(says(&long).len() < 400);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_decodes_survives_the_round_trip(
            kind in 0..5_u8, rest in prop::collection::vec(any::<u8>(), 14..27),
            value in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        ) {
            let row = Row { key: key(kind, &rest), value, outline: None };
            if let Ok(decoded) = LedgerRow::decode(&row) {
                prop_assert_eq!(&decoded.encode().key, &row.key);
                prop_assert_eq!(LedgerRow::decode(&decoded.encode()), Ok(decoded));
            }
        }
    }
}
