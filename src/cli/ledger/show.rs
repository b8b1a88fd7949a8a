//! `incidentd ledger show TENANT`.

use clap::Args;
use serde_json::json;

use super::failed;
use crate::app::ledger_tools::{self, TenantInLedger};
use crate::cli::text::{COLUMNS, print, wrapped};
use crate::cli::{CommandError, ConfigFile, run_async, tenant_selection};
use crate::core::format::{grouped, span, tame};
use crate::core::ids::TenantId;
use crate::core::sweep::cursor::TenantState;
use crate::core::time::ticks::Ticks;

/// What the ledger knows of a tenant: how far it has been read, what is still open, and how much was published
#[derive(Args, Debug)]
#[command(after_long_help = "\
Exit codes:
  0   the ledger was read, whether it knows the tenant or not
  64  no tenant of the configuration has the name given; by its id, any tenant can be shown
  75  a daemon runs that has the local ledger, or Kafka is out of reach
  78  the configuration is not valid, or there is no ledger")]
pub struct ShowCommand {
    #[command(flatten)]
    file: ConfigFile,
    /// The same as JSON
    #[arg(long)]
    json: bool,
    /// The tenant's id or name
    tenant: String,
}

impl ShowCommand {
    pub fn run(self) -> Result<(), CommandError> {
        let settings = self.file.load()?;
        let (id, name) = match tenant_selection::tenant(&settings, &self.tenant) {
            Ok(tenant) => (tenant.id, Some(tame(&tenant.name))),
            // The ledger keeps a tenant for a while that is not configured any more.
            Err(unknown) => match self.tenant.parse() {
                Ok(id) => (id, None),
                Err(_) => return Err(unknown),
            },
        };
        let seen = run_async(ledger_tools::show(&settings, id))?.map_err(failed)?;
        print(&match self.json {
            true => json(id, name.as_deref(), &seen),
            false => text(id, name.as_deref(), &seen),
        })
    }
}

/// What is not known is null, never left out.
fn json(id: TenantId, name: Option<&str>, seen: &TenantInLedger) -> String {
    let state = seen.state.as_ref();
    let time = |of: fn(&TenantState) -> Ticks| state.map(|state| instant(of(state)));
    let open = state.map(|state| {
        let open = state.backlog.intervals().iter();
        let open = open.map(|open| {
            json!({"from": open.from.to_string(), "to": open.to.to_string(), "read_before": open.again})
        });
        open.collect::<Vec<_>>()
    });
    let paused = state.and_then(|state| state.paused.as_ref());
    let paused = paused
        .map(|pause| json!({"since": pause.since.to_string(), "reason": pause.reason.as_str()}));
    let document = json!({
        "tenant": id.to_string(),
        "name": name,
        "ledger": seen.ledger,
        "partition": seen.partition,
        "at": seen.at.to_string(),
        "cursor": time(|state| state.cursor).flatten(),
        "start": time(|state| state.start).flatten(),
        "last_reconcile": time(|state| state.reconciled).flatten(),
        "open_intervals": open,
        "paused": paused,
        "versions": seen.versions,
        "dead_letters": seen.letters,
    });
    format!("{document:#}\n")
}

/// `None`: a ledger of an old format does not have it.
fn instant(at: Ticks) -> Option<String> {
    (at != Ticks::MIN).then(|| at.to_string())
}

fn text(id: TenantId, name: Option<&str>, seen: &TenantInLedger) -> String {
    let place = match seen.partition {
        Some(partition) => format!("{}, partition {partition}", seen.ledger),
        None => seen.ledger.clone(),
    };
    let name = name.unwrap_or("not configured");
    let mut lines = vec![
        format!("{name} ({id})"),
        format!("in {place}"),
        String::new(),
    ];
    let ago = |at: Ticks| match instant(at) {
        Some(text) => format!("{text} ({} ago)", span(seen.at.since(at).as_secs())),
        None => "not known: an older incidentd wrote it".to_owned(),
    };
    let mut line = |label: &str, text: &str| {
        lines.extend(wrapped(&format!("{label:<16}"), text, COLUMNS));
    };
    match &seen.state {
        None => line("Cursor", "none: the tenant was never read"),
        Some(state) => {
            line("Cursor", &ago(state.cursor));
            line("Start", &ago(state.start));
            if let Some(pause) = &state.paused {
                let reason = pause.reason.as_str();
                line("Paused since", &format!("{} {reason}", pause.since));
            }
            line("Last reconcile", &ago(state.reconciled));
            let open = state.backlog.intervals();
            line("Open intervals", &open.len().to_string());
            for open in open {
                let read = if open.again { ", read before" } else { "" };
                line("", &format!("{} to {}{read}", open.from, open.to));
            }
        }
    }
    line("Versions", &grouped(seen.versions));
    line("Dead letters", &grouped(seen.letters));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::sweep::backlog::{Backlog, Interval};

    fn seen(state: Option<TenantState>) -> TenantInLedger {
        TenantInLedger {
            ledger: "the topic ledger".to_owned(),
            partition: Some(3),
            at: Ticks::from_unix_seconds(1_700_000_100),
            state,
            versions: 12_345,
            letters: 2,
        }
    }

    fn state() -> TenantState {
        let at = Ticks::from_unix_seconds;
        TenantState {
            start: Ticks::MIN,
            cursor: at(1_700_000_040),
            reconciled: at(1_699_996_500),
            backlog: Backlog::from_iter([Interval::again(at(1_600_000_000), at(1_600_000_060))]),
            paused: None,
        }
    }

    #[test]
    fn the_text_says_how_far_a_tenant_was_read() {
        let id = TenantId::from_bytes([7; 16]);
        let expected = "\
contoso (07070707-0707-0707-0707-070707070707)
in the topic ledger, partition 3

Cursor          2023-11-14T22:14:00Z (1m ago)
Start           not known: an older incidentd wrote it
Last reconcile  2023-11-14T21:15:00Z (1h ago)
Open intervals  1
                2020-09-13T12:26:40Z to 2020-09-13T12:27:40Z, read before
Versions        12,345
Dead letters    2
";
        assert_eq!(text(id, Some("contoso"), &seen(Some(state()))), expected);
        let never = text(id, None, &seen(None));
        assert!(never.contains("not configured"), "{never}");
        assert!(never.contains("the tenant was never read"), "{never}");
    }

    #[test]
    fn the_json_has_every_field_whatever_is_known() {
        let id = TenantId::from_bytes([7; 16]);
        let read = |state| -> serde_json::Value {
            serde_json::from_str(&json(id, None, &seen(state))).unwrap()
        };
        let (known, unknown) = (read(Some(state())), read(None));
        assert_eq!(known["cursor"], "2023-11-14T22:14:00Z");
        assert_eq!(known["open_intervals"][0]["read_before"], true);
        assert!(known["start"].is_null());
        assert_eq!(unknown["versions"], 12_345);
        let fields =
            |of: &serde_json::Value| of.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(fields(&known), fields(&unknown));
    }
}
