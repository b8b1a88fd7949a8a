use std::time::Duration;

use super::*;
use crate::app::inspect::Role;
use crate::app::retirement::Retirement;
use crate::core::health::failure::Reaction;
use crate::core::time::ticks::Ticks;

/// 2026-11-24T04:00:00Z.
const NOW: Ticks = Ticks(17_954_928_000_000_000);

fn role(name: &str, usage: RoleUse) -> Role {
    Role {
        name: name.to_owned(),
        permits: format!("do {name} things"),
        usage,
    }
}

fn healthy(name: &str) -> TenantSeen {
    TenantSeen {
        id: "11111111-1111-1111-1111-111111111111".parse().unwrap(),
        name: name.into(),
        source: "graph",
        failure: None,
        consent_link: format!("https://login.example/{name}/adminconsent"),
        roles: vec![role("SecurityIncident.Read.All", RoleUse::Needed)],
        token_expires: Some(NOW.plus(Duration::from_secs(3600))),
        incidents: Some(1),
        lookback: Duration::from_secs(86_400),
        second_secret: false,
    }
}

fn ill(name: &str, health: Health, what: &str, remedy: &str) -> TenantSeen {
    let failure = Failure::new(health, Reaction::Slow, what, remedy);
    TenantSeen {
        failure: Some(failure.caused_by(format!("a {health}"))),
        incidents: None,
        token_expires: None,
        roles: Vec::new(),
        ..healthy(name)
    }
}

fn unconsented(name: &str) -> TenantSeen {
    let remedy =
        format!("let an administrator consent at https://login.example/{name}/adminconsent");
    TenantSeen {
        token_expires: Some(NOW),
        ..ill(
            name,
            Health::Consent,
            "the app lacks SecurityIncident.Read.All",
            &remedy,
        )
    }
}

fn topic(name: &str) -> TopicSeen {
    TopicSeen {
        name: name.into(),
        failure: None,
        partitions: 6,
        max_record: Some(8 << 20),
        write: Write::Allowed,
        notes: Vec::new(),
    }
}

fn findings(tenants: Vec<TenantSeen>, topics: Vec<TopicSeen>) -> InspectionReport {
    let uses = topics.iter().map(|topic| TopicUse {
        name: topic.name.clone(),
        uses: vec!["incidents"],
    });
    InspectionReport {
        at: NOW,
        tenants,
        topics: uses.collect(),
        kafka: KafkaSeen {
            failure: None,
            brokers: 3,
            request: Ok(100 << 20),
            notes: Vec::new(),
            topics,
        },
    }
}

fn shown(findings: &InspectionReport, retirement: Option<Retirement>) -> String {
    let offline = Offline {
        file: "incidentd.toml".to_owned(),
        warnings: &["poll.requests_per_minute: 40 is more than 25".to_owned()],
        tenants: 40,
        sources: [("defender", 1), ("graph", 39)],
        schedules: 2,
        topics: findings.topics.len(),
        chosen: findings.tenants.len(),
        retirement,
        ending: Vec::new(),
    };
    let head = offline.head().join("\n");
    format!("{head}\n\n{}", report(findings, &offline, "kafka-1:9092"))
}

