//! Every kind of credential against an Entra that verifies it: it works, is wrong, has expired, is rotated. One daemon reads a
//! tenant for each case. `docs/configuration.md` has the table of what it shows; `tests/run --test credentials table`
//! prints what was seen.

mod arc;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use incidentd::core::time::ticks::Ticks;
use incidentd::simulator::{
    FederatedCredential, IdentityEndpoints, KeyVault, Options, RegisteredCertificate, SECOND,
    SimulatedIdentity, Simulator, Tenant, World,
};
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use crate::support::certificates::{ONE, TWO, TestCertificate, certificate};
use crate::support::daemon::{Daemon, incidentd};
use crate::support::setup::{Setup, simulator};
use crate::support::{SOON, tell, until};

const DAY: u64 = 86_400;
/// A vault, or an identity endpoint, that has just refused is asked again after five or ten seconds.
const AGAIN: Duration = Duration::from_secs(12);
const DOCUMENT: &str = include_str!("../docs/configuration.md");

/// Registers an app, and writes its credential's files.
type SetUp = fn(&Credentials<'_>);

/// One cell of the table.
struct Case {
    kind: &'static str,
    name: &'static str,
    set_up: SetUp,
    state: &'static str,
    /// What the remedy contains; of a case that is well, what the document says.
    says: &'static str,
}

const fn case(
    kind: &'static str,
    name: &'static str,
    set_up: SetUp,
    state: &'static str,
    says: &'static str,
) -> Case {
    Case {
        kind,
        name,
        set_up,
        state,
        says,
    }
}

const SECRET: &str = "client secret";
const TWO_SECRETS: &str = "two client secrets";
const FEDERATED: &str = "federated token";
const CERTIFICATE: &str = "certificate";
const VAULT: &str = "client secret in Key Vault";
const VAULT_OF_POD: &str = "client secret in Key Vault, by workload identity";
const IDENTITY: &str = "managed identity";
const IDENTITY_OF_APP: &str = "managed identity as a federated credential";
const IN_APP_SERVICE: &str = "managed identity in App Service";
const ON_ARC: &str = "managed identity on Azure Arc";

const CASES: &[Case] = &[
    case(SECRET, "works", |c| c.secret("good", "good"), "ok", ""),
    case(
        SECRET,
        "wrong",
        |c| c.secret("good", "bad"),
        "credential",
        "the client secret is wrong",
    ),
    case(
        SECRET,
        "expired",
        |c| {
            c.secret("good", "good");
            c.administer(|tenant| tenant.secret_expired = true);
        },
        "credential",
        "the client secret has expired",
    ),
    case(
        TWO_SECRETS,
        "works",
        |c| c.two_secrets("b", "a", "b"),
        "ok",
        "",
    ),
    case(
        TWO_SECRETS,
        "wrong",
        |c| c.two_secrets("good", "bad", "worse"),
        "credential",
        "the client secret is wrong",
    ),
    case(
        TWO_SECRETS,
        "expired",
        |c| {
            c.two_secrets("good", "good", "bad");
            c.administer(|tenant| tenant.secret_expired = true);
        },
        "credential",
        "the client secret has expired",
    ),
    case(
        FEDERATED,
        "works",
        |c| c.federated("a", "a", 3600),
        "ok",
        "",
    ),
    case(
        FEDERATED,
        "wrong",
        |c| c.federated("a", "b", 3600),
        "credential",
        "no federated credential of the app registration matches",
    ),
    case(
        FEDERATED,
        "expired",
        |c| c.federated("a", "a", -60),
        "credential",
        "check that what issues it still renews it",
    ),
    case(
        CERTIFICATE,
        "works",
        |c| c.certificate(ONE, ONE, DAY),
        "ok",
        "",
    ),
    case(
        CERTIFICATE,
        "wrong",
        |c| c.certificate(ONE, TWO, DAY),
        "credential",
        "register this certificate with the app",
    ),
    case(
        CERTIFICATE,
        "expired",
        |c| c.certificate(ONE, ONE, 0),
        "credential",
        "make a new certificate",
    ),
    case(VAULT, "works", |c| c.vault("good", "good"), "ok", ""),
    case(
        VAULT,
        "wrong",
        |c| c.vault("good", "bad"),
        "credential",
        "the client secret is wrong",
    ),
    case(
        VAULT,
        "expired",
        |c| {
            c.vault("good", "good");
            c.administer(|tenant| tenant.secret_expired = true);
        },
        "credential",
        "the client secret has expired",
    ),
    case(
        VAULT,
        "closed",
        |c| c.assigned(),
        "credential",
        "Key Vault Secrets User",
    ),
    case(
        VAULT_OF_POD,
        "works",
        |c| c.vault_of_pod("a", "a", 3600),
        "ok",
        "",
    ),
    case(
        VAULT_OF_POD,
        "wrong",
        |c| c.vault_of_pod("a", "b", 3600),
        "credential",
        "no federated credential of the identity of AZURE_CLIENT_ID matches",
    ),
    case(
        VAULT_OF_POD,
        "expired",
        |c| c.vault_of_pod("a", "a", -60),
        "credential",
        "check that what issues it still renews it",
    ),
    case(
        VAULT_OF_POD,
        "closed",
        |c| c.pod("a", "a", 3600),
        "credential",
        "Key Vault Secrets User",
    ),
    case(IDENTITY, "works", |c| c.assigned(), "ok", ""),
    case(
        IDENTITY,
        "wrong",
        |_| {},
        "credential",
        "assign the managed identity",
    ),
    case(
        IDENTITY,
        "without its permission",
        |c| {
            c.assigned();
            c.administer(|tenant| tenant.graph_roles.clear());
        },
        "consent",
        "give the managed identity the application permission",
    ),
    case(IDENTITY_OF_APP, "works", |c| c.trusted(), "ok", ""),
    case(
        IDENTITY_OF_APP,
        "wrong",
        |c| c.assigned(),
        "credential",
        "no federated credential of the app registration matches the managed identity",
    ),
    case(IN_APP_SERVICE, "works", |c| c.assigned(), "ok", ""),
    case(
        IN_APP_SERVICE,
        "wrong",
        |_| {},
        "credential",
        "assign the managed identity",
    ),
];

/// What was seen of a credential.
struct Seen {
    kind: &'static str,
    name: &'static str,
    state: String,
    remedy: String,
}

/// The endpoint of the managed identities, which a process has one of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Machine,
    AppService,
}

