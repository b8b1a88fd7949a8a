//! The fault matrix: every failure that Microsoft documents, and those on the way to Microsoft, each with the tenant's
//! state, the time of the next try, and the remedy for the operator.
//!
//! The expectations are in the rows, written from Microsoft's documentation. The results come over a real connection
//! from a server that gives the row's answer. To see the matrix:
//!
//! ```sh
//! cargo test --test fault_matrix -- --nocapture
//! ```

mod aadsts;
mod api;
mod ask;
mod odd;
mod passing;
mod row;
mod table;
mod token;
mod wire;

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex};

use incidentd::core::health::failure::{Failure, Health};
use incidentd::microsoft::Clients;
use serde_json::Value;

use ask::{CANARY, Exchange, ask, ask_far, carried};
use row::{Asked, Outcome, Pace, Row};
use wire::{Answer, Whole};

fn rows() -> Vec<Row> {
    [
        api::rows(),
        passing::rows(),
        odd::rows(),
        token::rows(),
        aadsts::rows(),
    ]
    .concat()
}

#[tokio::test]
async fn every_documented_fault_has_its_state_its_pace_and_its_remedy() {
    let clients = Clients::new();
    let (mut lines, mut wrong) = (Vec::new(), Vec::new());
    for row in rows() {
        let exchange = ask(&clients, row.asked, row.answer.clone()).await;
        lines.push(line(&row, &exchange));
        let objections = objections(&row, &exchange);
        wrong.extend(objections.iter().map(|why| format!("{row}: {why}")));
    }
    println!("{}\n{} rows", table::print(&lines), lines.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Servers repeat what they receive, mostly in the error's message.
#[tokio::test]
async fn no_fault_shows_what_the_request_carried_even_when_the_answer_repeats_it() {
    let clients = Clients::new();
    let mut repeated = 0;
    for row in rows() {
        let (Answer::Whole(whole), Outcome::Fails { state, .. }) = (&row.answer, &row.outcome)
        else {
            continue;
        };
        let answer = Answer::Whole(repeating(whole, &carried(row.asked)));
        let exchange = ask(&clients, row.asked, answer).await;
        let failure = exchange.outcome.expect_err("the same fault as without");
        assert_eq!(failure.health, *state, "{row}: {failure:?}");
        assert_silent(&row, &failure);
        repeated += 1;
    }
    assert!(repeated > 100, "only {repeated} rows were tried");
}

#[test]
fn no_two_rows_are_the_same() {
    let mut seen = HashSet::new();
    for row in rows() {
        assert!(seen.insert(row.to_string()), "twice: {row}");
    }
    assert!(seen.len() >= 150, "only {} rows", seen.len());
}

/// A look-up without an answer is `unreachable`, whatever else the machine waits for.
#[tokio::test]
async fn a_silent_name_server_is_unreachable_and_the_remedy_names_dns() {
    let (never, held) = std::sync::mpsc::sync_channel::<()>(1);
    let held = Mutex::new(held);
    let silent = Clients::resolving(Arc::new(move |_: &str| {
        let _ = held.lock().unwrap().recv();
        Ok(Vec::new())
    }));
    let unknown = Clients::resolving(Arc::new(|_: &str| {
        Err(io::Error::other("Name or service not known"))
    }));
    for (clients, words) in [(&silent, "name servers"), (&unknown, "DNS")] {
        let failures = tokio::join!(
            ask_far(clients, Asked::TokenV2),
            ask_far(clients, Asked::Defender),
            ask_far(clients, Asked::Graph)
        );
        for (asked, failure) in ["token", "Defender", "Graph"]
            .iter()
            .zip([failures.0, failures.1, failures.2])
        {
            assert_eq!(failure.health, Health::Unreachable, "{asked}: {failure:?}");
            assert_eq!(Pace::of(&failure), Some(Pace::Transient), "{failure:?}");
            assert!(failure.what.contains("can't resolve"), "{failure:?}");
            assert!(failure.remedy.contains(words), "{failure:?}");
        }
    }
    drop(never);
}

/// The differences from the row.
fn objections(row: &Row, exchange: &Exchange) -> Vec<String> {
    let mut wrong = match (&row.outcome, &exchange.outcome) {
        (Outcome::Serves { incomplete }, Ok(said)) => said_incomplete(*incomplete, said.as_deref()),
        (Outcome::Serves { .. }, Err(failure)) => vec![format!("it fails: {failure:?}")],
        (Outcome::Fails { .. }, Ok(_)) => vec!["it serves".to_owned()],
        (
            Outcome::Fails {
                state,
                pace,
                remedy,
            },
            Err(failure),
        ) => {
            assert_silent(row, failure);
            let mut wrong = differences(failure, *state, *pace, remedy);
            wrong.extend(carelessness(row, failure, &exchange.consent_link));
            wrong
        }
    };
    let expected = match (row.asked, &row.answer) {
        (Asked::ForeignLink, _) | (_, Answer::Refused) => 0,
        _ => 1,
    };
    if exchange.requests != expected {
        wrong.push(format!("{} requests were made", exchange.requests));
    }
    wrong
}

fn said_incomplete(expected: Option<&str>, said: Option<&str>) -> Vec<String> {
    let right = match (expected, said) {
        (None, None) => true,
        (Some(expected), Some(said)) => said.contains(expected),
        _ => false,
    };
    match right {
        true => Vec::new(),
        false => vec![format!("what is missing is said to be {said:?}")],
    }
}

fn differences(failure: &Failure, state: Health, pace: Pace, remedy: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    if failure.health != state {
        wrong.push(format!("{} instead of {state}", failure.health));
    }
    if Pace::of(failure) != Some(pace) {
        wrong.push(format!("{:?} instead of {pace}", failure.reaction));
    }
    for part in remedy {
        if !failure.remedy.contains(part) {
            wrong.push(format!("{part:?} is not in the remedy: {}", failure.remedy));
        }
    }
    wrong
}

/// What must hold for every failure.
fn carelessness(row: &Row, failure: &Failure, consent_link: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for text in [&failure.what, &failure.remedy] {
        if text.trim().is_empty() || text.chars().any(char::is_control) {
            wrong.push(format!("no single line: {text:?}"));
        }
    }
    if let Some(status) = failure.status
        && !failure.what.contains(&status.to_string())
    {
        wrong.push(format!("{status} is not named: {}", failure.what));
    }
    // A failure after a 200 is about the token in it or its broken body, so it need not name the status.
    if let Answer::Whole(whole) = &row.answer
        && whole.status != 200
        && failure.status != Some(whole.status)
    {
        wrong.push(format!("the status became {:?}", failure.status));
    }
    let linked = failure.remedy.contains(consent_link);
    if linked != (failure.health == Health::Consent) || failure.remedy.contains('{') {
        wrong.push(format!(
            "the consent link {consent_link} belongs to missing consent: {}",
            failure.remedy
        ));
    }
    wrong
}

fn assert_silent(row: &Row, failure: &Failure) {
    let shown = format!("{failure} {failure:?}");
    // Every signed token begins with the second one.
    for secret in [CANARY, "eyJhbGciOi"] {
        assert!(!shown.contains(secret), "{row} shows {secret}: {shown}");
    }
}

/// The same answer, with `sent` repeated in its texts.
fn repeating(whole: &Whole, sent: &str) -> Whole {
    let mut answer = whole.clone();
    let Ok(mut json) = serde_json::from_str::<Value>(&whole.body) else {
        answer.body.push_str(&format!(" You sent: {sent}"));
        return answer;
    };
    for path in ["/error/message", "/error_description"] {
        if let Some(Value::String(text)) = json.pointer_mut(path) {
            text.push_str(&format!(" You sent: {sent}"));
        }
    }
    answer.body = json.to_string();
    answer
}

fn line(row: &Row, exchange: &Exchange) -> table::Line {
    let answer = row.label.clone();
    let (state, pace, remedy) = match &exchange.outcome {
        Ok(None) => ("(serves)".to_owned(), String::new(), String::new()),
        Ok(Some(incomplete)) => (
            "(incomplete)".to_owned(),
            String::new(),
            format!("published, and the cursor stays: {incomplete}"),
        ),
        Err(failure) => (
            failure.health.to_string(),
            Pace::of(failure).map_or_else(
                || format!("{:?}", failure.reaction),
                |pace| pace.to_string(),
            ),
            failure
                .remedy
                .replace(&exchange.consent_link, "<consent link>"),
        ),
    };
    [row.asked.to_string(), answer, state, pace, remedy]
}
