//! The acting part: tasks, timers, limits. It decides nothing that `core/` can decide, and reaches the outside world
//! only through the traits of [`crate::ports`].
//!
//! [`scheduler`] sends firings; [`dispatcher`] runs sweeps as [`crate::core::agenda`] decides, and takes [`commands`];
//! [`sweep`] is one sweep: its `pages`, and its `batch` of what to publish; [`local_outlet`] publishes and then records, and
//! [`transactional_outlet`] does both in one transaction; [`assignment`] hands the dispatcher the tenants that this process
//! owns; [`tokens`] keeps a valid token for each tenant; [`limits`] holds what all sweeps share; [`health`] holds and
//! reports the health of each tenant; [`fleet`] is the list of tenants, which a reload or another assignment replaces;
//! [`liveness`] shows that the parts make progress; [`supervisor`] notices a task that ended before the stop.

pub(crate) mod assignment;
pub(crate) mod commands;
pub(crate) mod dispatcher;
mod edge;
#[cfg(test)]
mod fakes;
pub(crate) mod fleet;
pub(crate) mod health;
pub(crate) mod limits;
pub(crate) mod liveness;
pub mod local_outlet;
mod oldest;
mod outlet_items;
pub(crate) mod scheduler;
pub(crate) mod supervisor;
pub(crate) mod sweep;
pub(crate) mod tenant;
pub(crate) mod tokens;
pub(crate) mod transactional_outlet;
