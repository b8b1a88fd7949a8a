//! Addresses that contradict the choice of source and cloud, and those that a tenant's own choice leaves behind.
//!
//! Only hosts that are known to be Microsoft's are judged: a proxy or a test server may stand for anything.

use url::{Host, Url};

use super::super::clouds::{self, Cloud, Doubt, Preset};
use super::super::problems::{Wrong, wrong};
use super::super::section::ConfigSection;
use super::{ApiChoice, Explicit};
use crate::settings::SourceKind;

/// Source and cloud that are in force, and what they come with.
pub(super) struct Choice {
    pub source: SourceKind,
    pub cloud: Cloud,
    pub preset: Preset,
}

impl Choice {
    /// Reports addresses of another source's API, or of another cloud.
    pub fn refuse_foreign(&self, section: &mut ConfigSection<'_>, own: &Explicit) {
        // Who misspelt the choice meant another one.
        if section.refused("source") || section.refused("cloud") {
            return;
        }
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
        if clouds::is_endpoint(host) {
            return Some(
                self.endpoint("is the API of Defender for Endpoint", &self.preset.base_url),
            );
        }
        let served = clouds::apis_at(host);
        let fits = served.contains(&(self.source, self.cloud));
        (!served.is_empty() && !fits).then(|| self.foreign(&served, self.preset.base_url.as_str()))
    }

    /// Where Microsoft documents no audience, that of another cloud may be the right one.
    fn wrong_scope(&self, host: &str) -> Option<Wrong> {
        if clouds::is_endpoint(host) {
            let what = "asks for tokens of Defender for Endpoint";
            return Some(self.endpoint(what, &self.preset.scope));
        }
        if clouds::is_regional(host) {
            let what =
                "names a regional host of the API, and tokens are issued for the API as a whole";
            return Some(wrong(
                format!("it {what}"),
                format!("remove it; then {:?} is used", self.preset.scope),
            ));
        }
        let served = clouds::apis_at(host);
        let any_cloud = self.preset.doubt == Some(Doubt::Scope);
        let fits = |(source, cloud): &(SourceKind, Cloud)| {
            *source == self.source && (any_cloud || *cloud == self.cloud)
        };
        let wrong = !served.is_empty() && !served.iter().any(fits);
        wrong.then(|| self.foreign(&served, &self.preset.scope))
    }

    fn wrong_login(&self, host: &str) -> Option<Wrong> {
        let served = clouds::logins_at(host);
        if served.is_empty() || served.contains(&self.cloud) {
            return None;
        }
        let names: Vec<String> = served
            .iter()
            .map(|cloud| format!("{:?}", cloud.name()))
            .collect();
        let what = format!(
            "it issues tokens for api.cloud = {}, and api.cloud is {:?}",
            names.join(" or "),
            self.cloud.name()
        );
        let login = address(&self.preset.login_url);
        Some(wrong(
            what,
            format!("remove it (then {login:?} is used), or correct api.cloud"),
        ))
    }

    fn foreign(&self, served: &[(SourceKind, Cloud)], fitting: &str) -> Wrong {
        let source = served.first().map_or("", |(source, _)| source.facts().name);
        let clouds: Vec<String> = served
            .iter()
            .map(|(_, cloud)| format!("{:?}", cloud.name()))
            .collect();
        let (own_source, own_cloud) = (self.source.facts().name, self.cloud.name());
        let (what, correct) = match source == own_source {
            false => (
                format!("it belongs to api.source = {source:?}, and api.source is {own_source:?}"),
                "api.source",
            ),
            true => (
                format!(
                    "it belongs to api.cloud = {}, and api.cloud is {own_cloud:?}",
                    clouds.join(" or ")
                ),
                "api.cloud",
            ),
        };
        let fitting = fitting.trim_end_matches('/');
        wrong(
            what,
            format!("remove it (then {fitting:?} is used), or correct {correct}"),
        )
    }

