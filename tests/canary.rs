//! No command prints a secret or a token, whatever goes wrong: the configuration, Microsoft, Kafka, a proxy, the
//! daemon. The module `secrets` searches what the daemon leaves behind; this one searches everything that an operator
//! sees.
//!
//! Each situation is set up, and each command is typed in it. The expected exit code and message prove that the error
//! was reached. Then everything printed is searched at once.

mod broken;
mod credentials;
mod daemon;
mod identity;
mod online;
mod parrot;
mod properties;
mod refused;
mod stage;
mod typed;
mod words;

use std::pin::Pin;

use futures_util::{StreamExt, stream};
use incidentd::simulator::{IdentityEndpoints, Options, Simulator};

use crate::support::certificates::{ENCRYPTED, ONE, TWO};
use crate::support::search::Search;
use crate::support::setup::simulator;
use online::{NO_MICROSOFT, NO_PROXY_LOGIN};
use stage::{Outcome, Situation};
use words::{ASSERTION, KAFKA, KEY, NEXT, PROXY, RIGHT, TOKEN, WRONG, login};

/// The number of situations at once. Most of them wait for something.
const AT_ONCE: usize = 8;

type Happening<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_token_is_in_what_any_command_prints() {
    let simulator = simulator(1, Options::default()).await;
    // The longest ones first.
    let mut all: Vec<Happening<'_>> = vec![
        Box::pin(daemon::reloads(&simulator, refused(&simulator))),
        Box::pin(parrot::repeats_secrets()),
        Box::pin(parrot::repeats_federated()),
        Box::pin(parrot::repeats_certified()),
        Box::pin(identity::serves()),
        Box::pin(identity::repeats_its_header()),
        Box::pin(identity::opens_a_vault()),
        Box::pin(identity::vault_repeats_its_token()),
        Box::pin(identity::opens_a_vault_for_a_pod()),
        Box::pin(identity::vault_repeats_a_pod_s_token()),
        Box::pin(identity::login_repeats_a_pod_s_token()),
        Box::pin(identity::asks_for_a_file()),
        Box::pin(online::refused_by_kafka()),
        Box::pin(typed::others(&simulator)),
        Box::pin(daemon::loses_its_secret()),
        Box::pin(parrot::repeats_as_proxy(407, NO_PROXY_LOGIN)),
        Box::pin(parrot::repeats_as_proxy(502, NO_MICROSOFT)),
        Box::pin(daemon::does_not_start(&simulator)),
        Box::pin(daemon::is_none(&simulator)),
        Box::pin(typed::init(&simulator)),
    ];
    for online in online::situations().await {
        all.push(Box::pin(online.happens()));
    }
    for situation in refused(&simulator) {
        all.push(Box::pin(situation.happens()));
    }
    let outcomes = stream::iter(all).buffer_unordered(AT_ONCE);
    let outcome = outcomes
        .fold(Outcome::default(), async |all, one| all.join(one))
        .await;
    assert!(outcome.amiss.is_empty(), "{}", outcome.amiss.join("\n"));
    assert!(
        !outcome.tokens.is_empty(),
        "there is something to search for"
    );

    let login = login();
    let secrets = [
        RIGHT,
        WRONG,
        NEXT,
        KAFKA,
        PROXY,
        &login,
        ASSERTION,
        TOKEN,
        KEY,
        IdentityEndpoints::HEADER,
    ];
    // Assertions begin as tokens do. Of a key, three of its lines stand for all: the search takes long.
    let keys = [ONE, TWO, ENCRYPTED].into_iter().flat_map(str::lines);
    let keys = keys.filter(|line| line.len() > 20 && !line.starts_with('-'));
    let keys = keys.step_by(9);
    let secrets: Vec<&str> = secrets.into_iter().chain(keys).collect();
    let mut search = Search::new(&secrets);
    search.tokens(&outcome.tokens);
    search.add_all(outcome.places);
    search.run();
}

/// All configurations that are refused.
fn refused(simulator: &Simulator) -> Vec<Situation> {
    let kinds = [
        broken::situations(simulator),
        refused::situations(simulator),
        properties::situations(simulator),
        credentials::situations(simulator),
    ];
    kinds.into_iter().flatten().collect()
}
