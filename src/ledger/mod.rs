//! The local ledger: what was published, in one redb file.
//!
//! Role: a version that is in the ledger is not published again, and a tenant's cursor says where its next sweep begins.
//!
//! Invariants:
//! - [`write`](Ledger::write) returns `Ok` only when the entry survives a power cut. An entry is written whole or not at all.
//! - One process at a time has it open: it holds a lock on the directory.
//! - A file that is damaged or of a later format is refused before any byte of it is changed.
//!
//! Failure modes: when the disk is full or fails, each waiting write fails with a message that names the file and the remedy.
//! The database is then closed and opened again, at the latest with the next request, and works when there is space again.
//! Entries that were written before stay. While it can't be opened, reads fail in the same way.
//!
//! A disk that hangs blocks no thread of the runtime: reads run on a few threads of their own. If a read or a write takes
//! longer than half a minute, the ledger's state says so. The read then fails, and the write still waits.
//!
//! `open` opens and checks the file, `file` reads it whole for a command, `store` has the tables, `readers` the threads that read, `writer` the order of writes.

mod copy_on_write;
mod dead_letters;
mod error;
mod file;
mod open;
mod outlines;
mod problem;
mod prune;
mod readers;
mod store;
mod tables;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::core::health::failure::Failure;
use crate::core::health::status::{PartState, PartStatus};
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::outline::PackedOutline;
use crate::core::incident::version::{ContentHash, Seen};
use crate::core::sweep::cursor::TenantState;
use crate::core::time::ticks::Ticks;
use crate::ports::{Ledger, LedgerEntry, Part};

pub(crate) use error::LedgerError;
use error::{StoreError, slow, writer_ended};
pub(crate) use file::LedgerFile;
use open::Disk;
use problem::CurrentProblem;
use prune::KEPT_DAYS;
use readers::Readers;
use store::Store;
use writer::{Request, Writer};

/// How long a read or a write may take before the state shows it.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long closing waits for the writer. It must be less than what remains of the daemon's time to stop.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// See the module's documentation.
pub struct LocalLedger {
    store: Arc<Store>,
    problem: Arc<CurrentProblem>,
    readers: Readers,
    queue: Option<mpsc::Sender<Request>>,
    writer: Option<Writer>,
}

impl LocalLedger {
    /// Opens the ledger in `dir`. Makes the directory (for its owner only) and the file if they do not exist. Blocks: an
    /// existing file is read whole once, which takes about 0.15 s for a million versions.
    pub fn open(dir: &Path) -> Result<Self, LedgerError> {
        Self::open_with(dir, Disk::real())
    }

    fn open_with(dir: &Path, disk: Disk) -> Result<Self, LedgerError> {
        let home = open::prepare(dir, &disk)?;
        let file = home.file.clone();
        let store =
            Store::open(home, disk.open).map_err(|error| LedgerError::redb(&file, *error))?;
        let store = Arc::new(store);
        let problem = Arc::new(CurrentProblem::default());
        let (queue, writer) = writer::start(store.clone(), problem.clone())
            .map_err(|source| LedgerError::Thread { source })?;
        Ok(Self {
            readers: Readers::new(store.clone(), problem.clone(), queue.downgrade()),
            store,
            problem,
            queue: Some(queue),
            writer: Some(writer),
        })
    }

    /// Waits until all queued entries are durable, and closes the file. Blocks for at most 2 s: writes that a hung disk delays
    /// longer were never acknowledged. Dropping does the same.
    pub fn close(self) {}

    /// Removes the rows of tenants that have not been `configured` for 180 days, in small steps between other writes. A failure
    /// is logged, and the next start goes on.
    pub async fn prune(&self, configured: HashSet<TenantId>, now: Ticks) {
        match self.prune_all(configured, now).await {
            Ok(0) => {}
            Ok(tenants) => tracing::info!(
                tenants,
                "the ledger has forgotten tenants that were not configured for {KEPT_DAYS} days"
            ),
            Err(failure) => tracing::warn!(error = %failure, remedy = failure.remedy,
                "the ledger's rows of tenants that are no longer configured can't be dropped; the next start tries again"),
        }
    }

    async fn prune_all(&self, configured: HashSet<TenantId>, now: Ticks) -> Result<usize, Failure> {
        let overdue = self
            .on_writer(move |store| store.note_absent(&|tenant| configured.contains(&tenant), now));
        let overdue = overdue.await?;
        for tenant in &overdue {
            let tenant = *tenant;
            while !self.on_writer(move |store| store.drop_rows(tenant)).await? {}
        }
        Ok(overdue.len())
    }

