//! A managed identity instead of a secret.

use tokio::time::advance;

use super::*;
use crate::settings::{IdentityEndpoint, ManagedIdentity};

/// Another client id than the app's, which is nil.
const CLIENT: Uuid = Uuid::from_u128(7);
const HEADER: &str = "HEADER~CANARY";
const ASSERTION: &str = "aGVhZA.QVNTRVJUSU9O.Q0FOQVJZ";

fn imds(server: &Server) -> IdentityEndpoint {
    let mut url = server.url.clone();
    url.set_path("/metadata/identity/oauth2/token");
    IdentityEndpoint::Imds(url)
}

fn app_service(server: &Server) -> IdentityEndpoint {
    IdentityEndpoint::AppService {
        url: server.url.join("/msi/token").unwrap(),
        header: secret(HEADER),
    }
}

fn entra_of(login: &Server, client_id: Option<Uuid>, endpoint: IdentityEndpoint) -> Entra {
    let credential = Credential::ManagedIdentity(ManagedIdentity {
        client_id,
        endpoint,
    });
    entra_proving(&login.url, TokenEndpoint::V2, credential)
}

/// The answer of the metadata service, which writes numbers as texts.
fn given(token: &str) -> Vec<Step> {
    let until = (NOW.unix_seconds() + 3600).to_string();
    let body = json!({"access_token": token, "expires_in": "3600", "expires_on": until, "token_type": "Bearer"});
    json_answer("200 OK", body.to_string())
}

#[tokio::test]
async fn an_identity_that_is_the_app_gets_the_token_itself() {
    let nowhere = Server::start(Vec::new()).await;
    let identity = Server::start(given(&good_token())).await;
    for (client_id, query) in [
        (None, ""),
        (
            Some(Uuid::nil()),
            "&client_id=00000000-0000-0000-0000-000000000000",
        ),
    ] {
        let entra = entra_of(&nowhere, client_id, imds(&identity));
        let grant = entra.request().await.unwrap();
        assert_eq!(grant.token.secret().expose_secret(), good_token());
        assert_eq!(grant.lifetime, Duration::from_secs(3600));
        let request = identity.requests().pop().unwrap();
        let line = format!(
            "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fapi.security.microsoft.com{query} HTTP/1.1\r\n"
        );
        assert!(request.starts_with(&line), "{request}");
        assert!(
            request.to_lowercase().contains("\r\nmetadata: true\r\n"),
            "{request}"
        );
    }
    assert!(nowhere.requests().is_empty());
}

#[tokio::test]
async fn app_service_is_asked_with_its_header_and_says_an_instant_only() {
    let nowhere = Server::start(Vec::new()).await;
    let until = NOW.unix_seconds() + 500;
    let body =
        json!({"access_token": good_token(), "expires_on": until.to_string(), "resource": "x"});
    let identity = Server::start(json_answer("200 OK", body.to_string())).await;
    let entra = entra_of(&nowhere, None, app_service(&identity));
    assert_eq!(
        entra.request().await.unwrap().lifetime,
        Duration::from_secs(500)
    );
    let request = identity.requests().pop().unwrap();
    assert!(
        request.starts_with("GET /msi/token?api-version=2019-08-01&resource="),
        "{request}"
    );
    let header = format!("\r\nx-identity-header: {HEADER}\r\n").to_lowercase();
    assert!(request.to_lowercase().contains(&header), "{request}");
}

#[tokio::test]
async fn another_app_is_proved_by_the_identity_s_token_which_serves_all_tenants() {
    let login = Server::start(json_answer("200 OK", token_body(json!(3599)))).await;
    let identity = Server::start(given(ASSERTION)).await;
    let entra = entra_of(&login, Some(CLIENT), imds(&identity));
    for _ in 0..3 {
        entra.request().await.unwrap();
    }
    for request in login.requests() {
        let (name, value) = form_of(&request).swap_remove(3);
        assert_eq!((&*name, &*value), ("client_assertion", ASSERTION));
    }
    let requests = identity.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    let resource =
        "resource=api%3A%2F%2FAzureADTokenExchange&client_id=00000000-0000-0000-0000-000000000007 ";
    assert!(requests[0].contains(resource), "{}", requests[0]);
}

