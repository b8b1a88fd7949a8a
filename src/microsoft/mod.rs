//! Microsoft's side: tokens from Entra and incidents from Defender XDR or Microsoft Graph.
//!
//! Role: each call is one exchange over HTTP. Its outcome is a value or a [`Failure`](crate::core::health::failure::Failure)
//! in the operator's words. The runtime caches and renews tokens, repeats requests, keeps budgets and turns pages. What is
//! known about each API is a table in [`crate::core::sources`]; each kind of credential is a file in `credential`.
//!
//! Invariants:
//! - A token goes to the configured scheme, host and port, and nowhere else: redirects are not followed, and a nextLink
//!   that leads elsewhere is refused.
//! - Neither a secret nor an assertion nor a token is in any `Failure` or `Debug` text, even when the other side echoes them.
//! - Every exchange ends: silence, total time and size are bounded, for error bodies too.
//!
//! HTTP status and Microsoft's own `error` or `code` decide what a failure is. AADSTS numbers only refine the remedy.

mod challenge;
mod consent;
mod credential;
mod entra;
mod errors;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod jwt;
mod proxy;
mod resolver;
mod retry_after;
mod roles;
mod scrub;
mod source;
mod transient;
mod transport;
mod workers;

pub use consent::{REDIRECT_URI, any_tenant_link, consent_link};
pub use credential::AppCredential;
pub use entra::{Claims, Entra, IssuedToken};
pub use http::{ClientError, Clients, check_authorities};
pub use resolver::LookUp;
pub use roles::{Role, RoleUse};
pub use source::IncidentApi;

#[cfg(test)]
mod tests;
