//! Files and variables that should hold a secret but are unusable.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;

use incidentd::simulator::Simulator;

use crate::canary::online::certified;
use crate::canary::refused::{NO_PROOF, OF_LIBRARY, Row, of_rows, situation};
use crate::canary::stage::{NOBODY, Situation, Stage};
use crate::canary::words::{ASSERTION, KAFKA, RIGHT, in_url};
use crate::support::certificates::{ENCRYPTED, ONE, TWO};

pub const SECRET_FILE: &str = "app.client_secret_file";
pub const NEXT_FILE: &str = "app.client_secret_next_file";
pub const VARIABLE: &str = "app.client_secret_env";
pub const TOKEN_FILE: &str = "app.federated_token_file";
pub const CERTIFICATE_FILE: &str = "app.certificate_file";
pub const KEY_FILE: &str = "app.certificate_key_file";

/// The ways in which a file can be unusable, and the message for each.
const FILES: [(&str, &str); 4] = [
    ("large", "it is larger than 65536 bytes"),
    ("binary", "the file is not text"),
    ("folder", "it is not a regular file"),
    ("empty", "the file is empty"),
];

/// Content that is not a proof.
const PROOFS: [Row; 10] = [
    (
        "a federated token for its path",
        |stage| {
            stage
                .without(&[SECRET_FILE, NEXT_FILE])
                .text(TOKEN_FILE, ASSERTION)
        },
        "the file can't be read",
    ),
    (
        "a secret for a certificate of the app",
        |stage| certified(stage, ONE).file("certificate", RIGHT),
        "the file holds no certificate",
    ),
    (
        "a secret for the key of a certificate",
        |stage| certified(stage, ONE).file("certificate-key", RIGHT),
        "the file holds no private key",
    ),
    (
        "a secret within the key of a certificate",
        |stage| {
            let text = format!("-----BEGIN PRIVATE KEY-----\n{RIGHT}\n-----END PRIVATE KEY-----");
            certified(stage, ONE).file("certificate-key", text)
        },
        "the file holds a private key that can't be read",
    ),
    (
        "the key of another certificate",
        |stage| certified(stage, ONE).file("certificate-key", TWO),
        "does not belong to the certificate",
    ),
    (
        "an encrypted key of a certificate",
        |stage| certified(stage, ONE).file("certificate-key", ENCRYPTED),
        "a private key that is encrypted",
    ),
    (
        "a key for the path of a certificate",
        |stage| certified(stage, ONE).text(CERTIFICATE_FILE, RIGHT),
        "the file can't be read",
    ),
    (
        "a secret for the name of a variable",
        |stage| stage.without(&[SECRET_FILE]).text(VARIABLE, RIGHT),
        "there is no environment variable of this name",
    ),
    (
        "a variable that is empty",
        |stage| {
            let stage = stage.without(&[SECRET_FILE]).text(VARIABLE, "THE_SECRET");
            stage.env("THE_SECRET", " ")
        },
        "the environment variable of this name is empty",
    ),
    (
        "a variable that is no text",
        |stage| {
            let stage = stage.without(&[SECRET_FILE]).text(VARIABLE, "THE_SECRET");
            stage.env("THE_SECRET", no_text())
        },
        "is not UTF-8",
    ),
];

/// Content that is not a certificate.
const CERTIFICATES: [Row; 2] = [
    (
        "a secret for a certificate",
        |stage| stage.text("api.ca_file", "client-secret"),
        "holds no PEM certificate",
    ),
    (
        "a secret within a certificate",
        |stage| {
            let text = format!("-----BEGIN CERTIFICATE-----\n{RIGHT}\n-----END CERTIFICATE-----");
            stage.file("broken", text).text("api.ca_file", "broken")
        },
        "api.ca_file",
    ),
];

const ROWS: [Row; 3] = [
    (
        "a federated token beside a secret",
        |stage| stage.text(TOKEN_FILE, "token").file("token", ASSERTION),
        "a federated token stands in place of secrets",
    ),
    (
        "a variable beside a file",
        |stage| stage.text(VARIABLE, "THE_SECRET").env("THE_SECRET", RIGHT),
        "there can be one first secret only",
    ),
    (
        "two variables for one key",
        |stage| {
            let stage = stage.env("INCIDENTD__APP__CLIENT_SECRET_FILE", RIGHT);
            stage.env("incidentd__app__client_secret_file", RIGHT)
        },
        "they both set",
    ),
];

