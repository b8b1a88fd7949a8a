//! The daemon as the rendered manifests start it: with their user, a read-only root, their mounts, their environment
//! and their probes.

use std::collections::HashMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use incidentd::simulator::{Endpoint, Journal, Options, SECOND, Simulator, Tenant};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;
use uuid::Uuid;

use crate::chart::image::{dockerfile, lay_out};
use crate::chart::render::Manifests;
use crate::kafka_ledger::{active, keep_changing};
use crate::support::daemon::Daemon;
use crate::support::setup::{create_in_each, simulator, unique};
use crate::support::tally::Tally;
use crate::support::{SOON, kafka, tell, until};

/// The user in the chart's securityContext; another test checks that it stays the same.
const USER: u32 = 65532;

/// The root of the image, and the volumes of the pods, as folders.
struct Node(TempDir);

impl Node {
    fn new() -> Self {
        let node = Self(tempfile::tempdir().expect("a folder"));
        fs::set_permissions(node.0.path(), fs::Permissions::from_mode(0o755))
            .expect("to be entered");
        lay_out(&node.root(), env!("CARGO_BIN_EXE_incidentd"));
        fs::create_dir_all(node.root().join("proc")).expect("a mount point");
        node.renew("ledger");
        node.renew("move");
        node.renew("run");
        node
    }

    /// Empties a volume that can be written, or makes it, as fsGroup does.
    fn renew(&self, name: &str) {
        let volume = self.volume(name);
        let _ = fs::remove_dir_all(&volume);
        fs::create_dir_all(&volume).expect("a volume");
        chown(&volume, Some(0), Some(USER)).expect("the group's");
        fs::set_permissions(&volume, fs::Permissions::from_mode(0o2775)).expect("its mode");
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("root")
    }

    fn volume(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes the files of a volume as the kubelet does: into a new folder, to which `..data` then points.
    fn publish(&self, volume: &str, version: u32, mode: u32, files: &[(&str, &str)]) {
        let folder = self.volume(volume);
        let (data, new) = (format!("..version_{version}"), folder.join("..data_tmp"));
        fs::create_dir_all(folder.join(&data)).expect("a folder");
        for (name, text) in files {
            let file = folder.join(&data).join(name);
            fs::write(&file, text).expect("a file");
            chown(&file, Some(0), Some(USER)).expect("the group's");
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("its mode");
            let link = folder.join(name);
            if !link.exists() {
                symlink(Path::new("..data").join(name), link).expect("a link");
            }
        }
        symlink(data, &new).expect("a link");
        fs::rename(new, folder.join("..data")).expect("one step");
    }

    /// Writes both ConfigMaps.
    fn publish_maps(&self, manifests: &Manifests, version: u32) {
        let (main, tenants) = files(manifests);
        self.publish("config", version, 0o644, &[("incidentd.toml", &main)]);
        self.publish("tenants", version, 0o644, &[("values.toml", &tenants)]);
    }

    fn publish_secret(&self, version: u32, secret: &str) {
        self.publish("secrets", version, 0o440, &[("client-secret", secret)]);
    }

    /// Mounts everything for this process alone, enters the root as the pod's user, and becomes what the container runs. `further`
    /// are variables besides the container's.
    fn container(&self, container: &Value, further: &[(&str, &str)]) -> tokio::process::Command {
        let mut script = format!(
            "set -e; root={:?}; mount --bind \"$root\" \"$root\"; ",
            self.root()
        );
        for mount in container["volumeMounts"].as_array().expect("mounts") {
            let (name, path) = (
                mount["name"].as_str().expect("a name"),
                mount["mountPath"].as_str().expect("a path"),
            );
            fs::create_dir_all(self.root().join(path.trim_start_matches('/')))
                .expect("a mount point");
            let at = format!("\"$root\"{path}");
            script += &format!("mount --bind {:?} {at}; ", self.volume(name));
            if mount["readOnly"] == true {
                script += &format!("mount -o remount,bind,ro {at}; ");
            }
        }
        script += "mount --bind /proc \"$root\"/proc; mount -o remount,bind,ro \"$root\"; ";
        let args: Vec<_> = container["args"]
            .as_array()
            .expect("arguments")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        script += &format!(
            "exec setpriv --no-new-privs chroot --userspec={USER}:{USER} --groups={USER} \"$root\" /usr/bin/incidentd {}",
            args.join(" ")
        );
        let mut command = tokio::process::Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", &script])
            .env_clear()
            .kill_on_drop(true);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        for variable in container["env"].as_array().into_iter().flatten() {
            let (name, value) = (
                variable["name"].as_str().expect("a name"),
                variable["value"].as_str(),
            );
            command.env(name, value.expect("a value"));
        }
        command.envs(further.iter().copied());
        command
    }

    /// Runs a container of a Job to its end.
    async fn ends_well(&self, container: &Value) {
        let done = self
            .container(container, &[])
            .output()
            .await
            .expect("it runs");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{}: {said}", container["name"]);
        tell(format_args!("{}: {said}", container["name"]));
    }
}

/// Whether a container can be made here. A test that can't run says so.
fn is_root() -> bool {
    let me = fs::metadata("/proc/self").expect("/proc");
    let is_root = std::os::unix::fs::MetadataExt::uid(&me) == 0;
    if !is_root {
        tell(format_args!(
            "SKIPPED a rendered pod: a root of its own needs the rights of root"
        ));
    }
    is_root
}

fn values(simulator: &Simulator, topic: &str, port: u16) -> Value {
    json!({
        "config": {
            "ledger": { "kind": "local", "topic": format!("{topic}-ledger"), "group": format!("{topic}-group"), "partitions": 8 },
            "app": { "client_id": Tenant::CLIENT_ID },
            "api": { "base_url": simulator.url(), "login_url": simulator.url(), "source": "graph" },
            "poll": { "schedule": "every 1s", "requests_per_minute": 600 },
            "kafka": { "brokers": kafka::shared(), "topic": topic },
        },
        "tenants": [tenant_value(1)],
        "secret": { "name": "incidentd" },
        "service": { "port": port },
        "extraEnv": [{ "name": "INCIDENTD__POLL__OVERLAP", "value": "10m" }],
    })
}

fn tenant_value(number: u32) -> Value {
    let tenant = Tenant::numbered(number);
    json!({ "id": tenant.id, "name": tenant.name })
}

/// The two files that the chart renders from these values: the main file and the tenants' file.
fn files(manifests: &Manifests) -> (String, String) {
    let text = |map: &str, key: &str| {
        manifests.config_map(map)["data"][key]
            .as_str()
            .expect("a file")
            .to_owned()
    };
    (
        text("incidentd", "incidentd.toml"),
        text("incidentd-tenants", "values.toml"),
    )
}

fn rendered(values: &Value) -> Manifests {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), values.to_string()).expect("written");
    Manifests::of(file.path())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("[::1]:0").or_else(|_| TcpListener::bind("127.0.0.1:0"));
    listener
        .expect("a port")
        .local_addr()
        .expect("an address")
        .port()
}

