//! `[api]`: which API to read, and in which of Microsoft's clouds.
//!
//! Source and cloud, each the tenant's own or that of `[api]`, choose `base_url`, `login_url` and `scope`; what is set
//! explicitly goes before that. A tenant that chooses another source or cloud than `[api]` does not inherit what was set
//! there for that choice: the address of one API is wrong for another, and so is what its tokens are asked for. The token
//! service is the same for both sources of a cloud, so that an explicit `login_url` holds as long as the cloud does.

mod conflicts;

use std::time::Duration;

use url::{Host, Url};

use super::app::Context;
use super::clouds::{self, Cloud, Doubt, Preset};
use super::layers::read_regular;
use super::problems::{Wrong, wrong};
use super::section::ConfigSection;
use super::units::MIB;
use crate::settings::{ApiSettings, CaFile, SourceKind, TokenEndpoint};
use conflicts::Choice;

/// All the context's authorities take a quarter of a megabyte.
const MAX_CA_FILE: u64 = 4 << 20;

/// The settings, and what of them was chosen rather than filled in.
#[derive(Clone)]
pub(super) struct ApiChoice {
    pub settings: ApiSettings,
    cloud: Cloud,
    explicit: Explicit,
}

/// What was set in place of the cloud's own.
#[derive(Clone, Default)]
struct Explicit {
    base_url: Option<Url>,
    login_url: Option<Url>,
    scope: Option<String>,
}

/// The settings of `[api]` when nothing is set.
pub(super) fn defaults() -> Option<ApiChoice> {
    let (cloud, source) = (Cloud::Commercial, SourceKind::default());
    let preset = clouds::preset(cloud, source)?;
    let settings = ApiSettings {
        source,
        base_url: preset.base_url,
        login_url: preset.login_url,
        scope: preset.scope,
        token_endpoint: TokenEndpoint::V2,
        proxy: None,
        ca_file: None,
        request_timeout: Duration::from_secs(30),
        max_response: 64 * MIB as usize,
    };
    Some(ApiChoice {
        settings,
        cloud,
        explicit: Explicit::default(),
    })
}

/// `base` with what this section gives.
pub(super) fn read(
    section: &mut ConfigSection<'_>,
    base: &ApiChoice,
    context: &Context<'_>,
) -> ApiChoice {
    let mut api = base.clone();
    read_place(section, base, &mut api);
    let endpoints = [("v2", TokenEndpoint::V2), ("v1", TokenEndpoint::V1)];
    let settings = &mut api.settings;
    settings.token_endpoint =
        section.choice_or("token_endpoint", settings.token_endpoint, &endpoints);
    if let Some(proxy) = section.parse("proxy", proxy) {
        settings.proxy = Some(proxy);
    }
    if let Some(file) = section.parse("ca_file", |text| ca_file(text, context)) {
        settings.ca_file = Some(file);
    }
    api
}

/// Source, cloud, and the three settings that follow from them.
fn read_place(section: &mut ConfigSection<'_>, base: &ApiChoice, api: &mut ApiChoice) {
    let sources = SourceKind::ALL.map(|source| (source.facts().name, source));
    let source = section.choice_or("source", base.settings.source, &sources);
    api.cloud = section.choice_or("cloud", base.cloud, &clouds::NAMES);
    let own = Explicit {
        base_url: section.parse("base_url", endpoint),
        login_url: section.parse("login_url", endpoint),
        scope: section.parse("scope", scope),
    };
    let Some(preset) = clouds::preset(api.cloud, source) else {
        let blamed = ["cloud", "source"]
            .into_iter()
            .find(|key| section.given(key));
        section.refuse(blamed.unwrap_or("cloud"), no_such_api(api.cloud));
        return;
    };
    api.settings.source = source;
    let choice = Choice {
        source,
        cloud: api.cloud,
        preset,
    };
    choice.refuse_foreign(section, &own);
    choice.warn_of_dropped(section, &own, base);
    choice.note(section, base);
    api.explicit = own.over(base, source, api.cloud);
    if section.given("source") || section.given("cloud") {
        warn_of_doubt(section, api, &choice.preset);
    }
    let (explicit, preset) = (api.explicit.clone(), choice.preset);
    api.settings.base_url = explicit.base_url.unwrap_or(preset.base_url);
    api.settings.login_url = explicit.login_url.unwrap_or(preset.login_url);
    api.settings.scope = explicit.scope.unwrap_or(preset.scope);
}

impl Explicit {
    /// With what of `base` still fits the choice of source and cloud.
    fn over(self, base: &ApiChoice, source: SourceKind, cloud: Cloud) -> Self {
        let same_cloud = cloud == base.cloud;
        let same_api = same_cloud && source == base.settings.source;
        let shared = base.explicit.clone();
        Self {
            base_url: self.base_url.or(shared.base_url.filter(|_| same_api)),
            login_url: self.login_url.or(shared.login_url.filter(|_| same_cloud)),
            scope: self.scope.or(shared.scope.filter(|_| same_api)),
        }
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

fn warn_of_doubt(section: &mut ConfigSection<'_>, api: &ApiChoice, preset: &Preset) {
    let name = api.cloud.name();
    let text = match preset.doubt {
        Some(Doubt::Scope) if api.explicit.scope.is_none() => format!(
            "Microsoft documents no token audience for the cloud {name:?}; {} is used. If tokens are refused, set api.scope",
            preset.scope
        ),
        Some(Doubt::Api) => format!(
            "Microsoft's list of clouds has no security incidents of Graph in {name:?}; they are asked for all the same. If \
             they are refused, there is no API to read in that cloud yet"
        ),
        _ => return,
    };
    let key = ["cloud", "source"]
        .into_iter()
        .find(|key| section.given(key));
    section.warn(key.unwrap_or("cloud"), text);
}

/// Scheme and host. Plain http carries a token in the clear: on loopback only.
fn endpoint(text: &str) -> Result<Url, Wrong> {
    let remedy = "give scheme and host only, as in \"https://graph.microsoft.com\" or \"https://login.microsoftonline.com\"";
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

fn ca_file(text: &str, context: &Context<'_>) -> Result<CaFile, Wrong> {
    let path = context.path(text)?;
    let remedy = "give the path of a PEM file of the authorities to trust beside the system's";
    let pem = read_regular(&path, MAX_CA_FILE)
        .map_err(|error| wrong(format!("it can't be read: {error}"), remedy))?;
    context.checks.authorities(&pem)?;
    let pem = pem.into();
    Ok(CaFile { path, pem })
}