    fn endpoint(&self, what: &str, fitting: &impl ToString) -> Wrong {
        let fitting = fitting.to_string();
        let fitting = fitting.trim_end_matches('/');
        wrong(
            format!("it {what}, which has no incidents of Defender XDR"),
            format!("remove it; then {fitting:?} is used"),
        )
    }

    /// Warns where a tenant's choice leaves behind what `[api]` sets by hand, unless that is Microsoft's own address, which
    /// nobody would expect to serve both.
    pub fn warn_of_dropped(
        &self,
        section: &mut ConfigSection<'_>,
        own: &Explicit,
        base: &ApiChoice,
    ) {
        let unknown =
            |host: &String| clouds::apis_at(host).is_empty() && clouds::logins_at(host).is_empty();
        let explicit = &base.explicit;
        let dropped_url = |own: &Option<Url>, shared: &Option<Url>| {
            own.is_none()
                && shared
                    .as_ref()
                    .and_then(host)
                    .is_some_and(|host| unknown(&host))
        };
        let scope = explicit.scope.as_deref();
        let dropped_scope = own.scope.is_none()
            && scope.is_some_and(|scope| host_of_scope(scope).as_ref().is_none_or(unknown));
        let (same_api, same_cloud) = self.same_as(base);
        let dropped: Vec<&str> = [
            (
                "base_url",
                !same_api && dropped_url(&own.base_url, &explicit.base_url),
            ),
            (
                "login_url",
                !same_cloud && dropped_url(&own.login_url, &explicit.login_url),
            ),
            ("scope", !same_api && dropped_scope),
        ]
        .into_iter()
        .filter_map(|(key, dropped)| dropped.then_some(key))
        .collect();
        if dropped.is_empty() {
            return;
        }
        let key = if section.given("source") {
            "source"
        } else {
            "cloud"
        };
        let text = format!(
            "what [api] sets by hand is not used for a tenant of another source or cloud: {}. This tenant is read at {} with \
             tokens of {}; where that is wrong, set these keys for it, too",
            dropped.join(", "),
            address(own.base_url.as_ref().unwrap_or(&self.preset.base_url)),
            address(own.login_url.as_ref().unwrap_or(&self.preset.login_url)),
        );
        section.warn(key, text);
    }

    /// Notes what follows from the choice, where it is not that of `base` again.
    pub fn note(&self, section: &mut ConfigSection<'_>, base: &ApiChoice) {
        let (same_api, same_cloud) = match section.is_tenant() {
            true => self.same_as(base),
            false => (false, false),
        };
        let cloud = format!("cloud {:?}", self.cloud.name());
        let api = format!("source {:?}, {cloud}", self.source.facts().name);
        if !same_api && !section.given("base_url") {
            section.derive("base_url", &self.preset.base_url, api.clone());
        }
        if !same_cloud && !section.given("login_url") {
            section.derive("login_url", &self.preset.login_url, cloud);
        }
        if !same_api && !section.given("scope") {
            section.derive("scope", &self.preset.scope.to_owned(), api);
        }
    }

    fn same_as(&self, base: &ApiChoice) -> (bool, bool) {
        let same_cloud = self.cloud == base.cloud;
        (
            same_cloud && self.source == base.settings.source,
            same_cloud,
        )
    }
}

/// A URL without the path that it has by itself.
fn address(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

fn host(url: &Url) -> Option<String> {
    match url.host()? {
        // A name may end in a dot, which says that it is whole.
        Host::Domain(name) => Some(name.trim_end_matches('.').to_lowercase()),
        Host::Ipv4(_) | Host::Ipv6(_) => Some(String::new()),
    }
}

/// `None` for scopes that name the API by its id.
fn host_of_scope(scope: &str) -> Option<String> {
    let resource = scope.strip_suffix("/.default")?;
    host(&Url::parse(resource).ok()?)
}
