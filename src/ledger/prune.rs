//! The rows of tenants that were taken out of the configuration.
//!
//! A tenant is recorded as absent at the first start without it. After [`KEPT`] its rows are removed. Until then it can be
//! added again, and nothing is published twice or lost. Microsoft keeps incidents for the same time, so that incidents of
//! removed rows can't be shown again.

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::core::codec::{self, KEY_LEN};
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::version::ContentHash;
use crate::core::time::ticks::{PER_SECOND, Ticks};

use super::dead_letters::LETTERS;
use super::outlines::OUTLINES;
use super::tables::{TENANTS, VERSIONS};

/// Days for which the rows of an absent tenant are kept: Defender's retention of incidents.
pub(super) const KEPT_DAYS: i64 = 180;
const KEPT: i64 = KEPT_DAYS * 86_400 * PER_SECOND;

/// Rows that one transaction removes. It is small, so that no sweep's commit waits long for it.
pub(super) const STEP: usize = 10_000;

/// Tenant → since when it is absent, in ticks. A ledger in which no tenant ever was absent has no such table.
const ABSENT: TableDefinition<'_, &[u8; 16], i64> = TableDefinition::new("absent");

/// Notes which tenants of the ledger are not `configured` at `now`. Those that have been absent for long enough.
pub(super) fn note_absent(
    transaction: &WriteTransaction,
    is_configured: &dyn Fn(TenantId) -> bool,
    now: Ticks,
) -> Result<Vec<TenantId>, redb::Error> {
    let tenants = transaction.open_table(TENANTS)?;
    let mut absent = transaction.open_table(ABSENT)?;
    absent.retain(|tenant, _| !is_configured(TenantId::from_bytes(*tenant)))?;
    let mut overdue = Vec::new();
    for row in tenants.iter()? {
        let (key, _) = row?;
        let tenant = TenantId::from_bytes(*key.value());
        if is_configured(tenant) {
            continue;
        }
        let since = absent.get(key.value())?.map(|since| since.value());
        match since {
            Some(since) if now.0.saturating_sub(since) >= KEPT => overdue.push(tenant),
            // A clock that was ahead at that time must not keep the rows for ever.
            Some(since) if since <= now.0 => {}
            _ => {
                absent.insert(key.value(), now.0)?;
            }
        }
    }
    Ok(overdue)
}

/// Drops up to [`STEP`] rows of `tenant`. Whether it has none any more.
pub(super) fn drop_rows(
    transaction: &WriteTransaction,
    tenant: TenantId,
) -> Result<bool, redb::Error> {
    let incidents = [IncidentId(0), IncidentId(u64::MAX)];
    let mut versions = transaction.open_table(VERSIONS)?;
    let of = incidents.map(|id| codec::incident_key(tenant, id));
    let left = STEP - drop_between(&mut versions, of, STEP)?;
    let contents = [ContentHash(0), ContentHash(u64::MAX)];
    let mut dead = transaction.open_table(LETTERS)?;
    let of = contents.map(|content| codec::dead_key(tenant, content));
    let left = left - drop_between(&mut dead, of, left)?;
    let mut outlines = transaction.open_table(OUTLINES)?;
    let of = incidents.map(|id| codec::incident_key(tenant, id));
    let left = left - drop_between(&mut outlines, of, left)?;
    if left == 0 {
        return Ok(false);
    }
    // Last, because the others are found by this row.
    let key = tenant.as_bytes();
    transaction.open_table(TENANTS)?.remove(key)?;
    transaction.open_table(ABSENT)?.remove(key)?;
    Ok(true)
}

/// How many rows were dropped, at most `limit`.
fn drop_between<V: redb::Value + 'static>(
    table: &mut Table<'_, &'static [u8; KEY_LEN], V>,
    [first, last]: [[u8; KEY_LEN]; 2],
    limit: usize,
) -> Result<usize, redb::Error> {
    let rows = table.range::<&[u8; KEY_LEN]>(&first..=&last)?.take(limit);
    let keys = rows.map(|row| Ok(*row?.0.value()));
    let keys = keys.collect::<Result<Vec<[u8; KEY_LEN]>, redb::Error>>()?;
    for key in &keys {
        table.remove(key)?;
    }
    Ok(keys.len())
}
