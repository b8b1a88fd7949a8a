//! The token endpoints of Microsoft Entra, v1 and v2, for client credentials (sections 4.1 to 4.3 and 4.5).
//!
//! A token is known by its text; the simulator never parses the claims inside.

mod credential;
mod form;
mod jwt;

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use uuid::Uuid;

use super::http::Answer;
use super::journal::Journal;
use super::tenant::Tenant;
use super::time::{self, SECOND};
use super::world::World;
use form::{Form, resource_of};

pub(super) use jwt::{assertion, issuer};

/// What tokens are for. Section 4.5 has the resources and their permissions.
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

/// What a v1 token is for when no resource was named: Azure AD Graph (section 2.3).
const NO_RESOURCE: &str = "00000002-0000-0000-c000-000000000000";
/// All resources that tokens are issued for. The last two are those of section 1.2's wrong samples: their tokens open
/// neither API.
const RESOURCES: [&str; 5] = [
    NO_RESOURCE,
    DEFENDER.uri,
    GRAPH.uri,
    "https://api.securitycenter.microsoft.com",
    "https://securitycenter.onmicrosoft.com/windowsatpservice",
];

/// Which of the two endpoints.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenVersion {
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
    journal: Journal,
    lifetime: Option<Duration>,
    state: Mutex<State>,
}

struct State {
    tokens: HashMap<String, Issued>,
    rng: StdRng,
}

/// The status, `error`, its AADSTS number (section 4.3), and the text after the number.
struct TokenError(u16, &'static str, u32, String);

/// What a request may have.
struct Grant {
    tenant: Tenant,
    audience: String,
    by_assertion: bool,
}

impl Entra {
    pub fn new(world: World, journal: Journal, seed: u64, lifetime: Option<Duration>) -> Self {
        let state = State {
            tokens: HashMap::new(),
            rng: StdRng::seed_from_u64(seed.rotate_left(32)),
        };
        Self {
            world,
            journal,
            lifetime,
            state: Mutex::new(state),
        }
    }

    pub fn find(&self, token: &str) -> Option<Issued> {
        self.state.lock().tokens.get(token).cloned()
    }

    pub fn revoke(&self, tenant: Uuid) {
        let tokens = &mut self.state.lock().tokens;
        tokens.retain(|_, issued| issued.tenant != tenant);
    }

    pub fn guid(&self) -> Uuid {
        let random = self.state.lock().rng.random::<[u8; 16]>();
        uuid::Builder::from_random_bytes(random).into_uuid()
    }

    /// One request to the endpoint of `tenant`, which is whatever the path has there. `form_sent`: the body says that it is
    /// a form.
    pub fn token(
        &self,
        version: TokenVersion,
        tenant: &str,
        form_sent: bool,
        body: &[u8],
    ) -> Answer {
        let form = Form::read(form_sent, body);
        match form.and_then(|form| self.grant(version, tenant, &form)) {
            Ok(grant) => self.issue(version, grant),
            Err(error) => self.refuse(&error),
        }
    }

    fn grant(&self, version: TokenVersion, tenant: &str, form: &Form) -> Result<Grant, TokenError> {
        form.once_each()?;
        let grant = form.required("grant_type")?;
        if grant != "client_credentials" {
            let text = format!("The app requested an unsupported grant type '{grant}'.");
            return Err(TokenError(400, "unsupported_grant_type", 70003, text));
        }
        let tenant = self.directory(tenant)?;
        let client = form.required("client_id")?;
        let audience = match version {
            TokenVersion::V1 => form
                .get("resource")
                .map_or(NO_RESOURCE, |field| &field.value),
            TokenVersion::V2 => resource_of(form.required("scope")?)?,
        };
        let by_assertion = credential::check(&tenant, client, form, self.world.now())?;
        if !RESOURCES.contains(&audience) {
            let text = format!(
                "The resource principal named {audience} was not found in the tenant named {}. This can happen if the \
                 application has not been installed by the administrator of the tenant or consented to by any user in \
                 the tenant.",
                tenant.name
            );
            return Err(TokenError(400, "invalid_resource", 500011, text));
        }
        Ok(Grant {
            audience: audience.to_owned(),
            tenant,
            by_assertion,
        })
    }

    /// Sections 4.1 and 4.3: the path must name the customer's tenant.
    fn directory(&self, tenant: &str) -> Result<Tenant, TokenError> {
        let (code, text) = match tenant {
            "common" | "consumers" => (
                9001023,
                "The grant type is not supported over the /common or /consumers endpoints. Please use the \
                 /organizations or tenant-specific endpoint."
                    .to_owned(),
            ),
            "organizations" => (
                50059,
                "No tenant-identifying information found in either the request or implied by any provided \
                 credentials."
                    .to_owned(),
            ),
            _ => {
                let known = guid_text(tenant).and_then(|id| self.world.tenant(id));
                if let Some(known) = known {
                    return Ok(known);
                }
                let text = format!(
                    "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing \
                     into the correct cloud."
                );
                (90002, text)
            }
        };
        Err(TokenError(400, "invalid_request", code, text))
    }

    /// Section 4.1: v1 writes numbers as strings. Section 4.5: a token without roles is issued all the same.
    fn issue(&self, version: TokenVersion, grant: Grant) -> Answer {
        let tenant = grant.tenant;
        let now = self.world.now();
        let mut state = self.state.lock();
        let seconds = match self.lifetime {
            Some(lifetime) => i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX / SECOND / 4),
            None => state.rng.random_range(60 * 60..=90 * 60),
        };
        let issued = Issued {
            tenant: tenant.id,
            app: tenant.client_id,
            roles: match grant.audience.as_str() {
                uri if uri == DEFENDER.uri => tenant.roles,
                uri if uri == GRAPH.uri => tenant.graph_roles,
                _ => Vec::new(),
            },
            audience: grant.audience.clone(),
            by_assertion: grant.by_assertion,
            from: now,
            until: now + seconds * SECOND,
        };
        let token = jwt::write(&issued, &mut state.rng);
        state.tokens.insert(token.clone(), issued);
        drop(state);
        self.journal.issued(token.clone());
        let (now, until) = (now / SECOND, now / SECOND + seconds);
        let body = match version {
            TokenVersion::V1 => json!({
                "token_type": "Bearer", "expires_in": seconds.to_string(), "ext_expires_in": seconds.to_string(),
                "expires_on": until.to_string(), "not_before": now.to_string(), "resource": grant.audience,
                "access_token": token,
            }),
            TokenVersion::V2 => json!({
                "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token,
            }),
        };
        Answer::json(200, &body)
    }

    /// The error body of section 4.1.
    fn refuse(&self, TokenError(status, error, code, text): &TokenError) -> Answer {
        let at = time::format_entra(self.world.now());
        let (trace, correlation) = (self.guid(), self.guid());
        let description = format!(
            "AADSTS{code}: {text}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {at}"
        );
        let body = json!({
            "error": error, "error_description": description, "error_codes": [code], "timestamp": at,
            "trace_id": trace, "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
        });
        Answer::json(*status, &body)
    }
}

/// Only the form that Microsoft documents: with hyphens.
fn guid_text(text: &str) -> Option<Uuid> {
    let documented = text.len() == 36;
    documented.then(|| Uuid::try_parse(text).ok()).flatten()
}
