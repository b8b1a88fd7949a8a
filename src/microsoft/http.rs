//! HTTP clients, and the limits of every exchange.
//!
//! TLS is rustls with ring. It trusts the certificates of the system (on Debian the package `ca-certificates`, or what
//! `SSL_CERT_FILE`/`SSL_CERT_DIR` name) and those of `api.ca_file`. HTTP/1.1 only: over HTTP/2 all tenants would share
//! one connection, and a slow answer would delay the others through the server's stream limit.
//!
//! Redirects are not followed, because a redirect would carry the token or the secret to a host that is not configured.
//! The runtime repeats requests, because each one counts against the tenant's budget. One case is handled here: a
//! request on a connection that the other side is closing is sent once more, and the runtime is informed.

use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Proxy, Request, RequestBuilder, Response};
use tokio::time::{Instant, timeout};
use tower::util::MapFutureLayer;
use url::{Host, Url};

pub(super) use self::answer::StreamedAnswer;
use super::proxy::{self, ProxyRoute};
use super::resolver::{LookUp, Resolver};
use crate::core::health::failure::Failure;
use crate::microsoft::transport::{self, Peer};
use crate::settings::ApiSettings;

/// The limit for an exchange as a whole, in multiples of the silence limit.
const TOTAL: u32 = 10;
/// Idle connections kept per host: about as many as there are requests at once.
const IDLE: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("it holds no PEM certificate")]
    NoCertificate,
    #[error("it holds a certificate that can't be used")]
    BadCertificate { source: reqwest::Error },
    /// The error leaves out the address, which may contain a password.
    #[error("the proxy's address must begin with http:// or https:// and name a host")]
    Proxy,
    #[error("can't set up TLS: is the package ca-certificates installed, or api.ca_file set?")]
    Tls { source: reqwest::Error },
}

/// The daemon's HTTP clients, one for each route to a host, shared by all tenants. A client owns a connection pool and
/// a copy of the system's certificates, which are read once, when it is built.
#[derive(Default)]
pub struct Clients {
    built: Mutex<HashMap<ClientKey, ClientPair>>,
    resolver: Resolver,
}

#[derive(Clone)]
struct ClientPair {
    /// Keeps connections for later requests.
    keeping: Client,
    /// Makes a new connection for each request.
    once: Client,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct ClientKey {
    proxy: Option<Url>,
    authorities: Option<Arc<[u8]>>,
    /// Never through a proxy.
    loopback: bool,
    tls: bool,
}

impl Clients {
    /// Clients that look up names as the system does.
    pub fn new() -> Self {
        Self::default()
    }

    /// Clients that look up names with `look_up`, which may block.
    pub fn resolving(look_up: Arc<LookUp>) -> Self {
        Self {
            resolver: Resolver::with(look_up),
            ..Self::default()
        }
    }

    /// The client for `base`, whose configuration key is `setting`. A loopback host is never reached through a proxy.
    pub(super) fn reach(
        &self,
        base: &Url,
        setting: &'static str,
        api: &ApiSettings,
    ) -> Result<Http, ClientError> {
        let loopback = is_loopback(base);
        let proxy = api.proxy.clone().filter(|_| !loopback);
        let key = ClientKey {
            proxy: proxy.clone(),
            // Behind a proxy that itself uses TLS, a plain upstream also needs trusted certificates.
            tls: base.scheme() == "https" || proxy.is_some(),
            authorities: api.ca_file.as_ref().map(|file| file.pem.clone()),
            loopback,
        };
        let via = match &proxy {
            _ if loopback => None,
            Some(proxy) => ProxyRoute::configured(proxy),
            None => ProxyRoute::of_environment(base),
        };
        let peer = Peer {
            host: base.host_str().unwrap_or_default().to_owned(),
            port: base.port_or_known_default().unwrap_or_default(),
            via,
            setting,
            silence: api.request_timeout,
            total: api.request_timeout.saturating_mul(TOTAL),
        };
        self.http(key, peer)
    }

