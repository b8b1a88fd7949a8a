//! Faults that users report elsewhere, played to the shipped binary by a scripted Microsoft and with a real Apache
//! Kafka: nothing that one tenant receives hides an incident, floods the consumers or delays other tenants.

mod incident;
mod neighbours;
mod rollout;
