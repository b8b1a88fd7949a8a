//! HTTP clients and the limits that every exchange obeys.
//!
//! TLS is rustls with ring. Trusted are the certificates of the system (on Debian the package `ca-certificates`, or what
//! `SSL_CERT_FILE`/`SSL_CERT_DIR` name) and those of `api.ca_file`. HTTP/1.1 only: over HTTP/2 all tenants would share one
//! connection, and a slow answer would queue the others behind the server's stream limit.
//!
//! Redirects are not followed: a redirect would carry the token, or the secret, to a host nobody configured.
//! Repetition is the runtime's, which counts each request against the tenant's budget.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Proxy, RequestBuilder, Response, StatusCode};
use tokio::time::{Instant, timeout};
use url::{Host, Url};

use super::network::{self, Peer};
use crate::core::failure::Failure;

/// A connection is made within this time, or not at all.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// An exchange may wait this many times the silence limit in all.
const TOTAL: u32 = 10;
/// Error bodies are read up to here; what follows says nothing more.
const MAX_ERROR_BODY: usize = 64 << 10;
/// Pieces of a body that are there already are handed out as one up to this size: decompression yields them by 8 KiB, and
/// each costs the reader a look into the ledger.
const GATHER: usize = 64 << 10;
/// Idle connections kept to one host: about as many as requests are in flight at once.
const IDLE: usize = 64;

/// How to reach one host.
#[derive(Clone)]
pub struct HttpOptions {
    /// `http` or `https`, with user and password if need be. Without it the environment's `HTTPS_PROXY`, `HTTP_PROXY` and
    /// `NO_PROXY` count. A loopback host is never reached through a proxy.
    pub proxy: Option<Url>,
    /// Certificates, as PEM, that are trusted besides the system's.
    pub authorities: Option<Arc<[u8]>>,
    /// Silence that ends an exchange; ten times as long ends it in any case.
    pub silence: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("it holds no PEM certificate")]
    NoCertificate,
    #[error("it holds a certificate that can't be used")]
    BadCertificate { source: reqwest::Error },
    /// Without the address: it may hold a password.
    #[error("the proxy's address must begin with http:// or https:// and name a host")]
    Proxy,
    #[error("can't set up TLS: is the package ca-certificates installed, or api.ca_file set?")]
    Tls { source: reqwest::Error },
}

/// The daemon's HTTP clients, one for each way to reach a host, however many tenants use it. A client owns a connection
/// pool and a copy of the system's certificates, which are read once, when it is built.
#[derive(Default)]
pub struct Clients {
    built: Mutex<HashMap<Key, Client>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    proxy: Option<Url>,
    authorities: Option<Arc<[u8]>>,
    loopback: bool,
    tls: bool,
}

impl Clients {
    pub fn new() -> Self {
        Self::default()
    }

    /// The way to `base`, whose configuration key is `setting`.
    pub(super) fn reach(
        &self,
        base: &Url,
        setting: &'static str,
        options: &HttpOptions,
    ) -> Result<Http, ClientError> {
        let loopback = is_loopback(base);
        let proxy = options.proxy.clone().filter(|_| !loopback);
        let key = Key {
            proxy: proxy.clone(),
            // Behind a proxy that speaks TLS itself a plain upstream needs trust, too.
            tls: base.scheme() == "https" || proxy.is_some(),
            authorities: options.authorities.clone(),
            loopback,
        };
        let peer = Peer {
            host: base.host_str().unwrap_or_default().to_owned(),
            proxy: proxy.as_ref().and_then(Url::host_str).map(str::to_owned),
            setting,
            silence: options.silence,
            total: options.silence.saturating_mul(TOTAL),
        };
        Ok(Http {
            client: self.client(key)?,
            peer: Arc::new(peer),
        })
    }

    fn client(&self, key: Key) -> Result<Client, ClientError> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = built.get(&key) {
            return Ok(client.clone());
        }
        let client = build(&key)?;
        built.insert(key, client.clone());
        Ok(client)
    }
}