    /// Does `work` on the writer thread, between two commits.
    async fn on_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Failure> {
        let ended = || writer_ended(self.store.path());
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move |store: &Store| {
            // The caller may have stopped waiting.
            let _ = answer.send(work(store));
        });
        let queue = self.queue.as_ref().ok_or_else(ended)?;
        queue.send(Request::Job(job)).await.map_err(|_| ended())?;
        let done = answered.await.map_err(|_| ended())?;
        done.map_err(|error| self.problem.note(&error, self.store.path()))
    }
}

impl Ledger for LocalLedger {
    fn state(&self, tenant: TenantId) -> BoxFuture<'_, Result<Option<TenantState>, Failure>> {
        Box::pin(self.readers.read(move |store| store.state(tenant)))
    }

    fn known<'a>(
        &'a self,
        tenant: TenantId,
        ids: &'a [IncidentId],
    ) -> BoxFuture<'a, Result<Vec<Option<Seen>>, Failure>> {
        let ids = ids.to_vec();
        Box::pin(self.readers.read(move |store| store.known(tenant, &ids)))
    }

    fn outlines<'a>(
        &'a self,
        tenant: TenantId,
        ids: &'a [IncidentId],
    ) -> BoxFuture<'a, Result<Vec<Option<PackedOutline>>, Failure>> {
        let ids = ids.to_vec();
        Box::pin(self.readers.read(move |store| store.outlines(tenant, &ids)))
    }

    fn letters(
        &self,
        tenant: TenantId,
    ) -> BoxFuture<'_, Result<Vec<(ContentHash, Letter)>, Failure>> {
        Box::pin(self.readers.read(move |store| store.letters(tenant)))
    }

    /// Once queued, the entry is written even if this future is dropped.
    fn write(&self, entry: LedgerEntry) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let ended = || writer_ended(self.store.path());
            let queue = self.queue.as_ref().ok_or_else(ended)?;
            let write = async {
                let (answer, answered) = oneshot::channel();
                let queued = queue.send(Request::Write { entry, answer }).await;
                queued.map_err(|_| ended())?;
                answered.await.map_err(|_| ended())?
            };
            let mut write = std::pin::pin!(write);
            if let Ok(written) = timeout(PATIENCE, &mut write).await {
                return written;
            }
            // It may still be written, so it can't be given up.
            self.problem.note_slow(slow(self.store.path(), PATIENCE));
            write.await
        })
    }
}

impl Part for LocalLedger {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn status(&self) -> PartStatus {
        let ended = self.queue.as_ref().is_none_or(mpsc::Sender::is_closed);
        let status = if ended {
            let Failure { what, remedy, .. } = writer_ended(self.store.path());
            PartStatus::not_ok(PartState::Failed, what, remedy)
        } else {
            match self.problem.current() {
                None => PartStatus::OK,
                Some(now) if now.damage => {
                    PartStatus::not_ok(PartState::Failed, now.what, now.remedy)
                }
                Some(now) => PartStatus::not_ok(PartState::Unavailable, now.what, now.remedy),
            }
        };
        PartStatus {
            kind: Some("local"),
            versions: Some(self.store.versions()),
            ..status
        }
    }

    /// The writer thread has answered everything that was queued before, and a reader thread has answered too.
    fn alive(&self) -> BoxFuture<'_, bool> {
        async {
            let Some(queue) = &self.queue else {
                return false;
            };
            let (answer, answered) = oneshot::channel();
            let asked = queue.send(Request::Ping { answer }).await;
            let writes = asked.is_ok() && answered.await.is_ok();
            self.readers.answer().await;
            writes
        }
        .boxed()
    }

    /// The writer thread ends by itself only after a panic. Nothing can be recorded after that.
    fn fatal(&self) -> BoxFuture<'_, String> {
        async {
            if let Some(queue) = &self.queue {
                queue.closed().await;
            }
            "the ledger's writer is gone".to_owned()
        }
        .boxed()
    }
}

impl Drop for LocalLedger {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && !writer.join(CLOSE_LIMIT)
        {
            tracing::warn!(path = %self.store.path().display(),
                "the disk under the ledger does not answer; what was not written is read and published again after the start");
        }
    }
}

impl fmt::Debug for LocalLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalLedger")
            .field("path", &self.store.path())
            .finish_non_exhaustive()
    }
}
