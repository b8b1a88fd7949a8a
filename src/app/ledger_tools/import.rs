//! Reads an exported ledger into another one. No record is published.
//!
//! Every line is checked when it is read. Versions and dead letters are written as they come, and the states of all tenants at
//! the end, when the last line shows that nothing is missing. So an import that was cut off has changed no tenant's cursor, and
//! can be repeated. The other order would give a tenant a cursor without the versions before it: they would be published again.
//!
//! A version that the ledger has already stays if it is the later one. A tenant that has another state in the ledger is refused:
//! it was read there, and no cursor is right for both.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, Read};

use futures_util::future::try_join_all;
use tokio::runtime::Handle;

use super::LedgerToolError;
use super::lines::{FORMAT, LedgerLine};
use crate::core::health::failure::Failure;
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::outline::MOST_BYTES;
use crate::core::incident::version::{ContentHash, Seen};
use crate::core::sweep::cursor::TenantState;
use crate::kafka::FencedLedger;
use crate::ledger::LocalLedger;
use crate::ports::{Ledger, LedgerEntry};

/// Rows that are written together.
const ROWS: usize = 2_000;
/// The longest line: that of a version with the longest outline.
const LONGEST: u64 = 2 * MOST_BYTES as u64 + (4 << 10);
/// The most tenants. Their states are held until the end.
const MOST_TENANTS: usize = 100_000;

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportReport {
    /// Where the ledger was exported.
    pub from: String,
    pub tenants: usize,
    pub rows: u64,
    /// Rows that the ledger did not have yet.
    pub written: u64,
}

/// The ledger that is written.
pub(super) enum ImportTarget {
    /// Its calls wait, with the runtime of this handle.
    Local(LocalLedger, Handle),
    Kafka(FencedLedger),
}

impl ImportTarget {
    fn state(&self, tenant: TenantId) -> Result<Option<TenantState>, Failure> {
        match self {
            Self::Local(ledger, handle) => handle.block_on(ledger.state(tenant)),
            Self::Kafka(ledger) => Ok(ledger.state(tenant)),
        }
    }

    fn known(&self, tenant: TenantId, ids: &[IncidentId]) -> Result<Vec<Option<Seen>>, Failure> {
        match self {
            Self::Local(ledger, handle) => handle.block_on(ledger.known(tenant, ids)),
            Self::Kafka(ledger) => Ok(ledger.known(tenant, ids)),
        }
    }

    fn letters(&self, tenant: TenantId) -> Result<Vec<(ContentHash, Letter)>, Failure> {
        match self {
            Self::Local(ledger, handle) => handle.block_on(ledger.letters(tenant)),
            Self::Kafka(ledger) => Ok(ledger.letters(tenant)),
        }
    }

    fn write(&self, entries: Vec<LedgerEntry>) -> Result<(), Failure> {
        match self {
            Self::Local(ledger, handle) => {
                let writes = entries.into_iter().map(|entry| ledger.write(entry));
                handle.block_on(try_join_all(writes)).map(drop)
            }
            Self::Kafka(ledger) => ledger.write(entries),
        }
    }
}

/// Reads all of `input`. Blocks.
pub(super) fn import(
    target: &ImportTarget,
    input: &mut dyn BufRead,
) -> Result<ImportReport, LedgerToolError> {
    let mut lines = LineReader { input, number: 0 };
    let from = lines.head()?;
    let mut import = Import {
        target,
        states: BTreeMap::new(),
        waiting: BTreeMap::new(),
        rows: 0,
        read: 0,
        written: 0,
    };
    loop {
        match lines.next()? {
            None => return Err(lines.cut_off()),
            Some(LedgerLine::Ledger { .. }) => {
                return Err(lines.refuse("another ledger begins there"));
            }
            Some(LedgerLine::End { rows }) if rows != import.read => {
                let read = import.read;
                return Err(lines.refuse(format!("{rows} rows were exported, and {read} came")));
            }
            Some(LedgerLine::End { .. }) => break,
            Some(row) => {
                let entry = row.entry();
                if let Some(entry) = entry.map_err(|error| lines.refuse(error.to_string()))? {
                    import.take(entry, &lines)?;
                }
            }
        }
    }
    if lines.next()?.is_some() {
        return Err(lines.refuse("it comes after the last line"));
    }
    import.finish(from)
}

struct Import<'a> {
    target: &'a ImportTarget,
    /// Written last.
    states: BTreeMap<TenantId, TenantState>,
    /// What is written next, and how many rows that are.
    waiting: BTreeMap<TenantId, LedgerEntry>,
    rows: usize,
    read: u64,
    written: u64,
}

