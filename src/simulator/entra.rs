//! The token endpoints of Microsoft Entra, v1 and v2, for client credentials.
//!
//! A token is known by its text: the claims inside are for those who look, the simulator itself never parses them.

mod credential;
mod request;

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use uuid::Uuid;

use super::books::Books;
use super::http::Answer;
use super::jwt;
use super::tenant::Tenant;
use super::time::{self, SECOND};
use super::world::World;
use request::{Form, resource_of};

/// What tokens are for.
pub(super) struct Resource {
    pub uri: &'static str,
    /// Either of these permissions lets an app read incidents.
    pub readers: [&'static str; 2],
}

pub(super) const DEFENDER: Resource = Resource {
    uri: "https://api.security.microsoft.com",
    readers: ["Incident.Read.All", "Incident.ReadWrite.All"],
};

pub(super) const GRAPH: Resource = Resource {
    uri: "https://graph.microsoft.com",
    readers: [
        "SecurityIncident.Read.All",
        "SecurityIncident.ReadWrite.All",
    ],
};

/// What a v1 token is for when no resource was named: Azure AD Graph.
const NO_RESOURCE: &str = "00000002-0000-0000-c000-000000000000";
/// Other resources that tokens are given for, though none of them opens the incidents.
const OTHERS: [&str; 2] = [
    "https://api.securitycenter.microsoft.com",
    "https://securitycenter.onmicrosoft.com/windowsatpservice",
];

/// Which of the two endpoints.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    V1,
    V2,
}

/// A token that was issued. Its roles are those granted at that time.
#[derive(Clone)]
pub(super) struct Issued {
    pub tenant: Uuid,
    pub app: Uuid,
    pub audience: String,
    pub by_assertion: bool,
    pub roles: Vec<String>,
    pub from: i64,
    pub until: i64,
}

pub(super) struct Entra {
    world: World,
    books: Books,
    lifetime: Option<Duration>,
    state: Mutex<State>,
}

struct State {
    tokens: HashMap<String, Issued>,
    rng: StdRng,
}

