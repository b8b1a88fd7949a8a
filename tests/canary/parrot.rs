//! A Microsoft and a proxy that repeat the secret and the token wherever an answer has room for them.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use incidentd::simulator::{Options, Tenant};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::canary::online::{ANYHOW, Ends, Online, certified, far, federated, serves, topic, well};
use crate::canary::stage::{Outcome, Stage};
use crate::canary::words::{ASSERTION, TOKEN, proxy};
use crate::support::certificates::ONE;
use crate::support::setup::simulator;

/// One answer. The API's answers come after a token was issued.
#[derive(Clone, Copy)]
struct Answer {
    to: To,
    status: u16,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Token,
    Api,
}

/// Where the answer repeats what was sent.
#[derive(Clone, Copy)]
enum Form {
    /// In all texts of Entra's errors, and of the APIs' errors.
    Texts,
    /// As the code of the error.
    Code,
    /// In a body that is not JSON.
    Plain,
    Page,
    /// As the host of a redirect, and in its query.
    Location,
    /// In place of a token or of incidents.
    Content,
    /// In the claims of a readable token.
    Claims,
    /// In nextLinks of the list and of an incident's alerts, in place of `~`.
    Link(&'static str),
}

const fn token(status: u16, form: Form) -> Answer {
    Answer {
        to: To::Token,
        status,
        form,
    }
}

const fn api(status: u16, form: Form) -> Answer {
    Answer {
        to: To::Api,
        status,
        form,
    }
}

/// The nth tenant gets the nth of these.
const ANSWERS: [Answer; 43] = [
    token(200, Form::Texts),
    token(200, Form::Content),
    token(200, Form::Claims),
    token(200, Form::Page),
    token(302, Form::Location),
    token(400, Form::Texts),
    token(400, Form::Code),
    token(401, Form::Texts),
    token(401, Form::Plain),
    token(403, Form::Page),
    token(404, Form::Plain),
    token(407, Form::Plain),
    token(429, Form::Plain),
    token(500, Form::Plain),
    token(503, Form::Texts),
    api(200, Form::Texts),
    api(200, Form::Content),
    api(200, Form::Plain),
    api(200, Form::Link("/~/incidents")),
    api(200, Form::Link("/api/incidents?~=~#~")),
    api(200, Form::Link("//~/api/incidents")),
    api(200, Form::Link("https://a.~.example/~?~")),
    api(200, Form::Link("https://~@elsewhere.example/")),
    api(200, Form::Link("https://elsewhere.example:1/~")),
    api(200, Form::Link("~://elsewhere.example/")),
    api(200, Form::Link("~:~")),
    api(200, Form::Link("https://[~")),
    api(206, Form::Content),
    api(302, Form::Location),
    api(308, Form::Location),
    api(400, Form::Texts),
    api(400, Form::Plain),
    api(401, Form::Texts),
    api(401, Form::Code),
    api(403, Form::Texts),
    api(403, Form::Code),
    api(403, Form::Plain),
    api(404, Form::Texts),
    api(407, Form::Plain),
    api(410, Form::Plain),
    api(429, Form::Texts),
    api(500, Form::Texts),
    api(503, Form::Plain),
];

impl Answer {
    /// The exit code of `token`: whether the failure is permanent, which only Entra and a proxy that requires a log-in
    /// can say.
    fn code(self) -> i32 {
        match (self.to, self.status, self.form) {
            (To::Api, ..) => 0,
            (_, 407, _) => 1,
            (_, ..500, Form::Texts | Form::Code | Form::Claims) => 1,
            _ => 75,
        }
    }

    /// The complete answer to a request. `sent` is the head and the body of the request.
    fn write(self, sent: &str) -> String {
        let decoded: Vec<String> = url::form_urlencoded::parse(sent.as_bytes())
            .map(|(_, value)| value.into_owned())
            .collect();
        let (echo, host) = match self.to {
            To::Token => (format!("{sent} {}", decoded.join(" ")), "login.example"),
            // As the API names the audience of a refused token.
            To::Api => (format!("Audience: {}, {sent}", bearer(sent)), bearer(sent)),
        };
        let body = match self.form {
            Form::Texts if self.to == To::Token => json!({
                "error": "invalid_client",
                "error_description": format!("AADSTS7000215: {echo}"),
                "error_codes": [7000215],
                "trace_id": echo,
            }),
            Form::Texts => {
                let inner = json!({ "request-id": echo });
                json!({ "error": { "code": "Unauthorized", "message": echo, "target": echo, "innerError": inner } })
            }
            Form::Code => match self.to {
                To::Token => json!({ "error": echo, "error_description": echo }),
                To::Api => json!({ "error": { "code": echo, "message": "" } }),
            },
            Form::Content if self.to == To::Token => {
                json!({ "access_token": echo, "expires_in": echo })
            }
            Form::Content => {
                json!({ "value": [{ "id": echo }], "@odata.nextLink": format!("https://{host}/") })
            }
            Form::Link(link) => {
                let link = link.replace('~', host);
                let line = sent.lines().next().unwrap_or_default();
                // The list ends behind the link, and behind the first page.
                let more = !line.contains(host) && !line.contains("skip=");
                json!({
                    "value": [{
                        "id": "1",
                        "lastUpdateDateTime": "2026-01-02T03:04:05Z",
                        "alerts@odata.nextLink": more.then_some(&link),
                    }],
                    "@odata.nextLink": more.then_some(&link),
                })
            }
            Form::Claims => given(&claims(&decoded)),
            Form::Page => Value::String(format!("<html><title>{echo}</title>{echo}</html>")),
            Form::Plain | Form::Location => Value::String(echo.clone()),
        };
        // A body that is not JSON is sent as text.
        let body = body.as_str().map_or(body.to_string(), str::to_owned);
        let line = echo.replace(['\r', '\n'], " ");
        let head = match self.form {
            Form::Location => format!("Location: https://{host}/?{}", line.replace(' ', "+")),
            _ => format!("WWW-Authenticate: Bearer error=\"{line}\"\r\nRetry-After: {line}"),
        };
        whole(self.status, &head, &body)
    }
}

/// The token in a request.
fn bearer(sent: &str) -> &str {
    let behind = sent.split_once("Bearer ").map(|(_, behind)| behind);
    let token = behind.and_then(|behind| behind.split_once("\r\n"));
    token.map_or("", |(token, _)| token)
}

pub fn whole(status: u16, head: &str, body: &str) -> String {
    let length = body.len();
    let reason = head.replace("\r\n", " ");
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Length: {length}\r\nConnection: close\r\n{head}\r\n\r\n{body}"
    )
}

