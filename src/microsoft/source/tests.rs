//! What both APIs promise, tested with Defender where it makes no difference.

use std::time::Duration;

use proptest::prelude::*;
use secrecy::SecretString;
use tracing::subscriber::NoSubscriber;

use super::*;
use crate::core::health::failure::Suspect;
use crate::core::ids::IncidentId;
use crate::core::incident::page::Splitter;
use crate::microsoft::tests::support::{
    Log, Server, Step, answer, assert_silent_about, defender_at, http_options, impatient, json,
    list, read_page,
};

const TOKEN: &str = "TOKEN.CANARY.1";
const PAGE: &str = r#"{"value":[]}"#;

fn token() -> AccessToken {
    AccessToken::new(SecretString::from(TOKEN.to_owned()))
}

fn first_page() -> PageAsk {
    list("2020-09-06T12:18:03.0733333Z", 100, 0)
}

async fn read(server: &Server, ask: &PageAsk) -> Result<Vec<u8>, Failure> {
    let defender = defender_at(&server.url, http_options(), 10_000);
    read_page(&defender, ask, TOKEN).await
}

async fn fails(script: Vec<Step>) -> Failure {
    let server = Server::start(script).await;
    let failure = read(&server, &first_page()).await.expect_err("a failure");
    assert_silent_about(&failure, &[TOKEN, "$filter"]);
    assert!(!failure.remedy.is_empty(), "{failure:?}");
    failure
}

#[tokio::test]
async fn a_next_link_is_followed_whole_and_only_home() {
    let server = Server::start(json("200 OK", PAGE)).await;
    let home = PageAsk::Link(format!("{}api/incidents?$skiptoken=a%2Bb", server.url));
    read(&server, &home).await.unwrap();
    assert!(server.requests()[0].starts_with("GET /api/incidents?$skiptoken=a%2Bb HTTP/1.1"));

    let elsewhere = Server::start(json("200 OK", PAGE)).await;
    let away = PageAsk::Link(format!("{}api/incidents", elsewhere.url));
    let failure = read(&server, &away).await.unwrap_err();
    assert_eq!(failure.health, Health::Misconfigured, "{failure:?}");
    assert!(elsewhere.requests().is_empty(), "the token went elsewhere");
}

#[tokio::test]
async fn a_page_says_of_a_link_whether_it_is_followed_and_nothing_of_the_token() {
    let server = Server::start(json("200 OK", PAGE)).await;
    let defender = defender_at(&server.url, http_options(), 1000);
    let page = defender.open(&first_page(), &token()).await.unwrap();
    let own = format!("{}api/incidents?$skiptoken={TOKEN}", server.url);
    assert_eq!(page.refuses(&own), None);
    assert_eq!(page.refuses("/api/incidents?$skip=50"), None);
    for link in [
        own.replace("http:", "https:"),
        own.replace("http://", "http://user@"),
        own.replace("http://", &format!("{TOKEN}://")),
        format!("https://{TOKEN}/{TOKEN}?{TOKEN}"),
        format!("{own}{}", "x".repeat(16 << 10)),
        "http://".to_owned(),
    ] {
        let failure = page
            .refuses(&link)
            .unwrap_or_else(|| panic!("{link} is followed"));
        assert_eq!(failure.suspect, Suspect::Elsewhere, "{link}");
        assert_silent_about(&failure, &[TOKEN, &TOKEN.to_lowercase(), "skiptoken"]);
    }
}