impl Place {
    fn cases(self) -> impl Iterator<Item = &'static Case> {
        CASES.iter().filter(move |case| match case.kind {
            IN_APP_SERVICE => self == Self::AppService,
            _ => self == Self::Machine,
        })
    }
}

/// What stays well when the app gets another credential, and its files follow.
const ROTATIONS: [(&str, SetUp); 9] = [
    (SECRET, |c| c.secret("new", "new")),
    (TWO_SECRETS, |c| c.two_secrets("new", "old", "new")),
    (FEDERATED, |c| c.federated("new", "new", 3600)),
    (CERTIFICATE, |c| c.certificate(TWO, TWO, 30 * DAY)),
    (VAULT, |c| c.vault("new", "new")),
    (VAULT_OF_POD, |c| c.vault_of_pod("new", "new", 3600)),
    (IDENTITY, |c| {
        c.assigned();
        let role = "SecurityIncident.Read.All".to_owned();
        c.administer(|tenant| tenant.graph_roles = vec![role]);
    }),
    (IDENTITY_OF_APP, |c| c.trusted()),
    (IN_APP_SERVICE, |c| c.assigned()),
];

/// The credentials of one tenant: in Entra, and in files.
struct Credentials<'a> {
    world: &'a World,
    tenant: Uuid,
    folder: &'a Path,
    services: &'a Services,
}

/// What Azure has beside Entra: identities, and a key vault for each tenant.
struct Services {
    identities: IdentityEndpoints,
    vaults: Vec<(Uuid, KeyVault)>,
}

