//! A tenant as the runtime sees it: its ports and its rules.

use std::sync::Arc;
use std::time::Duration;

use super::tokens::TokenKeeper;
use crate::core::ids::TenantId;
use crate::core::incident::version::Deduplicate;
use crate::core::sweep::cursor::Reach;
use crate::core::time::schedule::Schedule;
use crate::ports::{Encoder, IncidentSource};

/// The tenant's settings for reading it.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How far back the first sweep reads.
    pub lookback: Duration,
    pub reach: Reach,
    pub deduplicate: Deduplicate,
    /// Incidents per page.
    pub page_size: u32,
}

/// A tenant with its settings. A reload that changes a setting makes a new value.
pub struct Tenant {
    pub id: TenantId,
    pub name: Arc<str>,
    pub schedule: Schedule,
    pub rules: Rules,
    pub source: Arc<dyn IncidentSource>,
    pub tokens: Arc<TokenKeeper>,
    pub encoder: Arc<dyn Encoder>,
}
