//! The part of [`super::super::fuzzing`] that is about tokens.

#![allow(
    clippy::expect_used,
    reason = "called by tests only, where a panic is the verdict"
)]

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::StatusCode;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::credential::{
    AppCredential, ProofKey, ProofPlace, certificate, client_secret, federated_token,
};
use super::super::fuzzing::{Head, StoppedClock, api_settings, check};
use super::super::grant::{LONGEST_LIFE, SHORTEST_LIFE};
use super::super::http::Clients;
use super::Entra;
use super::refusal::TokenAnswer;
use crate::core::sources::SourceKind;
use crate::core::time::ticks::Ticks;
use crate::settings::{AppSettings, Credential, SecretSource};

/// Secrets: one with characters that forms, JSON and links encode, and one that could be a host name.
const SECRETS: [&str; 2] = ["Canary~8Q/right+1&2=3\"%41\\", "canary-7c41e9d0"];
static KEYS: [ProofKey; 3] = [
    client_secret::FILE,
    federated_token::FILE,
    certificate::CERTIFICATE,
];
const TENANT: &str = "11111111-1111-1111-1111-111111111111";

static SOURCES: LazyLock<[Entra; 2]> = LazyLock::new(|| SourceKind::ALL.map(entra));

fn entra(source: SourceKind) -> Entra {
    let app = AppSettings {
        client_id: Uuid::nil(),
        credential: Credential::Secret {
            current: SecretSource::File("/nonexistent".into()),
            next: None,
        },
        not_after: None,
    };
    let clock = Arc::new(StoppedClock(Ticks(0)));
    let api = api_settings(source, "http://127.0.0.1");
    let credential = AppCredential::new(&app, &api, &Clients::new(), clock).expect("no client");
    let credential = Arc::new(credential);
    let tenant = TENANT.parse().expect("an id");
    Entra::new(&Clients::new(), tenant, credential, &api).expect("a client without certificates")
}

pub(in super::super) fn refused(answer: &Head<'_>) {
    for key in &KEYS {
        for entra in SOURCES.iter() {
            read(entra, answer, key);
        }
    }
}

pub(in super::super) fn granted(body: &[u8]) {
    for entra in SOURCES.iter() {
        read(entra, &Head::ok(body), &client_secret::FILE);
    }
}

/// A token with these claims passes only if they allow what is needed, or can't be read at all.
pub(in super::super) fn claimed(claims: &[u8]) {
    let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
    let body = json!({"access_token": token, "expires_in": "3599"}).to_string();
    let claims = serde_json::from_slice::<Value>(claims);
    let claims = claims.ok().filter(Value::is_object);
    for entra in SOURCES.iter() {
        let granted = read(entra, &Head::ok(body.as_bytes()), &client_secret::FILE);
        let allowed = claims.as_ref().is_none_or(|claims| {
            let roles = claims.get("roles").and_then(Value::as_array);
            let wanted = |role: &Value| {
                let role = role.as_str().unwrap_or_default();
                entra.expected.permission.roles.contains(&role)
            };
            roles.is_some_and(|roles| roles.iter().any(wanted))
        });
        assert!(allowed || !granted, "passed without the permission");
    }
}

/// Whether a token is granted.
fn read(entra: &Entra, answer: &Head<'_>, key: &'static ProofKey) -> bool {
    let answer = TokenAnswer {
        status: answer.status,
        headers: &answer.headers,
        body: answer.body,
        place: &ProofPlace::new(key, "somewhere"),
        secrets: &SECRETS,
    };
    let issued = entra.service.read(&answer);
    let issued = issued.map(|granted| entra.granted(granted, &SECRETS));
    match issued.and_then(|issued| Ok(issued.fit()?)) {
        Ok(grant) => {
            let sane = (SHORTEST_LIFE..=LONGEST_LIFE).contains(&grant.lifetime);
            assert!(sane, "lives for {:?}", grant.lifetime);
            let token = grant.token.secret().expose_secret();
            let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
            assert!(visible, "a token that can't be sent: {token:?}");
            assert_eq!(answer.status, StatusCode::OK, "a token from a refusal");
            true
        }
        Err(denial) => {
            check(&denial.failure, &SECRETS);
            false
        }
    }
}
