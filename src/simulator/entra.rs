//! The token endpoints of Microsoft Entra, v1 and v2, for client credentials with a secret.
//!
//! A token is known by its text: the claims inside are for those who look, the simulator itself never parses them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use uuid::Uuid;

use super::books::Books;
use super::form::{self, Field};
use super::http::Answer;
use super::jwt;
use super::time::{self, SECOND};
use super::world::{Tenant, World};

/// The resource that the incidents belong to.
pub(super) const DEFENDER: &str = "https://api.security.microsoft.com";
/// What a v1 token is for when no resource was named: Azure AD Graph.
const NO_RESOURCE: &str = "00000002-0000-0000-c000-000000000000";
/// Other resources that tokens are given for, though none of them opens the incidents.
const OTHERS: [&str; 3] = [
    "https://graph.microsoft.com",
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

/// `error`, its number, and the text after the number.
struct Refusal(u16, &'static str, u32, String);

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
        let fields = if form_sent {
            form::parse(body)
        } else {
            Some(Vec::new())
        };
        let granted = fields
            .ok_or_else(|| Refusal(400, "invalid_request", 9002313, MALFORMED.to_owned()))
            .and_then(|fields| self.grant(dialect, tenant, &Form(fields)));
        match granted {
            Ok((tenant, audience)) => self.issue(dialect, &tenant, audience),
            Err(refusal) => self.refuse(&refusal),
        }
    }

    fn grant(
        &self,
        dialect: Dialect,
        tenant: &str,
        form: &Form,
    ) -> Result<(Tenant, String), Refusal> {
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
                .map_or(NO_RESOURCE, |f| f.value.as_str()),
            Dialect::V2 => resource_of(form.required("scope")?)?,
        };
        authenticate(&tenant, client, form)?;
        if audience != NO_RESOURCE && audience != DEFENDER && !OTHERS.contains(&audience) {
            let text = format!(
                "The resource principal named {audience} was not found in the tenant named {}. This can happen if the \
                 application has not been installed by the administrator of the tenant or consented to by any user in \
                 the tenant.",
                tenant.name
            );
            return Err(Refusal(400, "invalid_resource", 500011, text));
        }
        let audience = audience.to_owned();
        Ok((tenant, audience))
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

    fn issue(&self, dialect: Dialect, tenant: &Tenant, audience: String) -> Answer {
        let now = self.world.now();
        let mut state = self.state();
        let seconds = match self.lifetime {
            Some(lifetime) => i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX / SECOND / 4),
            None => state.rng.random_range(60 * 60..=90 * 60),
        };
        let issued = Issued {
            tenant: tenant.id,
            app: tenant.client_id,
            roles: if audience == DEFENDER {
                tenant.roles.clone()
            } else {
                Vec::new()
            },
            audience: audience.clone(),
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const MALFORMED: &str = "Invalid request. Request is malformed or invalid.";

struct Form(Vec<Field>);

impl Form {
    fn get(&self, name: &str) -> Option<&Field> {
        self.0
            .iter()
            .find(|field| field.name == name && !(field.value.is_empty() && field.encoded))
    }

    fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name)
            .map(|field| field.value.as_str())
            .ok_or_else(|| {
                let text =
                    format!("The request body must contain the following parameter: '{name}'.");
                Refusal(400, "invalid_request", 900144, text)
            })
    }

    fn once_each(&self) -> Result<(), Refusal> {
        let mut names: Vec<_> = self.0.iter().map(|field| &field.name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(Refusal(
                400,
                "invalid_request",
                9002313,
                MALFORMED.to_owned(),
            ));
        }
        Ok(())
    }
}

/// `https://api.security.microsoft.com/.default` → the part before `/.default`.
fn resource_of(scope: &str) -> Result<&str, Refusal> {
    let invalid = |code, text| Err(Refusal(400, "invalid_scope", code, text));
    if scope.split_whitespace().count() != 1 {
        return invalid(
            70011,
            format!(
                "The provided value for the input parameter 'scope' isn't valid. The scope {scope} isn't valid."
            ),
        );
    }
    match scope.strip_suffix("/.default") {
        Some(resource) if !resource.is_empty() => Ok(resource),
        _ => invalid(
            1002012,
            format!(
                "The provided value for scope {scope} is not valid. Client credential flows must have a scope value \
                 with /.default suffixed to the resource identifier (application ID URI)."
            ),
        ),
    }
}

fn authenticate(tenant: &Tenant, client: &str, form: &Form) -> Result<(), Refusal> {
    if guid_text(client) != Some(tenant.client_id) {
        let text = format!(
            "Application with identifier '{client}' was not found in the directory '{}'. This can happen if the \
             application has not been installed by the administrator of the tenant or consented to by any user in the \
             tenant. You may have sent your authentication request to the wrong tenant.",
            tenant.name
        );
        return Err(Refusal(400, "unauthorized_client", 700016, text));
    }
    let denied = |code, text: String| Err(Refusal(401, "invalid_client", code, text));
    if !tenant.consented {
        return denied(
            7000229,
            format!(
                "The client application {client} is missing service principal in the tenant {}. See instructions \
                 here: https://go.microsoft.com/fwlink/?linkid=2225119",
                tenant.id
            ),
        );
    }
    match (form.get("client_secret"), form.get("client_assertion")) {
        (None, None) => denied(
            7000218,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.".to_owned(),
        ),
        // No certificate is registered.
        (None, Some(_)) => denied(700027, "Client assertion failed signature validation.".to_owned()),
        (Some(secret), _) if !secret.encoded || secret.value != tenant.secret => denied(
            7000215,
            format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret \
                 value, not the client secret ID, for a secret added to app '{client}'."
            ),
        ),
        _ if tenant.secret_expired => denied(
            7000222,
            format!(
                "The provided client secret keys for app '{client}' are expired. Visit the Azure portal to create new \
                 keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for \
                 added security: https://aka.ms/certCreds."
            ),
        ),
        _ => Ok(()),
    }
}

/// Only the form that Microsoft documents: with hyphens.
fn guid_text(text: &str) -> Option<Uuid> {
    (text.len() == 36)
        .then(|| Uuid::try_parse(text).ok())
        .flatten()
}
