//! How a tenant and the daemon are: failures in the operator's words, alarms for what tenants share, and the document that
//! shows it all.

pub mod alarms;
pub mod failure;
pub mod status;
