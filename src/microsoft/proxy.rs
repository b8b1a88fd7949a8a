//! Proxies that require a user and a password.
//!
//! Only Basic is supported: NTLM and Negotiate need a Windows log-in and a connection that is kept for it. When a proxy
//! refuses a tunnel, the HTTP client reports only the status. So this module asks the proxy once more which schemes it
//! offers.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::{HeaderMap, HeaderValue, PROXY_AUTHENTICATE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use super::challenge::challenges;
use super::resolver::Resolver;
use crate::core::health::failure::{Failure, Health, Reaction};

/// How long to wait for the proxy's answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest head that is read.
const HEAD: usize = 16 << 10;

/// The proxy on the way to a host.
#[derive(Clone)]
pub(super) struct ProxyRoute {
    pub(super) host: String,
    port: u16,
    /// Whether the connection to the proxy is encrypted. If so, the proxy is not asked for its schemes.
    encrypted: bool,
    /// Whether a user and a password are sent.
    pub(super) login: bool,
}

impl ProxyRoute {
    pub(super) fn configured(proxy: &Url) -> Option<Self> {
        Some(Self {
            host: proxy.host_str()?.to_owned(),
            port: proxy.port_or_known_default()?,
            encrypted: proxy.scheme() == "https",
            login: !proxy.username().is_empty() || proxy.password().is_some(),
        })
    }

    /// The proxy that the environment names for `base`.
    pub(super) fn of_environment(base: &Url) -> Option<Self> {
        let found = Matcher::from_env().intercept(&base.as_str().parse().ok()?)?;
        let encrypted = found.uri().scheme_str() == Some("https");
        Some(Self {
            host: found.uri().host()?.to_owned(),
            port: found
                .uri()
                .port_u16()
                .unwrap_or(if encrypted { 443 } else { 80 }),
            encrypted,
            login: found.basic_auth().is_some(),
        })
    }

    /// The schemes that the proxy offers for a tunnel to `host`; empty if it does not say.
    pub(super) async fn offers(&self, host: &str, port: u16, resolver: &Resolver) -> Vec<Scheme> {
        if self.encrypted {
            return Vec::new();
        }
        let head = timeout(PATIENCE, self.refusal(host, port, resolver)).await;
        let head = head.ok().flatten().unwrap_or_default();
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        let values: Vec<HeaderValue> = lines
            .filter(|(name, _)| name.eq_ignore_ascii_case(PROXY_AUTHENTICATE.as_str()))
            .filter_map(|(_, value)| HeaderValue::from_str(value.trim()).ok())
            .collect();
        schemes(values.iter())
    }

    /// The head of the proxy's answer to a request for a tunnel.
    async fn refusal(&self, host: &str, port: u16, resolver: &Resolver) -> Option<String> {
        let name = self.host.trim_start_matches('[').trim_end_matches(']');
        let mut stream = match name.parse::<IpAddr>() {
            Ok(address) => TcpStream::connect((address, self.port)).await,
            Err(_) => {
                let mut addresses = resolver.addresses(name).await.ok()?.to_vec();
                addresses.iter_mut().for_each(|it| it.set_port(self.port));
                TcpStream::connect(&addresses[..]).await
            }
        }
        .ok()?;
        let ask = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.ok()?;
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD {
            if stream.read_buf(&mut head).await.ok()? == 0 {
                break;
            }
        }
        Some(String::from_utf8_lossy(&head).into_owned())
    }
}

/// A scheme to log in. Unknown names are not shown, because they come from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Basic,
    Digest,
    Kerberos,
    Negotiate,
    Ntlm,
    Bearer,
    Other,
}

impl Scheme {
    fn named(name: &str) -> Self {
        match name {
            "basic" => Self::Basic,
            "digest" => Self::Digest,
            "kerberos" => Self::Kerberos,
            "negotiate" => Self::Negotiate,
            "ntlm" => Self::Ntlm,
            "bearer" => Self::Bearer,
            _ => Self::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Basic => "Basic",
            Self::Digest => "Digest",
            Self::Kerberos => "Kerberos",
            Self::Negotiate => "Negotiate",
            Self::Ntlm => "NTLM",
            Self::Bearer => "Bearer",
            Self::Other => "another scheme",
        }
    }
}

/// The schemes that an answer with status 407 offers.
pub(super) fn offered(headers: &HeaderMap) -> Vec<Scheme> {
    schemes(headers.get_all(PROXY_AUTHENTICATE).iter())
}

fn schemes<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> Vec<Scheme> {
    let mut found = Vec::new();
    for challenge in challenges(values) {
        let scheme = Scheme::named(&challenge.scheme);
        if !found.contains(&scheme) {
            found.push(scheme);
        }
    }
    found
}

/// The failure if the proxy on the way to `name` requires a log-in by one of `offers`. `login`: it got one and refused
/// it.
pub(super) fn wants_login(name: &str, offers: &[Scheme], login: bool) -> Failure {
    let mut what = format!("the proxy on the way to {name} asks for a user and a password");
    let names: Vec<&str> = offers.iter().map(|scheme| scheme.name()).collect();
    let basic = offers.is_empty() || offers.contains(&Scheme::Basic);
    if !basic {
        // Writing to a string can't fail.
        let _ = write!(what, ", and takes them by {} only", names.join(" or "));
    }
    let remedy = match (basic, login) {
        (false, _) => {
            "only Basic works: have the proxy accept Basic, or let this machine pass without a log-in; or run a helper that \
             logs in for it (cntlm, px) and name that in api.proxy"
        }
        (true, true) => {
            "check the proxy's user and password in api.proxy (or HTTPS_PROXY), percent-encoded where they hold special \
             characters: the proxy refuses them; only Basic works"
        }
        (true, false) => {
            "put the proxy's user and password into api.proxy (or HTTPS_PROXY): http://user:password@host:port; only Basic \
             works"
        }
    };
    let cause = match basic {
        true => "proxy wants a login",
        false => "proxy takes no Basic login",
    };
    Failure::new(Health::Misconfigured, Reaction::Slow, what, remedy).caused_by(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(values: &[&'static str]) -> Vec<Scheme> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PROXY_AUTHENTICATE, HeaderValue::from_static(value));
        }
        offered(&headers)
    }

    #[test]
    fn a_proxy_without_basic_is_distinguished_from_one_that_wants_a_password() {
        for values in [
            &["NTLM"][..],
            &["Negotiate", "NTLM"],
            &["Negotiate, ntlm TlRM="],
            &["Digest realm=\"x\""],
        ] {
            let failure = wants_login("login.microsoftonline.com", &offers(values), false);
            assert!(
                failure.remedy.starts_with("only Basic works"),
                "{failure:?}"
            );
            assert!(!failure.remedy.contains("user and password"), "{failure:?}");
        }
        for values in [&[][..], &["Basic realm=\"x\""], &["NTLM", "basic"]] {
            for login in [false, true] {
                let failure = wants_login("login.microsoftonline.com", &offers(values), login);
                assert!(
                    failure.remedy.contains("the proxy's user and password"),
                    "{failure:?}"
                );
                assert_eq!(
                    failure.remedy.contains("refuses them"),
                    login,
                    "{failure:?}"
                );
            }
        }
    }

    #[test]
    fn the_schemes_are_named_as_an_administrator_knows_them() {
        let failure = wants_login("x", &offers(&["NTLM", "Negotiate", "Hoba-CANARY"]), false);
        assert!(
            failure
                .what
                .ends_with("by NTLM or Negotiate or another scheme only"),
            "{failure:?}"
        );
    }
}
