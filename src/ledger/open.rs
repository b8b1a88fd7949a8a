//! Opening a ledger: the lock, the check, the file.
//!
//! Order matters, so that nothing is written before the file is known to be ours:
//! 1. the directory, and `ledger.lock` in it, held as long as the ledger is open: no second process comes in between the
//!    check and the opening, nor while the file is closed and opened again after a failed write;
//! 2. an existing file is verified on an [`CopyOnWriteFile`], checksums, format and row count, before redb may touch it;
//! 3. a missing one is made whole under another name and renamed, so that a `ledger.redb` is never half made, and an empty
//!    one is damage, not a first start. A link that leads nowhere is a disk that is not mounted, and not a first start.
//!
//! The file's format is the highest format of a row that may be in it. Who opens it for writing raises it to its own
//! before it writes a row ([`raise`]), so that an older incidentd refuses the file at its start, and not when it meets a row.

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
use super::store::{TENANTS, VERSIONS, write};

/// The format of the rows that this program writes. A file of format 1 may have rows of up to format 3, which were written
/// before the file's own was raised with them.
pub(super) const FORMAT: u64 = codec::FORMAT as u64;
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
pub(super) const FORMAT_KEY: &str = "format";

/// redb's page cache. Its default of 1 GiB would break the daemon's memory ceiling. 32 MiB hold the branch pages and the
/// recent rows of millions of versions; the rest is in the system's page cache anyway.
const CACHE_BYTES: usize = 32 << 20;

/// How a database file is opened.
pub(super) type Opener = Box<dyn Fn(&Path) -> Result<Database, DatabaseError> + Send + Sync>;

type FlushFolder = Box<dyn Fn(&Path) -> io::Result<()> + Send + Sync>;
type Lock = Box<dyn Fn(&File) -> Result<(), TryLockError> + Send + Sync>;

/// What is asked of the disk. Tests put faults between the ledger and the disk here.
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

/// Whether a file system answers so to what it does not have: EINVAL, ENOLCK, ENOSYS, EOPNOTSUPP.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(22 | 37 | 38 | 95))
}

pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Never creates: a file that vanished must not come back empty.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    if is_no_file(path) {
        return Err(io::Error::other("it is not a regular file"));
    }
    OpenOptions::new().read(true).write(true).open(path)
}

/// Whether a pipe, a device or a folder is at `path`. To open a pipe waits for its other end, which may never come, and a
/// device may do anything. What can't be looked at is left to the opening, which says why.
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
    // For the messages: whoever reads them in a log does not know where the process was started.
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
    let file = regular(dir.join("ledger.redb"))?;
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
            // A lost ledger, or a path that is not what it was, would else go unnoticed until everything comes twice.
            tracing::warn!(path = %file.display(),
                "a new ledger was made: what lies within poll.lookback is published, again if it was before");
        }
    }
    Ok(Home { file, _lock: lock })
}

/// What stands in the way of a folder, there or above.
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

/// Reads the whole file once, as redb does after a crash: 0.15 s were measured for a million rows. A plain open trusts the
/// file, and redb may panic later on a page that was damaged on the disk.
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

/// The highest format of a row that may be in the file. Of a file that was last written by an older incidentd the rows are
/// looked at, once: it may not have known of the rule.
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

/// Notes in the file that rows of this program's format may be in it.
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
    // What a start left that was cut short; or a link, which must not be written through.
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
        // Best effort: what remains is removed by the next start.
        let _ = std::fs::remove_file(&unfinished);
    }
    made
}

/// CIFS and 9p, among others, can't flush a folder. The file itself is flushed by then: a power cut within seconds of the
/// first start may take its name away, and nothing else.
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

/// All tables exist from the first commit on, so that reading never meets a missing one.
fn fill_new(path: &Path, opener: &Opener) -> Result<(), Box<redb::Error>> {
    let fill = || -> Result<(), redb::Error> {
        let database = opener(path)?;
        write(&database, |transaction| {
            transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
            transaction.open_table(VERSIONS)?;
            transaction.open_table(TENANTS)?;
            transaction.open_table(LETTERS)?;
            Ok(())
        })?;
        database.close()?;
        Ok(())
    };
    fill().map_err(Box::new)
}
