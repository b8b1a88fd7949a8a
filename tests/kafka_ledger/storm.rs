//! Replicas that are killed, stopped and suspended at random, while incidents change.

use super::*;

const REPLICAS: usize = 3;
const PARTITIONS: u16 = 12;
const TENANTS: u32 = 60;
const BLOWS: usize = 40;
/// Longer than the session timeout of the group, which is 15 s.
const SUSPENDED: Duration = Duration::from_secs(20);
/// The number of versions that are shown, at least.
const VERSIONS: usize = 5_000;

/// What happens to a replica.
#[derive(Debug, Clone, Copy)]
enum Blow {
    Kill,
    Stop,
    Suspend,
}

/// `INCIDENTD_TEST_BLOWS` makes it longer, and `INCIDENTD_TEST_SEED` repeats an earlier run.
#[tokio::test(flavor = "multi_thread")]
async fn forty_kills_stops_and_suspensions_publish_each_version_once() {
    let blows = number("INCIDENTD_TEST_BLOWS").map_or(BLOWS, |blows| blows as usize);
    let (simulator, seed) = drawn_simulator(TENANTS, 40).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    // Some changes of an alert leave the incident's last update as it is. A storm that lasts longer than poll.overlap needs the
    // reconcile to find them.
    let often = |setup: Setup| setup.text("poll.reconcile_every", "1m");
    let replicas = Replicas::at(&shared(), &simulator, REPLICAS, PARTITIONS, often).await;
    let mut chance = StdRng::seed_from_u64(seed);
    let mut running: Vec<Daemon> = (0..REPLICAS).map(|n| replicas.spawn(n)).collect();
    // A longer storm shows no more versions: the topic is read whole, and more than once.
    let changing = keep_changing(world.clone(), OFTEN * (blows / BLOWS).max(1) as u32);
    let mut suspended: Vec<(usize, Instant)> = Vec::new();
    let mut counts = [0_usize; 3];
    while counts.iter().sum::<usize>() < blows {
        sleep(Duration::from_millis(chance.random_range(200..4_000))).await;
        resume(&running, &mut suspended, SUSPENDED);
        let replica = chance.random_range(0..REPLICAS);
        if suspended.iter().any(|(of, _)| *of == replica) {
            continue;
        }
        let blow = match chance.random_range(0..10) {
            0..6 => Blow::Kill,
            6..8 => Blow::Stop,
            _ => Blow::Suspend,
        };
        counts[blow as usize] += 1;
        match blow {
            Blow::Kill => running[replica].kill().await,
            Blow::Stop => running[replica].stop_if_ready().await,
            Blow::Suspend => {
                running[replica].signal("STOP");
                suspended.push((replica, Instant::now()));
                continue;
            }
        }
        running[replica] = replicas.spawn(replica);
    }
    until("enough was shown", 4 * SOON, async || {
        journal.shown_count() >= VERSIONS
    })
    .await;
    changing.abort();
    let _ = changing.await;
    resume(&running, &mut suspended, Duration::ZERO);
    Tally::until_complete(&replicas.kafka, &replicas.topic, &journal, 4 * SOON).await;
    for daemon in &mut running {
        daemon.stop_if_ready().await;
    }
    journal.settled().await;

    let tally = Tally::read(&replicas.kafka, &replicas.topic, &journal).await;
    let [kills, stops, suspensions] = counts;
    tell(format_args!(
        "{kills} kills, {stops} stops, {suspensions} suspensions: shown={} records={} repeats={} lost={}",
        journal.shown_count(),
        tally.records.len(),
        tally.repeats(),
        tally.missing(journal.current()).len(),
    ));
    assert_eq!(
        tally.repeats(),
        0,
        "published twice, in group {}",
        replicas.group
    );
    assert!(tally.missing(journal.current()).is_empty(), "lost");
    tally.assert_in_order();
}

/// Lets replicas go on that were suspended for long enough.
fn resume(running: &[Daemon], suspended: &mut Vec<(usize, Instant)>, after: Duration) {
    suspended.retain(|(replica, since)| {
        let over = since.elapsed() >= after;
        if over {
            running[*replica].signal("CONT");
        }
        !over
    });
}
