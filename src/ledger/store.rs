//! The tables, and the one place that holds the open database.
//!
//! After a failed write redb answers everything with an error until the file is opened again. So [`Store`] can open it, and
//! remembers that it is [`broken`](Store::is_broken); the writer thread opens it before its next step. Readers share the
//! database, and opening it again waits for them.

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTableMetadata, Table, WriteTransaction,
};

use crate::core::codec::{self, KEY_LEN};
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::outline::PackedOutline;
use crate::core::incident::version::{ContentHash, Seen};
use crate::core::sweep::cursor::TenantState;
use crate::core::time::ticks::Ticks;
use crate::ports::LedgerEntry;

use super::dead_letters::{self, LETTERS};
use super::error::StoreError;
use super::open::{Home, Opener, raise};
use super::outlines::{self, OUTLINES};
use super::prune;
use super::tables::{TENANTS, VERSIONS, write};

pub(super) struct Store {
    opener: Opener,
    /// `None` while a broken database is not open again.
    database: RwLock<Option<Database>>,
    broken: AtomicBool,
    versions: AtomicU64,
    /// The last field, so that the directory stays locked until the file is closed, on any thread.
    home: Home,
}

impl Store {
    pub(super) fn open(home: Home, opener: Opener) -> Result<Self, Box<redb::Error>> {
        let store = Self {
            opener,
            database: RwLock::new(None),
            broken: AtomicBool::new(true),
            versions: AtomicU64::new(0),
            home,
        };
        store.reopen()?;
        Ok(store)
    }

    pub(super) fn path(&self) -> &Path {
        &self.home.file
    }

    /// Incidents known, over all tenants.
    pub(super) fn versions(&self) -> u64 {
        self.versions.load(Ordering::Relaxed)
    }

    /// Whether the database must be opened again before it is used.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Closes the database if it is open, and opens it again.
    pub(super) fn reopen(&self) -> Result<(), Box<redb::Error>> {
        let mut slot = self.exclusive();
        // Closed first, because the file is locked while it is open.
        *slot = None;
        let open = || -> Result<(Database, u64), redb::Error> {
            let changed = dead_letters::last_changed(self.path());
            let database = (self.opener)(self.path())?;
            dead_letters::prepare(&database, changed)?;
            outlines::prepare(&database)?;
            raise(&database)?;
            let versions = database.begin_read()?.open_table(VERSIONS)?.len()?;
            Ok((database, versions))
        };
        let (database, versions) = open().map_err(Box::new)?;
        *slot = Some(database);
        self.versions.store(versions, Ordering::Relaxed);
        self.broken.store(false, Ordering::Release);
        Ok(())
    }

