//! The limits and messages of the connection, tested by reading a page of incidents.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;
use crate::core::health::failure::{Health, Reaction, Suspect};
use crate::microsoft::tests::support::{
    Server, Step, answer, defender_at, http_options, impatient, json, list, read_page, trusting,
};

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n{";
/// `printf '{"value":[]}' | gzip -9n`
const GZIPPED: [u8; 32] = [
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 42, 75, 204, 41, 77, 85, 178, 138, 142, 173, 5, 0,
    66, 234, 64, 68, 12, 0, 0, 0,
];

async fn read_from(base: &Url, options: ApiSettings, max: usize) -> Result<Vec<u8>, Failure> {
    let defender = defender_at(base, options, max);
    read_page(&defender, &list("1970-01-01T00:00:00Z", 1, 0), "t").await
}

async fn read(script: Vec<Step>, max: usize) -> Result<Vec<u8>, Failure> {
    let server = Server::start(script).await;
    read_from(&server.url, http_options(), max).await
}

async fn fails(script: Vec<Step>) -> Failure {
    read(script, 10_000_000).await.expect_err("a failure")
}

fn assert_unreachable(failure: &Failure, words: &str) {
    assert_eq!(
        (failure.health, failure.reaction),
        (Health::Unreachable, Reaction::Backoff),
        "{failure:?}"
    );
    assert!(
        failure.what.contains(words),
        "{words:?} is missing in {failure:?}"
    );
    assert!(failure.what.contains("127.0.0.1"), "{failure:?}");
    let cause = failure.cause.as_deref().unwrap_or_default();
    assert!(cause.starts_with("network 127.0.0.1 "), "{failure:?}");
}

#[tokio::test]
async fn silence_ends_an_exchange_before_and_within_the_answer() {
    for script in [
        vec![Step::Hang],
        vec![Step::Send(HEAD.to_vec()), Step::Hang],
    ] {
        let server = Server::start(script).await;
        let failure = read_from(&server.url, impatient(), 100).await.unwrap_err();
        assert_unreachable(&failure, "sent nothing for 400ms");
    }
}

#[tokio::test]
async fn a_slow_drip_ends_at_the_limit_in_all() {
    let started = Instant::now();
    let drip = Step::Drip(b" ".to_vec(), Duration::from_millis(20));
    let server = Server::start(vec![Step::Send(HEAD.to_vec()), drip]).await;
    let failure = read_from(&server.url, impatient(), 1_000_000)
        .await
        .unwrap_err();
    assert_unreachable(&failure, "was not complete after 4s");
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_reader_that_rests_is_not_blamed_on_the_sender() {
    let script = vec![
        Step::Send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{\"value\"".to_vec()),
        Step::Send(b":[]}".to_vec()),
    ];
    let server = Server::start(script).await;
    let mut options = http_options();
    options.request_timeout = Duration::from_secs(3600);
    let http = Clients::new()
        .reach(&server.url, "api.base_url", &options)
        .unwrap();
    let mut answer = http
        .send(http.client.get(server.url.clone()))
        .await
        .unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1_000_000)).await;
    tokio::time::resume();
    assert_eq!(answer.body(100).await.unwrap(), b"{\"value\":[]}");
}

#[tokio::test]
async fn an_answer_is_bounded_after_decompression() {
    let gzip = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
    ];
    assert_eq!(
        read(answer("200 OK", &gzip, GZIPPED), 12).await.unwrap(),
        b"{\"value\":[]}"
    );
    for script in [
        answer("200 OK", &gzip, GZIPPED),
        json("200 OK", "{\"value\":[]}"),
    ] {
        let failure = read(script, 11)
            .await
            .expect_err("an answer over the limit");
        assert_eq!(
            (failure.health, failure.reaction, failure.suspect),
            (Health::Misconfigured, Reaction::Slow, Suspect::Size)
        );
        assert!(failure.remedy.contains("max_response"), "{failure:?}");
        assert_eq!(
            failure.cause, None,
            "one tenant's incident is no cause to share"
        );
    }
}

#[tokio::test]
async fn a_damaged_answer_is_told_apart() {
    let gzip = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
    ];
    assert_unreachable(
        &fails(answer("200 OK", &gzip, "{\"value\":[]}")).await,
        "not valid gzip",
    );
    assert_unreachable(
        &fails(answer("200 OK", &gzip, &GZIPPED[..20])).await,
        "cut short",
    );
    assert_unreachable(&fails(vec![Step::Send(HEAD.to_vec())]).await, "cut short");
    assert_unreachable(&fails(vec![]).await, "closed the connection");
    assert_unreachable(&fails(vec![Step::Reset]).await, "was cut");
    assert_unreachable(
        &fails(vec![Step::Send(b"SSH-2.0-x\r\n\r\n".to_vec())]).await,
        "failed: invalid HTTP",
    );
}

#[tokio::test]
async fn a_host_that_is_not_there_is_told_in_plain_words() {
    let server = Server::start(vec![]).await;
    let gone = server.url.clone();
    drop(server);
    // The listener closes when the aborted task is dropped, which needs a turn of the executor.
    tokio::task::yield_now().await;
    let failure = read_from(&gone, http_options(), 1).await.unwrap_err();
    assert_unreachable(&failure, "was refused");
    assert_eq!(failure.cause.as_deref(), Some("network 127.0.0.1 refused"));

    let nowhere = Url::parse("http://no-such-host.localhost:1").unwrap();
    let failure = read_from(&nowhere, http_options(), 1).await.unwrap_err();
    // Some resolvers resolve every name below localhost to this machine.
    let resolved_to_loopback = failure.what.contains("was refused");
    assert!(
        resolved_to_loopback || failure.what.contains("can't resolve"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_is_told_in_plain_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let speak_first = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"220 mail.example ESMTP\r\n")
            .await
            .unwrap();
        std::future::pending().await
    };
    let url = Url::parse(&url).unwrap();
    let failure = tokio::select! {
        answer = read_from(&url, http_options(), 1) => answer.unwrap_err(),
        () = speak_first => unreachable!("the server never ends"),
    };
    assert_unreachable(&failure, "TLS");
}

