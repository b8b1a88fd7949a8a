//! The start of the first range: no overlap, reconcile, later setting or clock makes a sweep read anything older.

use super::*;
use crate::core::sweep::cursor::DEEP;
use crate::core::sweep::pager::PageAsk;
use crate::ports::Clock;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A clock that is wrong and does not run.
struct Wrong(Ticks);

impl Clock for Wrong {
    fn now(&self) -> Ticks {
        self.0
    }
}

/// 600 incidents of the six days before a lookback of 12 hours, and one within it.
fn long_history() -> Arc<Server> {
    let server = Server::new(Order::NewestFirst, None);
    for id in 1..=600 {
        server.set(id, at(12 * 3600 + id as i64 * 800), 1);
    }
    server.set(1000, at(600), 1);
    server
}

fn tenant_of(world: &World, server: &Arc<Server>, lookback: Duration) -> Arc<Tenant> {
    world.tenant_ruled(1, server, |rules| rules.lookback = lookback)
}

/// A sweep and all of the backlog. Returns how much was published, and how much of it counts as late.
async fn turn(world: &World, tenant: &Tenant) -> (u64, u64) {
    let outcome = sweep(world, tenant).await;
    assert!(outcome.halt.is_none(), "{:?}", outcome.halt);
    let filled = fill(world, tenant, HOUR).await;
    assert!(filled.halt.is_none(), "{:?}", filled.halt);
    (
        outcome.published + filled.published,
        outcome.late_found + filled.late_found,
    )
}

/// Lets time pass, here and at Microsoft.
async fn wait(world: &World, server: &Server, time: Duration) {
    sleep(time).await;
    *server.now.lock() = world.sweeper.clock.now();
}

/// The oldest last update that was requested.
fn oldest_asked(server: &Server) -> Ticks {
    let log = server.traffic.log.lock();
    let from = log.iter().map(|ask| match ask {
        PageAsk::Query(query) => query.span.from,
        other => panic!("{other:?}"),
    });
    from.min().expect("something was asked")
}

#[tokio::test(start_paused = true)]
async fn no_reconcile_publishes_what_is_older_than_the_first_lookback() {
    let (world, server) = (World::new(ROOM), long_history());
    let tenant = tenant_of(&world, &server, 12 * HOUR);
    assert_eq!(turn(&world, &tenant).await, (1, 0));
    for _ in 0..5 {
        wait(&world, &server, 6 * HOUR).await;
        assert_eq!(turn(&world, &tenant).await, (0, 0));
    }
    assert_eq!(oldest_asked(&server), at(12 * 3600));
}

