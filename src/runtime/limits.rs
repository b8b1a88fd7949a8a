//! The two limits that all tenants share: sweeps at work ([`Permits`]), and bytes in memory ([`ByteBudget`]). Both are made
//! so that no tenant can hold another up. And what a sweep may do between two yields ([`Stretch`], [`do_work`]).

mod bytes;
mod gate;
mod permits;
mod work;

pub use bytes::{ByteBudget, Charge};
pub use permits::{Lane, Permit, Permits, TooManyWaiting};
pub use work::{Stretch, do_work};