impl Import<'_> {
    fn take(&mut self, entry: LedgerEntry, lines: &LineReader<'_>) -> Result<(), LedgerToolError> {
        self.read += 1;
        let tenant = entry.tenant;
        if let Some(state) = entry.state {
            let known = self.target.state(tenant)?;
            if known.is_some_and(|known| known != state) {
                return Err(LedgerToolError::Conflict { tenant });
            }
            self.states.insert(tenant, state);
            if self.states.len() > MOST_TENANTS {
                return Err(lines.refuse(format!("more than {MOST_TENANTS} tenants")));
            }
            return Ok(());
        }
        let waiting = self.waiting.entry(tenant);
        let waiting = waiting.or_insert_with(|| LedgerEntry::of(tenant));
        waiting.seen.extend(entry.seen);
        waiting.outlines.extend(entry.outlines);
        waiting.letters.extend(entry.letters);
        self.rows += 1;
        match self.rows < ROWS {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn flush(&mut self) -> Result<(), LedgerToolError> {
        self.rows = 0;
        let mut entries = Vec::new();
        for (tenant, mut entry) in std::mem::take(&mut self.waiting) {
            let ids: Vec<_> = entry.seen.iter().map(|(id, _)| *id).collect();
            let mut known = self.target.known(tenant, &ids)?.into_iter();
            entry.seen.retain(|(_, seen)| {
                let known = known.next().flatten();
                known.is_none_or(|known| rank(&known) < rank(seen))
            });
            let written: HashSet<_> = entry.seen.iter().map(|(id, _)| *id).collect();
            entry.outlines.retain(|(id, _)| written.contains(id));
            if !entry.letters.is_empty() {
                let known: BTreeMap<_, _> = self
                    .target
                    .letters(tenant)?
                    .into_iter()
                    .map(|(content, letter)| (content.0, letter.accepted))
                    .collect();
                entry.letters.retain(|(content, letter)| {
                    let known = known.get(&content.0);
                    known.is_none_or(|accepted| !accepted && letter.accepted)
                });
            }
            self.written += (entry.seen.len() + entry.letters.len()) as u64;
            if !entry.is_empty() {
                entries.push(entry);
            }
        }
        Ok(self.target.write(entries)?)
    }

    fn finish(mut self, from: String) -> Result<ImportReport, LedgerToolError> {
        self.flush()?;
        let tenants = self.states.len();
        let mut entries = Vec::new();
        for (tenant, state) in std::mem::take(&mut self.states) {
            if self.target.state(tenant)?.is_some() {
                continue;
            }
            self.written += 1;
            entries.push(LedgerEntry {
                state: Some(state),
                ..LedgerEntry::of(tenant)
            });
            if entries.len() == ROWS {
                self.target.write(std::mem::take(&mut entries))?;
            }
        }
        self.target.write(entries)?;
        Ok(ImportReport {
            from,
            tenants,
            rows: self.read,
            written: self.written,
        })
    }
}

/// A version with more forms of the same last update knows more.
fn rank(seen: &Seen) -> impl PartialOrd {
    (seen.updated, seen.forms.count())
}

struct LineReader<'a> {
    input: &'a mut dyn BufRead,
    /// Of the line that was read last, from 1 on.
    number: u64,
}

impl LineReader<'_> {
    /// Reads the first line. Returns where the ledger was exported.
    fn head(&mut self) -> Result<String, LedgerToolError> {
        match self.next() {
            Ok(Some(LedgerLine::Ledger { format, from, .. })) if format <= FORMAT => Ok(from),
            Ok(Some(LedgerLine::Ledger {
                format, incidentd, ..
            })) => Err(self.refuse(format!(
                "a later incidentd ({incidentd}) exported it, in format {format}, and this one reads up to {FORMAT}; import it with \
                 that version or a later one"
            ))),
            Err(error @ LedgerToolError::Input(_)) => Err(error),
            Ok(None) => Err(self.refuse("the input is empty; make an export with incidentd ledger export")),
            _ => Err(self.refuse("no exported ledger begins so; make one with incidentd ledger export")),
        }
    }

    fn next(&mut self) -> Result<Option<LedgerLine>, LedgerToolError> {
        let mut line = Vec::new();
        let limited = (&mut *self.input).take(LONGEST);
        let mut limited = limited;
        let length = limited
            .read_until(b'\n', &mut line)
            .map_err(LedgerToolError::Input)?;
        if length == 0 {
            return Ok(None);
        }
        self.number += 1;
        if line.pop_if(|last| *last == b'\n').is_none() {
            return Err(match length as u64 == LONGEST {
                true => self.refuse("it is too long"),
                false => self.cut_off(),
            });
        }
        let line = serde_json::from_slice(&line);
        line.map(Some)
            .map_err(|error| self.refuse(format!("it is damaged: {error}")))
    }

    fn refuse(&self, what: impl Into<String>) -> LedgerToolError {
        LedgerToolError::Line {
            number: self.number.max(1),
            what: what.into(),
        }
    }

    fn cut_off(&self) -> LedgerToolError {
        LedgerToolError::CutOff {
            number: self.number,
        }
    }
}

#[cfg(test)]
mod tests;
