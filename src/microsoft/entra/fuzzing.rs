//! The part of [`super::super::fuzzing`] that is about tokens.

#![allow(
    clippy::expect_used,
    reason = "called by tests only, where a panic is the verdict"
)]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::super::fuzzing::{Head, check};
use super::super::secret::Secret;
use super::*;
use crate::core::sources::SourceKind;

/// Stand for secrets: one with characters that forms, JSON and links write in other ways, one that could be a host's name.
const SECRETS: [&str; 2] = ["Canary~8Q/right+1&2=3\"%41\\", "canary-7c41e9d0"];
const KEYS: [Key; 2] = [Key::SecretFile, Key::TokenFile];
const TENANT: &str = "11111111-1111-1111-1111-111111111111";

static PROOFS: LazyLock<[Proof; 2]> = LazyLock::new(|| {
    SECRETS.map(|secret| Proof {
        value: SecretString::from(secret.to_owned()),
        place: Place::of(Key::SecretFile),
    })
});

static SOURCES: LazyLock<[Entra; 2]> = LazyLock::new(|| SourceKind::ALL.map(entra));

fn entra(source: SourceKind) -> Entra {
    let url = Url::parse("http://127.0.0.1").expect("a URL");
    let http = HttpOptions {
        proxy: None,
        authorities: None,
        silence: Duration::from_secs(1),
    };
    let options = EntraOptions {
        http,
        tenant: TENANT.parse().expect("an id"),
        client_id: Uuid::nil(),
        credential: Arc::new(Credential::secret(Secret::Variable {
            name: "SECRET".to_owned(),
            value: SecretString::default(),
        })),
        login_url: url,
        scope: "https://api.security.microsoft.com/.default".to_owned(),
        endpoint: Endpoint::V2,
        permission: source.facts().permission,
    };
    Entra::new(&Clients::new(), options).expect("a client that needs no certificates")
}

pub(in super::super) fn refused(answer: &Head<'_>) {
    for key in KEYS {
        for entra in SOURCES.iter() {
            read(entra, answer.status, &answer.headers, answer.body, key);
        }
    }
}

pub(in super::super) fn granted(body: &[u8]) {
    for entra in SOURCES.iter() {
        read(
            entra,
            StatusCode::OK,
            &HeaderMap::new(),
            body,
            Key::SecretFile,
        );
    }
}

/// A token with these claims passes only when they allow what is needed, or can't be read at all.
pub(in super::super) fn claimed(claims: &[u8]) {
    let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
    let body = json!({"access_token": token, "expires_in": "3599"}).to_string();
    let claims = serde_json::from_slice::<Value>(claims);
    let claims = claims.ok().filter(Value::is_object);
    for entra in SOURCES.iter() {
        let granted = read(
            entra,
            StatusCode::OK,
            &HeaderMap::new(),
            body.as_bytes(),
            Key::SecretFile,
        );
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
fn read(entra: &Entra, status: StatusCode, headers: &HeaderMap, body: &[u8], key: Key) -> bool {
    let [one, other] = &*PROOFS;
    let hidden = [one, other];
    let asked = Asked {
        place: &Place::of(key),
        hidden: &hidden,
    };
    let issued = entra.read(status, headers, body, &asked);
    match issued.and_then(|issued| Ok(issued.fit()?)) {
        Ok(grant) => {
            let sane = (SHORTEST_LIFE..=LONGEST_LIFE).contains(&grant.lifetime);
            assert!(sane, "lives for {:?}", grant.lifetime);
            let token = grant.token.secret().expose_secret();
            let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
            assert!(visible, "a token that can't be sent: {token:?}");
            assert_eq!(status, StatusCode::OK, "a token from a refusal");
            true
        }
        Err(denial) => {
            check(&denial.failure, &SECRETS);
            false
        }
    }
}
