//! The binary as a process, with the simulator and a real Apache Kafka: what an operator sees.

mod notify;
mod outputs;
mod records;
mod reload;
mod starting;
mod stopping;
mod surface;
