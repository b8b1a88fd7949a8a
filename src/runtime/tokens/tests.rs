use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use tokio::time::sleep;

use super::*;
use crate::core::health::failure::Health;
use crate::ports::Grant;
use crate::runtime::fakes::TestClock;

/// Grants a token of ten minutes after a second, and counts. Gives the `answers` first, in order.
#[derive(Default)]
struct Entra {
    requests: AtomicU32,
    refusals: Mutex<Vec<Failure>>,
    stamp: AtomicU64,
}

impl TokenSource for Entra {
    fn authority(&self) -> &str {
        "login"
    }

    fn request(&self) -> BoxFuture<'_, Result<Grant, Failure>> {
        async {
            self.requests.fetch_add(1, Ordering::SeqCst);
            sleep(Duration::from_secs(1)).await;
            if let Some(refusal) = self.refusals.lock().pop() {
                return Err(refusal);
            }
            Ok(Grant {
                token: AccessToken::new("t".to_owned().into()),
                lifetime: Duration::from_secs(600),
                roles: None,
            })
        }
        .boxed()
    }

    fn credential_stamp(&self) -> u64 {
        self.stamp.load(Ordering::SeqCst)
    }
}

struct Unseen;

impl Observer for Unseen {
    fn see(&self, _: Event<'_>) {}
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Ticks {
        Ticks(0)
    }
}

fn context() -> TokenContext {
    TokenContext {
        authorities: Arc::default(),
        observer: Arc::new(Unseen),
        clock: Arc::new(Still),
    }
}

fn keeper(n: u8, source: &Arc<Entra>, context: &TokenContext) -> Arc<TokenKeeper> {
    Arc::new(TokenKeeper::new(
        TenantId::from_bytes([n; 16]),
        source.clone(),
        context.clone(),
    ))
}

fn of(keeper: &Arc<TokenKeeper>) -> impl FnMut() -> Vec<Arc<TokenKeeper>> + Send + 'static {
    let keepers = vec![keeper.clone()];
    move || keepers.clone()
}

fn throttled() -> Failure {
    Failure::new(
        Health::Throttled,
        Reaction::Wait(Duration::from_secs(60)),
        "slow down",
        "wait",
    )
    .with_status(429)
}

#[tokio::test(start_paused = true)]
async fn a_hundred_that_ask_at_once_cost_one_request() {
    let source = Arc::new(Entra::default());
    let keeper = keeper(1, &source, &context());
    let tokens = join_all((0..100).map(|_| keeper.token())).await;
    assert!(tokens.iter().all(Result::is_ok));
    assert_eq!(source.requests.load(Ordering::SeqCst), 1);
}

