//! The exact requests to the Defender XDR API.

use crate::core::ids::IncidentId;
use crate::core::sweep::backlog::Span;
use crate::microsoft::tests::support::{Server, defender_at, http_options, json, list, read_page};
use crate::ports::{IncidentSource, PageAsk, Query};

#[tokio::test]
async fn each_request_is_made_as_documented() {
    let server = Server::start(json("200 OK", "{}")).await;
    let defender = defender_at(&server.url, http_options(), 1000);
    let bounded = PageAsk::Query(Query {
        span: Span::between(
            "2020-09-06T12:18:03.0733333Z".parse().unwrap(),
            "2020-09-07T00:00:00Z".parse().unwrap(),
        ),
        top: 1,
        skip: 0,
        alerts: false,
    });
    let filter = "$filter=lastUpdateTime+ge+2020-09-06T12:18:03.0733333Z";
    for (ask, target) in [
        (
            list("2020-09-06T12:18:03.0733333Z", 100, 0),
            format!("/api/incidents?{filter}&$top=100"),
        ),
        (
            list("2020-09-06T12:18:03.0733333Z", 100, 200),
            format!("/api/incidents?{filter}&$top=100&$skip=200"),
        ),
        (
            bounded,
            format!("/api/incidents?{filter}+and+lastUpdateTime+lt+2020-09-07T00:00:00Z&$top=1"),
        ),
        (
            PageAsk::Link(format!("{}api/incidents?$skiptoken=a%2Bb", server.url)),
            "/api/incidents?$skiptoken=a%2Bb".to_owned(),
        ),
        (
            PageAsk::One(IncidentId(u64::MAX)),
            "/api/incidents/18446744073709551615".to_owned(),
        ),
    ] {
        read_page(&defender, &ask, "TOKEN").await.unwrap();
        let sent = server.requests().pop().unwrap();
        let line = format!("GET {target} HTTP/1.1\r\n");
        assert!(sent.starts_with(&line), "{line}, but sent was {sent}");
        let agent = concat!("user-agent: incidentd/", env!("CARGO_PKG_VERSION"));
        for header in [
            "authorization: Bearer TOKEN\r\n",
            "accept: application/json\r\n",
            "accept-encoding: gzip",
            agent,
        ] {
            assert!(sent.contains(header), "{header} is missing in {sent}");
        }
        assert!(!sent.contains("prefer:"), "{sent}");
    }
}

#[tokio::test]
async fn a_path_of_the_base_url_stays_in_front() {
    let server = Server::start(json("200 OK", "{}")).await;
    let base = server.url.join("/relay/").unwrap();
    let defender = defender_at(&base, http_options(), 1000);
    let alone = PageAsk::One(IncidentId(7));
    read_page(&defender, &alone, "TOKEN").await.unwrap();
    let sent = server.requests().pop().unwrap();
    assert!(
        sent.starts_with("GET /relay/api/incidents/7 HTTP/1.1\r\n"),
        "{sent}"
    );
}

#[test]
fn alerts_always_come_along() {
    let base = "http://127.0.0.1:1".parse().unwrap();
    let defender = defender_at(&base, http_options(), 1);
    assert_eq!(
        (defender.name(), defender.lists_bare()),
        ("defender", false)
    );
}
