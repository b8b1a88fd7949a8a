//! Time as data: instants, schedules, a tenant's place in its period, and changes of the wall clock.

pub(crate) mod schedule;
pub(crate) mod spread;
pub mod ticks;
pub(crate) mod wallclock;