async fn probe(daemon: &Daemon, container: &Value, name: &str) -> u16 {
    let path = container[name]["httpGet"]["path"].as_str().expect("a path");
    daemon.get(path).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rendered_pod_starts_answers_its_probes_takes_replaced_maps_and_ends_within_its_grace()
{
    if !is_root() {
        return;
    }
    let (simulator, topic) = (simulator(3, Options::default()).await, unique("pod"));
    kafka::create_topic(&kafka::shared(), &topic, 1, &[]).await;
    for number in [1, 2] {
        let tenant = Tenant::numbered(number).id;
        simulator.world().create(tenant, 3).expect("incidents");
    }
    let mut values = values(&simulator, &topic, free_port());
    let (node, manifests) = (Node::new(), rendered(&values));
    node.publish_maps(&manifests, 1);
    node.publish_secret(1, Tenant::SECRET);

    let container = manifests.container();
    let mut daemon = Daemon::of(node.container(container, &[])).ready().await;
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("/proc");
    for line in [
        format!("Uid:\t{USER}\t{USER}"),
        "CapEff:\t0000000000000000".to_owned(),
        "NoNewPrivs:\t1".to_owned(),
    ] {
        assert!(status.contains(&line), "{line} is not in\n{status}");
    }
    for name in ["startupProbe", "livenessProbe"] {
        assert_eq!(probe(&daemon, container, name).await, 200, "{name}");
    }
    until("the pod is ready", SOON, async || {
        probe(&daemon, container, "readinessProbe").await == 200
    })
    .await;
    let mut check = container.clone();
    let (command, _) = dockerfile();
    assert_eq!(command[0], "/usr/bin/incidentd");
    check["args"] = json!(command[1..]);
    node.ends_well(&check).await;
    until("the first customer is read", SOON, async || {
        names(&daemon, "ok").await.len() == 1
    })
    .await;

    assert!(
        !daemon.log().contains("configuration reloaded"),
        "nothing was replaced since the start:\n{}",
        daemon.log()
    );
    values["tenants"] = json!([tenant_value(1), tenant_value(2)]);
    let two = files(&rendered(&values)).1;
    let swapped = std::time::Instant::now();
    node.publish("tenants", 2, 0o644, &[("values.toml", &two)]);
    until(
        "the second customer is read",
        Duration::from_secs(20),
        async || names(&daemon, "ok").await.len() == 2,
    )
    .await;
    tell(format_args!(
        "a replaced ConfigMap was applied and its tenant read {:.1} s later",
        swapped.elapsed().as_secs_f64()
    ));

    node.publish(
        "tenants",
        3,
        0o644,
        &[("values.toml", &two.replace("[[tenants]]", "[[tenant]]"))],
    );
    let mut configuration = Value::Null;
    until(
        "a broken one is refused",
        Duration::from_secs(20),
        async || {
            configuration = daemon.status().await["configuration"].clone();
            configuration["state"] == "refused"
        },
    )
    .await;
    let error = configuration["error"].as_str().expect("a report");
    assert!(
        error.contains("/etc/incidentd-tenants/values.toml"),
        "{error}"
    );
    assert_eq!(
        names(&daemon, "ok").await.len(),
        2,
        "the old configuration stays"
    );

    node.publish("tenants", 4, 0o644, &[("values.toml", &two)]);
    until(
        "the mended one is taken",
        Duration::from_secs(20),
        async || daemon.status().await["configuration"]["state"] == "ok",
    )
    .await;
    let grace = manifests.pod()["terminationGracePeriodSeconds"]
        .as_u64()
        .expect("seconds");
    daemon.signal("TERM");
    assert_eq!(
        daemon.wait(Duration::from_secs(grace)).await,
        0,
        "{}",
        daemon.log()
    );
    assert!(
        node.volume("ledger").join("ledger/ledger.redb").is_file(),
        "the ledger lies in its volume"
    );

    // The ledger moves into Kafka, and then back.
    let (world, journal) = (simulator.world(), simulator.journal());
    for (kind, version) in [("kafka", 5), ("local", 7)] {
        values["config"]["ledger"]["kind"] = json!(kind);
        values["moveLedger"] = json!(true);
        let moving = rendered(&values);
        node.publish_maps(&moving, version);
        let job = &moving.one("Job")["spec"]["template"]["spec"];
        node.ends_well(&job["initContainers"][0]).await;
        node.ends_well(&job["containers"][0]).await;
        node.renew("move");
        if kind == "kafka" {
            // What it held must come back from Kafka.
            node.renew("ledger");
        }
        values["moveLedger"] = json!(false);
        let moved = rendered(&values);
        node.publish_maps(&moved, version + 1);
        for number in [1, 2] {
            let tenant = Tenant::numbered(number).id;
            world.create(tenant, 2).expect("new incidents");
        }
        let mut daemon = Daemon::of(node.container(moved.container(), &[]))
            .ready()
            .await;
        Tally::until_complete(&kafka::shared(), &topic, &journal, SOON).await;
        daemon.signal("TERM");
        let code = daemon.wait(Duration::from_secs(grace)).await;
        assert_eq!(code, 0, "{}", daemon.log());
    }
    journal.settled().await;
    let tally = Tally::read(&kafka::shared(), &topic, &journal).await;
    tally.assert_exact(&journal);
}

/// The pods of a Deployment, each a process. They share the network here, so each listens on a port of its own.
struct Rollout<'a> {
    node: &'a Node,
    deployment: &'a Value,
}

