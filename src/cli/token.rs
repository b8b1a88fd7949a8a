//! `incidentd token TENANT`: the claims of the tenant's token, explained. The token itself is never shown.
//!
//! Exit codes: 0 when the token is what incidentd needs; 1 when it is not, or none was issued; 75 when Microsoft can't be
//! asked now; 64 for an unknown tenant; 78 for the configuration.

use clap::Args;

use super::text::{paragraph, print, why_and_do, width};
use super::{
    CONFIGURATION, CommandError, ConfigFile, FAILED, OrExit, UNAVAILABLE, run_async,
    tenant_selection,
};
use crate::app::inspect::{self, Claims, Role, RoleUse, TokenSeen};
use crate::core::format::{span, tame};
use crate::core::health::failure::{Failure, Health};
use crate::core::time::ticks::Ticks;

/// What a tenant's token says, never the token itself
#[derive(Args, Debug)]
#[command(after_long_help = "\
Exit codes:
  0   the token is what incidentd needs
  1   it is not, or none was issued: why, and what to do
  64  no tenant of the configuration has the id or name given
  75  Microsoft can't be asked now: it is out of reach, or asks for a pause
  78  the configuration is not valid")]
pub struct TokenCommand {
    #[command(flatten)]
    file: ConfigFile,
    /// The tenant's id or name
    tenant: String,
}

impl TokenCommand {
    pub fn run(self) -> Result<(), CommandError> {
        let settings = self.file.load()?;
        let tenant = tenant_selection::tenant(&settings, &self.tenant)?;
        let seen = run_async(inspect::token(tenant))?.or_exit(CONFIGURATION)?;
        let seen =
            seen.map_err(|failure| failed(&format!("no token for {}", tenant.name), &failure))?;
        print(&report(&seen))?;
        match &seen.unfit {
            None => Ok(()),
            Some(failure) => Err(failed("the token is of no use to incidentd", failure)),
        }
    }
}

fn failed(head: &str, failure: &Failure) -> CommandError {
    let code = match failure.health {
        Health::Unreachable | Health::Throttled => UNAVAILABLE,
        _ => FAILED,
    };
    let lines = why_and_do(&failure.what, &failure.remedy).join("\n");
    CommandError::saying(code, format!("{head} ({})\n{lines}", failure.health))
}

/// The claims that are explained, in the order of the report.
const EXPLAINED: [(&str, &str); 11] = [
    ("aud", "audience"),
    ("tid", "tenant"),
    ("appid", "app"),
    ("azp", "app"),
    ("oid", "service principal"),
    ("appidacr", "proved by"),
    ("azpacr", "proved by"),
    ("iss", "issuer"),
    ("iat", "issued"),
    ("nbf", "valid from"),
    ("exp", "valid until"),
];

fn report(seen: &TokenSeen<'_>) -> String {
    let tenant = seen.tenant;
    let login = tenant.api.login_url.host_str().unwrap_or_default();
    let source = tenant.api.source;
    let mut lines = vec![
        format!("Token of {} ({})", tame(&tenant.name), tenant.id),
        format!("issued by {login} for the source {source}"),
        String::new(),
    ];
    match &seen.claims {
        Some(claims) => {
            lines.extend(self::claims(seen, claims));
            lines.push(String::new());
            lines.extend(roles(seen));
        }
        None => lines.extend(paragraph(
            "",
            &format!(
                "It can't be read, which is no fault: only the API needs to read it. It is valid until {} ({}).",
                seen.expires,
                distance(seen.at, seen.expires)
            ),
        )),
    }
    lines.join("\n") + "\n"
}

fn claims(seen: &TokenSeen<'_>, claims: &Claims) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |label: &str, name: &str, text: &str| {
        // Names of up to nine characters are aligned; longer ones are followed by one space.
        let label = format!("  {label:<18}{:<9} ", tame(name));
        lines.extend(paragraph(&label, &tame(text)));
    };
    for (name, label) in EXPLAINED {
        if let Some(value) = claims.get(name) {
            line(label, name, &explained(seen, claims, name, value));
        }
    }
    let is_explained = |name: &str| EXPLAINED.iter().any(|(known, _)| *known == name);
    for (name, value) in claims.others().filter(|(name, _)| !is_explained(name)) {
        line("", name, value);
    }
    lines
}

