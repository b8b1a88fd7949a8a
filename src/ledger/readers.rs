//! Reads of the ledger, on threads of their own.
//!
//! A read takes microseconds from the cache, and never ends on a disk that hangs. So it runs on a thread for blocking work,
//! at most [`READERS`] at a time. When the disk hangs, all other reads wait for a permit, which costs nothing.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::core::health::failure::Failure;
use crate::core::ids::TenantId;

use super::PATIENCE;
use super::error::{StoreError, read_broke_off, slow};
use super::store::Store;
use super::writer::Request;
use crate::ledger::problem::CurrentProblem;

/// Reads at a time. More are of no use: reads are short, and opening the database again waits for all of them.
const READERS: usize = 4;

pub(super) struct Readers {
    store: Arc<Store>,
    problem: Arc<CurrentProblem>,
    /// Opens a broken database again.
    writer: mpsc::WeakSender<Request>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(
        store: Arc<Store>,
        problem: Arc<CurrentProblem>,
        writer: mpsc::WeakSender<Request>,
    ) -> Self {
        Self {
            store,
            problem,
            writer,
            permits: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// Runs `look_up` on a thread of its own.
    ///
    /// # Errors
    /// The store's error, or the disk has not answered for [`PATIENCE`]. The read then goes on and keeps its permit.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        look_up: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Failure> {
        let path = self.store.path();
        match timeout(PATIENCE, self.run(look_up)).await {
            Ok(Some(Ok(found))) => {
                self.problem.answered();
                Ok(found)
            }
            Ok(Some(Err(error))) => Err(self.refuse(&error)),
            Ok(None) => Err(read_broke_off(path)),
            Err(_) => Err(self.problem.note_slow(slow(path, PATIENCE))),
        }
    }

    /// Resolves when a read has ended, with any result.
    pub(super) async fn answer(&self) {
        self.run(|store| store.state(TenantId::from_bytes([0; 16])))
            .await;
    }

    /// `None`: it broke off.
    async fn run<T: Send + 'static>(
        &self,
        look_up: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<Result<T, StoreError>> {
        let permit = self.permits.clone().acquire_owned().await.ok()?;
        let store = self.store.clone();
        let read = spawn_blocking(move || {
            let _permit = permit;
            look_up(&store)
        });
        read.await.ok()
    }

    /// Turns a failed read into a message, and makes the writer thread open a broken database again.
    fn refuse(&self, error: &StoreError) -> Failure {
        if let (true, Some(writer)) = (self.store.is_broken(), self.writer.upgrade()) {
            // If the queue is full, the thread will look by itself.
            let _ = writer.try_send(Request::Reopen);
        }
        self.problem.note(error, self.store.path())
    }
}
