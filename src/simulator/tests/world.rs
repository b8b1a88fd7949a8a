use super::*;

/// The incident as the API shows it now.
async fn incident(bench: &Bench, token: &str, id: u64) -> Value {
    let (status, body) = bench.get(token, &format!("/api/incidents/{id}")).await;
    assert_eq!(status, 200, "{body}");
    body
}

#[tokio::test]
async fn an_incident_has_the_documented_shape() {
    let sample: Value = serde_json::from_str(DOCUMENTED).unwrap();
    let bench = Bench::plain().await;
    bench.world.create(bench.tenant, 40).unwrap();
    let (_, page) = bench.get(&bench.token().await, "/api/incidents").await;
    assert_eq!(page["@odata.context"], sample["context"]);
    let missing = |of: &Value, keys: &Value| {
        let keys = keys.as_array().unwrap().iter().filter_map(Value::as_str);
        keys.filter(|key| of.get(key).is_none())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (mut devices, mut sparse, mut newer) = (0, 0, 0);
    for incident in page["value"].as_array().unwrap() {
        assert_eq!(
            missing(incident, &sample["incident"]),
            [""; 0],
            "{incident}"
        );
        newer += usize::from(incident.get("incidentUri").is_some());
        for alert in incident["alerts"].as_array().unwrap() {
            assert_eq!(missing(alert, &sample["alert"]), [""; 0], "{alert}");
            assert_eq!(alert["incidentId"], incident["incidentId"]);
            for device in alert["devices"].as_array().unwrap() {
                assert_eq!(missing(device, &sample["device"]), [""; 0], "{device}");
                devices += 1;
            }
            for entity in alert["entities"].as_array().unwrap() {
                assert!(entity["entityType"].is_string());
                sparse += usize::from(!missing(entity, &sample["entity"]).is_empty());
            }
        }
    }
    assert!(
        devices > 0 && sparse > 0 && newer > 0 && newer < 40,
        "{devices} {sparse} {newer}"
    );
}

/// The keys of Microsoft's sample of the list.
const DOCUMENTED: &str = r#"{
    "context": "https://api.security.microsoft.com/api/$metadata#Incidents",
    "incident": ["incidentId", "redirectIncidentId", "incidentName", "createdTime", "lastUpdateTime", "assignedTo",
        "classification", "determination", "status", "severity", "tags", "comments", "alerts"],
    "alert": ["alertId", "incidentId", "serviceSource", "creationTime", "lastUpdatedTime", "resolvedTime",
        "firstActivity", "lastActivity", "title", "description", "category", "status", "severity", "investigationId",
        "investigationState", "classification", "determination", "detectionSource", "assignedTo", "actorName",
        "threatFamilyName", "mitreTechniques", "devices", "entities"],
    "device": ["mdatpDeviceId", "aadDeviceId", "deviceDnsName", "osPlatform", "version", "osProcessor", "osBuild",
        "healthStatus", "riskScore", "rbacGroupName", "rbacGroupId", "firstSeen"],
    "entity": ["entityType", "sha1", "sha256", "fileName", "filePath", "processId", "processCommandLine",
        "processCreationTime", "parentProcessId", "parentProcessCreationTime", "ipAddress", "url", "accountName",
        "domainName", "userSid", "aadUserId", "userPrincipalName", "mailboxDisplayName", "mailboxAddress", "clusterBy",
        "sender", "recipient", "subject", "deliveryAction", "securityGroupId", "securityGroupName", "registryHive",
        "registryKey", "registryValueType", "registryValue", "deviceId"]
}"#;

#[tokio::test]
async fn a_merge_leaves_a_redirected_husk_and_moves_the_rest() {
    let bench = Bench::plain().await;
    let (world, tenant, token) = (&bench.world, bench.tenant, bench.token().await);
    world.create(tenant, 3).unwrap();
    world.update(tenant, 1, Update::Tag("VIP".into())).unwrap();
    world
        .update(tenant, 1, Update::Comment("stays here".into()))
        .unwrap();
    let count = async |id| {
        incident(&bench, &token, id).await["alerts"]
            .as_array()
            .unwrap()
            .len()
    };
    let whole = count(1).await + count(2).await;
    world.advance(Duration::from_secs(60));
    world.merge(tenant, 1, 2).unwrap();
    let (source, target) = (
        incident(&bench, &token, 1).await,
        incident(&bench, &token, 2).await,
    );
    assert_eq!(source["status"], "Redirected");
    assert_eq!(source["redirectIncidentId"], 2);
    assert_eq!(source["tags"], serde_json::json!(["Redirected"]));
    assert_eq!(source["alerts"], serde_json::json!([]));
    assert_eq!(source["comments"][0]["comment"], "stays here");
    assert_eq!(target["tags"], serde_json::json!(["VIP"]));
    assert_eq!(target["alerts"].as_array().unwrap().len(), whole);
    assert!(
        target["alerts"]
            .as_array()
            .unwrap()
            .iter()
            .all(|alert| alert["incidentId"] == 2)
    );
    assert_eq!(target["status"], "Active");
    assert_eq!(source["lastUpdateTime"], "2026-03-01T08:01:00Z");
    assert_eq!(source["lastUpdateTime"], target["lastUpdateTime"]);

    assert_eq!(world.resolve(tenant, 1), Err(Refused::Redirected));
    world.merge(tenant, 2, 3).unwrap();
    assert_eq!(
        incident(&bench, &token, 1).await["redirectIncidentId"],
        2,
        "chains stay chains"
    );
    let more = world.create(tenant, 2).unwrap();
    world.resolve(tenant, more[0]).unwrap();
    assert!(matches!(
        world.merge(tenant, more[0], more[1]),
        Err(Refused::NotMerged(_))
    ));
    assert!(matches!(
        world.merge(tenant, 3, 3),
        Err(Refused::NotMerged(_))
    ));
}

