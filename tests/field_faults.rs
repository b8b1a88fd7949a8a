//! What people report elsewhere, played to the shipped binary by a scripted Microsoft and against a real Apache Kafka:
//! nothing that one tenant is sent hides an incident, floods the consumers or holds the neighbours up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Real processes are waited for in real time.
#![allow(clippy::disallowed_methods)]

#[path = "field_faults/incident.rs"]
mod incident;
#[path = "field_faults/neighbours.rs"]
mod neighbours;
#[path = "field_faults/rollout.rs"]
mod rollout;
mod support;
