//! Opening a ledger: the lock, the check, the file.
//!
//! The order ensures that nothing is written before the file is known to be a sound ledger:
//! 1. The directory is locked by `ledger.lock` as long as the ledger is open. So no second process can open the file after
//!    the check, or while it is closed and opened again after a failed write.
//! 2. An existing file is verified through a [`CopyOnWriteFile`] (checksums, format, row count) before redb may change it.
//! 3. A missing file is made under another name and then renamed. So `ledger.redb` is never incomplete, and an empty one is
//!    damage and not a first start. A link that leads nowhere is a disk that is not mounted, and not a first start.
//!
//! The file's format is the highest format of a row that may be in it. It is raised ([`raise`]) before the first row is
//! written, so that an older incidentd refuses the file at its start, and not when it reads a row.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition,
};

use crate::core::codec;

use super::copy_on_write::CopyOnWriteFile;
use super::dead_letters::LETTERS;
use super::error::LedgerError;
use super::outlines::OUTLINES;
use super::tables::{TENANTS, VERSIONS, write};

/// The format of the rows that this program writes, but for the states of paused tenants. A file of format 1 may have rows of up to format 3, which were written
/// before the file's own was raised with them.
pub(super) const FORMAT: u64 = codec::COMMON as u64;
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
pub(super) const FORMAT_KEY: &str = "format";

/// redb's page cache. Its default of 1 GiB would exceed the daemon's memory limit. 32 MiB hold the branch pages and the
/// recent rows of millions of versions. The system's page cache has the rest.
const CACHE_BYTES: usize = 32 << 20;

/// How a database file is opened.
pub(super) type Opener = Box<dyn Fn(&Path) -> Result<Database, DatabaseError> + Send + Sync>;

type FlushFolder = Box<dyn Fn(&Path) -> io::Result<()> + Send + Sync>;
type Lock = Box<dyn Fn(&File) -> Result<(), TryLockError> + Send + Sync>;

/// The database's file in the ledger's directory.
pub(super) const FILE: &str = "ledger.redb";

/// The operations on the disk. Tests inject faults here.
pub(super) struct Disk {
    pub(super) open: Opener,
    /// Makes a folder's entries durable.
    pub(super) flush_folder: FlushFolder,
    pub(super) lock: Lock,
}

impl Disk {
    pub(super) fn real() -> Self {
        Self {
            open: Box::new(|path| {
                builder().create_with_backend(FileBackend::new(open_file(path)?)?)
            }),
            flush_folder: Box::new(|folder| File::open(folder)?.sync_all()),
            lock: Box::new(File::try_lock),
        }
    }
}

impl Disk {
    /// Leaves the database's file as it is: what redb writes stays in memory.
    pub(super) fn unchanged() -> Self {
        let open = |path: &Path| {
            let unchanged = CopyOnWriteFile::new(File::open(path)?)?;
            builder().create_with_backend(unchanged)
        };
        Self {
            open: Box::new(open),
            ..Self::real()
        }
    }
}

/// Whether the error says that the file system does not support the operation: EINVAL, ENOLCK, ENOSYS, EOPNOTSUPP.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(22 | 37 | 38 | 95))
}

pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Never creates the file: one that vanished must not come back empty.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    if is_no_file(path) {
        return Err(io::Error::other("it is not a regular file"));
    }
    OpenOptions::new().read(true).write(true).open(path)
}

/// Whether a pipe, a device or a folder is at `path`. Opening a pipe may wait for ever, and a device may do anything. If the
/// path can't be examined, opening it reports why.
fn is_no_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file())
}

/// Refuses a path at which the ledger needs a file and has something else.
fn regular(path: PathBuf) -> Result<PathBuf, LedgerError> {
    match is_no_file(&path) {
        true => Err(LedgerError::NotAFile { path }),
        false => Ok(path),
    }
}

/// A ledger's directory, locked until this is dropped.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) file: PathBuf,
    _lock: File,
}

/// Locks the directory and makes sure that it holds a sound ledger of a known format.
pub(super) fn prepare(dir: &Path, disk: &Disk) -> Result<Home, LedgerError> {
    // For the messages: a reader of the log does not know the process's working directory.
    let dir = &std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| match no_folder(dir) {
            Some(path) => LedgerError::NotAFolder { path },
            None => LedgerError::io(dir, error),
        })
        .map_err(|error| broken_link(dir).unwrap_or(error))?;
    let lock = lock(dir, disk)?;
    let file = regular(dir.join(FILE))?;
    match File::open(&file) {
        Ok(existing) => verify(&file, existing)?,
        Err(error) => {
            if let Some(broken) = broken_link(&file) {
                return Err(broken);
            }
            if error.kind() != io::ErrorKind::NotFound {
                return Err(LedgerError::io(&file, error));
            }
            create(dir, &file, disk)?;
            // Otherwise a lost ledger or a changed path would go unnoticed until everything is published twice.
            tracing::warn!(path = %file.display(),
                "a new ledger was made: what lies within poll.lookback is published, again if it was before");
        }
    }
    Ok(Home { file, _lock: lock })
}

/// The file that stands where a folder should be, at `path` or above it.
fn no_folder(dir: &Path) -> Option<PathBuf> {
    let there = dir.ancestors().find(|path| path.exists())?;
    (!there.is_dir()).then(|| there.to_owned())
}

