//! `incidentd status`: shows the state of a running daemon's tenants.
//!
//! It reads only the daemon's address from the configuration. So it also works while the file is being edited, and without
//! the daemon's variables and secrets. A probe whose file can't be read uses the default address. The answer is text from
//! outside, and goes through `tame` before a terminal shows it.
//!
//! Exit codes: 0 when every tenant, Kafka and the ledger are `ok` and the last reload was not refused; 1 when any of them
//! is not; 75 when no incidentd answers. With `--ready` and `--live`: 0, 1 with the reason, 75. Of several daemons that are asked,
//! one that does not answer is not ok, and 75 means that none does.

mod report;
mod screen;
mod table;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::runtime;
use tokio::time::{MissedTickBehavior, interval};

use super::text::print_as_it_is;
use super::{CONFIGURATION, CommandError, ConfigFile, FAILED, INTERNAL, OrExit, UNAVAILABLE};
use crate::config::{self, DEFAULT_LISTEN};
use crate::core::format::tame;
use crate::core::health::failure::one_line;
use crate::core::time::ticks::Ticks;
use crate::ports::Clock;
use crate::telemetry::client::{self, EndpointAnswer, RequestError};
use crate::telemetry::clock::SystemClock;

use report::StatusDocument;
use screen::Screen;
use table::TableContext;

/// How a running daemon's tenants are, worst first, and what to do about those that are not ok
#[derive(Args, Debug)]
#[command(after_long_help = "\
Exit codes:
  0   every tenant, Kafka, the ledger and the last reload are ok; with --ready and --live: yes
  1   something is not ok, whatever its state; with --ready and --live: no, and why
  75  no incidentd answers there
  78  the configuration does not say where the daemon listens: say it with --address

A probe, for example of a container:
  incidentd status --ready")]
pub struct StatusCommand {
    #[command(flatten)]
    file: ConfigFile,
    /// Where the daemon listens; without it, where http.listen of the configuration says. Given several times, each replica is
    /// asked
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    address: Vec<String>,
    /// Ask again every SECONDS seconds, until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
    /// What the daemon says, unchanged: the JSON of /api/status
    #[arg(long)]
    json: bool,
    /// Only whether the daemon is ready: exit code 0, or 1 and what it waits for
    #[arg(long, conflicts_with_all = ["live", "json", "watch"])]
    ready: bool,
    /// Only whether the daemon makes progress: exit code 0, or 1 and why it should be restarted
    #[arg(long, conflicts_with_all = ["json", "watch"])]
    live: bool,
}

impl StatusCommand {
    pub fn run(self) -> Result<(), CommandError> {
        let (daemons, unknown) = match self.daemons() {
            // An edited file must not fail the probe: the restart would not find a valid configuration.
            Err(unknown) if self.ready || self.live => {
                let default = Daemon::listening(DEFAULT_LISTEN, "the default of http.listen");
                (vec![default], Some(unknown))
            }
            daemons => (daemons?, None),
        };
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("can't start the async runtime")
            .or_exit(INTERNAL)?;
        let answer = runtime.block_on(async {
            match (self.ready, self.live, self.watch) {
                (true, ..) => probe(&daemons, "/readyz", "ready").await,
                (_, true, _) => probe(&daemons, "/livez", "live").await,
                (.., Some(seconds)) => self.watch(&daemons, seconds).await,
                (.., None) => self.once(&daemons).await,
            }
        });
        answer.map_err(|failed| match unknown {
            Some(unknown) if failed.code == UNAVAILABLE => unknown,
            _ => failed,
        })
    }

    fn daemons(&self) -> Result<Vec<Daemon>, CommandError> {
        if !self.address.is_empty() {
            let named = self.address.iter().map(|address| Daemon {
                address: address.clone(),
                otherwise: None,
                source: None,
            });
            return Ok(named.collect());
        }
        let listen = self.file.read(config::listen).map_err(|wrong| {
            let help = "or say with --address HOST:PORT where the daemon listens";
            CommandError::saying(wrong.code, format!("{wrong}\n    {help}"))
        })?;
        let source = format!("http.listen of {}", self.file.config.display());
        if listen.port() == 0 {
            let what = format!(
                "the daemon chose its port itself ({source} has port 0): name it with --address HOST:PORT; its log has it \
                 in the line \"incidentd runs\", as listen"
            );
            return Err(CommandError::saying(CONFIGURATION, what));
        }
        Ok(vec![Daemon::listening(listen, &source)])
    }

