use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;

const ISSUER: &str = "https://oidc.example/cluster";
const SUBJECT: &str = "system:serviceaccount:soc:incidentd";
const MINUTE: i64 = 60 * SECOND;

fn registered() -> FederatedCredential {
    FederatedCredential::new(ISSUER, SUBJECT)
}

async fn trusting() -> Bench {
    let bench = Bench::plain().await;
    let trust = |tenant: &mut Tenant| tenant.federated.push(registered());
    bench.world.administer(bench.tenant, trust).unwrap();
    bench
}

impl Bench {
    async fn exchange(
        &self,
        change: impl FnOnce(&mut Vec<(&'static str, String)>),
    ) -> (u16, Value) {
        let mut fields = self.fields();
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        set(&mut fields, "client_secret", None);
        set(&mut fields, "client_assertion_type", Some(kind));
        set(
            &mut fields,
            "client_assertion",
            Some(&registered().assertion(START, START + MINUTE)),
        );
        change(&mut fields);
        self.post_form(&format!("{}/oauth2/v2.0/token", self.tenant), &fields)
            .await
    }

    async fn present(&self, assertion: &str) -> (u16, Value) {
        self.exchange(|fields| set(fields, "client_assertion", Some(assertion)))
            .await
    }
}

#[tokio::test]
async fn a_trusted_assertion_takes_the_place_of_a_secret() {
    let bench = trusting().await;
    let (status, body) = bench.exchange(|_| {}).await;
    assert_eq!(status, 200, "{body}");
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(bench.get(token, "/api/incidents").await.0, 200);
    let claims = token.split('.').nth(1).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["appidacr"], "2");
}

#[tokio::test]
async fn assertions_that_match_no_record_are_refused_by_what_differs() {
    let bench = trusting().await;
    let with = |change: fn(&mut FederatedCredential)| {
        let mut other = registered();
        change(&mut other);
        other.assertion(START, START + MINUTE)
    };
    for (assertion, code) in [
        (with(|fic| fic.issuer.push('/')), 700211),
        (
            with(|fic| fic.audience = "api://azureadtokenexchange".to_owned()),
            700212,
        ),
        (with(|fic| fic.subject = fic.subject.to_uppercase()), 700213),
        (
            registered().assertion(START + MINUTE, START + 2 * MINUTE),
            700024,
        ),
        (registered().assertion(START - MINUTE, START), 700024),
    ] {
        let (status, body) = bench.present(&assertion).await;
        assert_eq!(
            (status, &body["error"]),
            (401, &"invalid_client".into()),
            "{code}"
        );
        assert_eq!(body["error_codes"], json!([code]), "{body}");
    }
    bench
        .world
        .administer(bench.tenant, |tenant| tenant.federated.clear())
        .unwrap();
    let (_, body) = bench.exchange(|_| {}).await;
    assert_eq!(body["error_codes"], json!([70021]));
}

#[tokio::test]
async fn assertions_must_have_their_form() {
    let bench = trusting().await;
    let good = registered().assertion(START, START + MINUTE);
    let mut parts = good.split('.');
    let (header, claims) = (parts.next().unwrap(), parts.next().unwrap());
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let hs256 = encode(json!({"alg": "HS256", "typ": "JWT"}));
    let rs256 = encode(json!({"alg": "RS256", "typ": "JWT"}));
    let forever = json!({"iss": ISSUER, "sub": SUBJECT, "aud": FederatedCredential::AUDIENCE});
    let many = json!({"iss": ISSUER, "sub": SUBJECT, "aud": [FederatedCredential::AUDIENCE, "x"], "exp": 9_999_999_999_i64});
    let own = Tenant::CLIENT_ID.to_string();
    let certificate =
        json!({"iss": own, "sub": own, "aud": "https://login", "exp": 9_999_999_999_i64});
    for (assertion, code) in [
        (format!("{header}.{claims}"), 50027),
        (format!("{header}.{claims}."), 50027),
        (format!("{good}.more"), 50027),
        (format!("{good}="), 50027),
        (format!("{good}\n"), 50027),
        (format!("{header}.bm8.c2ln"), 50027),
        (format!("{hs256}.{claims}.c2ln"), 50027),
        (format!("{rs256}.{}.c2ln", encode(forever)), 50027),
        (format!("{rs256}.{}.c2ln", encode(many)), 50027),
        (format!("{rs256}.{}.c2ln", encode(certificate)), 50027),
    ] {
        let (status, body) = bench.present(&assertion).await;
        assert_eq!(status, 401, "{assertion}");
        assert_eq!(body["error_codes"], json!([code]), "{assertion}");
    }
    for (name, value, code) in [
        ("client_assertion_type", None, 900144),
        ("client_assertion_type", Some("jwt-bearer"), 90023),
        ("client_assertion", None, 7000218),
        ("client_secret", Some(Tenant::SECRET), 9002313),
    ] {
        let (_, body) = bench.exchange(|fields| set(fields, name, value)).await;
        assert_eq!(body["error_codes"], json!([code]), "{name}={value:?}");
    }
    assert!(bench.journal.issued_tokens().is_empty());
}

#[tokio::test]
async fn each_resource_has_its_own_token() {
    let bench = Bench::plain().await;
    let mut fields = bench.fields();
    set(&mut fields, "scope", None);
    set(&mut fields, "resource", Some("https://graph.microsoft.com"));
    let (status, v1) = bench
        .post_form(&format!("{}/oauth2/token", bench.tenant), &fields)
        .await;
    assert_eq!(status, 200, "{v1}");
    let token = v1["access_token"].as_str().unwrap();
    assert_eq!(bench.get(token, GRAPH).await.0, 200);
    assert_eq!(bench.get(token, "/api/incidents").await.0, 401);
    let claims = URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1).unwrap())
        .unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"], "https://graph.microsoft.com");
    assert_eq!(claims["roles"], json!(["SecurityIncident.Read.All"]));
}
