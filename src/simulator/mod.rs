//! Microsoft, as documented: the Entra token endpoints, the Defender XDR incidents API and Microsoft Graph's, on a loopback
//! port. Both APIs show the same world under the same incident numbers.
//!
//! It serves the `demo` command, the tests and the benches, and it is a suspect: where the daemon and the simulator could
//! share a misreading of Microsoft, nothing would ever show it. Therefore
//!
//! - it is built from the documentation alone and uses nothing of the daemon's core;
//! - it is never lenient: what Microsoft is not documented to accept is refused, with the documented error;
//! - it keeps its own books of what it showed ([`Books`]), and recognises its incidents by their bytes, so that a test
//!   needs neither the daemon's counters nor its notion of a version.
//!
//! A [`World`] of tenants and incidents changes by script or by seeded chance. `listing` chooses what `defender` and
//! `graph` show of it, `entra` and `gate` guard it, `quota` rations it, [`Faults`] spoil it, `http` and `line` carry it.
//!
//! The sections named in the modules below are those of the collection of facts that the simulator was built from, each
//! with its page of Microsoft's: 1 the Defender API, 2 its errors, 3 Graph, 4 tokens, 5 consent, 9 what was added on
//! 2026-11-29, which wins. Graph's answers have the wire values of 2026.
//!
//! What is not documented was decided so: the default page is the largest, 100 or 50; only Graph's quota counts requests
//! that are refused; unknown members in a filter, offsets, parentheses and `$orderby` are refused; a link is good only as a
//! whole; an incident that awaits action is in progress for the Defender API; an incident's first `priorityScore` comes with
//! its first change. Whether a new score moves the last update, and whether alerts that are moved to another incident do,
//! is not known either: each test chooses ([`Stamp`]).

mod books;
mod cast;
mod defender;
mod entra;
mod faults;
mod form;
mod gate;
mod graph;
mod http;
mod incident;
mod jwt;
mod line;
mod link;
mod listing;
mod odata;
mod page;
mod quota;
mod realm;
mod scene;
mod tenant;
#[cfg(test)]
mod tests;
mod time;
mod world;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub use books::{Books, Request, Version};
pub use defender::Paging;
pub use faults::{Api, Effect, Endpoint, Faults, Hint, Rule, RuleId, When};
pub use graph::GraphOptions;
pub use listing::Order;
pub use tenant::{FederatedCredential, Tenant};
pub use time::{Clock, SECOND};
pub use world::{PageRequest, Refused, Stamp, Update, World};

use defender::Defender;
use entra::{DEFENDER, Entra, GRAPH, Resource};
use gate::Gate;
use graph::Graph;
use http::Service;
use line::{Exchange, Lines, Plug};
use link::Links;
use listing::Desk;
use quota::Quotas;

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
    /// Whether a 429 of the Defender API has a `Retry-After`, as in the field. Microsoft promises the time in the message only.
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
    world: World,
    faults: Faults,
    books: Books,
    entra: Arc<Entra>,
    lines: Lines,
    accepting: JoinHandle<()>,
}

impl Simulator {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let world = World::new(
            options.clock,
            options.seed,
            options.incident_bytes,
            options.scores,
        );
        for tenant in options.tenants {
            world.add_tenant(tenant);
        }
        let faults = Faults::new(options.seed);
        let books = Books::new(world.clone());
        let lifetime = options.token_lifetime;
        let entra = Arc::new(Entra::new(
            world.clone(),
            books.clone(),
            options.seed,
            lifetime,
        ));
        let url = format!("http://{address}");
        let desk = Desk {
            world: world.clone(),
            books: books.clone(),
            faults: faults.clone(),
            links: Arc::new(Links::new(url, options.links_once)),
            order: options.order,
            permuted: options.permuted,
        };
        let quotas = options.quotas.then(Arc::<Quotas>::default);
        let gate = |resource: &'static Resource| Gate {
            world: world.clone(),
            entra: entra.clone(),
            quotas: quotas.clone(),
            resource,
        };
        let service = Arc::new(Service {
            world: world.clone(),
            books: books.clone(),
            faults: faults.clone(),
            entra: entra.clone(),
            defender: Defender {
                desk: desk.clone(),
                gate: gate(&DEFENDER),
                terms: defender::terms(options.paging),
                retry_after: options.retry_after,
            },
            graph: Graph {
                desk,
                gate: gate(&GRAPH),
                terms: graph::terms(options.graph),
                options: options.graph,
            },
        });
        let lines = Lines::default();
        let exchange = Exchange {
            listener,
            lines: lines.clone(),
        };
        let routes = http::routes(service).into_make_service_with_connect_info::<Plug>();
        let accepting = tokio::spawn(async move {
            // It ends only by being aborted.
            let _ = axum::serve(exchange, routes).await;
        });
        Ok(Self {
            address,
            world,
            faults,
            books,
            entra,
            lines,
            accepting,
        })
    }

    /// `http://127.0.0.1:port`: the login URL and the API's base URL alike.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn world(&self) -> World {
        self.world.clone()
    }

    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    pub fn books(&self) -> Books {
        self.books.clone()
    }

    /// Every token of the tenant is refused with 401 from now on.
    pub fn revoke_tokens(&self, tenant: Uuid) {
        self.entra.revoke(tenant);
    }

    /// Refuses new connections and resets those that there are, hanging ones too.
    pub fn stop(&self) {
        self.accepting.abort();
        self.lines.cut_all();
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop();
    }
}
