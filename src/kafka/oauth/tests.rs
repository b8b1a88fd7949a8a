// The endpoint, and what it is asked by, are threads.
#![allow(clippy::disallowed_methods)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rdkafka::consumer::{BaseConsumer, Consumer};
use secrecy::SecretString;

use super::*;
use crate::kafka::client::drop_apart;
use crate::kafka::connection::Connection;
use crate::kafka::events::ClientEvents;

const SECRET: &str = "s3cret+~";
/// What `incidentd` and [`SECRET`] are in the header, encoded as in a form.
const LOG_IN: &str = "incidentd:s3cret%2B~";
const SOON: Duration = Duration::from_secs(20);

/// A token endpoint on loopback, which answers each request with what `answer` makes of it. Returns its address, and each
/// request's text.
fn endpoint(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/token", listener.local_addr().unwrap());
    let (seen, requests) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap(), &answer, &seen);
        }
    });
    (address, requests)
}

fn serve(mut stream: TcpStream, answer: &impl Fn(&str) -> Vec<u8>, seen: &Sender<String>) {
    let mut text = String::new();
    let mut piece = [0; 4096];
    while !text.contains("client_credentials") {
        let length = stream.read(&mut piece).unwrap();
        assert!(length > 0, "no whole request: {text}");
        text.push_str(std::str::from_utf8(&piece[..length]).unwrap());
    }
    let answer = answer(&text);
    // The test may have ended.
    let _ = seen.send(text);
    let _ = stream.write_all(&answer);
}

fn json(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}

fn options(endpoint: &str, secret: (&str, &str)) -> KafkaConnection {
    let properties = [
        ("sasl.mechanism", "OAUTHBEARER"),
        ("sasl.oauthbearer.method", "oidc"),
        (oauth::ENDPOINT, endpoint),
        (oauth::CLIENT_ID, "incidentd"),
        (oauth::SCOPE, "kafka a/.default"),
        secret,
    ];
    let owned = properties.map(|(name, value)| (name.to_owned(), SecretString::from(value)));
    KafkaConnection {
        brokers: "a:1".to_owned(),
        properties: owned.to_vec(),
        max_in_flight: 0,
    }
}

fn source(endpoint: &str) -> LogInTokens {
    LogInTokens::start(&options(endpoint, (oauth::SECRET, SECRET))).unwrap()
}

#[test]
fn all_clients_share_a_token_which_is_renewed_before_it_expires() {
    let (endpoint, requests) =
        endpoint(|_| json("200 OK", r#"{"access_token":"t","expires_in":2}"#));
    let source = source(&endpoint);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert!(source.shared.wait(SOON).is_ok()));
        }
    });
    let first = requests.recv_timeout(SOON).unwrap();
    assert!(
        requests.try_recv().is_err(),
        "one request for twenty clients"
    );
    let header = format!("authorization: Basic {}\r\n", STANDARD.encode(LOG_IN));
    assert!(first.starts_with("POST /token HTTP/1.1\r\n"), "{first}");
    assert!(first.contains(&header), "{first}");
    let form = "\r\n\r\ngrant_type=client_credentials&scope=kafka+a%2F.default";
    assert!(first.ends_with(form), "{first}");
    for _ in 0..2 {
        requests.recv_timeout(SOON).expect("a renewal");
        assert!(source.present().is_some(), "no gap between two tokens");
    }
}

