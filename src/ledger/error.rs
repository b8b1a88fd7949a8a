//! What can be wrong with the ledger, in the operator's words.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::core::codec::CodecError;
use crate::core::health::failure::{Failure, Health, Reaction};

/// Why a ledger can't be opened. The file is left unchanged in each case.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error(
        "the ledger in {} is in use by another process: stop the other incidentd, or give this one a [ledger] path of its own",
        path.display()
    )]
    Locked { path: PathBuf },
    #[error(
        "the ledger {} is damaged, or is not a ledger; it was left as it is: restore it from a backup, or move it away to begin anew (incidents within the lookback are then published again)",
        path.display()
    )]
    Corrupt {
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(
        "the ledger {} was written by a later incidentd (format {found}; this one knows {known}); it was left as it is: run that version again, or a later one",
        path.display()
    )]
    LaterVersion {
        path: PathBuf,
        found: u64,
        known: u64,
    },
    #[error(
        "the ledger {} can't be written: give the user that runs incidentd write access to the directory, and check that the file system is not read-only",
        path.display()
    )]
    NotWritable { path: PathBuf, source: io::Error },
    #[error(
        "no space is left for the ledger {}: free some on that file system, or raise the quota",
        path.display()
    )]
    NoSpace { path: PathBuf, source: io::Error },
    #[error(
        "the ledger can't be in {}: it is a file, not a folder; set [ledger] path to a folder, which is made if it is not there",
        path.display()
    )]
    NotAFolder { path: PathBuf },
    #[error(
        "the ledger needs a regular file at {}, and a pipe, a device or a folder is there: move it away, or set [ledger] path to another folder",
        path.display()
    )]
    NotAFile { path: PathBuf },
    /// A new ledger is not made: everything would be published again when the disk is back.
    #[error(
        "the ledger is not there: {} is a link to {}, which does not exist; mount the disk that holds it. To begin anew, remove the link (incidents within the lookback are then published again)",
        path.display(), target.display()
    )]
    NotMounted { path: PathBuf, target: PathBuf },
    #[error(
        "the ledger can't be reached: the link {} to {} can't be followed; correct or remove it",
        path.display(), target.display()
    )]
    BadLink {
        path: PathBuf,
        target: PathBuf,
        source: io::Error,
    },
    #[error(
        "the file system of the ledger in {} can't lock files, so that a second incidentd would go unnoticed: put it on a disk of this machine, or mount it with locks (NFS: without nolock)",
        path.display()
    )]
    NoLocks { path: PathBuf, source: io::Error },
    #[error(
        "the ledger {} can't be opened: check [ledger] path and the disk",
        path.display()
    )]
    Open {
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the ledger's writer thread can't be started: raise the limit of threads")]
    Thread { source: io::Error },
}

impl LedgerError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match IoCause::of(&source) {
            IoCause::NoSpace => LedgerError::NoSpace { path, source },
            IoCause::NotWritable => LedgerError::NotWritable { path, source },
            IoCause::Damaged => LedgerError::Corrupt {
                path,
                source: source.into(),
            },
            IoCause::Other => LedgerError::Open {
                path,
                source: source.into(),
            },
        }
    }

    pub(super) fn redb(path: &Path, source: impl Into<redb::Error>) -> Self {
        let path_buf = path.to_owned();
        match source.into() {
            redb::Error::Io(source) => Self::io(path, source),
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                LedgerError::Locked { path: path_buf }
            }
            // The file is sound for redb, but its tables are not this program's.
            source @ (redb::Error::Corrupted(_)
            | redb::Error::UpgradeRequired(_)
            | redb::Error::TableDoesNotExist(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableIsMultimap(_)) => LedgerError::Corrupt {
                path: path_buf,
                source: source.into(),
            },
            source => LedgerError::Open {
                path: path_buf,
                source: source.into(),
            },
        }
    }
}

/// What a failed input or output means for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IoCause {
    NoSpace,
    NotWritable,
    Damaged,
    Other,
}

impl IoCause {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => IoCause::NoSpace,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                IoCause::NotWritable
            }
            // redb says so if a file does not begin as its files do, or ends too early.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => IoCause::Damaged,
            _ => IoCause::Other,
        }
    }
}

