use super::*;

/// The keys of the documentation's sample, with the names that its prose has.
const DOCUMENTED: &str = r#"{
    "incident": ["id", "tenantId", "status", "incidentWebUrl", "redirectIncidentId", "displayName", "createdDateTime",
        "lastUpdateDateTime", "assignedTo", "classification", "determination", "severity", "customTags", "systemTags",
        "description", "comments"],
    "alert": ["id", "providerAlertId", "incidentId", "status", "severity", "classification", "determination",
        "serviceSource", "detectionSource", "detectorId", "tenantId", "title", "description", "recommendedActions",
        "category", "assignedTo", "alertWebUrl", "incidentWebUrl", "actorDisplayName", "threatDisplayName",
        "threatFamilyName", "mitreTechniques", "createdDateTime", "lastUpdateDateTime", "resolvedDateTime",
        "firstActivityDateTime", "lastActivityDateTime", "comments", "evidence"]
}"#;

fn missing(of: &Value, keys: &Value) -> Vec<String> {
    let keys = keys.as_array().unwrap().iter().filter_map(Value::as_str);
    keys.filter(|key| of.get(key).is_none())
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn an_incident_has_the_documented_shape() {
    let keys: Value = serde_json::from_str(DOCUMENTED).unwrap();
    let bench = Bench::plain().await;
    bench.world.create(bench.tenant, 50).unwrap();
    let token = bench.graph_token().await;
    let (status, page) = bench
        .prefer(&token, &format!("{GRAPH}?$expand=alerts"))
        .await;
    assert_eq!(status, 200, "{page}");
    let mut types = std::collections::BTreeSet::new();
    for incident in page["value"].as_array().unwrap() {
        assert_eq!(missing(incident, &keys["incident"]), [""; 0], "{incident}");
        assert_eq!(incident["tenantId"], bench.tenant.to_string());
        assert_eq!(incident["status"], "active");
        assert!(incident["alerts@odata.context"].is_string());
        for alert in incident["alerts"].as_array().unwrap() {
            assert_eq!(missing(alert, &keys["alert"]), [""; 0], "{alert}");
            assert_eq!(alert["incidentId"], incident["id"]);
            for piece in alert["evidence"].as_array().unwrap() {
                types.insert(piece["@odata.type"].as_str().unwrap().to_owned());
            }
        }
    }
    for kind in ["deviceEvidence", "userEvidence", "entanglementEvidence"] {
        let kind = format!("#microsoft.graph.security.{kind}");
        assert!(types.contains(&kind), "no {kind} among {types:?}");
    }
}

#[tokio::test]
async fn without_expand_there_are_no_alerts() {
    let bench = Bench::plain().await;
    let (tenant, token) = (bench.tenant, bench.graph_token().await);
    bench.world.create(tenant, 2).unwrap();
    let (_, page) = bench.get(&token, GRAPH).await;
    let (status, one) = bench.get(&token, &format!("{GRAPH}/1")).await;
    assert_eq!(status, 200, "{one}");
    assert!(one["@odata.context"].is_string());
    for incident in page["value"].as_array().unwrap().iter().chain([&one]) {
        let alerts = incident.as_object().unwrap();
        let alerts = alerts.keys().filter(|key| key.starts_with("alerts"));
        assert_eq!(alerts.count(), 0, "{incident}");
    }
    let (status, body) = bench.get(&token, &format!("{GRAPH}/9")).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (404, &"ResourceNotFound".into())
    );
    for query in ["$expand=evidence", "$select=id", "$expand=alerts&$top=1"] {
        let (status, body) = bench.get(&token, &format!("{GRAPH}/1?{query}")).await;
        assert_eq!(status, 400, "{query}: {body}");
    }
}