/// The status, `error`, its number, and the text after the number.
struct Refusal(u16, &'static str, u32, String);

/// What a request may have.
struct Grant {
    tenant: Tenant,
    audience: String,
    by_assertion: bool,
}

impl Entra {
    pub fn new(world: World, books: Books, seed: u64, lifetime: Option<Duration>) -> Self {
        Self {
            world,
            books,
            lifetime,
            state: Mutex::new(State {
                tokens: HashMap::new(),
                rng: StdRng::seed_from_u64(seed.rotate_left(32)),
            }),
        }
    }

    pub fn find(&self, token: &str) -> Option<Issued> {
        self.state().tokens.get(token).cloned()
    }

    pub fn revoke(&self, tenant: Uuid) {
        self.state()
            .tokens
            .retain(|_, issued| issued.tenant != tenant);
    }

    pub fn guid(&self) -> Uuid {
        let random = self.state().rng.random::<[u8; 16]>();
        uuid::Builder::from_random_bytes(random).into_uuid()
    }

    /// One request to the endpoint of `tenant`, which may be anything that was in the path.
    pub fn token(&self, dialect: Dialect, tenant: &str, form_sent: bool, body: &[u8]) -> Answer {
        let granted =
            Form::read(form_sent, body).and_then(|form| self.grant(dialect, tenant, &form));
        match granted {
            Ok(grant) => self.issue(dialect, grant),
            Err(refusal) => self.refuse(&refusal),
        }
    }

    fn grant(&self, dialect: Dialect, tenant: &str, form: &Form) -> Result<Grant, Refusal> {
        form.once_each()?;
        let grant = form.required("grant_type")?;
        if grant != "client_credentials" {
            let text = format!("The app requested an unsupported grant type '{grant}'.");
            return Err(Refusal(400, "unsupported_grant_type", 70003, text));
        }
        let tenant = self.directory(tenant)?;
        let client = form.required("client_id")?;
        let audience = match dialect {
            Dialect::V1 => form
                .get("resource")
                .map_or(NO_RESOURCE, |field| field.value.as_str()),
            Dialect::V2 => resource_of(form.required("scope")?)?,
        };
        let by_assertion = credential::check(&tenant, client, form, self.world.now())?;
        let known = [NO_RESOURCE, DEFENDER.uri, GRAPH.uri];
        if !known.contains(&audience) && !OTHERS.contains(&audience) {
            let text = format!(
                "The resource principal named {audience} was not found in the tenant named {}. This can happen if the \
                 application has not been installed by the administrator of the tenant or consented to by any user in \
                 the tenant.",
                tenant.name
            );
            return Err(Refusal(400, "invalid_resource", 500011, text));
        }
        let audience = audience.to_owned();
        Ok(Grant {
            tenant,
            audience,
            by_assertion,
        })
    }

    fn directory(&self, tenant: &str) -> Result<Tenant, Refusal> {
        let invalid = |code, text: String| Err(Refusal(400, "invalid_request", code, text));
        match tenant {
            "common" | "consumers" => {
                return invalid(
                    9001023,
                    "The grant type is not supported over the /common or /consumers endpoints. Please use the \
                     /organizations or tenant-specific endpoint."
                        .to_owned(),
                );
            }
            "organizations" => {
                return invalid(
                    50059,
                    "No tenant-identifying information found in either the request or implied by any provided \
                     credentials."
                        .to_owned(),
                );
            }
            _ => {}
        }
        let known = guid_text(tenant).and_then(|id| self.world.tenant(id));
        known.map_or_else(
            || {
                invalid(
                    90002,
                    format!(
                        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are \
                         signing into the correct cloud."
                    ),
                )
            },
            Ok,
        )
    }

    fn issue(&self, dialect: Dialect, grant: Grant) -> Answer {
        let Grant {
            tenant,
            audience,
            by_assertion,
        } = grant;
        let now = self.world.now();
        let mut state = self.state();
        let seconds = match self.lifetime {
            Some(lifetime) => i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX / SECOND / 4),
            None => state.rng.random_range(60 * 60..=90 * 60),
        };
        let issued = Issued {
            tenant: tenant.id,
            app: tenant.client_id,
            roles: match audience.as_str() {
                uri if uri == DEFENDER.uri => tenant.roles.clone(),
                uri if uri == GRAPH.uri => tenant.graph_roles.clone(),
                _ => Vec::new(),
            },
            audience: audience.clone(),
            by_assertion,
            from: now,
            until: now + seconds * SECOND,
        };
        let token = jwt::write(&issued, &mut state.rng);
        state.tokens.insert(token.clone(), issued);
        drop(state);
        self.books.issued(token.clone());
        let (now, until) = (now / SECOND, now / SECOND + seconds);
        Answer::json(
            200,
            &match dialect {
                Dialect::V1 => json!({
                    "token_type": "Bearer",
                    "expires_in": seconds.to_string(),
                    "ext_expires_in": seconds.to_string(),
                    "expires_on": until.to_string(),
                    "not_before": now.to_string(),
                    "resource": audience,
                    "access_token": token,
                }),
                Dialect::V2 => json!({
                    "token_type": "Bearer",
                    "expires_in": seconds,
                    "ext_expires_in": seconds,
                    "access_token": token,
                }),
            },
        )
    }

    fn refuse(&self, Refusal(status, error, code, text): &Refusal) -> Answer {
        let at = time::format_entra(self.world.now());
        let (trace, correlation) = (self.guid(), self.guid());
        Answer::json(
            *status,
            &json!({
                "error": error,
                "error_description": format!(
                    "AADSTS{code}: {text}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {at}"
                ),
                "error_codes": [code],
                "timestamp": at,
                "trace_id": trace,
                "correlation_id": correlation,
                "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
            }),
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// Only the form that Microsoft documents: with hyphens.
fn guid_text(text: &str) -> Option<Uuid> {
    (text.len() == 36)
        .then(|| Uuid::try_parse(text).ok())
        .flatten()
}
