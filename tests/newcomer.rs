//! An engineer who has never seen incidentd starts it for customers, makes mistakes, fixes them, and adds one more
//! customer. Everything typed and printed is in `tests/newcomer/transcript.txt`, to be read from top to bottom.
//!
//! `UPDATE=1 tests/run --test newcomer` rewrites the transcript; read it before committing it.

mod calm;
mod desk;

use crate::support::kafka::{create_topic, shared};
use crate::support::tally::Tally;
use crate::support::{SOON, until};
use incidentd::simulator::{Options, Simulator, Tenant};

use desk::Desk;

const TOPIC: &str = "security.incidents";

/// A Microsoft with four customers: one has not consented, and one has its own secret, which is mistyped at first.
async fn microsoft() -> (Simulator, Vec<Tenant>) {
    let customer = |n: u32, name: &str| {
        let mut tenant = Tenant::numbered(n);
        tenant.name = name.to_owned();
        tenant
    };
    let mut tenants = vec![
        customer(1, "contoso"),
        customer(2, "fabrikam"),
        customer(3, "northwind"),
        customer(4, "adatum"),
    ];
    tenants[1].secret = "fabrikam's~own".to_owned();
    tenants[2].consented = false;
    let options = Options {
        tenants: tenants.clone(),
        quotas: false,
        ..Options::default()
    };
    let simulator = Simulator::start(options).await.expect("a simulator");
    for tenant in &tenants {
        simulator.world().create(tenant.id, 3).expect("incidents");
    }
    (simulator, tenants)
}

#[tokio::test(flavor = "multi_thread")]
async fn from_nothing_to_a_healthy_fleet() {
    let kafka = shared();
    let (simulator, tenants) = microsoft().await;
    let [contoso, fabrikam, northwind, adatum] = &tenants[..] else {
        panic!("four customers");
    };
    let (world, journal) = (simulator.world(), simulator.journal());
    let mut desk = Desk::new(&simulator, &kafka);
    let add = |tenant: &Tenant| {
        let id = tenant.id.to_string();
        format!(
            "init --tenant {id} --name {} --config incidentd.toml",
            tenant.name
        )
    };

    desk.tell("A first configuration.");
    desk.types("init --config incidentd.toml", 0).await;
    desk.types("check --config incidentd.toml", 78).await;
    desk.tell("The app registration's id, the secret, Kafka, and where this Microsoft is.");
    desk.edits(
        "incidentd.toml",
        "00000000-0000-0000-0000-000000000000",
        &Tenant::CLIENT_ID.to_string(),
    );
    desk.edits("incidentd.toml", "localhost:9092", &kafka);
    desk.sets("incidentd.toml", "api", "base_url", &simulator.url());
    desk.sets("incidentd.toml", "api", "login_url", &simulator.url());
    desk.sets("incidentd.toml", "http", "listen", desk.listen().as_str());
    desk.edits(
        "incidentd.toml",
        "schedule = \"*/30 * * * * *\"",
        "schedule = \"every 1s\"",
    );
    desk.pastes("client-secret", Tenant::SECRET);
    desk.tell("The customers. Fabrikam has an app registration's secret of its own.");
    for tenant in [contoso, fabrikam, northwind] {
        desk.types(&add(tenant), 0).await;
    }
    desk.types(&add(contoso), 1).await;
    desk.pastes("fabrikam-secret", "a secret of another app");
    desk.sets(
        "tenants.d/fabrikam.toml",
        "",
        "app.client_secret_file",
        "fabrikam-secret",
    );
    desk.types("check --offline --config incidentd.toml", 0)
        .await;
    desk.types("check --config incidentd.toml", 1).await;

    desk.tell("The topic is made, Fabrikam's secret copied again, and Northwind's administrator has opened the link.");
    create_topic(&kafka, TOPIC, 6, &[("max.message.bytes", "8388608")]).await;
    desk.pastes("fabrikam-secret", &fabrikam.secret);
    desk.types("consent northwind --config incidentd.toml", 0)
        .await;
    world
        .administer(northwind.id, |tenant| tenant.consented = true)
        .expect("consent");
    desk.types("check --config incidentd.toml", 0).await;
    desk.types("token contoso --config incidentd.toml", 0).await;

    desk.tell("It runs.");
    desk.types("status --config incidentd.toml", 75).await;
    desk.starts().await;
    let complete = async |count: usize| {
        let all: Vec<_> = tenants[..count].iter().map(|tenant| tenant.id).collect();
        until(
            "all incidents of the customers are in Kafka",
            SOON,
            async || {
                let tally = Tally::read(&kafka, TOPIC, &journal).await;
                let current = journal.current().into_iter();
                let wanted = current.filter(|version| all.contains(&version.tenant));
                tally.missing(wanted).is_empty()
            },
        )
        .await;
    };
    complete(3).await;
    desk.becomes("status --config incidentd.toml", 0).await;

    desk.tell(
        "A fourth customer, with a slip of the pen at first. The daemon goes on with what it had.",
    );
    desk.types(&add(adatum), 0).await;
    desk.sets("tenants.d/adatum.toml", "", "poll.shedule", "every 1s");
    desk.reloads().await;
    desk.becomes("status --config incidentd.toml", 1).await;
    desk.types("check --offline --config incidentd.toml", 78)
        .await;
    desk.edits("tenants.d/adatum.toml", "shedule", "schedule");
    desk.reloads().await;
    complete(4).await;
    desk.becomes("status --config incidentd.toml", 0).await;
    desk.types("config adatum --config incidentd.toml", 0).await;

    desk.tell("It stops, and its log is read.");
    desk.stops().await;
    assert_eq!(Tally::read(&kafka, TOPIC, &journal).await.repeats(), 0);
    desk.finish();
}
