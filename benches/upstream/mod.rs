//! What the benches read: the simulator's incidents, over the wire and through the daemon's own client. Each bench uses a
//! part of it.

#![allow(dead_code)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use incidentd::core::ids::TenantId;
use incidentd::core::incident::page::Splitter;
use incidentd::core::incident::reading::Shape;
use incidentd::core::sources::SourceKind;
use incidentd::core::sweep::backlog::Span;
use incidentd::core::time::ticks::Ticks;
use incidentd::microsoft::{AppCredential, Clients, Entra, IncidentApi};
use incidentd::ports::{IncidentSource, PageAsk, Query, TokenSource};
use incidentd::settings::{ApiSettings, AppSettings, Credential, SecretSource, TokenEndpoint};
use incidentd::simulator::{Options, SECOND, Simulator, Tenant};
use incidentd::telemetry::clock::SystemClock;
use url::Url;

/// Incidents per page.
pub const PAGE: u32 = 100;
/// Incidents are spread over this much of the past, more than any overlap and less than the look-back of a day.
const AGE: Duration = Duration::from_secs(20 * 3600);
const SCOPE: &str = "https://api.security.microsoft.com/.default";

/// A simulator without quotas, whose `tenants` have `incidents` each, of about `bytes` bytes.
pub async fn simulator(tenants: u32, incidents: u32, bytes: usize) -> Simulator {
    let simulator = Simulator::start(Options {
        tenants: (1..=tenants).map(Tenant::numbered).collect(),
        incident_bytes: Some(bytes),
        quotas: false,
        ..Options::default()
    })
    .await
    .expect("a free port");
    let world = simulator.world();
    let age = i64::try_from(AGE.as_secs()).expect("a day") * SECOND;
    for tenant in world.tenants() {
        for n in 0..i64::from(incidents) {
            let at = world.now() - age + age / i64::from(incidents) * n;
            world.create_dated(tenant.id, at).expect("the tenant");
        }
    }
    simulator
}

/// Reads all pages of `tenant`.
pub async fn pages(simulator: &Simulator, tenant: &Tenant) -> Vec<Bytes> {
    let (source, tokens) = client(simulator, tenant);
    let token = tokens.request().await.expect("a token").token;
    let mut pages = Vec::new();
    loop {
        let skip = u32::try_from(pages.len()).expect("few pages") * PAGE;
        let ask = PageAsk::Query(Query {
            span: Span::from(Ticks(0)),
            top: PAGE,
            skip,
            alerts: true,
        });
        let mut body = source.open(&ask, &token).await.expect("a page");
        let mut page = Vec::new();
        while let Some(chunk) = body.chunk().await.expect("a piece of it") {
            page.extend_from_slice(&chunk);
        }
        let (page, mut incidents) = (Bytes::from(page), Vec::new());
        Splitter::default()
            .feed(&page, &mut incidents)
            .expect("a page");
        if incidents.is_empty() {
            return pages;
        }
        pages.push(page);
    }
}

/// The API's names for the members that are read.
pub fn shape(simulator: &Simulator, tenant: &Tenant) -> &'static Shape {
    client(simulator, tenant).0.shape()
}

fn client(simulator: &Simulator, tenant: &Tenant) -> (IncidentApi, Entra) {
    let url: Url = simulator.url().parse().expect("an address");
    let id: TenantId = tenant.id.to_string().parse().expect("a GUID");
    let clients = Clients::new();
    let api = ApiSettings {
        source: SourceKind::Defender,
        base_url: url.clone(),
        login_url: url,
        scope: SCOPE.to_owned(),
        token_endpoint: TokenEndpoint::V2,
        proxy: None,
        ca_file: None,
        request_timeout: Duration::from_secs(30),
        max_response: 64 << 20,
    };
    let app = AppSettings {
        client_id: tenant.client_id,
        credential: Credential::Secret {
            current: SecretSource::Env {
                name: "CLIENT_SECRET".to_owned(),
                value: tenant.secret.clone().into(),
            },
            next: None,
        },
        not_after: None,
    };
    let credential =
        AppCredential::new(&app, &api, &clients, Arc::new(SystemClock)).expect("no client");
    let credential = Arc::new(credential);
    (
        IncidentApi::new(&clients, id, app.client_id, &api).expect("a client"),
        Entra::new(&clients, id, credential, &api).expect("a client"),
    )
}
