//! What a reload would change: the document behind `/api/reload/preview`.

use serde::{Deserialize, Serialize};

/// A comparison of the files as they are with what the daemon uses. It contains no value of a key.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ReloadPreview {
    pub added: Vec<NamedTenant>,
    pub removed: Vec<NamedTenant>,
    pub changed: Vec<ChangedTenant>,
    pub untouched: usize,
    /// Keys of the whole daemon with new values that the reload takes.
    pub keys: Vec<String>,
    /// Keys with new values that need a restart.
    pub restart_needed: Vec<String>,
    pub warnings: Vec<String>,
    /// The report of the mistakes in the files: the reload would be refused, and change nothing.
    pub error: Option<String>,
}

/// A tenant of the files, or of the configuration in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NamedTenant {
    pub id: String,
    pub name: String,
}

/// A tenant whose settings differ.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChangedTenant {
    #[serde(flatten)]
    pub tenant: NamedTenant,
    /// The keys with other values. An earlier daemon does not say.
    #[serde(default)]
    pub keys: Vec<String>,
}