#[tokio::test]
async fn changes_move_what_they_should_and_nothing_else() {
    let bench = Bench::plain().await;
    let (world, tenant, token) = (&bench.world, bench.tenant, bench.token().await);
    let ids = world.create(tenant, 5).unwrap();
    let before = incident(&bench, &token, 1).await;

    world.advance(Duration::from_secs(5));
    assert_eq!(
        world.alert_only_change(tenant, 1),
        Ok(version(tenant, 1, 2))
    );
    let after = incident(&bench, &token, 1).await;
    assert_eq!(after["lastUpdateTime"], before["lastUpdateTime"]);
    assert_ne!(after["alerts"], before["alerts"]);

    world
        .update(tenant, 5, Update::Status("InProgress"))
        .unwrap();
    world.bulk_update(tenant, &ids).unwrap();
    let mut times = Vec::new();
    for id in &ids {
        times.push(incident(&bench, &token, *id).await["lastUpdateTime"].clone());
    }
    times.dedup();
    assert_eq!(times.len(), 1, "a bulk change is one tie: {times:?}");

    let late = world
        .create_dated(tenant, world.now() - 600 * SECOND)
        .unwrap();
    assert_eq!(
        incident(&bench, &token, late).await["lastUpdateTime"],
        "2026-03-01T07:50:05Z"
    );

    world.resolve(tenant, 2).unwrap();
    let resolved = incident(&bench, &token, 2).await;
    assert_eq!(
        (&resolved["status"], &resolved["alerts"][0]["status"]),
        (&"Resolved".into(), &"Resolved".into())
    );
    assert!(resolved["alerts"][0]["resolvedTime"].is_string());
    world.reopen(tenant, 2).unwrap();
    assert_eq!(incident(&bench, &token, 2).await["status"], "Active");

    world.delete(tenant, 2).unwrap();
    let (status, body) = bench.get(&token, "/api/incidents/2").await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (404, &Value::from("ResourceNotFound"))
    );
    assert!(!bench.ids(&token, "").await.contains(&2));
}

#[tokio::test]
async fn no_two_revisions_share_a_text_even_when_time_stands_still() {
    let bench = Bench::plain().await;
    let (world, tenant, token) = (&bench.world, bench.tenant, bench.token().await);
    world.create(tenant, 1).unwrap();
    for revision in 2..40 {
        match revision % 3 {
            0 => world.alert_only_change(tenant, 1),
            1 => world.resolve(tenant, 1),
            _ => world.reopen(tenant, 1),
        }
        .unwrap();
        let text = bench
            .send(&token, "/api/incidents/1")
            .await
            .bytes()
            .await
            .unwrap();
        assert_eq!(bench.journal.identify(tenant, &text), Some((1, revision)));
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_world() {
    let mut texts = Vec::new();
    for seed in [7, 7, 8] {
        let bench = Bench::start(|options| {
            options.seed = seed;
            options.tenants.push(Tenant::numbered(2));
        })
        .await;
        bench.world.evolve(300);
        assert!(
            bench
                .world
                .current()
                .iter()
                .any(|version| version.tenant != bench.tenant)
        );
        let token = bench.token().await;
        texts.push(
            bench
                .send(&token, "/api/incidents")
                .await
                .bytes()
                .await
                .unwrap(),
        );
    }
    assert_eq!(texts[0], texts[1]);
    assert_ne!(texts[0], texts[2]);
}

#[tokio::test]
async fn chance_brings_all_kinds_of_events() {
    let bench = Bench::plain().await;
    bench.world.evolve_tenant(bench.tenant, 400).unwrap();
    let token = bench.token().await;
    for status in ["Active", "InProgress", "Resolved", "Redirected"] {
        let found = bench
            .ids(&token, &format!("$filter=status+eq+'{status}'"))
            .await;
        assert!(!found.is_empty(), "no incident is {status}");
    }
}

#[tokio::test]
async fn incidents_have_the_size_asked_for() {
    for bytes in [500, 5_000, 300_000] {
        let bench = Bench::start(|options| options.incident_bytes = Some(bytes)).await;
        bench.world.create(bench.tenant, 5).unwrap();
        let token = bench.token().await;
        for id in 1..=5 {
            let len = bench
                .send(&token, &format!("/api/incidents/{id}"))
                .await
                .bytes()
                .await
                .unwrap()
                .len();
            assert!(
                len >= bytes && len < bytes * 2 + 5_000,
                "{len} bytes for {bytes}"
            );
        }
    }
}

#[tokio::test]
async fn the_world_can_move_between_pages() {
    let bench = Bench::start(|options| options.order = Order::OldestFirst).await;
    let tenant = bench.tenant;
    bench.world.create(tenant, 4).unwrap();
    let token = bench.token().await;
    assert_eq!(bench.ids(&token, "$top=2").await, [1, 2]);
    let changed = Update::Status("InProgress");
    bench.world.update(tenant, 1, changed).unwrap();
    assert_eq!(
        bench.ids(&token, "$top=2&$skip=2").await,
        [4, 1],
        "3 slipped to the page already read"
    );
}
