//! The endpoints of managed identities.

use super::*;

const APP: Uuid = Uuid::from_u128(7);
const IMDS: &str = "/metadata/identity/oauth2/token";
const EXCHANGE: &str = "api://AzureADTokenExchange";

async fn endpoints(bench: &Bench) -> IdentityEndpoints {
    let identity = |client_id| SimulatedIdentity {
        client_id,
        principal: Uuid::from_u128(8),
        tenant: bench.tenant,
    };
    let all = vec![identity(None), identity(Some(APP))];
    IdentityEndpoints::start(&bench.sim, all).await.unwrap()
}

#[tokio::test]
async fn a_request_as_documented_gets_a_token_that_opens_the_api() {
    let bench = Bench::plain().await;
    let endpoints = endpoints(&bench).await;
    let version = |path: &str| {
        if path == IMDS {
            "2018-02-01"
        } else {
            "2019-08-01"
        }
    };
    for (path, name, value) in [
        (IMDS, "metadata", "true"),
        ("/msi/token", "x-identity-header", IdentityEndpoints::HEADER),
    ] {
        let url = format!("{}{path}", endpoints.imds());
        let query = [
            ("api-version", version(path)),
            ("resource", "https://graph.microsoft.com"),
        ];
        let request = bench.client.get(url).query(&query).header(name, value);
        let (status, body) = read(request.send().await.unwrap()).await;
        assert_eq!(status, 200, "{body}");
        assert!(body["expires_on"].is_string(), "{body}");
        assert_eq!(body["expires_in"].is_string(), path == IMDS);
        let token = body["access_token"].as_str().unwrap();
        assert_eq!(bench.get(token, GRAPH).await.0, 200);
    }
}

#[tokio::test]
async fn anything_else_is_refused() {
    let bench = Bench::plain().await;
    let endpoints = endpoints(&bench).await;
    let good = "api-version=2018-02-01&resource=api%3A%2F%2FAzureADTokenExchange";
    for (path, query, headers, status) in [
        (IMDS, good, &[][..], 400),
        (IMDS, good, &[("metadata", "false")], 400),
        (
            IMDS,
            good,
            &[("metadata", "true"), ("x-forwarded-for", "10.0.0.1")],
            400,
        ),
        (IMDS, "resource=a", &[("metadata", "true")], 400),
        (IMDS, "api-version=2018-02-01", &[("metadata", "true")], 400),
        (
            IMDS,
            "api-version=2018-02-01&resource=https%3A%2F%2Fnobody.example",
            &[("metadata", "true")],
            400,
        ),
        (
            IMDS,
            &format!("{good}&resource=b"),
            &[("metadata", "true")],
            400,
        ),
        (
            IMDS,
            &format!("{good}&scope=b"),
            &[("metadata", "true")],
            400,
        ),
        (
            IMDS,
            &format!("{good}&client_id=x"),
            &[("metadata", "true")],
            400,
        ),
        (
            IMDS,
            &format!("{good}&client_id={}", Uuid::from_u128(9)),
            &[("metadata", "true")],
            400,
        ),
        ("/msi/token", good, &[("x-identity-header", "wrong")], 401),
        (
            "/msi/token",
            good,
            &[("x-identity-header", IdentityEndpoints::HEADER)],
            400,
        ),
        ("/other", good, &[("metadata", "true")], 404),
    ] {
        let url = format!("{}{path}?{query}", endpoints.imds());
        let mut request = bench.client.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (found, body) = read(request.send().await.unwrap()).await;
        assert_eq!(found, status, "{path}?{query} {headers:?}: {body}");
    }
}

#[tokio::test]
async fn its_token_for_the_exchange_proves_the_app_that_trusts_it() {
    let bench = Bench::plain().await;
    let endpoints = endpoints(&bench).await;
    let id = APP.to_string();
    let query = [
        ("api-version", "2018-02-01"),
        ("resource", EXCHANGE),
        ("client_id", &*id),
    ];
    let request = bench.client.get(format!("{}{IMDS}", endpoints.imds()));
    let request = request.query(&query).header("metadata", "true");
    let (_, body) = read(request.send().await.unwrap()).await;
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(bench.tries(token).await, 70021);
    let identity = SimulatedIdentity {
        client_id: Some(APP),
        principal: Uuid::from_u128(8),
        tenant: bench.tenant,
    };
    let trust = |tenant: &mut Tenant| tenant.federated.push(identity.federated());
    bench.world.administer(bench.tenant, trust).unwrap();
    assert_eq!(bench.tries(token).await, Value::Null);
}

#[tokio::test]
async fn a_vault_opens_for_a_living_token_for_vaults_and_no_other() {
    let bench = Bench::plain().await;
    let vault = KeyVault::start(&bench.sim).await.unwrap();
    vault.put("the secret", None);
    let open = async |token: &str, query: &str| {
        let url = format!("{}?{query}", vault.secret());
        let request = bench.client.get(url).bearer_auth(token);
        let (status, body) = read(request.send().await.unwrap()).await;
        (status, body.to_string())
    };
    let mut fields = bench.fields();
    set(
        &mut fields,
        "scope",
        Some("https://vault.azure.net/.default"),
    );
    let path = format!("{}/oauth2/v2.0/token", bench.tenant);
    let (_, body) = bench.post_form(&path, &fields).await;
    let token = body["access_token"].as_str().unwrap();
    let version = "api-version=7.4";
    assert_eq!(open(token, version).await.0, 200);
    assert_eq!(open(token, "").await.0, 400);
    for (token, says) in [("x", "AKV10032"), (&*bench.token().await, "AKV10022")] {
        let (status, body) = open(token, version).await;
        assert!(status == 401 && body.contains(says), "{body}");
    }
    bench.world.advance(Duration::from_secs(90 * 60));
    let (status, body) = open(token, version).await;
    assert!(status == 401 && body.contains("AKV10046"), "{body}");
}
