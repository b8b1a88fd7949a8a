//! The acting part: tasks, timers, limits. It decides nothing that `core/` can decide, and reaches the world only
//! through the traits of [`crate::ports`].
//!
//! [`scheduler`] reports firings; [`dispatcher`] turns them into sweeps, each tenant at its own place in the period;
//! [`sweeper`] makes one sweep, with `intake` for what the pages hold; [`outlet`] publishes and records;
//! [`tokens`] keeps a good token for each tenant; [`limits`] holds what all share; [`board`] knows how each tenant is, and
//! `bulletin` tells it to the log; [`fleet`] is who is to be read, and changes at a reload; [`pulse`] shows that the parts are
//! alive; [`supervisor`] notices a task that ended unasked.

pub mod board;
mod bulletin;
pub mod dispatcher;
#[cfg(test)]
mod fakes;
pub mod fleet;
pub mod herald;
mod intake;
pub mod limits;
pub mod outlet;
pub mod pulse;
mod reader;
pub mod scheduler;
mod standing;
pub mod supervisor;
pub mod sweeper;
pub mod tenant;
pub mod tokens;
mod waiting;
