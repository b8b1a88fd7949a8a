//! The exact requests to Microsoft Graph, and how its answers are read. The bodies have the form of the examples of
//! "List incidents" and "Get incident" (Graph v1.0 reference), which spell statuses in upper and lower case.

use bytes::Bytes;

use crate::core::health::failure::{Failure, Health};
use crate::core::ids::IncidentId;
use crate::core::incident::further_alerts::continuation;
use crate::core::incident::page::{Envelope, Splitter};
use crate::core::incident::reading;
use crate::core::incident::version::Phase;
use crate::core::sources::SourceKind;
use crate::core::sweep::backlog::Span;
use crate::microsoft::tests::support::{
    Server, answer, assert_silent_about, graph_at, http_options, json, list, read_page,
};
use crate::ports::{IncidentSource, PageAsk, Query};

const TOKEN: &str = "TOKEN.CANARY.1";

async fn read(server: &Server, ask: &PageAsk) -> Result<Vec<u8>, Failure> {
    let graph = graph_at(&server.url, http_options(), 10_000);
    read_page(&graph, ask, TOKEN).await
}

fn first_page() -> PageAsk {
    list("2021-09-30T09:35:45.1133333Z", 50, 0)
}

#[tokio::test]
async fn each_request_is_made_as_documented() {
    let server = Server::start(json("200 OK", "{}")).await;
    let query = |to: Option<&str>, top, skip, alerts| {
        PageAsk::Query(Query {
            span: Span {
                from: "2021-09-30T09:35:45.1133333Z".parse().unwrap(),
                to: to.map(|to| to.parse().unwrap()),
            },
            top,
            skip,
            alerts,
        })
    };
    let path = "/v1.0/security/incidents";
    let from = "$filter=lastUpdateDateTime+ge+2021-09-30T09:35:45.1133333Z";
    let to = "+and+lastUpdateDateTime+lt+2021-10-01T00:00:00Z";
    let end = Some("2021-10-01T00:00:00Z");
    for (ask, target) in [
        (
            query(None, 50, 0, true),
            format!("{path}?{from}&$top=50&$expand=alerts"),
        ),
        (
            query(end, 50, 49, true),
            format!("{path}?{from}{to}&$top=50&$skip=49&$expand=alerts"),
        ),
        (query(end, 1, 0, false), format!("{path}?{from}{to}&$top=1")),
        (
            PageAsk::Link(format!(
                "{}v1.0/security/incidents?$skiptoken=a%2Bb+c",
                server.url
            )),
            format!("{path}?$skiptoken=a%2Bb+c"),
        ),
        (
            PageAsk::Link(format!(
                "{}v1.0/security/incidents/7/alerts?$skip=100",
                server.url
            )),
            format!("{path}/7/alerts?$skip=100"),
        ),
        (
            PageAsk::One(IncidentId(2_972_395)),
            format!("{path}/2972395?$expand=alerts"),
        ),
    ] {
        read(&server, &ask).await.unwrap();
        let sent = server.requests().pop().unwrap();
        let line = format!("GET {target} HTTP/1.1\r\n");
        assert!(sent.starts_with(&line), "{line}, but sent was {sent}");
        for header in [
            "prefer: include-unknown-enum-members\r\n",
            "authorization: Bearer TOKEN.CANARY.1\r\n",
            "accept: application/json\r\n",
        ] {
            assert!(sent.contains(header), "{header} is missing in {sent}");
        }
    }
}

#[tokio::test]
async fn a_link_that_leaves_graph_is_not_followed() {
    let home = Server::start(json("200 OK", "{}")).await;
    let elsewhere = Server::start(json("200 OK", "{}")).await;
    let away = PageAsk::Link(format!("{}v1.0/security/incidents", elsewhere.url));
    let failure = read(&home, &away).await.unwrap_err();
    assert_eq!(failure.health, Health::Misconfigured, "{failure:?}");
    assert!(elsewhere.requests().is_empty(), "the token went elsewhere");
}

fn split(body: Vec<u8>) -> (Vec<Bytes>, Envelope) {
    let (mut splitter, mut elements) = (Splitter::default(), Vec::new());
    splitter.feed(&Bytes::from(body), &mut elements).unwrap();
    (elements, splitter.finish().unwrap())
}

const ACTIVE: &str = r##"{
    "@odata.type": "#microsoft.graph.security.incident", "id": "2972395", "redirectIncidentId": null,
    "createdDateTime": "2021-08-13T08:43:35.5533333Z", "lastUpdateDateTime": "2021-09-30T09:35:45.1133333Z",
    "status": "Active", "severity": "medium", "customTags": ["Demo"], "priorityScore": null, "summary": null,
    "incidentWebUrl": "https://security.microsoft.com/incident2/2972395/overview?tid=b3c1b5fc-828c-45fa-a1e1-10d74f6d6e9c",
    "alerts@odata.nextLink": "https://graph.microsoft.com/v1.0/security/incidents/2972395/alerts?$skip=1",
    "alerts": [{"@odata.type": "#microsoft.graph.security.alert", "id": "da637551227677560813_-961444813",
        "lastUpdateDateTime": "2021-05-02T14:19:01.3266667Z", "status": "new",
        "evidence": [{"@odata.type": "#microsoft.graph.security.deviceEvidence", "rbacGroupId": 75}]}]
}"##;
const AWAITING: &str =
    r#"{"id":"7","status":"awaitingAction","lastUpdateDateTime":"2021-09-30T09:35:45Z"}"#;
