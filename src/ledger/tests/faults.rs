//! A disk that becomes full, and a writer that panics.

use parking_lot::Mutex;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use crate::core::health::failure::Reaction;

use super::*;
use crate::core::health::status::PartState;
use crate::ledger::open::{Disk as OpenDisk, Opener, builder, open_file};
use crate::ledger::{CLOSE_LIMIT, PATIENCE};

/// `ENOSPC` of errno(3).
const ENOSPC: i32 = 28;

const SOUND: u8 = 0;
/// Allocated blocks can be overwritten, such as the head of the file, as on a real full disk.
const NO_NEW_BLOCKS: u8 = 1;
/// No write succeeds, so that the file can't be opened again either.
const NO_WRITES: u8 = 2;

#[derive(Debug, Default)]
struct Disk {
    fault: AtomicU8,
    flushes: AtomicUsize,
    /// While a test holds it, every flush waits.
    gate: Mutex<()>,
    /// While a test holds it, every read waits.
    read_gate: Mutex<()>,
}

impl Disk {
    fn set(&self, fault: u8) {
        self.fault.store(fault, Ordering::SeqCst);
    }

    fn write(&self, offset: u64) -> io::Result<()> {
        match self.fault.load(Ordering::SeqCst) {
            SOUND => Ok(()),
            NO_NEW_BLOCKS if offset == 0 => Ok(()),
            _ => Err(io::Error::from_raw_os_error(ENOSPC)),
        }
    }
}

#[derive(Debug)]
struct FaultyFile {
    inner: FileBackend,
    disk: Arc<Disk>,
}

impl StorageBackend for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let _gate = self.disk.read_gate.lock();
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.write(u64::MAX)?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let _gate = self.disk.gate.lock();
        self.disk.flushes.fetch_add(1, Ordering::SeqCst);
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.write(offset)?;
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }
}

fn on(disk: &Arc<Disk>) -> Opener {
    let disk = disk.clone();
    Box::new(move |path| {
        let mut builder = builder();
        // Without a cache, every read meets the disk's faults.
        builder.set_cache_size(0);
        builder.create_with_backend(FaultyFile {
            inner: FileBackend::new(open_file(path)?)?,
            disk: disk.clone(),
        })
    })
}

fn opened_by(open: Opener) -> OpenDisk {
    OpenDisk {
        open,
        ..OpenDisk::real()
    }
}

/// A ledger, and the sound disk and the folder in which it is.
fn sound() -> (tempfile::TempDir, Arc<Disk>, LocalLedger) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let disk = Arc::new(Disk::default());
    let ledger = ledger_on(&disk, dir.path());
    (dir, disk, ledger)
}

fn ledger_on(disk: &Arc<Disk>, dir: &Path) -> LocalLedger {
    LocalLedger::open_with(dir, opened_by(on(disk))).unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn a_full_disk_fails_each_write_in_plain_words_and_is_survived_without_restart() {
    for fault in [NO_NEW_BLOCKS, NO_WRITES] {
        let (dir, disk, ledger) = sound();
        ledger.write(entry(1, 1)).await.expect("there is space");

        disk.set(fault);
        for attempt in 0..3 {
            let failure = ledger.write(entry(1, 2)).await.expect_err("no space");
            assert!(
                failure.what.contains("disk is full"),
                "{failure} ({attempt})"
            );
            assert!(failure.remedy.contains("ledger.redb"), "{failure:?}");
            assert_eq!(failure.reaction, Reaction::Backoff, "{failure}");
        }
        let status = ledger.status();
        assert_eq!(status.state, PartState::Unavailable);
        assert!(
            status
                .error
                .is_some_and(|error| error.contains("disk is full"))
        );

        disk.set(SOUND);
        ledger
            .write(entry(1, 3))
            .await
            .expect("there is space again");
        assert_eq!(
            known(&ledger, 1, 1).await,
            Some(seen(1)),
            "acknowledged before"
        );
        assert_eq!(
            known(&ledger, 1, 3).await,
            Some(seen(3)),
            "acknowledged after"
        );
        assert_eq!(ledger.status().state, PartState::Ok);
        ledger.close();

        let again = open(dir.path());
        assert_eq!(known(&again, 1, 1).await, Some(seen(1)));
        assert_eq!(known(&again, 1, 3).await, Some(seen(3)));
    }
}

#[tokio::test]
async fn a_full_disk_does_not_stop_reading() {
    let (_dir, disk, ledger) = sound();
    ledger.write(entry(1, 1)).await.expect("there is space");
    disk.set(NO_NEW_BLOCKS);
    ledger.write(entry(1, 2)).await.expect_err("no space");
    assert_eq!(known(&ledger, 1, 1).await, Some(seen(1)));
    assert_eq!(known(&ledger, 1, 2).await, None);
}

#[tokio::test]
async fn reads_fail_while_the_file_cannot_be_opened_and_bring_it_back_by_themselves() {
    let (_dir, disk, ledger) = sound();
    ledger.write(entry(1, 1)).await.expect("there is space");
    disk.set(NO_WRITES);
    ledger.write(entry(1, 2)).await.expect_err("no space");
    let failure = ledger.state(tenant(1)).await.expect_err("closed");
    assert_eq!(failure.reaction, Reaction::Backoff, "{failure}");

    disk.set(SOUND);
    // No write comes, because a tenant reads before it writes.
    let read = async {
        while ledger.state(tenant(1)).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), read)
        .await
        .expect("reading again");
    assert_eq!(known(&ledger, 1, 1).await, Some(seen(1)));
}

