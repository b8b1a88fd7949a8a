pub mod core;
pub mod ports;
#[cfg(feature = "demo")]
pub mod simulator;