#[tokio::test]
async fn a_proxy_serves_other_hosts_and_never_loopback() {
    let proxy = Server::start(answer("407 Proxy Authentication Required", &[], "")).await;
    let mut options = http_options();
    options.proxy = Some(proxy.url.clone());

    let far = Url::parse("https://api.security.microsoft.com").unwrap();
    let failure = read_from(&far, options.clone(), 1).await.unwrap_err();
    assert!(proxy.requests()[0].starts_with("CONNECT api.security.microsoft.com:443 HTTP/1.1"));
    assert_eq!(failure.health, Health::Misconfigured, "{failure:?}");
    assert!(failure.remedy.contains("api.proxy"), "{failure:?}");

    let asked = proxy.requests().len();
    let near = Server::start(json("200 OK", "{}")).await;
    read_from(&near.url, options, 10).await.unwrap();
    assert_eq!(
        proxy.requests().len(),
        asked,
        "loopback went through the proxy"
    );
}

#[test]
fn hosts_reached_the_same_way_share_a_client() {
    let clients = Clients::new();
    let mut options = http_options();
    for host in [
        "http://127.0.0.1:1",
        "http://127.0.0.1:2",
        "http://localhost:3",
        "http://[::1]:4",
    ] {
        clients
            .reach(&Url::parse(host).unwrap(), "api.base_url", &options)
            .unwrap();
    }
    options.request_timeout *= 2;
    clients
        .reach(
            &Url::parse("http://127.0.0.1:1").unwrap(),
            "api.base_url",
            &options,
        )
        .unwrap();
    assert_eq!(clients.built.lock().len(), 1);
}

#[test]
fn unusable_certificates_and_proxies_are_named() {
    let far = Url::parse("https://api.security.microsoft.com").unwrap();
    let refuse = |proxy: Option<&str>, pem: Option<&str>| {
        let options = ApiSettings {
            proxy: proxy.map(|proxy| Url::parse(proxy).unwrap()),
            ca_file: pem.map(trusting),
            ..http_options()
        };
        Clients::new()
            .reach(&far, "api.base_url", &options)
            .err()
            .map(|error| error.to_string())
    };
    let none = refuse(None, Some("nothing")).unwrap();
    assert!(none.ends_with("holds no PEM certificate"), "{none}");
    let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let bad = refuse(None, Some(bad)).unwrap();
    assert!(bad.ends_with("can't be used"), "{bad}");
    let proxy = refuse(Some("ftp://user:CANARY@host"), None).unwrap();
    assert!(
        proxy.contains("proxy") && !proxy.contains("CANARY"),
        "{proxy}"
    );
}

#[tokio::test]
async fn a_proxy_that_offers_no_basic_login_is_named_and_so_is_what_it_offers() {
    let far = Url::parse("https://api.security.microsoft.com").unwrap();
    for (offers, named, remedy) in [
        (&["NTLM"][..], "by NTLM only", "only Basic works"),
        (&["Negotiate", "NTLM"], "by Negotiate or NTLM only", "cntlm"),
        (
            &["NTLM", "Basic realm=\"x\""],
            "",
            "the proxy's user and password",
        ),
        (&[], "", "the proxy's user and password"),
    ] {
        let headers: Vec<_> = offers
            .iter()
            .map(|offer| ("proxy-authenticate", *offer))
            .collect();
        let status = "407 Proxy Authentication Required";
        let proxy = Server::start(answer(status, &headers, "")).await;
        let mut options = http_options();
        let mut url = proxy.url.clone();
        url.set_username("user").unwrap();
        url.set_password(Some("CANARY")).unwrap();
        options.proxy = Some(url);
        let failure = read_from(&far, options, 1).await.unwrap_err();
        assert_eq!(failure.health, Health::Misconfigured, "{failure:?}");
        assert_eq!(failure.reaction, Reaction::Slow, "{failure:?}");
        assert!(failure.what.contains(named), "{failure:?}");
        assert!(failure.remedy.contains(remedy), "{failure:?}");
        assert!(!format!("{failure:?}").contains("CANARY"), "{failure:?}");
    }
}

#[tokio::test]
async fn the_proxys_own_name_is_looked_up_like_any_other() {
    let clients = Clients::resolving(Arc::new(|host: &str| {
        Err(std::io::Error::other(format!("no {host}")))
    }));
    let mut options = http_options();
    options.proxy = Some(Url::parse("http://proxy.example:3128").unwrap());
    let far = Url::parse("https://api.security.microsoft.com").unwrap();
    let http = clients.reach(&far, "api.base_url", &options).unwrap();
    let failure = http.send(http.client.get(far)).await.err().unwrap();
    assert_eq!(failure.health, Health::Unreachable, "{failure:?}");
    for part in ["can't resolve", "no proxy.example"] {
        assert!(failure.what.contains(part), "{failure:?}");
    }
    assert!(failure.remedy.contains("api.proxy"), "{failure:?}");
}

mod encodings;
mod kept;
mod tls;
