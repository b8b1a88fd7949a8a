//! From settings to tenants, at the start and at each reload.

use std::collections::HashMap;
use std::sync::Arc;

use crate::app::connectors::{Connectors, FleetError};
use crate::core::ids::TenantId;
use crate::core::sweep::cursor::Reach;
use crate::ports::TokenSource;
use crate::record::{Recipe, RecordEncoder};
use crate::runtime::fleet::Fleet;
use crate::runtime::tenant::{Rules, Tenant};
use crate::runtime::tokens::{TokenContext, TokenKeeper};
use crate::settings::{ApiSettings, KafkaSettings, Settings, TenantSettings};

/// Builds tenants, at the start and at each reload, and holds what they share.
pub struct Builder {
    connectors: Connectors,
    context: TokenContext,
}

/// A fleet, and the settings it was built from.
#[derive(Clone, Copy)]
pub struct Before<'a> {
    pub settings: &'a Settings,
    pub fleet: &'a Fleet,
}

impl Builder {
    pub fn new(context: TokenContext) -> Self {
        Self {
            connectors: Connectors::new(context.clock.clone()),
            context,
        }
    }

    /// The tenants of `settings`. A tenant with the same settings as `before` is the same object. Another one keeps its tokens
    /// if they are requested in the same way.
    ///
    /// # Errors
    /// [`FleetError`]. Nothing has changed then.
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
        let is_untouched = |was: &TenantSettings, tenant: &TenantSettings| {
            before.is_some_and(|before| is_untouched(before.settings, was, settings, tenant))
        };
        let build = |tenant: &TenantSettings| match known.get(&tenant.id) {
            Some((was, same)) if is_untouched(was, tenant) => Ok(Arc::clone(same)),
            Some((was, former)) if same_tokens(was, tenant) => {
                self.tenant(tenant, settings, Some(former.tokens.clone()))
            }
            _ => self.tenant(tenant, settings, None),
        };
        let fleet = settings
            .tenants
            .iter()
            .map(build)
            .collect::<Result<_, _>>()?;
        self.connectors.keep_only(&settings.tenants);
        Ok(fleet)
    }

    fn tenant(
        &mut self,
        tenant: &TenantSettings,
        settings: &Settings,
        tokens: Option<Arc<TokenKeeper>>,
    ) -> Result<Arc<Tenant>, FleetError> {
        let tokens = match tokens {
            Some(tokens) => tokens,
            None => {
                let entra: Arc<dyn TokenSource> = Arc::new(self.connectors.entra(tenant)?);
                Arc::new(TokenKeeper::new(tenant.id, entra, self.context.clone()))
            }
        };
        Ok(Arc::new(Tenant {
            id: tenant.id,
            name: tenant.name.clone(),
            schedule: tenant.poll.schedule.clone(),
            rules: rules(tenant),
            source: self.connectors.source(tenant)?,
            tokens,
            encoder: Arc::new(encoder(tenant, settings)),
        }))
    }
}

/// Whether a reload leaves a tenant as it is: its own settings and how its records are made are the same.
pub fn is_untouched(
    before: &Settings,
    was: &TenantSettings,
    after: &Settings,
    is: &TenantSettings,
) -> bool {
    was == is && same_records(before, after)
}

/// Whether records are made in the same way.
fn same_records(before: &Settings, after: &Settings) -> bool {
    fn of(settings: &Settings) -> impl PartialEq {
        // Without `..`, as in `same_tokens`.
        let KafkaSettings {
            connection: _,
            status_topic,
            dead_letter_topic,
            files: _,
        } = &settings.kafka;
        (status_topic, dead_letter_topic)
    }
    of(before) == of(after)
}

/// Whether a tenant's tokens are requested in the same way, for the same purpose.
fn same_tokens(before: &TenantSettings, after: &TenantSettings) -> bool {
    fn of(tenant: &TenantSettings) -> impl PartialEq {
        // Without `..`: a new setting does not compile until somebody decides whether tokens depend on it.
        let TenantSettings {
            id: _,
            name: _,
            app,
            api,
            poll: _,
            topic: _,
            alerts_topic: _,
            format: _,
        } = tenant;
        let ApiSettings {
            source,
            base_url: _,
            login_url,
            scope,
            token_endpoint,
            proxy,
            ca_file,
            request_timeout,
            max_response: _,
        } = &**api;
        let service = (login_url, token_endpoint, proxy, ca_file, request_timeout);
        (app, source, scope, service)
    }
    of(before) == of(after)
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
        alerts_topic: tenant.alerts_topic.clone(),
        format: tenant.format,
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
        page_size: tenant.api.source.facts().page_size,
    }
}

#[cfg(test)]
mod tests;
