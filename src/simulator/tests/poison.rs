use super::*;

fn oops() -> Effect {
    Effect::Answer {
        status: 504,
        headers: Vec::new(),
        body: "<html>Gateway Timeout</html>".to_owned(),
    }
}

#[tokio::test]
async fn a_poisoned_incident_spoils_what_would_show_its_alerts() {
    let bench = Bench::plain().await;
    let (tenant, faults) = (bench.tenant, bench.sim.faults());
    bench.world.create(tenant, 10).unwrap();
    let (token, graph) = (bench.token().await, bench.graph_token().await);
    faults.poison(tenant, 4, oops());
    let cases = [
        (&graph, format!("{GRAPH}?$expand=alerts"), 504),
        (&graph, format!("{GRAPH}?$expand=alerts&$top=6"), 200),
        (
            &graph,
            format!("{GRAPH}?$expand=alerts&$top=1&$skip=6"),
            504,
        ),
        (&graph, format!("{GRAPH}?$expand=alerts&$skip=7"), 200),
        (&graph, GRAPH.to_owned(), 200),
        (&graph, format!("{GRAPH}/4"), 200),
        (&graph, format!("{GRAPH}/4?$expand=alerts"), 504),
        (&graph, format!("{GRAPH}/4/alerts"), 504),
        (&graph, format!("{GRAPH}/5?$expand=alerts"), 200),
        (&token, "/api/incidents".to_owned(), 504),
        (&token, "/api/incidents?$top=6".to_owned(), 200),
        (&token, "/api/incidents/4".to_owned(), 504),
        (&token, "/api/incidents/5".to_owned(), 200),
    ];
    for (token, path, expected) in &cases {
        assert_eq!(bench.get(token, path).await.0, *expected, "{path}");
    }
    bench.journal.settled().await;
    let poisoned = version(tenant, 4, 1);
    assert!(!bench.journal.shown().contains(&poisoned));
    faults.cure(tenant, 4);
    for (token, path, _) in &cases {
        assert_eq!(bench.get(token, path).await.0, 200, "{path} after the cure");
    }
    bench.journal.settled().await;
    assert!(bench.journal.shown().contains(&poisoned));
}

#[tokio::test]
async fn poison_can_reset_hang_or_break() {
    let bench = Bench::plain().await;
    let (tenant, faults) = (bench.tenant, bench.sim.faults());
    bench.world.create(tenant, 1).unwrap();
    let token = bench.graph_token().await;
    let path = format!("{GRAPH}?$expand=alerts");
    let ask = || {
        let request = bench.client.get(format!("{}{path}", bench.sim.url()));
        request.bearer_auth(&token).send()
    };
    faults.poison(tenant, 1, Effect::Reset);
    assert!(ask().await.is_err(), "the connection was reset");
    faults.poison(tenant, 1, Effect::Hang);
    let hanging = tokio::time::timeout(Duration::from_millis(300), ask()).await;
    assert!(hanging.is_err(), "an answer came");
    faults.poison(tenant, 1, Effect::Drip(10));
    let (status, body) = bench.get(&token, &path).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (500, &"InternalServerError".into())
    );
}
