//! Examines a token before its first use.
//!
//! Entra issues app-only tokens without any role, and (v1) for the wrong API, without an error. Clients must not rely
//! on the format of other APIs' tokens ("Access tokens in the Microsoft identity platform"), so an unreadable token
//! passes: the API decides.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use url::Url;
use uuid::Uuid;

use super::super::jwt;
use super::super::scrub::scrub_all;
use crate::core::health::failure::{Failure, Health, Reaction, one_line};
use crate::core::ids::TenantId;
use crate::core::sources::{Permission, SourceKind};
use crate::core::time::ticks::Ticks;
use crate::ports::Grant;

/// APIs without incidents for which tokens are requested by mistake.
const WITHOUT_INCIDENTS: [(&str, &str); 2] = [
    (
        "00000002-0000-0000-c000-000000000000",
        "Azure AD Graph, which the v1 endpoint takes when no resource is named",
    ),
    ("fc780465-2017-40d4-a0c5-307022471b92", "WindowsDefenderATP"),
];

/// The name of the API with this app id. An unknown app id as audience passes, because those of the national clouds are
/// not documented.
fn known_api(id: &str) -> Option<&'static str> {
    let with_incidents = SourceKind::ALL.into_iter().flat_map(|source| {
        let permission = &source.facts().permission;
        let ids = permission.app_ids.iter();
        ids.map(|id| (*id, permission.api))
    });
    let mut known = with_incidents.chain(WITHOUT_INCIDENTS);
    known
        .find(|(known, _)| known.eq_ignore_ascii_case(id))
        .map(|(_, name)| name)
}

/// Longest text of a claim that is shown, in characters.
const CLAIM_MOST: usize = 200;
/// The most claims and roles that are shown. Real tokens have about twenty.
const MANY: usize = 500;

/// The content of a token, safe to show. None of it was verified.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    /// Values of `roles`: the application permissions that the app has in the tenant.
    pub roles: Vec<String>,
    /// All other claims by name: texts, numbers, lists in one line.
    others: BTreeMap<String, String>,
}

impl Claims {
    fn of(claims: &Map<String, Value>, secrets: &[&str]) -> Self {
        let shown = |text: &str| one_line(&scrub_all(text, secrets), CLAIM_MOST);
        let text = |value: &Value| match value {
            Value::String(text) => shown(text),
            other => shown(&other.to_string()),
        };
        let others = claims.iter().filter(|(name, _)| *name != "roles");
        Self {
            roles: held(claims).map(shown).take(MANY).collect(),
            others: others
                .map(|(name, value)| (shown(name), text(value)))
                .take(MANY)
                .collect(),
        }
    }