fn given(token: &str) -> Value {
    json!({ "token_type": "Bearer", "expires_in": 3600, "access_token": token })
}

/// A readable token whose claims are what was sent.
fn claims(sent: &[String]) -> String {
    let part = |part: Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    let claims = json!({ "aud": sent, "appid": sent.join(" "), "roles": sent, "sent": sent, sent.join(" "): 1 });
    [
        part(json!({ "alg": "none" })),
        part(claims),
        "canary".to_owned(),
    ]
    .join(".")
}

/// Answers until it is dropped.
pub struct Parrot {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Parrot {
    pub async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = answer.clone();
                // A client that closes the connection early is not waited for.
                tokio::spawn(async move { repeat(stream, &*answer).await.ok() });
            }
        });
        Self { address, task }
    }
}

impl Drop for Parrot {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn repeat(
    stream: TcpStream,
    answer: &(dyn Fn(&str) -> String + Sync),
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut sent, mut length) = (String::new(), 0);
    while !sent.ends_with("\r\n\r\n") {
        let before = sent.len();
        if stream.read_line(&mut sent).await? == 0 {
            return Ok(());
        }
        if let Some((name, value)) = sent[before..].split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or_default();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    sent.push_str(&String::from_utf8_lossy(&body));
    stream.write_all(answer(&sent).as_bytes()).await?;
    stream.shutdown().await
}

/// The answer for the nth tenant, found by its id in the path or by the number at the end of its token.
fn microsoft(sent: &str) -> String {
    let (path, _) = sent.split_once(" HTTP/1.1").expect("a request");
    if let Some(number) = bearer(sent).strip_prefix(&format!("{TOKEN}-")) {
        let number: usize = number.parse().expect("a tenant's number");
        return ANSWERS[number - 1].write(sent);
    }
    let ids = (1..)
        .zip(ANSWERS)
        .find(|(n, _)| path.contains(&Tenant::numbered(*n).id.to_string()));
    let (number, answer) = ids.expect("a tenant's id in the path");
    match answer.to {
        To::Token => answer.write(sent),
        To::Api => whole(
            200,
            "Content-Type: application/json",
            &given(&format!("{TOKEN}-{number}")).to_string(),
        ),
    }
}

/// Microsoft repeats the secrets that it receives, for each tenant in another way.
pub async fn repeats_secrets() -> Outcome {
    let (_parrot, stage) = stage().await;
    stage.write();
    let name = "a Microsoft that repeats secrets";
    let mut outcome = Outcome::default();
    for (number, answer) in (1..).zip(ANSWERS) {
        let words = format!("token customer-{number:04}");
        outcome
            .types((name, &stage), &words, answer.code(), "")
            .await;
    }
    outcome.join(checks(name, stage).await)
}

/// The same with a federated token.
pub async fn repeats_federated() -> Outcome {
    let (_parrot, stage) = stage().await;
    let stage = federated(stage, ASSERTION);
    checks("a Microsoft that repeats federated tokens", stage).await
}

/// The same with an assertion that the app signs.
pub async fn repeats_certified() -> Outcome {
    let (_parrot, stage) = stage().await;
    let stage = certified(stage, ONE);
    checks("a Microsoft that repeats the app's assertions", stage).await
}

/// Checks all tenants at once.
async fn checks(name: &str, stage: Stage) -> Outcome {
    stage.write();
    let mut outcome = Outcome::default();
    for words in ["check", "check --json"] {
        outcome.types((name, &stage), words, 1, "").await;
    }
    outcome.join(serves(name, stage, ANYHOW).await)
}

async fn stage() -> (Parrot, Stage) {
    let parrot = Parrot::start(microsoft).await;
    let url = format!("http://{}", parrot.address);
    let tenants = u32::try_from(ANSWERS.len()).expect("a few");
    let simulator = simulator(tenants, Options::default()).await;
    let (kafka, topic) = topic().await;
    let stage = Stage::new(&simulator, &kafka, &topic)
        .text("api.base_url", &url)
        .text("api.login_url", &url);
    (parrot, stage)
}

/// A proxy repeats the log-in that it receives.
pub async fn repeats_as_proxy(status: u16, ends: Ends) -> Outcome {
    let answer = move |sent: &str| {
        whole(
            status,
            &format!("Proxy-Authenticate: {}", sent.replace("\r\n", " ")),
            sent,
        )
    };
    let parrot = Parrot::start(answer).await;
    let (microsoft, stage) = well().await;
    let stage = far(stage).text("api.proxy", &proxy(&parrot.address.to_string()));
    let online = Online {
        name: "a proxy that repeats what it is sent",
        ends,
        stage,
        microsoft,
    };
    online.happens().await
}
