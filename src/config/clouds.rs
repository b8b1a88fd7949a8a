//! Microsoft's clouds: where each API is in each of them, who issues its tokens, and what those are asked for.
//!
//! Three facts and not one: the commercial login serves GCC too, a regional host of the API is no audience, and a GCC
//! customer's incidents are on a government host at the one API and on the commercial host at the other.

use url::Url;

use crate::settings::SourceKind;
use SourceKind::{Defender, Graph};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cloud {
    Commercial,
    Gcc,
    GccHigh,
    Dod,
    China,
}

pub(super) const NAMES: [(&str, Cloud); 5] = [
    ("commercial", Cloud::Commercial),
    ("gcc", Cloud::Gcc),
    ("gcc-high", Cloud::GccHigh),
    ("dod", Cloud::Dod),
    ("china", Cloud::China),
];

impl Cloud {
    pub fn name(self) -> &'static str {
        let found = NAMES.iter().find(|(_, cloud)| *cloud == self);
        found.map_or("", |(name, _)| name)
    }
}

/// The settings of one API in one cloud.
#[derive(Debug, Clone)]
pub(super) struct Preset {
    pub base_url: Url,
    pub login_url: Url,
    pub scope: &'static str,
    pub doubt: Option<Doubt>,
}

/// What Microsoft does not document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The audience of tokens; the API's own host is what others use.
    Scope,
    /// Whether the API is there at all: its host is.
    Api,
}

/// `None`: Microsoft documents no such API in that cloud.
pub(super) fn preset(cloud: Cloud, source: SourceKind) -> Option<Preset> {
    let (base_url, login_url, scope, doubt) = facts(cloud, source)?;
    Some(Preset {
        base_url: Url::parse(base_url).ok()?,
        login_url: Url::parse(login_url).ok()?,
        scope,
        doubt,
    })
}

/// Whose API is at a host: every choice of source and cloud that it serves. Empty: not one of Microsoft's, or unknown.
pub(super) fn apis_at(host: &str) -> Vec<(SourceKind, Cloud)> {
    if is_regional(host) {
        return vec![(Defender, Cloud::Commercial)];
    }
    let all = NAMES
        .iter()
        .flat_map(|(_, cloud)| [(Defender, *cloud), (Graph, *cloud)]);
    let there = |(source, cloud): &(SourceKind, Cloud)| {
        facts(*cloud, *source).is_some_and(|(url, ..)| is_host_of(host, url))
    };
    all.filter(there).collect()
}

/// Whose tokens a host issues: every cloud that it serves. Empty as above.
pub(super) fn logins_at(host: &str) -> Vec<Cloud> {
    let host = match host {
        // Older names.
        "login.windows.net" | "login.microsoft.com" => "login.microsoftonline.com",
        "login.partner.microsoftonline.cn" => "login.chinacloudapi.cn",
        host => host,
    };
    let there =
        |cloud: &Cloud| facts(*cloud, Graph).is_some_and(|(_, url, ..)| is_host_of(host, url));
    let clouds = NAMES.iter().map(|(_, cloud)| *cloud);
    clouds.filter(there).collect()
}

/// Defender for Endpoint, which the documentation's own examples confuse with Defender XDR: it issues tokens and has no
/// incidents.
pub(super) fn is_endpoint(host: &str) -> bool {
    host == "securitycenter.onmicrosoft.com"
        || host.ends_with(".securitycenter.microsoft.com")
        || host.ends_with(".securitycenter.microsoft.us")
}

fn is_host_of(host: &str, url: &str) -> bool {
    url.strip_prefix("https://") == Some(host)
}

/// Hosts of the commercial Defender API that are nearer to a region, whose name stands for the star ("Supported Microsoft
/// Defender XDR APIs", "Get incident API"). Regions come and go, so any name will do.
const REGIONAL: [&str; 2] = [
    "api-*.security.microsoft.com",
    "*.api.security.microsoft.com",
];

/// Whether this is such a host: it serves incidents, and no token is issued for it.
pub(super) fn is_regional(host: &str) -> bool {
    REGIONAL.iter().any(|pattern| {
        let region = pattern.split_once('*').and_then(|(before, behind)| {
            let rest = host.strip_prefix(before)?;
            rest.strip_suffix(behind)
        });
        region.is_some_and(|region| !region.is_empty() && !region.contains('.'))
    })
}

type Facts = (&'static str, &'static str, &'static str, Option<Doubt>);

const COMMERCIAL_LOGIN: &str = "https://login.microsoftonline.com";
const GOVERNMENT_LOGIN: &str = "https://login.microsoftonline.us";
const CHINA_LOGIN: &str = "https://login.chinacloudapi.cn";

/// Defender: "Supported Microsoft Defender XDR APIs", "Microsoft Defender for US Government customers". Graph: "National
/// cloud deployments", and the clouds that "List incidents" names.
fn facts(cloud: Cloud, source: SourceKind) -> Option<Facts> {
    let facts = match (source, cloud) {
        (Defender, Cloud::Commercial) => (
            "https://api.security.microsoft.com",
            COMMERCIAL_LOGIN,
            "https://api.security.microsoft.com/.default",
            None,
        ),
        (Defender, Cloud::Gcc) => (
            "https://api-gcc.security.microsoft.us",
            COMMERCIAL_LOGIN,
            "https://api-gcc.security.microsoft.us/.default",
            Some(Doubt::Scope),
        ),
        (Defender, Cloud::GccHigh | Cloud::Dod) => (
            "https://api-gov.security.microsoft.us",
            GOVERNMENT_LOGIN,
            "https://api-gov.security.microsoft.us/.default",
            Some(Doubt::Scope),
        ),
        (Defender, Cloud::China) => return None,
        (Graph, Cloud::Commercial | Cloud::Gcc) => (
            "https://graph.microsoft.com",
            COMMERCIAL_LOGIN,
            "https://graph.microsoft.com/.default",
            None,
        ),
        (Graph, Cloud::GccHigh) => (
            "https://graph.microsoft.us",
            GOVERNMENT_LOGIN,
            "https://graph.microsoft.us/.default",
            None,
        ),
        (Graph, Cloud::Dod) => (
            "https://dod-graph.microsoft.us",
            GOVERNMENT_LOGIN,
            "https://dod-graph.microsoft.us/.default",
            None,
        ),
        (Graph, Cloud::China) => (
            "https://microsoftgraph.chinacloudapi.cn",
            CHINA_LOGIN,
            "https://microsoftgraph.chinacloudapi.cn/.default",
            Some(Doubt::Api),
        ),
    };
    Some(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cloud_has_every_api_save_defender_in_china() {
        for (name, cloud) in NAMES {
            assert_eq!(cloud.name(), name);
            for source in [Defender, Graph] {
                let lacking = preset(cloud, source).is_none();
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
            logins_at("login.windows.net"),
            [Cloud::Commercial, Cloud::Gcc]
        );
        assert_eq!(
            logins_at("login.microsoftonline.us"),
            [Cloud::GccHigh, Cloud::Dod]
        );
        assert_eq!(logins_at("127.0.0.1"), []);
    }

    #[test]
    fn a_scope_names_the_host_of_its_api() {
        for (name, cloud) in NAMES {
            for preset in [Defender, Graph].map(|source| preset(cloud, source)) {
                let Some(preset) = preset else { continue };
                assert_eq!(
                    preset.scope,
                    format!("{}.default", preset.base_url),
                    "{name}"
                );
            }
        }
    }
}
