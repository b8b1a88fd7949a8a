//! The state of the daemon: the document behind `/api/status`, the status page and the gauges of `/metrics`.
//!
//! Plain values, taken at one moment. Everybody who can reach the HTTP port sees them: they contain no secret, and their texts
//! come from [`Failure`](super::failure::Failure), which promises the same. An unknown value is `null` and never left out, so
//! that a reader can distinguish "not yet" from "no such field".

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::alarms::Alarm;
use super::failure::Health;
use super::{optional_text, text};
use crate::core::ids::TenantId;
use crate::core::ownership::PartitionStage;
use crate::core::time::ticks::Ticks;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct StatusReport {
    pub version: &'static str,
    /// When the process started.
    #[serde(serialize_with = "text")]
    pub started: Ticks,
    pub state: RunState,
    pub configuration: ConfigurationStatus,
    /// Causes that many tenants share, the one with the most tenants first; then the credentials that end.
    pub alarms: Vec<Alarm>,
    /// Worst first, see [`worst_first`].
    pub tenants: Vec<TenantStatus>,
    pub kafka: PartStatus,
    pub ledger: PartStatus,
    /// What this process has, when it shares the tenants with others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ownership: Option<OwnershipStatus>,
}

/// Which partitions of the ledger a process has.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct OwnershipStatus {
    pub partitions: Vec<PartitionStatus>,
    /// The process's name in the consumer group. `null` until it has joined.
    pub member: Option<String>,
    /// For the metrics.
    #[serde(skip)]
    pub counts: OwnershipCounts,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OwnershipCounts {
    /// How many partitions the ledger has, those of other replicas included.
    pub all: u16,
    /// How often another process has fenced a partition of this one, since the process started.
    pub fenced: u64,
    /// How often a partition of this process has failed and was fenced and read again, since the process started.
    pub failed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct PartitionStatus {
    pub id: u16,
    pub state: PartitionStage,
}

/// A summary in one line: `2 of 40 tenants not ok: 1 credential, 1 consent; Kafka unavailable`.
///
/// `tenants` are the states of all tenants, worst first.
pub fn summary(
    tenants: &[Health],
    parts: [(&str, PartState); 2],
    configuration: ConfigurationState,
) -> String {
    let ill = tenants.iter().filter(|state| **state != Health::Ok).count();
    let states = tenants.chunk_by(|one, other| one == other);
    let states = states
        .filter_map(|alike| Some((alike.len(), *alike.first()?)))
        .filter(|(_, state)| *state != Health::Ok)
        .map(|(count, state)| format!("{count} {state}"));
    let mut text = match (ill, tenants.len()) {
        (0, 0) => "no tenant is here".to_owned(),
        (0, 1) => "the tenant is ok".to_owned(),
        (0, all) => format!("all {all} tenants ok"),
        (ill, all) => {
            let states = states.collect::<Vec<_>>().join(", ");
            format!("{ill} of {all} tenants not ok: {states}")
        }
    };
    for (part, state) in parts {
        if state != PartState::Ok {
            text.push_str(&format!("; {part} {state}"));
        }
    }
    if configuration == ConfigurationState::Refused {
        text.push_str("; the last reload was refused");
    }
    text
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    Starting,
    Running,
    /// Draining: no new sweep starts.
    Stopping,
}

impl RunState {
    pub fn as_str(self) -> &'static str {
        match self {
            RunState::Starting => "starting",
            RunState::Running => "running",
            RunState::Stopping => "stopping",
        }
    }
}

/// Whether the configuration files are in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ConfigurationStatus {
    pub state: ConfigurationState,
    /// When the configuration in force was read.
    #[serde(serialize_with = "text")]
    pub loaded: Ticks,
    /// Keys whose new values need a restart.
    pub restart_needed: Vec<&'static str>,
    /// The report of the mistakes in the files. `Some` if and only if the state is not [`ConfigurationState::Ok`].
    pub error: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConfigurationState {
    Ok,
    /// The last reload found mistakes in the files: the configuration before it stays in force.
    Refused,
}

