//! The traits through which `runtime/` reaches the world. Adapters implement them; tests have fakes of them.
//!
//! Futures are boxed: an exchange with a network costs a thousand times the allocation, and `dyn` lets every tenant have
//! its own source, credentials and record format without a type parameter running through the whole program.

mod clock;
mod delivery;
mod observer;
mod source;

pub use clock::Clock;
pub use delivery::{
    Batch, Committed, Encoder, Item, Lease, Ledger, LedgerEntry, Outlet, Part, Publisher, Record,
    Records, Refused,
};
pub use observer::{Event, Observer};
pub use source::{AccessToken, Grant, IncidentSource, PageAsk, PageBody, Query, TokenSource};
