//! Tokens of an identity provider, with which Kafka's clients log in (SASL OAUTHBEARER).
//!
//! librdkafka gets tokens itself only when it is built with libcurl, which it is not here. So a thread of each
//! [`Connection`](super::connection::Connection) gets them, and all clients of that connection share them. The thread renews the
//! token before it expires, and [`mod@hand_over`] gives it to the clients.
//!
//! Invariants:
//! - No secret and no token is in any text.
//! - Every exchange ends: its time and the size of its answer are bounded.
//! - A thread of the async runtime never waits for a token.

mod answer;
mod exchange;
mod hand_over;
mod token;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::answer::to_mend;
use self::exchange::TokenClient;
pub(super) use self::hand_over::{ClientLogIn, SASL_QUEUE, log_in};
pub(super) use self::token::LogInToken;
use super::scrub::Scrubber;
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::settings::{KafkaConnection, oauth};

/// How long to wait for what can't begin without a token: longer than one exchange.
const FIRST_TOKEN: Duration = Duration::from_secs(25);
/// First and longest pause after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// After Kafka has refused a token, before the next one is asked for. What was mended at the identity provider is in that one.
const AFTER_REFUSAL: Duration = Duration::from_secs(30);

/// Gets the tokens of one connection until it is dropped.
pub(super) struct LogInTokens {
    shared: Arc<SharedToken>,
    _stop: DropGuard,
}

#[derive(Default)]
struct SharedToken {
    state: Mutex<TokenState>,
    changed: Condvar,
    /// A token has expired before it was renewed: the clock was set, or the machine was suspended.
    wanted: Notify,
    /// Kafka has refused the token.
    refused: Notify,
}

#[derive(Default)]
struct TokenState {
    token: Option<LogInToken>,
    /// Of the last exchange.
    failure: Option<Failure>,
}

impl LogInTokens {
    /// `None`: Kafka wants no tokens.
    pub(super) fn start(options: &KafkaConnection) -> Option<Self> {
        Self::start_with(options, AFTER_REFUSAL)
    }

    fn start_with(options: &KafkaConnection, after_refusal: Duration) -> Option<Self> {
        let (shared, stop) = (Arc::<SharedToken>::default(), CancellationToken::new());
        let tokens = Self {
            shared: Arc::clone(&shared),
            _stop: stop.clone().drop_guard(),
        };
        let settings = match oauth::read(&options.properties) {
            Ok(settings) => settings?,
            // The configuration was read without the secret, by a command that asks Kafka.
            Err(mistakes) => {
                let mistake = mistakes.into_iter().next()?;
                shared.settle(Err(to_mend(mistake.what, mistake.remedy)));
                return Some(tokens);
            }
        };
        let renewal = TokenRenewal {
            client: TokenClient::new(settings),
            shared: Arc::clone(&shared),
            stop,
            after_refusal,
        };
        let thread = std::thread::Builder::new().name("kafka-token".to_owned());
        if let Err(error) = thread.spawn(move || renewal.run()) {
            shared.settle(Err(no_thread(&error)));
        }
        Some(tokens)
    }

    /// The token, if there is one that has not expired; if it has, the next one is asked for.
    pub(super) fn present(&self) -> Option<LogInToken> {
        let present = self.shared.lock().valid();
        if present.is_none() {
            self.shared.wanted.notify_one();
        }
        present
    }

    /// Why there is no token that has not expired.
    pub(super) fn lack(&self) -> Option<Failure> {
        let state = self.shared.lock();
        match state.valid() {
            Some(_) => None,
            None => state.failure.clone(),
        }
    }

    /// Kafka has refused the token.
    pub(super) fn refused(&self) {
        self.shared.refused.notify_one();
    }

    /// Waits for the first token, or for the reason why there is none.
    pub(super) async fn first(&self) -> Result<(), Failure> {
        let shared = Arc::clone(&self.shared);
        let waited = tokio::task::spawn_blocking(move || shared.wait(FIRST_TOKEN).map(drop));
        // Cancelled only when the runtime stops.
        waited.await.unwrap_or_else(|_| Err(too_late()))
    }
}

