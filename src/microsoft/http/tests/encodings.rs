//! Bodies in encodings that were not requested, as a proxy may send them.

use super::*;

async fn encoded(status: &str, encodings: &[&str]) -> Failure {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(encodings.iter().map(|name| ("content-encoding", *name)));
    let server = Server::start(answer(status, &headers, b"\x0b\x02\x80{}\x03")).await;
    let defender = defender_at(&server.url, http_options(), 1000);
    let page = read_page(
        &defender,
        &list("1970-01-01T00:00:00Z", 1, 0),
        "TOKENCANARY",
    )
    .await;
    page.expect_err("a failure")
}

#[tokio::test]
async fn an_encoding_that_was_not_asked_for_is_named_and_starts_no_search() {
    for (encodings, named) in [
        (&["br"][..], "\"br\""),
        (&["zstd"], "\"zstd\""),
        (&["deflate"], "\"deflate\""),
        (&["BR"], "\"BR\""),
        (&["gzip, gzip"], "\"gzip, gzip\""),
        (&["gzip, br"], "\"gzip, br\""),
        (&["lz4"], "\"lz4\""),
        (&["identity, br"], "\"br\""),
        (&["a-token-that-was-repeated"], "\"unknown\""),
    ] {
        for status in ["200 OK", "206 Partial Content"] {
            let failure = encoded(status, encodings).await;
            assert_unreachable(&failure, named);
            assert_eq!(failure.suspect, Suspect::Nothing, "{failure:?}");
            assert!(failure.remedy.contains("proxy"), "{failure:?}");
        }
    }
}

#[tokio::test]
async fn an_error_in_such_an_encoding_is_classed_by_its_status_and_names_it() {
    for (status, health) in [
        ("429 Too Many Requests", Health::Throttled),
        ("503 Service Unavailable", Health::Unreachable),
        ("401 Unauthorized", Health::Misconfigured),
    ] {
        let failure = encoded(status, &["br"]).await;
        assert_eq!(failure.health, health, "{failure:?}");
        assert!(
            failure.what.contains("content encoding \"br\""),
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn a_body_that_is_not_encoded_may_say_so() {
    let headers = [
        ("content-type", "application/json"),
        ("content-encoding", "identity"),
    ];
    let body = read(answer("200 OK", &headers, "{}"), 100).await;
    assert_eq!(body.unwrap(), b"{}");
}
