//! Microsoft, as documented: the Entra token endpoints, the Defender XDR incidents API and Microsoft Graph's, on a loopback
//! port. Both APIs show the same world under the same incident numbers.
//!
//! It serves the `demo` command, the tests and the benches. Where the daemon and the simulator share a misreading of
//! Microsoft, no test would show it. Therefore
//!
//! - it is built from the documentation alone and uses nothing of the daemon's core;
//! - it is never lenient: what Microsoft is not documented to accept is refused, with the documented error;
//! - it keeps a [`Journal`] of what it showed, and recognises its incidents by their bytes, so that a test needs neither the
//!   daemon's counters nor its notion of a version.
//!
//! A [`World`] of tenants and incidents changes by script or by seeded chance. `service` has what both APIs share: access,
//! pages, refusals. `defender` and `graph` have the documents, words, errors and limits of each API, as JSON files with
//! holes where they are text; `entra` has the tokens, `quota` counts requests. [`Faults`] spoil answers; `http` and
//! `connection` carry them. To add a field of a document, edit its `.json` file and the values that its `document.rs` fills
//! in; to add a fault, add an [`Effect`] and the place where it strikes: `http` or `page`.
//!
//! The sections named in the modules below are those of the collection of facts that the simulator was built from, each
//! with its page of Microsoft's: 1 the Defender API, 2 its errors, 3 Graph, 4 tokens, 5 consent, 9 what was added on
//! 2026-11-29, which wins. Graph's answers have the wire values of 2026.
//!
//! What is not documented was decided as follows. The default page is the largest, 100 or 50. Only Graph's quota counts
//! requests that are refused. Unknown members in a filter, offsets, parentheses and `$orderby` are refused. A link is good
//! only as a whole. An incident that awaits action is in progress for the Defender API. An incident's first `priorityScore`
//! comes with its first change. Whether a new score moves the last update, and whether alerts that are moved to another
//! incident do, is not known either: each test chooses ([`Stamp`]).

mod alert;
mod answer;
mod attack;
mod call;
mod change;
mod connection;
mod defender;
mod document;
mod entra;
mod errors;
mod faults;
mod graph;
mod http;
mod incident;
mod incidents;
mod journal;
mod jwt;
mod link;
mod odata;
mod page;
mod quota;
mod service;
mod template;
mod tenant;
#[cfg(test)]
mod tests;
mod time;
mod urlencoded;
mod world;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub use change::{Refused, Stamp, Update, Version};
pub use defender::Paging;
pub use faults::{Api, Effect, Endpoint, Faults, Hint, Rule, RuleId, When};
pub use graph::GraphOptions;
pub use journal::{Journal, Request};
pub use service::listing::Order;
pub use tenant::{FederatedCredential, Tenant};
pub use time::{Clock, SECOND};
pub use world::{PageRequest, World};

use connection::{Acceptor, ConnectionHandle, Connections};
use service::Service;

/// How the simulated Microsoft behaves.
pub struct Options {
    /// The same seed gives the same world, tokens and faults.
    pub seed: u64,
    pub tenants: Vec<Tenant>,
    pub clock: Clock,
    /// About how large new incidents are; `None`: as they come, a few kilobytes.
    pub incident_bytes: Option<usize>,
    pub order: Order,
    /// Of the Defender API; Graph always has nextLinks.
    pub paging: Paging,
    pub graph: GraphOptions,
    /// A nextLink is refused when it is followed a second time.
    pub links_once: bool,
    /// Alerts, devices and entities come in another order at each reading.
    pub permuted: bool,
    /// `None`: 60 to 90 minutes, as documented.
    pub token_lifetime: Option<Duration>,
    /// Whether the documented request quotas hold.
    pub quotas: bool,
    /// Whether a 429 of the Defender API has a `Retry-After`, as in the field. Microsoft promises the time in the message
    /// only.
    pub retry_after: bool,
    /// Whether chance gives incidents new scores, and what that does to their last update. `None`: only
    /// [`World::score`] and changes do.
    pub scores: Option<Stamp>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            tenants: Vec::new(),
            clock: Clock::wall(),
            incident_bytes: None,
            order: Order::default(),
            paging: Paging::default(),
            graph: GraphOptions::default(),
            links_once: false,
            permuted: false,
            token_lifetime: None,
            quotas: true,
            retry_after: true,
            scores: None,
        }
    }
}

/// A running simulator; dropping it stops it.
pub struct Simulator {
    address: SocketAddr,
    service: Arc<Service>,
    connections: Connections,
    accepting: JoinHandle<()>,
}

impl Simulator {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let service = Arc::new(Service::new(format!("http://{address}"), options));
        let connections = Connections::default();
        let acceptor = Acceptor {
            listener,
            connections: connections.clone(),
        };
        let routes = http::routes(service.clone());
        let routes = routes.into_make_service_with_connect_info::<ConnectionHandle>();
        let accepting = tokio::spawn(async move {
            // It ends only by being aborted.
            let _ = axum::serve(acceptor, routes).await;
        });
        Ok(Self {
            address,
            service,
            connections,
            accepting,
        })
    }

    /// `http://127.0.0.1:port`: the login URL and the API's base URL alike.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn world(&self) -> World {
        self.service.world.clone()
    }

    pub fn faults(&self) -> Faults {
        self.service.faults.clone()
    }

    pub fn journal(&self) -> Journal {
        self.service.journal.clone()
    }

    /// From now on, every token of the tenant is refused with 401.
    pub fn revoke_tokens(&self, tenant: Uuid) {
        self.service.entra.revoke(tenant);
    }

    /// Refuses new connections and resets the open ones, hanging ones too.
    pub fn stop(&self) {
        self.accepting.abort();
        self.connections.reset_all();
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop();
    }
}