#[test]
fn a_token_that_kafka_refuses_is_replaced_after_a_while() {
    let (endpoint, requests) =
        endpoint(|_| json("200 OK", r#"{"access_token":"t","expires_in":3600}"#));
    let options = options(&endpoint, (oauth::SECRET, SECRET));
    let source = LogInTokens::start_with(&options, Duration::from_millis(300)).unwrap();
    requests.recv_timeout(SOON).unwrap();
    let early = requests.recv_timeout(Duration::from_millis(100));
    assert!(early.is_err(), "nobody has refused it");
    for _ in 0..10 {
        source.refused();
    }
    requests.recv_timeout(SOON).expect("the next one");
}

#[test]
fn a_refusal_is_the_reason_until_the_file_holds_the_right_secret() {
    let right = STANDARD.encode(LOG_IN);
    let (endpoint, _requests) = endpoint(move |request| match request.contains(&right) {
        true => json("200 OK", r#"{"access_token":"t","expires_in":"60"}"#),
        false => json("401 Unauthorized", r#"{"error":"invalid_client"}"#),
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let source = LogInTokens::start(&options(&endpoint, (oauth::SECRET_FILE, path))).unwrap();
    let until = |met: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !met() {
            assert!(began.elapsed() < SOON);
            thread::sleep(Duration::from_millis(20));
        }
    };
    until(&|| {
        source
            .lack()
            .is_some_and(|lack| lack.what.contains("is empty"))
    });
    std::fs::write(file.path(), "wrong\n").unwrap();
    until(&|| {
        source
            .lack()
            .is_some_and(|lack| lack.what.contains("invalid_client"))
    });
    let lack = source.shared.wait(SOON).err().unwrap();
    assert_eq!(lack.health, Health::Misconfigured);
    assert!(
        lack.remedy.contains("sasl.oauthbearer.client.id"),
        "{lack:?}"
    );
    std::fs::write(file.path(), format!("{SECRET}\n")).unwrap();
    until(&|| source.present().is_some());
    assert!(source.lack().is_none());
}

#[tokio::test]
async fn what_needs_a_token_learns_why_there_is_none() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/token", closed.local_addr().unwrap());
    let source = source(&address);
    assert!(source.present().is_none(), "nobody answers");
    drop(closed);
    let lack = source.first().await.unwrap_err();
    assert_eq!(lack.health, Health::Unreachable);
    assert!(lack.what.contains("127.0.0.1"), "{lack:?}");
    assert!(!format!("{lack:?}").contains("/token"), "{lack:?}");
}

#[test]
fn answers_without_a_limit_and_redirects_give_no_token() {
    let long = "x".repeat(3 << 20);
    let elsewhere = "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n";
    for (answer, said) in [
        (
            json(
                "200 OK",
                &format!(r#"{{"access_token":"{long}","expires_in":60}}"#),
            ),
            "no token",
        ),
        (elsewhere.as_bytes().to_vec(), "(307)"),
    ] {
        let (endpoint, _requests) = endpoint(move |_| answer.clone());
        let lack = source(&endpoint).shared.wait(SOON).err().unwrap();
        assert!(lack.what.contains(said), "{lack:?}");
    }
}

#[test]
fn kafka_without_tokens_has_no_source() {
    let mut options = options("http://127.0.0.1:9/", (oauth::SECRET, SECRET));
    options.properties[0].1 = "PLAIN".into();
    assert!(LogInTokens::start(&options).is_none());
}

#[test]
fn without_the_secret_it_is_the_reason() {
    let options = options("http://127.0.0.1:9/", ("client.id", "x"));
    let lack = LogInTokens::start(&options).unwrap().lack().unwrap();
    assert!(lack.what.contains("needs sasl.oauthbearer.client.secret"));
    assert!(lack.remedy.contains("CLIENT__SECRET"), "{lack:?}");
}

/// The first message of a client's log-in. What comes before it is answered as a broker does that knows no newer log-in.
fn log_in_of(mut stream: TcpStream) -> String {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut request).unwrap();
        let body: &[u8] = match request[..2] {
            // ApiVersions: SaslHandshake in its first version, and nothing else.
            [0, 18] => &[0, 0, 2, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            // SaslHandshake: no error.
            [0, 17] => &[0; 6],
            _ => return String::from_utf8(request).unwrap(),
        };
        let answer = [&request[4..8], body].concat();
        let length = u32::try_from(answer.len()).unwrap().to_be_bytes();
        stream.write_all(&[&length[..], &answer].concat()).unwrap();
    }
}

#[tokio::test]
async fn kafka_gets_the_extensions_beside_the_token() {
    let (endpoint, _requests) =
        endpoint(|_| json("200 OK", r#"{"access_token":"t0ken","expires_in":60}"#));
    let broker = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = options(&endpoint, (oauth::SECRET, SECRET));
    options.brokers = broker.local_addr().unwrap().to_string();
    for (name, value) in [
        ("security.protocol", "sasl_plaintext"),
        (
            "sasl.oauthbearer.extensions",
            "logicalCluster=lkc-1,identityPoolId=pool-1",
        ),
    ] {
        options.properties.push((name.to_owned(), value.into()));
    }
    let connection = Connection::of(&options);
    connection.can_log_in().await.unwrap();
    let mut config = options.consumer();
    let made = config
        .set("group.id", "x")
        .create_with_context(ClientEvents::aside(&connection));
    let consumer: BaseConsumer<ClientEvents> = made.unwrap();
    connection.log_in(consumer.client());
    let first = tokio::task::spawn_blocking(move || {
        let (stream, _) = broker.accept().unwrap();
        log_in_of(stream)
    });
    assert_eq!(
        first.await.unwrap(),
        "n,,\u{1}auth=Bearer t0ken\u{1}logicalCluster=lkc-1\u{1}identityPoolId=pool-1\u{1}\u{1}"
    );
    drop_apart(consumer);
}