    /// The claim of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.others.get(name).map(String::as_str)
    }

    /// A claim that is an instant, in seconds since 1970.
    pub fn instant(&self, name: &str) -> Option<Ticks> {
        self.get(name)?.parse().ok().map(Ticks::from_unix_seconds)
    }

    /// All claims but `roles`, by name.
    pub fn others(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.others.iter();
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The roles in a token.
fn held(claims: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let roles = claims.get("roles").and_then(Value::as_array);
    roles.into_iter().flatten().filter_map(Value::as_str)
}

/// A token as issued, usable or not.
#[derive(Debug)]
pub struct IssuedToken {
    pub grant: Grant,
    /// `None`: the token can't be read, which is not an error.
    pub claims: Option<Claims>,
    /// Why the token can't be used. `None`: it can.
    pub unfit: Option<Failure>,
}

impl IssuedToken {
    pub(super) fn fit(self) -> Result<Grant, Failure> {
        self.unfit.map_or(Ok(self.grant), Err)
    }
}

/// What a token must contain.
pub(super) struct TokenExpectation {
    pub(super) tenant: TenantId,
    pub(super) resource: String,
    pub(super) permission: Permission,
    pub(super) consent_remedy: String,
    /// What to do about a token of another tenant.
    pub(super) tenant_remedy: &'static str,
}

/// The result of examining a token.
pub(super) struct TokenExamination {
    /// `None`: it can't be read.
    pub(super) claims: Option<Claims>,
    pub(super) verdict: Result<(), Failure>,
}

impl TokenExpectation {
    /// Examines `token`. `secrets` must not be shown, even if the token repeats them.
    ///
    /// A token for another API or tenant is `misconfigured`; one without the permission is `consent`.
    pub(super) fn examine(&self, token: &str, secrets: &[&str]) -> TokenExamination {
        match jwt::claims(token) {
            None => TokenExamination {
                claims: None,
                verdict: Ok(()),
            },
            Some(claims) => TokenExamination {
                verdict: self.judge(&claims, secrets),
                claims: Some(Claims::of(&claims, secrets)),
            },
        }
    }

    fn judge(&self, claims: &Map<String, Value>, secrets: &[&str]) -> Result<(), Failure> {
        if let Some(audience) = claims.get("aud").and_then(Value::as_str) {
            self.check_audience(audience, secrets)?;
        }
        if let Some(tenant) = claims.get("tid").and_then(Value::as_str) {
            self.check_tenant(tenant, secrets)?;
        }
        self.check_roles(claims, secrets)
    }

    fn check_audience(&self, audience: &str, secrets: &[&str]) -> Result<(), Failure> {
        let guid = audience.strip_prefix("api://").unwrap_or(audience);
        let ours = same_resource(audience, &self.resource)
            || self
                .permission
                .app_ids
                .iter()
                .any(|id| id.eq_ignore_ascii_case(guid));
        let other = known_api(guid);
        if ours || (other.is_none() && Uuid::try_parse(guid).is_ok()) {
            return Ok(());
        }
        let audience = one_line(&scrub_all(audience, secrets), 120);
        let name = other.map(|name| format!(" ({name})")).unwrap_or_default();
        Err(misconfigured(
            format!(
                "the token is for {audience}{name}, not for {}",
                self.resource
            ),
            "check api.scope: it names the API that the token is for, and ends in /.default",
        )
        .caused_by(format!("token not for {}", self.resource)))
    }

    fn check_tenant(&self, tenant: &str, secrets: &[&str]) -> Result<(), Failure> {
        if tenant.eq_ignore_ascii_case(&self.tenant.to_string()) {
            return Ok(());
        }
        Err(misconfigured(
            format!(
                "the token is for the tenant {}, not for {}",
                one_line(&scrub_all(tenant, secrets), 60),
                self.tenant
            ),
            self.tenant_remedy,
        ))
    }

    fn check_roles(&self, claims: &Map<String, Value>, secrets: &[&str]) -> Result<(), Failure> {
        let held: Vec<&str> = held(claims).collect();
        if held.iter().any(|role| self.permission.roles.contains(role)) {
            return Ok(());
        }
        let held = match held.as_slice() {
            [] => "it has none".to_owned(),
            roles => format!(
                "it has {}",
                one_line(&scrub_all(&roles.join(", "), secrets), 120)
            ),
        };
        Err(Failure::new(
            Health::Consent,
            Reaction::Slow,
            format!(
                "the app lacks the permission {} of \"{}\" in the tenant ({held})",
                self.permission.wanted(),
                self.permission.api,
            ),
            &self.consent_remedy,
        )
        .caused_by(format!("token without {}", self.permission.wanted())))
    }
}

fn misconfigured(what: String, remedy: &str) -> Failure {
    Failure::new(Health::Misconfigured, Reaction::Slow, what, remedy)
}

/// Whether two resource names are the same. A trailing slash and the case of a host don't matter.
fn same_resource(one: &str, other: &str) -> bool {
    let normal = |text: &str| {
        let text = text.trim_end_matches('/');
        Url::parse(text).map_or_else(
            |_| text.to_owned(),
            |url| url.as_str().trim_end_matches('/').to_owned(),
        )
    };
    normal(one) == normal(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::microsoft::tests::support::{TENANT, jwt};
    use proptest::prelude::*;
    use serde_json::json;

    const RESOURCE: &str = "https://api.security.microsoft.com";

    fn expected() -> TokenExpectation {
        TokenExpectation {
            tenant: TENANT.parse().unwrap(),
            resource: RESOURCE.to_owned(),
            permission: SourceKind::Defender.facts().permission,
            consent_remedy: "consent here".to_owned(),
            tenant_remedy: "check the tenant's id and api.login_url",
        }
    }

    fn verdict(token: &str) -> Result<(), Failure> {
        expected().examine(token, &[]).verdict
    }

    fn check(aud: &str, tid: &str, roles: &[&str]) -> Result<(), Failure> {
        verdict(&jwt(&json!({"aud": aud, "tid": tid, "roles": roles})))
    }

    #[test]
    fn a_fit_token_passes_however_its_audience_is_written() {
        for aud in [
            RESOURCE,
            "https://api.security.microsoft.com/",
            "https://API.security.microsoft.com",
            "8ee8fdad-f234-4243-8f3b-15c294843740",
            "8EE8FDAD-F234-4243-8F3B-15C294843740",
            "api://8ee8fdad-f234-4243-8f3b-15c294843740",
            "99999999-9999-9999-9999-999999999999",
        ] {
            assert_eq!(check(aud, TENANT, &["Incident.Read.All"]), Ok(()), "{aud}");
        }
        assert_eq!(
            check(
                RESOURCE,
                &TENANT.to_uppercase(),
                &["X", "Incident.ReadWrite.All"]
            ),
            Ok(())
        );
    }

    #[test]
    fn a_token_for_another_api_names_it() {
        for aud in [
            "https://api.securitycenter.microsoft.com",
            "https://api.security.microsoft.com.evil.example",
            "https://graph.microsoft.com",
            "00000002-0000-0000-c000-000000000000",
            "fc780465-2017-40d4-a0c5-307022471b92",
            "api://fc780465-2017-40d4-a0c5-307022471b92",
            "",
        ] {
            let failure = check(aud, TENANT, &["Incident.Read.All"]).expect_err(aud);
            assert_eq!(failure.health, Health::Misconfigured, "{aud}");
            assert!(
                failure.what.contains(aud) && failure.what.contains(RESOURCE),
                "{failure:?}"
            );
        }
    }

    #[test]
    fn a_graph_token_is_fit_for_graph_and_a_defender_token_is_not() {
        let graph = TokenExpectation {
            resource: "https://graph.microsoft.com".to_owned(),
            permission: SourceKind::Graph.facts().permission,
            ..expected()
        };
        let check = |aud: &str, role: &str| {
            let token = jwt(&json!({"aud": aud, "tid": TENANT, "roles": [role]}));
            graph.examine(&token, &[]).verdict
        };
        for aud in [
            "https://graph.microsoft.com",
            "https://graph.microsoft.com/",
            "00000003-0000-0000-c000-000000000000",
        ] {
            for role in [
                "SecurityIncident.Read.All",
                "SecurityIncident.ReadWrite.All",
            ] {
                assert_eq!(check(aud, role), Ok(()), "{aud} {role}");
            }
            let failure = check(aud, "Incident.Read.All").expect_err(aud);
            assert_eq!(failure.health, Health::Consent, "{failure:?}");
            assert!(
                failure
                    .what
                    .contains("SecurityIncident.Read.All of \"Microsoft Graph\""),
                "{failure:?}"
            );
        }
        for aud in [RESOURCE, "8ee8fdad-f234-4243-8f3b-15c294843740"] {
            let failure = check(aud, "SecurityIncident.Read.All").expect_err(aud);
            assert_eq!(failure.health, Health::Misconfigured, "{failure:?}");
        }
    }

    #[test]
    fn a_token_for_another_tenant_is_misconfigured() {
        let other = "22222222-2222-2222-2222-222222222222";
        let failure = check(RESOURCE, other, &["Incident.Read.All"]).unwrap_err();
        assert_eq!(failure.health, Health::Misconfigured);
        assert!(
            failure.what.contains(other) && failure.what.contains(TENANT),
            "{failure:?}"
        );
    }

    #[test]
    fn a_missing_permission_is_named_with_the_way_to_grant_it() {
        let without = verdict(&jwt(&json!({"aud": RESOURCE, "tid": TENANT}))).unwrap_err();
        let other = check(RESOURCE, TENANT, &["Incidents.Read.All", "Alert.Read.All"]).unwrap_err();
        for failure in [&without, &other] {
            assert_eq!(
                (failure.health, failure.reaction),
                (Health::Consent, Reaction::Slow)
            );
            assert!(failure.what.contains("Incident.Read.All"), "{failure:?}");
            assert_eq!(failure.remedy, "consent here");
        }
        assert!(other.what.contains("Alert.Read.All"), "{other:?}");
    }

    #[test]
    fn claims_are_told_fit_to_be_shown() {
        let token = jwt(&json!({
            "aud": RESOURCE, "exp": 1_700_000_000, "roles": ["One", 7, "Two\nlines"],
            "echo": "a s3cret%2Fcanary b", "wids": ["x", "y"],
        }));
        let claims = expected()
            .examine(&token, &["s3cret/canary"])
            .claims
            .unwrap();
        assert_eq!(claims.roles, ["One", "Two lines"]);
        assert_eq!(claims.get("aud"), Some(RESOURCE));
        assert_eq!(
            claims.instant("exp"),
            Some(Ticks::from_unix_seconds(1_700_000_000))
        );
        let others: Vec<_> = claims.others().collect();
        assert_eq!(
            others,
            [
                ("aud", RESOURCE),
                ("echo", "a [redacted] b"),
                ("exp", "1700000000"),
                ("wids", r#"["x","y"]"#),
            ]
        );
    }

    proptest! {
        #[test]
        fn a_token_that_cannot_be_read_passes(token in "[!-~&&[^.]]{0,40}(\\.[!-~&&[^.]]{0,5}){0,2}") {
            if jwt::claims(&token).is_none() {
                prop_assert_eq!(verdict(&token), Ok(()));
            }
        }

        #[test]
        fn odd_claims_do_not_panic(aud in "\\PC{0,30}", tid in "\\PC{0,30}", role in "\\PC{0,30}") {
            let _ = check(&aud, &tid, &[&role]);
            let _ = verdict(&jwt(&json!({"aud": [aud], "tid": 7, "roles": role})));
        }
    }
}