impl Credentials<'_> {
    fn administer(&self, change: impl FnOnce(&mut Tenant)) {
        self.world
            .administer(self.tenant, change)
            .expect("a known tenant");
    }

    fn file(&self, name: &str, content: &str) {
        let path = self.folder.join(format!("{}-{name}", self.tenant));
        // As secrets are mounted: nobody sees half of it.
        let new = path.with_extension("new");
        fs::write(&new, content).expect("written");
        fs::rename(new, path).expect("replaced");
    }

    /// The managed identity of this tenant's case; it belongs to the tenant.
    fn identity(&self) -> SimulatedIdentity {
        SimulatedIdentity {
            client_id: Some(identity_of(self.tenant)),
            principal: Uuid::from_u128(!self.tenant.as_u128()),
            tenant: self.tenant,
        }
    }

    /// Azure assigns it to this machine.
    fn assigned(&self) {
        self.services.identities.assign(self.identity());
    }

    /// The app registration trusts it, too.
    fn trusted(&self) {
        self.assigned();
        let trusts = self.identity().federated();
        self.administer(|tenant| tenant.federated = vec![trusts]);
    }

    /// A secret in the tenant's vault, which its identity may read.
    fn vault(&self, registered: &str, held: &str) {
        self.assigned();
        self.in_vault(registered, held);
    }

    /// A token of the pod in the tenant's file. The pod's identity trusts its subject.
    fn pod(&self, registered: &str, held: &str, seconds: i64) {
        let credential = |subject| {
            let subject = format!("{}:{subject}", self.tenant);
            FederatedCredential::new("https://issuer.example", &subject)
        };
        let trusts = credential(registered);
        let home = self
            .world
            .administer(home().id, |home| home.federated.push(trusts));
        home.expect("the home tenant");
        self.token(&credential(held), seconds);
    }

    /// A secret in the tenant's vault, which the pod's identity may read.
    fn vault_of_pod(&self, registered: &str, held: &str, seconds: i64) {
        self.pod(registered, held, seconds);
        self.in_vault("good", "good");
    }

    fn in_vault(&self, registered: &str, held: &str) {
        self.administer(|tenant| tenant.secret = format!("canary~{registered}"));
        let mut vaults = self.services.vaults.iter();
        let (_, vault) = vaults.find(|(of, _)| *of == self.tenant).expect("a vault");
        vault.put(&format!("canary~{held}\n"), None);
    }

    fn secret(&self, registered: &str, held: &str) {
        self.administer(|tenant| tenant.secret = format!("canary~{registered}"));
        self.file("client_secret_file", &format!("canary~{held}"));
    }

    fn two_secrets(&self, registered: &str, first: &str, second: &str) {
        self.secret(registered, first);
        self.file("client_secret_next_file", &format!("canary~{second}"));
    }

    fn federated(&self, registered: &str, held: &str, seconds: i64) {
        let credential = |subject| FederatedCredential::new("https://issuer.example", subject);
        self.administer(|tenant| tenant.federated = vec![credential(registered)]);
        self.token(&credential(held), seconds);
    }

    /// A token in the tenant's file, which ends after this number of seconds.
    fn token(&self, credential: &FederatedCredential, seconds: i64) {
        let now = self.world.now();
        let token = credential.assertion(now - 3600 * SECOND, now + seconds * SECOND);
        self.file("federated_token_file", &token);
    }

    fn certificate(&self, registered: &str, held: &str, seconds: u64) {
        let now = seconds_now();
        let made = |key| certificate(key, now - DAY, now + seconds);
        let TestCertificate { der, .. } = made(registered);
        self.administer(|tenant| {
            tenant.certificates = vec![RegisteredCertificate { der, pss: true }];
        });
        self.file("certificate_key_file", held);
        self.file("certificate_file", &made(held).pem);
    }
}

/// The tenant of the pod's identity, which nobody reads.
fn home() -> Tenant {
    Tenant {
        client_id: Uuid::from_u128(0x90d),
        ..Tenant::numbered(9000)
    }
}

fn identity_of(tenant: Uuid) -> Uuid {
    Uuid::from_u128(tenant.as_u128() ^ 1 << 100)
}

fn seconds_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

/// The keys of a kind's files.
fn keys(kind: &str) -> &'static [&'static str] {
    match kind {
        SECRET => &["client_secret_file"],
        TWO_SECRETS => &["client_secret_file", "client_secret_next_file"],
        FEDERATED | VAULT_OF_POD => &["federated_token_file"],
        VAULT | IDENTITY | IDENTITY_OF_APP | IN_APP_SERVICE => &[],
        _ => &["certificate_file", "certificate_key_file"],
    }
}