// More than 12 fields: they are the members of the document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TenantStatus {
    #[serde(serialize_with = "text")]
    pub id: TenantId,
    #[serde(serialize_with = "text")]
    pub name: Arc<str>,
    /// The API the tenant is read from: `defender`, …
    pub source: &'static str,
    pub state: Health,
    /// When the tenant came into this state.
    #[serde(serialize_with = "text")]
    pub since: Ticks,
    /// What the operator should do. `Some` whenever the state is not [`Health::Ok`].
    pub remedy: Option<String>,
    /// What happened. `Some` when a failure led to the state.
    pub error: Option<String>,
    /// The cause of the alarm that the tenant's failure belongs to. The operator mends that for all its tenants at once.
    pub alarm: Option<String>,
    /// Every version older than this is published.
    #[serde(serialize_with = "optional_text")]
    pub cursor: Option<Ticks>,
    /// By how many whole seconds the published data may be behind Microsoft.
    pub lag_seconds: Option<u64>,
    /// For how many whole seconds the sweep is due that would bring the tenant up to date. Zero while the tenant waits for its
    /// turn, even for hours. Before the first success it counts from when the tenant came to the fleet.
    pub overdue_seconds: u64,
    /// When a sweep last ended without a failure.
    #[serde(serialize_with = "optional_text")]
    pub last_success: Option<Ticks>,
    #[serde(serialize_with = "optional_text")]
    pub next_sweep: Option<Ticks>,
    #[serde(serialize_with = "optional_text")]
    pub token_expires: Option<Ticks>,
    /// When the credential ends, if that is known.
    #[serde(serialize_with = "optional_text")]
    pub credential_expires: Option<Ticks>,
    /// Records published since the process started.
    pub published: u64,
    /// What live polling leaves to the back-fill; `None`: nothing.
    pub backfill: Option<BackfillStatus>,
    /// Versions that only the overlap or a reconcile found, since the process started.
    pub late_found: u64,
}

/// Progress of a tenant's back-fill. It is read newest first, so `to` moves back until nothing is left.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct BackfillStatus {
    #[serde(serialize_with = "text")]
    pub from: Ticks,
    #[serde(serialize_with = "text")]
    pub to: Ticks,
    /// Seconds of last updates between them that are still to be read.
    pub open_seconds: u64,
    /// Why the last back-fill ended early, if it did.
    pub error: Option<String>,
}

/// The state of Kafka or of the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PartState {
    /// It works, as far as its last use shows.
    Ok,
    /// Not reached, or not opened, since the process started.
    Starting,
    /// Away, and expected back: nothing is lost meanwhile.
    Unavailable,
    /// It does not come back by itself.
    Failed,
}

impl PartState {
    pub(crate) const ALL: [PartState; 4] = [
        PartState::Ok,
        PartState::Starting,
        PartState::Unavailable,
        PartState::Failed,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            PartState::Ok => "ok",
            PartState::Starting => "starting",
            PartState::Unavailable => "unavailable",
            PartState::Failed => "failed",
        }
    }
}

impl fmt::Display for PartState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How one part of the daemon is: what records go to, or the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartStatus {
    /// Of a ledger: `local`, …
    pub kind: Option<&'static str>,
    pub state: PartState,
    /// Of what records go to: bytes fetched and not yet acknowledged.
    pub in_flight_bytes: Option<u64>,
    /// Of a ledger: incidents whose last published version it knows.
    pub versions: Option<u64>,
    /// `Some` whenever the state is not [`PartState::Ok`].
    pub error: Option<String>,
    /// What the operator should do. Likewise.
    pub remedy: Option<String>,
}

/// A ledger has its fields and what records go to has its own. Each is there even when its value is not known.
impl Serialize for PartStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(kind) = self.kind {
            map.serialize_entry("kind", kind)?;
        }
        map.serialize_entry("state", &self.state)?;
        if let Some(bytes) = self.in_flight_bytes {
            map.serialize_entry("in_flight_bytes", &bytes)?;
        }
        if self.kind.is_some() {
            map.serialize_entry("versions", &self.versions)?;
        }
        map.serialize_entry("error", &self.error)?;
        map.serialize_entry("remedy", &self.remedy)?;
        map.end()
    }
}

impl PartStatus {
    pub const OK: Self = Self {
        kind: None,
        state: PartState::Ok,
        in_flight_bytes: None,
        versions: None,
        error: None,
        remedy: None,
    };