#[tokio::test]
async fn both_apis_show_one_world() {
    let bench = Bench::plain().await;
    let (world, tenant) = (&bench.world, bench.tenant);
    world.create(tenant, 3).unwrap();
    world.advance(Duration::from_millis(10_290));
    world.merge(tenant, 1, 2).unwrap();
    world.resolve(tenant, 3).unwrap();
    let (token, graph_token) = (bench.token().await, bench.graph_token().await);
    for id in 1..=3 {
        let (_, defender) = bench.get(&token, &format!("/api/incidents/{id}")).await;
        let path = format!("{GRAPH}/{id}?$expand=alerts");
        let (_, graph) = bench.prefer(&graph_token, &path).await;
        assert_eq!(graph["id"], id.to_string());
        assert_eq!(graph["displayName"], defender["incidentName"]);
        assert_eq!(graph["lastUpdateDateTime"], defender["lastUpdateTime"]);
        assert_eq!(graph["createdDateTime"], defender["createdTime"]);
        let alert_ids = |incident: &Value, key: &str| -> Vec<Value> {
            let alerts = incident["alerts"].as_array().unwrap().iter();
            alerts.map(|alert| alert[key].clone()).collect()
        };
        assert_eq!(alert_ids(&graph, "id"), alert_ids(&defender, "alertId"));
    }
    let (_, source) = bench.get(&graph_token, &format!("{GRAPH}/1")).await;
    assert_eq!(source["status"], "redirected");
    assert_eq!(source["redirectIncidentId"], "2", "a string");
    assert_eq!(source["severity"], "unknown");
    let (_, resolved) = bench.get(&graph_token, &format!("{GRAPH}/3")).await;
    assert_eq!(resolved["redirectIncidentId"], Value::Null);
    assert_eq!(
        (
            &resolved["status"],
            &resolved["classification"],
            &resolved["determination"]
        ),
        (
            &"resolved".into(),
            &"truePositive".into(),
            &"malware".into()
        )
    );
}

#[tokio::test]
async fn new_members_are_told_only_to_those_who_ask() {
    let bench = Bench::plain().await;
    let (tenant, token) = (bench.tenant, bench.graph_token().await);
    bench.world.create(tenant, 60).unwrap();
    bench.world.update(tenant, 1, Update::AwaitAction).unwrap();
    let path = format!("{GRAPH}/1");
    assert_eq!(
        bench.get(&token, &path).await.1["status"],
        "unknownFutureValue"
    );
    let (_, told) = bench.prefer(&token, &path).await;
    assert_eq!(told["status"], "awaitingAction");
    assert_eq!(told["systemTags"], serde_json::json!(["Defender Experts"]));
    let sources = |page: Value| -> Vec<String> {
        let incidents = page["value"].as_array().unwrap().clone();
        let alerts = incidents
            .iter()
            .flat_map(|i| i["alerts"].as_array().unwrap());
        let mut sources: Vec<_> = alerts
            .map(|alert| alert["serviceSource"].as_str().unwrap().to_owned())
            .collect();
        sources.sort();
        sources.dedup();
        sources
    };
    let path = format!("{GRAPH}?$expand=alerts");
    let (masked, told) = (
        sources(bench.get(&token, &path).await.1),
        sources(bench.prefer(&token, &path).await.1),
    );
    let (new, future) = (
        "microsoftDefenderForCloud".to_owned(),
        "unknownFutureValue".to_owned(),
    );
    assert!(
        masked.contains(&future) && !masked.contains(&new),
        "{masked:?}"
    );
    assert!(told.contains(&new) && !told.contains(&future), "{told:?}");
    let (_, legacy) = bench.get(&bench.token().await, "/api/incidents/1").await;
    assert_eq!(
        legacy["status"], "InProgress",
        "the Defender API has no such status"
    );
}

