//! What went wrong on the wire, in plain words.
//!
//! Told apart by the types in the error's chain; only what a proxy's tunnel says is known by its text alone. No text
//! here repeats a URL: its query or its user information may be secret.

use std::error::Error;
use std::io;
use std::time::Duration;

use super::http::CONNECT;
use crate::core::failure::{Failure, Health, Reaction, Suspect, one_line};

/// The other side, and what an operator calls it.
pub(super) struct Peer {
    pub(super) host: String,
    /// The configured proxy's host.
    pub(super) proxy: Option<String>,
    /// The key that names this host: `api.base_url` or `api.login_url`.
    pub(super) setting: &'static str,
    pub(super) silence: Duration,
    pub(super) total: Duration,
}

impl Peer {
    /// A cause that all who reach the same host share.
    fn cause(&self, kind: &str) -> String {
        format!("network {} {kind}", self.host)
    }

    /// `api.security.microsoft.com`, or the same `through the proxy …`.
    fn name(&self) -> String {
        match &self.proxy {
            Some(proxy) => format!("{} (through the proxy {proxy})", self.host),
            None => self.host.clone(),
        }
    }
}

fn unreachable(what: String, remedy: impl Into<String>) -> Failure {
    Failure::new(Health::Unreachable, Reaction::Backoff, what, remedy)
}

const WAY: &str = "check the network, the firewall and the proxy (api.proxy, HTTPS_PROXY) between here and Microsoft";

/// Nothing arrived for the silence limit.
pub(super) fn silent(peer: &Peer) -> Failure {
    unreachable(
        format!("{} sent nothing for {:?}", peer.name(), peer.silence),
        "usually passes by itself; if not, check the network, or raise poll.request_timeout",
    )
    .suspecting(Suspect::Page)
    .caused_by(peer.cause("silent"))
}

/// Something kept arriving, but too slowly.
pub(super) fn too_slow(peer: &Peer) -> Failure {
    unreachable(
        format!(
            "the answer of {} was not complete after {:?}",
            peer.name(),
            peer.total
        ),
        "usually passes by itself; if not, check the network's speed, or raise poll.request_timeout (a tenth of this limit)",
    )
    .suspecting(Suspect::Page)
    .caused_by(peer.cause("slow"))
}

/// A page too large is asked for again in smaller ones, so an operator reads this only when no smaller one is left:
/// repeating the request would end the same way. It has no cause to share: what is too large is this tenant's incident.
pub(super) fn too_large(peer: &Peer, max: usize) -> Failure {
    let remedy = match peer.setting {
        "api.base_url" => {
            "raise poll.max_response: smaller pages were asked for already, and a single incident is larger"
                .to_owned()
        }
        setting => format!("check {setting}: Microsoft's answers are far smaller"),
    };
    Failure::new(
        Health::Misconfigured,
        Reaction::Slow,
        format!("an answer of {} is larger than {max} bytes", peer.host),
        remedy,
    )
    .suspecting(Suspect::Size)
}

/// The failure that `error` stands for.
pub(super) fn failure(error: &reqwest::Error, peer: &Peer) -> Failure {
    let (kind, failure) = told_apart(error, peer);
    failure.caused_by(peer.cause(kind))
}

/// What kind of failure it is, in a word or two for its cause.
fn told_apart(error: &reqwest::Error, peer: &Peer) -> (&'static str, Failure) {
    let name = peer.name();
    if error.is_dns() {
        let failure = unreachable(
            format!("can't resolve the host name of {name}"),
            format!("check {}, api.proxy and this machine's DNS", peer.setting),
        );
        return ("unresolved", failure);
    }
    let causes = Causes::of(error);
    if let Some(tls) = &causes.tls {
        return ("untrusted", untrusted(tls, &name));
    }
    if let Some(tunnel) = &causes.tunnel {
        return ("proxy", refused_by_proxy(tunnel, &name));
    }
    if error.is_timeout() && error.is_connect() {
        let failure = unreachable(format!("no connection to {name} within {CONNECT:?}"), WAY);
        return ("no connection", failure);
    }
    let suspect = if error.is_connect() {
        Suspect::Nothing
    } else {
        Suspect::Page
    };
    let (kind, what) = causes.in_words(&name, error.is_decode());
    (kind, unreachable(what, WAY).suspecting(suspect))
}

