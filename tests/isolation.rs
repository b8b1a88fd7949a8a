//! One healthy tenant among sixty failing ones: its sweeps come when its schedule says.

use std::collections::HashMap;
use std::time::Duration;

use crate::support::daemon::Daemon;
use crate::support::kafka::{create_topic, shared};
use crate::support::setup::{Setup, simulator, unique};
use crate::support::tally::Tally;
use crate::support::{SOON, tell, until};
use incidentd::simulator::{Effect, Endpoint, Journal, Options, Rule, SECOND, Simulator, Tenant};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// The number of tenants with each fault.
const EACH: usize = 6;
const PERIOD: i64 = 5;
/// The silence that ends a request. Ten times as long ends a request whose answer drips, which is within the test's
/// time.
const SILENCE: &str = "5s";
const TIME: Duration = Duration::from_secs(70);
/// The time between two new incidents of the healthy tenant, so that they appear at different places within its period.
const INCIDENTS: Duration = Duration::from_millis(3_700);
/// How late a sweep may be on a busy machine.
const LATE: i64 = 1;

/// A fault of a tenant, and the state in which the tenant must then be shown.
struct Ailment {
    name: &'static str,
    state: &'static str,
    afflict: fn(&Simulator, Uuid),
}

const AILMENTS: [Ailment; 10] = [
    ailment("hangs", "unreachable", |s, t| {
        strike(s, t, Endpoint::List, Effect::Hang);
    }),
    ailment("drips", "unreachable", |s, t| {
        strike(s, t, Endpoint::List, Effect::Drip(5));
    }),
    ailment("resets", "unreachable", |s, t| {
        strike(s, t, Endpoint::List, Effect::Reset);
    }),
    ailment("500", "unreachable", |s, t| {
        strike(s, t, Endpoint::List, answer(500, &[], "{}"));
    }),
    ailment("429 for an hour", "throttled", |s, t| {
        let pause = [("Retry-After", "3600")];
        strike(s, t, Endpoint::List, answer(429, &pause, "{}"));
    }),
    ailment("another secret", "credential", |s, t| {
        let other = |tenant: &mut Tenant| tenant.secret.push('x');
        s.world().administer(t, other).unwrap();
    }),
    ailment("no consent", "consent", |s, t| {
        let withdraw = |tenant: &mut Tenant| tenant.consented = false;
        s.world().administer(t, withdraw).unwrap();
    }),
    ailment("a log-in page", "unreachable", |s, t| {
        strike(s, t, Endpoint::List, Effect::LoginPage);
    }),
    ailment("a megabyte of garbage", "unreachable", |s, t| {
        let body = "{\"value\":[{\"id\":".repeat(1 << 20 >> 4);
        let json = [("Content-Type", "application/json")];
        strike(s, t, Endpoint::List, answer(200, &json, &body));
    }),
    ailment("hangs at the token", "unreachable", |s, t| {
        strike(s, t, Endpoint::Token, Effect::Hang);
    }),
];

const fn ailment(
    name: &'static str,
    state: &'static str,
    afflict: fn(&Simulator, Uuid),
) -> Ailment {
    Ailment {
        name,
        state,
        afflict,
    }
}

