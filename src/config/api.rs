//! `[api]`: which API to read, and in which of Microsoft's clouds.
//!
//! Source and cloud, of the tenant or of `[api]`, choose `base_url`, `login_url` and `scope`; explicit values take
//! precedence. A tenant with another source or cloud than `[api]` does not inherit the explicit values of `[api]`,
//! because address and scope of one API are wrong for another. Both sources of a cloud have the same token service, so
//! an explicit `login_url` is inherited within the same cloud.

mod conflicts;

use std::time::Duration;

use url::{Host, Url};

use super::clouds::{self, Cloud, Doubt};
use super::context::Context;
use super::layers::read_regular;
use super::problems::{Wrong, wrong};
use super::section::ConfigSection;
use crate::settings::{ApiSettings, CaFile, SourceKind};
use conflicts::ApiTarget;

/// The authorities that systems trust take a quarter of a megabyte.
const MAX_CA_FILE: u64 = 4 << 20;

/// The settings, and the choices that they follow from.
#[derive(Clone)]
pub(super) struct ApiChoice {
    pub settings: ApiSettings,
    cloud: Cloud,
    explicit: Explicit,
}

/// Values that were set instead of the cloud's own.
#[derive(Clone, Default)]
struct Explicit {
    base_url: Option<Url>,
    login_url: Option<Url>,
    scope: Option<String>,
}

/// Reads a section. `shared`: for a tenant, the settings of all tenants. `None` only if a default can't be read.
pub(super) fn read(
    section: &mut ConfigSection<'_>,
    shared: Option<&ApiChoice>,
    context: &Context<'_>,
) -> Option<ApiChoice> {
    let (source, cloud) = (section.get("source")?, section.get("cloud")?);
    let own = Explicit {
        base_url: section.own("base_url", endpoint),
        login_url: section.own("login_url", endpoint),
        scope: section.own("scope", scope),
    };
    let target = match clouds::preset(cloud, source) {
        Some(preset) => {
            let target = ApiTarget {
                source,
                cloud,
                preset,
            };
            target.check(section, &own, shared);
            target
        }
        None => {
            section.refuse(blamed(section), no_such_api(cloud));
            let (source, preset) = (SourceKind::Graph, clouds::preset(cloud, SourceKind::Graph)?);
            ApiTarget {
                source,
                cloud,
                preset,
            }
        }
    };
    let explicit = own.over(shared, &target);
    if section.given("source") || section.given("cloud") {
        warn_of_doubt(section, &target, &explicit);
    }
    let (chosen, preset) = (explicit.clone(), target.preset);
    let own_ca = section.own("ca_file", |text| ca_file(text, context));
    let shared = shared.map(|shared| &shared.settings);
    let settings = ApiSettings {
        source: target.source,
        base_url: chosen.base_url.unwrap_or(preset.base_url),
        login_url: chosen.login_url.unwrap_or(preset.login_url),
        scope: chosen.scope.unwrap_or(preset.scope),
        token_endpoint: section.get("token_endpoint")?,
        proxy: section.read("proxy", proxy),
        ca_file: own_ca.or_else(|| shared?.ca_file.clone()),
        // Keys of [poll], which is read next.
        request_timeout: shared.map_or(Duration::ZERO, |shared| shared.request_timeout),
        max_response: shared.map_or(0, |shared| shared.max_response),
    };
    Some(ApiChoice {
        settings,
        cloud,
        explicit,
    })
}

impl Explicit {
    /// With the values of `shared` that fit the choice of source and cloud.
    fn over(self, shared: Option<&ApiChoice>, target: &ApiTarget) -> Self {
        let Some(shared) = shared else { return self };
        let (same_api, same_cloud) = target.same_as(Some(shared));
        let shared = shared.explicit.clone();
        Self {
            base_url: self.base_url.or(shared.base_url.filter(|_| same_api)),
            login_url: self.login_url.or(shared.login_url.filter(|_| same_cloud)),
            scope: self.scope.or(shared.scope.filter(|_| same_api)),
        }
    }
}

/// The key that chose the API.
fn blamed(section: &ConfigSection<'_>) -> &'static str {
    match section.given("source") && !section.given("cloud") {
        true => "source",
        false => "cloud",
    }
}

fn no_such_api(cloud: Cloud) -> Wrong {
    wrong(
        format!(
            "Microsoft documents no Defender incidents API in the cloud {:?}",
            cloud.name()
        ),
        "set source = \"graph\", or another cloud",
    )
}

fn warn_of_doubt(section: &mut ConfigSection<'_>, target: &ApiTarget, explicit: &Explicit) {
    let (name, scope) = (target.cloud.name(), &target.preset.scope);
    let text = match target.preset.doubt {
        Some(Doubt::Scope) if explicit.scope.is_none() => format!(
            "Microsoft documents no token audience for the cloud {name:?}; {scope} is used. If tokens are refused, set \
             api.scope"
        ),
        Some(Doubt::Api) => format!(
            "Microsoft's list of clouds has no security incidents of Graph in {name:?}; they are asked for all the same. If \
             they are refused, there is no API to read in that cloud yet"
        ),
        _ => return,
    };
    section.warn(blamed(section), text);
}

/// Scheme and host. Plain http carries tokens in the clear, so it is accepted on loopback only.
fn endpoint(text: &str) -> Result<Url, Wrong> {
    let remedy = "give scheme and host only, as in \"https://graph.microsoft.com\" or \"https://login.microsoftonline.com\"";
    let url = url(text, remedy)?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(wrong("it names no host", remedy)),
    };
    let plain = "plain http would carry tokens in the clear; it is accepted on loopback only";
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => return Err(wrong(plain, "use https")),
        _ => return Err(wrong("its scheme is not https", "use https")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it holds a user or a password", remedy));
    }
    without_path(url, remedy)
}

fn url(text: &str, remedy: &str) -> Result<Url, Wrong> {
    Url::parse(text).map_err(|error| wrong(format!("it is not a URL: {error}"), remedy))
}

fn without_path(url: Url, remedy: &str) -> Result<Url, Wrong> {
    match url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        true => Err(wrong("it has a path, a query or a fragment", remedy)),
        false => Ok(url),
    }
}

fn scope(text: &str) -> Result<String, Wrong> {
    let remedy = "give the API's resource and /.default, for example \"https://graph.microsoft.com/.default\"";
    match text.strip_suffix("/.default") {
        None | Some("") => Err(wrong("it does not end in /.default", remedy)),
        Some(resource) if resource.contains('@') => {
            Err(wrong("it holds a user or a password", remedy))
        }
        Some(_)
            if text.len() > 512 || text.contains(|c: char| c.is_whitespace() || c.is_control()) =>
        {
            Err(wrong("it has spaces, or more than 512 bytes", remedy))
        }
        Some(_) => Ok(text.into()),
    }
}

fn proxy(text: &str) -> Result<Url, Wrong> {
    let remedy = "give it as \"http://host:port\"";
    let url = url(text, remedy)?;
    match matches!(url.scheme(), "http" | "https") && url.host_str().is_some() {
        true => without_path(url, remedy),
        false => Err(wrong("it is not the URL of an HTTP proxy", remedy)),
    }
}

fn ca_file(text: &str, context: &Context<'_>) -> Result<CaFile, Wrong> {
    let path = context.path(text)?;
    let remedy = "give the path of a PEM file of the authorities to trust beside the system's";
    let pem = read_regular(&path, MAX_CA_FILE)
        .map_err(|error| wrong(format!("it can't be read: {error}"), remedy))?;
    context.checks.authorities(&pem)?;
    let pem = pem.into();
    Ok(CaFile { path, pem })
}
