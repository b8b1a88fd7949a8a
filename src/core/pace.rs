//! How fast a tenant is read: its request budget, the pauses that Microsoft asks for, and the pause after a failure.

pub mod backoff;
pub(crate) mod budget;
pub(crate) mod throttle;
