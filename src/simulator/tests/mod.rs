//! Tests of the simulator over real sockets, with their own client.

mod arc;
#[allow(
    clippy::duplicate_mod,
    reason = "adapters, and the tests outside, do not share modules"
)]
#[path = "../../../tests/support/certificates.rs"]
mod certificates;
mod defender;
mod entra;
mod faults;
mod federation;
mod graph;
mod graph_alerts;
mod graph_pages;
mod identity;
mod own_assertions;
mod poison;
mod spoilt;
mod world;

use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::Value;
use uuid::Uuid;

use super::*;

/// 2026-03-01T08:00:00Z
const START: i64 = 1_772_352_000 * SECOND;
const SCOPE: &str = "https://api.security.microsoft.com/.default";
const GRAPH_SCOPE: &str = "https://graph.microsoft.com/.default";
const GRAPH: &str = "/v1.0/security/incidents";
const PREFER: &str = "include-unknown-enum-members";

/// A simulator with one tenant, a manual clock, and a client.
struct Bench {
    sim: Simulator,
    world: World,
    journal: Journal,
    tenant: Uuid,
    client: Client,
}

impl Bench {
    async fn start(change: impl FnOnce(&mut Options)) -> Self {
        let tenant = Tenant::numbered(1);
        let mut options = Options {
            clock: Clock::manual(START),
            tenants: vec![tenant.clone()],
            ..Options::default()
        };
        change(&mut options);
        let sim = Simulator::start(options).await.expect("a free port");
        Self {
            world: sim.world(),
            journal: sim.journal(),
            tenant: tenant.id,
            client: client(),
            sim,
        }
    }

    async fn plain() -> Self {
        Self::start(|_| {}).await
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", Tenant::CLIENT_ID.to_string()),
            ("client_secret", Tenant::SECRET.to_owned()),
            ("scope", SCOPE.to_owned()),
        ]
    }

    async fn post_form(&self, path: &str, fields: &[(&str, String)]) -> (u16, Value) {
        let url = format!("{}/{path}", self.sim.url());
        read(
            self.client
                .post(url)
                .form(fields)
                .send()
                .await
                .expect("an answer"),
        )
        .await
    }

    async fn token_of(&self, tenant: Uuid) -> String {
        let path = format!("{tenant}/oauth2/v2.0/token");
        let (status, body) = self.post_form(&path, &self.fields()).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().expect("a token").to_owned()
    }

    async fn graph_token_of(&self, tenant: Uuid) -> String {
        let mut fields = self.fields();
        set(&mut fields, "scope", Some(GRAPH_SCOPE));
        let path = format!("{tenant}/oauth2/v2.0/token");
        let (status, body) = self.post_form(&path, &fields).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().expect("a token").to_owned()
    }

    async fn graph_token(&self) -> String {
        self.graph_token_of(self.tenant).await
    }

    /// Graph's answer at a path or a link, with a request for unknown members.
    async fn prefer(&self, token: &str, path: &str) -> (u16, Value) {
        let path = path.strip_prefix(&self.sim.url()).unwrap_or(path);
        let request = self.client.get(format!("{}{path}", self.sim.url()));
        let request = request.bearer_auth(token).header("prefer", PREFER);
        read(request.send().await.expect("an answer")).await
    }

    async fn token(&self) -> String {
        self.token_of(self.tenant).await
    }

    async fn send(&self, token: &str, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.sim.url()));
        request.bearer_auth(token).send().await.expect("an answer")
    }

    async fn get(&self, token: &str, path: &str) -> (u16, Value) {
        read(self.send(token, path).await).await
    }

    /// The ids of one page.
    async fn ids(&self, token: &str, query: &str) -> Vec<u64> {
        let (status, body) = self.get(token, &format!("/api/incidents?{query}")).await;
        assert_eq!(status, 200, "{query}: {body}");
        ids(&body)
    }
}

fn client() -> Client {
    // Another test may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()
        .expect("a client")
}

async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.bytes().await.expect("a whole body");
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn ids(page: &Value) -> Vec<u64> {
    let incidents = page["value"].as_array().expect("value is an array");
    incidents
        .iter()
        .map(|incident| {
            incident["incidentId"]
                .as_u64()
                .expect("incidentId is a number")
        })
        .collect()
}

/// The ids of a page from Graph.
fn graph_ids(page: &Value) -> Vec<u64> {
    let incidents = page["value"].as_array().expect("value is an array");
    let id = |incident: &Value| incident["id"].as_str()?.parse().ok();
    incidents
        .iter()
        .map(|incident| id(incident).expect("id is a number in a string"))
        .collect()
}

fn set(fields: &mut Vec<(&'static str, String)>, name: &'static str, value: Option<&str>) {
    fields.retain(|(known, _)| *known != name);
    fields.extend(value.map(|value| (name, value.to_owned())));
}

fn version(tenant: Uuid, incident: u64, revision: u32) -> Version {
    Version {
        tenant,
        incident,
        revision,
    }
}