/// The claim's value, and what it means.
fn explained(seen: &TokenSeen<'_>, claims: &Claims, name: &str, value: &str) -> String {
    let held = |right: bool, against: &str| match right {
        true => format!("{value} (right: {against})"),
        false => format!("{value} (not {against})"),
    };
    // What was asked for.
    let resource = seen.tenant.api.scope.trim_end_matches("/.default");
    match name {
        "aud" if value.trim_end_matches('/') == resource.trim_end_matches('/') => {
            held(true, "what api.scope asks for")
        }
        "aud"
            if seen
                .unfit
                .as_ref()
                .is_none_or(|it| it.health == Health::Consent) =>
        {
            format!("{value} (another name for {resource})")
        }
        "aud" => held(false, resource),
        "tid" => held(
            value.eq_ignore_ascii_case(&seen.tenant.id.to_string()),
            "the tenant's id",
        ),
        "appid" | "azp" => held(
            value.eq_ignore_ascii_case(&seen.tenant.app.client_id.to_string()),
            "app.client_id",
        ),
        "oid" => format!("{value} (the app's, in the tenant)"),
        "appidacr" | "azpacr" => match value {
            "1" => "a client secret (1)".to_owned(),
            "2" => "a certificate or another issuer's token (2)".to_owned(),
            other => format!("{other} (not known to incidentd)"),
        },
        "iat" | "nbf" | "exp" => match claims.instant(name) {
            Some(at) => format!("{at} ({})", distance(seen.at, at)),
            None => value.to_owned(),
        },
        _ => value.to_owned(),
    }
}

/// `in 59m`, `3s ago`, `now`.
fn distance(now: Ticks, at: Ticks) -> String {
    let seconds = at.unix_seconds() - now.unix_seconds();
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {}", span(seconds.unsigned_abs())),
        _ => format!("{} ago", span(seconds.unsigned_abs())),
    }
}

fn roles(seen: &TokenSeen<'_>) -> Vec<String> {
    let source = seen.tenant.api.source;
    let permission = &source.facts().permission;
    let (needed, api) = (permission.wanted(), permission.api);
    let heading = format!("Permissions (roles). {source} needs {needed} of \"{api}\":");
    let mut lines = paragraph("", &heading);
    if seen.roles.is_empty() {
        lines.push(
            "  none: no administrator of the tenant has consented to any for this API".to_owned(),
        );
    }
    let longest = seen.roles.iter().map(|role| width(&role.name)).max();
    for role in &seen.roles {
        let name = format!("  {:<1$}  ", tame(&role.name), longest.unwrap_or_default());
        let text = format!("{}: {}", usage(role), role.permits);
        lines.extend(paragraph(&name, &tame(&text)));
    }
    let does = |role: &&Role| matches!(role.usage, RoleUse::Needed | RoleUse::MoreThanNeeded);
    if !seen.roles.is_empty() && !seen.roles.iter().any(|role| does(&role)) {
        lines.push(format!("  {needed}  MISSING"));
    }
    let surplus: Vec<&str> = seen
        .roles
        .iter()
        .filter(|role| role.usage != RoleUse::Needed)
        .map(|role| role.name.as_str())
        .collect();
    if !surplus.is_empty() {
        let surplus = tame(&surplus.join(", "));
        let first = match seen.roles.iter().any(|role| role.usage == RoleUse::Needed) {
            true => String::new(),
            false => format!("First give the app {needed}, and have the tenant consent. "),
        };
        let text = format!(
            "incidentd never needs {surplus}. {first}If nothing else uses it, remove it from the app registration, and from \
             the app in the tenant (Enterprise applications, Permissions): anyone who gets the secret gets it, too."
        );
        lines.push(String::new());
        lines.extend(paragraph("", &text));
    }
    lines
}

fn usage(role: &Role) -> &'static str {
    match role.usage {
        RoleUse::Needed => "needed",
        RoleUse::MoreThanNeeded => "does, and allows more than is needed",
        RoleUse::Unused => "not needed",
        RoleUse::Powerful => "NOT NEEDED, AND POWERFUL",
    }
}
