//! Ids of tenants and incidents.
//!
//! Incident ids are counters *per tenant*: 1042 exists in every tenant. An [`IncidentId`] identifies nothing outside its
//! tenant, so every key in the ledger and on Kafka has both.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A customer's Entra tenant (directory) id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Uuid);

impl TenantId {
    /// The 16 bytes of the GUID, in the order of its text form.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id with these bytes, in the order in which a GUID is written.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TenantId {
    type Err = NotAGuid;

    /// Accepts the hyphenated form only: braces, `urn:uuid:` and bare hex are signs that something else was pasted by mistake.
    fn from_str(text: &str) -> Result<Self, NotAGuid> {
        if text.len() != 36 {
            return Err(NotAGuid);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| NotAGuid)
    }
}

/// Why a text is no id of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a GUID of the form 11111111-1111-1111-1111-111111111111")]
pub struct NotAGuid;

/// An incident's number within its tenant.
///
/// The Defender API documents `long`, Graph a string of digits; both are the number in the portal. It has 64 bits: ids beyond
/// 2^53 exist, and a double would merge neighbours.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct IncidentId(pub u64);

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
