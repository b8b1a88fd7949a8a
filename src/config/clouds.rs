//! Microsoft's clouds: the addresses and the scope of each API in each of them.
//!
//! Address, login and scope are three facts: the commercial login serves GCC too, a regional host of the API is no
//! audience, and a GCC customer's incidents are on a government host in one API and on the commercial host in the
//! other.

use crate::core::sources::{Cloud, SourceKind};

/// Every choice of source and cloud whose API is at a host. Empty if the host is not known to be Microsoft's.
pub(super) fn apis_at(host: &str) -> Vec<(SourceKind, Cloud)> {
    if is_regional(host) {
        return vec![(SourceKind::Defender, Cloud::Commercial)];
    }
    let at = |source: SourceKind| {
        let addresses = source.facts().addresses.iter();
        let there = addresses.filter(|address| is_host_of(host, address.base_url));
        there.map(move |address| (source, address.cloud))
    };
    SourceKind::ALL.into_iter().flat_map(at).collect()
}

/// Every cloud whose tokens a host issues, with the source that they are asked for. Empty if the host is not known to be Microsoft's.
pub(super) fn logins_at(host: &str, source: SourceKind) -> Vec<(SourceKind, Cloud)> {
    let host = match host {
        // Older names.
        "login.windows.net" | "login.microsoft.com" => "login.microsoftonline.com",
        "login.partner.microsoftonline.cn" => "login.chinacloudapi.cn",
        host => host,
    };
    let clouds = Cloud::NAMES.into_iter().map(|(_, cloud)| (source, cloud));
    clouds
        .filter(|(_, cloud)| is_host_of(host, cloud.login_url()))
        .collect()
}

/// Whether it is a host of Defender for Endpoint, which Microsoft's examples confuse with Defender XDR. It has no
/// incidents.
pub(super) fn is_endpoint(host: &str) -> bool {
    host == "securitycenter.onmicrosoft.com"
        || host.ends_with(".securitycenter.microsoft.com")
        || host.ends_with(".securitycenter.microsoft.us")
}

fn is_host_of(host: &str, url: &str) -> bool {
    url.strip_prefix("https://") == Some(host)
}

/// Regional hosts of the commercial Defender API ("Supported Microsoft Defender XDR APIs", "Get incident API"). The
/// star stands for any region, because the list of regions changes.
const REGIONAL: [&str; 2] = [
    "api-*.security.microsoft.com",
    "*.api.security.microsoft.com",
];

/// Whether it is a regional host: it serves incidents, but no token is issued for it.
pub(super) fn is_regional(host: &str) -> bool {
    REGIONAL.iter().any(|pattern| {
        let region = pattern.split_once('*').and_then(|(before, behind)| {
            let rest = host.strip_prefix(before)?;
            rest.strip_suffix(behind)
        });
        region.is_some_and(|region| !region.is_empty() && !region.contains('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use SourceKind::{Defender, Graph};

    #[test]
    fn every_cloud_has_every_api_save_defender_in_china() {
        for (name, cloud) in Cloud::NAMES {
            assert_eq!(cloud.name(), name);
            for source in [Defender, Graph] {
                let lacking = source.address(cloud).is_none();
                assert_eq!(
                    lacking,
                    (cloud, source) == (Cloud::China, Defender),
                    "{name} {source:?}"
                );
            }
        }
    }

    #[test]
    fn a_host_is_known_for_what_it_serves() {
        let api = |host| apis_at(host);
        for region in ["us", "eu", "uk", "au", "swa", "ina", "aea"] {
            for host in [
                format!("{region}.api.security.microsoft.com"),
                format!("api-{region}.security.microsoft.com"),
            ] {
                assert_eq!(apis_at(&host), [(Defender, Cloud::Commercial)], "{host}");
            }
        }
        for other in [
            "api.eu.security.microsoft.com",
            ".api.security.microsoft.com",
            "eu.api.security.microsoft.com.example",
            "a.eu.api.security.microsoft.com",
        ] {
            assert_eq!(api(other), [], "{other}");
        }
        assert_eq!(
            api("graph.microsoft.com"),
            [(Graph, Cloud::Commercial), (Graph, Cloud::Gcc)]
        );
        assert_eq!(api("proxy.example.net"), []);
        assert_eq!(
            logins_at("login.windows.net", Graph),
            [(Graph, Cloud::Commercial), (Graph, Cloud::Gcc)]
        );
        assert_eq!(
            logins_at("login.microsoftonline.us", Graph),
            [(Graph, Cloud::GccHigh), (Graph, Cloud::Dod)]
        );
        assert_eq!(logins_at("127.0.0.1", Graph), []);
    }

    #[test]
    fn a_scope_names_the_host_of_its_api() {
        for (name, cloud) in Cloud::NAMES {
            for address in [Defender, Graph].map(|source| source.address(cloud)) {
                let Some(address) = address else { continue };
                let base_url = url::Url::parse(address.base_url).expect(name);
                assert_eq!(address.scope(), format!("{base_url}.default"), "{name}");
            }
        }
    }
}