    async fn once(&self, daemons: &[Daemon]) -> Result<(), CommandError> {
        let screen = Screen::of_stdout();
        let mut failures = Vec::new();
        for (n, daemon) in daemons.iter().enumerate() {
            let trouble = match self.ask(daemon, &screen).await {
                Ok((text, report)) => {
                    let gap = if n == 0 || self.json { "" } else { "\n" };
                    print_as_it_is(&format!("{gap}{text}"))?;
                    let trouble = report.trouble();
                    trouble.map(|trouble| CommandError::saying(FAILED, trouble))
                }
                Err(failure) => Some(failure),
            };
            failures.extend(trouble.map(|failure| (daemon, failure)));
        }
        all_of(failures, daemons.len())
    }

    async fn watch(&self, daemons: &[Daemon], seconds: u64) -> Result<(), CommandError> {
        let mut turns = interval(Duration::from_secs(seconds));
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            let screen = Screen::of_stdout();
            let mut texts = Vec::new();
            for daemon in daemons {
                texts.push(match self.ask(daemon, &screen).await {
                    Ok((text, _)) => text,
                    // The daemon may be restarting: keep asking until it answers.
                    Err(failure) => format!(
                        "{}: {failure}\n    Asked again every {seconds}s.\n",
                        now_by_our_clock()
                    ),
                });
            }
            if !screen.redraw(&texts.join("\n"))? {
                return Ok(());
            }
        }
    }

    /// The text to show, and the document behind it.
    async fn ask(
        &self,
        daemon: &Daemon,
        screen: &Screen,
    ) -> Result<(String, StatusDocument), CommandError> {
        let (answer, address) = daemon.ask("/api/status").await?;
        if answer.status != 200 {
            return Err(daemon.strange(address, &answer));
        }
        let report: StatusDocument =
            serde_json::from_str(&answer.body).map_err(|_| daemon.strange(address, &answer))?;
        if self.json {
            return Ok((one_json_line(&answer.body), report));
        }
        let context = TableContext {
            address,
            now: answer.date.unwrap_or_else(now_by_our_clock),
            columns: screen.columns(),
            colour: screen.colour(),
        };
        Ok((table::render(&report, &context), report))
    }
}

/// The answers of one of the endpoints for probes.
async fn probe(daemons: &[Daemon], path: &str, good: &str) -> Result<(), CommandError> {
    let mut failures = Vec::new();
    for daemon in daemons {
        let failure = probe_one(daemon, path, good).await.err();
        failures.extend(failure.map(|failure| (daemon, failure)));
    }
    all_of(failures, daemons.len())?;
    print_as_it_is(&format!("{good}\n"))
}

async fn probe_one(daemon: &Daemon, path: &str, good: &str) -> Result<(), CommandError> {
    let (answer, address) = daemon.ask(path).await?;
    match answer.status {
        200 if answer.body.trim_end() == "ok" => Ok(()),
        503 => {
            let why = one_line(&tame(&answer.body), 500);
            Err(CommandError::saying(FAILED, format!("not {good}: {why}")))
        }
        _ => Err(daemon.strange(address, &answer)),
    }
}

/// What is wrong with the daemons that were asked. They are unavailable only if none of them answers.
fn all_of(failures: Vec<(&Daemon, CommandError)>, asked: usize) -> Result<(), CommandError> {
    let unavailable = |(_, failure): &(&Daemon, CommandError)| failure.code == UNAVAILABLE;
    let code = match failures.len() == asked && failures.iter().all(unavailable) {
        true => UNAVAILABLE,
        false => FAILED,
    };
    let named = |(daemon, failure): &(&Daemon, CommandError)| match asked {
        1 => failure.to_string(),
        _ => format!("{}: {failure}", daemon.address),
    };
    let texts: Vec<_> = failures.iter().map(named).collect();
    match texts.is_empty() {
        true => Ok(()),
        false => Err(CommandError::saying(code, texts.join("\n"))),
    }
}

