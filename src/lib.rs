pub mod core;
pub mod ledger;
pub mod ports;
pub mod record;