#[tokio::test]
async fn entries_that_wait_together_share_one_commit() {
    let (_dir, disk, ledger) = sound();
    let flushes = || disk.flushes.load(Ordering::SeqCst);
    let before = flushes();
    ledger.write(entry(0, 0)).await.expect("written");
    let of_one_commit = flushes() - before;

    let before = flushes();
    let closed = disk.gate.lock();
    let mut writers = join_all((1..=50).map(|of| ledger.write(entry(of, 7))));
    // Poll each once; then all are queued and wait for their answers.
    assert!((&mut writers).now_or_never().is_none());
    drop(closed);
    for written in writers.await {
        written.expect("written");
    }
    let commits = (flushes() - before) / of_one_commit;
    assert!(commits <= 2, "50 entries took {commits} commits");
    assert_eq!(ledger.status().versions, Some(51));
}

#[tokio::test]
async fn when_the_writer_is_gone_writes_fail_and_the_daemon_is_told() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let disk = Arc::new(Disk::default());
    let sound = on(&disk);
    let panics = Arc::new(AtomicBool::new(false));
    let opener: Opener = {
        let panics = panics.clone();
        Box::new(move |path| {
            assert!(!panics.load(Ordering::SeqCst), "a panic on purpose");
            sound(path)
        })
    };
    let ledger = LocalLedger::open_with(dir.path(), opened_by(opener)).expect("opened");
    disk.set(NO_WRITES);
    panics.store(true, Ordering::SeqCst);
    // The failed commit makes the thread open the file again, which panics.
    let failure = ledger
        .write(entry(1, 1))
        .await
        .expect_err("the thread died");
    assert!(failure.what.contains("has ended"), "{failure}");
    ledger.fatal().await;
    assert_eq!(ledger.status().state, PartState::Failed);
    let failure = ledger.write(entry(1, 1)).await.expect_err("still dead");
    assert!(failure.remedy.contains("restart"), "{failure:?}");
}

/// Polls `futures` once each.
async fn begin<F: Future + Unpin>(futures: &mut [F]) {
    for future in futures {
        assert!(future.now_or_never().is_none(), "it was answered at once");
    }
    tokio::task::yield_now().await;
}

#[tokio::test(start_paused = true)]
#[allow(clippy::await_holding_lock)] // The lock is the disk that hangs.
async fn a_disk_that_does_not_answer_reads_holds_up_no_thread_of_the_runtime_and_is_shown() {
    let (_dir, disk, ledger) = sound();
    ledger.write(entry(1, 1)).await.expect("written");
    let hangs = disk.read_gate.lock();
    let mut reads: Vec<_> = (1..=50).map(|of| ledger.state(tenant(of))).collect();
    // This runtime has one thread: a read that blocked it would end the test here.
    begin(&mut reads).await;
    let mut sign_of_life = ledger.alive();
    tokio::time::advance(PATIENCE + Duration::from_secs(1)).await;
    for read in reads {
        let failure = read.await.expect_err("the disk hangs");
        assert!(
            failure.what.contains("has not answered for 30 s"),
            "{failure}"
        );
        assert_eq!(failure.reaction, Reaction::Backoff, "{failure}");
    }
    let status = ledger.status();
    assert_eq!(status.state, PartState::Unavailable);
    assert!(
        status
            .error
            .is_some_and(|error| error.contains("has not answered"))
    );
    assert!(
        (&mut sign_of_life).now_or_never().is_none(),
        "it called a hung ledger alive"
    );

    drop(hangs);
    assert!(sign_of_life.await);
    assert_eq!(known(&ledger, 1, 1).await, Some(seen(1)));
    assert_eq!(ledger.status().state, PartState::Ok);
}

