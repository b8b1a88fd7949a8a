//! What connects a tenant to Microsoft, made from its settings: its token service and its incidents. The daemon and the
//! commands that inspect tenants use the same.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::microsoft::{AppCredential, ClientError, Clients, Entra, IncidentApi};
use crate::ports::{Clock, IncidentSource};
use crate::settings::{AppSettings, TenantSettings};

#[derive(Debug, thiserror::Error)]
#[error("the connection settings of tenant {tenant} can't be used")]
pub struct FleetError {
    tenant: Arc<str>,
    source: ClientError,
}

/// One tenant's token service and incidents.
pub struct Connector {
    pub entra: Entra,
    pub source: Arc<dyn IncidentSource>,
}

/// Makes connectors, and keeps what they share.
pub struct Connectors {
    clients: Clients,
    clock: Arc<dyn Clock>,
    /// One credential for all tenants of the same app registration, so that it is learned once which of two secrets is
    /// accepted.
    credentials: HashMap<Arc<AppSettings>, Arc<AppCredential>>,
}

impl Connectors {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clients: Clients::new(),
            clock,
            credentials: HashMap::new(),
        }
    }

    pub fn open(&mut self, tenant: &TenantSettings) -> Result<Connector, FleetError> {
        Ok(Connector {
            entra: self.entra(tenant)?,
            source: self.source(tenant)?,
        })
    }

    pub fn entra(&mut self, tenant: &TenantSettings) -> Result<Entra, FleetError> {
        let credential = self.credential(tenant).map_err(error(tenant))?;
        Entra::new(&self.clients, tenant.id, credential, &tenant.api).map_err(error(tenant))
    }

    pub fn source(&self, tenant: &TenantSettings) -> Result<Arc<dyn IncidentSource>, FleetError> {
        let client_id = tenant.app.client_id;
        let api = IncidentApi::new(&self.clients, tenant.id, client_id, &tenant.api);
        Ok(Arc::new(api.map_err(error(tenant))?))
    }

    /// Forgets the credentials that none of these tenants has.
    pub fn keep_only(&mut self, tenants: &[TenantSettings]) {
        let used: HashSet<&Arc<AppSettings>> = tenants.iter().map(|tenant| &tenant.app).collect();
        self.credentials.retain(|app, _| used.contains(app));
    }

    fn credential(&mut self, tenant: &TenantSettings) -> Result<Arc<AppCredential>, ClientError> {
        let app = &tenant.app;
        if let Some(made) = self.credentials.get(app) {
            return Ok(made.clone());
        }
        let made = AppCredential::new(app, &tenant.api, &self.clients, self.clock.clone())?;
        let made = Arc::new(made);
        self.credentials.insert(app.clone(), made.clone());
        Ok(made)
    }

    #[cfg(test)]
    pub fn credentials(&self) -> usize {
        self.credentials.len()
    }
}

fn error(tenant: &TenantSettings) -> impl Fn(ClientError) -> FleetError + '_ {
    |source| FleetError {
        tenant: tenant.name.clone(),
        source,
    }
}
