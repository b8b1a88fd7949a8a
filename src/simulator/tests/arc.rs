//! The agent of Azure Arc.

use super::*;

/// A request to the agent, and the path of the key file that it names.
async fn asks(agent: &ArcAgent, query: &str, key: Option<&str>) -> (u16, Value, Option<String>) {
    let [_, (_, endpoint)] = agent.environment();
    let mut request = client().get(format!("{endpoint}?{query}"));
    request = request.header("metadata", "true");
    if let Some(key) = key {
        request = request.header("authorization", format!("Basic {key}"));
    }
    let answer = request.send().await.unwrap();
    let named = answer.headers().get("www-authenticate");
    let named = named.map(|it| it.to_str().unwrap().replace("Basic realm=", ""));
    let (status, body) = read(answer).await;
    (status, body, named)
}

#[tokio::test]
async fn a_token_is_for_who_reads_the_key_and_each_key_serves_once() {
    let bench = Bench::plain().await;
    let folder = tempfile::tempdir().unwrap();
    let agent = ArcAgent::start(&bench.sim, folder.path()).await.unwrap();
    let good = "api-version=2020-06-01&resource=https%3A%2F%2Fgraph.microsoft.com";
    let key = async || {
        let (status, _, named) = asks(&agent, good, None).await;
        let named = named.expect("a challenge");
        let name = named.strip_prefix("/var/opt/azcmagent/tokens/").unwrap();
        assert!(status == 401 && name.ends_with(".key"), "{named}");
        std::fs::read_to_string(folder.path().join(name)).unwrap()
    };
    assert_eq!(asks(&agent, good, Some(&key().await)).await.0, 403);
    agent.connect(SimulatedIdentity {
        client_id: None,
        principal: Tenant::CLIENT_ID,
        tenant: bench.tenant,
    });
    let used = key().await;
    let (status, body, _) = asks(&agent, good, Some(&used)).await;
    assert_eq!(status, 200, "{body}");
    assert!(body["expires_in"].is_string() && body["expires_on"].is_string());
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(bench.get(token, GRAPH).await.0, 200);
    for (query, key, expected) in [
        (good.to_owned(), Some(&*used), 401),
        (good.to_owned(), Some("another"), 401),
        (good.replace("2020-06-01", "2019-11-01"), None, 400),
        (good.replace("resource", "x"), None, 400),
        (format!("{good}&client_id={}", Uuid::nil()), None, 400),
    ] {
        let (status, body, named) = asks(&agent, &query, key).await;
        assert_eq!((status, named), (expected, None), "{query}: {body}");
    }
}
