//! Addresses that contradict the choice of source and cloud, and addresses that a tenant does not inherit because of
//! its own choice.
//!
//! Only hosts that are known to be Microsoft's are checked: a proxy or a test server may serve any API.

use url::{Host, Url};

use super::super::clouds::{self, Cloud, Doubt, Preset};
use super::super::problems::{Wrong, wrong};
use super::super::section::ConfigSection;
use super::{ApiChoice, Explicit};
use crate::settings::SourceKind;

/// The source and the cloud in force, and their addresses.
pub(super) struct ApiTarget {
    pub source: SourceKind,
    pub cloud: Cloud,
    pub preset: Preset,
}

impl ApiTarget {
    pub fn check(
        &self,
        section: &mut ConfigSection<'_>,
        own: &Explicit,
        shared: Option<&ApiChoice>,
    ) {
        // The intended choice is unknown if it was misspelt.
        if !section.refused("source") && !section.refused("cloud") {
            self.refuse_foreign(section, own);
        }
        if let Some(shared) = shared {
            self.warn_of_dropped(section, own, shared);
        }
        self.note(section, shared);
    }

    /// Whether API and cloud are the same as those of all tenants.
    pub fn same_as(&self, shared: Option<&ApiChoice>) -> (bool, bool) {
        let same_cloud = shared.is_some_and(|shared| shared.cloud == self.cloud);
        let same_source = shared.is_some_and(|shared| shared.settings.source == self.source);
        (same_cloud && same_source, same_cloud)
    }

    /// Reports addresses of another source's API, or of another cloud.
    fn refuse_foreign(&self, section: &mut ConfigSection<'_>, own: &Explicit) {
        let base = own.base_url.as_ref().and_then(host);
        let login = own.login_url.as_ref().and_then(host);
        let scope = own.scope.as_deref().and_then(host_of_scope);
        let found = [
            ("base_url", base.and_then(|host| self.wrong_api(&host))),
            ("login_url", login.and_then(|host| self.wrong_login(&host))),
            ("scope", scope.and_then(|host| self.wrong_scope(&host))),
        ];
        for (key, wrong) in found {
            if let Some(wrong) = wrong {
                section.refuse(key, wrong);
            }
        }
    }

    fn wrong_api(&self, host: &str) -> Option<Wrong> {
        let fitting = address(&self.preset.base_url);
        if clouds::is_endpoint(host) {
            return Some(endpoint("is the API of", fitting));
        }
        let served = clouds::apis_at(host);
        let fits = served.is_empty() || served.contains(&(self.source, self.cloud));
        (!fits).then(|| self.foreign(&served, fitting))
    }

    /// Where Microsoft documents no audience, the one of another cloud is accepted.
    fn wrong_scope(&self, host: &str) -> Option<Wrong> {
        let fitting = self.preset.scope.as_str();
        if clouds::is_endpoint(host) {
            return Some(endpoint("asks for tokens of", fitting));
        }
        if clouds::is_regional(host) {
            let what =
                "it names a regional host of the API, and tokens are issued for the API as a whole";
            return Some(wrong(what, format!("remove it; then {fitting:?} is used")));
        }
        let served = clouds::apis_at(host);
        let any_cloud = self.preset.doubt == Some(Doubt::Scope);
        let fits = |(source, cloud): &(SourceKind, Cloud)| {
            *source == self.source && (any_cloud || *cloud == self.cloud)
        };
        let fits = served.is_empty() || served.iter().any(fits);
        (!fits).then(|| self.foreign(&served, fitting))
    }

    fn wrong_login(&self, host: &str) -> Option<Wrong> {
        let served = clouds::logins_at(host);
        let fits = served.is_empty() || served.contains(&self.cloud);
        let what = format!(
            "it issues tokens for api.cloud = {}, and api.cloud is {:?}",
            any_of(served),
            self.cloud.name()
        );
        (!fits).then(|| or_correct(what, address(&self.preset.login_url), "api.cloud"))
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

    /// Warns if a tenant's choice drops an explicit address of `[api]`. Dropping Microsoft's own address needs no
    /// warning.
    fn warn_of_dropped(&self, section: &mut ConfigSection<'_>, own: &Explicit, shared: &ApiChoice) {
        let unknown =
            |host: &String| clouds::apis_at(host).is_empty() && clouds::logins_at(host).is_empty();
        let by_hand = |url: &Option<Url>| url.as_ref().and_then(host).as_ref().is_some_and(unknown);
        let set = &shared.explicit;
        let scope_by_hand = |scope: &String| host_of_scope(scope).as_ref().is_none_or(unknown);
        let (same_api, same_cloud) = self.same_as(Some(shared));
        let dropped: Vec<&str> = [
            (
                "base_url",
                !same_api && own.base_url.is_none() && by_hand(&set.base_url),
            ),
            (
                "login_url",
                !same_cloud && own.login_url.is_none() && by_hand(&set.login_url),
            ),
            (
                "scope",
                !same_api && own.scope.is_none() && set.scope.as_ref().is_some_and(scope_by_hand),
            ),
        ]
        .into_iter()
        .filter_map(|(key, dropped)| dropped.then_some(key))
        .collect();
        if dropped.is_empty() {
            return;
        }
        let text = format!(
            "what [api] sets by hand is not used for a tenant of another source or cloud: {}. This tenant is read at {} with \
             tokens of {}; where that is wrong, set these keys for it, too",
            dropped.join(", "),
            address(own.base_url.as_ref().unwrap_or(&self.preset.base_url)),
            address(own.login_url.as_ref().unwrap_or(&self.preset.login_url)),
        );
        let key = if section.given("source") {
            "source"
        } else {
            "cloud"
        };
        section.warn(key, text);
    }

    /// Notes the addresses that follow from the choice, if they differ from those of all tenants.
    fn note(&self, section: &mut ConfigSection<'_>, shared: Option<&ApiChoice>) {
        let (same_api, same_cloud) = self.same_as(shared);
        let cloud = format!("cloud {:?}", self.cloud.name());
        let api = format!("source {:?}, {cloud}", self.source.facts().name);
        if !same_api && !section.given("base_url") {
            section.derive("base_url", &self.preset.base_url, api.clone());
        }
        if !same_cloud && !section.given("login_url") {
            section.derive("login_url", &self.preset.login_url, cloud);
        }
        if !same_api && !section.given("scope") {
            section.derive("scope", &self.preset.scope, api);
        }
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

/// A URL without its path, which is `/`.
fn address(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

fn host(url: &Url) -> Option<String> {
    match url.host()? {
        // A fully qualified name may end in a dot.
        Host::Domain(name) => Some(name.trim_end_matches('.').to_lowercase()),
        Host::Ipv4(_) | Host::Ipv6(_) => Some(String::new()),
    }
}

/// `None` for scopes that name the API by its id.
fn host_of_scope(scope: &str) -> Option<String> {
    let resource = scope.strip_suffix("/.default")?;
    host(&Url::parse(resource).ok()?)
}
