use super::*;

/// The members of v1.0 in 2026 (sections 3.4 and 9), sorted: exactly these, whatever their values are.
const INCIDENT: [&str; 21] = [
    "alerts",
    "assignedTo",
    "classification",
    "comments",
    "createdDateTime",
    "customTags",
    "description",
    "determination",
    "displayName",
    "id",
    "incidentWebUrl",
    "lastModifiedBy",
    "lastUpdateDateTime",
    "priorityScore",
    "redirectIncidentId",
    "resolvingComment",
    "severity",
    "status",
    "summary",
    "systemTags",
    "tenantId",
];
const ALERT: [&str; 35] = [
    "actorDisplayName",
    "additionalData",
    "alertPolicyId",
    "alertWebUrl",
    "assignedTo",
    "categories",
    "classification",
    "comments",
    "createdDateTime",
    "customDetails",
    "description",
    "detectionSource",
    "detectorId",
    "determination",
    "evidence",
    "firstActivityDateTime",
    "id",
    "incidentId",
    "incidentWebUrl",
    "investigationState",
    "lastActivityDateTime",
    "lastUpdateDateTime",
    "mitreTechniques",
    "productName",
    "providerAlertId",
    "recommendedActions",
    "resolvedDateTime",
    "serviceSource",
    "severity",
    "status",
    "systemTags",
    "tenantId",
    "threatDisplayName",
    "threatFamilyName",
    "title",
];

