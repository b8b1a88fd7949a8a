//! The acting part: tasks, timers, limits. It decides nothing that `core/` can decide, and reaches the outside world
//! only through the traits of [`crate::ports`].
//!
//! [`scheduler`] sends firings; [`dispatcher`] runs sweeps as [`crate::core::agenda`] decides, and takes [`commands`];
//! [`sweep`] is one sweep: its `pages`, and its `batch` of what to publish; [`local_outlet`] publishes and records;
//! [`tokens`] keeps a valid token for each tenant; [`limits`] holds what all sweeps share; [`health`] holds and reports
//! the health of each tenant; [`fleet`] is the list of tenants, which a reload replaces; [`liveness`] shows that the
//! parts make progress; [`supervisor`] notices a task that ended before the stop.

pub mod commands;
pub mod dispatcher;
mod edge;
#[cfg(test)]
mod fakes;
pub mod fleet;
pub mod health;
pub mod limits;
pub mod liveness;
pub mod local_outlet;
mod oldest;
pub mod scheduler;
pub mod supervisor;
pub mod sweep;
pub mod tenant;
pub mod tokens;
