//! The token endpoints of Microsoft Entra, v1 and v2, for client credentials (sections 4.1 to 4.3 and 4.5).
//!
//! The simulator knows a token by its text and never parses its claims.

mod certificate;
mod credential;
mod form;

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use uuid::Uuid;

use super::Options;
use super::answer::Answer;
use super::call::Call;
use super::errors::{Errors, Refusal};
use super::journal::Journal;
use super::jwt;
use super::template::fill;
use super::tenant::Tenant;
use super::time::{self, SECOND};
use super::world::World;
use form::{Form, resource_of};

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

/// What tokens for key vaults are asked for.
pub(super) const VAULTS: &str = "https://vault.azure.net";

/// The resource of a v1 token if the request names none: Azure AD Graph (section 2.3).
const NO_RESOURCE: &str = "00000002-0000-0000-c000-000000000000";
/// All resources that tokens are issued for. The last two are those of section 1.2's wrong samples: their tokens open
/// neither API.
const RESOURCES: [&str; 6] = [
    NO_RESOURCE,
    DEFENDER.uri,
    GRAPH.uri,
    VAULTS,
    "https://api.securitycenter.microsoft.com",
    "https://securitycenter.onmicrosoft.com/windowsatpservice",
];

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

impl Issued {
    /// The Defender API describes the token that it refuses (section 2.3).
    pub fn refusal(&self, name: &'static str) -> Refusal {
        let [app, tenant] = [self.app, self.tenant].map(|id| id.to_string());
        let [from, until] = [self.from, self.until].map(time::format);
        Refusal::error(name, [&app, &self.audience, &tenant, &from, &until])
    }
}

/// A new token, and when it ends, in seconds.
pub(super) struct Minted {
    pub token: String,
    pub until: i64,
}

pub(super) struct Entra {
    world: World,
    journal: Journal,
    lifetime: Option<Duration>,
    /// The simulator's own address, without a path.
    url: String,
    state: Mutex<State>,
}

struct State {
    tokens: HashMap<String, Issued>,
    /// The ids of the apps' own assertions: each is taken once.
    assertions: HashSet<String>,
    rng: StdRng,
}

/// What an assertion is checked against, besides the tenant's registrations.
struct Receiver<'a> {
    now: i64,
    audience: &'a str,
    /// The ids of assertions that were taken before.
    taken: &'a mut HashSet<String>,
}

/// An AADSTS number (section 4.3), and what fills the holes of its text in `errors.json`.
struct TokenError(u32, Vec<String>);

fn error<const N: usize>(number: u32, values: [&str; N]) -> TokenError {
    TokenError(number, values.map(str::to_owned).to_vec())
}

static ERRORS: LazyLock<Errors> = LazyLock::new(|| Errors::new(include_str!("entra/errors.json")));

