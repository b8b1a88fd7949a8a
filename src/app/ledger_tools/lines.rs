//! The format of an exported ledger: one JSON document in each line.
//!
//! ```text
//! {"row":"ledger","format":1,"incidentd":"0.1.0","from":"…","exported":"2026-01-01T00:00:00Z"}
//! {"row":"state","tenant":"…","value":"04…","sum":"…"}
//! {"row":"version","tenant":"…","incident":4162,"value":"04…","sum":"…","outline":"01…","outline_sum":"…"}
//! {"row":"letter","tenant":"…","content":"…","value":"04…","sum":"…"}
//! {"row":"end","rows":3}
//! ```
//!
//! Values are those of [`crate::core::codec`] in hexadecimal digits, so that nothing is lost or rounded. Each line has a sum over
//! what it says, and the last line the number of rows: a line that was damaged or lost on the way is noticed. A version may have
//! an outline, with a sum of its own: an earlier incidentd passes over both.

use serde::{Deserialize, Serialize};

use crate::core::codec::{self, CodecError};
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::outline::PackedOutline;
use crate::core::incident::version::ContentHash;
use crate::ports::LedgerEntry;

/// The format that this program writes, and the latest that it reads.
pub(super) const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "lowercase")]
pub(super) enum LedgerLine {
    /// The first line.
    Ledger {
        format: u32,
        incidentd: String,
        from: String,
        exported: String,
    },
    State {
        tenant: String,
        value: String,
        sum: String,
    },
    Version {
        tenant: String,
        incident: u64,
        value: String,
        sum: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        outline: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        outline_sum: Option<String>,
    },
    Letter {
        tenant: String,
        content: String,
        value: String,
        sum: String,
    },
    /// The last line.
    End { rows: u64 },
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    #[error("its value is {0}")]
    Value(#[from] CodecError),
}

impl LedgerLine {
    /// The lines of an entry.
    pub(super) fn of(entry: &LedgerEntry) -> impl Iterator<Item = Self> + '_ {
        let of = entry.tenant;
        let state = entry.state.iter().map(move |state| {
            let value = hex(&codec::encode_state(state));
            Self::State {
                sum: sum("state", of, 0, &value),
                tenant: of.to_string(),
                value,
            }
        });
        let versions = entry.versions().map(move |(id, seen, outline)| {
            let value = hex(&codec::encode_seen(seen));
            let outline = outline.map(|outline| hex(outline.as_bytes()));
            Self::Version {
                sum: sum("version", of, id.0, &value),
                tenant: of.to_string(),
                incident: id.0,
                value,
                outline_sum: outline.as_ref().map(|it| sum("outline", of, id.0, it)),
                outline,
            }
        });
        let letters = entry.letters.iter().map(move |(content, letter)| {
            let value = hex(&codec::encode_letter(letter));
            Self::Letter {
                sum: sum("letter", of, content.0, &value),
                tenant: of.to_string(),
                content: format!("{:016x}", content.0),
                value,
            }
        });
        state.chain(versions).chain(letters)
    }

    /// What a row says; `None`: the line is no row.
    pub(super) fn entry(&self) -> Result<Option<LedgerEntry>, LineError> {
        let (kind, tenant, number, value, found) = match self {
            Self::Ledger { .. } | Self::End { .. } => return Ok(None),
            Self::State { tenant, value, sum } => ("state", tenant, 0, value, sum),
            Self::Version {
                tenant,
                incident,
                value,
                sum,
                ..
            } => ("version", tenant, *incident, value, sum),
            Self::Letter {
                tenant,
                content,
                value,
                sum,
            } => {
                let number = u64::from_str_radix(content, 16);
                let number = number.map_err(|_| LineError::Damaged("content is no hash"))?;
                ("letter", tenant, number, value, sum)
            }
        };
        let tenant: Result<TenantId, _> = tenant.parse();
        let tenant = tenant.map_err(|_| LineError::Damaged("tenant is no id"))?;
        if *found != sum(kind, tenant, number, value) {
            return Err(LineError::Damaged("its sum does not fit"));
        }
        let bytes = unhex(value).ok_or(LineError::Damaged("value is not hexadecimal"))?;
        let mut entry = LedgerEntry::of(tenant);
        match self {
            Self::State { .. } => entry.state = Some(codec::decode_state(&bytes)?),
            Self::Version {
                outline,
                outline_sum,
                ..
            } => {
                let (id, seen) = (IncidentId(number), codec::decode_seen(&bytes)?);
                entry.seen.push((id, seen));
                let expected = outline
                    .as_ref()
                    .map(|it| sum("outline", tenant, number, it));
                if *outline_sum != expected {
                    return Err(LineError::Damaged("the sum of its outline does not fit"));
                }
                if let Some(outline) = outline {
                    let bytes = unhex(outline);
                    let bytes =
                        bytes.ok_or(LineError::Damaged("its outline is not hexadecimal"))?;
                    entry.outlines.push((id, PackedOutline::from_bytes(&bytes)));
                }
            }
            _ => {
                let letter = codec::decode_letter(&bytes)?;
                entry.letters.push((ContentHash(number), letter));
            }
        }
        Ok(Some(entry))
    }
}