    /// Any state but [`PartState::Ok`].
    pub fn not_ok(state: PartState, error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            state,
            error: Some(error.into()),
            remedy: Some(remedy.into()),
            ..Self::OK
        }
    }
}

/// Orders tenants as an operator should read them: by [`Health::severity`], then the longest in that state first, then by
/// name, then by id, so that the order never changes between two equal lists.
pub fn worst_first(tenants: &mut [TenantStatus]) {
    tenants.sort_unstable_by(|a, b| a.rank().cmp(&b.rank()));
}

/// A tenant's place in such a list.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TenantRank<'a> {
    severity: Reverse<u8>,
    since: Ticks,
    name: &'a str,
    id: TenantId,
}

impl<'a> TenantRank<'a> {
    pub(super) fn new(state: Health, since: Ticks, name: &'a str, id: TenantId) -> Self {
        Self {
            severity: Reverse(state.severity()),
            since,
            name,
            id,
        }
    }
}

impl TenantStatus {
    fn rank(&self) -> TenantRank<'_> {
        TenantRank::new(self.state, self.since, &self.name, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tenant(number: u8, name: &str, state: Health, since: i64) -> TenantStatus {
        TenantStatus {
            id: TenantId::from_bytes([number; 16]),
            name: name.into(),
            source: "defender",
            state,
            since: Ticks::from_unix_seconds(since),
            remedy: None,
            error: None,
            alarm: None,
            cursor: None,
            lag_seconds: None,
            overdue_seconds: 0,
            last_success: None,
            next_sweep: None,
            token_expires: None,
            credential_expires: None,
            published: 0,
            backfill: None,
            late_found: 0,
        }
    }

    #[test]
    fn the_document_has_exactly_the_promised_fields() {
        let mut known = tenant(0x11, "contoso", Health::Consent, 1_700_000_000);
        known.remedy = Some("Open the consent link.".into());
        known.error = Some("AADSTS65001: not consented".into());
        known.cursor = Some(Ticks(17_000_000_001_234_567));
        known.lag_seconds = Some(42);
        known.overdue_seconds = 12;
        known.last_success = Some(Ticks::from_unix_seconds(1_700_000_001));
        known.next_sweep = Some(Ticks::from_unix_seconds(1_700_000_030));
        known.token_expires = Some(Ticks::from_unix_seconds(1_700_003_600));
        known.credential_expires = Some(Ticks::from_unix_seconds(1_700_007_200));
        known.published = 7;
        known.backfill = Some(BackfillStatus {
            from: Ticks::from_unix_seconds(1_699_990_000),
            to: Ticks::from_unix_seconds(1_699_993_600),
            open_seconds: 3600,
            error: None,
        });
        known.late_found = 1;
        let report = StatusReport {
            version: "0.1.0",
            started: Ticks::from_unix_seconds(1_699_999_999),
            state: RunState::Running,
            configuration: ConfigurationStatus {
                state: ConfigurationState::Refused,
                loaded: Ticks::from_unix_seconds(1_699_999_999),
                restart_needed: vec!["http.listen"],
                error: Some("one error".into()),
            },
            alarms: vec![Alarm {
                cause: "entra 7000222".into(),
                state: Health::Credential,
                tenants: 40,
                since: Ticks::from_unix_seconds(1_700_000_000),
                error: "expired".into(),
                remedy: "Make a new one.".into(),
                named: vec![],
            }],
            tenants: vec![
                known,
                tenant(0x22, "fabrikam", Health::Starting, 1_700_000_000),
            ],
            kafka: PartStatus {
                state: PartState::Unavailable,
                in_flight_bytes: Some(4096),
                error: Some("no broker answers".into()),
                remedy: Some("start one".into()),
                ..PartStatus::OK
            },
            ledger: PartStatus {
                kind: Some("local"),
                state: PartState::Starting,
                versions: None,
                error: Some("opening".into()),
                remedy: Some("wait".into()),
                ..PartStatus::OK
            },
            ownership: None,
        };
        let expected = concat!(
            r#"{"version":"0.1.0","started":"2023-11-14T22:13:19Z","state":"running","#,
            r#""configuration":{"state":"refused","loaded":"2023-11-14T22:13:19Z","restart_needed":["http.listen"],"error":"one error"},"#,
            r#""alarms":[{"cause":"entra 7000222","state":"credential","tenants":40,"since":"2023-11-14T22:13:20Z","#,
            r#""error":"expired","remedy":"Make a new one."}],"tenants":["#,
            r#"{"id":"11111111-1111-1111-1111-111111111111","name":"contoso","source":"defender","#,
            r#""state":"consent","since":"2023-11-14T22:13:20Z","remedy":"Open the consent link.","#,
            r#""error":"AADSTS65001: not consented","alarm":null,"cursor":"2023-11-14T22:13:20.1234567Z","#,
            r#""lag_seconds":42,"overdue_seconds":12,"last_success":"2023-11-14T22:13:21Z","next_sweep":"2023-11-14T22:13:50Z","#,
            r#""token_expires":"2023-11-14T23:13:20Z","credential_expires":"2023-11-15T00:13:20Z","published":7,"#,
            r#""backfill":{"from":"2023-11-14T19:26:40Z","to":"2023-11-14T20:26:40Z","open_seconds":3600,"error":null},"late_found":1},"#,
            r#"{"id":"22222222-2222-2222-2222-222222222222","name":"fabrikam","source":"defender","#,
            r#""state":"starting","since":"2023-11-14T22:13:20Z","remedy":null,"error":null,"alarm":null,"cursor":null,"#,
            r#""lag_seconds":null,"overdue_seconds":0,"last_success":null,"next_sweep":null,"token_expires":null,"credential_expires":null,"#,
            r#""published":0,"backfill":null,"late_found":0}],"#,
            r#""kafka":{"state":"unavailable","in_flight_bytes":4096,"error":"no broker answers","remedy":"start one"},"#,
            r#""ledger":{"kind":"local","state":"starting","versions":null,"error":"opening","remedy":"wait"}}"#,
        );
        assert_eq!(serde_json::to_string(&report).unwrap(), expected);
    }

    #[test]
    fn the_summary_names_what_is_not_ok_and_nothing_else() {
        use Health::{Consent, Credential, Ok, Unreachable};
        let well = [("Kafka", PartState::Ok), ("ledger", PartState::Ok)];
        let ill = [("Kafka", PartState::Unavailable), ("ledger", PartState::Ok)];
        let (good, refused) = (ConfigurationState::Ok, ConfigurationState::Refused);
        for (tenants, parts, configuration, expected) in [
            (&[Ok][..], well, good, "the tenant is ok"),
            (&[Ok, Ok], well, good, "all 2 tenants ok"),
            (
                &[Credential, Consent, Consent, Unreachable, Ok],
                ill,
                refused,
                "4 of 5 tenants not ok: 1 credential, 2 consent, 1 unreachable; Kafka unavailable; the last reload was \
                 refused",
            ),
        ] {
            assert_eq!(summary(tenants, parts, configuration), expected);
        }
    }

    #[test]
    fn the_worst_come_first_then_the_longest_ill_then_by_name() {
        let mut tenants = vec![
            tenant(1, "a-ok", Health::Ok, 5),
            tenant(2, "b-new", Health::Unreachable, 9),
            tenant(3, "c-old", Health::Unreachable, 3),
            tenant(4, "z-same", Health::Credential, 4),
            tenant(5, "y-same", Health::Credential, 4),
            tenant(6, "d-start", Health::Starting, 1),
        ];
        worst_first(&mut tenants);
        let order: Vec<&str> = tenants.iter().map(|tenant| &*tenant.name).collect();
        assert_eq!(
            order,
            ["y-same", "z-same", "c-old", "b-new", "d-start", "a-ok"]
        );
    }

    proptest! {
        #[test]
        fn the_order_does_not_depend_on_the_order_given(
            ranks in prop::collection::vec((0..8_usize, 0..3_i64, "[ab]"), 0..12).prop_shuffle(),
            turn in 0..12_usize,
        ) {
            let tenants: Vec<_> = ranks
                .iter()
                .enumerate()
                .map(|(n, (state, since, name))| tenant(n as u8, name, Health::ALL[*state], *since))
                .collect();
            let mut turned = tenants.clone();
            if !turned.is_empty() {
                let by = turn % turned.len();
                turned.rotate_left(by);
            }
            let mut sorted = tenants;
            worst_first(&mut sorted);
            worst_first(&mut turned);
            prop_assert_eq!(sorted, turned);
        }
    }
}
