//! Microsoft's side: tokens from Entra and incidents from Defender XDR or Microsoft Graph.
//!
//! Role: each call is one HTTP exchange. Its outcome is a value or a [`Failure`](crate::core::health::failure::Failure)
//! in the operator's words. The runtime caches and renews tokens, repeats requests, keeps budgets and reads page after
//! page. The facts about each API are a table in [`crate::core::sources`]; each kind of credential is a file in
//! `credential`.
//!
//! Invariants:
//! - A token goes only to the configured scheme, host and port: redirects are not followed, and a nextLink to another
//!   host is refused.
//! - No secret, assertion or token is in any `Failure` or `Debug` text, even if the other side repeats it.
//! - Every exchange ends: silence, total time and size are bounded, also for error bodies.
//!
//! HTTP status and Microsoft's own `error` or `code` decide the kind of a failure. AADSTS numbers only refine the
//! remedy.

mod challenge;
mod consent;
mod credential;
mod entra;
mod errors;
mod files;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod grant;
mod http;
mod identity;
mod jwt;
mod key_vault;
mod proxy;
mod resolver;
mod retry_after;
mod roles;
mod scrub;
mod source;
mod transient;
mod transport;

pub(crate) use consent::{REDIRECT_URI, any_tenant_link, consent_link};
pub use credential::AppCredential;
pub(crate) use credential::check_certificate;
pub use entra::Entra;
pub(crate) use entra::{Claims, IssuedToken};
pub use http::Clients;
pub(crate) use http::{ClientError, check_authorities};
pub(crate) use roles::{Role, RoleUse};
pub use source::IncidentApi;

#[cfg(test)]
mod tests;
