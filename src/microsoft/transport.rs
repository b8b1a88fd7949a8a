//! Connection failures in plain words.
//!
//! The types in the error's chain decide the kind; only a proxy's refusal of a tunnel is recognised by its text. No
//! text here repeats a URL, because its query or its user information may be secret.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, PeerIncompatible};

use super::proxy::{self, ProxyRoute};
use super::resolver::LookUpError;
use crate::core::health::failure::{Failure, Health, Reaction, Suspect, one_line};

/// The limit for making a connection.
pub(super) const CONNECT: Duration = Duration::from_secs(10);

/// The other side, and the operator's name for it.
pub(super) struct Peer {
    pub(super) host: String,
    pub(super) port: u16,
    /// The proxy on the way to it.
    pub(super) via: Option<ProxyRoute>,
    /// The key that names this host: `api.base_url` or `api.login_url`.
    pub(super) setting: &'static str,
    pub(super) silence: Duration,
    pub(super) total: Duration,
}

impl Peer {
    /// A cause that is the same for every tenant that reaches this host.
    fn cause(&self, kind: &str) -> String {
        format!("network {} {kind}", self.host)
    }

    /// `api.security.microsoft.com`, with `(through the proxy …)` if there is one.
    pub(super) fn name(&self) -> String {
        match &self.via {
            Some(via) => format!("{} (through the proxy {})", self.host, via.host),
            None => self.host.clone(),
        }
    }
}

fn unreachable(what: String, remedy: impl Into<String>) -> Failure {
    Failure::new(Health::Unreachable, Reaction::Backoff, what, remedy)
}

const WAY: &str = "check the network, the firewall and the proxy (api.proxy, HTTPS_PROXY) between here and Microsoft";

/// The failure if nothing arrived within the silence limit.
pub(super) fn silent(peer: &Peer) -> Failure {
    unreachable(
        format!("{} sent nothing for {:?}", peer.name(), peer.silence),
        "usually passes by itself; if not, check the network, or raise poll.request_timeout",
    )
    .suspecting(Suspect::Page)
    .caused_by(peer.cause("silent"))
}

/// The failure if the answer kept arriving, but too slowly.
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

/// A page that is too large is requested again in smaller pages. So an operator reads this only if no smaller page is
/// left, and repeating the request would end the same way. Tenants share no cause: this tenant's incident is too large.
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

/// The failure for a body in an encoding that was not requested. Another request would not help.
pub(super) fn encoded(peer: &Peer, encoding: &str) -> Failure {
    unreachable(
        format!("{} sent its answer {}", peer.name(), in_encoding(encoding)),
        "look for a proxy or a gateway that changes answers between here and Microsoft: let it pass them as they are, or \
         encode them with gzip only",
    )
    .caused_by(peer.cause("encoded"))
}

/// The text in place of a body that can't be read.
pub(super) fn in_encoding(encoding: &str) -> String {
    format!("in the content encoding {encoding:?}, which was not asked for")
}

/// Whether the connection was closed or reset before the head of the answer.
pub(super) fn closed_unanswered(error: &reqwest::Error) -> bool {
    use io::ErrorKind as Io;
    if error.is_connect() || error.is_timeout() {
        return false;
    }
    let causes = Causes::of(error);
    let closed = [
        Io::ConnectionReset,
        Io::ConnectionAborted,
        Io::BrokenPipe,
        Io::UnexpectedEof,
    ];
    causes.tls.is_none()
        && causes
            .io
            .map_or(causes.cut_short, |kind| closed.contains(&kind))
}

/// Whether the proxy refused a tunnel because it requires a log-in.
pub(super) fn wants_proxy_login(error: &reqwest::Error) -> bool {
    let causes = Causes::of(error);
    causes
        .tunnel
        .is_some_and(|tunnel| tunnel.contains("authorization"))
}

/// The failure for `error`.
pub(super) fn failure(error: &reqwest::Error, peer: &Peer) -> Failure {
    let (kind, failure) = classify(error, peer);
    failure.caused_by(peer.cause(kind))
}

