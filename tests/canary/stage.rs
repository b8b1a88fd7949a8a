//! A situation: a configuration with secrets, the environment, and every command in it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use incidentd::simulator::Simulator;
use tokio::process::Command;
use tokio::time::timeout;

use crate::canary::words::{KAFKA, NEXT, RIGHT, proxy};
use crate::support::SOON;
use crate::support::daemon::{Daemon, incidentd};
use crate::support::search::Place;
use crate::support::setup::Setup;

/// An address without a listener.
pub const NOBODY: &str = "127.0.0.1:1";

/// A configuration with every secret in its right place, until something is changed.
pub struct Stage {
    setup: Setup,
    before: Vec<u8>,
    behind: String,
    env: Vec<(String, OsString)>,
}

impl Stage {
    pub fn new(simulator: &Simulator, brokers: &str, topic: &str) -> Self {
        let setup = Setup::new(simulator, brokers, topic)
            .text("app.client_secret_next_file", "next-secret")
            .text("api.proxy", &proxy(NOBODY))
            .text("kafka.properties.\"sasl.password\"", KAFKA)
            .text("http.listen", NOBODY)
            .text("log.level", "trace");
        let stage = Self {
            setup,
            before: Vec::new(),
            behind: String::new(),
            env: Vec::new(),
        };
        stage.file("client-secret", RIGHT).file("next-secret", NEXT)
    }

    pub fn text(mut self, key: &str, value: &str) -> Self {
        self.setup = self.setup.text(key, value);
        self
    }

    pub fn key(mut self, key: &str, value: &str) -> Self {
        self.setup = self.setup.key(key, value);
        self
    }

    /// Sets one of librdkafka's properties.
    pub fn property(self, name: &str, value: &str) -> Self {
        self.text(&format!("kafka.properties.\"{name}\""), value)
    }

    pub fn without(mut self, keys: &[&str]) -> Self {
        for key in keys {
            self.setup = self.setup.without(key);
        }
        self
    }

    /// Adds lines at the top of the file.
    pub fn before(mut self, lines: impl AsRef<[u8]>) -> Self {
        self.before.extend(lines.as_ref());
        self.before.push(b'\n');
        self
    }

    /// Adds lines at the end of the file, below the last tenant.
    pub fn behind(mut self, lines: &str) -> Self {
        self.behind.push_str(lines);
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a file next to the configuration that only its owner can read.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.folder().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        fs::write(&path, content).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its owner's");
        self
    }

    pub fn folder(&self) -> &Path {
        self.setup.path()
    }

    pub fn has_variables(&self) -> bool {
        !self.env.is_empty()
    }

    /// Writes the configuration and returns its path.
    pub fn write(&self) -> PathBuf {
        let path = self.setup.write();
        let text = fs::read(&path).expect("a configuration");
        let text = [&self.before, &text, self.behind.as_bytes()].concat();
        fs::write(&path, text).expect("written");
        path
    }

    /// Types a command. Returns what it printed, and its exit code.
    pub async fn types(&self, situation: &str, words: &str) -> (Place, Option<i32>) {
        let mut command = incidentd();
        self.dress(&mut command);
        command.args(words.split(' '));
        if takes_config(words) {
            let config = self.folder().join("incidentd.toml");
            command.arg("--config").arg(config);
        }
        let output = timeout(SOON, command.output()).await;
        let (mut printed, code) = match output {
            Ok(output) => {
                let output = output.expect("incidentd runs");
                (
                    [output.stdout, output.stderr].concat(),
                    output.status.code(),
                )
            }
            // The process is killed, because it was dropped.
            Err(_) => (Vec::new(), None),
        };
        let end = code.map_or("it did not end by itself".to_owned(), |code| {
            format!("exit code {code}")
        });
        printed.extend(end.into_bytes());
        ((format!("{situation}: {words}"), printed), code)
    }

    fn dress(&self, command: &mut Command) {
        command
            .current_dir(self.folder())
            .envs(self.env.iter().map(|(name, value)| (name, value)));
    }

    /// Starts the daemon with this configuration.
    pub async fn daemon(&self, args: &[&str]) -> Daemon {
        let env: Vec<(&str, &str)> = self
            .env
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
            .collect();
        Daemon::start_with(&self.write(), args, &env).await
    }
}

/// Whether a command needs the path of the configuration.
fn takes_config(words: &str) -> bool {
    let reads = [
        "check", "config", "consent", "init", "run", "status", "token",
    ];
    let told = [" --config", " --address"];
    reads.iter().any(|command| words.starts_with(command))
        && !told.iter().any(|option| words.contains(option))
}

/// The exit code for each command: that of the first matching prefix.
pub type Codes = &'static [(&'static str, i32)];

pub struct Situation {
    pub name: String,
    pub stage: Stage,
    pub commands: &'static [&'static str],
    pub codes: Codes,
    /// The message of the first command, which shows that the intended mistake was reached.
    pub says: &'static str,
}

/// The result of situations.
#[derive(Default)]
pub struct Outcome {
    pub places: Vec<Place>,
    /// Unexpected results: the situation to be searched was not reached.
    pub amiss: Vec<String>,
    /// Tokens that were issued.
    pub tokens: Vec<String>,
}

impl Outcome {
    pub fn join(mut self, other: Self) -> Self {
        self.places.extend(other.places);
        self.amiss.extend(other.amiss);
        self.tokens.extend(other.tokens);
        self
    }

    /// Adds the output of a daemon that has ended.
    pub fn log(&mut self, situation: &str, daemon: &Daemon) {
        let written = daemon.output() + &daemon.log();
        self.places
            .push((format!("{situation}: run"), written.into_bytes()));
    }

    /// Types a command that must end with this code and this message.
    pub async fn types(
        &mut self,
        (name, stage): (&str, &Stage),
        words: &str,
        code: i32,
        says: &str,
    ) {
        let (place, ended) = stage.types(name, words).await;
        let printed = String::from_utf8_lossy(&place.1);
        if ended != Some(code) || !printed.contains(says) {
            let place = &place.0;
            self.amiss.push(format!(
                "{place} should say {says:?} and end with {code}:\n{printed}"
            ));
        }
        self.places.push(place);
    }
}

impl Situation {
    pub fn with_codes(self, codes: Codes) -> Self {
        Self { codes, ..self }
    }

    /// Types all commands.
    pub async fn happens(self) -> Outcome {
        let Self {
            name,
            stage,
            commands,
            codes,
            says,
        } = self;
        stage.write();
        let mut outcome = Outcome::default();
        for words in commands {
            let fits = |(command, _): &&(&str, i32)| words.starts_with(command);
            let (_, code) = codes.iter().find(fits).expect("a code for each command");
            let says = if *words == commands[0] { says } else { "" };
            outcome.types((&name, &stage), words, *code, says).await;
        }
        outcome
    }
}
