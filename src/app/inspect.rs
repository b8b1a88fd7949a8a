//! Inspects everything that the daemon needs: each tenant's token and incidents, through the adapters that the daemon uses,
//! and Kafka's topics. It opens no ledger and keeps nothing, so it may run beside the daemon. It asks for one token and one
//! incident of each tenant. Of a ledger in Kafka it tries a transaction of its own, which it aborts.
//!
//! Failure modes: a problem of a tenant or of Kafka is a [`Failure`] in the report, in the daemon's words. Only settings
//! that can't be used are a [`StartError`].

mod consent;
mod token;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use super::StartError;
use super::retirement::Retirement;
use crate::app::connectors::{Connector, Connectors};
use crate::core::health::alarms::AlarmTenant;
use crate::core::health::expiry::{Expiries, TenantCredential};
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::ids::TenantId;
use crate::core::incident::page::{Splitter, partial};
use crate::core::sweep::backlog::Span;
use crate::core::time::ticks::Ticks;
use crate::kafka;
use crate::microsoft::IssuedToken;
use crate::ports::{AccessToken, Clock, IncidentSource, PageAsk, Query, TokenSource};
use crate::settings::{KafkaConnection, KafkaLedgerSettings, LedgerKind, Settings, TenantSettings};
use crate::telemetry::clock::SystemClock;

pub(crate) use crate::kafka::{Inspection as KafkaSeen, TopicSeen, Write};
pub(crate) use crate::microsoft::{Claims, REDIRECT_URI, Role, RoleUse};
pub use consent::{consent_link, invitations};
pub use token::{TokenSeen, token};

/// The use of the ledger's topic.
const LEDGER: &str = "ledger";
/// Tenants inspected at once.
const AT_ONCE: usize = 32;
/// The limit for one tenant as a whole.
const LIMIT: Duration = Duration::from_secs(60);

/// Everything to inspect. Making it uses no network.
pub struct Inspector<'a> {
    tenants: Vec<&'a TenantSettings>,
    connectors: Vec<Connector>,
    kafka: KafkaConnection,
    topics: Vec<TopicUse>,
    /// Of a ledger in Kafka: its topic is the last one.
    ledger: Option<KafkaLedgerSettings>,
}

/// A topic, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicUse {
    pub name: Arc<str>,
    /// `incidents`, `status`, `dead letters`, `ledger`.
    pub uses: Vec<&'static str>,
}

/// What was found.
#[derive(Debug)]
pub struct InspectionReport {
    pub at: Ticks,
    /// In the configuration's order.
    pub tenants: Vec<TenantSeen>,
    pub kafka: KafkaSeen,
    /// What the topics are for, in the order in which Kafka was asked for them.
    pub topics: Vec<TopicUse>,
}

/// What was seen of one tenant.
#[derive(Debug, Clone)]
pub struct TenantSeen {
    pub id: TenantId,
    pub name: Arc<str>,
    pub source: &'static str,
    /// What is wrong with it.
    pub failure: Option<Failure>,
    pub consent_link: String,
    /// The permissions in its token.
    pub roles: Vec<Role>,
    pub token_expires: Option<Ticks>,
    /// Incidents in the page that was asked for: one, or none when there is none within `lookback`. `None`: not read.
    pub incidents: Option<usize>,
    pub lookback: Duration,
    /// The first of its two secrets was refused, the second serves.
    pub second_secret: bool,
}

impl TenantSeen {
    pub fn state(&self) -> Health {
        let failure = self.failure.as_ref();
        failure.map_or(Health::Ok, |failure| failure.health)
    }
}

impl<'a> Inspector<'a> {
    /// For these tenants of `settings`.
    ///
    /// # Errors
    /// The system has no certificates, or a proxy's address can't be used.
    pub fn new(
        settings: &'a Settings,
        tenants: Vec<&'a TenantSettings>,
    ) -> Result<Self, StartError> {
        let kafka = settings.kafka.connection.clone();
        let mut connectors = Connectors::new(Arc::new(SystemClock));
        let open = |tenant: &&TenantSettings| connectors.open(tenant);
        Ok(Self {
            connectors: tenants.iter().map(open).collect::<Result<_, _>>()?,
            topics: topics(settings, &tenants),
            ledger: ledger(settings).cloned(),
            kafka,
            tenants,
        })
    }

    /// The credentials that end soon, each with what to do. Reads their files.
    pub fn ending(&self) -> Vec<String> {
        let ends = self.tenants.iter().zip(&self.connectors);
        let ends = ends.filter_map(|(tenant, connector)| {
            let end = connector.entra.credential_end()?;
            let (id, name) = (tenant.id, tenant.name.clone());
            let tenant = AlarmTenant { id, name };
            Some(TenantCredential { tenant, end })
        });
        let ending = Expiries::default().look(ends, now()).into_iter();
        ending
            .map(|alarm| format!("{}: {}", alarm.error, alarm.remedy))
            .collect()
    }

    /// Inspects everything. `done` is called after each tenant.
    pub async fn run(self, done: impl Fn()) -> InspectionReport {
        let at = now();
        let looks = self
            .tenants
            .iter()
            .zip(&self.connectors)
            .map(async |(tenant, connector)| {
                let seen = look(tenant, connector).await;
                done();
                seen
            });
        let tenants = stream::iter(looks).buffered(AT_ONCE).collect();
        let (tenants, kafka) = tokio::join!(tenants, self.kafka());
        InspectionReport {
            at,
            tenants,
            kafka,
            topics: self.topics,
        }
    }

