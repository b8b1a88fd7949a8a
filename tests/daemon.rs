//! The binary as a process, against the simulator and a real Apache Kafka: what an operator sees of it.

mod notify;
mod outputs;
mod records;
mod reload;
mod starting;
mod stopping;
mod surface;
