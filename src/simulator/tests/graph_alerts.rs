use super::*;

fn alerts(of: &Value) -> Vec<Value> {
    of["alerts"].as_array().expect("alerts").clone()
}

async fn split() -> (Bench, String) {
    let bench = Bench::start(|options| options.graph.alerts = Some(4)).await;
    bench.world.create(bench.tenant, 1).unwrap();
    let more = Update::NewAlerts(10);
    bench.world.update(bench.tenant, 1, more).unwrap();
    let token = bench.graph_token().await;
    (bench, token)
}

/// The incident with all its alerts, as a client puts it together.
async fn assemble(bench: &Bench, token: &str) -> Value {
    let (status, page) = bench
        .prefer(token, &format!("{GRAPH}?$expand=alerts"))
        .await;
    assert_eq!(status, 200, "{page}");
    let mut incident = page["value"][0].clone();
    let mut link = incident["alerts@odata.nextLink"].clone();
    let mut all = alerts(&incident);
    assert_eq!(all.len(), 4);
    while let Some(next) = link.as_str() {
        bench.journal.settled().await;
        assert_eq!(
            bench.journal.shown_count(),
            0,
            "shown before the last alerts were"
        );
        assert_eq!(
            bench.prefer("", next).await.0,
            401,
            "refused without a token"
        );
        let (status, page) = bench.prefer(token, next).await;
        assert_eq!(status, 200, "{page}");
        all.extend(page["value"].as_array().unwrap().iter().cloned());
        link = page["@odata.nextLink"].clone();
    }
    incident["alerts"] = all.into();
    incident
}

#[tokio::test]
async fn many_alerts_go_on_behind_a_link_and_count_when_all_are_there() {
    let (bench, token) = split().await;
    let (tenant, now) = (bench.tenant, bench.journal.current()[0]);
    let incident = assemble(&bench, &token).await;
    bench.journal.settled().await;
    assert_eq!(bench.journal.shown(), [now].into());
    assert_eq!(
        bench.journal.identify_value(tenant, &incident),
        Some((1, 2))
    );
    let mut lacking = incident.clone();
    lacking["alerts"].as_array_mut().unwrap().pop();
    assert_eq!(bench.journal.identify_value(tenant, &lacking), None);
    assert_eq!(bench.journal.identify_value(Uuid::nil(), &incident), None);
}

#[tokio::test]
async fn the_single_incident_is_split_the_same_way() {
    let (bench, token) = split().await;
    let path = format!("{GRAPH}/1?$expand=alerts");
    let (_, one) = bench.prefer(&token, &path).await;
    assert_eq!(alerts(&one).len(), 4);
    let link = one["alerts@odata.nextLink"].as_str().unwrap().to_owned();
    assert_eq!(bench.prefer(&token, &link).await.0, 200);
    bench.world.resolve(bench.tenant, 1).unwrap();
    let (status, _) = bench.prefer(&token, &link).await;
    assert_eq!(status, 410, "the incident is not what it was");
    bench.journal.settled().await;
    assert_eq!(bench.journal.shown_count(), 0);
}

#[tokio::test]
async fn alerts_can_be_asked_for_alone_but_show_no_version() {
    let (bench, token) = split().await;
    let path = format!("{GRAPH}/1/alerts");
    let (status, page) = bench.prefer(&token, &path).await;
    assert_eq!(status, 200, "{page}");
    assert_eq!(page["value"].as_array().map(Vec::len), Some(4));
    assert!(page["@odata.nextLink"].is_string());
    assert_eq!(bench.prefer(&token, &format!("{path}?$top=2")).await.0, 400);
    let gone = format!("{GRAPH}/7/alerts");
    assert_eq!(bench.prefer(&token, &gone).await.0, 404);
    bench.journal.settled().await;
    assert_eq!(bench.journal.shown_count(), 0);
    let last = bench.journal.requests().pop().unwrap();
    assert_eq!(
        (last.api, last.endpoint),
        (Some(Api::Graph), Endpoint::Alerts)
    );
    assert_eq!(last.path, gone);
}

#[tokio::test]
async fn served_bytes_are_recognised_and_bare_ones_kept_apart() {
    let bench = Bench::plain().await;
    let (tenant, token) = (bench.tenant, bench.graph_token().await);
    bench.world.create(tenant, 2).unwrap();
    let raw = async |path: String| -> Vec<u8> {
        bench
            .send(&token, &path)
            .await
            .bytes()
            .await
            .unwrap()
            .into()
    };
    let journal = &bench.journal;

    let bare = raw(format!("{GRAPH}/1")).await;
    journal.settled().await;
    assert_eq!(journal.identify(tenant, &bare), Some((1, 1)));
    assert_eq!(
        journal.identify_value(tenant, &serde_json::from_slice(&bare).unwrap()),
        None
    );
    assert_eq!(journal.shown_count(), 0);

    let whole = raw(format!("{GRAPH}/1?$expand=alerts")).await;
    journal.settled().await;
    assert_eq!(journal.identify(tenant, &whole), Some((1, 1)));
    let value: Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(
        journal.identify_value(tenant, &value),
        Some((1, 1)),
        "context and all"
    );
    assert_eq!(journal.shown(), [version(tenant, 1, 1)].into());

    let page = raw(format!("{GRAPH}?$expand=alerts")).await;
    let text = String::from_utf8(page).unwrap();
    let (_, list) = text.split_once("\"value\":[").unwrap();
    let first = serde_json::Deserializer::from_str(list)
        .into_iter::<&serde_json::value::RawValue>()
        .next();
    let first = first.unwrap().unwrap().get();
    assert_eq!(journal.identify(tenant, first.as_bytes()), Some((2, 1)));
    journal.settled().await;
    assert_eq!(journal.shown_count(), 2);
}

#[tokio::test]
async fn incidents_can_be_huge() {
    let bench = Bench::start(|options| options.incident_bytes = Some(9_000_000)).await;
    let (tenant, token) = (bench.tenant, bench.graph_token().await);
    bench.world.create(tenant, 1).unwrap();
    let more = Update::NewAlerts(2000);
    bench.world.update(tenant, 1, more).unwrap();
    let path = format!("{GRAPH}/1?$expand=alerts");
    let text = bench.send(&token, &path).await.bytes().await.unwrap();
    assert!(text.len() > 12_000_000, "{} bytes", text.len());
    assert_eq!(bench.journal.identify(tenant, &text), Some((1, 2)));
}
