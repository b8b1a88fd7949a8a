//! What the application permissions in a token allow, in plain words, and whether incidentd needs them.
//!
//! The names are Microsoft's ("Microsoft Graph permissions reference", and the permission tables of the Defender APIs).
//! An unknown name is explained by its parts, such as `Thing.Read.All` and `Thing.ReadWrite.All`.

use crate::core::sources::Permission;

/// How a permission relates to what incidentd needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleUse {
    /// It is sufficient and allows the least.
    Needed,
    /// It is sufficient, but allows more than needed.
    MoreThanNeeded,
    /// incidentd does not need it.
    Unused,
    /// incidentd does not need it, and misuse does harm: it changes things, or reads what people wrote.
    Powerful,
}

/// One application permission, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub name: String,
    pub permits: String,
    pub usage: RoleUse,
}

impl Role {
    /// Explains the permission `name`, if `permission` is needed.
    pub fn explain(name: &str, permission: &Permission) -> Self {
        let usage = if name == permission.wanted() {
            RoleUse::Needed
        } else if permission.roles.contains(&name) {
            RoleUse::MoreThanNeeded
        } else if is_powerful(name) {
            RoleUse::Powerful
        } else {
            RoleUse::Unused
        };
        Self {
            name: name.to_owned(),
            permits: permits(name),
            usage,
        }
    }
}

const KNOWN: [(&str, &str); 22] = [
    (
        "Incident.Read.All",
        "read all Defender XDR incidents and their alerts",
    ),
    (
        "Incident.ReadWrite.All",
        "read and change all Defender XDR incidents: close, assign, comment",
    ),
    (
        "SecurityIncident.Read.All",
        "read all incidents and their alerts",
    ),
    (
        "SecurityIncident.ReadWrite.All",
        "read and change all incidents: close, assign, comment",
    ),
    ("SecurityAlert.Read.All", "read all alerts"),
    ("SecurityAlert.ReadWrite.All", "read and change all alerts"),
    (
        "SecurityEvents.Read.All",
        "read security events (the alerts API of before)",
    ),
    (
        "SecurityEvents.ReadWrite.All",
        "read and change security events (the alerts API of before)",
    ),
    (
        "AdvancedHunting.Read.All",
        "run any hunting query over the tenant's raw events",
    ),
    (
        "ThreatHunting.Read.All",
        "run any hunting query over the tenant's raw events",
    ),
    ("Machine.Isolate", "cut devices off from the network"),
    ("Machine.LiveResponse", "run commands on devices"),
    (
        "Directory.Read.All",
        "read users, groups and apps of the directory",
    ),
    (
        "Directory.ReadWrite.All",
        "change users, groups and apps of the directory",
    ),
    (
        "Application.ReadWrite.All",
        "change every app registration, and so act as any app",
    ),
    (
        "AppRoleAssignment.ReadWrite.All",
        "grant any permission to any app, itself included",
    ),
    (
        "RoleManagement.ReadWrite.Directory",
        "make anybody an administrator, itself included",
    ),
    ("Mail.Read", "read everybody's mail"),
    ("Mail.ReadWrite", "read, change and delete everybody's mail"),
    ("Mail.Send", "send mail as anybody"),
    ("Files.ReadWrite.All", "read, change and delete all files"),
    ("Sites.FullControl.All", "control all SharePoint sites"),
];

fn permits(name: &str) -> String {
    let known = KNOWN.iter().find(|(known, _)| *known == name);
    if let Some((_, permits)) = known {
        return (*permits).to_owned();
    }
    let (thing, verb) = name.split_once('.').unwrap_or((name, ""));
    let reach = if verb.ends_with(".All") { "all " } else { "" };
    let verb = verb.split('.').next().unwrap_or_default();
    match verb {
        "Read" => format!("read {reach}{thing}, by its name"),
        "ReadWrite" => format!("read and change {reach}{thing}, by its name"),
        "" => "not known to incidentd".to_owned(),
        other => format!("{other} {reach}{thing}, by its name"),
    }
}

/// Whether the name shows that the permission does more than read, or reads what people wrote.
fn is_powerful(name: &str) -> bool {
    let private = [
        "AdvancedHunting.",
        "ThreatHunting.",
        "Mail.",
        "Files.",
        "Sites.",
        "Chat.",
        "ChannelMessage.",
        "Notes.",
    ];
    let reads = name
        .split('.')
        .nth(1)
        .is_some_and(|verb| verb.starts_with("Read") && verb != "ReadWrite");
    !reads || private.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::sources::SourceKind;

    #[test]
    fn a_role_stands_as_its_tenant_s_source_needs_it() {
        for (name, defender, graph) in [
            ("Incident.Read.All", RoleUse::Needed, RoleUse::Unused),
            (
                "Incident.ReadWrite.All",
                RoleUse::MoreThanNeeded,
                RoleUse::Powerful,
            ),
            (
                "SecurityIncident.Read.All",
                RoleUse::Unused,
                RoleUse::Needed,
            ),
            ("Directory.Read.All", RoleUse::Unused, RoleUse::Unused),
            ("Mail.Read", RoleUse::Powerful, RoleUse::Powerful),
            ("Machine.Isolate", RoleUse::Powerful, RoleUse::Powerful),
            ("Odd", RoleUse::Powerful, RoleUse::Powerful),
        ] {
            let usage = |source: SourceKind| Role::explain(name, &source.facts().permission).usage;
            assert_eq!(
                (usage(SourceKind::Defender), usage(SourceKind::Graph)),
                (defender, graph),
                "{name}"
            );
        }
    }

    #[test]
    fn an_unknown_role_is_explained_by_its_name() {
        for (name, permits) in [
            ("Alert.Read.All", "read all Alert, by its name"),
            ("Ti.ReadWrite", "read and change Ti, by its name"),
            ("Machine.Scan", "Scan Machine, by its name"),
            ("Odd", "not known to incidentd"),
            ("", "not known to incidentd"),
            ("Mail.Send", "send mail as anybody"),
        ] {
            assert_eq!(
                Role::explain(name, &SourceKind::Defender.facts().permission).permits,
                permits
            );
        }
    }
}
