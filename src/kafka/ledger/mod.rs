//! The ledger in Kafka: what was published lives in a compacted topic, and each commit writes records and ledger rows in one
//! transaction. A `read_committed` consumer sees each version once, whatever dies.
//!
//! Design: one transactional producer for each partition of the ledger's topic that this process owns. A consumer group
//! assigns the partitions; a tenant belongs to the partition that its id hashes to ([`crate::core::ownership`]). Safety does
//! not depend on the group: a new owner first fences the old one, and then reads what was committed.

mod broker_version;
mod check;
mod commits;
mod epoch;
mod group_events;
mod import;
mod kafka_ledger;
mod log;
mod log_error;
mod look;
mod members;
mod membership;
mod memory;
#[cfg(test)]
mod model;
mod owned;
mod owner;
mod partition;
mod producer_events;
mod restart_pauses;
mod restore;
mod rows;
mod setup;
mod tenant;
#[cfg(test)]
mod tests;
mod topic;
mod transactional;
mod unconfigured;
mod worker;
mod workers;

pub(crate) use check::inspect_ledger;
pub(crate) use import::FencedLedger;
pub(crate) use kafka_ledger::KafkaLedger;
pub(crate) use look::LedgerTopic;
