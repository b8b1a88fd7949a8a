pub mod core;
pub mod ports;
pub mod runtime;
pub mod telemetry;
