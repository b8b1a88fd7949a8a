use super::*;

#[tokio::test]
async fn refusals_have_the_documented_form() {
    let bench = Bench::plain().await;
    let token = bench.token().await;
    let url = format!("{}/api/incidents", bench.sim.url());
    for header in [
        None,
        Some("Bearer nonsense"),
        Some("Basic abc"),
        Some(token.as_str()),
    ] {
        let mut request = bench.client.get(&url);
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let (status, body) = read(request.send().await.unwrap()).await;
        assert_eq!(
            (status, &body["error"]["code"]),
            (401, &Value::from("Unauthorized")),
            "{header:?}"
        );
        let target = body["error"]["target"]
            .as_str()
            .and_then(|text| Uuid::try_parse(text).ok());
        assert!(target.is_some(), "the tracking id is a GUID: {body}");
    }
    bench
        .world
        .administer(bench.tenant, |tenant| tenant.licensed = false)
        .unwrap();
    let (status, body) = bench.get(&token, "/api/incidents").await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (403, &Value::from("DisabledFeature"))
    );
    let (status, body) = bench.get(&token, "/api/machines").await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (404, &Value::from("NotFound"))
    );
}

#[tokio::test]
async fn undocumented_odata_is_refused() {
    let bench = Bench::plain().await;
    let token = bench.token().await;
    for query in [
        "$top=101",
        "$skip=-1",
        "$orderby=lastUpdateTime+asc",
        "$filter=severity+eq+'High'",
        // An unencoded plus is a space, so the offset is lost, as with Microsoft.
        "$filter=lastUpdateTime+ge+2026-03-01T08:00:00+00:00",
    ] {
        let (status, body) = bench.get(&token, &format!("/api/incidents?{query}")).await;
        assert_eq!(
            (status, &body["error"]["code"]),
            (400, &Value::from("ODataError")),
            "{query}: {body}"
        );
    }
}

#[tokio::test]
async fn pages_follow_skip_to_a_short_one() {
    let bench = Bench::plain().await;
    bench.world.create(bench.tenant, 230).unwrap();
    let token = bench.token().await;
    let first = bench.ids(&token, "").await;
    assert_eq!(first.len(), 100, "the default page");
    let mut all = first;
    for skip in [100, 200, 300] {
        all.extend(bench.ids(&token, &format!("$top=100&$skip={skip}")).await);
    }
    assert_eq!(all.len(), 230);
    all.sort_unstable();
    assert_eq!(all, (1..=230).collect::<Vec<_>>(), "every incident once");
    assert_eq!(bench.ids(&token, "$top=7&$skip=3").await.len(), 7);
}

#[tokio::test]
async fn filters_choose_by_instant_status_and_assignee() {
    let bench = Bench::plain().await;
    let (world, tenant) = (&bench.world, bench.tenant);
    world.create(tenant, 3).unwrap();
    world.advance(Duration::from_millis(10_290));
    let moved = world
        .update(tenant, 2, Update::AssignedTo(Some("o'neil".into())))
        .unwrap();
    assert_eq!(moved, version(tenant, 2, 2));
    world.resolve(tenant, 3).unwrap();
    let token = bench.token().await;
    for (query, expected) in [
        (
            "$filter=lastUpdateTime+ge+2026-03-01T08:00:10.29Z",
            vec![2, 3],
        ),
        (
            "$filter=lastUpdateTime+ge+2026-03-01T08:00:10.290000Z",
            vec![2, 3],
        ),
        (
            "$filter=lastUpdateTime+ge+2026-03-01T08:00:10.2900001Z",
            vec![],
        ),
        ("$filter=lastUpdateTime+gt+2026-03-01T08:00:10.29Z", vec![]),
        ("$filter=lastUpdateTime+lt+2026-03-01T08:00:10.29Z", vec![1]),
        ("$filter=lastUpdateTime+eq+2026-03-01T08:00:00Z", vec![1]),
        ("$filter=createdTime+le+2026-03-01T08:00:00Z", vec![1, 2, 3]),
        ("$filter=status+eq+'Resolved'", vec![3]),
        (
            "$filter=status+ne+'Resolved'+and+lastUpdateTime+gt+2026-03-01T08:00:00Z",
            vec![2],
        ),
        ("$filter=assignedTo+eq+'o''neil'", vec![2]),
    ] {
        let mut ids = bench.ids(&token, query).await;
        ids.sort_unstable();
        assert_eq!(ids, expected, "{query}");
    }
}

#[tokio::test]
async fn the_order_is_as_chosen() {
    for (order, expected) in [
        (Order::NewestFirst, vec![4, 3, 2, 1]),
        (Order::OldestFirst, vec![1, 2, 3, 4]),
    ] {
        let bench = Bench::start(|options| options.order = order).await;
        for _ in 0..4 {
            bench.world.advance(Duration::from_secs(1));
            bench.world.create(bench.tenant, 1).unwrap();
        }
        assert_eq!(
            bench.ids(&bench.token().await, "").await,
            expected,
            "{order:?}"
        );
    }
    let bench = Bench::start(|options| options.order = Order::Shuffled).await;
    bench.world.create(bench.tenant, 50).unwrap();
    let token = bench.token().await;
    let ids = bench.ids(&token, "").await;
    assert_eq!(
        ids,
        bench.ids(&token, "").await,
        "the same while nothing changes"
    );
    assert!(
        !ids.is_sorted() && !ids.iter().rev().is_sorted(),
        "in no order: {ids:?}"
    );
}

