//! What people report elsewhere, played to the shipped binary by a scripted Microsoft and against a real Apache Kafka:
//! nothing that one tenant is sent hides an incident, floods the consumers or holds the neighbours up.

mod incident;
mod neighbours;
mod rollout;
