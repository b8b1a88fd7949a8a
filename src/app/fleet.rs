//! From settings to tenants with their ports.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::settings::{
    self, AppSettings, RecordFormat, SecretSource, Settings, SourceKind, TenantSettings,
    TokenEndpoint,
};
use crate::core::cursor::Reach;
use crate::core::ids::TenantId;
use crate::microsoft::{
    ClientError, Clients, Credential, DEFENDER, Defender, Endpoint, Entra, EntraOptions, GRAPH,
    Graph, HttpOptions, Secret, SourceOptions,
};
use crate::ports::{IncidentSource, TokenSource};
use crate::record::{Format, Recipe, RecordEncoder};
use crate::runtime::fleet::Fleet;
use crate::runtime::tenant::{Parts, Rules, Tenant};
use crate::runtime::tokens::{Desk, TokenKeeper};

/// The sources that tenants can be read from, as metrics name them.
pub const SOURCES: [&str; 2] = ["defender", "graph"];

#[derive(Debug, thiserror::Error)]
#[error("the connection settings of tenant {tenant} can't be used")]
pub struct FleetError {
    tenant: Arc<str>,
    source: ClientError,
}

/// Builds tenants, at the start and at each reload, and keeps what they share.
pub struct Builder {
    clients: Clients,
    desk: Desk,
    /// What each app registration proves itself with: one for all the tenants that have the same.
    credentials: Vec<(Arc<AppSettings>, Arc<Credential>)>,
}

/// A fleet, and the settings it was built from.
#[derive(Clone, Copy)]
pub struct Before<'a> {
    pub settings: &'a Settings,
    pub fleet: &'a Fleet,
}

impl Builder {
    pub fn new(desk: Desk) -> Self {
        Self {
            clients: Clients::new(),
            desk,
            credentials: Vec::new(),
        }
    }

    /// The tenants of `settings`. Those whose settings are as they were `before` are the same ones; others keep their
    /// tokens, when nothing of what those are got with has changed.
    ///
    /// # Errors
    /// [`FleetError`]; nothing has changed then.
    pub fn build(
        &mut self,
        settings: &Settings,
        before: Option<Before<'_>>,
    ) -> Result<Fleet, FleetError> {
        let known: HashMap<TenantId, (&TenantSettings, &Arc<Tenant>)> = before
            .iter()
            .flat_map(|before| before.settings.tenants.iter().zip(before.fleet.iter()))
            .map(|(settings, tenant)| (settings.id, (settings, tenant)))
            .collect();
        let same_records = before.is_some_and(|before| same_records(before.settings, settings));
        let build = |tenant: &TenantSettings| match known.get(&tenant.id) {
            Some((was, same)) if same_records && *was == tenant => Ok(Arc::clone(same)),
            Some((was, former)) if same_tokens(was, tenant) => {
                self.tenant(tenant, settings, Some(former.tokens.clone()))
            }
            _ => self.tenant(tenant, settings, None),
        };
        let fleet = settings.tenants.iter().map(build).collect();
        self.credentials.retain(|(app, _)| {
            settings
                .tenants
                .iter()
                .any(|tenant| Arc::ptr_eq(&tenant.app, app) || tenant.app == *app)
        });
        fleet
    }

    /// Tenants with equal app settings share one: which of two secrets serves is learnt once.
    fn credential(&mut self, app: &Arc<AppSettings>) -> Arc<Credential> {
        let known = self
            .credentials
            .iter()
            .find(|(of, _)| Arc::ptr_eq(of, app) || of == app);
        if let Some((_, credential)) = known {
            return credential.clone();
        }
        let credential = Arc::new(credential(&app.credential));
        self.credentials.push((app.clone(), credential.clone()));
        credential
    }

    fn tenant(
        &mut self,
        tenant: &TenantSettings,
        settings: &Settings,
        tokens: Option<Arc<TokenKeeper>>,
    ) -> Result<Arc<Tenant>, FleetError> {
        let connection = |source| FleetError {
            tenant: tenant.name.clone(),
            source,
        };
        let tokens = match tokens {
            Some(tokens) => tokens,
            None => {
                let credential = self.credential(&tenant.app);
                let entra = Entra::new(&self.clients, entra(tenant, &credential));
                let source: Arc<dyn TokenSource> = Arc::new(entra.map_err(connection)?);
                Arc::new(TokenKeeper::new(tenant.id, source, self.desk.clone()))
            }
        };
        let source: Arc<dyn IncidentSource> = match tenant.api.source {
            SourceKind::Defender => {
                Arc::new(Defender::new(&self.clients, api(tenant)).map_err(connection)?)
            }
            SourceKind::Graph => {
                Arc::new(Graph::new(&self.clients, api(tenant)).map_err(connection)?)
            }
        };
        Ok(Arc::new(Tenant::new(Parts {
            id: tenant.id,
            name: tenant.name.clone(),
            schedule: tenant.poll.schedule.clone(),
            rules: rules(tenant),
            source,
            tokens,
            encoder: Arc::new(encoder(tenant, settings)),
        })))
    }
}