/// The daemon that is asked.
struct Daemon {
    address: String,
    /// The second address to try when nothing listens at `address`.
    otherwise: Option<String>,
    /// The part of the configuration that names the address; `None`: the command line does.
    source: Option<String>,
}

impl Daemon {
    fn listening(listen: SocketAddr, source: &str) -> Self {
        let (address, otherwise) = reachable(listen);
        Self {
            address,
            otherwise,
            source: Some(source.to_owned()),
        }
    }

    /// The answer, and the address that gave it.
    async fn ask(&self, path: &str) -> Result<(EndpointAnswer, &str), CommandError> {
        let first = client::get(&self.address, path).await;
        let (address, answer) = match (first, &self.otherwise) {
            (Err(RequestError::Connect(refused)), Some(other)) => {
                match client::get(other, path).await {
                    // Show the first address's error: it is the right one in most places.
                    Err(RequestError::Connect(_)) => {
                        (&self.address, Err(RequestError::Connect(refused)))
                    }
                    answer => (other, answer),
                }
            }
            (first, _) => (&self.address, first),
        };
        let answer = answer.map_err(|error| self.unreachable(address, error))?;
        Ok((answer, address))
    }

    fn unreachable(&self, address: &str, error: RequestError) -> CommandError {
        let asked = self.asked();
        let what = match error {
            RequestError::Strange(why) => {
                format!("what answers at {address} is not incidentd: {why}\n    {asked}")
            }
            error => {
                let why = format!("{:#}", anyhow::Error::new(error));
                format!(
                    "no answer from {address}: {why}\n    Is incidentd running? (systemctl status incidentd)\n    {asked}"
                )
            }
        };
        CommandError::saying(UNAVAILABLE, what)
    }

    fn strange(&self, address: &str, answer: &EndpointAnswer) -> CommandError {
        let asked = self.asked();
        let (status, body) = (answer.status, one_line(&tame(&answer.body), 80));
        let what = format!(
            "what answers at {address} does not answer as incidentd does: {status} {body:?}\n    {asked}"
        );
        CommandError::saying(UNAVAILABLE, what)
    }

    /// Why this address was asked, and how to ask another.
    fn asked(&self) -> String {
        match &self.source {
            Some(source) => format!(
                "It was asked where {source} says; if incidentd listens elsewhere, use --address HOST:PORT."
            ),
            None => "It was asked where --address says: see http.listen of its configuration, or the line \"incidentd runs\" \
                     of its log."
                .into(),
        }
    }
}

/// The address at which to reach a daemon that listens on `listen`, and a second one. A daemon on all addresses also listens
/// on loopback. `[::]` serves IPv4 too, and only IPv4 in a container whose loopback has no `::1`.
fn reachable(listen: SocketAddr) -> (String, Option<String>) {
    let (ip, otherwise): (IpAddr, Option<IpAddr>) = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST.into(), None),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            (Ipv6Addr::LOCALHOST.into(), Some(Ipv4Addr::LOCALHOST.into()))
        }
        ip => (ip, None),
    };
    let address = |ip| SocketAddr::new(ip, listen.port()).to_string();
    (address(ip), otherwise.map(address))
}

/// `HOST:PORT`, also as the start of a URL.
fn host_and_port(text: &str) -> Result<String, String> {
    let plain = text.strip_prefix("http://").unwrap_or(text);
    let plain = plain.strip_suffix('/').unwrap_or(plain);
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '?' | '#');
    let parts = plain.rsplit_once(':').filter(|_| !plain.contains(odd));
    match parts {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|n| n > 0) => {
            Ok(plain.to_owned())
        }
        _ => Err("give HOST:PORT, for example 127.0.0.1:9464; it is asked in plain http".into()),
    }
}

