//! The rows of dead letters: tenant and content → when it first appeared, and whether the topic has accepted it.
//!
//! Their number is limited for each tenant, so that a gateway that sends no incidents can't fill the disk. Old rows are
//! removed.

use std::path::Path;

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition, TableHandle,
};

use crate::core::codec::{self, KEY_LEN};
use crate::core::ids::TenantId;
use crate::core::incident::dead_letters::{Letter, MOST};
use crate::core::incident::version::ContentHash;
use crate::core::time::ticks::Ticks;

use super::error::StoreError;
use super::tables::write;

pub(super) const LETTERS: TableDefinition<'_, &[u8; KEY_LEN], &[u8]> =
    TableDefinition::new("letters");

/// The table of former releases: without an instant, and without a limit.
pub(super) const FORMER: TableDefinition<'_, &[u8; KEY_LEN], ()> = TableDefinition::new("dead");

type LetterRows<'t> = Table<'t, &'static [u8; KEY_LEN], &'static [u8]>;

/// Makes the table in a ledger that has none, and copies the rows of a former release: for each tenant up to the limit, with
/// `met` as their age.
pub(super) fn prepare(database: &Database, met: Ticks) -> Result<(), redb::Error> {
    let read = database.begin_read()?;
    let tables: Vec<_> = read.list_tables()?.collect();
    let has = |name: &str| tables.iter().any(|table| table.name() == name);
    if has(LETTERS.name()) && !has(FORMER.name()) {
        return Ok(());
    }
    drop(read);
    write(database, |transaction| {
        let mut letters = transaction.open_table(LETTERS)?;
        let accepted = codec::encode_letter(&Letter {
            met,
            accepted: true,
        });
        let (mut tenant, mut count) = ([0; 16], 0);
        for row in transaction.open_table(FORMER)?.iter()? {
            let key = *row?.0.value();
            if key[..16] != tenant {
                tenant.copy_from_slice(&key[..16]);
                count = 0;
            }
            count += 1;
            if count <= MOST {
                letters.insert(&key, accepted.as_slice())?;
            }
        }
        transaction.delete_table(FORMER)?;
        Ok(())
    })
}

/// When the file was last changed; rows without an age get this one. The epoch if that can't be read.
pub(super) fn last_changed(path: &Path) -> Ticks {
    let modified = std::fs::metadata(path).and_then(|file| file.modified());
    let since = modified
        .ok()
        .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    Ticks(0).plus(since.unwrap_or_default())
}

pub(super) fn of(
    transaction: &ReadTransaction,
    tenant: TenantId,
) -> Result<Vec<(ContentHash, Letter)>, StoreError> {
    let table = transaction.open_table(LETTERS)?;
    let (first, last) = bounds(tenant);
    let mut found = Vec::new();
    for row in table.range::<&[u8; KEY_LEN]>(&first..=&last)? {
        let (key, value) = row?;
        found.push((
            codec::content_of(key.value()),
            codec::decode_letter(value.value())?,
        ));
    }
    Ok(found)
}

/// Letters beyond the limit are not kept.
pub(super) fn insert(
    rows: &mut LetterRows<'_>,
    tenant: TenantId,
    letters: &[(ContentHash, Letter)],
) -> Result<(), redb::Error> {
    if letters.is_empty() {
        return Ok(());
    }
    let (first, last) = bounds(tenant);
    let mut count = rows.range::<&[u8; KEY_LEN]>(&first..=&last)?.count();
    for (content, letter) in letters {
        let key = codec::dead_key(tenant, *content);
        if rows.get(&key)?.is_none() {
            if count >= MOST {
                continue;
            }
            count += 1;
        }
        rows.insert(&key, codec::encode_letter(letter).as_slice())?;
    }
    Ok(())
}

/// Removes the tenant's letters from before `before`. A row that can't be read stays, so that its next reader reports it.
pub(super) fn forget(
    rows: &mut LetterRows<'_>,
    tenant: TenantId,
    before: Ticks,
) -> Result<(), redb::Error> {
    let (first, last) = bounds(tenant);
    let stays = |_: &[u8; KEY_LEN], value: &[u8]| {
        codec::decode_letter(value).map_or(true, |letter| letter.met >= before)
    };
    rows.retain_in::<&[u8; KEY_LEN], _>(&first..=&last, stays)?;
    Ok(())
}

fn bounds(tenant: TenantId) -> ([u8; KEY_LEN], [u8; KEY_LEN]) {
    let key = |content| codec::dead_key(tenant, ContentHash(content));
    (key(0), key(u64::MAX))
}
