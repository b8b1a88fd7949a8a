//! Which connection is dropped when there are too many.
//!
//! A probe must always get through, so a new connection never waits for the others. At the limit, the oldest one that has
//! asked for nothing is dropped; without such a one, the oldest that reads its answer slowly; otherwise the oldest.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// What a connection is doing, in the order in which connections are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ConnectionStage {
    /// No complete request has arrived.
    Silent,
    /// Its answer is ready and being sent.
    Answered,
    /// Its answer is being prepared.
    Asked,
}

/// All connections that are open.
#[derive(Debug)]
pub(super) struct Connections {
    room: Arc<Semaphore>,
    /// By number, the oldest first.
    open: Mutex<BTreeMap<u64, Arc<OpenConnection>>>,
}

/// One open connection, for the code that answers it.
#[derive(Debug)]
pub(super) struct OpenConnection {
    stage: AtomicU8,
    /// Cancelled when the connection is to be dropped.
    pub(super) dropped: CancellationToken,
}

impl OpenConnection {
    pub(super) fn at(&self, stage: ConnectionStage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }
}

/// A connection's place, until this is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    connections: Arc<Connections>,
    number: u64,
    pub(super) connection: Arc<OpenConnection>,
    _room: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            room: Arc::new(Semaphore::new(limit)),
            open: Mutex::default(),
        })
    }

    /// Admits one more. At the limit another is dropped, and this waits until it has ended.
    pub(super) async fn admit(self: &Arc<Self>) -> Option<Admitted> {
        let room = match Arc::clone(&self.room).try_acquire_owned() {
            Ok(room) => room,
            Err(_) => {
                self.drop_one();
                Arc::clone(&self.room).acquire_owned().await.ok()?
            }
        };
        let connection = Arc::new(OpenConnection {
            stage: AtomicU8::new(ConnectionStage::Silent as u8),
            dropped: CancellationToken::new(),
        });
        let number = {
            let mut open = self.open.lock();
            let number = open.last_key_value().map_or(0, |(newest, _)| newest + 1);
            open.insert(number, Arc::clone(&connection));
            number
        };
        Some(Admitted {
            connections: Arc::clone(self),
            number,
            connection,
            _room: room,
        })
    }

    fn drop_one(&self) {
        let open = self.open.lock();
        // The first minimum is the oldest of its stage.
        let still_there = open.values();
        let least = still_there
            .filter(|connection| !connection.dropped.is_cancelled())
            .min_by_key(|connection| connection.stage.load(Ordering::Relaxed));
        if let Some(least) = least {
            least.dropped.cancel();
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.connections.open.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    async fn admitted(connections: &Arc<Connections>, stage: ConnectionStage) -> Admitted {
        let admitted = connections.admit().await.expect("a place");
        admitted.connection.at(stage);
        admitted
    }

    #[tokio::test]
    async fn the_oldest_that_asks_for_nothing_gives_way_then_who_reads_slowly_then_the_oldest() {
        let connections = Connections::new(4);
        let mut there = Vec::new();
        for stage in [
            ConnectionStage::Asked,
            ConnectionStage::Answered,
            ConnectionStage::Silent,
            ConnectionStage::Silent,
        ] {
            there.push(Some(admitted(&connections, stage).await));
        }
        for expected in [2, 3, 1, 0] {
            let next = connections.admit();
            let mut next = std::pin::pin!(next);
            assert!((&mut next).now_or_never().is_none(), "there is no room yet");
            let dropped: Vec<_> = there
                .iter()
                .enumerate()
                .filter(|(_, there)| {
                    let there = there.as_ref();
                    there.is_some_and(|there| there.connection.dropped.is_cancelled())
                })
                .map(|(n, _)| n)
                .collect();
            assert_eq!(dropped, [expected]);
            there[expected] = None;
            let next = next.await.expect("a place");
            next.connection.at(ConnectionStage::Asked);
            there.push(Some(next));
        }
        assert_eq!(connections.open.lock().len(), 4);
        there.clear();
        assert!(
            connections.open.lock().is_empty(),
            "a place was not given back"
        );
    }
}
