//! The daemon as the rendered manifests start it: with their user, a read-only root, their mounts, their environment
//! and their probes.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use incidentd::simulator::{Options, Simulator, Tenant};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chart::render::{Manifests, repository};
use crate::support::daemon::Daemon;
use crate::support::setup::{simulator, unique};
use crate::support::{SOON, kafka, tell, until};

/// The user in the chart's securityContext; another test checks that it stays the same.
const USER: u32 = 65532;

/// The root and the volumes of a container, as folders.
struct Pod {
    dir: TempDir,
    manifests: Manifests,
}

impl Pod {
    fn new(manifests: Manifests) -> Self {
        let pod = Self {
            dir: tempfile::tempdir().expect("a folder"),
            manifests,
        };
        fs::set_permissions(pod.dir.path(), fs::Permissions::from_mode(0o755))
            .expect("to be entered");
        let laid = Command::new(repository().join("deploy/image-root"))
            .arg(pod.root())
            .arg(env!("CARGO_BIN_EXE_incidentd"))
            .output()
            .expect("deploy/image-root runs");
        assert!(
            laid.status.success(),
            "{}",
            String::from_utf8_lossy(&laid.stderr)
        );
        for mount in pod.mounts() {
            fs::create_dir_all(pod.root().join(mount.trim_start_matches('/')))
                .expect("a mount point");
        }
        fs::create_dir_all(pod.root().join("proc")).expect("a mount point");
        fs::create_dir_all(pod.volume("ledger")).expect("a volume");
        chown(pod.volume("ledger"), Some(0), Some(USER)).expect("the group's");
        fs::set_permissions(pod.volume("ledger"), fs::Permissions::from_mode(0o2775))
            .expect("as fsGroup makes it");
        pod
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn volume(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn mounts(&self) -> Vec<&str> {
        let mounts = self.manifests.container()["volumeMounts"]
            .as_array()
            .expect("mounts");
        mounts
            .iter()
            .map(|mount| mount["mountPath"].as_str().expect("a path"))
            .collect()
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

    /// Mounts everything for this process alone, enters the root as the pod's user, and becomes the daemon.
    fn start(&self) -> Daemon {
        let container = self.manifests.container();
        let mut script = format!(
            "set -e; root={:?}; mount --bind \"$root\" \"$root\"; ",
            self.root()
        );
        for mount in container["volumeMounts"].as_array().expect("mounts") {
            let (name, path) = (
                mount["name"].as_str().expect("a name"),
                mount["mountPath"].as_str().expect("a path"),
            );
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
        Daemon::of(command)
    }
}

fn values(simulator: &Simulator, topic: &str, port: u16) -> Value {
    json!({
        "config": {
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
    if fs::metadata("/proc/self")
        .map(|me| std::os::unix::fs::MetadataExt::uid(&me))
        .ok()
        != Some(0)
    {
        tell(format_args!(
            "SKIPPED the rendered pod: a root of its own needs the rights of root"
        ));
        return;
    }
    let (simulator, topic) = (simulator(3, Options::default()).await, unique("pod"));
    kafka::create_topic(&kafka::shared(), &topic, 1, &[]).await;
    let mut values = values(&simulator, &topic, free_port());
    let pod = Pod::new(rendered(&values));
    let (main, tenants) = files(&pod.manifests);
    pod.publish("config", 1, 0o644, &[("incidentd.toml", &main)]);
    pod.publish("tenants", 1, 0o644, &[("values.toml", &tenants)]);
    pod.publish("secrets", 1, 0o440, &[("client-secret", Tenant::SECRET)]);

    let mut daemon = pod.start().ready().await;
    let container = pod.manifests.container();
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
    pod.publish("tenants", 2, 0o644, &[("values.toml", &two)]);
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

    pod.publish(
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

    pod.publish("tenants", 4, 0o644, &[("values.toml", &two)]);
    until(
        "the mended one is taken",
        Duration::from_secs(20),
        async || daemon.status().await["configuration"]["state"] == "ok",
    )
    .await;
    let grace = pod.manifests.pod()["terminationGracePeriodSeconds"]
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
        pod.volume("ledger").join("ledger/ledger.redb").is_file(),
        "the ledger lies in its volume"
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
