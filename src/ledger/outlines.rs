//! The rows of outlines: tenant and incident → which version the outline is of, and the outline.
//!
//! An earlier incidentd does not know this table. It may write a later version and leave the outline of the one before. So a
//! row begins with the last update of its version and the sum of that version's row. An outline of another version counts as
//! none.

use redb::{Database, ReadTransaction, ReadableDatabase, Table, TableDefinition, TableHandle};

use crate::core::codec::{self, KEY_LEN};
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::outline::PackedOutline;
use crate::core::incident::version::Seen;
use crate::core::time::ticks::Ticks;
use crate::ports::LedgerEntry;

use super::error::StoreError;
use super::tables::{VERSIONS, write};

pub(super) const OUTLINES: TableDefinition<'_, &[u8; KEY_LEN], &[u8]> =
    TableDefinition::new("outlines");

type OutlineRows<'t> = Table<'t, &'static [u8; KEY_LEN], &'static [u8]>;

const UPDATED: usize = 8;
const SUM: usize = 4;

/// Makes the table in a ledger that has none.
pub(super) fn prepare(database: &Database) -> Result<(), redb::Error> {
    let read = database.begin_read()?;
    let is_there = (read.list_tables()?).any(|table| table.name() == OUTLINES.name());
    drop(read);
    if is_there {
        return Ok(());
    }
    write(database, |transaction| {
        transaction.open_table(OUTLINES)?;
        Ok(())
    })
}

/// Those of the versions that the ledger has now.
pub(super) fn of(
    transaction: &ReadTransaction,
    tenant: TenantId,
    ids: &[IncidentId],
) -> Result<Vec<Option<PackedOutline>>, StoreError> {
    let versions = transaction.open_table(VERSIONS)?;
    let outlines = transaction.open_table(OUTLINES)?;
    let look_up = |id: &IncidentId| {
        let key = codec::incident_key(tenant, *id);
        let Some((version, row)) = versions.get(&key)?.zip(outlines.get(&key)?) else {
            return Ok(None);
        };
        let seen = codec::decode_seen(version.value())?;
        Ok(outline_of(&seen, row.value()))
    };
    ids.iter().map(look_up).collect()
}

/// The outline in a row, if it is of this version.
pub(super) fn outline_of(seen: &Seen, row: &[u8]) -> Option<PackedOutline> {
    let outline = row.strip_prefix(&names(seen))?;
    Some(PackedOutline::from_bytes(outline))
}

pub(super) fn insert(rows: &mut OutlineRows<'_>, entry: &LedgerEntry) -> Result<(), redb::Error> {
    for (id, seen, outline) in entry.versions() {
        let key = codec::incident_key(entry.tenant, id);
        match outline {
            Some(outline) => {
                let row = [names(seen).as_slice(), outline.as_bytes()].concat();
                rows.insert(&key, row.as_slice())?;
            }
            None => {
                rows.remove(&key)?;
            }
        }
    }
    Ok(())
}

/// Removes the outlines of the tenant's versions from before `before`, and rows that are damaged.
pub(super) fn forget(
    rows: &mut OutlineRows<'_>,
    tenant: TenantId,
    before: Ticks,
) -> Result<(), redb::Error> {
    let first = codec::incident_key(tenant, IncidentId(0));
    let last = codec::incident_key(tenant, IncidentId(u64::MAX));
    let stays = |_: &[u8; KEY_LEN], row: &[u8]| {
        let updated = row.first_chunk::<UPDATED>();
        updated.is_some_and(|updated| i64::from_be_bytes(*updated) >= before.0)
    };
    rows.retain_in::<&[u8; KEY_LEN], _>(&first..=&last, stays)?;
    Ok(())
}

/// The beginning of the row of a version's outline.
fn names(seen: &Seen) -> [u8; UPDATED + SUM] {
    let mut names = [0; UPDATED + SUM];
    let sum = codec::raw_hash(&codec::encode_seen(seen)).0;
    names[..UPDATED].copy_from_slice(&seen.updated.0.to_be_bytes());
    names[UPDATED..].copy_from_slice(&sum.to_be_bytes()[..SUM]);
    names
}