impl Entra {
    pub fn new(world: World, journal: Journal, url: String, options: &Options) -> Self {
        let state = State {
            tokens: HashMap::new(),
            assertions: HashSet::new(),
            rng: StdRng::seed_from_u64(options.seed.rotate_left(32)),
        };
        Self {
            world,
            journal,
            lifetime: options.token_lifetime,
            url,
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

    pub fn token(&self, call: &Call<'_>, body: &[u8]) -> Answer {
        let v2 = call.path().ends_with("/v2.0/token");
        let kind = call.header("content-type").unwrap_or_default();
        let form = Form::read(kind, body);
        match form.and_then(|form| self.grant(v2, call.id, &form)) {
            Ok(issued) => self.issue(v2, issued),
            Err(error) => self.refuse(&error),
        }
    }

    fn grant(&self, v2: bool, tenant: &str, form: &Form) -> Result<Issued, TokenError> {
        form.once_each()?;
        let grant = form.required("grant_type")?;
        if grant != "client_credentials" {
            return Err(error(70003, [grant]));
        }
        let tenant = self.directory(tenant)?;
        let client = form.required("client_id")?;
        let resource = form.get("resource").map(|field| field.value.as_str());
        let audience = match v2 {
            true => resource_of(form.required("scope")?)?,
            false => resource.unwrap_or(NO_RESOURCE),
        };
        let now = self.world.now();
        let audience_of_assertions = format!("{}/{}/oauth2/v2.0/token", self.url, tenant.id);
        let by_assertion = credential::check(
            &tenant,
            client,
            form,
            &mut Receiver {
                now,
                audience: &audience_of_assertions,
                taken: &mut self.state.lock().assertions,
            },
        )?;
        if !RESOURCES.contains(&audience) {
            return Err(error(500011, [audience, &tenant.name]));
        }
        Ok(Issued {
            tenant: tenant.id,
            app: tenant.client_id,
            audience: audience.to_owned(),
            by_assertion,
            roles: roles(&tenant, audience),
            from: now,
            until: now,
        })
    }

    /// Sections 4.1 and 4.3: the path must name the customer's tenant.
    fn directory(&self, tenant: &str) -> Result<Tenant, TokenError> {
        match tenant {
            "common" | "consumers" => Err(error(9001023, [])),
            "organizations" => Err(error(50059, [])),
            _ => {
                let known = guid_text(tenant).and_then(|id| self.world.tenant(id));
                known.ok_or_else(|| error(90002, [tenant]))
            }
        }
    }

    /// Section 4.1: v1 writes numbers as strings. Section 4.5: a token without roles is issued all the same.
    fn issue(&self, v2: bool, issued: Issued) -> Answer {
        let (from, audience) = (issued.from, issued.audience.clone());
        let Minted { token, until } = self.minted(issued);
        let from = from / SECOND;
        let values = json!({
            "seconds": until - from, "from": from, "until": until, "audience": audience, "token": token,
        });
        self.journal.issued(token);
        let body = match v2 {
            true => include_str!("entra/token_v2.json"),
            false => include_str!("entra/token_v1.json"),
        };
        Answer::json(200, fill(body, &values))
    }

    /// A token for this API that the app gets without a request here. `None`: there is no such API.
    pub fn mint(&self, tenant: &Tenant, app: Uuid, audience: &str) -> Option<Minted> {
        let now = self.world.now();
        RESOURCES.contains(&audience).then(|| {
            self.minted(Issued {
                tenant: tenant.id,
                app,
                audience: audience.to_owned(),
                by_assertion: true,
                roles: roles(tenant, audience),
                from: now,
                until: now,
            })
        })
    }

    fn minted(&self, mut issued: Issued) -> Minted {
        let mut state = self.state.lock();
        let seconds = match self.lifetime {
            Some(lifetime) => i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX / SECOND / 4),
            None => state.rng.random_range(60 * 60..=90 * 60),
        };
        issued.until = issued.from + seconds * SECOND;
        let token = access_token(&issued, &mut state.rng);
        let until = issued.until / SECOND;
        state.tokens.insert(token.clone(), issued);
        Minted { token, until }
    }

    /// The error body of section 4.1.
    fn refuse(&self, TokenError(number, values): &TokenError) -> Answer {
        let error = ERRORS.find(&number.to_string(), values);
        let values = json!({
            "code": error.code, "number": number, "message": error.message,
            "at": time::format_entra(self.world.now()), "trace": self.guid(), "correlation": self.guid(),
        });
        let body = fill(include_str!("entra/error.json"), &values);
        Answer::json(error.status, body)
    }
}

/// The permissions of the app for an API.
fn roles(tenant: &Tenant, audience: &str) -> Vec<String> {
    match audience {
        uri if uri == DEFENDER.uri => tenant.roles.clone(),
        uri if uri == GRAPH.uri => tenant.graph_roles.clone(),
        _ => Vec::new(),
    }
}

/// Only the form that Microsoft documents: with hyphens.
fn guid_text(text: &str) -> Option<Uuid> {
    let documented = text.len() == 36;
    documented.then(|| Uuid::try_parse(text).ok()).flatten()
}

/// A v1-format token, which both APIs have, whichever endpoint issued it.
fn access_token(issued: &Issued, rng: &mut StdRng) -> String {
    // The service principal's object id in the customer's directory: the same for the same app and tenant.
    let principal = issued.tenant.as_u128() ^ issued.app.as_u128().rotate_left(64);
    let mut values = json!({
        "tenant": issued.tenant, "app": issued.app, "principal": Uuid::from_u128(principal),
        "audience": issued.audience, "credential": if issued.by_assertion { "2" } else { "1" },
        "from": issued.from / SECOND, "until": issued.until / SECOND,
        "uti": URL_SAFE_NO_PAD.encode(rng.random::<[u8; 16]>()),
    });
    // A token without permissions does not have this claim.
    if !issued.roles.is_empty() {
        values["roles"] = json!(issued.roles);
    }
    let signature: Vec<u8> = std::iter::repeat_with(|| rng.random()).take(256).collect();
    jwt::join(
        &fill(include_str!("entra/claims.json"), &values),
        &signature,
    )
}
