//! What a changed configuration leaves unchanged.

use std::collections::HashMap as Environment;
use std::fs;

use tempfile::TempDir;

use super::*;
use crate::app::Libraries;
use crate::config;
use crate::telemetry::clock::SystemClock;
use crate::telemetry::metrics::Metrics;

const APP: &str = "app.client_id = \"4c0a8b0e-5d1f-4b0e-9c55-3f1d8c1b7a01\"\napp.client_secret_file = \"secret\"\n";
const CONTOSO: &str =
    "[[tenants]]\nid = \"11111111-1111-1111-1111-111111111111\"\nname = \"contoso\"\n";
const FABRIKAM: &str =
    "[[tenants]]\nid = \"22222222-2222-2222-2222-222222222222\"\nname = \"fabrikam\"\n";

struct Rig {
    folder: TempDir,
    builder: Builder,
    settings: Settings,
    fleet: Fleet,
}

impl Rig {
    fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("secret"), "s3cret").expect("a secret");
        let mut builder = Builder::new(TokenContext {
            authorities: Arc::default(),
            observer: Arc::new(Metrics::new(&["defender", "graph"])),
            clock: Arc::new(SystemClock),
        });
        let settings = load(&folder, text);
        let fleet = builder.build(&settings, None).expect("a fleet");
        Self {
            folder,
            builder,
            settings,
            fleet,
        }
    }

    /// For each tenant of the new fleet, whether it is the same object, and whether its tokens are.
    fn reload(&mut self, text: &str) -> Vec<(bool, bool)> {
        let settings = load(&self.folder, text);
        let before = Before {
            settings: &self.settings,
            fleet: &self.fleet,
        };
        let fleet = self
            .builder
            .build(&settings, Some(before))
            .expect("a fleet");
        let kept = |tenant: &Arc<Tenant>| {
            let same = self.fleet.iter().any(|was| Arc::ptr_eq(was, tenant));
            let tokens = self
                .fleet
                .iter()
                .any(|was| Arc::ptr_eq(&was.tokens, &tenant.tokens));
            (same, tokens)
        };
        let kept = fleet.iter().map(kept).collect();
        (self.settings, self.fleet) = (settings, fleet);
        kept
    }
}

fn load(folder: &TempDir, text: &str) -> Settings {
    let file = folder.path().join("incidentd.toml");
    fs::write(&file, format!("{APP}{text}")).expect("a file");
    config::load(&file, &Environment::new(), &Libraries::default()).expect("a good configuration")
}

#[test]
fn the_same_configuration_gives_the_same_tenants() {
    let text = format!("{CONTOSO}{FABRIKAM}");
    let mut rig = Rig::start(&text);
    assert_eq!(rig.reload(&text), [(true, true); 2]);
    assert_eq!(
        rig.reload(&format!("{FABRIKAM}{CONTOSO}")),
        [(true, true); 2],
        "in another order"
    );
}

#[test]
fn only_who_has_new_settings_is_another_one_and_keeps_its_token_when_they_are_not_about_tokens() {
    let mut rig = Rig::start(&format!("{CONTOSO}{FABRIKAM}"));
    let slower = format!("{CONTOSO}poll.schedule = \"every 5m\"\n{FABRIKAM}");
    assert_eq!(rig.reload(&slower), [(false, true), (true, true)]);
    let defender = format!("{CONTOSO}api.source = \"defender\"\n{FABRIKAM}");
    assert_eq!(rig.reload(&defender), [(false, false), (true, true)]);
    let other_app =
        format!("{CONTOSO}{FABRIKAM}app.client_id = \"4c0a8b0e-5d1f-4b0e-9c55-3f1d8c1b7a02\"\n");
    assert_eq!(rig.reload(&other_app), [(false, false), (false, false)]);
}

#[test]
fn a_key_that_all_tenants_have_changes_all_of_them_and_costs_no_token() {
    let text = format!("{CONTOSO}{FABRIKAM}");
    let mut rig = Rig::start(&text);
    for change in [
        "poll.overlap = \"10m\"\n",
        "kafka.topic = \"others\"\n",
        "kafka.format = \"raw\"\n",
        "kafka.status_topic = \"health\"\n",
    ] {
        let kept = rig.reload(&format!("{change}{text}"));
        assert_eq!(kept, [(false, true); 2], "{change}");
    }
}

#[test]
fn tenants_with_equal_app_settings_share_what_was_learnt_of_their_secrets_over_reloads() {
    let mut rig = Rig::start(CONTOSO);
    rig.reload(&format!("{CONTOSO}{FABRIKAM}"));
    assert_eq!(rig.builder.connectors.credentials(), 1);
    let own =
        format!("{CONTOSO}{FABRIKAM}app.client_id = \"4c0a8b0e-5d1f-4b0e-9c55-3f1d8c1b7a02\"\n");
    rig.reload(&own);
    assert_eq!(rig.builder.connectors.credentials(), 2);
    rig.reload(CONTOSO);
    assert_eq!(
        rig.builder.connectors.credentials(),
        1,
        "what nobody has any more is forgotten"
    );
}