pub(super) fn untrusted(tls: &rustls::Error, name: &str) -> Failure {
    let what = format!(
        "no trusted TLS connection to {name}: {}",
        one_line(&tls.to_string(), 160)
    );
    let remedy = match tls {
        rustls::Error::InvalidCertificate(_) => {
            "if a proxy inspects TLS, put its CA certificate (PEM) into api.ca_file; check this machine's clock, too"
        }
        _ => WAY,
    };
    unreachable(what, remedy)
}

fn refused_by_proxy(tunnel: &str, name: &str) -> Failure {
    if tunnel.contains("authorization") {
        return proxy_credentials(name);
    }
    unreachable(
        format!(
            "the proxy made no connection to {name}: {}",
            one_line(tunnel, 100)
        ),
        "check api.proxy (or HTTPS_PROXY) and that the proxy allows this host",
    )
}

/// The proxy asks who we are.
pub(super) fn proxy_credentials(name: &str) -> Failure {
    Failure::new(
        Health::Misconfigured,
        Reaction::Slow,
        format!("the proxy on the way to {name} asks for a user and a password"),
        "put the proxy's user and password into api.proxy (or HTTPS_PROXY): http://user:password@host:port",
    )
    .caused_by("proxy wants a login")
}

/// What the chain of an error's sources says, from the outermost to the innermost.
#[derive(Default)]
struct Causes {
    io: Option<io::ErrorKind>,
    tls: Option<rustls::Error>,
    tunnel: Option<String>,
    cut_short: bool,
    innermost: String,
}

impl Causes {
    fn of(error: &reqwest::Error) -> Self {
        let mut causes = Causes::default();
        let mut next: Option<&(dyn Error + 'static)> = error.source();
        while let Some(cause) = next {
            causes.note(cause);
            // The source of an io::Error is its inner error's source: the inner error itself would be stepped over.
            next = match cause
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref)
            {
                Some(inner) => Some(inner),
                None => cause.source(),
            };
        }
        causes
    }

    /// What became of the connection.
    fn in_words(&self, name: &str, decoding: bool) -> (&'static str, String) {
        use io::ErrorKind as Io;
        match self.io {
            Some(Io::ConnectionRefused) => {
                ("refused", format!("the connection to {name} was refused"))
            }
            Some(Io::NetworkUnreachable | Io::HostUnreachable) => {
                ("no route", format!("there is no route to {name}"))
            }
            Some(Io::ConnectionReset | Io::BrokenPipe) => {
                ("cut", format!("the connection to {name} was cut"))
            }
            Some(Io::UnexpectedEof) => ("cut", format!("the answer of {name} was cut short")),
            Some(Io::InvalidData | Io::InvalidInput) if decoding => {
                ("gzip", format!("the answer of {name} is not valid gzip"))
            }
            Some(Io::TimedOut) => (
                "no connection",
                format!("the connection to {name} timed out"),
            ),
            _ if self.cut_short => (
                "cut",
                format!("{name} closed the connection before its answer was complete"),
            ),
            _ => (
                "failed",
                format!(
                    "the exchange with {name} failed: {}",
                    one_line(&self.innermost, 160)
                ),
            ),
        }
    }

    fn note(&mut self, cause: &(dyn Error + 'static)) {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            self.tls = Some(tls.clone());
        }
        if let Some(io) = cause.downcast_ref::<io::Error>()
            && io.kind() != io::ErrorKind::Other
        {
            self.io = Some(io.kind());
        }
        self.innermost = cause.to_string();
        if let Some(tunnel) = self.innermost.strip_prefix("tunnel error: ") {
            self.tunnel = Some(tunnel.to_owned());
        }
        self.cut_short |= self
            .innermost
            .contains("connection closed before message completed");
    }
}