/// A simulator with a tenant for each case, and a configuration that reads them.
async fn stage(place: Place) -> (Simulator, Services, Setup) {
    let tenants = u32::try_from(place.cases().count()).expect("a few");
    let simulator = simulator(tenants, Options::default()).await;
    let identities = IdentityEndpoints::start(&simulator, Vec::new()).await;
    let identities = identities.expect("a free port");
    let mut vaults = Vec::new();
    let mut setup = Setup::new(&simulator, "127.0.0.1:1", "none");
    let world = simulator.world();
    for (case, tenant) in place.cases().zip(world.tenants()) {
        for key in keys(case.kind) {
            let file = format!("{}-{key}", tenant.id);
            setup = setup.own_text(tenant.id, &format!("app.{key}"), &file);
        }
        if matches!(case.kind, VAULT | VAULT_OF_POD) {
            let vault = KeyVault::start(&simulator).await.expect("a free port");
            setup = setup.own_text(tenant.id, "app.key_vault_secret", &vault.secret());
            vaults.push((tenant.id, vault));
        }
        if matches!(
            case.kind,
            VAULT | IDENTITY | IDENTITY_OF_APP | IN_APP_SERVICE
        ) {
            let id = identity_of(tenant.id);
            setup = setup.own_text(tenant.id, "app.managed_identity", &id.to_string());
            if matches!(case.kind, IDENTITY | IN_APP_SERVICE) {
                setup = setup.own_text(tenant.id, "app.client_id", &id.to_string());
            }
        }
    }
    world.add_tenant(home());
    let services = Services { identities, vaults };
    for (case, tenant) in place.cases().zip(world.tenants()) {
        (case.set_up)(&credentials(&world, &services, &setup, tenant.id));
    }
    (simulator, services, setup)
}

fn credentials<'a>(
    world: &'a World,
    services: &'a Services,
    setup: &'a Setup,
    tenant: Uuid,
) -> Credentials<'a> {
    Credentials {
        world,
        services,
        tenant,
        folder: setup.path(),
    }
}

async fn row(daemon: &Daemon, tenant: Uuid) -> Value {
    let status = daemon.status().await;
    let mut tenants = status["tenants"].as_array().expect("a list").iter();
    let row = tenants.find(|row| row["id"] == tenant.to_string());
    row.expect("the tenant is shown").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_credential_works_is_wrong_expires_and_is_rotated_as_the_table_says() {
    let mut table = plays(Place::Machine).await;
    table.extend(plays(Place::AppService).await);
    table.extend(arc::plays().await);
    let kinds: Vec<&str> = table.iter().map(|seen| seen.kind).collect();
    table.sort_by_key(|seen| {
        let of_kind = kinds.iter().position(|kind| *kind == seen.kind);
        let when = match seen.name {
            "works" => 0,
            "rotated" => 2,
            _ => 1,
        };
        (of_kind, when)
    });
    tell(format_args!(
        "| credential | case | state | remedy |\n|---|---|---|---|"
    ));
    for Seen {
        kind,
        name,
        state,
        remedy,
    } in &table
    {
        tell(format_args!("| {kind} | {name} | `{state}` | {remedy} |"));
    }
}

/// Plays all cases of a place, and what follows when their credentials are rotated.
async fn plays(place: Place) -> Vec<Seen> {
    let mut table = Vec::new();
    let (simulator, services, setup) = stage(place).await;
    let world = simulator.world();
    let imds = services.identities.imds();
    let app_service = services.identities.app_service();
    let Tenant { id, client_id, .. } = home();
    let (home, identity) = (id.to_string(), client_id.to_string());
    let mut env = vec![
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds.as_str()),
        ("AZURE_TENANT_ID", &home),
        ("AZURE_CLIENT_ID", &identity),
    ];
    if place == Place::AppService {
        env.push(("IDENTITY_ENDPOINT", &app_service));
        env.push(("IDENTITY_HEADER", IdentityEndpoints::HEADER));
    }
    let daemon = Daemon::start_with(&setup.write(), &["--output", "stdout"], &env).await;
    let tenants = world.tenants();
    for (case, tenant) in place.cases().zip(&tenants) {
        table.push(sees(&daemon, tenant.id, case).await);
    }
    // All are rotated: those that were well stay so, and the others recover. Without a file nothing shows the change: a reload
    // has them tried again.
    for (case, tenant) in place.cases().zip(&tenants) {
        let before = row(&daemon, tenant.id).await;
        let rotate = ROTATIONS.iter().find(|(kind, _)| *kind == case.kind);
        let (_, rotate) = rotate.expect("it can be rotated");
        rotate(&credentials(&world, &services, &setup, tenant.id));
        world
            .administer(tenant.id, |tenant| tenant.secret_expired = false)
            .expect("known");
        simulator.revoke_tokens(tenant.id);
        let what = format!("{} {} is well with another one", case.kind, case.name);
        let mut reloaded: Option<Instant> = None;
        until(&what, SOON, async || {
            let row = row(&daemon, tenant.id).await;
            let is_due = reloaded.is_none_or(|at| at.elapsed() > AGAIN);
            let has_no_file = keys(case.kind).is_empty() || case.kind == VAULT_OF_POD;
            if has_no_file && row["state"] != "ok" && is_due {
                daemon.signal("HUP");
                reloaded = Some(Instant::now());
            }
            row["state"] == "ok" && row["token_expires"] != before["token_expires"]
        })
        .await;
        if case.name == "works" {
            table.push(Seen {
                kind: case.kind,
                name: "rotated",
                state: "ok".to_owned(),
                remedy: String::new(),
            });
        }
    }
    table
}

