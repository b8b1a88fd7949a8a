//! The two limits that all tenants share: sweeps that work at once ([`Permits`]), and bytes in memory ([`ByteBudget`]).
//! Both are made so that no tenant can hold up another. The module also limits the work between two yields
//! ([`Stretch`], [`do_work`]).

mod bytes;
mod gate;
mod permits;
mod work;

pub use bytes::{ByteBudget, Charge};
pub use permits::{Lane, Permit, Permits, TooManyWaiting};
pub use work::{Stretch, do_work};
