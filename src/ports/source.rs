//! Where tokens and incidents come from.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use secrecy::SecretString;

use crate::core::health::failure::Failure;
use crate::core::incident::reading::Shape;
pub use crate::core::sweep::pager::{PageAsk, Query};
use crate::core::time::ticks::Ticks;

/// A bearer token. Two tokens are the same when they came from the same exchange.
#[derive(Clone)]
pub struct AccessToken(Arc<SecretString>);

impl AccessToken {
    pub fn new(token: SecretString) -> Self {
        Self(Arc::new(token))
    }

    pub fn secret(&self) -> &SecretString {
        &self.0
    }

    pub fn same_as(&self, other: &AccessToken) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken([redacted])")
    }
}

/// The answer to one token request, its claims already found fit for the purpose.
#[derive(Debug, Clone)]
pub struct Grant {
    pub token: AccessToken,
    /// How long the token lives from now, as the answer's `expires_in` says.
    pub lifetime: Duration,
}

/// One tenant's way to a token. Caching, renewal and single flight are the runtime's.
pub trait TokenSource: Send + Sync {
    /// The token service asked. A 429 pauses all token requests of one authority, and no others.
    fn authority(&self) -> &str;

    /// One exchange. Reads the credential anew each time, so that a rotated secret file needs no restart.
    fn request(&self) -> BoxFuture<'_, Result<Grant, Failure>>;

    /// Changes when the files of the credential do; always the same for one that has none. Costs a look at the files'
    /// metadata, no more: not for a thread that must not block.
    fn credential_stamp(&self) -> u64 {
        0
    }

    /// When the credential ends, where it says so itself. May read a small file: not for a thread that must not block.
    fn credential_expires(&self) -> Option<Ticks> {
        None
    }
}

/// One tenant's incidents.
pub trait IncidentSource: Send + Sync {
    /// `defender`, … : the label of metrics and status.
    fn name(&self) -> &'static str;

    /// What this API calls the fields that are acted upon.
    fn shape(&self) -> &'static Shape;

    /// Whether it can list incidents without their alerts, which are what makes a page heavy.
    fn lists_bare(&self) -> bool {
        false
    }

    /// Bytes of one page, and so of one incident, that it lets through.
    fn max_response(&self) -> usize;

    /// Asks for one page. Returns when the head of a good answer has arrived; anything else is a [`Failure`].
    fn open<'a>(
        &'a self,
        ask: &'a PageAsk,
        token: &'a AccessToken,
    ) -> BoxFuture<'a, Result<Box<dyn PageBody>, Failure>>;

    /// Requests that were sent beside those asked for since this was called last: one that met a connection which was just
    /// being closed is sent once more.
    fn take_resent(&self) -> u32 {
        0
    }
}

/// The body of one page as it arrives.
pub trait PageBody: Send {
    /// The response's `Date`, when it had one.
    fn date(&self) -> Option<Ticks>;

    /// Why the page is known to be incomplete though its body is whole (a 206). What it holds is published, and the
    /// cursor stays where it is.
    fn partial(&self) -> Option<String> {
        None
    }

    /// Why a nextLink that this page holds is not followed; `None`: it is. The token goes where it leads, so none is
    /// followed that leaves the configured scheme, host and port.
    fn refuses(&self, _link: &str) -> Option<Failure> {
        None
    }

    /// The next piece, decompressed; `None` at the end. Silence and length in all are bounded by the adapter.
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Failure>>;
}
