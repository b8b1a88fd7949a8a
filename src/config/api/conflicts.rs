//! Addresses that contradict the choice of source and cloud.
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

impl ApiTarget {
    /// The choice that an address follows from.
    pub fn describe(&self, of_cloud: bool) -> String {
        let cloud = format!("cloud {:?}", self.cloud.name());
        match of_cloud {
            true => format!("from {cloud}"),
            false => format!("from source {:?}, {cloud}", self.source.facts().name),
        }
    }

    pub fn wrong_api(&self, host: &str) -> Option<Wrong> {
        let fitting = self.address.base_url;
        if clouds::is_endpoint(host) {
            return Some(endpoint("is the API of", fitting));
        }
        let served = clouds::apis_at(host);
        let fits = served.is_empty() || served.contains(&(self.source, self.cloud));
        (!fits).then(|| self.foreign(&served, fitting))
    }

    /// Where Microsoft documents no audience, the one of another cloud is accepted.
    pub fn wrong_scope(&self, host: &str) -> Option<Wrong> {
        let fitting = self.address.scope();
        let fitting = fitting.as_str();
        if clouds::is_endpoint(host) {
            return Some(endpoint("asks for tokens of", fitting));
        }
        if clouds::is_regional(host) {
            let what =
                "it names a regional host of the API, and tokens are issued for the API as a whole";
            return Some(wrong(what, format!("remove it; then {fitting:?} is used")));
        }
        let served = clouds::apis_at(host);
        let any_cloud = self.address.doubt == Some(Doubt::Scope);
        let fits = |(source, cloud): &(SourceKind, Cloud)| {
            *source == self.source && (any_cloud || *cloud == self.cloud)
        };
        let fits = served.is_empty() || served.iter().any(fits);
        (!fits).then(|| self.foreign(&served, fitting))
    }

    pub fn wrong_login(&self, host: &str) -> Option<Wrong> {
        let served = clouds::logins_at(host);
        let fits = served.is_empty() || served.contains(&self.cloud);
        let what = format!(
            "it issues tokens for api.cloud = {}, and api.cloud is {:?}",
            any_of(served),
            self.cloud.name()
        );
        (!fits).then(|| or_correct(what, self.cloud.login_url(), "api.cloud"))
    }

    fn foreign(&self, served: &[(SourceKind, Cloud)], fitting: &str) -> Wrong {
        let source = served.first().map_or("", |(source, _)| source.facts().name);
        let own = self.source.facts().name;
        if source != own {
            let what = format!("it belongs to api.source = {source:?}, and api.source is {own:?}");
            return or_correct(what, fitting, "api.source");
        }
        let what = format!(
            "it belongs to api.cloud = {}, and api.cloud is {:?}",
            any_of(served.iter().map(|(_, cloud)| *cloud)),
            self.cloud.name()
        );
        or_correct(what, fitting, "api.cloud")
    }
}

fn any_of(clouds: impl IntoIterator<Item = Cloud>) -> String {
    let names = clouds
        .into_iter()
        .map(|cloud| format!("{:?}", cloud.name()));
    names.collect::<Vec<_>>().join(" or ")
}

fn or_correct(what: String, fitting: &str, key: &str) -> Wrong {
    wrong(
        what,
        format!("remove it (then {fitting:?} is used), or correct {key}"),
    )
}

fn endpoint(what: &str, fitting: &str) -> Wrong {
    wrong(
        format!("it {what} Defender for Endpoint, which has no incidents of Defender XDR"),
        format!("remove it; then {fitting:?} is used"),
    )
}

/// The host of an address or of a scope. `None` for scopes that name the API by its id.
pub(super) fn host(text: &str) -> Option<String> {
    let url = text.strip_suffix("/.default").unwrap_or(text);
    match Url::parse(url).ok()?.host()? {
        // A fully qualified name may end in a dot.
        Host::Domain(name) => Some(name.trim_end_matches('.').to_lowercase()),
        Host::Ipv4(_) | Host::Ipv6(_) => Some(String::new()),
    }
}

/// Whether an address or a scope is none of Microsoft's.
pub(super) fn is_unknown(text: &str) -> bool {
    host(text)
        .is_none_or(|host| clouds::apis_at(&host).is_empty() && clouds::logins_at(&host).is_empty())
}
