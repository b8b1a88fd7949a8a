//! Configurations that are accepted, and the answers of Microsoft and Kafka: what `check`, `token` and the daemon say,
//! in its log and at its endpoints.

use incidentd::simulator::{
    FederatedCredential, Options, RegisteredCertificate, SECOND, Simulator, Tenant,
};

use crate::canary::credentials::{
    CERTIFICATE_FILE, KEY_FILE, NEXT_FILE, SECRET_FILE, TOKEN_FILE, VARIABLE,
};
use crate::canary::stage::{NOBODY, Outcome, Stage};
use crate::canary::words::{ASSERTION, CERTIFICATE, KAFKA, NEXT, RIGHT, WRONG, key_pem, proxy};
use crate::support::certificates::{ONE, TWO, TestCertificate, certificate};
use crate::support::kafka::{Broker, create_topic, shared};
use crate::support::search::endpoints;
use crate::support::setup::{simulator, unique};
use crate::support::{SOON, blocking, until};

/// The expected result of a situation.
#[derive(Clone, Copy)]
pub struct Ends {
    /// The exit codes of `check` and of `token`.
    pub check: i32,
    pub token: i32,
    /// The state of the daemon's tenants, and of its Kafka.
    pub tenants: &'static str,
    pub kafka: &'static str,
}

const fn ends(check: i32, token: i32, tenants: &'static str, kafka: &'static str) -> Ends {
    Ends {
        check,
        token,
        tenants,
        kafka,
    }
}

/// Any state that shows that there was an answer.
const ANY: &str = "any";
pub const ANYHOW: Ends = ends(1, 1, ANY, "ok");
pub const NO_PROXY_LOGIN: Ends = ends(1, 1, "misconfigured", "ok");
pub const WELL: Ends = ends(0, 0, "ok", "ok");
pub const NO_CREDENTIAL: Ends = ends(1, 1, "credential", "ok");
const NO_CONSENT: Ends = ends(1, 1, "consent", "ok");
const NO_KAFKA: Ends = ends(75, 0, "ok", "unavailable");
const NO_LOGIN: Ends = ends(1, 0, "ok", "unavailable");
const NO_TOPIC: Ends = ends(1, 0, "misconfigured", "ok");
pub const NO_MICROSOFT: Ends = ends(75, 75, "unreachable", "ok");