/// Whether records are made in the same way.
fn same_records(before: &Settings, after: &Settings) -> bool {
    let of = |settings: &Settings| {
        let kafka = &settings.kafka;
        (
            kafka.format,
            kafka.status_topic.clone(),
            kafka.dead_letter_topic.clone(),
        )
    };
    of(before) == of(after)
}

/// Whether a tenant's tokens are got in the same way, for the same purpose.
fn same_tokens(before: &TenantSettings, after: &TenantSettings) -> bool {
    fn of(tenant: &TenantSettings) -> impl PartialEq {
        let api = &tenant.api;
        (
            tenant.app.clone(),
            (api.source, api.login_url.clone(), api.scope.clone()),
            (api.token_endpoint, api.proxy.clone(), api.ca_file.clone()),
            api.request_timeout,
        )
    }
    of(before) == of(after)
}

fn credential(settings: &settings::Credential) -> Credential {
    match settings {
        settings::Credential::Secret { current, next } => {
            let current = match current {
                SecretSource::File(path) => Secret::File(path.clone()),
                SecretSource::Env { value, .. } => Secret::Value(value.clone()),
            };
            match next {
                Some(next) => Credential::two_secrets(current, next.clone()),
                None => Credential::secret(current),
            }
        }
        settings::Credential::Federated(file) => Credential::federated(file.clone()),
    }
}

fn encoder(tenant: &TenantSettings, settings: &Settings) -> RecordEncoder {
    RecordEncoder::new(Recipe {
        tenant: tenant.id,
        name: tenant.name.clone(),
        source: tenant
            .api
            .base_url
            .as_str()
            .trim_end_matches('/')
            .to_owned(),
        topic: tenant.topic.clone(),
        format: match settings.kafka.format {
            RecordFormat::CloudEvents => Format::CloudEvents,
            RecordFormat::Raw => Format::Raw,
        },
        status_topic: settings.kafka.status_topic.clone(),
        dead_letter_topic: settings.kafka.dead_letter_topic.clone(),
    })
}

fn rules(tenant: &TenantSettings) -> Rules {
    let poll = &tenant.poll;
    Rules {
        lookback: poll.lookback,
        reach: Reach {
            overlap: poll.overlap,
            reconcile_every: poll.reconcile_every,
            reconcile_window: poll.reconcile_window,
            requests_per_minute: poll.requests_per_minute,
        },
        deduplicate: poll.deduplicate,
        page_size: match tenant.api.source {
            SourceKind::Defender => Defender::PAGE,
            SourceKind::Graph => Graph::PAGE,
        },
    }
}

fn http(tenant: &TenantSettings) -> HttpOptions {
    HttpOptions {
        proxy: tenant.api.proxy.clone(),
        ca_file: tenant.api.ca_file.clone(),
        silence: tenant.api.request_timeout,
    }
}

fn entra(tenant: &TenantSettings, credential: &Arc<Credential>) -> EntraOptions {
    EntraOptions {
        http: http(tenant),
        tenant: tenant.id,
        client_id: tenant.app.client_id,
        credential: Arc::clone(credential),
        login_url: tenant.api.login_url.clone(),
        scope: tenant.api.scope.clone(),
        endpoint: match tenant.api.token_endpoint {
            TokenEndpoint::V1 => Endpoint::V1,
            TokenEndpoint::V2 => Endpoint::V2,
        },
        permission: match tenant.api.source {
            SourceKind::Defender => DEFENDER,
            SourceKind::Graph => GRAPH,
        },
    }
}

fn api(tenant: &TenantSettings) -> SourceOptions {
    SourceOptions {
        http: http(tenant),
        base_url: tenant.api.base_url.clone(),
        max_response: tenant.api.max_response,
        tenant: tenant.id,
        client_id: tenant.app.client_id,
        login_url: tenant.api.login_url.clone(),
        scope: tenant.api.scope.clone(),
    }
}

#[cfg(test)]
mod tests;
