//! Name look-ups: one at a time for each host, shared by everything that waits for it, on a few threads.
//!
//! The system's resolver blocks, for minutes when a name server is silent (`timeout:30 attempts:4`). If each connection
//! looked up its host, a fleet would hold a thread for each tenant. So:
//! - each host has at most one look-up in progress;
//! - an answer is kept for [`KEPT`], a failure for [`FAILURE_KEPT`]: long enough to serve a fleet, and not longer than
//!   Microsoft keeps its addresses;
//! - a request waits no longer than [`PATIENCE`]. After that its failure names the look-up, not the connection. The look-up
//!   itself continues, and its answer is kept for the next request.
//!
//! All addresses are passed on in the system's order: the connector tries IPv6 and IPv4 side by side.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

/// How long addresses are used.
const KEPT: Duration = Duration::from_secs(30);
/// How long a failure is repeated without a new look-up. Shorter than the first pause after a failure.
const FAILURE_KEPT: Duration = Duration::from_secs(1);
/// How long to wait for a look-up. Shorter than the limit for a connection; otherwise the connection would be blamed.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);
/// The most look-ups at once: they must not take all threads that may block, which files are read on, too. The fleet
/// shares a few hosts; each tenant's own proxy is also a host.
const THREADS: usize = 8;
/// The most hosts remembered, and look-ups that wait for a thread.
const HOSTS: usize = 4096;

/// Looks up a host's addresses, with any port. Blocks.
pub type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Why a name has no addresses.
#[derive(Debug, Clone)]
pub(super) enum LookUpError {
    /// The resolver's own message.
    Refused(String),
    /// It was silent for [`PATIENCE`].
    Silent,
}

impl fmt::Display for LookUpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => f.write_str(why),
            Self::Silent => write!(f, "no answer within {PATIENCE:?}"),
        }
    }
}

impl std::error::Error for LookUpError {}

type LookUpAnswer = Result<Arc<[SocketAddr]>, LookUpError>;

#[derive(Clone)]
pub(super) struct Resolver(Arc<ResolverState>);

struct ResolverState {
    look_up: Arc<LookUp>,
    threads: Arc<Semaphore>,
    hosts: Mutex<HashMap<String, HostEntry>>,
}

enum HostEntry {
    Answered { answer: LookUpAnswer, at: Instant },
    Asked(watch::Receiver<Option<LookUpAnswer>>),
}

impl Default for Resolver {
    fn default() -> Self {
        Self::with(Arc::new(|host: &str| {
            Ok((host, 0).to_socket_addrs()?.collect())
        }))
    }
}

impl Resolver {
    pub(super) fn with(look_up: Arc<LookUp>) -> Self {
        Self(Arc::new(ResolverState {
            look_up,
            threads: Arc::new(Semaphore::new(THREADS)),
            hosts: Mutex::default(),
        }))
    }

    /// The addresses of `host`.
    pub(super) async fn addresses(&self, host: &str) -> LookUpAnswer {
        let deadline = Instant::now() + PATIENCE;
        let mut answer = match self.known_or_asked(host) {
            HostEntry::Answered { answer, .. } => return answer,
            HostEntry::Asked(answer) => answer,
        };
        match timeout_at(deadline, answer.wait_for(Option::is_some)).await {
            Ok(Ok(answer)) => answer.clone().unwrap_or(Err(LookUpError::Silent)),
            // The look-up panicked, or time is up.
            Ok(Err(_)) | Err(_) => Err(LookUpError::Silent),
        }
    }

    /// What is known about `host`. Begins a look-up if nothing is known.
    fn known_or_asked(&self, host: &str) -> HostEntry {
        let mut hosts = self.0.hosts.lock();
        let now = Instant::now();
        match hosts.get(host) {
            Some(HostEntry::Answered { answer, at }) if is_fresh(answer, *at, now) => {
                return HostEntry::Answered {
                    answer: answer.clone(),
                    at: *at,
                };
            }
            Some(HostEntry::Asked(answer)) if answer.has_changed().is_ok() => {
                return HostEntry::Asked(answer.clone());
            }
            _ => {}
        }
        if hosts.len() >= HOSTS {
            // An answer can be asked for again. A look-up in progress must not begin twice.
            hosts.retain(
                |_, entry| matches!(entry, HostEntry::Asked(answer) if answer.has_changed().is_ok()),
            );
        }
        if hosts.len() >= HOSTS {
            let answer = Err(LookUpError::Refused("too many wait already".to_owned()));
            return HostEntry::Answered { answer, at: now };
        }
        let answer = self.begin(host);
        hosts.insert(host.to_owned(), HostEntry::Asked(answer.clone()));
        HostEntry::Asked(answer)
    }

    fn begin(&self, host: &str) -> watch::Receiver<Option<LookUpAnswer>> {
        let (tell, answer) = watch::channel(None);
        let (shared, host) = (Arc::clone(&self.0), host.to_owned());
        tokio::spawn(async move {
            // The semaphore is never closed.
            let thread = Arc::clone(&shared.threads).acquire_owned().await;
            spawn_blocking(move || {
                let _until_it_is_over = thread;
                let found = match (shared.look_up)(&host) {
                    Ok(found) if found.is_empty() => {
                        Err(LookUpError::Refused("it has no address".to_owned()))
                    }
                    Ok(found) => Ok(Arc::from(found)),
                    Err(error) => Err(LookUpError::Refused(error.to_string())),
                };
                let entry = HostEntry::Answered {
                    answer: found.clone(),
                    at: Instant::now(),
                };
                shared.hosts.lock().insert(host, entry);
                // It is not an error if nothing waits any more.
                let _ = tell.send(Some(found));
            });
        });
        answer
    }
}

fn is_fresh(answer: &LookUpAnswer, at: Instant, now: Instant) -> bool {
    let kept = match answer {
        Ok(_) => KEPT,
        Err(_) => FAILURE_KEPT,
    };
    now.saturating_duration_since(at) < kept
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let found = resolver.addresses(name.as_str()).await?;
            let found: Addrs = Box::new(found.iter().copied().collect::<Vec<_>>().into_iter());
            Ok(found)
        })
    }
}

#[cfg(test)]
mod tests;
