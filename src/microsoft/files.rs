//! Reads small files, a limited number at once. A disk may hang, and then it blocks the thread that reads.
//!
//! Each file is read by one thread at a time, so a hanging disk blocks at most one thread per file. A file that was not
//! read because no thread was free has its own failure: neither its disk nor its content is the cause.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long to wait for a file.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// The most files read at once. Each file on a hanging disk blocks one thread.
const THREADS: usize = 32;
/// The most paths remembered besides those in use.
const PATHS: usize = 1024;

/// Why nothing was read.
#[derive(Debug)]
pub(super) enum FileError {
    Failed(io::Error),
    /// There is no such file, or its path can't be reached.
    Absent(io::Error),
    /// The disk did not answer.
    Silent,
    /// No thread was free, because other files or other work block them all.
    Busy,
}

/// The file reads of a process.
struct FileReaders {
    free: Arc<Semaphore>,
    turns: Mutex<HashMap<PathBuf, Arc<Semaphore>>>,
}

/// The stage of a read.
const WAITS_FOR_ITS_TURN: u8 = 0;
const WAITS_FOR_A_THREAD: u8 = 1;
const READS: u8 = 2;

static READERS: LazyLock<FileReaders> = LazyLock::new(|| FileReaders::new(THREADS));

/// The first `most` bytes of a regular file.
///
/// # Errors
/// It can't be read, or not within [`PATIENCE`].
pub(super) async fn read(path: &Path, most: u64) -> Result<Vec<u8>, FileError> {
    let path = path.to_owned();
    let turn = path.clone();
    READERS.run(turn, move || read_now(&path, most)).await
}

/// Like [`read`], on this thread.
pub(super) fn read_now(path: &Path, most: u64) -> Result<Vec<u8>, FileError> {
    let data = fs::metadata(path).map_err(FileError::Absent)?;
    // A pipe would block.
    if !data.is_file() {
        let error = io::Error::other("it is not a regular file");
        return Err(FileError::Failed(error));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut bytes))
        .map_err(FileError::Failed)?;
    Ok(bytes)
}

impl FileReaders {
    fn new(threads: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(threads)),
            turns: Mutex::default(),
        }
    }

    /// The result of `job`, which reads the file at `path`.
    async fn run(
        &self,
        path: PathBuf,
        job: impl FnOnce() -> Result<Vec<u8>, FileError> + Send + 'static,
    ) -> Result<Vec<u8>, FileError> {
        let stage = Arc::new(AtomicU8::new(WAITS_FOR_ITS_TURN));
        let reading = async {
            // Neither semaphore is ever closed.
            let turn = self.turn(path).acquire_owned().await;
            stage.store(WAITS_FOR_A_THREAD, Ordering::Relaxed);
            let thread = Arc::clone(&self.free).acquire_owned().await;
            let begins = Arc::clone(&stage);
            let read = spawn_blocking(move || {
                let _until_it_is_over = (turn, thread);
                begins.store(READS, Ordering::Relaxed);
                job()
            });
            match read.await {
                Ok(read) => read,
                // The daemon is ending.
                Err(_) => Err(FileError::Busy),
            }
        };
        match timeout(PATIENCE, reading).await {
            Ok(read) => read,
            Err(_) if stage.load(Ordering::Relaxed) == WAITS_FOR_A_THREAD => Err(FileError::Busy),
            // A read that waits for its turn waits for the disk of the same file.
            Err(_) => Err(FileError::Silent),
        }
    }

    fn turn(&self, path: PathBuf) -> Arc<Semaphore> {
        let mut turns = self.turns.lock();
        if turns.len() >= PATHS {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        let turn = turns.entry(path);
        Arc::clone(turn.or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::sync::mpsc::{SyncSender, sync_channel};
    use tokio::sync::oneshot;

    /// Reads a file on a disk that hangs until the sender is dropped, and returns the result.
    async fn hang(
        readers: &FileReaders,
        path: &str,
    ) -> (SyncSender<()>, Result<Vec<u8>, FileError>) {
        let (lets_go, held) = sync_channel::<()>(1);
        let (tell, begun) = oneshot::channel();
        let job = move || {
            let _ = tell.send(());
            let _ = held.recv();
            Ok(Vec::new())
        };
        let begun = async { begun.await.expect("a thread comes to it") };
        (lets_go, waited_out(readers, path, begun, job).await)
    }

    /// The result of a read whose patience ends after `first`.
    async fn waited_out(
        readers: &FileReaders,
        path: &str,
        first: impl Future<Output = ()>,
        job: impl FnOnce() -> Result<Vec<u8>, FileError> + Send + 'static,
    ) -> Result<Vec<u8>, FileError> {
        // A working thread keeps paused time from advancing by itself.
        let time = async {
            first.await;
            tokio::time::advance(PATIENCE * 2).await;
            std::future::pending().await
        };
        tokio::select! {
            biased;
            read = readers.run(path.into(), job) => read,
            () = time => unreachable!("it never ends"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_disk_keeps_one_thread_a_file_however_often_it_is_asked() {
        let readers = FileReaders::new(2);
        let (lets_go, first) = hang(&readers, "/hung").await;
        assert!(matches!(first, Err(FileError::Silent)), "{first:?}");
        for _ in 0..5 {
            let again = waited_out(&readers, "/hung", async {}, || Ok(Vec::new())).await;
            assert!(matches!(again, Err(FileError::Silent)), "{again:?}");
        }
        let other = readers.run("/fine".into(), || Ok(b"good".to_vec())).await;
        assert_eq!(other.unwrap(), b"good", "another disk is not held up");
        drop(lets_go);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_no_thread_came_to_is_not_blamed_on_its_disk() {
        let readers = FileReaders::new(1);
        let (lets_go, hung) = hang(&readers, "/hung").await;
        assert!(matches!(hung, Err(FileError::Silent)), "{hung:?}");
        let waits = waited_out(&readers, "/fine", async {}, || Ok(Vec::new())).await;
        assert!(matches!(waits, Err(FileError::Busy)), "{waits:?}");
        drop(lets_go);
    }

    #[tokio::test]
    async fn a_file_is_read_anew_each_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for content in ["one", "two"] {
            fs::write(file.path(), content).unwrap();
            assert_eq!(read(file.path(), 100).await.unwrap(), content.as_bytes());
        }
        assert_eq!(read(file.path(), 2).await.unwrap(), b"tw");
        let folder = read(Path::new("/"), 2).await;
        assert!(matches!(folder, Err(FileError::Failed(_))), "{folder:?}");
    }
}