    async fn kafka(&self) -> KafkaSeen {
        let records = self.topics.iter().filter(|topic| topic.uses != [LEDGER]);
        let records: Vec<_> = records.map(|topic| topic.name.clone()).collect();
        let mut seen = kafka::inspect(&self.kafka, &records).await;
        if let (Some(ledger), None) = (&self.ledger, &seen.failure) {
            let ledger = kafka::inspect_ledger(ledger, &self.kafka).await;
            seen.topics.push(ledger);
        }
        seen
    }
}

fn ledger(settings: &Settings) -> Option<&KafkaLedgerSettings> {
    let ledger = &settings.ledger;
    (ledger.kind == LedgerKind::Kafka).then_some(&ledger.kafka)
}

/// The retirement to report today of `tenants` that are read through the Defender API.
pub fn retirement<'a>(tenants: impl IntoIterator<Item = &'a TenantSettings>) -> Option<Retirement> {
    Retirement::of(tenants, now())
}

/// Every topic once: those of these tenants first, then the daemon's own, and the ledger's last.
pub fn topics(settings: &Settings, tenants: &[&TenantSettings]) -> Vec<TopicUse> {
    let incidents = tenants.iter().map(|tenant| (&tenant.topic, "incidents"));
    let alerts = tenants
        .iter()
        .filter_map(|tenant| tenant.alerts_topic.as_ref());
    let status = settings.kafka.status_topic.iter();
    let dead = settings.kafka.dead_letter_topic.iter();
    let all = incidents
        .chain(alerts.map(|topic| (topic, "alerts")))
        .chain(status.map(|topic| (topic, "status")))
        .chain(dead.map(|topic| (topic, "dead letters")));
    let mut topics: Vec<TopicUse> = Vec::new();
    let mut places = BTreeMap::new();
    for (name, use_) in all {
        let at = *places.entry(name).or_insert(topics.len());
        match topics.get_mut(at) {
            Some(topic) if topic.uses.contains(&use_) => {}
            Some(topic) => topic.uses.push(use_),
            None => topics.push(TopicUse {
                name: name.clone(),
                uses: vec![use_],
            }),
        }
    }
    // Looked at in another way, and so never joined with one of the others.
    topics.extend(ledger(settings).map(|ledger| TopicUse {
        name: ledger.topic.clone(),
        uses: vec![LEDGER],
    }));
    topics
}

async fn look(tenant: &TenantSettings, connector: &Connector) -> TenantSeen {
    let mut seen = TenantSeen {
        id: tenant.id,
        name: tenant.name.clone(),
        source: connector.source.name(),
        failure: None,
        consent_link: consent_link(tenant),
        roles: Vec::new(),
        token_expires: None,
        incidents: None,
        lookback: tenant.poll.lookback,
        second_secret: false,
    };
    let done = within(LIMIT, ask(tenant, connector, &mut seen)).await;
    seen.failure = done.err();
    seen
}

/// A slow tenant must not delay the report on all others.
async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Failure::new(
            Health::Unreachable,
            Reaction::Backoff,
            format!("Microsoft's answers were not complete after {limit:?}"),
            "usually passes by itself; if not, check the network, the firewall and the proxy between here and Microsoft",
        ))
    })
}

async fn ask(
    tenant: &TenantSettings,
    connector: &Connector,
    seen: &mut TenantSeen,
) -> Result<(), Failure> {
    let issued = connector.entra.look().await?;
    seen.second_secret = connector.entra.second_secret_serves();
    seen.token_expires = Some(expiry(&issued));
    seen.roles = roles(tenant, &issued);
    if let Some(unfit) = issued.unfit {
        return Err(unfit);
    }
    let since = now().minus(tenant.poll.lookback);
    seen.incidents = Some(read_one(&*connector.source, &issued.grant.token, since).await?);
    Ok(())
}

/// The permissions in the token.
fn roles(tenant: &TenantSettings, issued: &IssuedToken) -> Vec<Role> {
    let permission = &tenant.api.source.facts().permission;
    let roles = issued.claims.iter().flat_map(|claims| &claims.roles);
    roles.map(|role| Role::explain(role, permission)).collect()
}

/// When the token expires by the answer's `expires_in`, which is also what the daemon uses.
fn expiry(issued: &IssuedToken) -> Ticks {
    now().plus(issued.grant.lifetime)
}

/// To the second, as people read it.
fn now() -> Ticks {
    Ticks::from_unix_seconds(SystemClock.now().unix_seconds())
}

/// Asks for one incident updated since then; how many came.
async fn read_one(
    source: &dyn IncidentSource,
    token: &AccessToken,
    since: Ticks,
) -> Result<usize, Failure> {
    let ask = PageAsk::Query(Query {
        span: Span::from(since),
        top: 1,
        skip: 0,
        alerts: true,
    });
    let mut body = source.open(&ask, token).await?;
    let (mut splitter, mut incidents) = (Splitter::default(), 0);
    while let Some(chunk) = body.chunk().await? {
        let mut elements: Vec<Bytes> = Vec::new();
        splitter.feed(&chunk, &mut elements)?;
        incidents += elements.len();
    }
    splitter.finish()?;
    match body.partial() {
        Some(why) => Err(partial(&why)),
        None => Ok(incidents),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tenant_that_never_ends_is_unreachable_in_the_end() {
        let failure = within::<()>(LIMIT, std::future::pending())
            .await
            .unwrap_err();
        assert_eq!(failure.health, Health::Unreachable);
        assert!(failure.what.contains("60s"), "{failure:?}");
    }
}