fn sum(kind: &str, tenant: TenantId, number: u64, value: &str) -> String {
    let said = format!("{kind} {tenant} {number} {value}");
    format!("{:016x}", codec::raw_hash(said.as_bytes()).0)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    rest.is_empty()
        .then(|| pairs.iter().map(byte).collect())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::incident::dead_letters::Letter;
    use crate::core::incident::version::{Forms, Phase, Seen};
    use crate::core::sources::SourceKind;
    use crate::core::sweep::backlog::{Backlog, Interval};
    use crate::core::sweep::cursor::TenantState;
    use crate::core::time::ticks::Ticks;

    fn entry() -> LedgerEntry {
        let seen = Seen {
            updated: Ticks(5),
            phase: Phase::Resolved,
            forms: Forms::NONE.and(ContentHash(6)).and(ContentHash(u64::MAX)),
            origin: SourceKind::Graph,
            whole: false,
        };
        let letter = Letter {
            met: Ticks(8),
            accepted: true,
        };
        LedgerEntry {
            seen: vec![(IncidentId(u64::MAX), seen), (IncidentId(1), seen)],
            outlines: vec![(IncidentId(1), PackedOutline::from_bytes(&[1, 2, 3]))],
            letters: vec![(ContentHash(0xabc), letter)],
            state: Some(TenantState {
                start: Ticks(1),
                cursor: Ticks(2),
                reconciled: Ticks(3),
                backlog: Backlog::from_iter([Interval::again(Ticks(1), Ticks(2))]),
                paused: None,
            }),
            ..LedgerEntry::of(TenantId::from_bytes([7; 16]))
        }
    }

    fn lines() -> Vec<String> {
        let lines = LedgerLine::of(&entry()).collect::<Vec<_>>();
        let text = |line: &LedgerLine| serde_json::to_string(line).unwrap();
        lines.iter().map(text).collect()
    }

    fn read(line: &str) -> Option<LedgerEntry> {
        let line: LedgerLine = serde_json::from_str(line).ok()?;
        line.entry().ok()?
    }

    #[test]
    fn rows_survive_the_round_trip() {
        let mut found = LedgerEntry::of(entry().tenant);
        for line in lines() {
            let row = read(&line).expect(&line);
            found.seen.extend(row.seen);
            found.outlines.extend(row.outlines);
            found.letters.extend(row.letters);
            found.state = found.state.or(row.state);
        }
        assert_eq!(found, entry());
    }

    /// Ledgers that were exported before are imported for ever.
    #[test]
    fn lines_never_change() {
        assert_eq!(
            lines()[3],
            r#"{"row":"letter","tenant":"07070707-0707-0707-0707-070707070707","content":"0000000000000abc","value":"04000000000000000801","sum":"15d4ee54ad9ba672"}"#
        );
        let head = r#"{"row":"ledger","format":1,"incidentd":"0.1.0","from":"here","exported":"now","later":1}"#;
        let head: LedgerLine = serde_json::from_str(head).unwrap();
        assert!(matches!(head, LedgerLine::Ledger { format: FORMAT, .. }));
        let end: LedgerLine = serde_json::from_str(r#"{"row":"end","rows":3}"#).unwrap();
        assert_eq!(end, LedgerLine::End { rows: 3 });
    }

    #[test]
    fn a_line_with_one_other_character_is_refused() {
        for line in lines() {
            for at in 0..line.len() {
                for other in ['0', 'a', '"'] {
                    let mut damaged = line.clone();
                    damaged.replace_range(at..=at, &other.to_string());
                    let found = (damaged != line).then(|| read(&damaged)).flatten();
                    assert!(found.is_none(), "{damaged}");
                }
            }
        }
    }

    #[test]
    fn a_later_format_is_named_as_such() {
        let value = hex(&[codec::FORMAT + 1, 1, 2]);
        let tenant = TenantId::from_bytes([7; 16]);
        let line = LedgerLine::State {
            tenant: tenant.to_string(),
            sum: sum("state", tenant, 0, &value),
            value,
        };
        let says = line.entry().expect_err("an error").to_string();
        assert!(says.contains("written by a later incidentd"), "{says}");
    }
}