    pub(super) fn state(&self, tenant: TenantId) -> Result<Option<TenantState>, StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(TENANTS)?;
            let row = table.get(tenant.as_bytes())?;
            Ok(row
                .map(|row| codec::decode_state(row.value()))
                .transpose()?)
        })
    }

    pub(super) fn known(
        &self,
        tenant: TenantId,
        ids: &[IncidentId],
    ) -> Result<Vec<Option<Seen>>, StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(VERSIONS)?;
            let look_up = |id: &IncidentId| {
                let row = table.get(&codec::incident_key(tenant, *id))?;
                Ok(row.map(|row| codec::decode_seen(row.value())).transpose()?)
            };
            ids.iter().map(look_up).collect()
        })
    }

    pub(super) fn outlines(
        &self,
        tenant: TenantId,
        ids: &[IncidentId],
    ) -> Result<Vec<Option<PackedOutline>>, StoreError> {
        self.read(|transaction| outlines::of(transaction, tenant, ids))
    }

    pub(super) fn letters(
        &self,
        tenant: TenantId,
    ) -> Result<Vec<(ContentHash, Letter)>, StoreError> {
        self.read(|transaction| dead_letters::of(transaction, tenant))
    }

    /// Writes all entries in one durable transaction, in their order. After an error they may be written or not; writing them
    /// again is harmless.
    pub(super) fn apply<'a>(
        &self,
        entries: impl Iterator<Item = &'a LedgerEntry>,
    ) -> Result<(), StoreError> {
        let versions = self.change(|transaction| insert(transaction, entries))?;
        self.versions.store(versions, Ordering::Relaxed);
        Ok(())
    }

    /// Runs `body` in one durable transaction. After an error the database must be opened again.
    fn change<T>(
        &self,
        body: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let slot = self.shared();
        let database = slot.as_ref().ok_or(StoreError::Closed)?;
        let changed = write(database, body);
        changed.map_err(|error| {
            self.broken.store(true, Ordering::Release);
            error.into()
        })
    }

    /// See [`prune::note_absent`].
    pub(super) fn note_absent(
        &self,
        is_configured: &dyn Fn(TenantId) -> bool,
        now: Ticks,
    ) -> Result<Vec<TenantId>, StoreError> {
        self.change(|transaction| prune::note_absent(transaction, is_configured, now))
    }

    /// See [`prune::drop_rows`].
    pub(super) fn drop_rows(&self, tenant: TenantId) -> Result<bool, StoreError> {
        let (done, versions) = self.change(|transaction| {
            let done = prune::drop_rows(transaction, tenant)?;
            Ok((done, transaction.open_table(VERSIONS)?.len()?))
        })?;
        self.versions.store(versions, Ordering::Relaxed);
        Ok(done)
    }

    pub(super) fn read<T>(
        &self,
        body: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let slot = self.shared();
        let database = slot.as_ref().ok_or(StoreError::Closed)?;
        let result = database
            .begin_read()
            .map_err(StoreError::from)
            .and_then(|transaction| body(&transaction));
        // After any error redb may refuse all further work.
        if let Err(StoreError::Redb(_) | StoreError::Closed) = &result {
            self.broken.store(true, Ordering::Release);
        }
        result
    }

    fn shared(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.database.read()
    }

    fn exclusive(&self) -> RwLockWriteGuard<'_, Option<Database>> {
        self.database.write()
    }
}

/// Removes the tenant's versions from before `before`. A row that can't be read stays, so that its next reader reports it.
fn forget(
    versions: &mut Table<'_, &[u8; KEY_LEN], &[u8]>,
    tenant: TenantId,
    before: Ticks,
) -> Result<(), redb::Error> {
    let first = codec::incident_key(tenant, IncidentId(0));
    let last = codec::incident_key(tenant, IncidentId(u64::MAX));
    let stays = |_: &[u8; KEY_LEN], value: &[u8]| {
        codec::decode_seen(value).map_or(true, |seen| seen.updated >= before)
    };
    versions.retain_in::<&[u8; KEY_LEN], _>(&first..=&last, stays)?;
    Ok(())
}

/// Returns the number of known incidents after it.
fn insert<'a>(
    transaction: &WriteTransaction,
    entries: impl Iterator<Item = &'a LedgerEntry>,
) -> Result<u64, redb::Error> {
    let mut versions = transaction.open_table(VERSIONS)?;
    let mut tenants = transaction.open_table(TENANTS)?;
    let mut dead = transaction.open_table(LETTERS)?;
    let mut outlines = transaction.open_table(OUTLINES)?;
    for entry in entries {
        for (id, seen) in &entry.seen {
            let key = codec::incident_key(entry.tenant, *id);
            versions.insert(&key, codec::encode_seen(seen).as_slice())?;
        }
        outlines::insert(&mut outlines, entry)?;
        dead_letters::insert(&mut dead, entry.tenant, &entry.letters)?;
        if let Some(before) = entry.forget_before {
            forget(&mut versions, entry.tenant, before)?;
            outlines::forget(&mut outlines, entry.tenant, before)?;
        }
        if let Some(before) = entry.forget_letters_before {
            dead_letters::forget(&mut dead, entry.tenant, before)?;
        }
        if let Some(state) = &entry.state {
            let key = entry.tenant.as_bytes();
            tenants.insert(key, codec::encode_state(state).as_slice())?;
        }
    }
    Ok(versions.len()?)
}
