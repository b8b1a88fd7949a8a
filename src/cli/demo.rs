//! `incidentd demo`: the whole chain in one process. A simulated Microsoft whose incidents change, the real daemon, and
//! librdkafka's in-process broker. Records are shown as they arrive on the topic.
//!
//! The summary compares the topic with the simulator's own journal, and never uses what the daemon reports. Records are
//! recognised by their bytes, so the summary also proves that the bytes are unchanged.

mod line;
mod script;
mod tally;

use std::collections::HashMap;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use futures_util::StreamExt;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use tokio::sync::oneshot;
use tokio::time::{Instant, interval, timeout, timeout_at};
use uuid::Uuid;

use super::record_view::RecordView;
use super::text::print_as_it_is;
use super::{CommandError, FAILED, INTERNAL, OrExit, run_async};
use crate::app::{App, Libraries, Output};
use crate::config;
use crate::kafka::mock::MockBroker;
use crate::kafka::reader::{Arrived, TopicReader};
use crate::settings::{LogFormat, Settings};
use crate::simulator::{Options, Simulator, Tenant, World};
use crate::telemetry::logging::{self, colour_refused};

use script::Script;
use tally::Tally;

const TOPIC: &str = "security.incidents";
const PARTITIONS: i32 = 3;
/// Incidents that each tenant has when the demo begins.
const AT_FIRST: usize = 4;
/// How long the demo waits for the daemon to read the last changes.
const CATCH_UP: Duration = Duration::from_secs(20);
/// Between two changes in the simulated tenants.
const CHANGE_PACE: Duration = Duration::from_millis(300);
/// When no record arrives for this long, the topic is complete.
const SILENCE: Duration = Duration::from_secs(1);

/// Everything in one process against a simulated Microsoft: no set-up, no network, nothing left behind
#[derive(Args, Debug)]
pub struct DemoCommand {
    /// How long the incidents go on changing
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Customers of the simulated Microsoft
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    tenants: u32,
    /// The same seed gives the same incidents
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What a record's value is, as kafka.format
    #[arg(long, default_value = "cloudevents", value_parser = ["cloudevents", "raw", "ocsf", "ecs"])]
    format: String,
}

impl DemoCommand {
    pub fn run(self) -> Result<(), CommandError> {
        let tally = match run_async(self.show())? {
            Err(error) if reader_is_gone(&error) => return Ok(()),
            tally => tally.or_exit(INTERNAL)?,
        };
        // The summary is the last line on standard output, whatever the outcome.
        print_as_it_is(&format!("{tally}\n"))?;
        if tally.is_clean() {
            return Ok(());
        }
        let lost = "records were repeated, lost or changed on their way: see the summary";
        Err(CommandError::saying(FAILED, lost))
    }

    async fn show(&self) -> anyhow::Result<Tally> {
        // Silence the line about a new ledger: in the demo it always is.
        let _log = logging::init(LogFormat::Text, "warn,incidentd::ledger=error")
            .context("can't start the log")?;
        let tenants: Vec<_> = (1..=self.tenants).map(Tenant::numbered).collect();
        let simulator = Simulator::start(Options {
            seed: self.seed,
            tenants: tenants.clone(),
            // As in the field: the score changes without a new last update, and is not published.
            scores: true,
            ..Options::default()
        })
        .await
        .context("can't start the simulator")?;
        let world = simulator.world();
        for tenant in &tenants {
            world.create(tenant.id, AT_FIRST)?;
        }
        let broker = MockBroker::start(&[(TOPIC, PARTITIONS)]).context("can't start the broker")?;
        let folder = tempfile::tempdir().context("can't make a folder for the demo's ledger")?;
        let settings =
            self.settings(folder.path(), &simulator.url(), broker.brokers(), &tenants)?;
        let reader = TopicReader::open(broker.brokers(), TOPIC).await?;
        let app = App::build(settings, Output::Kafka).await?;
        self.introduce(&app.listening()?.to_string(), broker.brokers())?;

        let (stop, stopped) = oneshot::channel::<()>();
        let daemon = tokio::spawn(app.run(
            async {
                // The sender is dropped when the demo fails: stop then, too.
                let _ = stopped.await;
            },
            None,
        ));
        let mut watch = TopicWatch {
            tally: Tally::default(),
            colour: io::stdout().is_terminal() && !colour_refused(),
            reader,
            simulator: &simulator,
        };
        let time = Duration::from_secs(self.seconds);
        let watched = watch.until_all_has_arrived(&world, time).await;
        // Also when standard output is closed: the daemon must stop before its broker, or it logs errors.
        let _ = stop.send(());
        let ended = daemon.await;
        watched?;
        ended.context("the daemon broke")??;
        while watch.show_next(SILENCE).await? {}
        simulator.journal().settled().await;
        watch.tally.close(&simulator.journal());
        Ok(watch.tally)
    }

