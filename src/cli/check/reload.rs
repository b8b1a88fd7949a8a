//! `incidentd check --reload`: what a reload would change. The daemon itself reads the files and compares: it has the variables
//! and the rights that a reload has, and no secret leaves it.

use std::collections::BTreeMap;

use crate::cli::daemon::Daemon;
use crate::cli::{CONFIGURATION, CommandError, ConfigFile, FAILED, run_async, text};
use crate::core::format::counted;
use crate::core::health::reload_preview::{ChangedTenant, NamedTenant, ReloadPreview};

/// So many tenants with the same change are one line.
const MANY: usize = 4;

pub fn check(file: &ConfigFile, address: Option<&str>, json: bool) -> Result<(), CommandError> {
    let daemon = match address {
        Some(address) => Daemon::at(address),
        None => Daemon::of(file)?,
    };
    let (answer, address) = run_async(daemon.ask("/api/reload/preview"))??;
    let preview = serde_json::from_str::<Option<ReloadPreview>>(&answer.body);
    let Some(preview) = preview.ok().filter(|_| answer.status == 200) else {
        return Err(daemon.strange(address, &answer));
    };
    let preview = preview.ok_or_else(|| {
        CommandError::saying(FAILED, format!("what runs at {address} reloads nothing"))
    })?;
    match (json, &preview.error) {
        (true, _) => text::print_as_it_is(&text::one_json_line(&answer.body))?,
        (false, Some(_)) => {}
        (false, None) => text::print(&report(&preview))?,
    }
    verdict(&preview)
}

fn verdict(preview: &ReloadPreview) -> Result<(), CommandError> {
    let (code, what) = match (&preview.error, &preview.restart_needed) {
        (Some(error), _) => (
            CONFIGURATION,
            format!("a reload would change nothing: {error}"),
        ),
        (None, keys) if !keys.is_empty() => (
            FAILED,
            format!("new values that need a restart: {}", keys.join(", ")),
        ),
        _ => return Ok(()),
    };
    Err(CommandError::saying(code, what))
}

fn report(preview: &ReloadPreview) -> String {
    let mut lines = Vec::new();
    for warning in &preview.warnings {
        lines.extend(text::paragraph("warning: ", warning));
    }
    let groups = [
        ("added:     ", &preview.added),
        ("removed:   ", &preview.removed),
    ];
    for (label, tenants) in groups {
        lines.extend(
            tenants
                .iter()
                .map(|it| format!("{label}{}", whole_name(it))),
        );
    }
    lines.extend(changes(&preview.changed));
    let keys = [
        ("new value: ", &preview.keys),
        ("restart:   ", &preview.restart_needed),
    ];
    for (label, keys) in keys {
        lines.extend(keys.iter().map(|key| format!("{label}{key}")));
    }
    lines.push(format!(
        "A reload would leave {} as {}.",
        counted(preview.untouched, "tenant"),
        if preview.untouched == 1 {
            "it is"
        } else {
            "they are"
        }
    ));
    lines.join("\n") + "\n"
}

/// A line for each tenant, or one for many with the same change. The order is that of the first of each.
fn changes(changed: &[ChangedTenant]) -> Vec<String> {
    let mut alike: BTreeMap<&[String], usize> = BTreeMap::new();
    for tenant in changed {
        *alike.entry(&tenant.keys).or_default() += 1;
    }
    let mut lines = Vec::new();
    for ChangedTenant { tenant, keys } in changed {
        let who = match alike.get(keys.as_slice()) {
            // Their line is there.
            Some(0) | None => continue,
            Some(&count) if count >= MANY => {
                alike.insert(keys, 0);
                counted(count, "tenant")
            }
            Some(_) => whole_name(tenant),
        };
        let keys = match keys.is_empty() {
            true => String::new(),
            false => format!(": {}", keys.join(", ")),
        };
        lines.push(format!("changed:   {who}{keys}"));
    }
    lines
}

fn whole_name(NamedTenant { id, name }: &NamedTenant) -> String {
    match name == id {
        true => name.clone(),
        false => format!("{name} ({id})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preview() -> ReloadPreview {
        let tenant = |id: &str, name: &str| NamedTenant {
            id: id.to_owned(),
            name: name.to_owned(),
        };
        ReloadPreview {
            added: vec![tenant("1", "contoso")],
            removed: vec![tenant("2", "2")],
            untouched: 1,
            keys: vec!["log.level".to_owned()],
            ..ReloadPreview::default()
        }
    }

    #[test]
    fn each_change_is_a_line() {
        assert_eq!(
            report(&preview()),
            "added:     contoso (1)\nremoved:   2\nnew value: log.level\nA reload would leave 1 tenant as it is.\n"
        );
        assert!(verdict(&preview()).is_ok());
    }

    #[test]
    fn a_change_names_its_keys_and_one_of_many_tenants_is_one_line() {
        let changed = |n: usize, keys: &[&str]| ChangedTenant {
            tenant: NamedTenant {
                id: n.to_string(),
                name: format!("customer {n}"),
            },
            keys: keys.iter().map(|&key| key.to_owned()).collect(),
        };
        let mut all: Vec<_> = (0..1000).map(|n| changed(n, &["kafka.topic"])).collect();
        all[1] = changed(1, &["kafka.topic", "poll.overlap"]);
        all.push(changed(1000, &[]));
        let expected = [
            "changed:   999 tenants: kafka.topic",
            "changed:   customer 1 (1): kafka.topic, poll.overlap",
            "changed:   customer 1000 (1000)",
        ];
        assert_eq!(changes(&all), expected);
    }

    #[test]
    fn what_a_reload_does_not_take_has_an_exit_code() {
        let restart = ReloadPreview {
            restart_needed: vec!["kafka.brokers".to_owned()],
            ..preview()
        };
        let refused = ReloadPreview {
            error: Some("one error".to_owned()),
            ..ReloadPreview::default()
        };
        for (preview, code) in [(restart, FAILED), (refused, CONFIGURATION)] {
            assert_eq!(verdict(&preview).expect_err("not all of it").code, code);
        }
    }
}
