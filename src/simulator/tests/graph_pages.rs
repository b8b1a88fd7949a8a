use super::*;

/// Follows nextLinks from `path` to the end. Returns the ids of each page.
async fn follow(bench: &Bench, token: &str, path: &str) -> Vec<Vec<u64>> {
    let mut path = path.to_owned();
    let mut pages = Vec::new();
    loop {
        let (status, page) = bench.prefer(token, &path).await;
        assert_eq!(status, 200, "{path}: {page}");
        pages.push(graph_ids(&page));
        match page["@odata.nextLink"].as_str() {
            Some(link) => path = link.to_owned(),
            None => return pages,
        }
        assert!(
            path.starts_with(&bench.sim.url()),
            "an absolute link: {path}"
        );
    }
}

async fn first_link(bench: &Bench, token: &str, query: &str) -> String {
    let (status, page) = bench.prefer(token, &format!("{GRAPH}?{query}")).await;
    assert_eq!(status, 200, "{page}");
    let link = page["@odata.nextLink"].as_str();
    link.expect("there is more").to_owned()
}

#[tokio::test]
async fn links_lead_through_everything_once() {
    let bench = Bench::plain().await;
    bench.world.create(bench.tenant, 120).unwrap();
    let token = bench.graph_token().await;
    for (query, sizes) in [
        ("", vec![50, 50, 20]),
        ("?$top=50&$skip=60", vec![50, 10]),
        ("?$top=40&$expand=alerts", vec![40, 40, 40]),
        (
            "?$top=50&$filter=lastUpdateDateTime+lt+2026-03-01T08:00:00Z",
            vec![0],
        ),
    ] {
        let pages = follow(&bench, &token, &format!("{GRAPH}{query}")).await;
        let found: Vec<_> = pages.iter().map(Vec::len).collect();
        assert_eq!(found, sizes, "{query}");
        let mut all = pages.concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(
            all.len(),
            sizes.iter().sum::<usize>(),
            "{query}: some twice"
        );
    }
}

#[tokio::test]
async fn the_server_may_give_small_and_empty_pages() {
    let bench = Bench::start(|options| {
        options.graph.page = Some(10);
        options.graph.empty_pages = true;
    })
    .await;
    bench.world.create(bench.tenant, 25).unwrap();
    let token = bench.graph_token().await;
    let pages = follow(&bench, &token, &format!("{GRAPH}?$top=50")).await;
    let sizes: Vec<_> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [0, 10, 0, 10, 0, 5]);
}

#[tokio::test]
async fn a_link_is_good_only_as_a_whole_and_for_its_tenant() {
    let second = Tenant::numbered(2);
    let other = second.id;
    let bench = Bench::start(|options| options.tenants.push(second)).await;
    bench.world.create(bench.tenant, 20).unwrap();
    let (token, foreign) = (bench.graph_token().await, bench.graph_token_of(other).await);
    let link = first_link(&bench, &token, "$top=5&$expand=alerts").await;
    let (_, alone) = link.split_once("%24skiptoken=").unwrap();
    for altered in [
        format!("{GRAPH}?$skiptoken={alone}"),
        link.replace("$top=5", "$top=6"),
        link.replace("&$expand=alerts", ""),
        format!("{link}x"),
        format!("{GRAPH}?$skiptoken=s00000005"),
    ] {
        let (status, body) = bench.prefer(&token, &altered).await;
        assert_eq!(
            (status, &body["error"]["code"]),
            (400, &"BadRequest".into()),
            "{altered} was taken"
        );
    }
    assert_eq!(
        bench.prefer(&foreign, &link).await.0,
        400,
        "another tenant's"
    );
    assert_eq!(bench.prefer("", &link).await.0, 401, "without a token");
    let escaped = link.replace('$', "%24");
    assert_eq!(
        bench.prefer(&token, &escaped).await.0,
        200,
        "the same, escaped"
    );
    assert_eq!(
        bench.prefer(&token, &link).await.0,
        200,
        "as often as one likes"
    );
}

