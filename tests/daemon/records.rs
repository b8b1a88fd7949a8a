//! The records on the topic.

use std::collections::BTreeSet;

use incidentd::simulator::{Effect, Endpoint, Options, Rule, SECOND, Update, World};
use serde_json::Value;
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::kafka::{Found, create_topic, read_all, shared};
use crate::support::setup::{Setup, simulator, unique};
use crate::support::tally::{Tally, header};
use crate::support::{SOON, blocking, tell, until};

#[tokio::test(flavor = "multi_thread")]
async fn every_shown_version_arrives_once_and_a_restart_repeats_none() {
    let (kafka, topic) = (shared(), unique("versions"));
    create_topic(&kafka, &topic, 3, &[]).await;
    let simulator = simulator(3, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    let tenants: Vec<Uuid> = world.tenants().iter().map(|tenant| tenant.id).collect();
    for tenant in &tenants {
        world.create(*tenant, 30).unwrap();
    }
    let setup = Setup::new(&simulator, &kafka, &topic);
    let config = setup.write();
    let mut daemon = Daemon::start(&config).await;
    Tally::until_complete(&kafka, &topic, &journal, SOON).await;
    for round in 0..5 {
        for tenant in &tenants {
            change_everything(&world, *tenant, round);
        }
        Tally::until_complete(&kafka, &topic, &journal, SOON).await;
    }
    daemon.stop().await;
    journal.settled().await;
    let tally = Tally::read(&kafka, &topic, &journal).await;
    tally.assert_exact(&journal);
    tally.assert_in_order();
    let changes: BTreeSet<&str> = tally
        .records
        .iter()
        .map(|(record, _)| change(record))
        .collect();
    let all = ["created", "redirected", "reopened", "resolved", "updated"];
    assert_eq!(changes, BTreeSet::from(all));
    for (record, _) in &tally.records {
        follows_the_contract(record, &simulator.url());
    }
    tell(format_args!(
        "{} versions shown, {} records",
        journal.shown_count(),
        tally.records.len()
    ));

    let sweeps = journal.requests().len();
    let mut daemon = Daemon::start(&config).await;
    until("every tenant was swept again", SOON, async || {
        journal.requests().len() > sweeps + 4 * tenants.len()
    })
    .await;
    daemon.stop().await;
    let after = Tally::read(&kafka, &topic, &journal).await;
    assert_eq!(
        after.records.len(),
        tally.records.len(),
        "records after a restart with its ledger"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_incident_goes_to_the_dead_letters_raw_and_its_neighbours_and_chains_of_merges_arrive()
 {
    let (kafka, topic, dead) = (shared(), unique("hard"), unique("dead"));
    create_topic(&kafka, &topic, 1, &[]).await;
    create_topic(&kafka, &dead, 1, &[]).await;
    let simulator = simulator(1, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    let tenant = world.tenants()[0].id;
    let ids = world.create(tenant, 5).unwrap();
    let torn = b"{\"id\":\"77\",\"x\":\"\xff\"}".to_vec();
    let deep = ("[".repeat(300) + &"]".repeat(300)).into_bytes();
    for bad in [&torn, &deep] {
        let rule = Rule::new(Effect::BadIncident(bad.clone()));
        simulator.faults().push(rule.at(Endpoint::List).times(3));
    }
    let setup = Setup::new(&simulator, &kafka, &topic).text("kafka.dead_letter_topic", &dead);
    let mut daemon = Daemon::start(&setup.write()).await;
    Tally::until_complete(&kafka, &topic, &journal, SOON).await;
    // Merge A into B, then B into C.
    world.merge(tenant, ids[0], ids[1]).unwrap();
    Tally::until_complete(&kafka, &topic, &journal, SOON).await;
    world.merge(tenant, ids[1], ids[2]).unwrap();
    let tally = Tally::until_complete(&kafka, &topic, &journal, SOON).await;
    let redirected: BTreeSet<_> = tally
        .records
        .iter()
        .filter(|(record, _)| change(record) == "redirected")
        .map(|(_, version)| version.incident)
        .collect();
    assert_eq!(redirected, BTreeSet::from([ids[0], ids[1]]));
    until("both dead letters are there", SOON, async || {
        daemon.metric("incidentd_dead_letters_total").await == 2.0
    })
    .await;
    daemon.stop().await;
    let letters = blocking(move || read_all(&kafka, &dead)).await;
    let values: BTreeSet<_> = letters.into_iter().map(|letter| letter.value).collect();
    assert_eq!(values, BTreeSet::from([torn, deep]), "raw, and once each");
}

/// Every kind of change to a tenant's incidents.
fn change_everything(world: &World, tenant: Uuid, round: u64) {
    let new = world.create(tenant, 4).unwrap();
    world
        .create_dated(tenant, world.now() - 300 * SECOND)
        .unwrap();
    world
        .update(tenant, new[0], Update::Comment("Called.".into()))
        .unwrap();
    world.alert_only_change(tenant, new[1]).unwrap();
    // One incident merged before it was published, and one after.
    world.merge(tenant, new[2], new[3]).unwrap();
    world.merge(tenant, 20 + round, 30).unwrap();
    // Incidents that existed before the daemon, and that no merge touches.
    let (next, ties) = (1 + round, [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    world.resolve(tenant, next).unwrap();
    if round > 0 {
        world.reopen(tenant, round).unwrap();
    }
    world.bulk_update(tenant, &ties).unwrap();
}

/// `updated` of `incidentd.incident.updated.v1`.
fn change(record: &Found) -> &str {
    let kind = header(record, "ce_type").expect("a type");
    let change = kind
        .strip_prefix("incidentd.incident.")
        .and_then(|rest| rest.strip_suffix(".v1"));
    change.unwrap_or_else(|| panic!("the type of an incident's record: {kind}"))
}

/// Checks key, headers and envelope as consumers know them.
fn follows_the_contract(record: &Found, source: &str) {
    let (tenant, incident) = record.key.split_once('/').expect("two parts of the key");
    let event: Value = serde_json::from_slice(&record.value).expect("JSON");
    let of = |name: &str| header(record, name).unwrap_or_else(|| panic!("no {name} in {record:?}"));
    let says_what_is_new = |name: &str| {
        matches!(
            name,
            "ce_previousid"
                | "ce_changedmembers"
                | "ce_alertsadded"
                | "ce_alertsremoved"
                | "ce_alertschanged"
        )
    };
    let headers = record.headers.iter();
    let others = headers.filter(|(name, _)| !says_what_is_new(name));
    assert_eq!(others.count(), 9, "{:?}", record.headers);
    assert_eq!(of("content-type"), "application/cloudevents+json");
    assert_eq!(of("ce_specversion"), "1.0");
    assert_eq!(of("ce_source"), source);
    assert_eq!(of("ce_subject"), incident);
    assert_eq!(of("tenant_id"), tenant);
    assert!(
        of("tenant_name").starts_with("customer-"),
        "{}",
        of("tenant_name")
    );
    let id: Vec<&str> = of("ce_id").split('/').collect();
    assert_eq!((id.len(), id[0], id[1]), (4, tenant, incident), "{id:?}");
    assert!(id[2].parse::<u64>().is_ok(), "ticks in decimal: {id:?}");
    assert!(
        id[3].bytes().all(|byte| byte.is_ascii_hexdigit()),
        "a hash in hex: {id:?}"
    );
    for name in ["specversion", "id", "source", "type", "subject", "time"] {
        assert_eq!(
            event[name],
            of(&format!("ce_{name}")),
            "{name} in the envelope"
        );
    }
    assert_eq!(event["tenant"], tenant);
    assert_eq!(event["change"], change(record));
    assert_eq!(event["data"]["id"], incident);
}
