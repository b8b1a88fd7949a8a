//! Configurations that are refused: secrets in wrong places, and wrong values that contain a secret.

use incidentd::simulator::Simulator;

use crate::canary::stage::{Codes, NOBODY, Situation, Stage};
use crate::canary::words::{RIGHT, WRONG, in_url};

/// Every command that reads the configuration, in each way in which it prints errors.
pub const COMMANDS: [&str; 10] = [
    "check --offline",
    "check",
    "check --json",
    "consent",
    "token customer-0001",
    "config",
    "run",
    "status",
    "init --tenant 11111111-1111-1111-1111-111111111111",
    "init",
];

/// No daemon answers at the configured address, no folder of tenants is named, and the file exists already.
const CODES: Codes = &[("status", 75), ("init --tenant", 78), ("init", 1), ("", 78)];
/// A secret, a token or their file is unusable. Consent links and commands that show the configuration still work.
pub const NO_PROOF: Codes = &[
    ("consent", 0),
    ("config", 0),
    ("status", 75),
    ("init --tenant", 78),
    ("init", 1),
    ("", 78),
];
/// Errors that only a library finds. Consent links don't ask the library.
pub const OF_LIBRARY: Codes = &[
    ("consent", 0),
    ("status", 75),
    ("init --tenant", 78),
    ("init", 1),
    ("", 78),
];
/// The configuration does not say where the daemon listens.
const NOWHERE: Codes = &[("init --tenant", 78), ("init", 1), ("", 78)];
/// A customer can be added to a configuration that is wrong elsewhere.
const FOLDER: Codes = &[("status", 75), ("init --tenant", 0), ("init", 1), ("", 78)];

/// A configuration that is wrong in one way: its name, the change, and the text in the report.
pub type Row = (&'static str, fn(Stage) -> Stage, &'static str);

/// All keys that can be wrong. `ledger.path`, the name of a tenant and the file of a second secret, which need not
/// exist, accept any text.
const KEYS: [&str; 40] = [
    "app.client_id",
    "app.client_secret_file",
    "app.client_secret_env",
    "app.federated_token_file",
    "app.certificate_file",
    "app.certificate_key_file",
    "app.managed_identity",
    "app.key_vault_secret",
    "app.credential_not_after",
    "api.source",
    "api.cloud",
    "api.base_url",
    "api.login_url",
    "api.scope",
    "api.token_endpoint",
    "api.proxy",
    "api.ca_file",
    "poll.schedule",
    "poll.lookback",
    "poll.overlap",
    "poll.reconcile_every",
    "poll.reconcile_window",
    "poll.requests_per_minute",
    "poll.request_timeout",
    "poll.max_response",
    "poll.deduplicate",
    "poll.max_concurrent",
    "poll.max_in_flight",
    "kafka.brokers",
    "kafka.topic",
    "kafka.status_topic",
    "kafka.dead_letter_topic",
    "kafka.format",
    "ledger.kind",
    "log.format",
    "log.level",
    // Unknown keys.
    "app.client_secret",
    "app.client_secrt_file",
    "api.password",
    "kafka.\"sasl.password\"",
];

/// Errors whose place needs more than the name of a key.
const PLACES: [Row; 8] = [
    (
        "the secret in a cron expression",
        |stage| stage.text("poll.schedule", &format!("{RIGHT} * * * * *")),
        "no valid cron expression",
    ),
    (
        "the secret in a table that there is not",
        |stage| stage.text("secrets.client_secret", RIGHT),
        "secrets: there is no such table",
    ),
    (
        "the secret in a tenant's id",
        |stage| stage.behind(&format!("[[tenants]]\nid = {RIGHT:?}\n")),
        "it is not a GUID",
    ),
    (
        "the secret twice in a tenant's name",
        |stage| stage.behind(&format!("[[tenants]]\nname = '{RIGHT}{RIGHT}'\n")),
        "longer than 64 characters",
    ),
    (
        "the secret in a tenant's own key",
        |stage| stage.behind(&format!("app.client_secret = {RIGHT:?}\n")),
        "app.client_secret",
    ),
    (
        "a password in api.proxy, not encoded",
        |stage| stage.text("api.proxy", &format!("http://user:{RIGHT}@proxy:3128")),
        "api.proxy",
    ),
    (
        "a signature in api.base_url",
        |stage| {
            let query = format!("https://api.example/?sig={}", in_url(RIGHT));
            stage.text("api.base_url", &query)
        },
        "it has a path, a query",
    ),
    (
        "a second secret alone",
        |stage| stage.without(&["app.client_secret_file"]),
        "the second of two secrets",
    ),
];