/// The same document without characters that command a terminal. In JSON they can only be in texts, where an escape means
/// the same, or between values, where a space does.
fn one_json_line(body: &str) -> String {
    let mut line = String::with_capacity(body.len() + 1);
    for (c, tamed) in body.trim().chars().zip(tame(body.trim()).chars()) {
        match c {
            '\t' | '\r' | '\n' => line.push(' '),
            c if c != tamed => line.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => line.push(c),
        }
    }
    line + "\n"
}

fn now_by_our_clock() -> Ticks {
    Ticks::from_unix_seconds(SystemClock.now().unix_seconds())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

    use super::*;

    #[test]
    fn a_daemon_that_listens_everywhere_is_asked_on_loopback() {
        for (listen, asked, otherwise) in [
            ("127.0.0.1:9464", "127.0.0.1:9464", None),
            ("0.0.0.0:9464", "127.0.0.1:9464", None),
            ("[::]:9464", "[::1]:9464", Some("127.0.0.1:9464")),
            ("192.0.2.7:80", "192.0.2.7:80", None),
        ] {
            let (first, second) = reachable(listen.parse().unwrap());
            assert_eq!(
                (first.as_str(), second.as_deref()),
                (asked, otherwise),
                "{listen}"
            );
        }
    }

    fn daemon_behind_all_addresses(port: u16) -> Daemon {
        let (address, otherwise) = reachable(format!("[::]:{port}").parse().unwrap());
        Daemon {
            address,
            otherwise,
            source: None,
        }
    }

    #[tokio::test]
    async fn a_daemon_that_serves_ipv4_only_is_found_behind_all_addresses() {
        let served = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = served.local_addr().unwrap().port();
        let serve = async {
            let (mut stream, _) = served.accept().await.unwrap();
            let (reading, mut writing) = stream.split();
            let mut head = String::new();
            let mut lines = BufReader::new(reading);
            while lines.read_line(&mut head).await.unwrap() > 2 {}
            writing
                .write_all(b"HTTP/1.0 200 OK\r\n\r\nok\n")
                .await
                .unwrap();
        };
        let daemon = daemon_behind_all_addresses(port);
        let (answer, ()) = tokio::join!(
            async {
                let answer = daemon.ask("/livez").await;
                answer.map(|(answer, address)| (answer.status, address.to_owned()))
            },
            serve
        );
        let answer = answer.unwrap_or_else(|failed| panic!("{:#}", failed.error));
        assert_eq!(answer, (200, format!("127.0.0.1:{port}")));
    }

    #[tokio::test]
    async fn where_nobody_answers_the_first_address_is_named() {
        // Bound and not listening: nobody else takes the port meanwhile.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = socket.local_addr().unwrap().port();
        let daemon = daemon_behind_all_addresses(port);
        let failed = daemon.ask("/livez").await.expect_err("nobody answers");
        let said = format!("{:#}", failed.error);
        assert!(
            said.contains(&format!("no answer from [::1]:{port}")),
            "{said}"
        );
    }

    #[test]
    fn json_stays_what_it_is_and_commands_nothing() {
        let said = "{\"name\":\"Söhne \u{9b}2J\u{7f}\u{202e}\",\r\n\t\"n\":1}\n";
        let line = one_json_line(said);
        assert_eq!(
            line,
            "{\"name\":\"Söhne \\u009b2J\\u007f\\u202e\",   \"n\":1}\n"
        );
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&line), value(said));
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (given, taken) in [
            ("localhost:9464", "localhost:9464"),
            ("[::1]:9464", "[::1]:9464"),
            ("http://10.0.0.7:9464/", "10.0.0.7:9464"),
        ] {
            assert_eq!(host_and_port(given).as_deref(), Ok(taken));
        }
        for wrong in [
            "",
            "localhost",
            ":9464",
            "localhost:0",
            "localhost:http",
            "https://localhost:9464",
            "http://h:1/metrics",
            "user@h:1",
            "h\n:1",
        ] {
            assert!(host_and_port(wrong).is_err(), "{wrong:?}");
        }
    }
}