fn expired() -> Failure {
    Failure::new(Health::Credential, Reaction::Slow, "expired", "renew it")
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_request_that_fails_shares_its_failure() {
    let source = Arc::new(Entra::default());
    source.refusals.lock().push(expired());
    let keeper = keeper(1, &source, &context());
    let tokens = join_all((0..100).map(|_| keeper.token())).await;
    for token in tokens {
        assert_eq!(token.expect_err("the shared failure"), expired());
    }
    assert_eq!(source.requests.load(Ordering::SeqCst), 1);
    // A later caller has not waited for this request, so it makes its own.
    assert!(keeper.token().await.is_ok());
    assert_eq!(source.requests.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_fails_once_for_all_who_were_refused() {
    let source = Arc::new(Entra::default());
    let keeper = keeper(1, &source, &context());
    let refused = keeper.token().await.expect("granted");
    source.refusals.lock().push(expired());
    let renewed = join_all((0..10).map(|_| keeper.renew(&refused))).await;
    assert!(renewed.iter().all(Result::is_err));
    assert_eq!(source.requests.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_request_that_is_given_up_asks_for_itself() {
    let source = Arc::new(Entra::default());
    let keeper = keeper(1, &source, &context());
    let given_up = tokio::time::timeout(Duration::from_millis(500), keeper.token());
    let (given_up, token) = tokio::join!(given_up, keeper.token());
    assert!(given_up.is_err() && token.is_ok());
    assert_eq!(source.requests.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_changed_credential_counts_only_after_a_failed_request() {
    let source = Arc::new(Entra::default());
    let touch = || source.stamp.fetch_add(1, Ordering::SeqCst);
    let keeper = keeper(1, &source, &context());
    touch();
    assert!(!keeper.credential_changed().await, "nothing was asked yet");
    source.refusals.lock().push(expired());
    keeper.token().await.expect_err("expired");
    assert!(!keeper.credential_changed().await, "nothing has changed");
    touch();
    assert!(keeper.credential_changed().await);
    source.refusals.lock().push(expired());
    keeper.token().await.expect_err("expired again");
    assert!(!keeper.credential_changed().await, "the change was tried");
    touch();
    keeper.token().await.expect("granted");
    touch();
    assert!(!keeper.credential_changed().await, "there is a token");
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_changes_while_it_is_refused_has_changed() {
    let source = Arc::new(Entra::default());
    source.refusals.lock().push(expired());
    let keeper = keeper(1, &source, &context());
    let (token, ()) = tokio::join!(keeper.token(), async {
        sleep(Duration::from_millis(500)).await;
        source.stamp.fetch_add(1, Ordering::SeqCst);
    });
    token.expect_err("expired");
    assert!(keeper.credential_changed().await);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_renewed_once_however_many_pages_were_refused() {
    let source = Arc::new(Entra::default());
    let keeper = keeper(1, &source, &context());
    let refused = keeper.token().await.expect("granted");
    let renewed = join_all((0..10).map(|_| keeper.renew(&refused))).await;
    assert!(
        renewed
            .iter()
            .all(|token| token.as_ref().is_ok_and(|token| !token.same_as(&refused)))
    );
    assert_eq!(source.requests.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_renewed_before_they_end_and_nobody_waits() {
    let (source, stop) = (Arc::new(Entra::default()), CancellationToken::new());
    let keeper = keeper(1, &source, &context());
    keeper.token().await.expect("granted");
    let renewals = tokio::spawn(renew_in_background(of(&keeper), stop.clone()));
    for second in 0..6000 {
        sleep(Duration::from_secs(1)).await;
        assert!(
            keeper
                .token()
                .now_or_never()
                .is_some_and(|token| token.is_ok()),
            "waited at {second} s"
        );
    }
    let requests = source.requests.load(Ordering::SeqCst);
    assert!(
        (12..=15).contains(&requests),
        "{requests} requests for ten lifetimes"
    );
    stop.cancel();
    renewals.await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_leaves_the_old_token_in_use() {
    let (source, stop) = (Arc::new(Entra::default()), CancellationToken::new());
    let keeper = keeper(1, &source, &context());
    keeper.token().await.expect("granted");
    let outage = Failure::new(Health::Unreachable, Reaction::Backoff, "down", "wait");
    *source.refusals.lock() = vec![outage; 3];
    let renewals = tokio::spawn(renew_in_background(of(&keeper), stop.clone()));
    for second in 0..1000 {
        sleep(Duration::from_secs(1)).await;
        assert!(
            keeper
                .token()
                .now_or_never()
                .is_some_and(|token| token.is_ok()),
            "no token at {second} s"
        );
    }
    stop.cancel();
    renewals.await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn a_429_stops_token_requests_of_the_authority_and_nothing_else() {
    let (source, context) = (Arc::new(Entra::default()), context());
    let (with_token, without) = (keeper(1, &source, &context), keeper(2, &source, &context));
    with_token.token().await.expect("granted");
    source.refusals.lock().push(throttled());
    assert_eq!(without.token().await.expect_err("throttled"), throttled());
    let before = source.requests.load(Ordering::SeqCst);
    let refusal = keeper(3, &source, &context)
        .token()
        .await
        .expect_err("must wait");
    assert_eq!(refusal.health, Health::Throttled);
    assert!(with_token.token().await.is_ok());
    assert_eq!(
        source.requests.load(Ordering::SeqCst),
        before,
        "asked during the pause"
    );
    sleep(Duration::from_secs(60)).await;
    assert!(without.token().await.is_ok());
}

/// Grants a token of ten minutes once, and never answers again.
#[derive(Default)]
struct Silent(AtomicU32);

impl TokenSource for Silent {
    fn authority(&self) -> &str {
        "silent"
    }

    fn request(&self) -> BoxFuture<'_, Result<Grant, Failure>> {
        async {
            if self.0.fetch_add(1, Ordering::SeqCst) > 0 {
                std::future::pending::<()>().await;
            }
            Ok(Grant {
                token: AccessToken::new("t".to_owned().into()),
                lifetime: Duration::from_secs(600),
                roles: None,
            })
        }
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_token_service_holds_up_neither_others_renewals_nor_the_stop() {
    let (source, context, stop) = (
        Arc::new(Entra::default()),
        context(),
        CancellationToken::new(),
    );
    let mut keepers = Vec::new();
    for n in 0..100 {
        let silent = Arc::<Silent>::default();
        let tenant = TenantId::from_bytes([n; 16]);
        keepers.push(Arc::new(TokenKeeper::new(tenant, silent, context.clone())));
    }
    let healthy = keeper(200, &source, &context);
    keepers.push(healthy.clone());
    for keeper in &keepers {
        keeper.token().await.expect("granted");
    }
    let renewals = tokio::spawn(renew_in_background(move || keepers.clone(), stop.clone()));
    for second in 0..3000 {
        sleep(Duration::from_secs(1)).await;
        let token = healthy.token().now_or_never();
        assert!(
            token.is_some_and(|token| token.is_ok()),
            "waited at {second} s"
        );
    }
    let before = Instant::now();
    stop.cancel();
    renewals.await.expect("ends");
    assert!(before.elapsed() < LOOK, "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_changes_nothing_but_the_end_that_is_shown() {
    let (source, clock) = (Arc::<Entra>::default(), Arc::<TestClock>::default());
    let context = TokenContext {
        clock: clock.clone(),
        ..context()
    };
    let keeper = keeper(1, &source, &context);
    for hours in [-3, 7] {
        keeper.token().await.expect("granted");
        let noted = keeper.expires().expect("held");
        sleep(Duration::from_secs(300)).await;
        assert_eq!(keeper.expires(), Some(noted), "the same at each look");
        clock.set(hours * 3600);
        let set = Ticks::from_unix_seconds(noted.unix_seconds() + hours * 3600);
        let shown = keeper.expires().expect("held");
        assert_eq!(shown.unix_seconds(), set.unix_seconds());
        let requests = source.requests.load(Ordering::SeqCst);
        keeper.token().await.expect("still good");
        assert_eq!(source.requests.load(Ordering::SeqCst), requests);
        sleep(Duration::from_secs(301)).await;
        keeper.token().await.expect("granted anew");
        assert_eq!(source.requests.load(Ordering::SeqCst), requests + 1);
        sleep(Duration::from_secs(601)).await;
    }
}

/// Refuses with 429 until `over` is set, and counts.
struct Overrun {
    asked: Duration,
    requests: AtomicU32,
    over: AtomicU32,
}

impl TokenSource for Overrun {
    fn authority(&self) -> &str {
        "overrun"
    }

    fn request(&self) -> BoxFuture<'_, Result<Grant, Failure>> {
        async {
            self.requests.fetch_add(1, Ordering::SeqCst);
            sleep(Duration::from_millis(100)).await;
            if self.over.load(Ordering::SeqCst) == 0 {
                let pause = Reaction::Wait(self.asked);
                return Err(Failure::new(Health::Throttled, pause, "429", "wait").with_status(429));
            }
            Ok(Grant {
                token: AccessToken::new("t".to_owned().into()),
                lifetime: Duration::from_secs(3600),
                roles: None,
            })
        }
        .boxed()
    }
}

/// A tenant that asks for its token again after each pause, as the dispatcher lets it do.
async fn asks_until_granted(keeper: Arc<TokenKeeper>, n: u8) {
    let mut failures = 0;
    sleep(Duration::from_millis(u64::from(n) * 110)).await;
    while let Err(failure) = keeper.token().await {
        failures += 1;
        let chance = jitter(keeper.tenant, Use::Backoff, failures);
        sleep(pause(failure.reaction, 1, chance)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_service_that_refuses_all_tenants_is_asked_a_dozen_times_in_the_first_minute_and_fewer_later()
 {
    for asked in [0, 1, 30] {
        let (source, context) = (
            Arc::new(Overrun {
                asked: Duration::from_secs(asked),
                requests: AtomicU32::new(0),
                over: AtomicU32::new(0),
            }),
            context(),
        );
        let tenants: Vec<_> = (0..200)
            .map(|n| {
                let tenant = TenantId::from_bytes([n; 16]);
                let keeper = TokenKeeper::new(tenant, source.clone(), context.clone());
                tokio::spawn(asks_until_granted(Arc::new(keeper), n))
            })
            .collect();
        let mut counts = Vec::new();
        for _ in 0..10 {
            let before = source.requests.load(Ordering::SeqCst);
            sleep(Duration::from_secs(60)).await;
            counts.push(source.requests.load(Ordering::SeqCst) - before);
        }
        assert!(counts[0] <= 12, "{asked} s: {counts:?}");
        assert!(
            counts[2..].iter().all(|count| *count <= 2),
            "{asked} s: {counts:?}"
        );
        source.over.store(1, Ordering::SeqCst);
        let recovered = Instant::now();
        for tenant in tenants {
            tenant.await.expect("granted");
        }
        let took = recovered.elapsed();
        assert!(
            took <= Duration::from_secs(360),
            "all have a token after {took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_took_a_refused_ones_place_and_is_refused_too_is_not_renewed_while_it_is_young()
 {
    let (source, context) = (Arc::new(Entra::default()), context());
    let keeper = keeper(1, &source, &context);
    let first = keeper.token().await.expect("granted");
    assert!(keeper.may_renew(&first), "another one may do");
    let second = keeper.renew(&first).await.expect("granted");
    assert!(!keeper.may_renew(&second), "another one would not");
    keeper.note_served(&second);
    assert!(keeper.may_renew(&second), "it did until now");
    let third = keeper.renew(&second).await.expect("granted");
    sleep(YOUNG).await;
    assert!(keeper.may_renew(&third), "time has passed");
}