    /// The client for a service of this machine or its network, which no proxy reaches. `setting` is the key that leads to it.
    pub(super) fn reach_directly(
        &self,
        base: &Url,
        setting: &'static str,
        silence: Duration,
    ) -> Result<Http, ClientError> {
        let key = ClientKey {
            proxy: None,
            authorities: None,
            loopback: true,
            tls: base.scheme() == "https",
        };
        let peer = Peer {
            host: base.host_str().unwrap_or_default().to_owned(),
            port: base.port_or_known_default().unwrap_or_default(),
            via: None,
            setting,
            silence,
            total: silence.saturating_mul(TOTAL),
        };
        self.http(key, peer)
    }

    fn http(&self, key: ClientKey, peer: Peer) -> Result<Http, ClientError> {
        let ClientPair { keeping, once } = self.pair(key)?;
        Ok(Http {
            client: keeping,
            once,
            resolver: self.resolver.clone(),
            peer: Arc::new(peer),
            resent: Arc::default(),
        })
    }

    fn pair(&self, key: ClientKey) -> Result<ClientPair, ClientError> {
        let mut built = self.built.lock();
        if let Some(pair) = built.get(&key) {
            return Ok(pair.clone());
        }
        let pair = ClientPair {
            keeping: build(&key, &self.resolver, IDLE)?,
            once: build(&key, &self.resolver, 0)?,
        };
        built.insert(key, pair.clone());
        Ok(pair)
    }
}

/// A client that keeps at most `idle` idle connections to a host.
fn build(key: &ClientKey, resolver: &Resolver, idle: usize) -> Result<Client, ClientError> {
    install_provider();
    let mut builder = Client::builder()
        .user_agent(concat!("incidentd/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(transport::CONNECT)
        .dns_resolver(resolver.clone())
        .connector_layer(MapFutureLayer::new(noted))
        .pool_max_idle_per_host(idle);
    if key.loopback {
        builder = builder.no_proxy();
    } else if let Some(proxy) = &key.proxy {
        builder = builder.proxy(checked_proxy(proxy)?);
    }
    if !key.tls {
        // Nothing to trust and nothing to read from disk: a simulator needs no certificates on the machine.
        return builder
            .tls_certs_only([])
            .build()
            .map_err(|source| ClientError::Tls { source });
    }
    match &key.authorities {
        None => builder
            .build()
            .map_err(|source| ClientError::Tls { source }),
        Some(pem) => trusting(builder, pem),
    }
}

/// A client that also trusts these authorities.
fn trusting(builder: ClientBuilder, pem: &[u8]) -> Result<Client, ClientError> {
    match Certificate::from_pem_bundle(pem) {
        Ok(found) if found.is_empty() => Err(ClientError::NoCertificate),
        Ok(found) => builder
            .tls_certs_merge(found)
            .build()
            .map_err(|source| ClientError::BadCertificate { source }),
        Err(source) => Err(ClientError::BadCertificate { source }),
    }
}

/// Checks that these authorities can be trusted.
///
/// # Errors
/// There is no certificate, or one that can't be used.
pub fn check_authorities(pem: &[u8]) -> Result<(), ClientError> {
    install_provider();
    trusting(Client::builder().tls_certs_only([]), pem).map(drop)
}

fn install_provider() {
    // An error means that the process has a provider already, which is enough.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn checked_proxy(proxy: &Url) -> Result<Proxy, ClientError> {
    if !matches!(proxy.scheme(), "http" | "https") || !proxy.has_host() {
        return Err(ClientError::Proxy);
    }
    Proxy::all(proxy.clone()).map_err(|_| ClientError::Proxy)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// One host, and the clients that reach it.
#[derive(Clone)]
pub(super) struct Http {
    /// For requests on kept connections.
    pub(super) client: Client,
    once: Client,
    resolver: Resolver,
    pub(super) peer: Arc<Peer>,
    /// Requests that were sent once more and are not accounted for yet.
    resent: Arc<AtomicU32>,
}

tokio::task_local! {
    /// Whether the current exchange made its connection, and is the first on it.
    static CONNECTED: Cell<bool>;
}

/// Records that the current exchange made a connection. A connection that is ready too late, because another one became
/// free first, is completed in a task of the client and not recorded.
async fn noted<C, E>(connecting: impl Future<Output = Result<C, E>>) -> Result<C, E> {
    let connection = connecting.await?;
    let _ = CONNECTED.try_with(|connected| connected.set(true));
    Ok(connection)
}

impl Http {
    /// The same host, with a new connection for each request: no idle connection is closed under it, so it is sent once.
    pub(super) fn never_resending(&self) -> Self {
        Self {
            client: self.once.clone(),
            ..self.clone()
        }
    }

    /// Sends `request` and waits for the head of the answer, whatever its status.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<StreamedAnswer, Failure> {
        self.ask(request, None).await
    }

    /// The same for an address from outside. The log shows `what` instead of its path, because the path may contain
    /// anything, even the token.
    pub(super) async fn send_to_link(
        &self,
        request: RequestBuilder,
        what: &'static str,
    ) -> Result<StreamedAnswer, Failure> {
        self.ask(request, Some(what)).await
    }

    async fn ask(
        &self,
        request: RequestBuilder,
        instead_of_path: Option<&'static str>,
    ) -> Result<StreamedAnswer, Failure> {
        let request = request
            .build()
            .map_err(|error| transport::failure(&error, &self.peer))?;
        // Only the path: queries and bodies may contain data from Microsoft or the credential.
        let path = instead_of_path.unwrap_or(request.url().path()).to_owned();
        let method = request.method().clone();
        let started = Instant::now();
        let answer = match timeout(self.peer.silence, self.exchange(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.failure(&error).await),
            Err(_) => Err(transport::silent(&self.peer)),
        };
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let status = answer.as_ref().map_or(0, |it| it.status().as_u16());
        tracing::debug!(%method, host = self.peer.host, path, status, milliseconds, "asked Microsoft");
        Ok(StreamedAnswer::new(
            answer?,
            Arc::clone(&self.peer),
            started.elapsed(),
        ))
    }

    /// Gateways close connections after 30 or 60 s without use, which is also the rhythm of polling, so a request may
    /// already be on its way. It is sent once more on a new connection; a request that must not be repeated goes through
    /// [`Http::never_resending`]. If a new connection is closed, or cut within the answer, the exchange fails.
    async fn exchange(&self, request: Request) -> reqwest::Result<Response> {
        let again = request.try_clone();
        let first = async {
            let answer = self.client.execute(request).await;
            (answer, CONNECTED.with(Cell::get))
        };
        let (answer, connected) = CONNECTED.scope(Cell::new(false), first).await;
        match (answer, again) {
            (Err(error), Some(again)) if !connected && transport::closed_unanswered(&error) => {
                tracing::debug!(
                    host = self.peer.host,
                    "an idle connection was closed; sending the request once more"
                );
                self.resent.fetch_add(1, Ordering::Relaxed);
                self.once.execute(again).await
            }
            (answer, _) => answer,
        }
    }

    /// The number of requests sent once more since the last call.
    pub(super) fn take_resent(&self) -> u32 {
        self.resent.swap(0, Ordering::Relaxed)
    }

    async fn failure(&self, error: &reqwest::Error) -> Failure {
        let peer = &self.peer;
        match &peer.via {
            Some(via) if transport::wants_proxy_login(error) => {
                let offers = via.offers(&peer.host, peer.port, &self.resolver).await;
                proxy::wants_login(&peer.name(), &offers, via.login)
            }
            _ => transport::failure(error, peer),
        }
    }
}

mod answer;

#[cfg(test)]
mod tests;
