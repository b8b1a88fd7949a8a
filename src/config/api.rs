//! `[api]`: which API to read, and in which of Microsoft's clouds.
//!
//! Source and cloud, of the tenant or of `[api]`, choose `base_url`, `login_url` and `scope`; explicit values take
//! precedence. A tenant with another source or cloud than `[api]` does not inherit the explicit values of `[api]`,
//! because address and scope of one API are wrong for another. Both sources of a cloud have the same token service, so
//! an explicit `login_url` is inherited within the same cloud.

mod conflicts;

use std::sync::Arc;
use std::time::Duration;

use url::{Host, Url};

use super::layers::read_regular;
use super::problems::{Wrong, require, wrong};
use super::scope::Context;
use super::section::Section;
use super::values::{address, quoted};
use crate::core::sources::Cloud;
use crate::settings::{ApiSettings, CaFile, SourceKind};
use conflicts::{AddressKey, ApiTarget};

/// The authorities that systems trust take a quarter of a megabyte.
const MAX_CA_FILE: u64 = 4 << 20;

/// The settings, and the cloud that they follow from.
#[derive(Clone)]
pub(super) struct ApiChoice {
    pub settings: Arc<ApiSettings>,
    cloud: Cloud,
}

/// Reads a section. `shared`: for a tenant, the settings of all tenants. The settings of requests are keys of `[poll]`,
/// which is read next. `None` only if a default can't be read.
pub(super) fn read(section: &mut Section<'_>, shared: Option<&ApiChoice>) -> Option<ApiChoice> {
    let target = read_target(section)?;
    let mut dropped = Vec::new();
    let [base_url, login_url, scope] =
        AddressKey::ALL.map(|key| read_address(section, &target, key, shared, &mut dropped));
    let has_scope = section.given("scope") || scope != target.preset(AddressKey::Scope);
    let left_behind = (!dropped.is_empty()).then(|| {
        format!(
            "what [api] sets by hand is not used for a tenant of another source or cloud: {}. This tenant is read at \
             {base_url} with tokens of {login_url}; where that is wrong, set these keys for it, too",
            dropped.join(", "),
        )
    });
    if let Some(chooser) = chooser(section) {
        for warning in left_behind.into_iter().chain(target.doubt(has_scope)) {
            section.warn(chooser, warning);
        }
    }
    let context = section.scope.context;
    let own_ca = section.own("ca_file", |text| ca_file(text, &context));
    let settings = ApiSettings {
        source: target.source,
        base_url: Url::parse(&base_url).ok()?,
        login_url: Url::parse(&login_url).ok()?,
        scope,
        token_endpoint: section.get("token_endpoint")?,
        proxy: section.read("proxy", proxy),
        ca_file: own_ca.or_else(|| shared?.settings.ca_file.clone()),
        request_timeout: Duration::ZERO,
        max_response: 0,
    };
    Some(ApiChoice {
        settings: Arc::new(settings),
        cloud: target.cloud,
    })
}

/// Source and cloud. Graph stands for an API that the cloud does not have.
fn read_target(section: &mut Section<'_>) -> Option<ApiTarget> {
    let (source, cloud): (SourceKind, Cloud) = (section.get("source")?, section.get("cloud")?);
    let (source, address) = match source.address(cloud) {
        Some(address) => (source, address),
        None => {
            // Otherwise it was reported where it is chosen.
            if let Some(chooser) = chooser(section) {
                let cloud = cloud.name();
                let what =
                    format!("Microsoft documents no Defender incidents API in the cloud {cloud:?}");
                let remedy = "set source = \"graph\", or another cloud";
                section.refuse(chooser, wrong(what, remedy));
            }
            (SourceKind::Graph, SourceKind::Graph.address(cloud)?)
        }
    };
    Some(ApiTarget {
        source,
        cloud,
        address,
    })
}

/// The address that this section sets, or that of all tenants if source and cloud are the same; otherwise the preset.
fn read_address(
    section: &mut Section<'_>,
    target: &ApiTarget,
    key: AddressKey,
    shared: Option<&ApiChoice>,
    dropped: &mut Vec<&'static str>,
) -> String {
    let name = key.name();
    let parse = match key {
        AddressKey::BaseUrl | AddressKey::LoginUrl => endpoint,
        AddressKey::Scope => scope,
    };
    if let Some(own) = section.own(name, parse) {
        // The intended choice is unknown if it was misspelt.
        let is_known = !section.refused("source") && !section.refused("cloud");
        if let Some(wrong) = target.conflict(key, &own).filter(|_| is_known) {
            section.refuse(name, wrong);
        }
        return own;
    }
    let inherits = shared.is_some_and(|shared| {
        let same_source = key.is_of_cloud() || shared.settings.source == target.source;
        same_source && shared.cloud == target.cloud
    });
    match section.shared(name, parse) {
        Some(set) if inherits => return set,
        // Dropping Microsoft's own address needs no warning.
        Some(set) if conflicts::is_unknown(&set) => dropped.push(name),
        _ => {}
    }
    if !inherits && !section.given(name) {
        section.mean(name, quoted(&target.preset(key)), target.describe(key));
    }
    target.preset(key)
}

/// The key of this section that chose the API, if one did.
fn chooser(section: &Section<'_>) -> Option<&'static str> {
    let mut keys = ["cloud", "source"].into_iter();
    keys.find(|key| section.given(key))
}

/// Scheme and host. Plain http carries tokens in the clear, so it is accepted on loopback only.
fn endpoint(text: &str) -> Result<String, Wrong> {
    let remedy = "give scheme and host only, as in \"https://graph.microsoft.com\" or \"https://login.microsoftonline.com\"";
    let url = bare_url(text, remedy)?;
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(wrong("it names no host", remedy)),
    };
    let plain = "plain http would carry tokens in the clear; it is accepted on loopback only";
    require(url.scheme() != "http" || is_loopback, plain, "use https")?;
    let is_http = matches!(url.scheme(), "http" | "https");
    require(is_http, "its scheme is not https", "use https")?;
    let has_user = !url.username().is_empty() || url.password().is_some();
    require(!has_user, "it holds a user or a password", remedy)?;
    Ok(address(&url))
}

/// A URL that ends behind its host and port.
fn bare_url(text: &str, remedy: &str) -> Result<Url, Wrong> {
    let not_one = |error| wrong(format!("it is not a URL: {error}"), remedy);
    let url = Url::parse(text).map_err(not_one)?;
    let ends = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    require(ends, "it has a path, a query or a fragment", remedy)?;
    Ok(url)
}

fn scope(text: &str) -> Result<String, Wrong> {
    let remedy = "give the API's resource and /.default, for example \"https://graph.microsoft.com/.default\"";
    let resource = text.strip_suffix("/.default").unwrap_or_default();
    require(!resource.is_empty(), "it does not end in /.default", remedy)?;
    require(
        !resource.contains('@'),
        "it holds a user or a password",
        remedy,
    )?;
    let has_spaces = text.contains(|c: char| c.is_whitespace() || c.is_control());
    let is_short = text.len() <= 512;
    require(
        is_short && !has_spaces,
        "it has spaces, or more than 512 bytes",
        remedy,
    )?;
    Ok(text.into())
}

fn proxy(text: &str) -> Result<Url, Wrong> {
    let remedy = "give it as \"http://host:port\"";
    let url = bare_url(text, remedy)?;
    let is_http = matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
    require(is_http, "it is not the URL of an HTTP proxy", remedy)?;
    Ok(url)
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
