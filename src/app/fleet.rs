//! From settings to tenants with their ports.

use std::collections::HashSet;
use std::sync::Arc;

use crate::config::settings::{
    RecordFormat, SecretSource, Settings, SourceKind, TenantSettings, TokenEndpoint,
};
use crate::core::cursor::Reach;
use crate::core::schedule::Schedule;
use crate::microsoft::{
    ClientError, Clients, DEFENDER, Defender, DefenderOptions, Endpoint, Entra, EntraOptions,
    HttpOptions, Secret,
};
use crate::ports::{IncidentSource, TokenSource};
use crate::record::{Format, Recipe, RecordEncoder};
use crate::runtime::tenant::{Parts, Rules, Tenant};
use crate::runtime::tokens::{Desk, TokenKeeper};

/// The sources that tenants can be read from, as metrics name them.
pub const SOURCES: [&str; 1] = ["defender"];

/// The most incidents a page that the Defender API gives (Microsoft's page "List incidents API").
const DEFENDER_PAGE: u32 = 100;

#[derive(Debug, thiserror::Error)]
#[error("the connection settings of tenant {tenant} can't be used")]
pub struct FleetError {
    tenant: Arc<str>,
    source: ClientError,
}

pub fn tenants(
    settings: &Settings,
    clients: &Clients,
    desk: &Desk,
) -> Result<Vec<Arc<Tenant>>, FleetError> {
    let build = |tenant: &TenantSettings| {
        self::tenant(tenant, settings, clients, desk).map_err(|source| FleetError {
            tenant: tenant.name.clone(),
            source,
        })
    };
    settings.tenants.iter().map(build).collect()
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

fn tenant(
    tenant: &TenantSettings,
    settings: &Settings,
    clients: &Clients,
    desk: &Desk,
) -> Result<Arc<Tenant>, ClientError> {
    let tokens: Arc<dyn TokenSource> = Arc::new(Entra::new(clients, entra(tenant))?);
    let source: Arc<dyn IncidentSource> = match tenant.api.source {
        SourceKind::Defender => Arc::new(Defender::new(clients, defender(tenant))?),
    };
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
    Ok(Arc::new(Tenant::new(Parts {
        id: tenant.id,
        name: tenant.name.clone(),
        schedule: tenant.poll.schedule.clone(),
        rules: rules(tenant),
        source,
        tokens: Arc::new(TokenKeeper::new(tenant.id, tokens, desk.clone())),
        encoder: Arc::new(encoder),
    })))
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
            SourceKind::Defender => DEFENDER_PAGE,
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

fn entra(tenant: &TenantSettings) -> EntraOptions {
    EntraOptions {
        http: http(tenant),
        tenant: tenant.id,
        client_id: tenant.app.client_id,
        secret: match &tenant.app.secret {
            SecretSource::File(path) => Secret::File(path.clone()),
            SecretSource::Env { value, .. } => Secret::Value(value.clone()),
        },
        login_url: tenant.api.login_url.clone(),
        scope: tenant.api.scope.clone(),
        endpoint: match tenant.api.token_endpoint {
            TokenEndpoint::V1 => Endpoint::V1,
            TokenEndpoint::V2 => Endpoint::V2,
        },
        permission: DEFENDER,
    }
}

fn defender(tenant: &TenantSettings) -> DefenderOptions {
    DefenderOptions {
        http: http(tenant),
        base_url: tenant.api.base_url.clone(),
        max_response: tenant.api.max_response,
        tenant: tenant.id,
        client_id: tenant.app.client_id,
        login_url: tenant.api.login_url.clone(),
        scope: tenant.api.scope.clone(),
    }
}