#[tokio::test]
async fn an_assertion_is_asked_for_anew_before_it_ends_and_when_entra_finds_it_out_of_time() {
    let body = json!({"error": "invalid_client", "error_description": "AADSTS700024: late", "error_codes": [700_024]});
    let login = Server::start(json_answer("401 Unauthorized", body.to_string())).await;
    let identity = Server::start(given(ASSERTION)).await;
    let entra = entra_of(&login, Some(CLIENT), imds(&identity));
    for requests in 1..3 {
        let failure = entra.request().await.unwrap_err();
        assert!(failure.remedy.contains("clock"), "{failure:?}");
        assert_silent_about(&failure, &[ASSERTION]);
        assert_eq!(identity.requests().len(), requests);
    }
    let login = Server::start(json_answer("200 OK", token_body(json!(3599)))).await;
    let entra = entra_of(&login, Some(CLIENT), imds(&identity));
    entra.request().await.unwrap();
    tokio::time::pause();
    advance(Duration::from_secs(3600 / 5 * 4 + 1)).await;
    tokio::time::resume();
    entra.request().await.unwrap();
    assert_eq!(identity.requests().len(), 4);
}

#[tokio::test]
async fn what_the_endpoint_refuses_is_said_without_its_secret_and_not_asked_again_by_each_tenant() {
    let refusal =
        |text: &str| json!({"error": "invalid_request", "error_description": text}).to_string();
    let unknown = refusal(&format!("Identity not found {HEADER}"));
    for (status, body, health, says) in [
        (
            "400 Bad Request",
            &*unknown,
            Health::Credential,
            "assign the managed identity 00000000",
        ),
        (
            "403 Forbidden",
            "",
            Health::Credential,
            "app.managed_identity",
        ),
        ("404 Not Found", "", Health::Unreachable, "in Azure"),
        ("410 Gone", "{}", Health::Unreachable, "in Azure"),
        ("429 Too Many Requests", "", Health::Unreachable, "in Azure"),
        (
            "500 Internal Server Error",
            "<html>",
            Health::Unreachable,
            "in Azure",
        ),
        ("200 OK", "{}", Health::Unreachable, "IDENTITY_ENDPOINT"),
        (
            "200 OK",
            "{\"access_token\":\"a b\",\"expires_in\":1}",
            Health::Unreachable,
            "IDENTITY_ENDPOINT",
        ),
        (
            "200 OK",
            "{\"access_token\":\"CANARY\"}",
            Health::Unreachable,
            "IDENTITY_ENDPOINT",
        ),
        ("302 Found", "", Health::Credential, "app.managed_identity"),
    ] {
        let login = Server::start(Vec::new()).await;
        let identity = Server::start(json_answer(status, body)).await;
        let entra = entra_of(&login, Some(CLIENT), app_service(&identity));
        for _ in 0..3 {
            let failure = entra.request().await.unwrap_err();
            assert_eq!(failure.health, health, "{status}: {failure:?}");
            assert!(failure.remedy.contains(says), "{status}: {failure:?}");
            assert!(failure.cause.is_some(), "all who share it are one alarm");
            assert_silent_about(&failure, &["CANARY"]);
        }
        assert_eq!(identity.requests().len(), 1, "{status}");
        assert!(login.requests().is_empty(), "a request without a proof");
    }
}

#[tokio::test]
async fn an_identity_endpoint_that_does_not_answer_is_named_and_no_proxy_is_blamed() {
    let login = Server::start(Vec::new()).await;
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nCANARY".to_vec();
    for script in [vec![], vec![Step::Reset], vec![Step::Send(cut)]] {
        let identity = Server::start(script).await;
        let entra = entra_of(&login, None, imds(&identity));
        let failure = entra.request().await.unwrap_err();
        assert_eq!(failure.health, Health::Unreachable);
        for says in [
            "the identity endpoint 127.0.0.1",
            "app.managed_identity",
            "is this machine in Azure",
            "no proxy",
        ] {
            assert!(failure.remedy.contains(says), "{failure:?}");
        }
        assert_silent_about(&failure, &["CANARY"]);
    }
    let folder = tempfile::tempdir().unwrap();
    let (agent, arc) = arc_agent(folder.path(), Vec::new()).await;
    drop(agent);
    let failure = entra_of(&login, None, arc).request().await.unwrap_err();
    assert_eq!(failure.health, Health::Unreachable);
    assert!(failure.remedy.contains("azcmagent show"), "{failure:?}");
}

