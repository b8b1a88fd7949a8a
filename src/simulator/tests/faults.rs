use tokio::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// All bytes of a raw connection, and how it ended.
async fn raw(bench: &Bench, token: &str) -> (String, std::io::Result<()>) {
    let address = bench.sim.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    let request = format!(
        "GET /api/incidents HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the request leaves");
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).await.map(drop);
    (String::from_utf8_lossy(&bytes).into_owned(), end)
}

async fn with_incidents() -> (Bench, String) {
    let bench = Bench::plain().await;
    bench.world.create(bench.tenant, 5).unwrap();
    let token = bench.token().await;
    (bench, token)
}

#[tokio::test]
async fn a_whole_answer_is_shown_and_closed_in_order() {
    let (bench, token) = with_incidents().await;
    let (text, end) = raw(&bench, &token).await;
    assert!(
        end.is_ok() && text.ends_with("0\r\n\r\n"),
        "{end:?}: {text}"
    );
    bench.journal.settled().await;
    assert_eq!(bench.journal.shown_count(), 5);
}

#[tokio::test]
async fn what_is_cut_off_was_not_shown() {
    let (bench, token) = with_incidents().await;
    let faults = bench.sim.faults();
    for (effect, reset) in [
        (Effect::Reset, true),
        (Effect::ResetAfter(1000), true),
        (Effect::ShortOfLength(1000), false),
    ] {
        faults.push(Rule::new(effect.clone()).at(Endpoint::List).times(1));
        let (text, end) = raw(&bench, &token).await;
        assert_eq!(end.is_err(), reset, "{effect:?}: {end:?}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        assert_eq!(
            head.contains("content-length"),
            matches!(effect, Effect::ShortOfLength(_)),
            "{head}"
        );
        assert_eq!(
            body.len() >= 1000,
            effect_has_body(&effect),
            "{effect:?}: {} bytes",
            body.len()
        );
        assert!(!text.ends_with("0\r\n\r\n"), "{effect:?} looks whole");
        bench.journal.settled().await;
        assert_eq!(bench.journal.shown_count(), 0, "{effect:?}");
    }
}

fn effect_has_body(effect: &Effect) -> bool {
    !matches!(effect, Effect::Reset)
}

#[tokio::test]
async fn broken_json_and_login_pages_are_whole_answers_of_nothing() {
    let (bench, token) = with_incidents().await;
    let faults = bench.sim.faults();
    faults.push(Rule::new(Effect::BrokenJson(300)).times(1));
    let response = bench.send(&token, "/api/incidents").await;
    assert_eq!(response.status(), 200);
    let text = response.bytes().await.unwrap();
    assert!(text.len() == 300 && serde_json::from_slice::<Value>(&text).is_err());
    faults.push(Rule::new(Effect::LoginPage).times(1));
    let response = bench.send(&token, "/api/incidents").await;
    assert_eq!(
        (
            response.status().as_u16(),
            &response.headers()["content-type"]
        ),
        (200, &"text/html".parse().unwrap())
    );
    assert!(response.text().await.unwrap().contains("<html>"));
    bench.journal.settled().await;
    assert_eq!(bench.journal.shown_count(), 0);
    assert_eq!(
        bench.ids(&token, "").await.len(),
        5,
        "both struck once only"
    );
}

#[tokio::test]
async fn a_bad_incident_stands_among_good_ones() {
    let (bench, token) = with_incidents().await;
    let bad = r#"{"incidentId":"not a number","lastUpdateTime":"yesterday"}"#;
    bench
        .sim
        .faults()
        .push(Rule::new(Effect::BadIncident(bad.into())).at(Endpoint::List));
    let (status, page) = bench.get(&token, "/api/incidents").await;
    let value = page["value"].as_array().unwrap();
    assert_eq!((status, value.len()), (200, 6));
    assert_eq!(
        value
            .iter()
            .filter(|incident| incident["lastUpdateTime"] == "yesterday")
            .count(),
        1
    );
    bench.journal.settled().await;
    assert_eq!(bench.journal.shown_count(), 5);
}