/// Waits for the state of a case, and checks what is shown.
async fn sees(daemon: &Daemon, tenant: Uuid, case: &Case) -> Seen {
    let what = format!("{} {} is {}", case.kind, case.name, case.state);
    until(&what, SOON, async || {
        row(daemon, tenant).await["state"] == case.state
    })
    .await;
    let remedy = row(daemon, tenant).await["remedy"].clone();
    let remedy = remedy.as_str().unwrap_or_default();
    assert!(remedy.contains(case.says), "{what}: {remedy}");
    assert!(shown_in_document(case), "{what} is not in the document");
    Seen {
        kind: case.kind,
        name: case.name,
        state: case.state.to_owned(),
        remedy: remedy.to_owned(),
    }
}

/// Whether the kind's row in the document's table has the state, and the words of the remedy.
fn shown_in_document(case: &Case) -> bool {
    let row = |line: &&str| line.starts_with(&format!("| {} |", case.kind));
    let row = DOCUMENT.lines().find(row);
    row.is_some_and(|row| row.contains(case.says) && row.contains(&format!("`{}`", case.state)))
}

/// What `incidentd check --offline` prints.
async fn checked(setup: &Setup) -> (Option<i32>, String) {
    let mut command = incidentd();
    command.args(["check", "--offline", "--config"]);
    let output = command.arg(setup.write()).output().await;
    let output = output.expect("incidentd runs");
    let printed = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&printed).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_without_network_names_the_file_and_the_remedy() {
    use crate::support::certificates::{ELLIPTIC, ENCRYPTED};
    let simulator = simulator(1, Options::default()).await;
    let setup = Setup::new(&simulator, "127.0.0.1:1", "none")
        .without("app.client_secret_file")
        .text("app.certificate_file", "certificate")
        .text("app.certificate_key_file", "key");
    let now = seconds_now();
    let put = |name: &str, text: &str| fs::write(setup.path().join(name), text).expect("written");
    let valid = certificate(ONE, now - DAY, now + DAY).pem;
    for (pem, key, code, says) in [
        (valid.clone(), ONE, 0, ""),
        (
            certificate(ONE, now - DAY, now - 60).pem,
            ONE,
            78,
            "app.certificate_file: the file holds a certificate that expired at",
        ),
        (
            certificate(ONE, now + DAY, now + 2 * DAY).pem,
            ONE,
            78,
            "app.certificate_file: the file holds a certificate that is not valid before",
        ),
        (
            valid.clone(),
            TWO,
            78,
            "app.certificate_key_file: the file holds a private key that does not belong to the certificate",
        ),
        (
            valid.clone(),
            ENCRYPTED,
            78,
            "app.certificate_key_file: the file holds a private key that is encrypted",
        ),
        (
            valid,
            ELLIPTIC,
            78,
            "app.certificate_key_file: the file holds a private key that is not an RSA key",
        ),
    ] {
        put("certificate", &pem);
        put("key", key);
        let (exit, printed) = checked(&setup).await;
        let folder = setup.path().display().to_string();
        assert_eq!(exit, Some(code), "{printed}");
        assert!(printed.contains(says), "{printed}");
        assert!(code == 0 || printed.contains(&folder), "{printed}");
    }
}

