//! Both of Microsoft's APIs, with their faults, and tenants that move from one to the other.

use std::time::Duration;

use crate::support::daemon::Daemon;
use crate::support::kafka::{create_topic, shared};
use crate::support::setup::{Setup, create_in_each, simulator, unique};
use crate::support::tally::Tally;
use crate::support::{SOON, tell, until};
use incidentd::simulator::{
    Effect, Endpoint, Faults, GraphOptions, Journal, Options, Paging, Rule, SECOND, Simulator,
    World,
};
use tokio::time::{Instant, sleep};

const SOURCES: [&str; 2] = ["defender", "graph"];
const TROUBLED: Duration = Duration::from_secs(20);
/// A reconcile a minute after the start, and time for what it finds.
const RECONCILED: Duration = Duration::from_secs(300);

fn setup(simulator: &Simulator, topic: &str, source: &str) -> Setup {
    Setup::new(simulator, &shared(), topic).text("api.source", source)
}

/// Microsoft's occasional faults, for every kind of request.
fn spoil(faults: &Faults) {
    let effects = [
        (
            0.04,
            Rule::status(
                500,
                r#"{"error":{"code":"InternalServerError","message":"x"}}"#,
            ),
        ),
        (0.02, Rule::status(503, "<html>busy</html>")),
        (0.02, Rule::new(Effect::Reset)),
        (0.03, Rule::new(Effect::ResetAfter(3_000))),
        (0.03, Rule::new(Effect::ShortOfLength(2_000))),
        (0.03, Rule::new(Effect::BrokenJson(4_000))),
        (0.02, Rule::new(Effect::LoginPage)),
        (0.01, Rule::new(Effect::Hang)),
        (0.03, Rule::new(Effect::Partial(1))),
        (0.05, Rule::new(Effect::StaleLink(410))),
    ];
    for (chance, rule) in effects {
        faults.push(rule.at(Endpoint::List).by_chance(chance));
    }
    for (endpoint, chance, rule) in [
        (Endpoint::Token, 0.2, Rule::status(500, "")),
        (Endpoint::Alerts, 0.02, Rule::status(500, "")),
        (Endpoint::Alerts, 0.02, Rule::new(Effect::Reset)),
        (Endpoint::Alerts, 0.02, Rule::new(Effect::Partial(1))),
        (Endpoint::Alerts, 0.01, Rule::new(Effect::Hang)),
        (Endpoint::Get, 0.1, Rule::new(Effect::Partial(0))),
    ] {
        faults.push(rule.at(endpoint).by_chance(chance));
    }
}

/// Two incidents of each tenant that can't be returned with their alerts.
fn poison(world: &World, faults: &Faults) -> Vec<(uuid::Uuid, u64)> {
    let mut poisoned = Vec::new();
    for tenant in world.tenants() {
        for id in [7, 90] {
            let effect = Effect::Answer {
                status: 500,
                headers: Vec::new(),
                body: String::new(),
            };
            faults.poison(tenant.id, id, effect);
            poisoned.push((tenant.id, id));
        }
    }
    poisoned
}

