//! The daemon's side: makes the one request of a row, as the runtime would.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use incidentd::core::health::failure::Failure;
use incidentd::core::ids::IncidentId;
use incidentd::core::sources::SourceKind;
use incidentd::core::sweep::backlog::Span;
use incidentd::microsoft::{AppCredential, Clients, Entra, IncidentApi};
use incidentd::ports::{AccessToken, IncidentSource, PageAsk, Query, TokenSource};
use incidentd::settings::{ApiSettings, AppSettings, Credential, SecretSource, TokenEndpoint};
use incidentd::telemetry::clock::SystemClock;
use serde_json::Value;
use tempfile::TempDir;
use url::Url;

use super::row::Asked;
use super::wire::{Answer, Server};

pub const TENANT: &str = "11111111-1111-4111-8111-111111111111";
pub const CLIENT: &str = "22222222-2222-4222-8222-222222222222";
const LOGIN: &str = "https://login.microsoftonline.com";
const FOREIGN: &str = "https://incidents.example/api/incidents?$skip=100";
/// The secret, the assertion and the bearer token all contain this; so does what Entra issues.
pub const CANARY: &str = "NeverSeen";

/// An unsigned token with these claims.
pub fn jwt(claims: &Value) -> String {
    let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
    format!("eyJhbGciOiJSUzI1NiJ9.{claims}.{CANARY}")
}

/// The app's proof or the bearer token: what a server could repeat.
pub fn carried(asked: Asked) -> String {
    match asked {
        Asked::TokenFederated => format!("eyJhbGciOiJSUzI1NiJ9.e30.{CANARY}"),
        asked if asked.is_token() => format!("{CANARY}~/+=8Q~secret"),
        _ => format!("eyJhbGciOiJSUzI1NiJ9.{CANARY}.c2ln"),
    }
}

/// The result of one request.
pub struct Exchange {
    pub outcome: Result<Option<String>, Failure>,
    pub requests: usize,
    /// The right consent link for this request.
    pub consent_link: String,
}

/// Makes the request with limits that only silence reaches.
pub async fn ask(clients: &Clients, asked: Asked, answer: Answer) -> Exchange {
    let silence = match answer {
        Answer::Silence => Duration::from_millis(200),
        _ => Duration::from_secs(30),
    };
    let refused = matches!(answer, Answer::Refused);
    let mut server = Server::start(answer).await;
    if refused {
        server.closed().await;
    }
    let side = Side {
        clients,
        asked,
        silence,
        base: server.url.clone(),
    };
    let outcome = if asked.is_token() {
        side.token().await.map(|()| None)
    } else {
        side.page(&side.api()).await
    };
    Exchange {
        outcome,
        requests: server.requests(),
        consent_link: side.consent_link(),
    }
}

/// Makes the request to a host that has to be looked up first, and returns the failure.
pub async fn ask_far(clients: &Clients, asked: Asked) -> Failure {
    let side = Side {
        clients,
        asked,
        silence: Duration::from_secs(30),
        base: Url::parse("https://far.example").unwrap(),
    };
    let outcome = if asked.is_token() {
        side.token().await.map(|()| None)
    } else {
        side.page(&side.api()).await
    };
    outcome.expect_err("nobody is there")
}

struct Side<'a> {
    clients: &'a Clients,
    asked: Asked,
    silence: Duration,
    base: Url,
}

impl Side<'_> {
    fn scope(&self) -> &'static str {
        match self.asked.is_graph() {
            true => "https://graph.microsoft.com/.default",
            false => "https://api.security.microsoft.com/.default",
        }
    }

    /// The consent link as "Admin consent on the Microsoft identity platform" spells it.
    fn consent_link(&self) -> String {
        let login = match self.asked.is_token() {
            true => self.base.as_str().trim_end_matches('/'),
            false => LOGIN,
        };
        let scope = self.scope().replace(':', "%3A").replace('/', "%2F");
        format!(
            "{login}/{TENANT}/v2.0/adminconsent?client_id={CLIENT}&scope={scope}&redirect_uri=https%3A%2F%2Fportal.azure.com"
        )
    }

    /// The settings of a tenant whose `base_url` or `login_url` is the server's.
    fn settings(&self) -> ApiSettings {
        let login = Url::parse(LOGIN).unwrap();
        ApiSettings {
            source: match self.asked.is_graph() {
                true => SourceKind::Graph,
                false => SourceKind::Defender,
            },
            base_url: self.base.clone(),
            login_url: match self.asked.is_token() {
                true => self.base.clone(),
                false => login,
            },
            scope: self.scope().to_owned(),
            token_endpoint: match self.asked {
                Asked::TokenV1 => TokenEndpoint::V1,
                _ => TokenEndpoint::V2,
            },
            proxy: None,
            ca_file: None,
            request_timeout: self.silence,
            max_response: 1 << 20,
        }
    }

    fn api(&self) -> IncidentApi {
        let (tenant, client_id) = (TENANT.parse().unwrap(), CLIENT.parse().unwrap());
        IncidentApi::new(self.clients, tenant, client_id, &self.settings()).unwrap()
    }

    fn page_ask(&self) -> PageAsk {
        match self.asked {
            Asked::ForeignLink => PageAsk::Link(FOREIGN.to_owned()),
            Asked::DefenderLink => PageAsk::Link("/api/incidents?$skip=100".to_owned()),
            Asked::GraphLink => PageAsk::Link("/v1.0/security/incidents?$skiptoken=50".to_owned()),
            Asked::DefenderOne => PageAsk::One(IncidentId(924_565)),
            _ => PageAsk::Query(Query {
                span: Span::from("2020-09-06T12:00:00Z".parse().unwrap()),
                top: 50,
                skip: 0,
                alerts: true,
            }),
        }
    }

    /// Reads a complete page, and returns what the page says is missing.
    async fn page(&self, source: &impl IncidentSource) -> Result<Option<String>, Failure> {
        let token = AccessToken::new(carried(self.asked).into());
        let mut page = source.open(&self.page_ask(), &token).await?;
        while page.chunk().await?.is_some() {}
        Ok(page.partial())
    }

    async fn token(&self) -> Result<(), Failure> {
        let folder = tempfile::tempdir().unwrap();
        let app = AppSettings {
            client_id: CLIENT.parse().unwrap(),
            credential: self.credential(&folder),
            not_after: None,
        };
        let credential =
            AppCredential::new(&app, &self.settings(), self.clients, Arc::new(SystemClock))
                .unwrap();
        let credential = Arc::new(credential);
        let tenant = TENANT.parse().unwrap();
        let entra = Entra::new(self.clients, tenant, credential, &self.settings()).unwrap();
        entra.request().await.map(drop)
    }

    fn credential(&self, folder: &TempDir) -> Credential {
        let file = folder.path().join("proof");
        std::fs::write(&file, carried(self.asked)).unwrap();
        match self.asked {
            Asked::TokenFederated => Credential::Federated(file),
            _ => Credential::Secret {
                current: SecretSource::File(file),
                next: None,
            },
        }
    }
}
