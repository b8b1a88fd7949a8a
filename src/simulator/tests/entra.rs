use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

fn claims(token: &str) -> Value {
    let parts: Vec<_> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "a token has three parts");
    let payload = URL_SAFE_NO_PAD.decode(parts[1]).expect("base64url");
    serde_json::from_slice(&payload).expect("claims are JSON")
}

#[tokio::test]
async fn refuses_each_bad_request_with_its_documented_error() {
    let bench = Bench::plain().await;
    let own = format!("{}/oauth2/v2.0/token", bench.tenant);
    let other = format!("{}/oauth2/v2.0/token", Uuid::from_u128(7));
    type Change = (&'static str, Option<&'static str>);
    let table: [(&str, Change, u16, &str, u32); 16] = [
        (
            &own,
            ("grant_type", Some("password")),
            400,
            "unsupported_grant_type",
            70003,
        ),
        (&own, ("grant_type", None), 400, "invalid_request", 900144),
        (&own, ("client_id", None), 400, "invalid_request", 900144),
        (&own, ("scope", None), 400, "invalid_request", 900144),
        (
            &own,
            ("scope", Some("https://api.security.microsoft.com")),
            400,
            "invalid_scope",
            1002012,
        ),
        (
            &own,
            ("scope", Some("Incident.Read.All")),
            400,
            "invalid_scope",
            1002012,
        ),
        (
            &own,
            ("scope", Some("a/.default b/.default")),
            400,
            "invalid_scope",
            70011,
        ),
        (
            &own,
            (
                "scope",
                Some("https://api.security.microsoft.com//.default"),
            ),
            400,
            "invalid_resource",
            500011,
        ),
        (
            &own,
            ("client_id", Some("11111111-1111-1111-1111-111111111111")),
            400,
            "unauthorized_client",
            700016,
        ),
        (
            &own,
            ("client_secret", None),
            401,
            "invalid_client",
            7000218,
        ),
        (
            &own,
            ("client_secret", Some("wrong")),
            401,
            "invalid_client",
            7000215,
        ),
        (
            &own,
            (
                "client_secret",
                Some("q~8Q/+sim&ulated=%41secret.never_real\n"),
            ),
            401,
            "invalid_client",
            7000215,
        ),
        (&other, ("x", None), 400, "invalid_request", 90002),
        (
            "contoso/oauth2/v2.0/token",
            ("x", None),
            400,
            "invalid_request",
            90002,
        ),
        (
            "common/oauth2/v2.0/token",
            ("x", None),
            400,
            "invalid_request",
            9001023,
        ),
        (
            "organizations/oauth2/v2.0/token",
            ("x", None),
            400,
            "invalid_request",
            50059,
        ),
    ];
    for (path, (name, value), status, error, code) in table {
        let mut fields = bench.fields();
        set(&mut fields, name, value);
        let (got, body) = bench.post_form(path, &fields).await;
        assert_eq!(
            (got, &body["error"]),
            (status, &Value::from(error)),
            "{path} {name}={value:?}: {body}"
        );
        assert_eq!(
            body["error_codes"],
            serde_json::json!([code]),
            "{path} {name}={value:?}"
        );
        let text = body["error_description"].as_str().expect("a description");
        assert!(
            text.starts_with(&format!("AADSTS{code}: ")) && text.contains("\r\nTrace ID: "),
            "{text}"
        );
        assert_eq!(body["timestamp"], "2026-03-01 08:00:00Z");
        assert!(
            body["trace_id"].is_string()
                && body["correlation_id"].is_string()
                && body["error_uri"].is_string()
        );
    }
    assert!(
        bench.journal.issued_tokens().is_empty(),
        "no refused request got a token"
    );
    assert_eq!(bench.journal.token_requests(), 16);
}

#[tokio::test]
async fn the_state_of_the_tenant_decides() {
    let bench = Bench::plain().await;
    let path = format!("{}/oauth2/v2.0/token", bench.tenant);
    let expect = async |change: fn(&mut Tenant), status: u16, code: u32| {
        bench
            .world
            .administer(bench.tenant, change)
            .expect("the tenant");
        let (got, body) = bench.post_form(&path, &bench.fields()).await;
        assert_eq!(
            (got, &body["error_codes"][0]),
            (status, &Value::from(code)),
            "{body}"
        );
    };
    expect(|tenant| tenant.secret_expired = true, 401, 7000222).await;
    expect(|tenant| tenant.secret = "rotated".to_owned(), 401, 7000215).await;
    expect(|tenant| tenant.consented = false, 401, 7000229).await;
    let path = format!("{}/oauth2/v2.0/token", Uuid::from_u128(9));
    let (status, body) = bench.post_form(&path, &bench.fields()).await;
    assert_eq!(
        (status, &body["error_codes"][0]),
        (400, &Value::from(90002))
    );
}

