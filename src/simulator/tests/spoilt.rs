use super::*;

async fn with_incidents() -> (Bench, String, String) {
    let bench = Bench::plain().await;
    bench.world.create(bench.tenant, 5).unwrap();
    let (defender, graph) = (bench.token().await, bench.graph_token().await);
    (bench, defender, graph)
}

const EXPANDED: &str = "/v1.0/security/incidents?$expand=alerts";

#[tokio::test]
async fn rules_strike_one_kind_of_request_of_both_apis() {
    let (bench, token, graph) = with_incidents().await;
    let faults = bench.sim.faults();
    faults.push(Rule::status(503, "").at(Endpoint::List));
    assert_eq!(bench.get(&token, "/api/incidents").await.0, 503);
    assert_eq!(bench.get(&graph, GRAPH).await.0, 503);
    assert_eq!(bench.get(&graph, &format!("{GRAPH}/1")).await.0, 200);
    faults.clear();
    faults.push(Rule::status(502, "").at(Endpoint::Get));
    assert_eq!(bench.get(&token, "/api/incidents/1").await.0, 502);
    assert_eq!(bench.get(&graph, &format!("{GRAPH}/1")).await.0, 502);
    assert_eq!(bench.get(&graph, GRAPH).await.0, 200);
    let apis: Vec<_> = bench.journal.requests().iter().map(|r| r.api).collect();
    let (defender, graph) = (Some(Api::Defender), Some(Api::Graph));
    assert_eq!(
        apis,
        [None, None, defender, graph, graph, defender, graph, graph]
    );
}

#[tokio::test]
async fn a_partial_page_says_so_and_shows_the_rest_only() {
    let (bench, token, graph) = with_incidents().await;
    let faults = bench.sim.faults();
    faults.push(Rule::new(Effect::Partial(2)).at(Endpoint::List).times(2));
    for (token, path, key) in [
        (&token, "/api/incidents", "incidentId"),
        (&graph, EXPANDED, "id"),
    ] {
        let response = bench.send(token, path).await;
        assert_eq!(
            response.headers()["warning"],
            "199 - \"Microsoft/MicrosoftDefender/504/10000\""
        );
        let (status, page) = read(response).await;
        assert_eq!(
            (status, page["value"].as_array().map(Vec::len)),
            (206, Some(3))
        );
        assert_eq!(page["value"][0][key].to_string().trim_matches('"'), "5");
    }
    bench.journal.settled().await;
    assert_eq!(bench.journal.shown_count(), 3);
    let text = bench
        .send(&graph, &format!("{GRAPH}/1?$expand=alerts"))
        .await;
    let text = text.bytes().await.unwrap();
    assert_eq!(bench.journal.identify(bench.tenant, &text), Some((1, 1)));
    assert_eq!(graph_ids(&bench.get(&graph, EXPANDED).await.1).len(), 5);
}

#[tokio::test]
async fn bytes_that_are_no_text_stand_among_good_incidents() {
    let (bench, token, graph) = with_incidents().await;
    let bad = b"{\"id\":\"\xff\xfe\"}".to_vec();
    bench
        .sim
        .faults()
        .push(Rule::new(Effect::BadIncident(bad.clone())));
    for (token, path) in [(&token, "/api/incidents"), (&graph, EXPANDED)] {
        let page = bench.send(token, path).await.bytes().await.unwrap();
        let found = page.windows(bad.len()).any(|bytes| bytes == bad);
        assert!(found && std::str::from_utf8(&page).is_err(), "{path}");
    }
    bench.journal.settled().await;
    assert_eq!(bench.journal.shown_count(), 5);
}

#[tokio::test]
async fn a_429_states_its_wait() {
    let (bench, token, graph) = with_incidents().await;
    bench.sim.faults().push(Rule::new(Effect::Throttled(90)));
    for (token, path) in [(&token, "/api/incidents"), (&graph, GRAPH)] {
        let response = bench.send(token, path).await;
        assert_eq!(response.headers()["retry-after"], "90", "{path}");
        let (status, body) = read(response).await;
        assert_eq!(
            (status, &body["error"]["code"]),
            (429, &"TooManyRequests".into())
        );
    }
    assert_eq!(bench.journal.throttled(), 2);
}

#[tokio::test]
async fn links_can_go_stale_while_plain_requests_go_well() {
    let (bench, _, graph) = with_incidents().await;
    let faults = bench.sim.faults();
    for status in [400, 410] {
        faults.clear();
        faults.push(Rule::new(Effect::StaleLink(status)).at(Endpoint::List));
        let (fine, page) = bench.get(&graph, &format!("{GRAPH}?$top=2")).await;
        assert_eq!(fine, 200);
        let link = page["@odata.nextLink"].as_str().unwrap();
        for _ in 0..2 {
            let (refused, body) = bench.prefer(&graph, link).await;
            assert_eq!(refused, status, "{body}");
        }
    }
}
