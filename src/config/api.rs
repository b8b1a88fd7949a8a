//! `[api]`: which API to read, and in which of Microsoft's clouds.

use std::time::Duration;

use url::{Host, Url};

use super::app::World;
use super::problems::{Wrong, wrong};
use super::section::Section;
use super::settings::{ApiSettings, SourceKind, TokenEndpoint};
use super::units::MIB;

/// What Microsoft documents for a cloud ("Supported Microsoft Defender XDR APIs", "Microsoft Defender for US Government
/// customers"). Three facts and not one: the commercial login serves GCC too, and a regional API host is no audience.
struct Cloud {
    name: &'static str,
    base_url: &'static str,
    login_url: &'static str,
    scope: &'static str,
    /// Microsoft documents no audience for the government clouds; the API's own host is what others use.
    scope_documented: bool,
}

const COMMERCIAL: Cloud = Cloud {
    name: "commercial",
    base_url: "https://api.security.microsoft.com",
    login_url: "https://login.microsoftonline.com",
    scope: "https://api.security.microsoft.com/.default",
    scope_documented: true,
};

const GCC: Cloud = Cloud {
    name: "gcc",
    base_url: "https://api-gcc.security.microsoft.us",
    login_url: "https://login.microsoftonline.com",
    scope: "https://api-gcc.security.microsoft.us/.default",
    scope_documented: false,
};

const GCC_HIGH: Cloud = Cloud {
    name: "gcc-high",
    base_url: "https://api-gov.security.microsoft.us",
    login_url: "https://login.microsoftonline.us",
    scope: "https://api-gov.security.microsoft.us/.default",
    scope_documented: false,
};

const DOD: Cloud = Cloud {
    name: "dod",
    ..GCC_HIGH
};

impl Cloud {
    fn urls(&self) -> Result<(Url, Url), url::ParseError> {
        Ok((Url::parse(self.base_url)?, Url::parse(self.login_url)?))
    }
}

/// The settings of `[api]` when nothing is set.
pub(super) fn defaults() -> Result<ApiSettings, url::ParseError> {
    let (base_url, login_url) = COMMERCIAL.urls()?;
    Ok(ApiSettings {
        source: SourceKind::Defender,
        base_url,
        login_url,
        scope: COMMERCIAL.scope.into(),
        token_endpoint: TokenEndpoint::V2,
        proxy: None,
        ca_file: None,
        request_timeout: Duration::from_secs(30),
        max_response: 64 * MIB as usize,
    })
}

/// `base` with what this section gives. A cloud brings its own three settings, so that a tenant in another cloud needs
/// but its name.
pub(super) fn read(
    section: &mut Section<'_>,
    base: &ApiSettings,
    world: &World<'_>,
) -> ApiSettings {
    let mut api = base.clone();
    if let Some(source) = section.parse("source", source) {
        api.source = source;
    }
    let cloud = section.parse("cloud", cloud);
    if let Some((cloud, (base_url, login_url))) = &cloud {
        api.base_url = base_url.clone();
        api.login_url = login_url.clone();
        api.scope = cloud.scope.into();
    }
    if let Some(url) = section.parse("base_url", endpoint) {
        api.base_url = url;
    }
    if let Some(url) = section.parse("login_url", endpoint) {
        api.login_url = url;
    }
    if let Some(scope) = section.parse("scope", scope) {
        api.scope = scope;
    }
    if let Some((cloud, _)) = cloud.filter(|(cloud, _)| !cloud.scope_documented)
        && !section.given("scope")
    {
        section.warn("cloud", undocumented_scope(cloud));
    }
    let endpoints = [("v2", TokenEndpoint::V2), ("v1", TokenEndpoint::V1)];
    if let Some(endpoint) = section.choice("token_endpoint", &endpoints) {
        api.token_endpoint = endpoint;
    }
    if let Some(proxy) = section.parse("proxy", proxy) {
        api.proxy = Some(proxy);
    }
    if let Some(file) = section.parse("ca_file", |text| ca_file(text, world)) {
        api.ca_file = Some(file);
    }
    api
}

fn undocumented_scope(cloud: &Cloud) -> String {
    format!(
        "Microsoft documents no token audience for the cloud {:?}; {} is used. If tokens are refused, set api.scope",
        cloud.name, cloud.scope
    )
}

fn source(text: &str) -> Result<SourceKind, Wrong> {
    match text {
        "defender" => Ok(SourceKind::Defender),
        _ => Err(wrong(
            "this version reads \"defender\" only",
            "set it to \"defender\", or leave it out",
        )),
    }
}

fn cloud(text: &str) -> Result<(&'static Cloud, (Url, Url)), Wrong> {
    let clouds = [&COMMERCIAL, &GCC, &GCC_HIGH, &DOD];
    let remedy = "choose \"commercial\", \"gcc\", \"gcc-high\" or \"dod\"";
    if text == "china" {
        return Err(wrong(
            "Microsoft documents no Defender incidents API in that cloud",
            remedy,
        ));
    }
    let found = clouds.into_iter().find(|cloud| cloud.name == text);
    let with_urls = found.and_then(|cloud| Some((cloud, cloud.urls().ok()?)));
    with_urls.ok_or_else(|| wrong("there is no such cloud", remedy))
}

/// Scheme and host. Plain http carries a token in the clear: on loopback only.
fn endpoint(text: &str) -> Result<Url, Wrong> {
    let remedy = "give scheme and host only, as in \"https://api.security.microsoft.com\" or \"https://login.microsoftonline.com\"";
    let url =
        Url::parse(text).map_err(|error| wrong(format!("it is not a URL: {error}"), remedy))?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(wrong("it names no host", remedy)),
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => {
            let what =
                "plain http would carry tokens in the clear; it is accepted on loopback only";
            return Err(wrong(what, "use https"));
        }
        _ => return Err(wrong("its scheme is not https", "use https")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it holds a user or a password", remedy));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it has a path, a query or a fragment", remedy));
    }
    Ok(url)
}

fn scope(text: &str) -> Result<String, Wrong> {
    let remedy = "give the API's resource and /.default, for example \"https://api.security.microsoft.com/.default\"";
    match text.strip_suffix("/.default") {
        None | Some("") => Err(wrong("it does not end in /.default", remedy)),
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
    let url =
        Url::parse(text).map_err(|error| wrong(format!("it is not a URL: {error}"), remedy))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("it is not the URL of an HTTP proxy", remedy));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it has a path, a query or a fragment", remedy));
    }
    Ok(url)
}

fn ca_file(text: &str, world: &World<'_>) -> Result<std::path::PathBuf, Wrong> {
    let path = world.path(text)?;
    let remedy = "give the path of a PEM file of the authorities to trust beside the system's";
    match std::fs::File::open(&path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => Ok(path),
        Ok(_) => Err(wrong("it is not a regular file", remedy)),
        Err(error) => Err(wrong(format!("it can't be read: {error}"), remedy)),
    }
}