/// The members of an object, sorted, without OData's own.
fn members(of: &Value) -> Vec<&str> {
    let names = of.as_object().unwrap().keys().map(String::as_str);
    let mut names: Vec<_> = names.filter(|name| !name.contains("@odata.")).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn an_incident_has_the_documented_shape() {
    let bench = Bench::plain().await;
    bench.world.create(bench.tenant, 50).unwrap();
    let token = bench.graph_token().await;
    let (status, page) = bench
        .prefer(&token, &format!("{GRAPH}?$expand=alerts"))
        .await;
    assert_eq!(status, 200, "{page}");
    let mut types = std::collections::BTreeSet::new();
    for incident in page["value"].as_array().unwrap() {
        assert_eq!(members(incident), INCIDENT, "{incident}");
        let (id, tenant) = (incident["id"].as_str().unwrap(), bench.tenant);
        let url = format!("https://security.microsoft.com/incident2/{id}/overview?tid={tenant}");
        assert_eq!(incident["incidentWebUrl"], url);
        assert_eq!(incident["tenantId"], bench.tenant.to_string());
        assert_eq!(incident["status"], "active");
        assert!(incident["alerts@odata.context"].is_string());
        for alert in incident["alerts"].as_array().unwrap() {
            assert_eq!(members(alert), ALERT, "{alert}");
            assert!(alert["categories"][0].is_string(), "{alert}");
            assert_eq!(alert["incidentWebUrl"], url);
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
    assert_eq!(resolved["status"], "resolved");
    assert!(resolved["resolvingComment"].is_string(), "{resolved}");
    assert!(resolved["lastModifiedBy"].is_string(), "{resolved}");
}

#[tokio::test]
async fn a_closed_incident_has_each_api_s_own_word_for_why() {
    let bench = Bench::plain().await;
    let (token, graph_token) = (bench.token().await, bench.graph_token().await);
    for (classification, defender, graph) in [
        ("FalsePositive", "Clean", "notMalicious"),
        (
            "FalsePositive",
            "InsufficientData",
            "notEnoughDataToValidate",
        ),
        ("TruePositive", "CompromisedAccount", "compromisedAccount"),
        ("TruePositive", "CompromisedUser", "compromisedAccount"),
        ("TruePositive", "Malware", "malware"),
        ("TruePositive", "MultiStagedAttack", "multiStagedAttack"),
        (
            "InformationalExpectedActivity",
            "ConfirmedActivity",
            "confirmedActivity",
        ),
        (
            "InformationalExpectedActivity",
            "SecurityTesting",
            "securityTesting",
        ),
    ] {
        let id = bench.world.create(bench.tenant, 1).unwrap()[0];
        let close = Update::Resolve(classification, defender);
        bench.world.update(bench.tenant, id, close).unwrap();
        let (_, shown) = bench.get(&token, &format!("/api/incidents/{id}")).await;
        assert_eq!(shown["determination"], defender);
        let (_, shown) = bench.get(&graph_token, &format!("{GRAPH}/{id}")).await;
        assert_eq!(shown["determination"], graph);
        let filter = format!("$filter=determination+eq+'{graph}'");
        let (_, page) = bench.get(&graph_token, &format!("{GRAPH}?{filter}")).await;
        assert_eq!(graph_ids(&page)[0], id, "{filter}");
    }
}

#[tokio::test]
async fn a_score_is_pending_at_first_and_comes_with_the_first_change() {
    let bench = Bench::plain().await;
    let (world, tenant) = (&bench.world, bench.tenant);
    let token = bench.graph_token().await;
    let path = format!("{GRAPH}/1?$expand=alerts");
    world.create(tenant, 1).unwrap();
    let (_, new) = bench.get(&token, &path).await;
    assert_eq!(new["priorityScore"], Value::Null);
    world.update(tenant, 1, Update::Tag("VIP".into())).unwrap();
    let (_, changed) = bench.get(&token, &path).await;
    let score = changed["priorityScore"].as_u64().expect("a whole number");
    assert!(score <= 100, "{score}");
    world.update(tenant, 1, Update::Tag("2".into())).unwrap();
    let (_, later) = bench.get(&token, &path).await;
    assert_eq!(
        later["priorityScore"], score,
        "a change alone computes none"
    );
}

#[tokio::test]
async fn a_new_score_is_another_text_of_the_same_version() {
    let bench = Bench::plain().await;
    let (world, tenant) = (&bench.world, bench.tenant);
    let token = bench.graph_token().await;
    let path = format!("{GRAPH}?$expand=alerts");
    let read = async || {
        let (_, page) = bench.get(&token, &path).await;
        page["value"][0].clone()
    };
    world.create(tenant, 1).unwrap();
    let mut before = read().await;
    for _ in 0..110 {
        let scored = world.with(tenant, |incidents, _| incidents.score(1));
        assert_eq!(scored, Ok(version(tenant, 1, 1)));
        let now = read().await;
        assert_ne!(now["priorityScore"], before["priorityScore"]);
        assert!(
            now["priorityScore"]
                .as_u64()
                .is_some_and(|score| score <= 100)
        );
        let same = |incident: &Value| {
            let mut incident = incident.clone();
            incident["priorityScore"] = Value::Null;
            incident
        };
        assert_eq!(same(&now), same(&before), "nothing else is touched");
        assert_eq!(
            bench.journal.identify_value(tenant, &now),
            Some((1, 1)),
            "each text is known as the version"
        );
        before = now;
    }
}

#[tokio::test]
async fn chance_scores_only_when_the_options_say_so() {
    for scores in [false, true] {
        let bench = Bench::start(|options| options.scores = scores).await;
        bench.world.create(bench.tenant, 20).unwrap();
        bench.world.evolve(10);
        let token = bench.graph_token().await;
        let (_, page) = bench.get(&token, GRAPH).await;
        let current = bench.world.current();
        let unchanged = |incident: &&Value| {
            let id = incident["id"].as_str().unwrap().parse().unwrap();
            current.contains(&version(bench.tenant, id, 1))
        };
        let incidents = page["value"].as_array().unwrap().iter();
        let unchanged = incidents.filter(unchanged);
        let scored = unchanged.filter(|one| !one["priorityScore"].is_null());
        assert_eq!(scored.count() > 0, scores, "{scores}");
    }
}

#[tokio::test]
async fn alerts_leave_an_incident_without_a_redirect() {
    let bench = Bench::plain().await;
    let (world, tenant) = (&bench.world, bench.tenant);
    let token = bench.graph_token().await;
    world.create(tenant, 2).unwrap();
    let read = async |id: u64| {
        let (_, incident) = bench
            .get(&token, &format!("{GRAPH}/{id}?$expand=alerts"))
            .await;
        incident
    };
    let count = |incident: &Value| incident["alerts"].as_array().unwrap().len();
    world.update(tenant, 1, Update::NewAlerts(2)).unwrap();
    world.advance(Duration::from_secs(60));
    let (source, target) = (read(1).await, read(2).await);
    let moved = world.with(tenant, |incidents, now| incidents.move_alerts(1, 2, 2, now));
    assert_eq!(moved, Ok(()));
    let (left, joined) = (read(1).await, read(2).await);
    assert_eq!(count(&left), count(&source) - 2);
    assert_eq!(count(&joined), count(&target) + 2);
    for incident in [&left, &joined] {
        assert_eq!(incident["status"], "active");
        assert_eq!(incident["redirectIncidentId"], Value::Null);
    }
    for alert in joined["alerts"].as_array().unwrap() {
        assert_eq!(alert["incidentId"], "2");
    }
    assert_ne!(left["lastUpdateDateTime"], source["lastUpdateDateTime"]);
    assert_eq!(left["lastUpdateDateTime"], joined["lastUpdateDateTime"]);
    let revisions: Vec<_> = bench.world.current();
    assert!(
        revisions.contains(&version(tenant, 1, 3)) && revisions.contains(&version(tenant, 2, 2)),
        "a move is a change of both: {revisions:?}"
    );
    let to_none = world.with(tenant, |incidents, now| incidents.move_alerts(1, 9, 1, now));
    assert_eq!(to_none, Err(Refused::NoIncident));
}

#[tokio::test]
async fn new_members_are_shown_only_on_request() {
    let bench = Bench::plain().await;
    let (tenant, token) = (bench.tenant, bench.graph_token().await);
    bench.world.create(tenant, 60).unwrap();
    bench
        .world
        .update(tenant, 1, Update::Status("AwaitingAction"))
        .unwrap();
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
    let future = "unknownFutureValue".to_owned();
    assert!(masked.contains(&future) && !told.contains(&future));
    for new in [
        "microsoftDefenderForCloud",
        "microsoftSentinel",
        "microsoftSecurityForAI",
    ] {
        let new = new.to_owned();
        assert!(!masked.contains(&new), "{masked:?}");
        assert!(told.contains(&new), "{told:?}");
    }
    let (_, legacy) = bench.get(&bench.token().await, "/api/incidents/1").await;
    assert_eq!(
        legacy["status"], "InProgress",
        "the Defender API has no such status"
    );
}

#[tokio::test]
async fn refusals_have_graphs_form() {
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
    const MISSING: &str = "Missing application roles. API required roles: \
                           SecurityIncident.Read.All,SecurityIncident.ReadWrite.All, application roles: ";
    assert_eq!(body["error"]["message"], format!("{MISSING}."));
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
    let (status, body) = bench.get(&bench.graph_token().await, GRAPH).await;
    assert_eq!(status, 403);
    let message = format!("{MISSING}SecurityAlert.Read.All.");
    assert_eq!(body["error"]["message"], message);
    granted(false, Some("SecurityIncident.Read.All"));
    let token = bench.graph_token().await;
    let no_licence = |tenant: &mut Tenant| tenant.licensed = false;
    bench.world.administer(bench.tenant, no_licence).unwrap();
    assert_eq!(bench.get(&token, GRAPH).await.0, 403);
}

#[tokio::test]
async fn the_quota_is_graphs_own_and_is_in_retry_after() {
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