fn build(key: &Key) -> Result<Client, ClientError> {
    install_provider();
    let mut builder = Client::builder()
        .user_agent(concat!("incidentd/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(CONNECT)
        .pool_max_idle_per_host(IDLE);
    if key.loopback {
        builder = builder.no_proxy();
    } else if let Some(proxy) = &key.proxy {
        builder = builder.proxy(checked_proxy(proxy)?);
    }
    if !key.tls {
        // Nothing to trust, nothing to read from disk: a simulator needs no certificates on the machine.
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

/// A client that trusts these authorities, too.
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

/// Whether these are authorities that can be trusted.
///
/// # Errors
/// There is no certificate, or one that can't be used.
pub fn check_authorities(pem: &[u8]) -> Result<(), ClientError> {
    install_provider();
    trusting(Client::builder().tls_certs_only([]), pem).map(drop)
}

fn install_provider() {
    // An error only says that the process has a provider already, which is all that is asked for.
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

/// One host, and the client that reaches it.
#[derive(Clone)]
pub(super) struct Http {
    pub(super) client: Client,
    pub(super) peer: Arc<Peer>,
}

impl Http {
    /// Sends `request` and waits for the answer's head, whatever its status.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let (client, request) = request.build_split();
        let request = request.map_err(|error| network::failure(&error, &self.peer))?;
        // The path alone: queries and bodies are Microsoft's and the credential's.
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let started = Instant::now();
        let answer = match timeout(self.peer.silence, client.execute(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(network::failure(&error, &self.peer)),
            Err(_) => Err(network::silent(&self.peer)),
        };
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let status = answer.as_ref().map_or(0, |it| it.status().as_u16());
        tracing::debug!(%method, host = self.peer.host, path, status, milliseconds, "asked Microsoft");
        let response = answer?;
        Ok(Answer {
            response,
            peer: Arc::clone(&self.peer),
            waited: started.elapsed(),
            received: 0,
            ending: None,
        })
    }
}

/// An answer whose body is still on its way.
pub(super) struct Answer {
    response: Response,
    peer: Arc<Peer>,
    /// Time spent waiting for the other side. While a reader rests (Kafka is away), no limit runs.
    waited: Duration,
    /// Bytes received so far, decompressed.
    received: usize,
    /// What came behind the piece handed out last: the body's end or a failure.
    ending: Option<reqwest::Result<()>>,
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next piece of the body, decompressed; a body longer than `max` bytes is a failure.
    pub(super) async fn chunk(&mut self, max: usize) -> Result<Option<Bytes>, Failure> {
        let left = self.peer.total.saturating_sub(self.waited);
        let started = Instant::now();
        let read = timeout(left.min(self.peer.silence), self.gather()).await;
        self.waited += started.elapsed();
        match read {
            Ok(Ok(Some(bytes))) => {
                self.received = self.received.saturating_add(bytes.len());
                if self.received > max {
                    return Err(network::too_large(&self.peer, max));
                }
                Ok(Some(bytes))
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => Err(network::failure(&error, &self.peer)),
            Err(_) if left <= self.peer.silence => Err(network::too_slow(&self.peer)),
            Err(_) => Err(network::silent(&self.peer)),
        }
    }

    /// Waits for a piece, and joins to it those that need no waiting.
    async fn gather(&mut self) -> reqwest::Result<Option<Bytes>> {
        if let Some(ending) = self.ending.take() {
            return ending.map(|()| None);
        }
        let Some(first) = self.response.chunk().await? else {
            return Ok(None);
        };
        let mut gathered = BytesMut::from(first);
        while gathered.len() < GATHER
            && let Some(next) = self.response.chunk().now_or_never()
        {
            match next {
                Ok(Some(piece)) => {
                    if gathered.capacity() - gathered.len() < piece.len() {
                        gathered.reserve(GATHER);
                    }
                    gathered.extend_from_slice(&piece);
                }
                Ok(None) => {
                    self.ending = Some(Ok(()));
                    break;
                }
                Err(error) => {
                    self.ending = Some(Err(error));
                    break;
                }
            }
        }
        Ok(Some(gathered.freeze()))
    }

    /// The whole body.
    pub(super) async fn body(&mut self, max: usize) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(bytes) = self.chunk(max).await? {
            body.extend_from_slice(&bytes);
        }
        Ok(body)
    }

    /// As much of an error's body as arrives in good order, at most 64 KiB: the status already says what matters.
    pub(super) async fn error_body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        let deadline = Instant::now() + self.peer.silence;
        while body.len() < MAX_ERROR_BODY && Instant::now() < deadline {
            match self.chunk(usize::MAX).await {
                Ok(Some(bytes)) => body.extend_from_slice(&bytes),
                Ok(None) | Err(_) => break,
            }
        }
        body.truncate(MAX_ERROR_BODY);
        body
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