fn strike(simulator: &Simulator, tenant: Uuid, endpoint: Endpoint, effect: Effect) {
    let rule = Rule::new(effect).at(endpoint).of(tenant);
    simulator.faults().push(rule);
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Effect {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Effect::Answer {
        status,
        headers: headers.iter().map(owned).collect(),
        body: body.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_healthy_tenant_among_sixty_that_fail_keeps_its_own_pace() {
    let (kafka, topic) = (shared(), unique("isolation"));
    // The broker's clock is also the simulator's.
    let stamped = [("message.timestamp.type", "LogAppendTime")];
    create_topic(&kafka, &topic, 1, &stamped).await;
    let count = AILMENTS.len() * EACH + 1;
    let simulator = simulator(count as u32, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    let tenants = world.tenants();
    let (healthy, failing) = (tenants[count / 2].id, EACH * AILMENTS.len());
    let mut ill = HashMap::new();
    let others = tenants.iter().filter(|tenant| tenant.id != healthy);
    for (tenant, ailment) in others.zip(AILMENTS.iter().cycle()) {
        world.create(tenant.id, 1).unwrap();
        (ailment.afflict)(&simulator, tenant.id);
        ill.insert(tenant.name.clone(), ailment);
    }
    assert_eq!(ill.len(), failing);
    let setup = Setup::new(&simulator, &kafka, &topic)
        .text("poll.schedule", &format!("every {PERIOD}s"))
        .text("poll.request_timeout", SILENCE)
        .key("poll.max_concurrent", "8");
    let config = setup.write();

    let began = world.now();
    let mut daemon = Daemon::start(&config).await;
    let mut appeared = HashMap::new();
    let end = Instant::now() + TIME;
    while Instant::now() < end {
        let at = world.now();
        appeared.insert(world.create(healthy, 1).unwrap()[0], at);
        sleep(INCIDENTS).await;
    }
    let ended = world.now();
    let status = daemon.status().await;
    until("the last incident is published", SOON, async || {
        let shown = journal.shown();
        let here = |id: &u64| {
            shown
                .iter()
                .any(|v| v.tenant == healthy && v.incident == *id)
        };
        // Dripping pages always hold a few bytes around their incidents.
        let waits = daemon.metric("incidentd_in_flight_bytes").await;
        waits < 1024.0 && appeared.keys().all(here)
    })
    .await;
    daemon.stop().await;
    journal.settled().await;

    assert_states(&status, &ill);
    let tally = Tally::read(&kafka, &topic, &journal).await;
    tally.assert_exact(&journal);
    let delays = delays(&tally, healthy, &appeared);
    assert_eq!(delays.len(), appeared.len(), "incidents and records");
    let sweeps = sweeps(&journal, healthy);
    let sweeps: Vec<_> = sweeps.into_iter().filter(|at| *at <= ended).collect();
    assert_pace(&sweeps, &delays, (began, ended), failing);
}

/// The times from an incident's appearance to its record in Kafka, in ticks.
fn delays(tally: &Tally, tenant: Uuid, appeared: &HashMap<u64, i64>) -> Vec<i64> {
    let of_tenant = tally.records.iter().filter_map(|(record, version)| {
        let appeared = appeared.get(&version.incident)?;
        (version.tenant == tenant).then(|| record.at * (SECOND / 1000) - appeared)
    });
    of_tenant.collect()
}

/// Checks that no time without a sweep is longer than the period, from start to end.
fn assert_pace(sweeps: &[i64], delays: &[i64], (began, ended): (i64, i64), failing: usize) {
    let (first, last) = (sweeps[0] - began, ended - sweeps[sweeps.len() - 1]);
    let longest = gaps(sweeps).max().unwrap();
    let slowest = delays.iter().copied().max().unwrap();
    tell(format_args!(
        "isolation: healthy tenant's sweeps every {:.1} s (longest {:.2} s, first {:.1} s after the start) among \
         {failing} failing; from an incident to its record {:.1} s, at most {:.1} s",
        // The first turn after the start comes in addition to the schedule.
        seconds(mean(gaps(&sweeps[1..]))),
        seconds(longest),
        seconds(first),
        seconds(mean(delays.iter().copied())),
        seconds(slowest),
    ));
    let limit = (PERIOD + LATE) * SECOND;
    for (what, time) in [
        ("before the first sweep", first),
        ("between two sweeps", longest),
        ("after the last sweep", last),
        ("between an incident and its record", slowest),
    ] {
        assert!(time <= limit, "{} s {what}", seconds(time));
    }
}

/// Checks that each tenant is shown in its state, with a remedy.
fn assert_states(status: &Value, ill: &HashMap<String, &Ailment>) {
    let tenants = status["tenants"].as_array().unwrap();
    assert_eq!(tenants.len(), ill.len() + 1);
    for tenant in tenants {
        let Some(ailment) = ill.get(tenant["name"].as_str().unwrap()) else {
            assert_eq!(tenant["state"], "ok", "the healthy one: {tenant:#}");
            continue;
        };
        assert_eq!(
            tenant["state"], ailment.state,
            "{}: {tenant:#}",
            ailment.name
        );
        let told = |field: &str| tenant[field].as_str().is_some_and(|text| !text.is_empty());
        assert!(
            told("remedy") && told("error"),
            "{}: {tenant:#}",
            ailment.name
        );
    }
}

/// When each of the tenant's sweeps requested its first page, in the ticks of the simulated world.
fn sweeps(journal: &Journal, tenant: Uuid) -> Vec<i64> {
    let requests = journal.requests();
    let of_tenant = requests.iter().filter(|request| {
        let list = request.endpoint == Endpoint::List && request.tenant == Some(tenant);
        list && !request.query.contains("$skip")
    });
    of_tenant.map(|request| request.at).collect()
}

fn gaps(times: &[i64]) -> impl ExactSizeIterator<Item = i64> {
    times.windows(2).map(|pair| pair[1] - pair[0])
}

fn mean(times: impl ExactSizeIterator<Item = i64>) -> i64 {
    let count = times.len() as i64;
    times.sum::<i64>() / count
}

#[allow(clippy::cast_precision_loss)]
fn seconds(ticks: i64) -> f64 {
    ticks as f64 / SECOND as f64
}
