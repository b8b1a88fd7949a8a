//! Shared by the tests of this module: a server that answers each connection by a script, and tokens.

use parking_lot::Mutex;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;
use uuid::Uuid;

use crate::core::health::failure::Failure;
use crate::core::sources::{Cloud, SourceKind};
use crate::core::sweep::backlog::Span;
use crate::microsoft::fuzzing::api_settings;
use crate::microsoft::{Clients, IncidentApi};
use crate::ports::{AccessToken, IncidentSource, PageAsk, Query};
use crate::settings::{ApiSettings, CaFile};

pub(in crate::microsoft) const TENANT: &str = "11111111-1111-1111-1111-111111111111";
pub(in crate::microsoft) const SCOPE: &str = "https://api.security.microsoft.com/.default";

/// An unsigned token with these claims.
pub(in crate::microsoft) fn jwt(claims: &Value) -> String {
    let part = |value: &str| URL_SAFE_NO_PAD.encode(value);
    format!(
        "{}.{}.c2ln",
        part(r#"{"alg":"none"}"#),
        part(&claims.to_string())
    )
}

#[derive(Clone)]
pub(in crate::microsoft) enum Step {
    Send(Vec<u8>),
    /// Sends the bytes repeatedly, with a pause before each time.
    Drip(Vec<u8>, Duration),
    Hang,
    Reset,
}

/// A complete answer.
pub(in crate::microsoft) fn answer(
    status: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Vec<Step> {
    let body = body.as_ref();
    let mut head = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    let mut bytes = (head + "\r\n").into_bytes();
    bytes.extend_from_slice(body);
    vec![Step::Send(bytes)]
}

pub(in crate::microsoft) fn json(status: &str, body: impl AsRef<[u8]>) -> Vec<Step> {
    answer(
        status,
        &[("content-type", "application/json; charset=utf-8")],
        body,
    )
}

pub(in crate::microsoft) struct Server {
    pub(in crate::microsoft) url: Url,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(in crate::microsoft) async fn start(script: Vec<Step>) -> Self {
        Self::answering(move |_| script.clone()).await
    }

    /// A server whose answer depends on the request.
    pub(in crate::microsoft) async fn answering(
        script: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (Arc::clone(&requests), Arc::new(script));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(play(stream, Arc::clone(&script), Arc::clone(&log)));
            }
        });
        Self {
            url: Url::parse(&url).unwrap(),
            requests,
            task,
        }
    }

    /// The requests so far, head and body.
    pub(in crate::microsoft) fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn play(
    mut stream: TcpStream,
    script: Arc<impl Fn(&str) -> Vec<Step>>,
    log: Arc<Mutex<Vec<String>>>,
) {
    let Some(request) = read_request(&mut stream).await else {
        return;
    };
    let steps = script(&request);
    log.lock().push(request);
    for step in steps {
        let sent = match step {
            Step::Send(bytes) => stream.write_all(&bytes).await,
            Step::Drip(bytes, pause) => loop {
                tokio::time::sleep(pause).await;
                if let Err(error) = stream.write_all(&bytes).await {
                    break Err(error);
                }
            },
            Step::Hang => std::future::pending().await,
            Step::Reset => stream.set_zero_linger(),
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The head and as much of a body as its `content-length` says.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, value)| value.parse().unwrap());
            if body.len() >= length {
                return Some(text.into_owned());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// Limits that only a waiting test reaches, even on a busy machine.
pub(in crate::microsoft) fn http_options() -> ApiSettings {
    api_settings(SourceKind::Defender, "https://login.microsoftonline.com")
}

/// Limits for tests that reach them: 400 ms of silence, 4 s in total.
pub(in crate::microsoft) fn impatient() -> ApiSettings {
    ApiSettings {
        request_timeout: Duration::from_millis(400),
        ..http_options()
    }
}

/// Authorities in the form of `api.ca_file`.
pub(in crate::microsoft) fn trusting(pem: &str) -> CaFile {
    CaFile {
        path: "/etc/ssl/own.pem".into(),
        pem: pem.as_bytes().into(),
    }
}

pub(in crate::microsoft) fn defender_at(
    base: &Url,
    api: ApiSettings,
    max_response: usize,
) -> IncidentApi {
    api_at(SourceKind::Defender, base, api, max_response)
}

pub(in crate::microsoft) fn graph_at(
    base: &Url,
    api: ApiSettings,
    max_response: usize,
) -> IncidentApi {
    api_at(SourceKind::Graph, base, api, max_response)
}

fn api_at(source: SourceKind, base: &Url, api: ApiSettings, max_response: usize) -> IncidentApi {
    let address = source.address(Cloud::Commercial).unwrap();
    let api = ApiSettings {
        source,
        base_url: base.clone(),
        max_response,
        scope: address.scope(),
        ..api
    };
    IncidentApi::new(&Clients::new(), TENANT.parse().unwrap(), Uuid::nil(), &api).unwrap()
}

/// A page of incidents updated at or after `from`.
pub(in crate::microsoft) fn list(from: &str, top: u32, skip: u32) -> PageAsk {
    PageAsk::Query(Query {
        span: Span::from(from.parse().unwrap()),
        top,
        skip,
        alerts: true,
    })
}

/// The complete body of one page.
pub(in crate::microsoft) async fn read_page(
    source: &impl IncidentSource,
    ask: &PageAsk,
    token: &str,
) -> Result<Vec<u8>, Failure> {
    let token = AccessToken::new(SecretString::from(token.to_owned()));
    let mut page = source.open(ask, &token).await?;
    let mut body = Vec::new();
    while let Some(bytes) = page.chunk().await? {
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

/// Fails the test if a failure shows any of `canaries`.
pub(in crate::microsoft) fn assert_silent_about(failure: &Failure, canaries: &[&str]) {
    let shown = format!("{failure} {failure:?}");
    for canary in canaries {
        assert!(!shown.contains(canary), "{canary} is shown in {shown}");
    }
}

/// Receives the log.
#[derive(Clone, Default)]
pub(in crate::microsoft) struct Log(pub(in crate::microsoft) Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
