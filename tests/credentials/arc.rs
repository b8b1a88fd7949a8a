//! The identity of a machine of Azure Arc. Its agent names keys in a folder of the system's, which only a mount namespace can
//! show to a daemon of a test.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use incidentd::simulator::{ArcAgent, Options, SimulatedIdentity, Simulator, Tenant};
use tempfile::TempDir;
use tokio::process::Command;

use super::{Case, ON_ARC, Seen, SetUp, case, row, sees};
use crate::support::daemon::{Daemon, incidentd};
use crate::support::search::{Search, endpoints};
use crate::support::setup::{Setup, simulator};
use crate::support::{SOON, tell, until};

const SET: SetUp = |_| {};
const WORKS: Case = case(ON_ARC, "works", SET, "ok", "");
const NOT_CONNECTED: Case = case(
    ON_ARC,
    "wrong",
    SET,
    "credential",
    "connect this machine to Azure Arc",
);

/// A machine with Azure Arc's agent, and a tenant that its identity reads.
struct Machine {
    simulator: Simulator,
    agent: ArcAgent,
    setup: Setup,
    keys: TempDir,
}

impl Machine {
    async fn new() -> Self {
        let simulator = simulator(1, Options::default()).await;
        let keys = tempfile::tempdir().expect("a folder");
        fs::set_permissions(keys.path(), fs::Permissions::from_mode(0o700)).expect("closed");
        let agent = ArcAgent::start(&simulator, keys.path()).await;
        let setup = Setup::new(&simulator, "127.0.0.1:1", "none")
            .without("app.client_secret_file")
            .text("app.managed_identity", "system");
        Self {
            agent: agent.expect("a free port"),
            simulator,
            setup,
            keys,
        }
    }

    fn connect(&self) {
        self.agent.connect(SimulatedIdentity {
            client_id: None,
            principal: Tenant::CLIENT_ID,
            tenant: self.simulator.world().tenants()[0].id,
        });
    }

    /// `incidentd` on this machine. `user`: another one than root, who is not in the group of the agent.
    fn command(&self, arguments: &str, user: Option<u32>) -> Command {
        let become_user = user.map_or(String::new(), |user| {
            format!("setpriv --reuid={user} --regid={user} --clear-groups ")
        });
        let (system, folder) = (Path::new("/var/opt"), ArcAgent::FOLDER);
        let script = format!(
            "set -e; mount -t tmpfs none {system:?}; mkdir -p {folder}; mount --bind {:?} {folder}; exec {become_user}\"$0\" {arguments}",
            self.keys.path(),
        );
        let program = incidentd();
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]);
        command.arg(program.as_std().get_program());
        command.envs(self.agent.environment());
        command.kill_on_drop(true);
        command
    }
}

fn is_root() -> bool {
    let me = fs::metadata("/proc/self").expect("/proc");
    if me.uid() != 0 {
        tell(format_args!(
            "SKIPPED Azure Arc: a folder of the system's needs the rights of root"
        ));
    }
    me.uid() == 0
}

/// Rows of the table.
pub async fn plays() -> Vec<Seen> {
    let mut table = Vec::new();
    if !is_root() {
        return table;
    }
    let machine = Machine::new().await;
    let config = machine.setup.write();
    let tenant = machine.simulator.world().tenants()[0].id;
    let arguments = format!("run --config {config:?} --output stdout");
    let daemon = Daemon::of(machine.command(&arguments, None)).ready().await;
    table.push(sees(&daemon, tenant, &NOT_CONNECTED).await);
    machine.connect();
    daemon.signal("HUP");
    table.push(sees(&daemon, tenant, &WORKS).await);
    let before = row(&daemon, tenant).await["token_expires"].clone();
    machine.simulator.revoke_tokens(tenant);
    until("a new token with a new key", SOON, async || {
        let row = row(&daemon, tenant).await;
        row["state"] == "ok" && row["token_expires"] != before
    })
    .await;
    let keys = machine.agent.keys();
    assert!(keys.len() >= 3, "a key for each token: {}", keys.len());
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut search = Search::new(&keys);
    search.add("log", daemon.log());
    search.add_all(endpoints("the daemon", &daemon).await);
    search.run();
    table.push(Seen {
        kind: ON_ARC,
        name: "rotated",
        state: "ok".to_owned(),
        remedy: String::new(),
    });
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn on_azure_arc_the_daemon_s_user_has_to_be_in_the_group_of_the_agent() {
    if !is_root() {
        return;
    }
    let machine = Machine::new().await;
    machine.connect();
    let config = machine.setup.write();
    fs::set_permissions(machine.setup.path(), fs::Permissions::from_mode(0o755)).expect("open");
    for (user, code, says) in [
        (None, 0, "SecurityIncident.Read.All"),
        (
            Some(65534),
            1,
            "add the user that runs incidentd to the group himds",
        ),
    ] {
        let arguments = format!("token customer-0001 --config {config:?}");
        let output = machine.command(&arguments, user).output().await;
        let output = output.expect("incidentd runs");
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        let words = printed.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(code), "{words}");
        assert!(words.contains(says), "{words}");
        assert!(machine.agent.keys().iter().all(|key| !words.contains(key)));
    }
}