async fn complete(topic: &str, journal: &Journal, limit: Duration) -> Tally {
    Tally::until_complete(&shared(), topic, journal, limit).await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_random_faults_each_source_has_published_all_and_nothing_twice() {
    tokio::join!(survives("defender"), survives("graph"));
}

async fn survives(source: &'static str) {
    let options = Options {
        paging: Paging::NextLink {
            page: 40,
            empty_pages: true,
        },
        graph: GraphOptions {
            page: Some(30),
            empty_pages: true,
            alerts: Some(2),
            millis: false,
        },
        scores: true,
        ..Options::default()
    };
    let paging = if source == "graph" {
        options
    } else {
        Options::default()
    };
    let simulator = simulator(3, paging).await;
    let (world, journal, faults) = (simulator.world(), simulator.journal(), simulator.faults());
    for tenant in world.tenants() {
        for n in 0..200 {
            world
                .create_dated(tenant.id, world.now() - 17 * n * SECOND)
                .unwrap();
        }
    }
    let topic = unique(source);
    create_topic(&shared(), &topic, 3, &[]).await;
    let config = setup(&simulator, &topic, source)
        .text("poll.lookback", "2h")
        .text("poll.reconcile_every", "1m")
        .text("poll.request_timeout", "2s");
    let poisoned = poison(&world, &faults);
    spoil(&faults);
    let mut daemon = Daemon::start(&config.write()).await;
    let end = Instant::now() + TROUBLED;
    while Instant::now() < end {
        world.evolve(3);
        sleep(Duration::from_millis(300)).await;
    }
    faults.clear();
    for (tenant, id) in poisoned {
        faults.cure(tenant, id);
    }
    let healed = Instant::now();
    let tally = complete(&topic, &journal, RECONCILED).await;
    assert_eq!(tally.repeats(), 0, "{source}: published twice");
    tally.assert_in_order();
    // An unreadable incident rests for minutes, and each reconcile ends its rest.
    until("all tenants are well again", RECONCILED, async || {
        let status = daemon.status().await;
        let mut tenants = status["tenants"].as_array().unwrap().iter();
        tenants.all(|tenant| tenant["state"] == "ok" && tenant["backfill"].is_null())
    })
    .await;
    tell(format_args!(
        "{source}: {} s of faults; {} versions, {} more without alerts, 0 twice, 0 missing {:.1} s after",
        TROUBLED.as_secs(),
        tally.records.len(),
        tally.bare.len(),
        healed.elapsed().as_secs_f64()
    ));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_moves_between_the_sources_and_back_with_its_ledger() {
    let options = Options {
        graph: GraphOptions {
            millis: true,
            ..GraphOptions::default()
        },
        ..Options::default()
    };
    let simulator = simulator(2, options).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 120);
    let topic = unique("moving");
    create_topic(&shared(), &topic, 3, &[]).await;
    let mut config = setup(&simulator, &topic, "defender");
    let mut records = 0;
    for source in ["defender", "graph", "defender", "graph"] {
        config = config.text("api.source", source);
        let mut daemon = Daemon::start(&config.write()).await;
        until("both tenants are read", SOON, async || {
            let status = daemon.status().await;
            let mut tenants = status["tenants"].as_array().unwrap().iter();
            tenants.all(|tenant| tenant["state"] == "ok" && tenant["source"] == source)
        })
        .await;
        let tally = complete(&topic, &journal, SOON).await;
        assert!(
            records == 0 || tally.records.len() == records,
            "{} records after the move to {source}, {records} before",
            tally.records.len()
        );
        world.evolve(40);
        let tally = complete(&topic, &journal, SOON).await;
        assert_eq!(tally.repeats(), 0, "{source}");
        records = tally.records.len();
        daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_beyond_the_size_limit_are_read_in_smaller_ones() {
    for source in SOURCES {
        let options = Options {
            incident_bytes: Some(60_000),
            ..Options::default()
        };
        let simulator = simulator(1, options).await;
        let (world, journal) = (simulator.world(), simulator.journal());
        world.create(world.tenants()[0].id, 150).unwrap();
        let topic = unique("size");
        create_topic(&shared(), &topic, 1, &[]).await;
        let config = setup(&simulator, &topic, source).key("poll.max_response", "\"1MiB\"");
        let mut daemon = Daemon::start(&config.write()).await;
        let tally = complete(&topic, &journal, SOON).await;
        assert_eq!(tally.repeats(), 0, "{source}");
        assert_eq!(tally.bare, [], "{source}");
        daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_whose_alerts_graph_cannot_give_goes_out_without_them_and_whole_once_it_can() {
    let simulator = simulator(1, Options::default()).await;
    let (world, journal, faults) = (simulator.world(), simulator.journal(), simulator.faults());
    let tenant = world.tenants()[0].id;
    world.create(tenant, 80).unwrap();
    let effect = Effect::Answer {
        status: 500,
        headers: Vec::new(),
        body: String::new(),
    };
    faults.poison(tenant, 40, effect);
    let topic = unique("poison");
    create_topic(&shared(), &topic, 1, &[]).await;
    let config = setup(&simulator, &topic, "graph").text("poll.reconcile_every", "1m");
    let mut daemon = Daemon::start(&config.write()).await;
    world.create(tenant, 3).unwrap();
    until(
        "it is there without alerts, and the others whole",
        SOON,
        async || {
            let tally = Tally::read(&shared(), &topic, &journal).await;
            let bare: Vec<_> = tally.bare.iter().map(|version| version.incident).collect();
            let missing = tally.missing(journal.current());
            bare == [40] && missing.iter().all(|version| version.incident == 40)
        },
    )
    .await;
    faults.cure(tenant, 40);
    let tally = complete(&topic, &journal, RECONCILED).await;
    assert_eq!((tally.repeats(), tally.bare.len()), (0, 1));
    daemon.stop().await;
}