#[tokio::test]
async fn padding_makes_pages_large_and_leaves_incidents_alone() {
    let (bench, token) = with_incidents().await;
    bench
        .sim
        .faults()
        .push(Rule::new(Effect::PadPage(3_000_000)));
    let text = bench
        .send(&token, "/api/incidents")
        .await
        .bytes()
        .await
        .unwrap();
    assert!(
        (3_000_000..3_100_000).contains(&text.len()),
        "{} bytes",
        text.len()
    );
    assert_eq!(ids(&serde_json::from_slice(&text).unwrap()).len(), 5);
}

#[tokio::test]
async fn answers_can_be_replaced_per_endpoint_and_tenant() {
    let (bench, token) = with_incidents().await;
    let faults = bench.sim.faults();
    let throttled = Effect::Throttled(60);
    faults.push(Rule::new(throttled).at(Endpoint::Token));
    faults.push(
        Rule::status(503, "")
            .at(Endpoint::List)
            .of(Uuid::from_u128(9)),
    );
    faults.push(
        Rule::status(500, "oops")
            .at(Endpoint::List)
            .of(bench.tenant)
            .times(2),
    );
    let url = format!("{}/{}/oauth2/v2.0/token", bench.sim.url(), bench.tenant);
    let throttled = bench
        .client
        .post(url)
        .form(&bench.fields())
        .send()
        .await
        .unwrap();
    assert_eq!(
        (
            throttled.status().as_u16(),
            &throttled.headers()["retry-after"]
        ),
        (429, &"60".parse().unwrap())
    );
    assert_eq!(
        throttled.text().await.unwrap(),
        "Too Many Requests",
        "plain text, not JSON"
    );
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(bench.get(&token, "/api/incidents").await.0);
    }
    assert_eq!(statuses, [500, 500, 200]);
    faults.clear();
    bench.token().await;
    assert_eq!(bench.journal.throttled(), 1);
}

#[tokio::test]
async fn hanging_requests_count_as_at_work_until_the_client_leaves() {
    let (bench, token) = with_incidents().await;
    bench
        .sim
        .faults()
        .push(Rule::new(Effect::Hang).at(Endpoint::List));
    let hang = async || bench.send(&token, "/api/incidents").await;
    let lists = |log: &[Request]| {
        log.iter()
            .filter(|request| request.endpoint == Endpoint::List)
            .count()
    };
    tokio::select! {
        _ = hang() => panic!("an answer came"),
        _ = hang() => panic!("an answer came"),
        () = bench.journal.until(|log| lists(log) == 2) => {}
    }
    bench.journal.settled().await;
    assert_eq!(bench.journal.most_concurrent_lists(bench.tenant), 2);
    let last = bench.journal.requests().pop().unwrap();
    assert_eq!((last.status, last.complete), (None, false));
}

#[tokio::test]
async fn slow_answers_take_their_time() {
    let (bench, token) = with_incidents().await;
    let whole = bench
        .send(&token, "/api/incidents/1")
        .await
        .bytes()
        .await
        .unwrap()
        .len();
    let drip = Rule::new(Effect::Drip(whole * 2));
    bench.sim.faults().push(drip);
    let plain = Client::builder().no_gzip().no_proxy().build().unwrap();
    let start = Instant::now();
    let request = plain
        .get(format!("{}/api/incidents/1", bench.sim.url()))
        .bearer_auth(&token);
    assert_eq!(
        request.send().await.unwrap().bytes().await.unwrap().len(),
        whole
    );
    assert!(
        start.elapsed() >= Duration::from_millis(450),
        "{whole} bytes came in {:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn stopping_ends_hanging_requests() {
    let (bench, token) = with_incidents().await;
    bench
        .sim
        .faults()
        .push(Rule::new(Effect::Hang).at(Endpoint::List));
    let hanging = bench
        .client
        .get(format!("{}/api/incidents", bench.sim.url()))
        .bearer_auth(&token)
        .send();
    let (answer, ()) = tokio::join!(hanging, async {
        let hangs = |log: &[Request]| log.iter().any(|request| request.endpoint == Endpoint::List);
        bench.journal.until(hangs).await;
        bench.sim.stop();
    });
    assert!(answer.is_err(), "the connection was reset");
}