impl SharedToken {
    fn lock(&self) -> MutexGuard<'_, TokenState> {
        self.state.lock()
    }

    fn wait(&self, patience: Duration) -> Result<LogInToken, Failure> {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            if let Some(token) = state.valid() {
                return Ok(token);
            }
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            self.wanted.notify_one();
            let left = deadline.saturating_duration_since(Instant::now());
            if self.changed.wait_for(&mut state, left).timed_out() {
                return Err(too_late());
            }
        }
    }

    /// Resolves when a token is asked for and the last one has expired.
    async fn expired(&self) {
        loop {
            self.wanted.notified().await;
            if self.lock().valid().is_none() {
                return;
            }
        }
    }

    /// Takes the result of an exchange, and logs what has changed by it.
    fn settle(&self, got: Result<LogInToken, Failure>) {
        let mut state = self.lock();
        let before = state.failure.take();
        match got {
            Ok(token) => {
                state.token = Some(token);
                if before.is_some() {
                    tracing::info!(target: "incidentd::kafka", "there is a token for Kafka again");
                }
            }
            Err(failure) => {
                if before.is_none_or(|before| before.what != failure.what) {
                    let Failure { what, remedy, .. } = &failure;
                    tracing::warn!(target: "incidentd::kafka", error = what, remedy, "no new token for Kafka");
                }
                state.failure = Some(failure);
            }
        }
        self.changed.notify_all();
    }
}

impl TokenState {
    fn valid(&self) -> Option<LogInToken> {
        self.token.clone().filter(|token| !token.left().is_zero())
    }
}

/// The thread of a source.
struct TokenRenewal {
    client: TokenClient,
    shared: Arc<SharedToken>,
    stop: CancellationToken,
    after_refusal: Duration,
}

impl TokenRenewal {
    fn run(mut self) {
        // A runtime of its own: librdkafka's threads wait for it, and a busy runtime must not hold them up.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(self.renew()),
            Err(error) => self.shared.settle(Err(no_thread(&error))),
        }
    }

    async fn renew(&mut self) {
        let stop = self.stop.clone();
        let (mut pause, longest) = PAUSE;
        loop {
            let Some(got) = stop.run_until_cancelled(self.client.token()).await else {
                return;
            };
            let (wait, has_token) = match &got {
                Ok(token) => (token.renewal(), true),
                Err(_) => (pause, false),
            };
            pause = match has_token {
                true => PAUSE.0,
                false => longest.min(pause * 2),
            };
            self.shared.settle(got);
            tokio::select! {
                () = sleep(wait) => {}
                () = self.shared.expired(), if has_token => {}
                () = self.refused(), if has_token => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Resolves a while after Kafka has refused the token.
    async fn refused(&self) {
        self.shared.refused.notified().await;
        sleep(self.after_refusal).await;
    }
}

/// Removes the secret from what an identity provider says, in each form in which it is sent.
fn scrubber(secret_forms: &[&str]) -> Scrubber {
    let named = secret_forms
        .iter()
        .map(|form| (oauth::SECRET.to_owned(), (*form).into()));
    Scrubber::new(&named.collect::<Vec<_>>())
}

fn too_late() -> Failure {
    unreachable(
        "the identity provider has not answered yet, so there is no token for Kafka".to_owned(),
        "usually passes by itself; if not, check sasl.oauthbearer.token.endpoint.url under [kafka.properties], and the network",
    )
}

fn no_thread(error: &std::io::Error) -> Failure {
    unreachable(
        format!("no thread can be made that gets tokens for Kafka: {error}"),
        "raise the limit on threads (TasksMax= of systemd, ulimit -u, or pids.max of the container), and restart incidentd",
    )
}

fn unreachable(what: String, remedy: impl Into<String>) -> Failure {
    Failure::new(Health::Unreachable, Reaction::Backoff, what, remedy)
}

#[cfg(test)]
mod tests;
