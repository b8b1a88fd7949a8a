pub mod core;
pub mod microsoft;
pub mod ports;
