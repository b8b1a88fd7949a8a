//! Where tokens and incidents come from.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use secrecy::SecretString;

use crate::core::health::expiry::CredentialEnd;
use crate::core::health::failure::Failure;
use crate::core::incident::reading::Shape;
pub use crate::core::sweep::pager::{PageAsk, Query};
use crate::core::time::ticks::Ticks;

/// A bearer token. Two tokens are the same when they came from the same exchange.
#[derive(Clone)]
pub struct AccessToken(Arc<SecretString>);

impl AccessToken {
    /// The token of one exchange: another call with the same text makes another token.
    pub fn new(token: SecretString) -> Self {
        Self(Arc::new(token))
    }

    pub(crate) fn secret(&self) -> &SecretString {
        &self.0
    }

    pub(crate) fn same_as(&self, other: &AccessToken) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken([redacted])")
    }
}

/// The answer to one token request. Its claims are already checked.
#[derive(Debug, Clone)]
pub struct Grant {
    /// What to send with each request.
    pub token: AccessToken,
    /// How long the token lives from now, as the answer's `expires_in` says.
    pub lifetime: Duration,
    /// The application permissions in it, to show them. `None`: it can't be read.
    pub roles: Option<Arc<[String]>>,
}

/// Gets tokens for one tenant. The runtime does caching, renewal and single flight.
pub trait TokenSource: Send + Sync {
    /// The token service. A 429 pauses all token requests to one authority, and no others.
    fn authority(&self) -> &str;

    /// One exchange. Reads the credential anew each time, so that a rotated secret file needs no restart.
    fn request(&self) -> BoxFuture<'_, Result<Grant, Failure>>;

    /// Changes when the files of the credential change. Constant for a credential without files. Reads the files' metadata
    /// only, which may block.
    fn credential_stamp(&self) -> u64 {
        0
    }

    /// Where an administrator of the tenant consents to the app.
    fn consent_link(&self) -> Option<String> {
        None
    }

    /// The credential and its end, if that is known. May read a small file, which may block.
    fn credential_end(&self) -> Option<CredentialEnd> {
        None
    }
}

/// One tenant's incidents.
pub trait IncidentSource: Send + Sync {
    /// `defender`, …: the label in metrics and status.
    fn name(&self) -> &'static str;

    /// The names of the fields that this program reads.
    fn shape(&self) -> &'static Shape;

    /// Whether it can list incidents without their alerts. Alerts make most of a page's size.
    fn lists_bare(&self) -> bool {
        false
    }

    /// The largest page, and so the largest incident, in bytes.
    fn max_response(&self) -> usize;

    /// Requests one page. Returns when the head of a good answer has arrived. Anything else is a [`Failure`].
    fn open<'a>(
        &'a self,
        ask: &'a PageAsk,
        token: &'a AccessToken,
    ) -> BoxFuture<'a, Result<Box<dyn PageBody>, Failure>>;

    /// How many extra requests were sent since the last call. A request is sent again when its connection was just being
    /// closed.
    fn take_resent(&self) -> u32 {
        0
    }
}

/// The body of one page as it arrives.
pub trait PageBody: Send {
    /// The response's `Date`, if it has one.
    fn date(&self) -> Option<Ticks>;

    /// Why the page is incomplete although its body is whole (a 206). Its incidents are published, and the cursor stays.
    fn partial(&self) -> Option<String> {
        None
    }

    /// Why this nextLink is not followed; `None`: it is. The token is sent to where it leads, so it must stay within the
    /// configured scheme, host and port.
    fn refuses(&self, _link: &str) -> Option<Failure> {
        None
    }

    /// The next piece, decompressed; `None` at the end. The adapter limits silence and total length.
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Failure>>;
}