const RESOLVED: &str =
    r#"{"id":"8","status":"resolved","lastUpdateDateTime":"2021-09-30T09:35:45.5+02:00"}"#;
const MERGED: &str = r#"{"id":"9","status":"active","redirectIncidentId":"7","lastUpdateDateTime":"2021-09-30T09:35:45.123456Z"}"#;

#[tokio::test]
async fn a_page_is_read_as_its_incidents() {
    let next = "https://graph.microsoft.com/v1.0/security/incidents?$skiptoken=x";
    let page = format!(
        r#"{{"@odata.context":"c","@odata.nextLink":"{next}","value":[{ACTIVE},{AWAITING},{RESOLVED},{MERGED}]}}"#
    );
    let server = Server::start(json("200 OK", page)).await;
    let (elements, envelope) = split(read(&server, &first_page()).await.unwrap());
    assert_eq!(envelope.next_link.as_deref(), Some(next));
    assert_eq!(elements, [ACTIVE, AWAITING, RESOLVED, MERGED]);

    let graph = graph_at(&server.url, http_options(), 1);
    let readings: Vec<_> = elements
        .iter()
        .map(|raw| reading::read(raw, graph.shape()).unwrap())
        .map(|reading| (reading.id.0, reading.updated.to_string(), reading.phase))
        .collect();
    let expected = [
        (2_972_395, "2021-09-30T09:35:45.1133333Z", Phase::Open),
        (7, "2021-09-30T09:35:45Z", Phase::Open),
        (8, "2021-09-30T07:35:45.5Z", Phase::Resolved),
        (9, "2021-09-30T09:35:45.123456Z", Phase::Redirected),
    ];
    assert_eq!(
        readings,
        expected.map(|(id, at, phase)| (id, at.to_owned(), phase))
    );
    assert!(
        continuation(&elements[0]).is_some(),
        "its alerts go on elsewhere"
    );
}

#[tokio::test]
async fn an_incident_reads_the_same_alone_as_in_a_page() {
    let listed = Server::start(json("200 OK", format!(r#"{{"value":[{ACTIVE}]}}"#))).await;
    let context = r#"{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#security/incidents/$entity","#;
    let alone = Server::start(json("200 OK", ACTIVE.replacen('{', context, 1))).await;
    let one = PageAsk::One(IncidentId(2_972_395));
    let (in_page, _) = split(read(&listed, &first_page()).await.unwrap());
    let (by_itself, _) = split(read(&alone, &one).await.unwrap());
    let graph = graph_at(&alone.url, http_options(), 1);
    let reading = |elements: &[Bytes]| reading::read(&elements[0], graph.shape()).unwrap();
    assert_eq!(reading(&in_page), reading(&by_itself));
    assert_eq!(reading(&in_page).origin, SourceKind::Graph);
}

#[tokio::test]
async fn a_partial_answer_is_said_to_be_one() {
    let headers = [
        ("content-type", "application/json;odata.metadata=minimal"),
        ("warning", "199 - \"Microsoft/MDATP/504/10000\""),
    ];
    let server = Server::start(answer("206 Partial Content", &headers, "{}")).await;
    let graph = graph_at(&server.url, http_options(), 1000);
    let token = crate::ports::AccessToken::new(TOKEN.to_owned().into());
    let page = graph.open(&first_page(), &token).await.unwrap();
    assert!(
        page.partial()
            .unwrap()
            .contains("Microsoft/MDATP/504/10000")
    );
}

#[tokio::test]
async fn a_missing_permission_is_answered_with_the_link_that_grants_it() {
    let body = r#"{"error":{"code":"Forbidden","message":"Missing application roles.","innerError":{"request-id":"r-1"}}}"#;
    let server = Server::start(json("403 Forbidden", body)).await;
    let failure = read(&server, &first_page()).await.unwrap_err();
    assert_eq!(failure.health, Health::Consent);
    assert!(failure.what.contains("request id r-1"), "{failure:?}");
    for part in [
        "\"SecurityIncident.Read.All\" of the API \"Microsoft Graph\"",
        "/v2.0/adminconsent?client_id=",
        "scope=https%3A%2F%2Fgraph.microsoft.com%2F.default",
    ] {
        assert!(
            failure.remedy.contains(part),
            "{part} is missing in {failure:?}"
        );
    }
    assert_silent_about(&failure, &[TOKEN]);
}

#[tokio::test]
async fn a_base_url_with_graphs_version_in_it_is_explained() {
    let server = Server::start(json("404 Not Found", "{}")).await;
    let failure = read(&server, &first_page()).await.unwrap_err();
    assert_eq!(failure.health, Health::Misconfigured);
    assert!(failure.remedy.contains("without a path"), "{failure:?}");
}

#[test]
fn alerts_can_be_left_out() {
    let base = "http://127.0.0.1:1".parse().unwrap();
    let graph = graph_at(&base, http_options(), 1);
    assert_eq!((graph.name(), graph.lists_bare()), ("graph", true));
    assert_eq!(SourceKind::Graph.facts().page_size, 50);
}
