//! Microsoft, as documented: the Entra token endpoints, the Defender XDR incidents API and Microsoft Graph's, on a loopback
//! port. Both APIs show the same world under the same incident numbers.
//!
//! It serves the `demo` command, the tests and the benches. No test shows a misreading of Microsoft that the daemon and the
//! simulator share. Therefore
//!
//! - it is built from the documentation alone and uses nothing of the daemon's core;
//! - it is never lenient: it refuses what Microsoft is not documented to accept, with the documented error;
//! - it keeps a [`Journal`] of what it showed, and recognises its incidents by their bytes, so that a test needs neither the
//!   daemon's counters nor its notion of a version.
//!
//! A [`World`] of tenants and incidents changes by script or by seeded chance. `service` has what both APIs share: access,
//! pages, errors. `defender` and `graph` have the words and limits of each API, and its documents and errors as JSON files;
//! `document` has the values that fill them. [`Faults`] spoil answers. To add a field of a document, edit its `.json` file
//! and `document`; to add a fault, add an [`Effect`] and the place where it strikes: `http` or `page`.
//!
//! The sections named in the modules are those of the collection of facts behind the simulator: 1 the Defender API, 2 its
//! errors, 3 Graph, 4 tokens, 5 consent, 9 what was added on 2026-11-29, which wins.
//!
//! What is not documented is decided as follows. The default page is the largest, 100 or 50. Only Graph's quota counts
//! requests that are refused. Unknown members in a filter, offsets, parentheses and `$orderby` are refused. A link is good
//! only as a whole. An incident that awaits action is in progress for the Defender API. The first change of an incident
//! brings its first `priorityScore`. A new score leaves the last update alone; a move of alerts to another incident moves it.

mod alert;
mod answer;
mod arc;
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
mod identity;
mod incident;
mod incidents;
mod journal;
mod jwt;
mod link;
mod local_server;
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
mod vault;
mod world;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use arc::ArcAgent;
pub use change::{Refused, Update, Version};
pub use defender::Paging;
pub use faults::{Api, Effect, Endpoint, Faults, Rule};
pub use graph::GraphOptions;
pub use identity::{IdentityEndpoints, SimulatedIdentity};
pub use journal::{Journal, Request};
pub use service::listing::Order;
pub use tenant::{FederatedCredential, RegisteredCertificate, Tenant};
pub use time::{Clock, SECOND};
pub use vault::KeyVault;
pub use world::World;

use connection::{Acceptor, ConnectionHandle};
use service::Service;

/// How the simulated Microsoft behaves.
pub struct Options {
    /// The same seed gives the same world, tokens and faults.
    pub seed: u64,
    /// Known from the start; [`World::add_tenant`] adds others.
    pub tenants: Vec<Tenant>,
    /// The world's time: real, or set by a test.
    pub clock: Clock,
    /// The approximate size of new incidents. `None`: a few kilobytes.
    pub incident_bytes: Option<usize>,
    /// The order of lists of both APIs.
    pub order: Order,
    /// For the Defender API. Graph always has nextLinks.
    pub paging: Paging,
    /// What only Graph does.
    pub graph: GraphOptions,
    /// `None`: 60 to 90 minutes, as documented.
    pub token_lifetime: Option<Duration>,
    /// Whether the documented request quotas hold.
    pub quotas: bool,
    /// Whether chance gives incidents new scores. Otherwise only changes give them.
    pub scores: bool,
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
            token_lifetime: None,
            quotas: true,
            scores: false,
        }
    }
}

/// A running simulator. Dropping it stops it.
pub struct Simulator {
    address: SocketAddr,
    service: Arc<Service>,
    reset: CancellationToken,
    accepting: JoinHandle<()>,
}

impl Simulator {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let service = Arc::new(Service::new(format!("http://{address}"), options));
        let reset = CancellationToken::new();
        let acceptor = Acceptor {
            listener,
            reset: reset.clone(),
        };
        let routes = Router::new().fallback(http::handle);
        let routes = routes.with_state(service.clone());
        let routes = routes.into_make_service_with_connect_info::<ConnectionHandle>();
        let accepting = tokio::spawn(async move {
            // It ends only when it is aborted.
            let _ = axum::serve(acceptor, routes).await;
        });
        Ok(Self {
            address,
            service,
            reset,
            accepting,
        })
    }

    /// `http://127.0.0.1:port`: the login URL and the base URL of both APIs.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The world that it shows. Changes take effect with the next request.
    pub fn world(&self) -> World {
        self.service.world.clone()
    }

    /// The faults of its answers.
    pub fn faults(&self) -> Faults {
        self.service.faults.clone()
    }

    /// What it was asked and what it showed.
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
        self.reset.cancel();
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop();
    }
}
