//! Addresses that follow from source and cloud, and addresses that contradict them.
//!
//! Only hosts that are known to be Microsoft's are checked: a proxy or a test server may serve any API.

use url::{Host, Url};

use crate::config::clouds;
use crate::config::problems::{Wrong, wrong};
use crate::core::sources::{Address, Cloud, Doubt};
use crate::settings::SourceKind;

/// The source and the cloud in force, and Microsoft's address of the API.
pub(super) struct ApiTarget {
    pub source: SourceKind,
    pub cloud: Cloud,
    pub address: &'static Address,
}

/// A key whose value follows from source and cloud, unless it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressKey {
    BaseUrl,
    LoginUrl,
    Scope,
}

impl AddressKey {
    pub const ALL: [Self; 3] = [Self::BaseUrl, Self::LoginUrl, Self::Scope];

    pub fn name(self) -> &'static str {
        match self {
            Self::BaseUrl => "base_url",
            Self::LoginUrl => "login_url",
            Self::Scope => "scope",
        }
    }

    /// Whether both sources of a cloud have the same value.
    pub fn is_of_cloud(self) -> bool {
        self == Self::LoginUrl
    }
}

impl ApiTarget {
    /// Microsoft's own value of a key.
    pub fn preset(&self, key: AddressKey) -> String {
        match key {
            AddressKey::BaseUrl => self.address.base_url.into(),
            AddressKey::LoginUrl => self.cloud.login_url().into(),
            AddressKey::Scope => self.address.scope(),
        }
    }

    /// The choice that a key's value follows from.
    pub fn describe(&self, key: AddressKey) -> String {
        let cloud = format!("cloud {:?}", self.cloud.name());
        match key.is_of_cloud() {
            true => format!("from {cloud}"),
            false => format!("from source {:?}, {cloud}", self.source.facts().name),
        }
    }

    /// What Microsoft does not document about this API.
    pub fn doubt(&self, has_scope: bool) -> Option<String> {
        let name = self.cloud.name();
        match self.address.doubt? {
            Doubt::Scope if has_scope => None,
            Doubt::Scope => Some(format!(
                "Microsoft documents no token audience for the cloud {name:?}; {} is used. If tokens are refused, set api.scope",
                self.address.scope()
            )),
            Doubt::Api => Some(format!(
                "Microsoft's list of clouds has no security incidents of Graph in {name:?}; they are asked for all the same. If \
                 they are refused, there is no API to read in that cloud yet"
            )),
        }
    }

    /// What is wrong with a value at a host of another source's API, or of another cloud.
    pub fn conflict(&self, key: AddressKey, value: &str) -> Option<Wrong> {
        let (host, fitting) = (&host(value)?, self.preset(key));
        let no_api = match key {
            AddressKey::BaseUrl if clouds::is_endpoint(host) => {
                "it is the API of Defender for Endpoint, which has no incidents of Defender XDR"
            }
            AddressKey::Scope if clouds::is_endpoint(host) => {
                "it asks for tokens of Defender for Endpoint, which has no incidents of Defender XDR"
            }
            AddressKey::Scope if clouds::is_regional(host) => {
                "it names a regional host of the API, and tokens are issued for the API as a whole"
            }
            _ => "",
        };
        if !no_api.is_empty() {
            return Some(wrong(
                no_api,
                format!("remove it; then {fitting:?} is used"),
            ));
        }
        let (serves, served) = match key.is_of_cloud() {
            true => ("it issues tokens for", clouds::logins_at(host, self.source)),
            false => ("it belongs to", clouds::apis_at(host)),
        };
        // Where Microsoft documents no audience, the one of another cloud is accepted.
        let any_cloud = key == AddressKey::Scope && self.address.doubt == Some(Doubt::Scope);
        let fits = |(source, cloud): &(SourceKind, Cloud)| {
            *source == self.source && (any_cloud || *cloud == self.cloud)
        };
        let (source, _) = served.first()?;
        if served.iter().any(fits) {
            return None;
        }
        let (blamed, other, own) = match *source == self.source {
            false => {
                let other = format!("{:?}", source.facts().name);
                ("api.source", other, self.source.facts().name)
            }
            true => {
                let names = served
                    .iter()
                    .map(|(_, cloud)| format!("{:?}", cloud.name()));
                let names: Vec<String> = names.collect();
                ("api.cloud", names.join(" or "), self.cloud.name())
            }
        };
        Some(wrong(
            format!("{serves} {blamed} = {other}, and {blamed} is {own:?}"),
            format!("remove it (then {fitting:?} is used), or correct {blamed}"),
        ))
    }
}

/// The host of an address or of a scope. `None` for scopes that name the API by its id.
fn host(text: &str) -> Option<String> {
    let url = text.strip_suffix("/.default").unwrap_or(text);
    match Url::parse(url).ok()?.host()? {
        // A fully qualified name may end in a dot.
        Host::Domain(name) => Some(name.trim_end_matches('.').to_lowercase()),
        Host::Ipv4(_) | Host::Ipv6(_) => Some(String::new()),
    }
}

/// Whether an address or a scope is none of Microsoft's.
pub(super) fn is_unknown(text: &str) -> bool {
    host(text).is_none_or(|host| {
        clouds::apis_at(&host).is_empty() && clouds::logins_at(&host, SourceKind::Graph).is_empty()
    })
}
