//! An identity provider with one client, for Kafka's log-in: it takes nothing but the token request of RFC 6749 (section 4.4),
//! and signs tokens (JWT) that a real Kafka verifies with the keys that it shows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::form_urlencoded;
use uuid::Uuid;

pub const CLIENT: &str = "incidentd at the provider";
pub const SCOPE: &str = "kafka";
pub const AUDIENCE: &str = "kafka.example";

/// What it does from now on, and what it did.
pub struct Issuing {
    pub secret: String,
    pub audience: String,
    /// Seconds that a token lives.
    pub life: u64,
    /// It answers with a 503.
    pub is_down: bool,
    pub tokens: Vec<String>,
    pub refusals: usize,
}

pub struct IdentityProvider {
    pub url: String,
    issuer: Arc<Issuer>,
    task: JoinHandle<()>,
}

struct Issuer {
    url: String,
    key: EcdsaKeyPair,
    issuing: Mutex<Issuing>,
}

type Answer = (StatusCode, axum::Json<Value>);

impl IdentityProvider {
    pub async fn start(secret: &str, life: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let made = made.expect("a key");
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random);
        let issuer = Arc::new(Issuer {
            url: url.clone(),
            key: key.expect("a key"),
            issuing: Mutex::new(Issuing {
                secret: secret.to_owned(),
                audience: AUDIENCE.to_owned(),
                life,
                is_down: false,
                tokens: Vec::new(),
                refusals: 0,
            }),
        });
        let routes = Router::new()
            .route("/token", post(token))
            .route("/keys", get(keys))
            .with_state(issuer.clone());
        let task = tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("it serves");
        });
        Self { url, issuer, task }
    }

    pub fn token_endpoint(&self) -> String {
        format!("{}/token", self.url)
    }

    pub fn issuing(&self) -> MutexGuard<'_, Issuing> {
        self.issuer.issuing()
    }

    /// What a listener of a broker needs to verify these tokens.
    pub fn listener(&self, name: &str) -> String {
        const PACKAGE: &str = "org.apache.kafka.common.security.oauthbearer";
        let prefix = format!("listener.name.{name}.oauthbearer");
        let url = &self.url;
        format!(
            "{prefix}.sasl.jaas.config={PACKAGE}.OAuthBearerLoginModule required;\n\
             {prefix}.sasl.server.callback.handler.class={PACKAGE}.OAuthBearerValidatorCallbackHandler\n\
             {prefix}.sasl.oauthbearer.jwks.endpoint.url={url}/keys\n\
             {prefix}.sasl.oauthbearer.expected.audience={AUDIENCE}\n\
             {prefix}.sasl.oauthbearer.expected.issuer={url}\n\
             {prefix}.sasl.oauthbearer.clock.skew.seconds=0\n\
             {prefix}.connections.max.reauth.ms=3600000\n"
        )
    }

    /// Kafka asks only addresses that this option of its Java names.
    pub fn java(&self) -> String {
        format!(
            "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={}/keys",
            self.url
        )
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Issuer {
    fn issuing(&self) -> MutexGuard<'_, Issuing> {
        self.issuing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sign(&self, audience: &str, life: u64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("after 1970").as_secs();
        let claims = json!({
            "iss": self.url, "sub": "incidentd", "aud": audience, "scope": SCOPE, "jti": Uuid::new_v4(),
            "iat": now, "exp": now + life,
        });
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(&json!({"alg": "ES256", "kid": "one"}));
        let signed = format!("{head}.{}", part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature.expect("a signature"));
        format!("{signed}.{signature}")
    }
}

async fn token(State(issuer): State<Arc<Issuer>>, headers: HeaderMap, body: String) -> Answer {
    let mut issuing = issuer.issuing();
    if issuing.is_down {
        return (StatusCode::SERVICE_UNAVAILABLE, axum::Json(Value::Null));
    }
    match check(&headers, &body, &issuing.secret) {
        Ok(()) => {
            let token = issuer.sign(&issuing.audience, issuing.life);
            issuing.tokens.push(token.clone());
            let answer =
                json!({"access_token": token, "token_type": "Bearer", "expires_in": issuing.life});
            (StatusCode::OK, axum::Json(answer))
        }
        Err((status, error, description)) => {
            issuing.refusals += 1;
            let answer = json!({"error": error, "error_description": description});
            (status, axum::Json(answer))
        }
    }
}

/// Says again what it was sent, as a careless provider does.
fn check(
    headers: &HeaderMap,
    body: &str,
    secret: &str,
) -> Result<(), (StatusCode, &'static str, String)> {
    let bad = |what: &str| {
        Err((
            StatusCode::BAD_REQUEST,
            "invalid_request",
            format!("{what}: {body}"),
        ))
    };
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::CONTENT_TYPE) != Some("application/x-www-form-urlencoded") {
        return bad("no form");
    }
    let log_in = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Basic "));
    let Some(log_in) = log_in.and_then(|it| BASE64_STANDARD.decode(it).ok()) else {
        return bad("no client");
    };
    let log_in = String::from_utf8(log_in).expect("a text");
    let decoded = |text: &str| {
        let pair = format!("x={text}");
        let mut pairs = form_urlencoded::parse(pair.as_bytes());
        pairs.next().expect("a pair").1.into_owned()
    };
    let (id, given) = log_in.split_once(':').expect("two parts");
    if (decoded(id), decoded(given)) != (CLIENT.to_owned(), secret.to_owned()) {
        let said = format!("{} is not the secret ({given})", decoded(given));
        return Err((StatusCode::UNAUTHORIZED, "invalid_client", said));
    }
    let form: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    if form[..1] != [pair("grant_type", "client_credentials")] {
        return bad("another grant");
    }
    match form[1..] == [pair("scope", SCOPE)] {
        true => Ok(()),
        false => Err((StatusCode::BAD_REQUEST, "invalid_scope", body.to_owned())),
    }
}

/// The keys as a set (JWKS, RFC 7517).
async fn keys(State(issuer): State<Arc<Issuer>>) -> axum::Json<Value> {
    // The form of an uncompressed point: 4, then both coordinates.
    let point = &issuer.key.public_key().as_ref()[1..];
    let (x, y) = point.split_at(32);
    let part = |bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    axum::Json(json!({"keys": [{
        "kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "alg": "ES256", "x": part(x), "y": part(y),
    }]}))
}
