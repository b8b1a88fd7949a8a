//! Which names the endpoints answer to.
//!
//! The owner of a foreign web page may point its own name at this address, and then a browser lets the page read the answers
//! (DNS rebinding). Such a request carries the foreign name. So a request is answered only when its `Host` can't be foreign:
//! an IP address, `localhost`, this machine's own name, or a name of `http.hosts`.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use axum::http::header::HOST;
use axum::http::request::Parts;

/// The host name from the kernel: this machine's, or in a container, the container's.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// The names that are the daemon's own, in lower case.
#[derive(Debug, Clone, Default)]
pub struct HostNames(HashSet<String>);

/// How to answer a request, by its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostVerdict {
    Ours,
    /// 421: a name that may be foreign.
    Foreign,
    /// 400: more than one `Host`; each reader might take another one.
    Ambiguous,
}

impl HostNames {
    /// `configured`, and this machine's own name.
    pub fn new(configured: &[Arc<str>]) -> Self {
        let own = std::fs::read_to_string(HOSTNAME).unwrap_or_default();
        let configured = configured.iter().map(|name| &**name);
        let names = configured.chain([own.trim()]).map(normal);
        Self(names.filter(|name| !name.is_empty()).collect())
    }

    /// Checks `Host`, and the target when it names a host, too (RFC 9112, section 3.2.2). A request without any is allowed,
    /// as in HTTP/1.0: browsers always send one.
    pub(super) fn judge(&self, request: &Parts) -> HostVerdict {
        let mut hosts = request.headers.get_all(HOST).iter();
        let (header, second) = (hosts.next(), hosts.next());
        if second.is_some() {
            return HostVerdict::Ambiguous;
        }
        let target = request.uri.authority().map(|authority| authority.as_str());
        let header = header.map(|value| value.to_str().unwrap_or("\u{fffd}"));
        let all_ours = header.into_iter().chain(target).all(|host| self.has(host));
        match all_ours {
            true => HostVerdict::Ours,
            false => HostVerdict::Foreign,
        }
    }

    /// Whether `host`, a name or an address with or without a port, is this daemon's.
    fn has(&self, host: &str) -> bool {
        let Some(name) = without_port(host) else {
            return false;
        };
        let name = normal(name);
        name.parse::<IpAddr>().is_ok() || name == "localhost" || self.0.contains(&name)
    }
}

/// A name in lower case, without the dot at its end.
fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// `None`: not a host, with or without a port.
fn without_port(host: &str) -> Option<&str> {
    if host.parse::<Ipv6Addr>().is_ok() {
        return Some(host);
    }
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            let port = match rest {
                "" => "",
                rest => rest.strip_prefix(':')?,
            };
            (address, port)
        }
        None => host.split_once(':').unwrap_or((host, "")),
    };
    let is_port = port.is_empty() || (port.bytes().all(|b| b.is_ascii_digit()) && port.len() <= 5);
    is_port.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use proptest::prelude::*;

    fn names() -> HostNames {
        HostNames::new(&["incidentd".into(), "Soc.Example.COM".into()])
    }

    fn judged(uri: &str, hosts: &[&str]) -> HostVerdict {
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        names().judge(&parts)
    }

    #[test]
    fn addresses_localhost_and_configured_names_are_ours_with_a_port_and_without() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9464",
            "10.244.3.17:9464",
            "[::1]",
            "[::1]:9464",
            "[fe80::1:2]:1",
            "::1",
            "localhost",
            "LOCALHOST:80",
            "localhost.:9464",
            "incidentd",
            "incidentd:9464",
            "IncidentD.",
            "soc.example.com:443",
            "127.0.0.1:",
        ] {
            assert_eq!(judged("/", &[host]), HostVerdict::Ours, "{host}");
        }
        assert_eq!(judged("/", &[]), HostVerdict::Ours, "HTTP/1.0 has none");
    }

    #[test]
    fn this_machine_s_own_name_is_ours_and_no_name_below_or_above_it() {
        let own = std::fs::read_to_string(HOSTNAME).expect("Linux has one");
        let own = own.trim();
        assert_eq!(judged("/", &[own]), HostVerdict::Ours, "{own}");
        for host in [format!("{own}.attacker.example"), format!("www.{own}.")] {
            assert_eq!(judged("/", &[&host]), HostVerdict::Foreign, "{host}");
        }
    }

    #[test]
    fn any_other_name_may_be_a_stranger_s() {
        for host in [
            "attacker.example",
            "attacker.example:9464",
            "127.0.0.1.attacker.example",
            "localhost.attacker.example",
            "incidentd.attacker.example",
            "user@127.0.0.1",
            "127.0.0.1:9464@attacker.example",
            "127.0.0.1, attacker.example",
            "127.1",
            "2130706433",
            "0x7f000001",
            "[::1]attacker.example",
            "[::1]:80:80",
            "[attacker.example]",
            "[127.0.0.1]",
            "127.0.0.1:http",
            "localhost:999999",
            "localhost..",
            "",
            " ",
            "*",
        ] {
            assert_eq!(judged("/", &[host]), HostVerdict::Foreign, "{host:?}");
        }
        let own = "http://attacker.example/livez";
        assert_eq!(judged(own, &["localhost"]), HostVerdict::Foreign);
        let own = "http://localhost:9464/livez";
        assert_eq!(judged(own, &["attacker.example"]), HostVerdict::Foreign);
        assert_eq!(judged(own, &["localhost:9464"]), HostVerdict::Ours);
        assert_eq!(
            judged("/", &["localhost", "attacker.example"]),
            HostVerdict::Ambiguous
        );
    }

    proptest! {
        #[test]
        fn a_name_with_a_dot_is_ours_only_when_it_is_configured(
            name in "[a-z]{1,8}(\\.[a-z]{1,8}){1,3}", port in any::<Option<u16>>(),
        ) {
            let host = match port {
                Some(port) => format!("{name}:{port}"),
                None => name.clone(),
            };
            let own = std::fs::read_to_string(HOSTNAME).expect("Linux has one");
            prop_assume!(name != "soc.example.com" && name != own.trim());
            prop_assert_eq!(judged("/", &[&host]), HostVerdict::Foreign);
        }
    }
}
