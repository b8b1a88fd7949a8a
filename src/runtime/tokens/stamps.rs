//! Reads the stamps of credential files, which may be on a disk that hangs.
//!
//! A look needs a thread, and keeps it while the disk hangs. So each tenant has at most one look at a time, all tenants
//! together have a limited number, and a caller waits only a moment.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::ports::TokenSource;

/// How long a caller waits for a look.
const LONGEST: Duration = Duration::from_secs(2);
/// The most looks at a time in this process.
static LOOKS: Semaphore = Semaphore::const_new(32);

/// One tenant's looks.
pub(super) struct Stamps {
    source: Arc<dyn TokenSource>,
    own: Arc<Semaphore>,
}

impl Stamps {
    pub(super) fn new(source: Arc<dyn TokenSource>) -> Self {
        Self {
            source,
            own: Arc::new(Semaphore::new(1)),
        }
    }

    /// The stamp of the credential files. `None`: the disk does not answer.
    pub(super) async fn look(&self) -> Option<u64> {
        let look = async {
            let own = self.own.clone().acquire_owned().await.ok()?;
            let one_of_all = LOOKS.acquire().await.ok()?;
            let source = self.source.clone();
            let look = spawn_blocking(move || {
                let _until_it_is_over = (own, one_of_all);
                source.credential_stamp()
            });
            look.await.ok()
        };
        timeout(LONGEST, look).await.ok().flatten()
    }
}