/// Why a read or a write failed on an open ledger.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("{0}")]
    Redb(Box<redb::Error>),
    #[error("{0}")]
    Codec(#[from] CodecError),
    /// A failed write closed it, and it is not open again yet.
    #[error("closed after an earlier failure")]
    Closed,
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        match error.into() {
            // redb says so after the first failure. The message of the first one is the useful one.
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => StoreError::Closed,
            error => StoreError::Redb(Box::new(error)),
        }
    }
}

impl StoreError {
    /// The ledger's rows can't be trusted any more: no retry mends that.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            StoreError::Codec(_) => true,
            StoreError::Redb(error) => matches!(**error, redb::Error::Corrupted(_)),
            StoreError::Closed => false,
        }
    }

    /// For the log, the status page and the tenant's health.
    pub(super) fn failure(&self, path: &Path) -> Failure {
        let path = path.display();
        let (what, remedy) = match self {
            StoreError::Redb(error) => match &**error {
                redb::Error::Io(error) => return io_failure(&path, error),
                _ => (
                    format!("the ledger {path} failed: {error}"),
                    OTHER_REMEDY.to_owned(),
                ),
            },
            StoreError::Codec(error) => (
                format!("a row of the ledger {path} can't be read: {error}"),
                "run the version of incidentd that wrote it, or restore the file from a backup"
                    .to_owned(),
            ),
            StoreError::Closed => (
                format!("the ledger {path} is closed after a failure; it is being opened again"),
                OTHER_REMEDY.to_owned(),
            ),
        };
        let reaction = if self.is_damage() {
            Reaction::Slow
        } else {
            Reaction::Backoff
        };
        Failure::new(Health::Misconfigured, reaction, what, remedy).caused_by(CAUSE)
    }
}

/// One ledger for all tenants.
const CAUSE: &str = "ledger";

const OTHER_REMEDY: &str =
    "check the disk and the file system's mount; nothing is lost: incidentd goes on by itself";

fn io_failure(path: &std::path::Display<'_>, error: &io::Error) -> Failure {
    let (what, remedy) = match IoCause::of(error) {
        IoCause::NoSpace => (
            format!("the disk is full: the ledger {path} can't be written ({error})"),
            format!(
                "free space on the file system of {path}, or raise the quota; nothing is lost: incidentd goes on by itself"
            ),
        ),
        IoCause::NotWritable => (
            format!("the ledger {path} can't be written ({error})"),
            format!(
                "give incidentd's user write access to {path} and mount its file system read-write; it then goes on by itself"
            ),
        ),
        IoCause::Damaged | IoCause::Other => (
            format!("the disk failed under the ledger {path} ({error})"),
            OTHER_REMEDY.to_owned(),
        ),
    };
    Failure::new(Health::Misconfigured, Reaction::Backoff, what, remedy).caused_by(CAUSE)
}

/// The disk has not answered for `waited`.
pub(super) fn slow(path: &Path, waited: Duration) -> Failure {
    Failure::new(
        Health::Misconfigured,
        Reaction::Backoff,
        format!(
            "the disk under the ledger {} has not answered for {} s",
            path.display(),
            waited.as_secs()
        ),
        OTHER_REMEDY,
    )
    .caused_by(CAUSE)
}

/// A read ended without an answer: it panicked, or the runtime shuts down.
pub(super) fn read_broke_off(path: &Path) -> Failure {
    Failure::new(
        Health::Misconfigured,
        Reaction::Backoff,
        format!("a read of the ledger {} broke off", path.display()),
        "report it with the log's last lines; if it happens again, restore the file from a backup",
    )
    .caused_by(CAUSE)
}

/// The writer thread has ended: nothing can be recorded until the daemon is restarted.
pub(super) fn writer_ended(path: &Path) -> Failure {
    Failure::new(
        Health::Misconfigured,
        Reaction::Backoff,
        format!("the writer of the ledger {} has ended", path.display()),
        "restart incidentd; if it happens again, report it with the log's last lines",
    )
    .caused_by(CAUSE)
}
