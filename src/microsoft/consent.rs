//! The link through which a customer's administrator grants the app its permission.

use url::Url;
use uuid::Uuid;

use crate::core::ids::TenantId;
use crate::core::sources::Permission;

/// The web redirect URI that Microsoft's partner documentation asks every such app to register.
pub const REDIRECT_URI: &str = "https://portal.azure.com";

/// The v2 admin-consent link for one tenant ("Admin consent on the Microsoft identity platform"). Application
/// permissions come only with a scope that ends in `/.default`.
pub fn consent_link(login_url: &Url, tenant: TenantId, client_id: Uuid, scope: &str) -> String {
    link(login_url, &tenant.to_string(), client_id, scope)
}

/// The same link for the tenant of the person who opens it. The same page recommends `organizations` for this and warns of
/// `common`.
pub fn any_tenant_link(login_url: &Url, client_id: Uuid, scope: &str) -> String {
    link(login_url, "organizations", client_id, scope)
}

fn link(login_url: &Url, tenant: &str, client_id: Uuid, scope: &str) -> String {
    let mut link = login_url.clone();
    let path = format!(
        "{}/{tenant}/v2.0/adminconsent",
        link.path().trim_end_matches('/')
    );
    link.set_path(&path);
    link.set_fragment(None);
    link.query_pairs_mut()
        .clear()
        .append_pair("client_id", &client_id.to_string())
        .append_pair("scope", scope)
        .append_pair("redirect_uri", REDIRECT_URI);
    link.into()
}

/// The remedy for an app that lacks the permission.
pub(super) fn consent_remedy(permission: &Permission, link: &str) -> String {
    format!(
        "give the app registration the application permission \"{}\" of the API \"{}\", then let an administrator of the \
         tenant consent at {link} (the app needs the web redirect URI {REDIRECT_URI})",
        permission.wanted(),
        permission.api,
    )
}

/// The same for a managed identity, for which there is no page to consent on.
pub(super) fn identity_remedy(permission: &Permission) -> String {
    format!(
        "give the managed identity the application permission \"{}\" of the API \"{}\": an administrator of its tenant does so \
         with New-MgServicePrincipalAppRoleAssignment (Microsoft Graph PowerShell); Azure hands out the old token for up to a day",
        permission.wanted(),
        permission.api,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_the_documented_one() {
        let login = Url::parse("https://login.microsoftonline.us").unwrap();
        let tenant = "11111111-1111-1111-1111-111111111111".parse().unwrap();
        let link = consent_link(
            &login,
            tenant,
            Uuid::nil(),
            "https://api-gov.security.microsoft.us/.default",
        );
        assert_eq!(
            link,
            "https://login.microsoftonline.us/11111111-1111-1111-1111-111111111111/v2.0/adminconsent\
             ?client_id=00000000-0000-0000-0000-000000000000\
             &scope=https%3A%2F%2Fapi-gov.security.microsoft.us%2F.default\
             &redirect_uri=https%3A%2F%2Fportal.azure.com"
        );
    }
}