#[tokio::test]
async fn the_log_has_the_path_of_what_we_ask_for_and_none_of_a_link() {
    // With a single subscriber, a log line that another test's thread reaches first would be disabled for all.
    let _another = tracing::Dispatch::new(NoSubscriber::default());
    let (log, server) = (Log::default(), Server::start(json("200 OK", PAGE)).await);
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    read(&server, &first_page()).await.unwrap();
    let link = PageAsk::Link(format!("{}{TOKEN}/x?{TOKEN}", server.url));
    read(&server, &link).await.unwrap();
    drop(guard);
    let log = String::from_utf8_lossy(&log.0.lock()).into_owned();
    let ours = log.lines().filter(|line| line.contains("asked Microsoft"));
    let ours: Vec<&str> = ours.collect();
    assert_eq!(ours.len(), 2, "{log}");
    assert!(
        ours[0].contains("/api/incidents") && ours[1].contains("a nextLink's"),
        "{ours:?}"
    );
    assert!(ours.iter().all(|line| !line.contains(TOKEN)), "{ours:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(json("200 OK", PAGE)).await;
    for status in [
        "301 Moved",
        "302 Found",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let location = [("location", elsewhere.url.as_str())];
        fails(answer(status, &location, "")).await;
    }
    assert!(elsewhere.requests().is_empty(), "the token went elsewhere");
}

#[tokio::test]
async fn a_body_without_a_json_head_is_judged_by_its_beginning() {
    for body in [
        PAGE.to_owned(),
        format!("\u{feff}{PAGE}"),
        format!("\r\n {PAGE}"),
    ] {
        let server =
            Server::start(answer("200 OK", &[("content-type", "text/plain")], &body)).await;
        let read = read(&server, &first_page()).await.unwrap();
        assert!(read.ends_with(PAGE.as_bytes()), "{body:?}");
    }
    for body in ["<!DOCTYPE html><title>Log in</title>", "", "OK", "[]"] {
        let failure = fails(answer("200 OK", &[("content-type", "text/html")], body)).await;
        assert_eq!(
            (failure.health, failure.status),
            (Health::Unreachable, Some(200)),
            "{body:?}"
        );
        assert!(failure.remedy.contains("log-in page"), "{failure:?}");
        assert_eq!(failure.cause.as_deref(), Some("defender 200 not JSON"));
    }
}

const ALONE: PageAsk = PageAsk::One(IncidentId(7));

/// The elements that the runtime reads from a body.
async fn elements(script: Vec<Step>) -> Result<Vec<Bytes>, String> {
    let server = Server::start(script).await;
    let body = read(&server, &ALONE)
        .await
        .map_err(|failure| failure.what)?;
    let (mut splitter, mut elements) = (Splitter::default(), Vec::new());
    let cut = splitter.feed(&Bytes::from(body), &mut elements);
    cut.and_then(|()| splitter.finish())
        .map_err(|error| error.to_string())?;
    Ok(elements)
}

#[tokio::test]
async fn an_incident_alone_is_a_page_of_one_byte_for_byte() {
    let incident = r#"{"@odata.context":"x", "incidentId": 7, "value": [1,{"a":"]}"}], "n":1.50}"#;
    let typed = [("content-type", "application/json")];
    for script in [
        json("200 OK", incident),
        answer("200 OK", &[], incident),
        json("200 OK", format!("\u{feff}{incident}")),
        answer("200 OK", &[], format!("\u{feff}{incident}")),
        json("200 OK", format!("\r\n{incident}\n")),
        answer("206 Partial Content", &typed, incident),
    ] {
        assert_eq!(elements(script).await, Ok(vec![Bytes::from(incident)]));
    }
}

#[tokio::test]
async fn an_incident_alone_is_bounded_like_a_page() {
    let large = json("200 OK", format!("{{\"a\":\"{}\"}}", "x".repeat(10_000)));
    let server = Server::start(large).await;
    let failure = read(&server, &ALONE).await.unwrap_err();
    assert_eq!(failure.suspect, Suspect::Size, "{failure:?}");
}

#[tokio::test]
async fn an_incident_cut_short_never_passes_for_whole() {
    let incident = r#"{"a":{"b":[{"c":"d\\"}]},"e":[[1]]}"#;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
    for length in 0..incident.len() {
        // Without a length in its head, an answer that is cut looks complete.
        let cut = format!("{head}{}", &incident[..length]);
        let read = elements(vec![Step::Send(cut.into_bytes())]).await;
        if length > 0 {
            assert!(read.is_err(), "{} passed as {read:?}", &incident[..length]);
        } else {
            assert_eq!(read, Ok(vec![]), "nothing is no incident");
        }
    }
}

#[tokio::test]
async fn an_incident_that_is_not_found_is_no_fault_of_the_tenant() {
    let body = r#"{"error":{"code":"ResourceNotFound","message":"no incident 7","target":"t-1"}}"#;
    let server = Server::start(json("404 Not Found", body)).await;
    let failure = read(&server, &ALONE).await.unwrap_err();
    assert_eq!(
        (failure.status, failure.health, failure.suspect),
        (Some(404), Health::Unreachable, Suspect::Page),
        "{failure:?}"
    );
}

#[tokio::test]
async fn the_date_and_a_partial_answer_are_reported() {
    let date = ("date", "Sun, 06 Sep 2020 12:18:03 GMT");
    let kind = ("content-type", "application/json");
    let warning = ("warning", "199 - \"Microsoft/ATP/504/10000\"");
    let token = token();

    let server = Server::start(answer("206 Partial Content", &[date, kind, warning], PAGE)).await;
    let defender = defender_at(&server.url, http_options(), 1000);
    let page = defender.open(&first_page(), &token).await.unwrap();
    assert_eq!(page.date().unwrap().to_string(), "2020-09-06T12:18:03Z");
    assert!(page.partial().unwrap().contains("Microsoft/ATP/504/10000"));

    let server = Server::start(answer("200 OK", &[("date", "yesterday"), kind], PAGE)).await;
    let defender = defender_at(&server.url, http_options(), 1000);
    let page = defender.open(&first_page(), &token).await.unwrap();
    assert_eq!((page.date(), page.partial()), (None, None));
}

#[tokio::test]
async fn refusals_are_read_with_their_body() {
    let body =
        r#"{"error":{"code":"Forbidden","message":"missing (Incident.Read.All)","target":"t-1"}}"#;
    let failure = fails(json("403 Forbidden", body)).await;
    assert_eq!(failure.health, Health::Consent);
    assert!(failure.what.contains("tracking id t-1"), "{failure:?}");
    assert!(
        failure.remedy.contains("/v2.0/adminconsent?client_id="),
        "{failure:?}"
    );
    assert!(
        failure.remedy.contains("Microsoft Threat Protection"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_refusal_whose_body_never_ends_is_still_classed() {
    let head =
        b"HTTP/1.1 429 Slow down\r\nretry-after: 9\r\ncontent-length: 99999999\r\n\r\n".to_vec();
    let flood = Step::Drip(vec![b'x'; 8192], Duration::from_millis(1));
    for endless in [
        Step::Hang,
        Step::Drip(b" ".to_vec(), Duration::from_millis(20)),
        flood,
    ] {
        let server = Server::start(vec![Step::Send(head.clone()), endless]).await;
        let defender = defender_at(&server.url, impatient(), 1000);
        let opened = defender.open(&first_page(), &token()).await;
        let failure = opened.err().expect("a failure");
        assert_eq!(failure.reaction, Reaction::Wait(Duration::from_secs(9)));
        assert!(failure.what.len() < 1000, "{}", failure.what.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_token_breaks_the_head(token in "\\PC{0,20}|[\\x00-\\x1f]{1,5}") {
        if let Ok(value) = bearer(&token) {
            prop_assert!(value.is_sensitive());
            let shown = format!("{value:?}");
            prop_assert!(!shown.contains("Bearer"), "{}", shown);
        }
    }
}
