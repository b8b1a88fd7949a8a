//! Who may ask an API, and how often.

use std::sync::Arc;

use uuid::Uuid;

use super::entra::{Entra, Issued, Resource};
use super::quota::{Method, Quotas};
use super::world::World;

#[derive(Clone)]
pub(super) struct Gate {
    pub world: World,
    pub entra: Arc<Entra>,
    pub quotas: Option<Arc<Quotas>>,
    pub resource: &'static Resource,
}

/// Why a request is turned away. Each API has its own words for it.
pub(super) enum Denied {
    NoToken,
    UnknownToken,
    /// Expired, or another resource's.
    WrongToken(Issued),
    /// For so many seconds.
    Throttled(i64),
    /// These are the permissions that its token has.
    NoRole(Vec<String>),
    Unlicensed,
}

impl Gate {
    /// The tenant that may be shown.
    pub fn admit(&self, bearer: Option<&str>, method: Method) -> Result<Uuid, Denied> {
        let token = bearer.ok_or(Denied::NoToken)?;
        let issued = self.entra.find(token).ok_or(Denied::UnknownToken)?;
        let now = self.world.now();
        if issued.audience != self.resource.uri || now >= issued.until {
            return Err(Denied::WrongToken(issued));
        }
        if let Some(quotas) = &self.quotas {
            let taken = quotas.take(issued.tenant, issued.app, method, now);
            taken.map_err(Denied::Throttled)?;
        }
        let readers = &self.resource.readers;
        if !issued
            .roles
            .iter()
            .any(|role| readers.contains(&role.as_str()))
        {
            return Err(Denied::NoRole(issued.roles));
        }
        match self.world.tenant(issued.tenant) {
            Some(tenant) if tenant.licensed => Ok(issued.tenant),
            _ => Err(Denied::Unlicensed),
        }
    }
}
