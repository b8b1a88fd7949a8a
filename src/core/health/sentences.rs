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

/// `40 tenants with one cause, credential for 1m`. Of a cause that is still ahead: `40 tenants, well until then`.
pub fn alarm(tenants: usize, state: &str, seconds: Option<u64>) -> String {
    let age = seconds.map(|seconds| format!(" for {}", span(seconds)));
    let tenants = counted(tenants, "tenant");
    match state {
        "ok" => format!("{tenants}, well until then"),
        _ => format!(
            "{tenants} with one cause, {state}{}",
            age.unwrap_or_default()
        ),
    }
}

/// `1 tenant gets no new token`: its credential has ended.
pub fn no_new_token(tenants: usize) -> String {
    let get = if tenants == 1 { "gets" } else { "get" };
    format!("{} {get} no new token", counted(tenants, "tenant"))
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

/// Which partitions of the ledger a process has: `3 active, 1 restoring (0-2, 7), member incidentd-1a2b`. They are in ascending
/// order.
pub fn ownership<'a>(
    partitions: impl Iterator<Item = (u16, &'a str)>,
    member: Option<&str>,
) -> String {
    let partitions: Vec<_> = partitions.collect();
    let member = match member {
        Some(member) => format!("member {member}"),
        None => "not in the consumer group yet".to_owned(),
    };
    if partitions.is_empty() {
        return format!("none, {member}");
    }
    let states = tally(partitions.iter().map(|(_, state)| *state));
    let ids: Vec<u16> = partitions.iter().map(|(id, _)| *id).collect();
    format!("{states} ({}), {member}", ranges(&ids))
}

/// Numbers in ascending order: `0-2, 7`.
pub fn ranges(numbers: &[u16]) -> String {
    let runs = numbers.chunk_by(|one, next| one.checked_add(1) == Some(*next));
    let runs = runs.map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        one => one.iter().map(u16::to_string).collect(),
    });
    runs.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_that_follow_each_other_are_one_range() {
        let of = |ids: &[u16]| {
            let partitions = ids
                .iter()
                .map(|id| (*id, if *id < 9 { "active" } else { "restoring" }));
            ownership(partitions, Some("m"))
        };
        assert_eq!(
            of(&[0, 1, 2, 7, 9, 10]),
            "4 active, 2 restoring (0-2, 7, 9-10), member m"
        );
        assert_eq!(of(&[3]), "1 active (3), member m");
        assert_eq!(of(&[]), "none, member m");
        let none = ownership(std::iter::empty(), None);
        assert_eq!(none, "none, not in the consumer group yet");
    }
}