#[tokio::test(start_paused = true)]
#[allow(clippy::await_holding_lock)] // The lock is the disk that hangs.
async fn a_write_that_a_disk_holds_up_is_shown_and_waited_for() {
    let (_dir, disk, ledger) = sound();
    let hangs = disk.gate.lock();
    let mut write = ledger.write(entry(1, 1));
    assert!((&mut write).now_or_never().is_none());
    tokio::time::advance(PATIENCE + Duration::from_secs(1)).await;
    assert!((&mut write).now_or_never().is_none(), "it was given up");
    assert_eq!(ledger.status().state, PartState::Unavailable);
    drop(hangs);
    assert_eq!(write.await, Ok(()));
    assert_eq!(known(&ledger, 1, 1).await, Some(seen(1)));
    assert_eq!(ledger.status().state, PartState::Ok);
}

#[tokio::test]
async fn closing_does_not_wait_for_a_disk_that_hangs_and_the_folder_stays_locked_until_it_is_over()
{
    let (dir, disk, ledger) = sound();
    let hangs = disk.gate.lock();
    let mut write = ledger.write(entry(1, 1));
    assert!((&mut write).now_or_never().is_none());
    drop(write);
    let before = tokio::time::Instant::now();
    ledger.close();
    let took = before.elapsed();
    assert!(took < CLOSE_LIMIT + Duration::from_secs(5), "{took:?}");
    let locked = LocalLedger::open(dir.path()).expect_err("the writer still has the file");
    assert!(matches!(locked, LedgerError::Locked { .. }), "{locked}");
    drop(hangs);
    let again = async {
        loop {
            match LocalLedger::open(dir.path()) {
                Ok(ledger) => return ledger,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let again = tokio::time::timeout(Duration::from_secs(20), again).await;
    let again = again.expect("free when the disk answers");
    assert_eq!(
        known(&again, 1, 1).await,
        Some(seen(1)),
        "what was queued is written"
    );
}

#[test]
fn a_disk_that_cannot_flush_a_folder_holds_a_ledger_from_its_first_start_on() {
    for (code, starts) in [
        (22, true),
        (95, true),
        (38, true),
        (5, false),
        (ENOSPC, false),
    ] {
        let dir = tempfile::tempdir().expect("temporary directory");
        let start = || {
            let disk = OpenDisk {
                flush_folder: Box::new(move |_| Err(io::Error::from_raw_os_error(code))),
                ..OpenDisk::real()
            };
            LocalLedger::open_with(dir.path(), disk)
        };
        let first = start().map(LocalLedger::close);
        assert_eq!(first.is_ok(), starts, "errno {code}: {first:?}");
        if starts {
            start().expect("each start ends the same way").close();
        }
    }
}

#[test]
fn a_file_system_without_locks_is_refused_each_time_in_words_that_name_them() {
    for code in [37, 38, 95] {
        let dir = tempfile::tempdir().expect("temporary directory");
        for _ in 0..2 {
            let disk = OpenDisk {
                lock: Box::new(move |_| {
                    let error = io::Error::from_raw_os_error(code);
                    Err(std::fs::TryLockError::Error(error))
                }),
                ..OpenDisk::real()
            };
            let error = LocalLedger::open_with(dir.path(), disk).expect_err("no locks");
            assert!(matches!(error, LedgerError::NoLocks { .. }), "{error}");
            assert!(error.to_string().contains("can't lock files"), "{error}");
            assert!(!dir.path().join("ledger.redb").exists(), "it was begun");
        }
    }
}