#[tokio::test]
async fn a_secret_that_is_not_encoded_is_a_wrong_secret() {
    let bench = Bench::plain().await;
    let url = format!("{}/{}/oauth2/v2.0/token", bench.sim.url(), bench.tenant);
    let rest = format!(
        "grant_type=client_credentials&client_id={}&scope=https%3A%2F%2Fapi.security.microsoft.com%2F.default",
        Tenant::CLIENT_ID
    );
    let post = async |secret: &str, kind: &str| {
        let request = bench.client.post(&url).header("content-type", kind);
        read(
            request
                .body(format!("{rest}&client_secret={secret}"))
                .send()
                .await
                .expect("an answer"),
        )
        .await
    };
    let form = "application/x-www-form-urlencoded";
    for special in ["+", "/", "=", "&", "%", "%41", "~"] {
        let secret = format!("ab{special}cd");
        let rotated = secret.clone();
        bench
            .world
            .administer(bench.tenant, |tenant| tenant.secret = rotated)
            .expect("the tenant");
        let (status, body) = post(&secret, form).await;
        assert_eq!(
            (status, &body["error_codes"][0]),
            (401, &Value::from(7000215)),
            "{secret} was taken as it is"
        );
        let encoded: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
        assert_eq!(
            post(&encoded, form).await.0,
            200,
            "{secret} was refused though encoded"
        );
    }
    bench
        .world
        .administer(bench.tenant, |tenant| tenant.secret = "plain".to_owned())
        .expect("the tenant");
    assert_eq!(post("plain", form).await.0, 200);
    assert_eq!(
        post("plain&client_secret=plain", form).await.0,
        400,
        "a field given twice"
    );
    assert_eq!(
        post("plain", "application/json").await.0,
        400,
        "not sent as a form"
    );
}

#[tokio::test]
async fn v1_and_v2_differ_as_documented() {
    let bench =
        Bench::start(|options| options.token_lifetime = Some(Duration::from_secs(3599))).await;
    let (status, v2) = bench
        .post_form(
            &format!("{}/oauth2/v2.0/token", bench.tenant),
            &bench.fields(),
        )
        .await;
    assert_eq!(
        (status, &v2["expires_in"], &v2["ext_expires_in"]),
        (200, &Value::from(3599), &Value::from(3599))
    );
    assert_eq!(v2["expires_on"], Value::Null);

    let mut fields = bench.fields();
    set(&mut fields, "scope", None);
    let path = format!("{}/oauth2/token", bench.tenant);
    let (status, without) = bench.post_form(&path, &fields).await;
    assert_eq!(
        (status, &without["resource"]),
        (200, &Value::from("00000002-0000-0000-c000-000000000000"))
    );
    let (status, body) = bench
        .get(without["access_token"].as_str().unwrap(), "/api/incidents")
        .await;
    assert_eq!(status, 401);
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("Audience: 00000002-0000-0000-c000-000000000000, Issuer: https://sts"),
        "{message}"
    );

    set(
        &mut fields,
        "resource",
        Some("https://api.security.microsoft.com"),
    );
    let (status, v1) = bench.post_form(&path, &fields).await;
    assert_eq!(
        (status, &v1["expires_in"]),
        (200, &Value::from("3599")),
        "v1 writes numbers as text"
    );
    assert_eq!(v1["expires_on"], (START / SECOND + 3599).to_string());
    assert_eq!(v1["resource"], "https://api.security.microsoft.com");

    for body in [v1, v2] {
        assert_eq!(body["token_type"], "Bearer");
        let claims = claims(body["access_token"].as_str().unwrap());
        assert_eq!(claims["aud"], "https://api.security.microsoft.com");
        assert_eq!(
            claims["iss"],
            format!("https://sts.windows.net/{}/", bench.tenant)
        );
        assert_eq!(claims["tid"], bench.tenant.to_string());
        assert_eq!(claims["appid"], Tenant::CLIENT_ID.to_string());
        assert_eq!(claims["roles"], serde_json::json!(["Incident.Read.All"]));
        assert_eq!(claims["exp"], START / SECOND + 3599);
        assert_eq!(claims["ver"], "1.0");
    }
}

#[tokio::test]
async fn roles_are_frozen_in_the_token_and_absent_without_any() {
    let bench = Bench::plain().await;
    bench
        .world
        .administer(bench.tenant, |tenant| tenant.roles.clear())
        .unwrap();
    let before = bench.token().await;
    assert_eq!(claims(&before).get("roles"), None, "not even an empty one");
    bench
        .world
        .administer(bench.tenant, |tenant| {
            tenant.roles.push("Incident.ReadWrite.All".into())
        })
        .unwrap();
    let after = bench.token().await;
    let (status, body) = bench.get(&before, "/api/incidents").await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (403, &Value::from("Forbidden"))
    );
    assert!(body["error"]["target"].is_string());
    assert_eq!(bench.get(&after, "/api/incidents").await.0, 200);
}

#[tokio::test]
async fn tokens_expire_are_revoked_and_belong_to_one_resource() {
    let bench =
        Bench::start(|options| options.token_lifetime = Some(Duration::from_secs(60))).await;
    let token = bench.token().await;
    bench.world.advance(Duration::from_secs(59));
    assert_eq!(bench.get(&token, "/api/incidents").await.0, 200);
    bench.world.advance(Duration::from_secs(1));
    assert_eq!(bench.get(&token, "/api/incidents").await.0, 401, "expired");
    let token = bench.token().await;
    bench.sim.revoke_tokens(bench.tenant);
    assert_eq!(bench.get(&token, "/api/incidents").await.0, 401, "revoked");
    let mut fields = bench.fields();
    set(
        &mut fields,
        "scope",
        Some("https://graph.microsoft.com/.default"),
    );
    let (_, graph) = bench
        .post_form(&format!("{}/oauth2/v2.0/token", bench.tenant), &fields)
        .await;
    let graph = graph["access_token"]
        .as_str()
        .expect("Entra gives tokens for Graph as well");
    assert_eq!(
        bench.get(graph, "/api/incidents").await.0,
        401,
        "another resource's"
    );
    assert_eq!(bench.journal.issued_tokens().len(), 3);
}