#[tokio::test]
async fn who_may_not_read_is_told_so_in_graphs_form() {
    let bench =
        Bench::start(|options| options.token_lifetime = Some(Duration::from_secs(60))).await;
    let (defender, token) = (bench.token().await, bench.graph_token().await);
    let url = format!("{}{GRAPH}", bench.sim.url());
    for (bearer, message) in [
        (None, "Access token is empty."),
        (Some("nonsense"), "Signature is invalid."),
        (
            Some(defender.as_str()),
            "Access token validation failure. Invalid audience.",
        ),
    ] {
        let mut request = bench.client.get(&url).header("client-request-id", "mine");
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        let response = request.send().await.unwrap();
        let header = response.headers()["request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let (status, body) = read(response).await;
        let error = &body["error"];
        assert_eq!(
            (status, &error["code"]),
            (401, &"InvalidAuthenticationToken".into())
        );
        assert_eq!(error["message"], message);
        assert_eq!(
            error["innerError"]["date"], "2026-03-01T08:00:00",
            "no zone"
        );
        assert_eq!(error["innerError"]["request-id"], header);
        assert_eq!(error["innerError"]["client-request-id"], "mine");
        assert_eq!(error.get("target"), None);
    }
    bench.world.advance(Duration::from_secs(60));
    assert_eq!(bench.get(&token, GRAPH).await.0, 401, "expired");
    let (status, body) = bench.get(&token, "/v1.0/security/alerts_v9").await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (400, &"BadRequest".into())
    );
}

#[tokio::test]
async fn roles_are_graphs_own() {
    let bench = Bench::plain().await;
    let granted = |defender: bool, graph: Option<&'static str>| {
        let change = move |tenant: &mut Tenant| {
            tenant.roles.retain(|_| defender);
            tenant.graph_roles = graph.map(str::to_owned).into_iter().collect();
        };
        bench.world.administer(bench.tenant, change).unwrap();
    };
    granted(true, None);
    let (status, body) = bench.get(&bench.graph_token().await, GRAPH).await;
    assert_eq!((status, &body["error"]["code"]), (403, &"Forbidden".into()));
    assert!(
        body["error"]["innerError"]["request-id"].is_string(),
        "{body}"
    );
    assert_eq!(
        bench.get(&bench.token().await, "/api/incidents").await.0,
        200
    );
    granted(false, Some("SecurityIncident.ReadWrite.All"));
    assert_eq!(bench.get(&bench.graph_token().await, GRAPH).await.0, 200);
    assert_eq!(
        bench.get(&bench.token().await, "/api/incidents").await.0,
        403
    );
    granted(false, Some("SecurityAlert.Read.All"));
    assert_eq!(bench.get(&bench.graph_token().await, GRAPH).await.0, 403);
    granted(false, Some("SecurityIncident.Read.All"));
    let token = bench.graph_token().await;
    let no_licence = |tenant: &mut Tenant| tenant.licensed = false;
    bench.world.administer(bench.tenant, no_licence).unwrap();
    assert_eq!(bench.get(&token, GRAPH).await.0, 403);
}

#[tokio::test]
async fn the_quota_is_graphs_own_and_told_in_retry_after() {
    let second = Tenant::numbered(2);
    let other = second.id;
    let bench = Bench::start(|options| options.tenants.push(second)).await;
    let token = bench.graph_token().await;
    for request in 0..150 {
        let path = if request % 2 == 0 {
            GRAPH.to_owned()
        } else {
            format!("{GRAPH}/1")
        };
        assert_ne!(bench.get(&token, &path).await.0, 429, "request {request}");
    }
    bench.world.advance(Duration::from_secs(22));
    let response = bench.send(&token, GRAPH).await;
    assert_eq!(response.headers()["retry-after"], "38");
    let (status, body) = read(response).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (429, &"TooManyRequests".into())
    );
    assert_eq!(
        bench.get(&bench.token().await, "/api/incidents").await.0,
        200
    );
    assert_eq!(
        bench.get(&bench.graph_token_of(other).await, GRAPH).await.0,
        200
    );
    bench.world.advance(Duration::from_secs(38));
    assert_eq!(bench.get(&token, GRAPH).await.0, 200);
}