/// The name, the expected result, and the change to a working configuration.
type Row = (&'static str, Ends, fn(Stage) -> Stage);

const CREDENTIALS: [Row; 12] = [
    ("all is well", WELL, |stage| stage),
    ("the second secret serves", WELL, |stage| {
        stage
            .file("client-secret", WRONG)
            .file("next-secret", RIGHT)
    }),
    ("both secrets are wrong", NO_CREDENTIAL, |stage| {
        stage.file("client-secret", WRONG)
    }),
    ("a secret for the second one's path", WELL, |stage| {
        stage.text(NEXT_FILE, NEXT)
    }),
    (
        "a wrong secret, and one for the second one's path",
        NO_CREDENTIAL,
        |stage| stage.text(NEXT_FILE, NEXT).file("client-secret", WRONG),
    ),
    ("a secret in a variable", WELL, |stage| {
        in_variable(stage, RIGHT)
    }),
    ("a wrong secret in a variable", NO_CREDENTIAL, |stage| {
        in_variable(stage, WRONG)
    }),
    ("a federated token", WELL, |stage| {
        // Valid until the year 2096.
        federated(stage, &issuer().assertion(0, 4_000_000_000 * SECOND))
    }),
    ("a federated token of nobody", NO_CREDENTIAL, |stage| {
        federated(stage, ASSERTION)
    }),
    ("a certificate", WELL, |stage| certified(stage, ONE)),
    (
        "a certificate that is not registered",
        NO_CREDENTIAL,
        |stage| certified(stage, TWO),
    ),
    ("a key beside its certificate", WELL, |stage| {
        let both = format!("{ONE}{}", pem(ONE));
        let stage = certified(stage, ONE).without(&[KEY_FILE]);
        stage.file("certificate", both)
    }),
];

const OTHERS: [Row; 7] = [
    ("variables that nobody reads", WELL, |stage| {
        stage
            .env("INCIDENTD_APP_CLIENT_SECRET_FILE", RIGHT)
            .env("INCIDENTD_API_PROXY", proxy("proxy:1"))
    }),
    ("a private key and passwords for Kafka", WELL, |stage| {
        with_key(stage)
            .property("ssl.key.password", KAFKA)
            .property("sasl.username", KAFKA)
    }),
    ("a Kafka without TLS", NO_KAFKA, |stage| {
        with_key(stage).property("security.protocol", "ssl")
    }),
    ("a Kafka without a login", NO_LOGIN, with_login),
    ("no Kafka", NO_KAFKA, |stage| {
        stage.text("kafka.brokers", NOBODY)
    }),
    ("no proxy", NO_MICROSOFT, far),
    ("no proxy of the environment's", NO_MICROSOFT, |stage| {
        let stage = far(stage).without(&["api.proxy"]);
        stage.env("HTTPS_PROXY", proxy(NOBODY))
    }),
];

/// The same with a change at Microsoft instead.
type RowOfTenant = (&'static str, Ends, fn(&mut Tenant));

const TENANTS: [RowOfTenant; 3] = [
    ("no consent", NO_CONSENT, |tenant| tenant.consented = false),
    ("no permission", NO_CONSENT, |tenant| {
        tenant.graph_roles.clear()
    }),
    ("an expired secret", NO_CREDENTIAL, |tenant| {
        tenant.secret_expired = true;
    }),
];

fn in_variable(stage: Stage, secret: &str) -> Stage {
    let stage = stage.without(&[SECRET_FILE, NEXT_FILE]);
    stage.text(VARIABLE, "THE_SECRET").env("THE_SECRET", secret)
}

pub fn federated(stage: Stage, token: &str) -> Stage {
    let stage = stage.without(&[SECRET_FILE, NEXT_FILE]);
    stage.text(TOKEN_FILE, "token").file("token", token)
}

/// A certificate of this key, and the key.
pub fn certified(stage: Stage, key: &str) -> Stage {
    stage
        .without(&[SECRET_FILE, NEXT_FILE])
        .text(CERTIFICATE_FILE, "certificate")
        .text(KEY_FILE, "certificate-key")
        .file("certificate", pem(key))
        .file("certificate-key", key)
}

/// Valid until the year 2096.
fn made(key: &str) -> TestCertificate {
    certificate(key, 0, 4_000_000_000)
}

pub fn pem(key: &str) -> String {
    made(key).pem
}

fn issuer() -> FederatedCredential {
    FederatedCredential::new("https://issuer.example", "incidentd")
}

fn with_key(stage: Stage) -> Stage {
    stage
        .property("ssl.certificate.pem", CERTIFICATE)
        .property("ssl.key.pem", &key_pem())
}

fn with_login(stage: Stage) -> Stage {
    stage
        .property("security.protocol", "sasl_plaintext")
        .property("sasl.mechanism", "PLAIN")
        .property("sasl.username", "alice")
}

/// Microsoft's own addresses, which are behind the proxy: no other host is contacted.
pub fn far(stage: Stage) -> Stage {
    stage.without(&["api.base_url", "api.login_url"])
}

/// A situation with its own Microsoft.
pub struct Online {
    pub name: &'static str,
    pub ends: Ends,
    pub stage: Stage,
    pub microsoft: Simulator,
}

pub async fn situations() -> Vec<Online> {
    let mut all = Vec::new();
    for (name, ends, change) in CREDENTIALS.into_iter().chain(OTHERS) {
        let (microsoft, stage) = well().await;
        let stage = change(stage);
        all.push(Online {
            name,
            ends,
            stage,
            microsoft,
        });
    }
    for (name, ends, change) in TENANTS {
        let (microsoft, stage) = well().await;
        administer(&microsoft, change);
        all.push(Online {
            name,
            ends,
            stage,
            microsoft,
        });
    }
    let (microsoft, stage) = well().await;
    let world = microsoft.world();
    // Publishing an incident shows that there is no topic.
    world.create(world.tenants()[0].id, 1).expect("an incident");
    all.push(Online {
        name: "no topic",
        ends: NO_TOPIC,
        stage: stage.text("kafka.topic", &unique("nowhere")),
        microsoft,
    });
    all
}

/// A situation with a Kafka that expects another password.
pub async fn refused_by_kafka() -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    let start = move || Broker::start_with_login(&path, "alice", "another password");
    let (broker, login) = blocking(start).await;
    let (microsoft, stage) = well().await;
    let online = Online {
        name: "a login that Kafka refuses",
        ends: NO_LOGIN,
        stage: with_login(stage).text("kafka.brokers", &login),
        microsoft,
    };
    let outcome = online.happens().await;
    drop(broker);
    outcome
}

/// A Microsoft that knows the right secret and the issuer's tokens, a topic, and the configuration for both.
pub async fn well() -> (Simulator, Stage) {
    let microsoft = simulator(1, Options::default()).await;
    administer(&microsoft, |tenant| {
        tenant.secret = RIGHT.to_owned();
        tenant.federated = vec![issuer()];
        let der = made(ONE).der;
        tenant.certificates = vec![RegisteredCertificate { der, pss: true }];
    });
    let (kafka, topic) = topic().await;
    let stage = Stage::new(&microsoft, &kafka, &topic);
    (microsoft, stage)
}

/// A Kafka and a topic for records.
pub async fn topic() -> (String, String) {
    let (kafka, topic) = (shared(), unique("well"));
    create_topic(&kafka, &topic, 1, &[]).await;
    (kafka, topic)
}

fn administer(microsoft: &Simulator, change: fn(&mut Tenant)) {
    let world = microsoft.world();
    let tenant = world.tenants()[0].id;
    world.administer(tenant, change).expect("the tenant");
}

impl Online {
    pub async fn happens(self) -> Outcome {
        let Self {
            name,
            ends,
            stage,
            microsoft,
        } = self;
        stage.write();
        let mut outcome = Outcome::default();
        for (words, code) in [
            ("check --offline", 0),
            ("check --offline --json", 0),
            ("consent", 0),
            ("consent customer-0001", 0),
            ("consent --url", 0),
            ("config", 0),
            ("config customer-0001", 0),
            ("token customer-0001", ends.token),
            ("token nobody", 64),
            ("check", ends.check),
            ("check --json", ends.check),
            ("status", 75),
            ("init", 1),
        ] {
            outcome.types((name, &stage), words, code, "").await;
        }
        let daemon = serves(name, stage, ends).await;
        outcome.tokens = microsoft.journal().issued_tokens();
        outcome.join(daemon)
    }
}

/// Runs the daemon until it is in the expected state. Collects its endpoints, its log, and the output of `status`.
pub async fn serves(name: &str, stage: Stage, ends: Ends) -> Outcome {
    let stage = stage.text("http.listen", "127.0.0.1:0");
    let mut daemon = stage.daemon(&[]).await;
    until(&format!("{name}: the state expected"), SOON, async || {
        let status = daemon.status().await;
        let tenants = status["tenants"].as_array().expect("tenants");
        let expected = |state: &str| match ends.tenants {
            ANY => state != "starting",
            expected => state == expected,
        };
        tenants
            .iter()
            .all(|tenant| tenant["state"].as_str().is_some_and(expected))
            && status["kafka"]["state"] == ends.kafka
    })
    .await;
    let mut outcome = Outcome::default();
    let well = |state: &str| i32::from(state != "ok");
    let all = well(ends.tenants).max(well(ends.kafka));
    for (option, code) in [
        ("", all),
        (" --json", all),
        (" --ready", well(ends.kafka)),
        (" --live", 0),
    ] {
        let words = format!("status --address {}{option}", daemon.address());
        outcome.types((name, &stage), &words, code, "").await;
    }
    outcome.places.extend(endpoints(name, &daemon).await);
    daemon.stop().await;
    outcome.log(name, &daemon);
    outcome
}