/// The first link on the way to `path`, itself included, that leads nowhere.
fn broken_link(path: &Path) -> Option<LedgerError> {
    let links = path.ancestors().filter(|path| path.is_symlink());
    let broken = links.filter_map(|link| Some((link, std::fs::metadata(link).err()?)));
    let (link, error) = broken.last()?;
    let target = std::fs::read_link(link).ok()?;
    let path = link.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => Some(LedgerError::NotMounted { path, target }),
        _ => Some(LedgerError::BadLink {
            path,
            target,
            source: error,
        }),
    }
}

fn lock(dir: &Path, disk: &Disk) -> Result<File, LedgerError> {
    let path = regular(dir.join("ledger.lock"))?;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| LedgerError::io(&path, error))?;
    match (disk.lock)(&file) {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::Locked {
            path: dir.to_owned(),
        }),
        Err(TryLockError::Error(source)) if is_unsupported(&source) => Err(LedgerError::NoLocks {
            path: dir.to_owned(),
            source,
        }),
        Err(TryLockError::Error(error)) => Err(LedgerError::io(&path, error)),
    }
}

/// Reads the whole file once, as redb does after a crash: 0.15 s for a million rows. A plain open trusts the file, and redb
/// may panic later on a damaged page.
fn verify(path: &Path, file: File) -> Result<(), LedgerError> {
    let unchanged = CopyOnWriteFile::new(file).map_err(|error| LedgerError::io(path, error))?;
    if redb::StorageBackend::len(&unchanged).is_ok_and(|len| len == 0) {
        return Err(LedgerError::Corrupt {
            path: path.to_owned(),
            source: "the file is empty".into(),
        });
    }
    let database = builder()
        .set_check_integrity_on_open(true)
        .create_with_backend(unchanged)
        .map_err(|error| LedgerError::redb(path, error))?;
    let found = read_format(&database).map_err(|error| LedgerError::redb(path, *error))?;
    match found {
        Some(1..=FORMAT) => Ok(()),
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

/// The highest format of a row that may be in the file. If an older incidentd wrote it last, all rows are checked once: that
/// release may not have raised the file's format.
fn read_format(database: &Database) -> Result<Option<u64>, Box<redb::Error>> {
    let read = || -> Result<Option<u64>, redb::Error> {
        let transaction = database.begin_read()?;
        let meta = transaction.open_table(META)?;
        let format = meta.get(FORMAT_KEY)?.map(|found| found.value());
        match format {
            Some(format @ 1..FORMAT) => Ok(Some(format.max(highest_row(&transaction)?))),
            format => Ok(format),
        }
    };
    read().map_err(Box::new)
}

/// The highest format that a row has, damaged rows included.
fn highest_row(transaction: &ReadTransaction) -> Result<u64, redb::Error> {
    let format = |value: &[u8]| u64::from(value.first().copied().unwrap_or_default());
    let mut highest = 0;
    for row in transaction.open_table(VERSIONS)?.iter()? {
        highest = highest.max(format(row?.1.value()));
    }
    for row in transaction.open_table(TENANTS)?.iter()? {
        highest = highest.max(format(row?.1.value()));
    }
    Ok(highest)
}

/// Records in the file that it may have rows of this program's format.
pub(super) fn raise(database: &Database) -> Result<(), redb::Error> {
    let format = {
        let meta = database.begin_read()?.open_table(META)?;
        meta.get(FORMAT_KEY)?.map(|found| found.value())
    };
    if format == Some(FORMAT) {
        return Ok(());
    }
    write(database, |transaction| {
        transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
        Ok(())
    })
}

fn create(dir: &Path, path: &Path, disk: &Disk) -> Result<(), LedgerError> {
    let unfinished = dir.join("ledger.redb.new");
    // A file that an interrupted start has left, or a link, through which nothing must be written.
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(LedgerError::io(&unfinished, error));
        }
        _ => {}
    }
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .map_err(|error| LedgerError::io(path, error))
        .and_then(|_| {
            fill_new(&unfinished, &disk.open).map_err(|error| LedgerError::redb(path, *error))
        })
        .and_then(|()| {
            std::fs::rename(&unfinished, path)
                .and_then(|()| flush_folder(dir, disk))
                .map_err(|error| LedgerError::io(path, error))
        });
    if made.is_err() {
        // If this fails, the next start removes the file.
        let _ = std::fs::remove_file(&unfinished);
    }
    made
}

/// CIFS and 9p, among others, can't flush a folder. The file itself is flushed already: a power cut within seconds of the
/// first start may lose its name, and nothing else.
fn flush_folder(dir: &Path, disk: &Disk) -> io::Result<()> {
    match (disk.flush_folder)(dir) {
        Err(error) if is_unsupported(&error) => {
            tracing::warn!(path = %dir.display(), %error,
                "this file system can't flush a folder: a power cut just after this first start may lose the new ledger; a disk of this machine is safer");
            Ok(())
        }
        flushed => flushed,
    }
}

/// All tables exist from the first commit on, so that no read finds one missing.
fn fill_new(path: &Path, opener: &Opener) -> Result<(), Box<redb::Error>> {
    let fill = || -> Result<(), redb::Error> {
        let database = opener(path)?;
        write(&database, |transaction| {
            transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
            transaction.open_table(VERSIONS)?;
            transaction.open_table(TENANTS)?;
            transaction.open_table(LETTERS)?;
            transaction.open_table(OUTLINES)?;
            Ok(())
        })?;
        database.close()?;
        Ok(())
    };
    fill().map_err(Box::new)
}
