//! The APIs that incidents are read from: one table of facts.
//!
//! To add a source, add its variant to [`SourceKind`], a row here and a file with its dialect. The request budget, tokens,
//! consent and metrics read the row. The compiler names the two places that need an arm: the configuration's values, and the
//! ledger's codec.

use std::fmt;

use crate::core::incident::reading::Shape;
use crate::core::pace::budget::Quota;
use crate::core::time::ticks::{PER_SECOND, Ticks};

pub(crate) mod cloud;
pub mod defender;
pub mod graph;
pub(crate) mod kind;

pub(crate) use cloud::Cloud;
pub use kind::SourceKind;

/// The facts of one source.
#[derive(Debug)]
pub(crate) struct SourceFacts {
    /// The value of `api.source`, and the label in metrics, status and causes.
    pub name: &'static str,
    /// The most incidents on a page.
    pub page_size: u32,
    /// What Microsoft allows. The default budget follows from it.
    pub quota: Quota,
    pub permission: Permission,
    /// One address for each cloud that has the API.
    pub addresses: &'static [Address],
    pub end: Option<EndOfService>,
    pub dialect: &'static Dialect,
}

/// How requests to one API and its answers look.
#[derive(Debug)]
pub struct Dialect {
    /// The path of the list below the base URL. A single incident is at this path, followed by a slash and its id.
    pub list: &'static str,
    /// The names of the members that are read. `$filter` compares `shape.updated`.
    pub shape: &'static Shape,
    /// Sent with each request, including requests to a nextLink.
    pub headers: &'static [(&'static str, &'static str)],
    /// The query that adds the alerts. `None`: they always come.
    pub expand: Option<&'static str>,
    /// The remedy if the API no longer exists at its address.
    pub gone: &'static str,
}

/// An application permission of one Microsoft API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Permission {
    /// The name of the API in Entra's portal, under "APIs my organization uses".
    pub api: &'static str,
    /// The app ids of the API. The audience of a token is one of them or the URL of the resource; the API chooses.
    pub app_ids: &'static [&'static str],
    /// Values of the `roles` claim; any one of them is enough. The first one allows the least, so it is the one to
    /// request.
    pub roles: &'static [&'static str],
}

impl Permission {
    /// The role to request.
    pub fn wanted(&self) -> &'static str {
        self.roles.first().copied().unwrap_or_default()
    }
}

/// The address of the API in one cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    pub cloud: Cloud,
    pub base_url: &'static str,
    pub doubt: Option<Doubt>,
}

impl Address {
    /// The scope to request tokens for. The resource is the host of the API.
    pub fn scope(&self) -> String {
        format!("{}/.default", self.base_url)
    }
}

/// A fact that Microsoft does not document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// The audience of tokens. Other clouds use the host of the API.
    Scope,
    /// Whether the host has the API at all.
    Api,
}

/// The announced end of an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndOfService {
    /// The last day on which the API is promised to work, at 0:00 UTC.
    pub last_day: Ticks,
    /// Microsoft's notice.
    pub notice: &'static str,
}

/// "List incidents API in Microsoft Defender XDR", sections Permissions and Limitations; "Supported Microsoft Defender XDR
/// APIs"; "Microsoft Defender for US Government customers".
static DEFENDER: SourceFacts = SourceFacts {
    name: "defender",
    page_size: 100,
    quota: Quota {
        per_minute: 50,
        per_hour: Some(1500),
    },
    permission: Permission {
        api: "Microsoft Threat Protection",
        app_ids: &["8ee8fdad-f234-4243-8f3b-15c294843740"],
        roles: &["Incident.Read.All", "Incident.ReadWrite.All"],
    },
    addresses: &[
        at(Cloud::Commercial, "https://api.security.microsoft.com"),
        at(Cloud::Gcc, "https://api-gcc.security.microsoft.us").doubting(Doubt::Scope),
        at(Cloud::GccHigh, "https://api-gov.security.microsoft.us").doubting(Doubt::Scope),
        at(Cloud::Dod, "https://api-gov.security.microsoft.us").doubting(Doubt::Scope),
    ],
    // "After February 1, 2027, the MDE and XDR APIs will no longer function." It is not certain that this includes the
    // incidents. The remedy is the same: Graph has the same incidents.
    end: Some(EndOfService {
        last_day: Ticks(1_801_440_000 * PER_SECOND),
        notice: "MC1220762",
    }),
    dialect: &defender::DIALECT,
};

/// "List incidents", section Permissions; "Microsoft Graph service-specific throttling limits", section Security (any
/// request on `/security`); "National cloud deployments". The app id is the same in all clouds.
static GRAPH: SourceFacts = SourceFacts {
    name: "graph",
    // Not documented. Larger pages are answered with 400.
    page_size: 50,
    quota: Quota {
        per_minute: 150,
        per_hour: None,
    },
    permission: Permission {
        api: "Microsoft Graph",
        app_ids: &["00000003-0000-0000-c000-000000000000"],
        roles: &[
            "SecurityIncident.Read.All",
            "SecurityIncident.ReadWrite.All",
        ],
    },
    addresses: &[
        at(Cloud::Commercial, "https://graph.microsoft.com"),
        at(Cloud::Gcc, "https://graph.microsoft.com"),
        at(Cloud::GccHigh, "https://graph.microsoft.us"),
        at(Cloud::Dod, "https://dod-graph.microsoft.us"),
        at(Cloud::China, "https://microsoftgraph.chinacloudapi.cn").doubting(Doubt::Api),
    ],
    end: None,
    dialect: &graph::DIALECT,
};

const fn at(cloud: Cloud, base_url: &'static str) -> Address {
    Address {
        cloud,
        base_url,
        doubt: None,
    }
}

impl Address {
    const fn doubting(mut self, doubt: Doubt) -> Self {
        self.doubt = Some(doubt);
        self
    }
}

impl SourceKind {
    /// Every source, the default first.
    pub const ALL: [SourceKind; 2] = [SourceKind::Graph, SourceKind::Defender];

    pub(crate) fn facts(self) -> &'static SourceFacts {
        match self {
            SourceKind::Defender => &DEFENDER,
            SourceKind::Graph => &GRAPH,
        }
    }

    /// The address of the API in `cloud`. `None`: Microsoft documents no such API there.
    pub(crate) fn address(self, cloud: Cloud) -> Option<&'static Address> {
        let mut addresses = self.facts().addresses.iter();
        addresses.find(|at| at.cloud == cloud)
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.facts().name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_budget_of_each_source_keeps_its_quota() {
        let budget = |source: SourceKind| source.facts().quota.default_per_minute();
        assert_eq!(SourceKind::ALL.map(budget), [75, 25]);
    }

    #[test]
    fn the_last_day_is_the_notice_s() {
        let end = SourceKind::Defender.facts().end;
        let day = end.map(|end| end.last_day.to_string());
        assert_eq!(day.as_deref(), Some("2027-02-01T00:00:00Z"));
    }
}
