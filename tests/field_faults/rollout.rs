//! Microsoft rolls out a new schema to a fleet. No incident has changed, so nothing is published. Real changes are
//! published afterwards.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use incidentd::simulator::Tenant;
use uuid::Uuid;

use super::incident::{Form, Incident};
use crate::support::daemon::Daemon;
use crate::support::kafka::{create_topic, ends, shared};
use crate::support::scripted::{Scripted, Shelf, Source, instant};
use crate::support::setup::{Setup, unique};
use crate::support::{SOON, blocking, tell, until};

const TENANTS: u32 = 50;
const INCIDENTS: u64 = 200;
const RECORDS: i64 = TENANTS as i64 * INCIDENTS as i64;
/// How often each tenant is read in each form.
const SWEEPS: usize = 1;

/// The fleet's incidents, and their present form.
struct Fleet {
    microsoft: Scripted,
    tenants: Vec<(Tenant, Source)>,
    incidents: Mutex<HashMap<Uuid, Vec<Incident>>>,
    shelves: HashMap<Uuid, Shelf>,
}

impl Fleet {
    /// A fifth of the tenants are read through the Defender API.
    async fn new() -> Arc<Self> {
        let microsoft = Scripted::start().await;
        let source = |n: u32| match n % 5 {
            0 => Source::Defender,
            _ => Source::Graph,
        };
        let tenants: Vec<_> = (1..=TENANTS)
            .map(|n| (Tenant::numbered(n), source(n)))
            .collect();
        let (mut incidents, mut shelves) = (HashMap::new(), HashMap::new());
        for (tenant, source) in &tenants {
            // Within the overlap, so that each sweep reads all of them.
            let of = |id: u64| Incident::new(tenant.id, id, instant(-60 - id as i64));
            incidents.insert(tenant.id, (1..=INCIDENTS).map(of).collect::<Vec<_>>());
            let shelf = Shelf::new(*source, &microsoft);
            let answering = shelf.clone();
            microsoft.answers(tenant.id, move |asked| answering.answer(asked));
            shelves.insert(tenant.id, shelf);
        }
        let fleet = Self {
            microsoft,
            tenants,
            incidents: Mutex::new(incidents),
            shelves,
        };
        fleet.write(|_| Form::default());
        Arc::new(fleet)
    }

    /// Writes every incident again; `form` returns the form for its number.
    fn write(&self, form: impl Fn(u64) -> Form) {
        let incidents = self.incidents.lock().unwrap();
        for (tenant, source) in &self.tenants {
            for incident in &incidents[&tenant.id] {
                let text = incident.text(*source, form(incident.id));
                self.shelves[&tenant.id].put(incident.id, &incident.last_update, text);
            }
        }
    }

    fn change(&self, tenant: Uuid, id: u64, change: impl Fn(&mut Incident)) {
        let mut incidents = self.incidents.lock().unwrap();
        let own = incidents.get_mut(&tenant).unwrap();
        change(own.iter_mut().find(|incident| incident.id == id).unwrap());
    }

    /// Waits until every tenant has been read `SWEEPS` more times.
    async fn is_read(&self) {
        let sweeps = |tenant: &Tenant| self.microsoft.sweeps(tenant.id);
        let before: Vec<_> = self
            .tenants
            .iter()
            .map(|(tenant, _)| sweeps(tenant))
            .collect();
        until("each tenant is read anew", 3 * SOON, async || {
            let now = self.tenants.iter().map(|(tenant, _)| sweeps(tenant));
            // One more, which begins after the last has ended.
            now.zip(&before).all(|(now, before)| now > before + SWEEPS)
        })
        .await;
    }

    fn setup(&self, kafka: &str, topic: &str) -> Setup {
        let tenants = self.tenants.iter().map(|(tenant, _)| tenant.clone());
        let url = self.microsoft.url();
        let mut setup =
            Setup::at(&url, tenants.collect(), kafka, topic).text("poll.schedule", "every 1s");
        for (tenant, source) in &self.tenants {
            if *source == Source::Defender {
                setup = setup
                    .own_text(tenant.id, "api.source", source.name())
                    .own_text(tenant.id, "api.base_url", &url);
            }
        }
        setup
    }
}

async fn records(kafka: &str, topic: &str) -> i64 {
    let (kafka, topic) = (kafka.to_owned(), topic.to_owned());
    blocking(move || ends(&kafka, &topic)).await.iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_rolled_out_to_a_fleet_publishes_nothing_and_each_change_once() {
    let (kafka, topic) = (shared(), unique("rollout"));
    create_topic(&kafka, &topic, 6, &[]).await;
    let fleet = Fleet::new().await;
    let setup = fleet.setup(&kafka, &topic);
    let mut daemon = Daemon::start(&setup.write()).await;
    until("all incidents are published", 3 * SOON, async || {
        records(&kafka, &topic).await >= RECORDS
    })
    .await;
    fleet.is_read().await;
    assert_eq!(records(&kafka, &topic).await, RECORDS, "each once");

    // First the steps of such a roll-out one after the other, then everything at once with new values each time.
    let new = Form {
        score: Some(0),
        ..Form::default()
    };
    let urls = Form {
        new_urls: true,
        ..new
    };
    let lists = Form {
        reversed: true,
        ..urls
    };
    let sparse = Form {
        absent: true,
        ..lists
    };
    let capitals = Form {
        capitals: true,
        ..sparse
    };
    for (what, form) in [
        ("a new member", new),
        (
            "other values of it",
            Form {
                score: Some(50),
                ..new
            },
        ),
        ("a new form of URLs", urls),
        ("lists in another order", lists),
        ("members without a value left out", sparse),
        ("enumerations in another case", capitals),
        ("all as it was", Form::default()),
    ] {
        fleet.write(|id| Form {
            score: form.score.map(|score| score + id),
            ..form
        });
        fleet.is_read().await;
        let more = records(&kafka, &topic).await - RECORDS;
        assert_eq!(more, 0, "records for {what}");
    }

    // One change that moves Microsoft's last update, and one that does not.
    for (n, (tenant, _)) in fleet.tenants.iter().enumerate() {
        let id = 1 + n as u64 * 3;
        fleet.change(tenant.id, id, |incident| match n % 3 {
            0 => incident.status = "inProgress",
            1 => incident.alert_status = "resolved",
            _ => incident.last_update = instant(-1),
        });
    }
    fleet.write(|id| Form {
        score: capitals.score.map(|score| score + 2 * id),
        ..capitals
    });
    fleet.is_read().await;
    let more = records(&kafka, &topic).await - RECORDS;
    assert_eq!(
        more,
        i64::from(TENANTS),
        "records for one change in each tenant"
    );
    let late = daemon.metric("incidentd_late_found_total").await;
    tell(format_args!(
        "roll-out: {TENANTS} tenants with {INCIDENTS} incidents each: 0 records for 7 changes of form, {more} for one change \
         in each tenant; {late} found late"
    ));
    fleet.is_read().await;
    daemon.stop().await;
    let more = records(&kafka, &topic).await - RECORDS;
    assert_eq!(more, i64::from(TENANTS), "once each");
}
