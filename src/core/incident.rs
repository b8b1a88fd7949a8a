//! What Microsoft's answers hold: how a page is cut into incidents, which members of an incident are read, and what
//! makes a version.

pub mod alert_list;
pub(crate) mod alert_version;
pub mod changes;
pub(crate) mod dead_letters;
pub mod further_alerts;
pub mod json;
mod members;
pub mod outline;
mod packed_id;
pub mod page;
pub mod reading;
pub(crate) mod significant;
pub mod version;