#[tokio::test]
async fn each_page_asks_for_unknown_members_anew() {
    let bench = Bench::plain().await;
    let (tenant, token) = (bench.tenant, bench.graph_token().await);
    bench.world.create(tenant, 2).unwrap();
    for id in [1, 2] {
        bench
            .world
            .update(tenant, id, Update::Status("AwaitingAction"))
            .unwrap();
    }
    let link = first_link(&bench, &token, "$top=1").await;
    let path = link.strip_prefix(&bench.sim.url()).unwrap();
    let status = |page: (u16, Value)| page.1["value"][0]["status"].clone();
    assert_eq!(status(bench.get(&token, path).await), "unknownFutureValue");
    assert_eq!(status(bench.prefer(&token, path).await), "awaitingAction");
}

#[tokio::test]
async fn filters_choose_as_documented() {
    let bench = Bench::plain().await;
    let (world, tenant) = (&bench.world, bench.tenant);
    world.create(tenant, 4).unwrap();
    world.advance(Duration::from_millis(10_290));
    let change = |id, update| world.update(tenant, id, update).unwrap();
    change(2, Update::AssignedTo(Some("o'neil".into())));
    change(3, Update::Resolve("TruePositive", "Malware"));
    change(4, Update::Status("AwaitingAction"));
    world.advance(Duration::from_secs(1));
    change(4, Update::Severity("High".into()));
    let others_low = Update::Severity("Low".into());
    for id in 1..=3 {
        change(id, others_low.clone());
    }
    let token = bench.graph_token().await;
    for (filter, expected) in [
        (
            "lastUpdateDateTime+ge+2026-03-01T08:00:11.29Z",
            vec![1, 2, 3, 4],
        ),
        ("lastUpdateDateTime+gt+2026-03-01T08:00:11.29Z", vec![]),
        (
            "lastUpdateDateTime+ge+2026-03-01T08:00:00Z+and+lastUpdateDateTime+lt+2026-03-01T08:00:11.29Z",
            vec![],
        ),
        ("createdDateTime+le+2026-03-01T08:00:00Z", vec![1, 2, 3, 4]),
        (
            "lastUpdateDateTime+eq+2026-03-01T08:00:11.2900000Z",
            vec![1, 2, 3, 4],
        ),
        ("status+eq+'resolved'", vec![3]),
        ("status+eq+'awaitingAction'", vec![4]),
        ("status+ne+'active'+and+severity+eq+'high'", vec![4]),
        ("classification+eq+'truePositive'", vec![3]),
        ("determination+ne+'malware'", vec![1, 2, 4]),
        ("assignedTo+eq+'o''neil'", vec![2]),
    ] {
        let path = format!("{GRAPH}?$count=true&$top=3&$filter={filter}");
        let (status, page) = bench.get(&token, &path).await;
        assert_eq!(status, 200, "{filter}: {page}");
        assert_eq!(page["@odata.count"], expected.len(), "{filter}");
        let mut ids = follow(&bench, &token, &path).await.concat();
        ids.sort_unstable();
        assert_eq!(ids, expected, "{filter}");
    }
}

#[tokio::test]
async fn undocumented_odata_is_refused_in_graphs_form() {
    let bench = Bench::plain().await;
    let token = bench.graph_token().await;
    let (status, body) = bench.get(&token, &format!("{GRAPH}?$top=100")).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (400, &"BadRequest".into())
    );
    assert_eq!(
        body["error"]["message"],
        "The limit of '50' for Top query has been exceeded. The value from the incoming request is '100'."
    );
    for query in [
        "$orderby=lastUpdateDateTime+asc",
        "$select=id",
        "$filter=status+eq+'Active'",
    ] {
        let (status, body) = bench.get(&token, &format!("{GRAPH}?{query}")).await;
        assert_eq!(status, 400, "{query}: {body}");
        assert!(body["error"]["innerError"]["date"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn times_can_be_cut_to_the_millisecond() {
    let bench = Bench::start(|options| options.graph.millis = true).await;
    let (world, tenant) = (&bench.world, bench.tenant);
    world.create(tenant, 1).unwrap();
    world.advance(Duration::from_micros(10_073_400));
    world.resolve(tenant, 1).unwrap();
    let (_, graph) = bench
        .get(&bench.graph_token().await, &format!("{GRAPH}/1"))
        .await;
    let (_, defender) = bench.get(&bench.token().await, "/api/incidents/1").await;
    assert_eq!(defender["lastUpdateTime"], "2026-03-01T08:00:10.0733333Z");
    assert_eq!(graph["lastUpdateDateTime"], "2026-03-01T08:00:10.073Z");
}
