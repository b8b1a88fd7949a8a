//! The tenants that a command line names, by id or by name.

use super::{CommandError, USAGE};
use crate::config::distance;
use crate::core::format::{counted, tame};
use crate::core::health::failure::one_line;
use crate::core::ids::TenantId;
use crate::core::naming::{self, Nameable};
use crate::settings::{Settings, TenantSettings};

/// At most this many names are proposed for an unknown one.
const PROPOSALS: usize = 3;

/// These tenants, each once; all of them when none is named.
pub fn tenants<'a>(
    settings: &'a Settings,
    named: &[String],
) -> Result<Vec<&'a TenantSettings>, CommandError> {
    if named.is_empty() {
        return Ok(settings.tenants.iter().collect());
    }
    let mut picked: Vec<&TenantSettings> = Vec::new();
    for name in named {
        let tenant = tenant(settings, name)?;
        if !picked.iter().any(|known| known.id == tenant.id) {
            picked.push(tenant);
        }
    }
    Ok(picked)
}

pub fn tenant<'a>(settings: &'a Settings, named: &str) -> Result<&'a TenantSettings, CommandError> {
    let tenants = &settings.tenants;
    naming::find(tenants, named).map_err(|names| match names.as_slice() {
        [] => unknown(tenants, named),
        several => {
            let (shown, which) = (one_line(&tame(named), 60), naming::which(several));
            CommandError::saying(
                USAGE,
                format!("{shown:?} names no single tenant\n    {which}"),
            )
        }
    })
}

impl Nameable for TenantSettings {
    fn id(&self) -> TenantId {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

fn unknown(tenants: &[TenantSettings], named: &str) -> CommandError {
    let shown = one_line(&tame(named), 60);
    let proposals = nearest(tenants.iter().map(|tenant| &*tenant.name), named);
    let help = match proposals.as_slice() {
        [] => "give a tenant's id or name as the configuration has it".to_owned(),
        names => format!("did you mean {}?", names.join(" or ")),
    };
    let all = counted(tenants.len(), "tenant");
    CommandError::saying(
        USAGE,
        format!("none of the {all} of the configuration is called {shown:?}\n    {help}"),
    )
}

/// The names that are like `named`, the most similar first: they differ in few letters, or contain it.
fn nearest<'a>(names: impl Iterator<Item = &'a str>, named: &str) -> Vec<&'a str> {
    let named = named.to_lowercase();
    let most = named.chars().count().div_ceil(3);
    let mut near: Vec<(usize, &str)> = names
        .filter_map(|name| {
            let plain = name.to_lowercase();
            let apart = distance(&plain, &named);
            let holds = named.chars().count() > 2 && plain.contains(&named);
            (apart <= most || holds).then_some((apart, name))
        })
        .collect();
    near.sort_unstable();
    near.into_iter()
        .take(PROPOSALS)
        .map(|(_, name)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_near_are_proposed() {
        let names = ["contoso", "contoso-east", "fabrikam", "adatum"];
        for (named, expected) in [
            ("contosso", &["contoso"][..]),
            ("CONTOSO-", &["contoso", "contoso-east"]),
            ("east", &["contoso-east"]),
            ("fabricam", &["fabrikam"]),
            ("northwind", &[]),
            ("", &[]),
        ] {
            assert_eq!(nearest(names.into_iter(), named), expected, "{named:?}");
        }
    }
}
