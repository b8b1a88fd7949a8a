//! From settings to tenants with their ports.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::config::settings::{
    self, AppSettings, RecordFormat, SecretSource, Settings, SourceKind, TenantSettings,
    TokenEndpoint,
};
use crate::core::cursor::Reach;
use crate::core::schedule::Schedule;
use crate::microsoft::{
    ClientError, Clients, Credential, DEFENDER, Defender, Endpoint, Entra, EntraOptions, GRAPH,
    Graph, HttpOptions, Permission, Secret, SourceOptions,
};
use crate::ports::{IncidentSource, TokenSource};
use crate::record::{Format, Recipe, RecordEncoder};
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

/// What each app registration proves itself with: one for all the tenants that share the settings of one.
#[derive(Default)]
struct Credentials(HashMap<*const AppSettings, Arc<Credential>>);

impl Credentials {
    fn of(&mut self, app: &Arc<AppSettings>) -> Arc<Credential> {
        let known = self.0.entry(Arc::as_ptr(app));
        known
            .or_insert_with(|| Arc::new(credential(&app.credential)))
            .clone()
    }
}

/// One tenant's ways to Microsoft.
pub struct Door {
    pub entra: Entra,
    pub source: Arc<dyn IncidentSource>,
}

/// A door for each of these tenants, in their order.
pub fn doors(tenants: &[&TenantSettings], clients: &Clients) -> Result<Vec<Door>, FleetError> {
    let mut credentials = Credentials::default();
    let open = |tenant: &&TenantSettings| door(tenant, clients, credentials.of(&tenant.app));
    tenants.iter().map(open).collect()
}

/// The door of one tenant alone.
pub fn single_door(tenant: &TenantSettings, clients: &Clients) -> Result<Door, FleetError> {
    door(tenant, clients, Credentials::default().of(&tenant.app))
}

fn door(
    tenant: &TenantSettings,
    clients: &Clients,
    credential: Arc<Credential>,
) -> Result<Door, FleetError> {
    let connection = |source| FleetError {
        tenant: tenant.name.clone(),
        source,
    };
    let entra = Entra::new(clients, entra(tenant, credential)).map_err(connection)?;
    let source: Arc<dyn IncidentSource> = match tenant.api.source {
        SourceKind::Defender => Arc::new(Defender::new(clients, api(tenant)).map_err(connection)?),
        SourceKind::Graph => Arc::new(Graph::new(clients, api(tenant)).map_err(connection)?),
    };
    Ok(Door { entra, source })
}

/// What a token must allow.
pub fn permission(source: SourceKind) -> Permission {
    match source {
        SourceKind::Defender => DEFENDER,
        SourceKind::Graph => GRAPH,
    }
}

pub fn tenants(
    settings: &Settings,
    clients: &Clients,
    desk: &Desk,
) -> Result<Vec<Arc<Tenant>>, FleetError> {
    let mut credentials = Credentials::default();
    let build = |tenant: &TenantSettings| {
        let door = door(tenant, clients, credentials.of(&tenant.app))?;
        Ok(self::tenant(tenant, settings, desk, door))
    };
    settings.tenants.iter().map(build).collect()
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

/// Each schedule once, in the order of the first tenant that has it.
pub fn distinct_schedules(tenants: &[Arc<Tenant>]) -> Vec<Schedule> {
    let mut seen = HashSet::new();
    let schedules = tenants.iter().map(|tenant| &tenant.schedule);
    schedules
        .filter(|schedule| seen.insert(*schedule))
        .cloned()
        .collect()
}

fn tenant(tenant: &TenantSettings, settings: &Settings, desk: &Desk, door: Door) -> Arc<Tenant> {
    let tokens: Arc<dyn TokenSource> = Arc::new(door.entra);
    let encoder = RecordEncoder::new(Recipe {
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
    });
    Arc::new(Tenant::new(Parts {
        id: tenant.id,
        name: tenant.name.clone(),
        schedule: tenant.poll.schedule.clone(),
        rules: rules(tenant),
        source: door.source,
        tokens: Arc::new(TokenKeeper::new(tenant.id, tokens, desk.clone())),
        encoder: Arc::new(encoder),
    }))
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
        permission: permission(tenant.api.source),
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
