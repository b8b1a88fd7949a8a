//! Reads a ledger whole, for the commands that show and export one.
//!
//! The directory is locked as the daemon locks it, so that the ledger of a running daemon is refused. The file stays as it is.

use std::path::Path;

use crate::core::codec::{self, KEY_LEN};
use crate::core::health::failure::Failure;
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::version::ContentHash;
use crate::ports::LedgerEntry;

use super::dead_letters::LETTERS;
use super::error::{LedgerError, StoreError};
use super::open::{self, Disk, FILE};
use super::outlines::{OUTLINES, outline_of};
use super::store::Store;
use super::tables::{TENANTS, VERSIONS};

/// See the module's documentation.
pub(crate) struct LedgerFile(Store);

impl LedgerFile {
    /// `None`: there is no ledger in `dir`. Blocks.
    pub(crate) fn open(dir: &Path) -> Result<Option<Self>, LedgerError> {
        // Otherwise a command that only reads would make a ledger. A link that leads nowhere is reported below.
        if dir.join(FILE).symlink_metadata().is_err() {
            return Ok(None);
        }
        let disk = Disk::unchanged();
        let home = open::prepare(dir, &disk)?;
        let file = home.file.clone();
        let store = Store::open(home, disk.open);
        let store = store.map_err(|error| LedgerError::redb(&file, *error))?;
        Ok(Some(Self(store)))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Calls `each` with every row of the tenant, or of all tenants, as an entry of one row. States come first. All rows are of
    /// one instant. Blocks.
    pub(crate) fn rows<E: From<Failure>>(
        &self,
        tenant: Option<TenantId>,
        each: &mut dyn FnMut(LedgerEntry) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut refused = None;
        let read = self.0.read(|transaction| {
            // After its first refusal, `each` is not called again.
            let mut go_on = |entry| {
                refused = each(entry).err();
                refused.is_none()
            };
            let (first, last) = match tenant {
                Some(tenant) => (*tenant.as_bytes(), *tenant.as_bytes()),
                None => ([0; 16], [u8::MAX; 16]),
            };
            let states = transaction.open_table(TENANTS)?;
            for row in states.range::<&[u8; 16]>(&first..=&last)? {
                let (key, value) = row?;
                let state = Some(codec::decode_state(value.value())?);
                let tenant = TenantId::from_bytes(*key.value());
                let entry = LedgerEntry {
                    state,
                    ..LedgerEntry::of(tenant)
                };
                if !go_on(entry) {
                    return Ok(());
                }
            }
            let of = |tenant, number| codec::incident_key(TenantId::from_bytes(tenant), number);
            let (first, last) = (of(first, IncidentId(0)), of(last, IncidentId(u64::MAX)));
            let versions = transaction.open_table(VERSIONS)?;
            let outlines = transaction.open_table(OUTLINES)?;
            for row in versions.range::<&[u8; KEY_LEN]>(&first..=&last)? {
                let (key, value) = row?;
                let (tenant, ContentHash(id)) = parts(key.value())?;
                let seen = codec::decode_seen(value.value())?;
                let outline = outlines.get(key.value())?;
                let outline = outline.and_then(|row| outline_of(&seen, row.value()));
                let entry = LedgerEntry {
                    seen: vec![(IncidentId(id), seen)],
                    outlines: outline.map(|it| (IncidentId(id), it)).into_iter().collect(),
                    ..LedgerEntry::of(tenant)
                };
                if !go_on(entry) {
                    return Ok(());
                }
            }
            let letters = transaction.open_table(LETTERS)?;
            for row in letters.range::<&[u8; KEY_LEN]>(&first..=&last)? {
                let (key, value) = row?;
                let (tenant, content) = parts(key.value())?;
                let letter = codec::decode_letter(value.value())?;
                let entry = LedgerEntry {
                    letters: vec![(content, letter)],
                    ..LedgerEntry::of(tenant)
                };
                if !go_on(entry) {
                    return Ok(());
                }
            }
            Ok(())
        });
        match refused {
            Some(error) => Err(error),
            None => read.map_err(|error| error.failure(self.path()).into()),
        }
    }
}

/// The tenant of a key, and the number in it.
fn parts(key: &[u8; KEY_LEN]) -> Result<(TenantId, ContentHash), StoreError> {
    let tenant = key.first_chunk().ok_or(codec::CodecError::Corrupt)?;
    Ok((TenantId::from_bytes(*tenant), codec::content_of(key)))
}
