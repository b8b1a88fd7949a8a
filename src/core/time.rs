//! Time as data: instants, schedules, a tenant's place in its period, and changes of the wall clock.

pub mod schedule;
pub mod spread;
pub mod ticks;
pub mod wallclock;
