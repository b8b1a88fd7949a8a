//! A tenant's ways to Microsoft, from its settings: token service and incidents. The daemon and the commands that look at
//! tenants use the same.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::microsoft::{
    ClientError, Clients, Credential, Endpoint, Entra, EntraOptions, HttpOptions, IncidentApi,
    Secret, SourceOptions,
};
use crate::ports::IncidentSource;
use crate::settings::{self, AppSettings, SecretSource, TenantSettings, TokenEndpoint};

#[derive(Debug, thiserror::Error)]
#[error("the connection settings of tenant {tenant} can't be used")]
pub struct FleetError {
    tenant: Arc<str>,
    source: ClientError,
}

/// One tenant's ways to Microsoft.
pub struct Connector {
    pub entra: Entra,
    pub source: Arc<dyn IncidentSource>,
}

/// Opens connectors, and keeps what they share.
#[derive(Default)]
pub struct Connectors {
    clients: Clients,
    /// What each app registration proves itself with: one for all the tenants that have the same, so that it is learnt
    /// once which of two secrets serves.
    credentials: HashMap<Arc<AppSettings>, Arc<Credential>>,
}

impl Connectors {
    pub fn open(&mut self, tenant: &TenantSettings) -> Result<Connector, FleetError> {
        Ok(Connector {
            entra: self.entra(tenant)?,
            source: self.source(tenant)?,
        })
    }

    pub fn entra(&mut self, tenant: &TenantSettings) -> Result<Entra, FleetError> {
        let credential = self.credential(&tenant.app);
        Entra::new(&self.clients, entra(tenant, credential)).map_err(error(tenant))
    }

    pub fn source(&self, tenant: &TenantSettings) -> Result<Arc<dyn IncidentSource>, FleetError> {
        let api = IncidentApi::new(&self.clients, api(tenant)).map_err(error(tenant))?;
        Ok(Arc::new(api))
    }

    /// Forgets the credentials that none of these tenants has.
    pub fn keep_only(&mut self, tenants: &[TenantSettings]) {
        let used: HashSet<&Arc<AppSettings>> = tenants.iter().map(|tenant| &tenant.app).collect();
        self.credentials.retain(|app, _| used.contains(app));
    }

    fn credential(&mut self, app: &Arc<AppSettings>) -> Arc<Credential> {
        let made = self.credentials.entry(app.clone());
        made.or_insert_with(|| Arc::new(credential(&app.credential)))
            .clone()
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

fn credential(settings: &settings::Credential) -> Credential {
    match settings {
        settings::Credential::Secret { current, next } => {
            let current = match current {
                SecretSource::File(path) => Secret::File(path.clone()),
                SecretSource::Env { name, value } => Secret::Variable {
                    name: name.clone(),
                    value: value.clone(),
                },
            };
            match next {
                Some(next) => Credential::two_secrets(current, next.clone()),
                None => Credential::secret(current),
            }
        }
        settings::Credential::Federated(file) => Credential::federated(file.clone()),
    }
}

fn http(tenant: &TenantSettings) -> HttpOptions {
    HttpOptions {
        proxy: tenant.api.proxy.clone(),
        authorities: tenant.api.ca_file.as_ref().map(|file| file.pem.clone()),
        silence: tenant.api.request_timeout,
    }
}

fn entra(tenant: &TenantSettings, credential: Arc<Credential>) -> EntraOptions {
    EntraOptions {
        http: http(tenant),
        tenant: tenant.id,
        client_id: tenant.app.client_id,
        credential,
        login_url: tenant.api.login_url.clone(),
        scope: tenant.api.scope.clone(),
        endpoint: match tenant.api.token_endpoint {
            TokenEndpoint::V1 => Endpoint::V1,
            TokenEndpoint::V2 => Endpoint::V2,
        },
        permission: tenant.api.source.facts().permission,
    }
}

fn api(tenant: &TenantSettings) -> SourceOptions {
    SourceOptions {
        source: tenant.api.source,
        http: http(tenant),
        base_url: tenant.api.base_url.clone(),
        max_response: tenant.api.max_response,
        tenant: tenant.id,
        client_id: tenant.app.client_id,
        login_url: tenant.api.login_url.clone(),
        scope: tenant.api.scope.clone(),
    }
}