impl Rollout<'_> {
    /// Starts a replica, and waits until Kubernetes would count it: it was ready for `minReadySeconds` without a break.
    async fn available(&self) -> Daemon {
        let spec = &self.deployment["spec"];
        let container = &spec["template"]["spec"]["containers"][0];
        let own = [("INCIDENTD__HTTP__LISTEN", "127.0.0.1:0")];
        let daemon = Daemon::of(self.node.container(container, &own))
            .ready()
            .await;
        let least = Duration::from_secs(spec["minReadySeconds"].as_u64().expect("seconds"));
        let mut since = None;
        until("the replica is available", 2 * SOON, async || {
            let is_ready = probe(&daemon, container, "readinessProbe").await == 200;
            assert_eq!(probe(&daemon, container, "livenessProbe").await, 200);
            since = is_ready.then(|| since.unwrap_or_else(Instant::now));
            since.is_some_and(|since| since.elapsed() >= least)
        })
        .await;
        daemon
    }

    /// Stops a replica as the kubelet does.
    async fn stop(&self, daemon: &mut Daemon) {
        let grace = &self.deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
        daemon.signal("TERM");
        let code = daemon
            .wait(Duration::from_secs(grace.as_u64().expect("seconds")))
            .await;
        assert_eq!(code, 0, "{}", daemon.log());
    }
}