    fn introduce(&self, endpoints: &str, brokers: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "A simulated Microsoft with {} tenants, the real daemon, an in-process Kafka; {} seconds.\n\
             Status: http://{endpoints}/   As JSON: http://{endpoints}/api/status   Metrics: http://{endpoints}/metrics\n\
             Kafka: {brokers}   Topic: {TOPIC}\n",
            self.tenants, self.seconds
        )?;
        writeln!(out, "{}", line::HEADING)
    }

    /// The demo writes its configuration to a file and loads it, as an operator does.
    fn settings(
        &self,
        folder: &Path,
        upstream: &str,
        brokers: &str,
        tenants: &[Tenant],
    ) -> anyhow::Result<Settings> {
        let (secret, file) = (folder.join("client-secret"), folder.join("incidentd.toml"));
        fs::write(&secret, Tenant::SECRET)?;
        let mut text = format!(
            r#"
[app]
client_id = "{client}"
client_secret_file = {secret:?}
[api]
base_url = "{upstream}"
login_url = "{upstream}"
[poll]
schedule = "every 3s"
[kafka]
brokers = "{brokers}"
topic = "{TOPIC}"
format = "{format}"
[kafka.properties]
"linger.ms" = "5"
[ledger]
path = {ledger:?}
[http]
listen = "127.0.0.1:0"
"#,
            client = Tenant::CLIENT_ID,
            format = self.format,
            ledger = folder.join("ledger"),
        );
        for Tenant { id, name, .. } in tenants {
            text.push_str(&format!("[[tenants]]\nid = \"{id}\"\nname = \"{name}\"\n"));
        }
        fs::write(&file, text)?;
        Ok(config::load(&file, &HashMap::new(), &Libraries::default())?)
    }
}

/// The topic under watch.
struct TopicWatch<'a> {
    tally: Tally,
    colour: bool,
    reader: TopicReader,
    simulator: &'a Simulator,
}

impl TopicWatch<'_> {
    /// Shows what arrives while incidents go on changing.
    async fn for_a_while(&mut self, world: &World, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        // A signal ends the demo early, with a summary and without leftovers.
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let (mut script, mut turns) = (Script::default(), interval(CHANGE_PACE));
        loop {
            tokio::select! {
                _ = turns.tick() => script.next(world),
                _ = signals.next() => return Ok(()),
                record = timeout_at(end, self.reader.next()) => match record {
                    Ok(record) => self.show(&record?)?,
                    Err(_) => return Ok(()),
                },
            }
        }
    }

    /// After the changes, waits until every version that the simulator showed has arrived.
    async fn until_all_has_arrived(&mut self, world: &World, time: Duration) -> anyhow::Result<()> {
        self.for_a_while(world, time).await?;
        let end = Instant::now() + CATCH_UP;
        let journal = self.simulator.journal();
        let complete = |tally: &Tally| journal.current().iter().all(|version| tally.has(version));
        while Instant::now() < end {
            if !self.show_next(Duration::from_millis(200)).await? && complete(&self.tally) {
                break;
            }
        }
        Ok(())
    }

    /// Shows the next record. `false`: none arrived within `limit`.
    async fn show_next(&mut self, limit: Duration) -> anyhow::Result<bool> {
        match timeout(limit, self.reader.next()).await {
            Ok(record) => self.show(&record?).map(|()| true),
            Err(_) => Ok(false),
        }
    }

    fn show(&mut self, record: &Arrived) -> anyhow::Result<()> {
        self.tally.count(record, &self.simulator.journal());
        writeln!(
            io::stdout(),
            "{}",
            line::line(&RecordView::of(record), self.colour)
        )?;
        Ok(())
    }
}

/// A closed standard output (`incidentd demo | head`) is no error.
fn reader_is_gone(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The tenant of a record's key, `{tenant}/{incident}`.
fn tenant_of(key: &str) -> Option<Uuid> {
    key.split_once('/')?.0.parse().ok()
}
