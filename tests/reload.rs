//! Fifty reloads of a fleet of 500 tenants while incidents arrive: unchanged tenants must not notice.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::daemon::Daemon;
use crate::support::kafka::{create_topic, shared};
use crate::support::setup::{Setup, simulator, unique};
use crate::support::tally::Tally;
use crate::support::{SOON, tell, until};
use incidentd::simulator::{Endpoint, Options, SECOND, Tenant};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

const TENANTS: u32 = 500;
/// The first tenants, which no reload ever touches.
const UNTOUCHED: usize = 400;
const RELOADS: usize = 50;
const PERIOD: i64 = 10;
/// How late a sweep may be on a busy machine.
const LATE: i64 = 3;
/// The number of tenants outside the fleet at a time, and of those with their own settings.
const AWAY: usize = 20;
const CHANGED: usize = 20;

/// The fleet of the `n`th reload. Of the tenants that reloads touch, some are away and some have new settings, others
/// each time.
fn write(config: &Path, head: &str, tenants: &[Tenant], n: usize) {
    let mut text = head.to_owned();
    for (place, Tenant { id, name, .. }) in tenants.iter().enumerate() {
        let touched = place.checked_sub(UNTOUCHED);
        let turn = touched.map(|place| (place + 7 * n) % (tenants.len() - UNTOUCHED));
        if n > 0 && turn.is_some_and(|turn| turn < AWAY) {
            continue;
        }
        writeln!(text, "[[tenants]]\nid = \"{id}\"\nname = \"{name}\"").unwrap();
        if n > 0 && turn.is_some_and(|turn| (AWAY..AWAY + CHANGED).contains(&turn)) {
            writeln!(text, "poll.overlap = \"{}m\"", 5 + n % 10).unwrap();
        }
    }
    fs::write(config, text).unwrap();
}

async fn reload(daemon: &Daemon, n: usize) {
    let before = daemon.status().await["configuration"]["loaded"].clone();
    daemon.signal("HUP");
    until(&format!("reload {n} is applied"), SOON, async || {
        let now = daemon.status().await["configuration"].clone();
        assert_eq!(now["state"], "ok", "{now:#}");
        now["loaded"] != before
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_reloads_disturb_nobody_they_do_not_concern_and_lose_and_repeat_nothing() {
    let (kafka, topic) = (shared(), unique("reload"));
    create_topic(&kafka, &topic, 3, &[]).await;
    let simulator = simulator(TENANTS, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    let tenants = world.tenants();
    for tenant in &tenants {
        world.create(tenant.id, 2).unwrap();
    }
    let setup =
        Setup::new(&simulator, &kafka, &topic).text("poll.schedule", &format!("every {PERIOD}s"));
    let config = setup.write();
    let text = fs::read_to_string(&config).unwrap();
    let (head, _) = text.split_once("[[tenants]]").unwrap();
    let mut daemon = Daemon::start(&config).await;
    until("all tenants are ok", 2 * SOON, async || {
        daemon.metric("incidentd_tenants{state=\"ok\"}").await == f64::from(TENANTS)
    })
    .await;
    let began = world.now();
    let tokens = journal.token_requests();
    assert_eq!(tokens, u64::from(TENANTS), "one for each tenant");

    let reloads = Instant::now();
    for n in 1..=RELOADS {
        world.evolve(20);
        write(&config, head, &tenants, n);
        reload(&daemon, n).await;
        sleep(Duration::from_millis(200)).await;
    }
    let took = reloads.elapsed();
    write(&config, head, &tenants, 0);
    reload(&daemon, RELOADS + 1).await;
    let tally = Tally::until_complete(&kafka, &topic, &journal, 2 * SOON).await;
    let missed = daemon.metric("incidentd_missed_firings_total").await;
    daemon.stop().await;
    journal.settled().await;

    assert_eq!(tally.repeats(), 0, "published twice");
    tally.assert_in_order();
    let requests = journal.requests();
    let untouched: Vec<Uuid> = tenants[..UNTOUCHED]
        .iter()
        .map(|tenant| tenant.id)
        .collect();
    let mut sweeps: HashMap<Uuid, Vec<i64>> = HashMap::new();
    for request in requests.iter().filter(|request| request.at >= began) {
        let of = request.tenant.filter(|tenant| untouched.contains(tenant));
        match (of, request.endpoint) {
            (Some(tenant), Endpoint::List) => sweeps.entry(tenant).or_default().push(request.at),
            (Some(tenant), _) => panic!(
                "{tenant}, which no reload concerned, asked for {:?}",
                request.endpoint
            ),
            (None, _) => {}
        }
    }
    assert_eq!(sweeps.len(), UNTOUCHED, "tenants that were swept");
    let gaps = sweeps
        .values()
        .flat_map(|times| times.windows(2).map(|pair| pair[1] - pair[0]));
    let (shortest, longest) = (gaps.clone().min().unwrap(), gaps.max().unwrap());
    // A request of another tenant that a reload broke off may still be at the server when the next one arrives.
    for tenant in &tenants[..UNTOUCHED] {
        assert_eq!(
            journal.most_concurrent_lists(tenant.id),
            1,
            "{} overlapped itself",
            tenant.name
        );
    }
    let seconds = |time: i64| time as f64 / SECOND as f64;
    tell(format_args!(
        "{RELOADS} reloads of {TENANTS} tenants in {:.1} s: {} records, 0 twice; {UNTOUCHED} untouched tenants, swept every \
         {PERIOD} s: {:.1} to {:.1} s between sweeps, 0 token requests; {} of the others; missed firings {missed}",
        took.as_secs_f64(),
        tally.records.len(),
        seconds(shortest),
        seconds(longest),
        journal.token_requests() - tokens,
    ));
    assert!(
        longest <= (PERIOD + LATE) * SECOND,
        "a sweep was left out or delayed"
    );
    assert!(
        shortest >= (PERIOD - LATE) * SECOND,
        "a sweep was begun anew"
    );
}
