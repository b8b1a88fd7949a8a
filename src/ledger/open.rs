//! Opening a ledger: the lock, the check, the file.
//!
//! Order matters, so that nothing is written before the file is known to be ours:
//! 1. the directory, and `ledger.lock` in it, held as long as the ledger is open: no second process comes in between the
//!    check and the opening, nor while the file is closed and opened again after a failed write;
//! 2. an existing file is verified on an [`Overlay`], checksums, format and row count, before redb may touch it;
//! 3. a missing one is made whole under another name and renamed, so that a `ledger.redb` is never half made, and an empty
//!    one is damage, not a first start.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase, TableDefinition};

use super::error::LedgerError;
use super::overlay::Overlay;
use super::store::{DEAD, TENANTS, VERSIONS, write};

/// The ledger's format: what tables there are and what they hold. Values have a version of their own beside it.
pub(super) const FORMAT: u64 = 1;
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
pub(super) const FORMAT_KEY: &str = "format";

/// redb's page cache. Its default of 1 GiB would break the daemon's memory ceiling. 32 MiB hold the branch pages and the
/// recent rows of millions of versions; the rest is in the system's page cache anyway.
const CACHE_BYTES: usize = 32 << 20;

/// How a database file is opened. Tests put faults between redb and the disk here.
pub(super) type Opener = Box<dyn Fn(&Path) -> Result<Database, DatabaseError> + Send + Sync>;

pub(super) fn file_opener() -> Opener {
    Box::new(|path| builder().create_with_backend(FileBackend::new(open_file(path)?)?))
}

pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Never creates: a file that vanished must not come back empty.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// A ledger's directory, locked until this is dropped.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) file: PathBuf,
    _lock: File,
}

/// Locks the directory and makes sure that it holds a sound ledger of a known format.
pub(super) fn prepare(dir: &Path, opener: &Opener) -> Result<Home, LedgerError> {
    // For the messages: whoever reads them in a log does not know where the process was started.
    let dir = &std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| match no_folder(dir) {
            Some(path) => LedgerError::NotAFolder { path },
            None => LedgerError::io(dir, error),
        })?;
    let lock = lock(dir)?;
    let file = dir.join("ledger.redb");
    match File::open(&file) {
        Ok(existing) => verify(&file, existing)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(dir, &file, opener)?;
            // A lost ledger, or a path that is not what it was, would else go unnoticed until everything comes twice.
            tracing::warn!(path = %file.display(),
                "a new ledger was made: what lies within poll.lookback is published, again if it was before");
        }
        Err(error) => return Err(LedgerError::io(&file, error)),
    }
    Ok(Home { file, _lock: lock })
}

/// What stands in the way of a folder, there or above.
fn no_folder(dir: &Path) -> Option<PathBuf> {
    let there = dir.ancestors().find(|path| path.exists())?;
    (!there.is_dir()).then(|| there.to_owned())
}

fn lock(dir: &Path) -> Result<File, LedgerError> {
    let path = dir.join("ledger.lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| LedgerError::io(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::Locked {
            path: dir.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(LedgerError::io(&path, error)),
    }
}

/// Reads the whole file once, as redb does after a crash: 0.15 s were measured for a million rows. A plain open trusts the
/// file, and redb may panic later on a page that was damaged on the disk.
fn verify(path: &Path, file: File) -> Result<(), LedgerError> {
    let overlay = Overlay::new(file).map_err(|error| LedgerError::io(path, error))?;
    if redb::StorageBackend::len(&overlay).is_ok_and(|len| len == 0) {
        return Err(LedgerError::Corrupt {
            path: path.to_owned(),
            source: "the file is empty".into(),
        });
    }
    let database = builder()
        .set_check_integrity_on_open(true)
        .create_with_backend(overlay)
        .map_err(|error| LedgerError::redb(path, error))?;
    let found = read_format(&database).map_err(|error| LedgerError::redb(path, *error))?;
    match found {
        Some(FORMAT) => Ok(()),
        Some(found) if found > FORMAT => Err(LedgerError::LaterVersion {
            path: path.to_owned(),
            found,
            known: FORMAT,
        }),
        _ => Err(LedgerError::Corrupt {
            path: path.to_owned(),
            source: "it names no format".into(),
        }),
    }
}

fn read_format(database: &Database) -> Result<Option<u64>, Box<redb::Error>> {
    let read = || -> Result<Option<u64>, redb::Error> {
        let transaction = database.begin_read()?;
        let meta = transaction.open_table(META)?;
        let format = meta.get(FORMAT_KEY)?.map(|found| found.value());
        Ok(format)
    };
    read().map_err(Box::new)
}

fn create(dir: &Path, path: &Path, opener: &Opener) -> Result<(), LedgerError> {
    let unfinished = dir.join("ledger.redb.new");
    let made = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)
        .map_err(|error| LedgerError::io(path, error))
        .and_then(|_| {
            fill_new(&unfinished, opener).map_err(|error| LedgerError::redb(path, *error))
        })
        .and_then(|()| {
            std::fs::rename(&unfinished, path)
                .and_then(|()| File::open(dir)?.sync_all())
                .map_err(|error| LedgerError::io(path, error))
        });
    if made.is_err() {
        // Best effort: what remains is truncated by the next start.
        let _ = std::fs::remove_file(&unfinished);
    }
    made
}

/// All tables exist from the first commit on, so that reading never meets a missing one.
fn fill_new(path: &Path, opener: &Opener) -> Result<(), Box<redb::Error>> {
    let fill = || -> Result<(), redb::Error> {
        let database = opener(path)?;
        write(&database, |transaction| {
            transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
            transaction.open_table(VERSIONS)?;
            transaction.open_table(TENANTS)?;
            transaction.open_table(DEAD)?;
            Ok(())
        })?;
        database.close()?;
        Ok(())
    };
    fill().map_err(Box::new)
}
