//! A command that has run to its end, and what must hold for everything that commands print.

use incidentd::simulator::{Options, Simulator, Tenant};
use serde_json::Value;

use crate::support::daemon::incidentd;
use crate::support::kafka::{create_topic, shared};
use crate::support::setup::{Setup, create_in_each, simulator, unique};
use crate::support::tell;

/// An address without a listener.
pub const NOBODY: &str = "127.0.0.1:1";
pub const KAFKA_SECRET: &str = "canary-kafka-password";

/// The result of a command.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

pub async fn run(setup: &Setup, args: &[&str]) -> Ended {
    let mut command = incidentd();
    command.args(args).arg("--config").arg(setup.write());
    let output = command.output().await.expect("incidentd runs");
    let ended = Ended {
        code: output.status.code().expect("an exit code"),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    };
    tell(format_args!(
        "$ incidentd {}\n{}{}[exit {}]\n",
        args.join(" "),
        ended.stdout,
        ended.stderr,
        ended.code
    ));
    let is_json = args.contains(&"--json");
    let wide = |line: &&str| line.chars().count() > 100 && !line.contains("://");
    let wide = ended.stdout.lines().find(wide).filter(|_| !is_json);
    assert_eq!(wide, None, "it is wider than 100 columns");
    ended
}

impl Ended {
    pub fn all(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).expect("standard output is JSON and nothing else")
    }

    #[track_caller]
    pub fn says(&self, parts: &[&str]) {
        // A command continues after a backslash.
        let words = |text: &str| {
            let words = text.split_whitespace().filter(|word| *word != "\\");
            words.collect::<Vec<_>>().join(" ")
        };
        let all = words(&self.all());
        for part in parts {
            assert!(
                all.contains(&words(part)),
                "{part:?} is not in:\n{}",
                self.all()
            );
        }
    }

    /// Whether standard output contains these parts in this order.
    #[track_caller]
    pub fn in_order(&self, parts: &[&str]) {
        let words = self.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut rest = words.as_str();
        for part in parts {
            let at = rest.find(part);
            let at = at.unwrap_or_else(|| panic!("no {part:?}, or out of order:\n{}", self.stdout));
            rest = &rest[at + part.len()..];
        }
    }

    /// Checks that there is no secret, and no usable part of a token.
    #[track_caller]
    pub fn is_silent(&self, simulator: &Simulator, secrets: &[&str]) {
        let all = self.all();
        for secret in secrets.iter().chain(&[Tenant::SECRET, KAFKA_SECRET, "eyJ"]) {
            assert!(!all.contains(secret), "{secret} shows:\n{all}");
        }
        for token in simulator.journal().issued_tokens() {
            for part in token.split('.') {
                assert!(!all.contains(part), "a part of a token shows:\n{all}");
            }
        }
    }
}

/// A Microsoft with `tenants` healthy tenants, each with incidents.
pub async fn microsoft(tenants: u32) -> Simulator {
    let simulator = simulator(tenants, Options::default()).await;
    create_in_each(&simulator.world(), 3);
    simulator
}

pub async fn topic() -> (String, String) {
    let (kafka, topic) = (shared(), unique("check"));
    create_topic(&kafka, &topic, 3, &[]).await;
    (kafka, topic)
}

pub fn tenants(simulator: &Simulator) -> Vec<uuid::Uuid> {
    simulator
        .world()
        .tenants()
        .iter()
        .map(|tenant| tenant.id)
        .collect()
}