#[tokio::test(start_paused = true)]
async fn what_appears_late_within_the_first_range_is_still_found() {
    let (world, server) = (World::new(ROOM), long_history());
    let tenant = tenant_of(&world, &server, 12 * HOUR);
    turn(&world, &tenant).await;
    server.set(2000, at(12 * 3600), 1);
    server.set(2001, at(12 * 3600 + 1), 1);
    wait(&world, &server, 6 * HOUR).await;
    assert_eq!(turn(&world, &tenant).await, (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_longer_lookback_or_window_later_on_reads_nothing_older() {
    let (world, server) = (World::new(ROOM), long_history());
    let tenant = tenant_of(&world, &server, 12 * HOUR);
    turn(&world, &tenant).await;
    // The configuration is reloaded, and a reconcile is due.
    let tenant = world.tenant_ruled(1, &server, |rules| {
        rules.lookback = 30 * DAY;
        rules.reach.reconcile_window = 180 * DAY;
    });
    wait(&world, &server, 6 * HOUR).await;
    assert_eq!(turn(&world, &tenant).await, (0, 0));
    assert_eq!(oldest_asked(&server), at(12 * 3600));
}

#[tokio::test(start_paused = true)]
async fn nothing_older_is_read_of_a_tenant_that_had_shown_nothing_when_lookback_was_raised() {
    let (world, server) = (World::new(ROOM), long_history());
    server.incidents.lock().remove(&1000);
    let tenant = tenant_of(&world, &server, 12 * HOUR);
    turn(&world, &tenant).await;
    let tenant = tenant_of(&world, &server, 30 * DAY);
    for _ in 0..3 {
        wait(&world, &server, 6 * HOUR).await;
        assert_eq!(turn(&world, &tenant).await, (0, 0));
    }
    assert_eq!(oldest_asked(&server), at(12 * 3600));
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_by_months_moves_no_window_into_history() {
    let (mut world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    let tenant = tenant_of(&world, &server, 90 * DAY);
    server.set(1, at(600), 1);
    turn(&world, &tenant).await;
    // An incident found late: older than the reconcile window, but within the first range.
    server.set(2, at(60 * 86_400), 1);
    server.traffic.log.lock().clear();
    world.sweeper.clock = Arc::new(Wrong(START.minus(120 * DAY)));
    assert_eq!(turn(&world, &tenant).await, (0, 0));
    let window = tenant.rules.reach.reconcile_window;
    assert_eq!(oldest_asked(&server), at(600).minus(window));
}

#[tokio::test(start_paused = true)]
async fn a_first_range_that_a_fast_clock_began_too_late_is_moved_with_its_floor() {
    let (mut world, server) = (World::new(ROOM), long_history());
    let right = world.sweeper.clock.clone();
    let tenant = tenant_of(&world, &server, 12 * HOUR);
    world.sweeper.clock = Arc::new(Wrong(START.plus(10 * HOUR)));
    server.set(1000, at(11 * 3600), 1);
    assert_eq!(turn(&world, &tenant).await, (0, 0));
    // A second answer shows that Microsoft's clock advances.
    sleep(Duration::from_secs(30)).await;
    let shown = right.now();
    *server.now.lock() = shown;
    assert_eq!(
        turn(&world, &tenant).await,
        (1, 0),
        "what was never read can't be late"
    );
    world.sweeper.clock = right;
    server.set(1001, at(11 * 3600 + 1800), 1);
    wait(&world, &server, 6 * HOUR).await;
    assert_eq!(turn(&world, &tenant).await, (1, 1));
    assert_eq!(oldest_asked(&server), shown.minus(12 * HOUR));
}

#[tokio::test(start_paused = true)]
async fn it_is_moved_too_when_the_clock_was_put_right_before_microsoft_first_answered() {
    let (mut world, server) = (World::new(ROOM), long_history());
    let right = world.sweeper.clock.clone();
    let tenant = tenant_of(&world, &server, 12 * HOUR);
    server.set(1000, at(11 * 3600), 1);
    let refusal = crate::runtime::fakes::broken_page();
    *server.faults.pages.lock() = vec![Fault::Refuse(refusal); 100];
    // A machine that boots with a wrong clock and without a network.
    world.sweeper.clock = Arc::new(Wrong(START.plus(10 * HOUR)));
    failed(&sweep(&world, &tenant).await);
    world.sweeper.clock = right;
    failed(&sweep(&world, &tenant).await);
    server.faults.pages.lock().clear();
    assert_eq!(turn(&world, &tenant).await, (1, 0));
}

#[tokio::test(start_paused = true)]
async fn it_is_moved_too_when_the_first_sweep_broke_off_in_the_midst_of_a_long_range() {
    let (mut world, server) = (World::new(ROOM), Server::new(Order::NewestFirst, None));
    let right = world.sweeper.clock.clone();
    let tenant = world.tenant_ruled(1, &server, |rules| {
        (rules.lookback, rules.page_size) = (12 * HOUR, 10);
    });
    for id in 1..=100 {
        server.set(id, at(1800 + id as i64), 1);
    }
    server.set(1000, at(11 * 3600), 1);
    // After five pages the older part is left to the backlog, and the request for the newest part is refused.
    let mut faults = vec![Fault::Refuse(crate::runtime::fakes::broken_page())];
    faults.extend(vec![Fault::Fine; DEEP as usize]);
    *server.faults.pages.lock() = faults;
    world.sweeper.clock = Arc::new(Wrong(START.plus(10 * HOUR)));
    let broken_off = sweep(&world, &tenant).await;
    failed(&broken_off);
    world.sweeper.clock = right;
    let (rest, late) = turn(&world, &tenant).await;
    assert_eq!((broken_off.published + rest, late), (101, 0));
}

#[tokio::test(start_paused = true)]
async fn what_microsoft_shows_unasked_from_before_the_first_range_is_published() {
    let (world, server) = (World::new(ROOM), long_history());
    let tenant = tenant_of(&world, &server, 12 * HOUR);
    turn(&world, &tenant).await;
    let old = r#"{"id":3000,"at":"2001-02-03T04:05:06Z","content":1}"#;
    *server.faults.pages.lock() = vec![Fault::Garbage(old)];
    assert_eq!(sweep(&world, &tenant).await.published, 1);
    assert!(published(&world).contains_key(old));
}