/// The kind of failure in a word or two, for its cause.
fn classify(error: &reqwest::Error, peer: &Peer) -> (&'static str, Failure) {
    let name = peer.name();
    let causes = Causes::of(error);
    if error.is_dns() {
        let why = one_line(&causes.innermost, 100);
        let what = format!("can't resolve the host name of {name}: {why}");
        if causes.silent_resolver {
            let remedy = "check this machine's DNS: its name servers (/etc/resolv.conf) did not answer in time";
            return ("no DNS", unreachable(what, remedy));
        }
        let remedy = format!("check {}, api.proxy and this machine's DNS", peer.setting);
        return ("unresolved", unreachable(what, remedy));
    }
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
    let (why, remedy) = match tls {
        rustls::Error::InvalidCertificate(wrong) => match unverifiable(wrong) {
            Some(kind) => (format!("{kind} can't be verified here"), OTHER_KEY),
            None => (tls.to_string(), ADD_AUTHORITY),
        },
        // A server whose only key is of a kind that was not offered answers like this.
        rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)
        | rustls::Error::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon) => {
            (tls.to_string(), PERHAPS_OTHER_KEY)
        }
        _ => (tls.to_string(), WAY),
    };
    let what = format!(
        "no trusted TLS connection to {name}: {}",
        one_line(&why, 160)
    );
    unreachable(what, remedy)
}

const ADD_AUTHORITY: &str = "if a proxy inspects TLS, put its CA certificate (PEM) into api.ca_file; check this machine's clock, too";
const OTHER_KEY: &str = "have the operator of the proxy that inspects TLS (or of the server) use a CA and certificates with RSA keys of 2048 bits or \
     more, or on the curves P-256 or P-384, signed with SHA-256 or better: P-521 and other kinds can't be verified";
const PERHAPS_OTHER_KEY: &str = "if a proxy inspects TLS, its certificate's key may be of a kind that can't be verified (P-521): let it use RSA, P-256 \
     or P-384, and TLS 1.2 or 1.3";

/// Kinds of keys and signatures that can't be verified here, by their object identifier in DER.
const UNVERIFIABLE: [(&[u8], &str); 10] = [
    (&[0x2b, 0x81, 0x04, 0x00, 0x23], "a key on the curve P-521"),
    (
        &[0x2b, 0x81, 0x04, 0x00, 0x0a],
        "a key on the curve secp256k1",
    ),
    (&[0x2b, 0x81, 0x04, 0x00, 0x21], "a key on the curve P-224"),
    (
        &[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08],
        "a key on a Brainpool curve",
    ),
    (&[0x2b, 0x65, 0x71], "an Ed448 key"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04], "a DSA key"),
    (
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01],
        "a signature with SHA-1",
    ),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05],
        "a signature with SHA-1",
    ),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04],
        "a signature with MD5",
    ),
    (
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04],
        "a signature with SHA-512 of a P-521 key",
    ),
];

/// The part of a certificate that can't be verified because of its kind.
fn unverifiable(wrong: &CertificateError) -> Option<&'static str> {
    let (key, signature): (&[u8], &[u8]) = match wrong {
        CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id,
            public_key_algorithm_id,
        } => (public_key_algorithm_id, signature_algorithm_id),
        CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id,
            ..
        } => (&[], signature_algorithm_id),
        _ => return None,
    };
    let named = |id: &[u8]| {
        let holds = |part: &[u8]| id.windows(part.len()).any(|window| window == part);
        let found = UNVERIFIABLE.iter().find(|(part, _)| holds(part));
        found.map(|(_, name)| *name)
    };
    named(key)
        .or(named(signature))
        .or(Some("a key or a signature of its kind"))
}

fn refused_by_proxy(tunnel: &str, name: &str) -> Failure {
    if tunnel.contains("authorization") {
        return proxy::wants_login(name, &[], false);
    }
    unreachable(
        format!(
            "the proxy made no connection to {name}: {}",
            one_line(tunnel, 100)
        ),
        "check api.proxy (or HTTPS_PROXY) and that the proxy allows this host",
    )
}

/// The errors in the chain of sources, from the outermost to the innermost.
#[derive(Default)]
struct Causes {
    io: Option<io::ErrorKind>,
    tls: Option<rustls::Error>,
    tunnel: Option<String>,
    cut_short: bool,
    silent_resolver: bool,
    innermost: String,
}

impl Causes {
    fn of(error: &reqwest::Error) -> Self {
        let mut causes = Causes::default();
        let mut next: Option<&(dyn Error + 'static)> = error.source();
        while let Some(cause) = next {
            causes.note(cause);
            // The source of an io::Error is the source of its inner error, which would skip the inner error itself.
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

    /// What happened to the connection.
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
        if let Some(LookUpError::Silent) = cause.downcast_ref() {
            self.silent_resolver = true;
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