#[tokio::test]
async fn next_links_lead_through_empty_pages_to_the_end() {
    let paging = Paging::NextLink {
        page: 10,
        empty_pages: true,
    };
    let bench = Bench::start(|options| options.paging = paging).await;
    bench.world.create(bench.tenant, 25).unwrap();
    let token = bench.token().await;
    let mut path = "/api/incidents?$filter=createdTime%20le%202026-03-01T08:00:00Z".to_owned();
    let mut sizes = Vec::new();
    loop {
        let (status, body) = bench.get(&token, &path).await;
        assert_eq!(status, 200, "{path}: {body}");
        sizes.push(ids(&body).len());
        let Some(link) = body["@odata.nextLink"].as_str() else {
            break;
        };
        path = link
            .strip_prefix(&bench.sim.url())
            .expect("the link stays at this host")
            .to_owned();
    }
    assert_eq!(sizes, [0, 10, 0, 10, 0, 5]);
}

#[tokio::test]
async fn quotas_are_per_tenant_and_tell_when_to_come_back() {
    let second = Tenant::numbered(2);
    let other = second.id;
    let bench = Bench::start(|options| options.tenants.push(second)).await;
    let token = bench.token().await;
    for request in 0..50 {
        assert_eq!(
            bench.get(&token, "/api/incidents").await.0,
            200,
            "request {request}"
        );
    }
    bench.world.advance(Duration::from_secs(22));
    let response = bench.send(&token, "/api/incidents").await;
    assert_eq!(response.headers()["retry-after"], "38");
    let (status, body) = read(response).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (429, &Value::from("TooManyRequests"))
    );
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("retry in 38 seconds"), "{message}");
    assert_eq!(
        bench.get(&token, "/api/incidents/1").await.0,
        404,
        "get has a quota of its own"
    );
    let neighbour = bench.token_of(other).await;
    assert_eq!(bench.get(&neighbour, "/api/incidents").await.0, 200);
    bench.world.advance(Duration::from_secs(38));
    assert_eq!(bench.get(&token, "/api/incidents").await.0, 200);
    assert_eq!(bench.journal.throttled(), 1);
}

#[tokio::test]
async fn what_was_shown_is_entered_and_recognised_by_its_bytes() {
    let bench = Bench::plain().await;
    let (tenant, token) = (bench.tenant, bench.token().await);
    bench.world.create(tenant, 3).unwrap();
    bench.world.alert_only_change(tenant, 2).unwrap();
    assert_eq!(bench.journal.shown_count(), 0);
    bench.ids(&token, "$top=2").await;
    bench.journal.settled().await;
    assert_eq!(
        bench.journal.shown(),
        [version(tenant, 3, 1), version(tenant, 2, 2)].into()
    );
    let text = bench
        .send(&token, "/api/incidents/1")
        .await
        .bytes()
        .await
        .unwrap();
    bench.journal.settled().await;
    assert_eq!(bench.journal.identify(tenant, &text), Some((1, 1)));
    assert_eq!(
        bench.journal.identify(Uuid::nil(), &text),
        None,
        "another tenant's"
    );
    assert_eq!(bench.journal.identify(tenant, &text[1..]), None);
    assert_eq!(bench.journal.shown_count(), 3);
    let log = bench.journal.requests();
    let kinds: Vec<_> = log.iter().map(|request| request.endpoint).collect();
    assert_eq!(kinds, [Endpoint::Token, Endpoint::List, Endpoint::Get]);
    assert!(
        log.iter()
            .all(|request| request.complete && request.status == Some(200)),
        "{log:?}"
    );
    assert_eq!(log[1].query, "$top=2");
    assert_eq!(bench.journal.most_concurrent_lists(tenant), 1);
}

#[tokio::test]
async fn answers_carry_the_worlds_date_and_are_packed_on_request() {
    let bench = Bench::plain().await;
    bench.world.create(bench.tenant, 5).unwrap();
    let token = bench.token().await;
    let response = bench.send(&token, "/api/incidents").await;
    assert_eq!(response.headers()["date"], "Sun, 01 Mar 2026 08:00:00 GMT");
    assert_eq!(response.version(), reqwest::Version::HTTP_11);
    let plain = response.bytes().await.unwrap();
    let request = bench
        .client
        .get(format!("{}/api/incidents", bench.sim.url()))
        .bearer_auth(&token);
    let unpacked = Client::builder().no_gzip().no_proxy().build().unwrap();
    let request = request.header("accept-encoding", "gzip").build().unwrap();
    let packed = unpacked.execute(request).await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert!(packed.bytes().await.unwrap().len() < plain.len());
}
