//! The two limits that all tenants share: sweeps at work ([`Slots`]), and bytes in memory ([`ByteBudget`]). Both are made
//! so that no tenant can hold another up.

mod bytes;
mod gate;
mod slots;

pub use bytes::{ByteBudget, Charge};
pub use slots::{Crowded, Lane, Slot, Slots};