/// Errors in the files of customers. `init` can still add a customer.
const CUSTOMERS: [Row; 2] = [
    (
        "the secret in a customer's broken file",
        |stage| customer(stage, &format!("[[tenants]]\nid = \"{WRONG}")),
        "closing quote",
    ),
    (
        "the secret in a customer's file without a header",
        |stage| customer(stage, &format!("[app]\nclient_secret = {RIGHT:?}\n")),
        "there is no line [[tenants]] above it",
    ),
];

/// URLs and brokers, each with a user. The password is put before the `@`.
const ADDRESSES: [(&str, &str, &str); 7] = [
    ("api.proxy", "http://user:@proxy:3128/path", "it has a path"),
    ("api.proxy", "socks5://user:@proxy:1", "not the URL of an"),
    ("api.base_url", "https://user:@api.example", "holds a user"),
    ("api.login_url", "https://user:@a.example", "holds a user"),
    ("api.scope", "https://user:@a/.default", "holds a user"),
    ("kafka.brokers", "user:@kafka:9092", "not a list of"),
    ("kafka.brokers", "SASL_SSL://user:@a:1,b:1", "not a list of"),
];

pub fn situations(simulator: &Simulator) -> Vec<Situation> {
    let new = || Stage::new(simulator, NOBODY, "none");
    let keys = KEYS.iter().map(|key| {
        let name = format!("the secret in {key}");
        // The report shows a quoted part of a key without quotes.
        let says = key.split('"').next().unwrap_or(key);
        let codes = match *key {
            "app.client_secret_file" => NO_PROOF,
            _ => CODES,
        };
        situation(&name, new().text(key, RIGHT), says).with_codes(codes)
    });
    let addresses = ADDRESSES.iter().map(|(key, address, says)| {
        let address = address.replace('@', &format!("{}@", in_url(RIGHT)));
        let name = format!("a password in {key}, {says}");
        situation(&name, new().text(key, &address), says)
    });
    let customers = of_rows(simulator, &CUSTOMERS).into_iter();
    let customers = customers.map(|it| it.with_codes(FOLDER));
    let others = [
        Situation {
            codes: NOWHERE,
            ..situation(
                "the secret in http.listen",
                new().text("http.listen", RIGHT),
                "http.listen",
            )
        },
        Situation {
            // init would create a folder of that name.
            commands: &["check --offline", "check --json", "config", "run"],
            ..situation(
                "the secret in tenants_dir",
                new().text("tenants_dir", RIGHT),
                "tenants_dir",
            )
        },
    ];
    let all = keys.chain(addresses).chain(customers).chain(others);
    all.chain(of_rows(simulator, &PLACES)).collect()
}

pub fn of_rows(simulator: &Simulator, rows: &[Row]) -> Vec<Situation> {
    let new = || Stage::new(simulator, NOBODY, "none");
    let rows = rows.iter();
    rows.map(|(name, change, says)| situation(name, change(new()), says))
        .collect()
}

/// A mistake that stops every command except `init`.
pub fn situation(name: &str, stage: Stage, says: &'static str) -> Situation {
    Situation {
        name: name.to_owned(),
        stage,
        commands: &COMMANDS,
        codes: CODES,
        says,
    }
}

fn customer(stage: Stage, text: &str) -> Stage {
    let stage = stage.text("tenants_dir", "tenants.d");
    stage.file("tenants.d/customer.toml", text)
}
