//! What the command reads of `/api/status`.
//!
//! These types are not those of [`crate::core::health::status`], which are strict: the daemon may be older or newer than
//! this binary. Unknown fields are ignored, missing ones count as not known, and a state is any word.

use serde::Deserialize;

use crate::core::format::{counted, tame};

pub const OK: &str = "ok";

#[derive(Debug, Deserialize)]
pub struct StatusDocument {
    #[serde(default)]
    pub version: String,
    #[serde(default)]
    pub started: Option<String>,
    pub state: String,
    #[serde(default)]
    pub configuration: ConfigurationFields,
    #[serde(default)]
    pub alarms: Vec<AlarmFields>,
    /// Worst first.
    pub tenants: Vec<TenantFields>,
    pub kafka: PartFields,
    pub ledger: PartFields,
    /// Of a ledger that several processes share.
    #[serde(default)]
    pub ownership: Option<OwnershipFields>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct OwnershipFields {
    pub partitions: Vec<PartitionFields>,
    pub member: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PartitionFields {
    pub id: u16,
    pub state: String,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub struct AlarmFields {
    pub cause: String,
    pub state: String,
    pub tenants: usize,
    pub since: Option<String>,
    pub error: String,
    pub remedy: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TenantFields {
    pub id: String,
    pub name: String,
    pub source: String,
    pub state: String,
    pub since: Option<String>,
    pub remedy: Option<String>,
    pub error: Option<String>,
    pub lag_seconds: Option<u64>,
    pub last_success: Option<String>,
    pub published: u64,
    pub backfill: Option<BackfillFields>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct BackfillFields {
    pub from: Option<String>,
    pub to: Option<String>,
    pub open_seconds: u64,
    pub error: Option<String>,
}

/// The result of the last reload. An older daemon does not report it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ConfigurationFields {
    pub state: String,
    pub loaded: Option<String>,
    /// Keys whose new values wait for a restart.
    pub restart_needed: Vec<String>,
    pub error: Option<String>,
}

impl ConfigurationFields {
    pub fn is_refused(&self) -> bool {
        self.state == "refused"
    }
}

/// Kafka, or the ledger.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PartFields {
    pub state: String,
    pub error: Option<String>,
    pub remedy: Option<String>,
    /// Kafka's.
    pub in_flight_bytes: Option<u64>,
    /// The ledger's.
    pub kind: Option<String>,
    pub versions: Option<u64>,
}

impl StatusDocument {
    /// What is wrong, in one line; `None`: nothing.
    pub fn trouble(&self) -> Option<String> {
        let mut troubles = Vec::new();
        let ill = self.tenants.iter().filter(|it| it.state != OK).count();
        if ill > 0 {
            let all = counted(self.tenants.len(), "tenant");
            let verb = if ill == 1 { "is" } else { "are" };
            troubles.push(format!("{ill} of {all} {verb} not ok"));
        }
        for (name, part) in [("Kafka", &self.kafka), ("the ledger", &self.ledger)] {
            if part.state != OK {
                troubles.push(format!("{name} is {}", tame(&part.state)));
            }
        }
        if self.configuration.is_refused() {
            troubles.push("the last reload was refused".to_owned());
        }
        (!troubles.is_empty()).then(|| troubles.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_version_s_document_is_read_as_far_as_it_is_known() {
        let text = r#"{"version":"9.0.0","state":"dancing","surprise":[1],"tenants":[{"name":"a","state":"asleep","mood":{}}],
            "kafka":{"state":"ok","lag":1},"ledger":{"state":"ok"}}"#;
        let report: StatusDocument = serde_json::from_str(text).unwrap();
        assert_eq!(report.tenants[0].state, "asleep");
        assert_eq!(report.trouble().as_deref(), Some("1 of 1 tenant is not ok"));
    }

    #[test]
    fn what_is_no_status_is_not_taken_for_one() {
        for text in ["", "{}", "[]", r#"{"state":"ok"}"#, "<html>"] {
            assert!(
                serde_json::from_str::<StatusDocument>(text).is_err(),
                "{text}"
            );
        }
    }
}
