//! How fast a tenant is read: its request budget, the pauses that Microsoft asks for, and the pause after a failure.

pub mod backoff;
pub mod budget;
pub mod throttle;