/// The longest time for which a tenant was not read, in seconds, between two instants of the world.
fn longest_wait(journal: &Journal, begun: i64, ended: i64) -> f64 {
    let mut sweeps: HashMap<Uuid, Vec<i64>> = HashMap::new();
    for request in journal.requests() {
        let is_sweep = request.endpoint == Endpoint::List && (begun..ended).contains(&request.at);
        if let Some(tenant) = request.tenant.filter(|_| is_sweep) {
            sweeps
                .entry(tenant)
                .or_insert_with(|| vec![begun])
                .push(request.at);
        }
    }
    let waits = sweeps.values().map(|times| {
        let times: Vec<i64> = times.iter().copied().chain([ended]).collect();
        times
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or_default()
    });
    waits.max().unwrap_or_default() as f64 / SECOND as f64
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_take_new_maps_and_secrets_and_a_rollout_and_a_lost_node_cost_no_version() {
    if !is_root() {
        return;
    }
    const TENANTS: u32 = 12;
    let (simulator, topic) = (
        simulator(TENANTS, Options::default()).await,
        unique("rollout"),
    );
    let (world, journal, kafka) = (simulator.world(), simulator.journal(), kafka::shared());
    kafka::create_topic(&kafka, &topic, 3, &[]).await;
    let mut values = values(&simulator, &topic, 9464);
    values["config"]["ledger"]["kind"] = json!("kafka");
    let tenants = |count| json!((1..=count).map(tenant_value).collect::<Vec<_>>());
    values["tenants"] = tenants(TENANTS - 1);
    let (node, manifests) = (Node::new(), rendered(&values));
    node.publish_maps(&manifests, 1);
    node.publish_secret(1, Tenant::SECRET);
    create_in_each(&world, 3);

    let rollout = Rollout {
        node: &node,
        deployment: manifests.one("Deployment"),
    };
    let count = rollout.deployment["spec"]["replicas"]
        .as_u64()
        .expect("a number");
    let started = (0..count).map(|_| rollout.available());
    let mut replicas = join_all(started).await;
    let changing = keep_changing(world.clone(), Duration::from_millis(300));

    // The map of the tenants is replaced, and the secret is rotated.
    values["tenants"] = tenants(TENANTS);
    node.publish_maps(&rendered(&values), 2);
    for tenant in world.tenants() {
        let rotated = world.administer(tenant.id, |tenant| tenant.secret = "rotated".to_owned());
        rotated.expect("a tenant");
    }
    node.publish_secret(2, "rotated");
    until("all tenants are ok", 2 * SOON, async || {
        let mut ok = 0;
        for replica in &replicas {
            ok += names(replica, "ok").await.len();
        }
        ok == TENANTS as usize
    })
    .await;

    let begun = world.now();
    for old in &mut replicas {
        let new = rollout.available().await;
        rollout.stop(old).await;
        *old = new;
    }
    let waited = longest_wait(&journal, begun, world.now());

    let begun = world.now();
    let has = active(&replicas[0]).await;
    replicas[0].kill().await;
    until(
        "the others have what the lost one had",
        2 * SOON,
        async || {
            let mut others = active(&replicas[1]).await;
            others.extend(active(&replicas[2]).await);
            others.is_superset(&has)
        },
    )
    .await;
    replicas[0] = rollout.available().await;
    let waited_for_node = longest_wait(&journal, begun, world.now());
    changing.abort();
    tell(format_args!(
        "longest time without a sweep of a tenant, of a schedule of 1 s: {waited:.1} s in a rollout of {count} replicas, \
         {waited_for_node:.1} s when a node was lost"
    ));

    Tally::until_complete(&kafka, &topic, &journal, 2 * SOON).await;
    for replica in &mut replicas {
        rollout.stop(replica).await;
    }
    journal.settled().await;
    let tally = Tally::read(&kafka, &topic, &journal).await;
    assert_eq!(tally.repeats(), 0, "published twice");
    let lost = tally.missing(journal.current());
    assert!(lost.is_empty(), "lost: {lost:?}");
    tally.assert_in_order();
    assert!(waited <= 15.0, "{waited} s without a sweep in a rollout");
    assert!(
        waited_for_node <= 30.0,
        "{waited_for_node} s without a sweep"
    );
}

/// The names of the tenants in a state.
async fn names(daemon: &Daemon, state: &str) -> Vec<String> {
    let status = daemon.status().await;
    let tenants = status["tenants"].as_array().expect("tenants").iter();
    let found = tenants.filter(|tenant| tenant["state"] == state);
    found
        .map(|tenant| tenant["name"].as_str().expect("a name").to_owned())
        .collect()
}
