//! Files that are not TOML, with a secret in the broken line.

use incidentd::simulator::Simulator;

use crate::canary::refused::COMMANDS;
use crate::canary::stage::{Codes, NOBODY, Situation, Stage};
use crate::canary::words::{RIGHT, WRONG, key_pem};

/// The daemon's address and the tenants can't be read from the configuration either.
const CODES: Codes = &[("init --tenant", 78), ("init", 1), ("", 78)];

/// Each line with its name in the report. `@` stands for a secret, `~` for a secret in double quotes.
const LINES: [(&str, &str, &str); 17] = [
    (
        "no closing quote",
        "app.client_secret = \"@",
        "closing quote",
    ),
    (
        "no closing single quote",
        "app.client_secret = '@",
        "closing quote",
    ),
    ("no quotes", "app.client_secret = @", ":1: "),
    ("a colon", "client_secret: @", ":1: "),
    ("no equals sign", "client_secret ~", "a key has no value"),
    ("nothing but the secret", "@", ":1: "),
    ("a key twice", "app.a = ~\napp.a = ~", "given before"),
    (
        "a text without an end",
        "a = \"\"\"@\n[x] @",
        "not valid TOML",
    ),
    ("a list without an end", "a = [~,", "not valid TOML"),
    (
        "a key twice within braces",
        "a = { b = ~, b = ~ }",
        "given before",
    ),
    ("more behind the value", "a = \"b\" ~", "follows the value"),
    ("a header without its bracket", "[@", ":1: "),
    (
        "a header twice, with remarks",
        "[x] # @\n[x] # @",
        "given before",
    ),
    ("a header twice, with more behind", "[x] @\n[x] @", ":1: "),
    ("no escape", "a = \"\\q@\"", "begins an escape"),
    ("a date", "a = 2026-11-27@", ":1: "),
    ("a control character", "a = \"@\u{1}\"", ":1: "),
];

pub fn situations(simulator: &Simulator) -> Vec<Situation> {
    let stage = || Stage::new(simulator, NOBODY, "none");
    let lines = LINES.iter().map(|(name, lines, says)| {
        let text = lines.replace('~', &format!("{RIGHT:?}"));
        let text = text.replace('@', WRONG);
        situation(name, stage().before(text), says)
    });
    let key = format!("kafka.properties.\"ssl.key.pem\" = {}", key_pem());
    let others = [
        situation("a private key without quotes", stage().before(key), ":1: "),
        situation(
            "no UTF-8",
            stage().before([b"# ", RIGHT.as_bytes(), b"\xff"].concat()),
            "it is not text in UTF-8",
        ),
    ];
    lines.chain(others).collect()
}

fn situation(name: &str, stage: Stage, says: &'static str) -> Situation {
    Situation {
        name: format!("broken TOML, {name}"),
        stage,
        commands: &COMMANDS,
        codes: CODES,
        says,
    }
}
