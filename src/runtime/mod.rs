//! The acting part: tasks, timers, limits. It decides nothing that `core/` can decide, and reaches the world only
//! through the traits of [`crate::ports`].

pub mod limits;
pub mod tokens;
