//! One exchange with a token endpoint.
//!
//! Redirects are not followed, because a redirect would carry the secret to a host that is not configured. A host of this machine
//! is never reached through a proxy; others are, if the environment names one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::ACCEPT;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;
use url::form_urlencoded::byte_serialize;

use super::answer::{GrantAnswer, to_mend};
use super::token::{LogInToken, Moment};
use super::{scrubber, unreachable};
use crate::core::health::failure::{Failure, chain, one_line};
use crate::core::secret_text::{MAX_FILE, secret_in};
use crate::settings::oauth::{OauthSecret, OauthSettings, SECRET_FILE, is_loopback};

const CONNECT: Duration = Duration::from_secs(10);
/// The limit for all of it.
const TOTAL: Duration = Duration::from_secs(20);
const MOST_ANSWER: usize = 1 << 20;
const MOST_AUTHORITIES: u64 = 8 << 20;

/// A client at a token endpoint.
pub(super) struct TokenClient {
    settings: OauthSettings,
    /// Made at the first exchange.
    http: Option<Client>,
}

impl TokenClient {
    pub(super) fn new(settings: OauthSettings) -> Self {
        Self {
            settings,
            http: None,
        }
    }

    /// A new token. Reads files: only for a thread that has nothing else to do.
    pub(super) async fn token(&mut self) -> Result<LogInToken, Failure> {
        let secret = self.secret()?;
        let http = match &self.http {
            Some(http) => http.clone(),
            None => self.http.insert(client(&self.settings)?).clone(),
        };
        let settings = &self.settings;
        // RFC 6749, section 2.3.1: both are encoded as in a form.
        let (id, password) = (
            encoded(&settings.client_id),
            encoded(secret.expose_secret()),
        );
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(settings.scope.as_deref().map(|scope| ("scope", scope)));
        let request = http
            .post(settings.endpoint.clone())
            .header(ACCEPT, "application/json")
            .basic_auth(&id, Some(&password))
            .form(&form);
        let asked = Moment::now();
        let exchange = async {
            let answer = request.send().await?;
            let status = answer.status().as_u16();
            Ok::<_, reqwest::Error>((status, body(answer).await?))
        };
        let (status, body) = match timeout(TOTAL, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(self.no_answer(error)),
            Err(_) => {
                let what = format!("{} gave no answer within {TOTAL:?}", self.host());
                return Err(unreachable(what, REACH));
            }
        };
        let header = STANDARD.encode(format!("{id}:{password}"));
        let answer = GrantAnswer {
            settings,
            status,
            body: &body,
            asked,
        };
        answer.token(&scrubber(&[secret.expose_secret(), &password, &header]))
    }

    fn secret(&self) -> Result<SecretString, Failure> {
        let path = match &self.settings.secret {
            OauthSecret::Value(secret) => return Ok(secret.clone()),
            OauthSecret::File(path) => path,
        };
        let read = read(path, MAX_FILE + 1).map_err(|error| format!("can't be read: {error}"));
        let secret = read.and_then(|bytes| match secret_in(&bytes) {
            Ok(secret) => Ok(SecretString::from(secret)),
            Err(error) => Err(error.to_string()),
        });
        // Without the path, which may be the secret itself.
        secret.map_err(|why| {
            to_mend(
                format!("the file of {SECRET_FILE} {why}"),
                "put the client's secret into the file that sasl.oauthbearer.client.secret.file names, and let the daemon's user \
                 read it",
            )
        })
    }

    fn no_answer(&self, error: reqwest::Error) -> Failure {
        let timed_out = error.is_timeout();
        let why = one_line(&chain(&error.without_url()), 200);
        let remedy = match why.contains("certificate") {
            true => {
                "if the identity provider, or a proxy that inspects TLS, has a CA of its own, name its file (PEM) in \
                 https.ca.location under [kafka.properties]; check this machine's clock, too"
            }
            false => REACH,
        };
        let what = match timed_out {
            true => format!("no connection to {} within {CONNECT:?}", self.host()),
            false => format!("no token for Kafka from {}: {why}", self.host()),
        };
        unreachable(what, remedy)
    }

    fn host(&self) -> &str {
        self.settings.endpoint.host_str().unwrap_or_default()
    }
}

const REACH: &str = "check sasl.oauthbearer.token.endpoint.url under [kafka.properties], this machine's DNS, and the network, the \
     firewall and the proxy (HTTPS_PROXY) on the way";

/// As much of the body as is looked at: a longer one is no token.
async fn body(mut answer: Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        let room = MOST_ANSWER.saturating_sub(body.len());
        body.extend(piece.iter().take(room));
        if piece.len() > room {
            break;
        }
    }
    Ok(body)
}

/// Letters that need no encoding stay, because some servers take the text as it comes.
fn encoded(text: &str) -> String {
    let form: String = byte_serialize(text.as_bytes()).collect();
    form.replace("%7E", "~")
}

fn client(settings: &OauthSettings) -> Result<Client, Failure> {
    // An error means that the process has a provider already, which is enough.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("incidentd/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(CONNECT)
        // The next exchange is far away.
        .pool_max_idle_per_host(0);
    if is_loopback(&settings.endpoint) {
        builder = builder.no_proxy();
    }
    if settings.endpoint.scheme() == "http" {
        // Nothing to trust, and nothing to read from disk.
        builder = builder.tls_certs_only([]);
    } else if let Some(path) = &settings.authorities {
        builder = trusting(builder, path)?;
    }
    builder.build().map_err(|error| {
        to_mend(
            format!("TLS to the identity provider can't be set up: {}", chain(&error)),
            "install the package ca-certificates, or name the CA's file in https.ca.location under [kafka.properties]",
        )
    })
}

fn trusting(builder: ClientBuilder, path: &Path) -> Result<ClientBuilder, Failure> {
    let certificates = read(path, MOST_AUTHORITIES)
        .map_err(|error| format!("can't be read: {error}"))
        .and_then(|pem| Certificate::from_pem_bundle(&pem).map_err(|error| chain(&error)));
    match certificates {
        Ok(found) if !found.is_empty() => Ok(builder.tls_certs_merge(found)),
        Ok(_) => Err(not_authorities(path, "holds no PEM certificate")),
        Err(why) => Err(not_authorities(path, &why)),
    }
}

fn not_authorities(path: &Path, why: &str) -> Failure {
    to_mend(
        format!("the file {} of https.ca.location {why}", path.display()),
        "give a PEM file of the authorities to trust, and let the daemon's user read it",
    )
}

/// The first `most` bytes of a regular file: a pipe would block.
fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
