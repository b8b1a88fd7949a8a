//! The traits through which `runtime/` reaches the outside. Adapters implement them, and tests use fakes of them.
//!
//! Futures are boxed. An exchange with a network costs a thousand times more than the allocation, and with `dyn` each
//! tenant has its own source, credentials and record format without type parameters in the whole program.

mod clock;
mod delivery;
mod observer;
mod source;

pub use clock::Clock;
pub use delivery::{
    AlertRecords, Batch, Committed, Encoder, Item, Lease, Ledger, LedgerEntry, Outlet, Part,
    Publisher, Record, Records, Refused, TenantLedger, TransactionalLedger,
};
pub(crate) use observer::{Event, Observer};
pub use source::{AccessToken, Grant, IncidentSource, PageAsk, PageBody, Query, TokenSource};