#[tokio::test]
async fn a_token_of_the_identity_s_own_tenant_is_of_no_use_for_another() {
    let nowhere = Server::start(Vec::new()).await;
    let of = |claims: Value| given(&jwt(&claims));
    let audience = "https://api.security.microsoft.com";
    for (claims, health, says) in [
        (
            json!({"aud": audience, "tid": CLIENT, "roles": ["Incident.Read.All"]}),
            Health::Misconfigured,
            "federated credential",
        ),
        (
            json!({"aud": audience, "tid": TENANT}),
            Health::Consent,
            "New-MgServicePrincipalAppRoleAssignment",
        ),
    ] {
        let identity = Server::start(of(claims)).await;
        let entra = entra_of(&nowhere, None, imds(&identity));
        let failure = entra.request().await.unwrap_err();
        assert_eq!(failure.health, health);
        assert!(failure.remedy.contains(says), "{failure:?}");
    }
}

#[test]
fn each_cloud_has_its_own_audience() {
    for (login, audience) in [
        ("login.microsoftonline.com", "api://AzureADTokenExchange"),
        (
            "login.microsoftonline.us",
            "api://AzureADTokenExchangeUSGov",
        ),
        ("login.chinacloudapi.cn", "api://AzureADTokenExchangeChina"),
    ] {
        assert_eq!(exchange_audience(login), audience);
    }
}

const KEY: &str = "a2V5LUNBTkFSWQ==";

/// Azure Arc's agent, with a key in `folder`. `good` is what a request with the key gets.
async fn arc_agent(folder: &std::path::Path, good: Vec<Step>) -> (Server, IdentityEndpoint) {
    let file = folder.join("one.key");
    std::fs::write(&file, KEY).unwrap();
    let realm = format!("Basic realm={}", file.display());
    let challenge = answer("401 Unauthorized", &[("WWW-Authenticate", &realm)], "");
    let server = Server::answering(move |request| {
        match request.contains(&format!("authorization: Basic {KEY}\r\n")) {
            true => good.clone(),
            false => challenge.clone(),
        }
    })
    .await;
    let mut url = server.url.clone();
    url.set_path("/metadata/identity/oauth2/token");
    let keys = folder.to_owned();
    (server, IdentityEndpoint::Arc { url, keys })
}

#[tokio::test]
async fn azure_arc_is_asked_again_with_the_key_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = Server::start(Vec::new()).await;
    let (agent, endpoint) = arc_agent(folder.path(), given(&good_token())).await;
    let entra = entra_of(&nowhere, None, endpoint);
    for asked in [2, 4] {
        let grant = entra.request().await.unwrap();
        assert_eq!(grant.token.secret().expose_secret(), good_token());
        let requests = agent.requests();
        assert_eq!(requests.len(), asked, "the key is read each time");
        for request in requests {
            let line = "GET /metadata/identity/oauth2/token?api-version=2020-06-01&resource=https%3A%2F%2Fapi.security.microsoft.com HTTP/1.1\r\n";
            assert!(request.starts_with(line), "{request}");
            assert!(
                request.to_lowercase().contains("\r\nmetadata: true\r\n"),
                "{request}"
            );
        }
    }
}

#[tokio::test]
async fn what_azure_arc_refuses_says_what_to_do_and_nothing_of_the_key() {
    let error = json!({"error": "unauthorized", "error_description": format!("no: {KEY}")});
    for (status, health, says) in [
        ("401 Unauthorized", Health::Credential, "azcmagent show"),
        ("403 Forbidden", Health::Credential, "azcmagent show"),
        (
            "500 Internal Server Error",
            Health::Unreachable,
            "passes by itself",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = Server::start(Vec::new()).await;
        let refusal = json_answer(status, error.to_string());
        let (_agent, endpoint) = arc_agent(folder.path(), refusal).await;
        let failure = entra_of(&nowhere, None, endpoint)
            .request()
            .await
            .unwrap_err();
        assert_eq!(failure.health, health, "{failure:?}");
        assert!(failure.remedy.contains(says), "{failure:?}");
        assert_silent_about(&failure, &["CANARY", KEY]);
    }
}
