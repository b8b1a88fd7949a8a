//! `[api]`: which API to read, and in which of Microsoft's clouds.
//!
//! Source and cloud, of the tenant or of `[api]`, choose `base_url`, `login_url` and `scope`; explicit values take
//! precedence. A tenant with another source or cloud than `[api]` does not inherit the explicit values of `[api]`,
//! because address and scope of one API are wrong for another. Both sources of a cloud have the same token service, so
//! an explicit `login_url` is inherited within the same cloud.

mod conflicts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use url::{Host, Url};

use super::layers::read_regular;
use super::problems::{Wrong, wrong};
use super::scope::Context;
use super::section::Section;
use super::values::{address, quoted};
use crate::core::sources::{Cloud, Doubt};
use crate::settings::{ApiSettings, CaFile, SourceKind};
use conflicts::{AddressKey, ApiTarget};

/// The authorities that systems trust take a quarter of a megabyte.
const MAX_CA_FILE: u64 = 4 << 20;

/// The settings, and the choices that they follow from.
#[derive(Clone)]
pub(super) struct ApiChoice {
    pub settings: Arc<ApiSettings>,
    cloud: Cloud,
    /// The addresses that were set instead of the cloud's own.
    explicit: BTreeMap<&'static str, String>,
}

/// Reads a section. `shared`: for a tenant, the settings of all tenants. `None` only if a default can't be read.
pub(super) fn read(section: &mut Section<'_>, shared: Option<&ApiChoice>) -> Option<ApiChoice> {
    let target = read_target(section, shared)?;
    let explicit = read_addresses(section, &target, shared);
    if section.given("source") || section.given("cloud") {
        warn_of_doubt(section, &target, explicit.contains_key("scope"));
    }
    let [base_url, login_url, scope] = AddressKey::ALL.map(|key| {
        let explicit = explicit.get(key.name()).cloned();
        explicit.unwrap_or_else(|| target.preset(key))
    });
    let context = section.scope.context;
    let own_ca = section.own("ca_file", |text| ca_file(text, &context));
    let shared = shared.map(|shared| &shared.settings);
    let settings = ApiSettings {
        source: target.source,
        base_url: Url::parse(&base_url).ok()?,
        login_url: Url::parse(&login_url).ok()?,
        scope,
        token_endpoint: section.get_or("token_endpoint", shared.map(|all| all.token_endpoint))?,
        proxy: section.read_or("proxy", shared.and_then(|all| all.proxy.clone()), proxy),
        ca_file: own_ca.or_else(|| shared?.ca_file.clone()),
        // Keys of [poll], which is read next.
        request_timeout: shared.map_or(Duration::ZERO, |shared| shared.request_timeout),
        max_response: shared.map_or(0, |shared| shared.max_response),
    };
    Some(ApiChoice {
        settings: Arc::new(settings),
        cloud: target.cloud,
        explicit,
    })
}

/// Source and cloud. Graph stands for an API that the cloud does not have.
fn read_target(section: &mut Section<'_>, shared: Option<&ApiChoice>) -> Option<ApiTarget> {
    let source = section.get_or("source", shared.map(|shared| shared.settings.source))?;
    let cloud = section.get_or("cloud", shared.map(|shared| shared.cloud))?;
    let (source, address) = match source.address(cloud) {
        Some(address) => (source, address),
        None => {
            let what = format!(
                "Microsoft documents no Defender incidents API in the cloud {:?}",
                cloud.name()
            );
            let remedy = "set source = \"graph\", or another cloud";
            section.refuse(blamed(section), wrong(what, remedy));
            (SourceKind::Graph, SourceKind::Graph.address(cloud)?)
        }
    };
    Some(ApiTarget {
        source,
        cloud,
        address,
    })
}

/// The addresses that are set, of this section or of `shared`. The values of `shared` hold for the same choice of source
/// and cloud only.
fn read_addresses(
    section: &mut Section<'_>,
    target: &ApiTarget,
    shared: Option<&ApiChoice>,
) -> BTreeMap<&'static str, String> {
    // The intended choice is unknown if it was misspelt.
    let is_known = !section.refused("source") && !section.refused("cloud");
    let (mut own, mut inherited, mut dropped) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for key in AddressKey::ALL {
        let name = key.name();
        let inherits = shared.is_some_and(|shared| {
            let same_source = key.is_of_cloud() || shared.settings.source == target.source;
            same_source && shared.cloud == target.cloud
        });
        if !inherits && !section.given(name) {
            section.mean(name, quoted(&target.preset(key)), target.describe(key));
        }
        let set = shared.and_then(|shared| shared.explicit.get(name));
        let parse = match key {
            AddressKey::BaseUrl | AddressKey::LoginUrl => endpoint,
            AddressKey::Scope => scope,
        };
        if let Some(value) = section.own(name, parse) {
            let host = conflicts::host(&value).filter(|_| is_known);
            if let Some(wrong) = host.and_then(|host| target.conflict(key, &host)) {
                section.refuse(name, wrong);
            }
            own.insert(name, value);
        } else if let Some(set) = set {
            match inherits {
                true => drop(inherited.insert(name, set.clone())),
                false if conflicts::is_unknown(set) => dropped.push(name),
                false => {}
            }
        }
    }
    if !dropped.is_empty() {
        warn_of_dropped(section, target, &own, &dropped);
    }
    inherited.append(&mut own);
    inherited
}

/// Warns if a tenant's choice drops an address that `[api]` sets by hand. Dropping Microsoft's own address needs no
/// warning.
fn warn_of_dropped(
    section: &mut Section<'_>,
    target: &ApiTarget,
    own: &BTreeMap<&str, String>,
    dropped: &[&str],
) {
    let or = |name: &str, preset: &str| own.get(name).map_or(preset.to_owned(), String::clone);
    let text = format!(
        "what [api] sets by hand is not used for a tenant of another source or cloud: {}. This tenant is read at {} with \
         tokens of {}; where that is wrong, set these keys for it, too",
        dropped.join(", "),
        or("base_url", target.address.base_url),
        or("login_url", target.cloud.login_url()),
    );
    let key = match section.given("source") {
        true => "source",
        false => "cloud",
    };
    section.warn(key, text);
}

/// The key that chose the API.
fn blamed(section: &Section<'_>) -> &'static str {
    match section.given("source") && !section.given("cloud") {
        true => "source",
        false => "cloud",
    }
}

fn warn_of_doubt(section: &mut Section<'_>, target: &ApiTarget, has_scope: bool) {
    let name = target.cloud.name();
    let text = match target.address.doubt {
        Some(Doubt::Scope) if !has_scope => format!(
            "Microsoft documents no token audience for the cloud {name:?}; {} is used. If tokens are refused, set api.scope",
            target.address.scope()
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
fn endpoint(text: &str) -> Result<String, Wrong> {
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
    without_path(url, remedy).map(|url| address(&url))
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