#[test]
fn a_sick_fleet_is_read_from_top_to_bottom() {
    let expired = |name: &str, trace: u32| {
        let what = format!("login.example refused a token (401): expired. Trace ID: {trace}");
        ill(
            name,
            Health::Credential,
            &what,
            "make a new secret and put its Value into app.client_secret_file",
        )
    };
    let mut wide = healthy("wide-world-importers");
    wide.roles.push(role("Machine.Isolate", RoleUse::Powerful));
    wide.second_secret = true;
    let mut quiet = healthy("quiet");
    quiet.incidents = Some(0);
    let mut missing = topic("security.status");
    missing.partitions = 0;
    missing.max_record = None;
    missing.write = Write::Unknown("the topic was not seen".to_owned());
    missing.failure = Some(Failure::new(
        Health::Misconfigured,
        Reaction::Backoff,
        "the topic security.status does not exist in Kafka",
        "create it: kafka-topics.sh --bootstrap-server kafka-1:9092 --create --topic security.status --partitions 6 \
         --replication-factor 3 --config max.message.bytes=8388608",
    ));
    let findings = findings(
        vec![
            quiet,
            unconsented("fabrikam"),
            wide,
            expired("contoso", 1),
            unconsented("adatum"),
            expired("northwind", 2),
            ill(
                "tailspin",
                Health::Unreachable,
                "login.example sent nothing for 30s",
                "usually passes by itself",
            ),
        ],
        vec![topic("security.incidents"), missing],
    );
    let retirement = Retirement {
        tenants: 1,
        days_left: 69,
    };
    assert_eq!(
        shown(&findings, Some(retirement)),
        "\
The configuration incidentd.toml is valid: 40 tenants (1 defender, 39 graph), 2 schedules, 2 topics.
Of these tenants 7 are looked at.
warning: poll.requests_per_minute: 40 is more than 25

STATE        TENANT                SOURCE  ROLES      TOKEN UNTIL           INCIDENTS
credential   contoso               graph   -          -                     -
credential   northwind             graph   -          -                     -
    why: (contoso) login.example refused a token (401): expired. Trace ID: 1
    do:  (all 2) make a new secret and put its Value into app.client_secret_file
consent      adatum                graph   lacking    2026-11-24T04:00:00Z  -
    link: https://login.example/adatum/adminconsent
consent      fabrikam              graph   lacking    2026-11-24T04:00:00Z  -
    link: https://login.example/fabrikam/adminconsent
    why: the app lacks SecurityIncident.Read.All
    do:  (all 2) let an administrator consent at the link under each name
unreachable  tailspin              graph   -          -                     -
    why: login.example sent nothing for 30s
    do:  usually passes by itself
ok           quiet                 graph   as needed  2026-11-24T05:00:00Z  none in 1d
ok           wide-world-importers  graph   too many   2026-11-24T05:00:00Z  1 read

STATE          TOPIC               FOR        PARTITIONS  MAX RECORD  WRITE
misconfigured  security.status     incidents  -           -           -
    why: the topic security.status does not exist in Kafka
    do:  create it:
           kafka-topics.sh --bootstrap-server kafka-1:9092 --create --topic security.status \\
           --partitions 6 --replication-factor 3 --config max.message.bytes=8388608
ok             security.incidents  incidents  6           8.0 MiB     yes

note: 1 tenant is read through the Defender API, which ends on 2027-02-01 (in 69 days) by
      Microsoft's notice MC1220762. Move to graph: give the app registration the application
      permission SecurityIncident.Read.All of Microsoft Graph, set api.source = \"graph\", and have
      each customer consent through the link that incidentd consent then prints. Nothing is
      published again by the move.
note: the first client secret is refused and the second (app.client_secret_next_file) serves, for
      wide-world-importers: put the second into app.client_secret_file
note: Machine.Isolate is a powerful permission that incidentd has no use for (do Machine.Isolate
      things): it is in the token of wide-world-importers
note: WRITE yes: Kafka was offered a record larger than the topic accepts and refused it for its
      size alone, which it does after it has looked at the permission. Nothing was written; whether
      a smaller record would reach enough replicas was not tried.

7 tenants: 2 credential, 2 consent, 1 unreachable, 2 ok. Kafka: 3 brokers, 2 topics: 1
misconfigured, 1 ok.
"
    );
}

#[test]
fn a_kafka_out_of_reach_has_one_row() {
    let mut findings = findings(vec![healthy("contoso")], Vec::new());
    findings.kafka.failure = Some(Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        "Kafka can't be reached at kafka-1:9092: connection refused",
        "check that Kafka runs",
    ));
    let text = shown(&findings, None);
    let (_, kafka) = text.split_once("\n\nSTATE        KAFKA").unwrap();
    assert_eq!(
        kafka,
        "
unreachable  kafka-1:9092
    why: Kafka can't be reached at kafka-1:9092: connection refused
    do:  check that Kafka runs

1 tenant: 1 ok. Kafka: unreachable.
"
    );
}

#[test]
fn a_name_from_outside_commands_no_terminal_and_no_column() {
    let long = "\u{1b}[2J".to_owned() + &"n".repeat(300);
    let text = shown(&findings(vec![healthy(&long)], vec![topic(&long)]), None);
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(100), "{text}");
}
