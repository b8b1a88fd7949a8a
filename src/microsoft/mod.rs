//! Microsoft's side: tokens from Entra and incidents from Defender XDR or Microsoft Graph.
//!
//! Role: each call is one exchange over HTTP, whose outcome is a value or a [`Failure`](crate::core::health::failure::Failure)
//! in the operator's words. Caching, renewal, repetition, budgets and paging are the runtime's.
//!
//! Invariants:
//! - A token goes to the configured scheme, host and port, and nowhere else: redirects are not followed, and a nextLink
//!   that leads elsewhere is refused.
//! - Neither a secret nor an assertion nor a token is in any `Failure` or `Debug` text, even when the other side echoes them.
//! - Whatever the other side does, an exchange ends: silence, time in all and size are bounded, error bodies too.
//!
//! Failure modes are told apart by HTTP status and Microsoft's own `error`/`code`; AADSTS numbers only refine the hint.

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