/// Variables that are read, or look as if they were. In an address the password is put before the `@`; an empty value
/// stands for the secret.
const VARIABLES: [(&str, &str, &str); 15] = [
    ("APP__CLIENT_SECRET", "", "client_secret"),
    ("APP__CLIENT_SECRET_FILE", "", "client_secret_file"),
    ("APP__CLIENT_SECRT_FILE", "", "did you mean"),
    ("APP__CLIENT__SECRET", "", "app.client"),
    ("APP", "", "should be a table"),
    ("POLL", "", "should be a table"),
    ("POLL__SCHEDULE", "", "poll.schedule"),
    ("TENANTS", "", "should be a list of tables"),
    ("SECRET", "", "there is no such key"),
    ("__SECRET", "", "it names no key"),
    ("API__PROXY", "http://user:@proxy:1/path", "it has a path"),
    ("API__BASE_URL", "https://user:@a.example", "holds a user"),
    ("KAFKA__BROKERS", "user:@kafka:9092", "list of host:port"),
    (
        "KAFKA__PROPERTIES__SASL__PASWORD",
        KAFKA,
        "no such property",
    ),
    (
        "KAFKA__PROPERTIES__SASL__MECHANISM",
        KAFKA,
        "sasl.mechanism",
    ),
];

fn no_text() -> OsString {
    OsString::from_vec([RIGHT.as_bytes(), b"\xff"].concat())
}

/// Adds the unusable files.
pub fn spoilt(stage: Stage) -> Stage {
    let stage = stage
        .file("large", RIGHT.repeat(2000))
        .file("binary", [RIGHT.as_bytes(), b"\xff"].concat())
        .file("empty", "\n");
    fs::create_dir(stage.folder().join("folder")).expect("a folder");
    stage
}

pub fn situations(simulator: &Simulator) -> Vec<Situation> {
    let new = || Stage::new(simulator, NOBODY, "none");
    let files = FILES.iter().flat_map(|(file, says)| {
        // The second secret's file may be empty.
        let keys = [SECRET_FILE, TOKEN_FILE, NEXT_FILE];
        let keys = keys
            .into_iter()
            .filter(|key| (*file, *key) != ("empty", NEXT_FILE));
        keys.map(move |key| {
            let stage = match key {
                TOKEN_FILE => spoilt(new()).without(&[SECRET_FILE, NEXT_FILE]),
                _ => spoilt(new()),
            };
            situation(
                &format!("{key} of no use, {file}"),
                stage.text(key, file),
                says,
            )
            .with_codes(NO_PROOF)
        })
    });
    let variables = VARIABLES.iter().map(|(name, value, says)| {
        let value = match *value {
            "" => RIGHT.to_owned(),
            address => address.replace('@', &format!("{}@", in_url(RIGHT))),
        };
        let name = format!("INCIDENTD__{name}");
        let title = format!("a secret in the variable {name}");
        let found = situation(&title, new().env(&name, value), says);
        match name.as_str() {
            "INCIDENTD__APP__CLIENT_SECRET_FILE" => found.with_codes(NO_PROOF),
            "INCIDENTD__KAFKA__PROPERTIES__SASL__PASWORD" => found.with_codes(OF_LIBRARY),
            _ => found,
        }
    });
    let no_text = situation(
        "a variable of a key that is no text",
        new().env("INCIDENTD__APP__CLIENT_ID", no_text()),
        "app.client_id",
    );
    let all = files.chain(variables).chain([no_text]);
    let proofs = of_rows(simulator, &PROOFS).into_iter();
    let certificates = of_rows(simulator, &CERTIFICATES).into_iter();
    all.chain(proofs.map(|it| it.with_codes(NO_PROOF)))
        .chain(certificates.map(|it| it.with_codes(OF_LIBRARY)))
        .chain(of_rows(simulator, &ROWS))
        .collect()
}
