//! Elements that can't be read: counted and logged once, sent once, and bounded in everything else.

use parking_lot::Mutex;
use std::io;

use super::*;
use crate::core::incident::dead_letters::{Letter, MOST};
use crate::core::incident::version::{ContentHash, Deduplicate};
use crate::ports::Item;
use crate::runtime::fakes::FakeEncoder;
use crate::runtime::tenant::Tenant;

/// Lets the next page begin with elements that are not incidents.
fn spoil(server: &Server, elements: std::ops::Range<usize>) {
    let elements: Vec<_> = elements.map(|n| format!("{{\"a\":{n}}}")).collect();
    let garbage = Fault::Garbage(elements.join(",").leak());
    server.faults.pages.lock().push(garbage);
}

fn dead(world: &World) -> u64 {
    *world.counts.dead.lock()
}

fn letters(world: &World) -> Vec<Letter> {
    let letters = world.ledger.letters.lock();
    letters.values().copied().collect()
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn begin(&self) -> tracing::subscriber::DefaultGuard {
        let lines = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || lines.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }

    /// The lines about letters since the last call.
    fn take(&self) -> Vec<String> {
        let text = std::mem::take(&mut *self.0.lock());
        let text = String::from_utf8(text).expect("UTF-8");
        let lines = text.lines().filter(|line| line.contains("be read"));
        lines.map(str::to_owned).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_counted_once_as_a_whole_logged_in_a_handful_of_lines_and_lettered_bit_by_bit() {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    server.set(1, at(50), 1);
    let lines = Lines::default();
    let _guard = lines.begin();
    for pass in 0..6 {
        spoil(&server, 0..400);
        assert!(sweep(&world, &tenant).await.halt.is_none());
        assert_eq!(dead(&world), 400, "in sweep {pass}");
        let logged = lines.take();
        let expected = if pass == 0 { 4 } else { 0 };
        assert_eq!(logged.len(), expected, "in sweep {pass}: {logged:#?}");
        let sent = world.topic.values("dead").len();
        assert_eq!(sent, 400.min((pass + 1) * 100), "in sweep {pass}");
    }
    let mut sent = world.topic.values("dead");
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), 400, "a letter was repeated");
    assert_eq!(letters(&world).len(), 400);
    assert_eq!(world.topic.values("incidents").len(), 1);
    assert_eq!(cursor(&world, &tenant), Some(at(50)));
}

#[tokio::test(start_paused = true)]
async fn ever_new_floods_fill_neither_ledger_nor_topic_nor_log() {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let tenant = world.tenant(1, &server, 100);
    let lines = Lines::default();
    let _guard = lines.begin();
    let mut logged = 0;
    for pass in 0..20 {
        spoil(&server, pass * 400..(pass + 1) * 400);
        assert!(sweep(&world, &tenant).await.halt.is_none());
        logged += lines.take().len();
    }
    assert_eq!(dead(&world), 20 * 400, "not all were counted");
    assert_eq!(letters(&world).len(), MOST);
    let sent = world.topic.values("dead").len();
    assert!((200..=MOST).contains(&sent), "{sent} letters");
    // Three sweeps with four lines each, and one line for everything beyond the bound.
    assert!(logged <= 13, "{logged} lines");
}

#[tokio::test(start_paused = true)]
async fn what_has_no_topic_or_is_not_accepted_by_it_is_counted_all_the_same_and_sent_when_it_can_be()
 {
    let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
    let without = world.tenant_made(1, &server, |parts: &mut Tenant| {
        let encoder = parts.encoder.clone();
        parts.encoder = Arc::new(FakeEncoder {
            encode: move |item: &Item| match item {
                Item::DeadLetter { .. } => None,
                item => encoder.encode(item),
            },
            takes_dead_letters: false,
        });
    });
    let with = world.tenant(1, &server, 100);
    server.set(1, at(50), 1);
    for pass in 0..4 {
        spoil(&server, 7..8);
        let tenant = if pass < 2 { &without } else { &with };
        let refused = (pass == 2).then_some("\"a\"");
        *world.topic.refused.lock() = refused;
        assert!(
            sweep(&world, tenant).await.halt.is_none(),
            "it stops nobody"
        );
        assert_eq!(dead(&world), 1, "in sweep {pass}");
        let accepted = letters(&world)[0].accepted;
        assert_eq!(accepted, pass == 3, "in sweep {pass}");
    }
    assert_eq!(world.topic.values("dead"), ["{\"a\":7}"]);
    assert_eq!(world.topic.values("incidents").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn letters_are_forgotten_by_age_whatever_is_deduplicated_by() {
    for deduplicate in [Deduplicate::Version, Deduplicate::Id] {
        let (world, server) = (World::new(ROOM), Server::new(Order::OldestFirst, None));
        let tenant = world.tenant_ruled(1, &server, |rules| rules.deduplicate = deduplicate);
        let key = |content| (tenant.id, ContentHash(content));
        server.set(1, at(50), 1);
        for (content, days) in [(1, 40), (2, 20)] {
            let met = START.minus(Duration::from_secs(days * 86_400));
            let letter = Letter {
                met,
                accepted: true,
            };
            let mut letters = world.ledger.letters.lock();
            letters.insert(key(content), letter);
        }
        for _ in 0..3 {
            assert!(sweep(&world, &tenant).await.halt.is_none());
            sleep(tenant.rules.reach.reconcile_every * 2).await;
        }
        let letters = world.ledger.letters.lock();
        let left: Vec<_> = letters.keys().copied().collect();
        assert_eq!(left, [key(2)], "{deduplicate:?}");
    }
}
