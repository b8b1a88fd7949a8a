//! Time as data: instants, schedules, where in its period a tenant is swept, and what the wall clock does.

pub mod schedule;
pub mod spread;
pub mod ticks;
pub mod wallclock;
