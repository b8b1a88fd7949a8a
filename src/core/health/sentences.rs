//! Sentences about the daemon's health that the status page, `incidentd status` and `incidentd check` share.

use crate::core::format::{bytes, counted, grouped, span, tally};

/// Why a restart is needed: what holds until then.
pub const RESTART_NEEDED: &str =
    "some new values can't be taken up while the daemon runs; the old ones hold";
pub const RESTART_REMEDY: &str = "restart it when it suits: systemctl restart incidentd";
pub const RELOAD_REMEDY: &str =
    "correct the files and reload again; incidentd check --offline prints the report whole";

/// `3 tenants: 1 consent, 2 ok`, in the order of `states`.
pub fn tenants<'a>(states: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let all = states.clone().into_iter().count();
    format!("{}: {}", counted(all, "tenant"), tally(states))
}

/// `40 tenants with one cause, credential for 1m`.
pub fn alarm(tenants: usize, state: &str, seconds: Option<u64>) -> String {
    let age = seconds.map(|seconds| format!(" for {}", span(seconds)));
    let tenants = counted(tenants, "tenant");
    format!(
        "{tenants} with one cause, {state}{}",
        age.unwrap_or_default()
    )
}

/// What holds after a refused reload.
pub fn stays_in_force(seconds: Option<u64>) -> String {
    let age = seconds.map(|seconds| format!(" {} ago", span(seconds)));
    format!("what was loaded{} stays in force", age.unwrap_or_default())
}

/// The details of Kafka (`12.3 MiB in flight`) or the ledger (`12,345 incidents known`).
pub fn about_part(in_flight: Option<u64>, incidents: Option<u64>) -> Option<String> {
    let in_flight = in_flight.map(|number| format!("{} in flight", bytes(number)));
    in_flight.or_else(|| Some(format!("{} incidents known", grouped(incidents?))))
}