/// The day that is this number of days from now.
fn day(days: u64) -> String {
    let at = Ticks((seconds_now() + days * DAY).cast_signed() * SECOND);
    at.to_string()[..10].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_ends_soon_is_one_alarm_and_one_line_for_all_its_tenants() {
    let simulator = simulator(5, Options::default()).await;
    let world = simulator.world();
    let lone = world.tenants()[4].id;
    let setup = Setup::new(&simulator, "127.0.0.1:1", "none")
        .text("app.credential_not_after", &day(6))
        .own_text(lone, "app.certificate_file", "certificate")
        .own_text(lone, "app.certificate_key_file", "key");
    let now = seconds_now();
    let made = certificate(ONE, now - 300 * DAY, now + 20 * DAY);
    fs::write(setup.path().join("certificate"), &made.pem).expect("written");
    fs::write(setup.path().join("key"), ONE).expect("written");
    let register = |tenant: &mut Tenant| {
        tenant.certificates = vec![RegisteredCertificate {
            der: made.der.clone(),
            pss: true,
        }];
    };
    world.administer(lone, register).expect("known");
    let (exit, printed) = checked(&setup).await;
    assert_eq!(exit, Some(0), "{printed}");
    assert_eq!(printed.matches("note: the c").count(), 2, "{printed}");

    let daemon = Daemon::start_with(&setup.write(), &["--output", "stdout"], &[]).await;
    until("both alarms, and healthy tenants", SOON, async || {
        let status = daemon.status().await;
        let tenants = status["tenants"].as_array().expect("a list");
        tenants.iter().all(|row| row["state"] == "ok")
            && status["alarms"].as_array().expect("a list").len() == 2
    })
    .await;
    let alarms = daemon.status().await["alarms"].clone();
    for (n, what, tenants) in [
        (0, "the certificate in ", 1),
        (1, "the client secret in ", 4),
    ] {
        let alarm = &alarms[n];
        assert_eq!(
            (&alarm["state"], &alarm["tenants"]),
            (&"ok".into(), &tenants.into())
        );
        let error = alarm["error"].as_str().expect("a text");
        assert!(
            error.starts_with(what) && error.contains(" ends at "),
            "{error}"
        );
        let remedy = alarm["remedy"].as_str().expect("a text");
        assert!(remedy.starts_with("make a new"), "{remedy}");
    }
    let lines = daemon.log_lines();
    let lines = lines.iter().map(|line| line["message"].clone());
    assert_eq!(
        lines
            .filter(|line| line == "a credential ends soon")
            .count(),
        2
    );
    assert_eq!(daemon.metric("incidentd_credentials_ending").await, 2.0);
    assert_eq!(daemon.metric("incidentd_alarms").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_app_service_the_identity_s_endpoint_and_header_are_those_of_the_environment() {
    let simulator = simulator(1, Options::default()).await;
    let world = simulator.world();
    let tenant = world.tenants()[0].id;
    let system = SimulatedIdentity {
        client_id: None,
        principal: Tenant::CLIENT_ID,
        tenant,
    };
    let identities = IdentityEndpoints::start(&simulator, vec![system]).await;
    let identities = identities.expect("a free port");
    let setup = Setup::new(&simulator, "127.0.0.1:1", "none")
        .without("app.client_secret_file")
        .text("app.managed_identity", "system");
    let config = setup.write();
    for (header, code, says) in [
        (IdentityEndpoints::HEADER, 0, "SecurityIncident.Read.All"),
        (
            "another",
            1,
            "gave no token of the system-assigned managed identity (401)",
        ),
    ] {
        let mut command = incidentd();
        command
            .args(["token", "customer-0001", "--config"])
            .arg(&config);
        command.env("IDENTITY_ENDPOINT", identities.app_service());
        command.env("IDENTITY_HEADER", header);
        let output = command.output().await.expect("incidentd runs");
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed).replace("\n", " ");
        let words = printed.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(code), "{words}");
        assert!(words.contains(says), "{words}");
    }
}
