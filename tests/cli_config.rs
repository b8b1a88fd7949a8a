//! `incidentd init` and `incidentd config` as an operator uses them: what they print, what they leave behind, and how
//! they end. They never print a secret, whatever their input is.

mod cost;
mod secrets;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

const CANARY: &str = "S3cr3t~canary.value";
const CONTOSO: &str = "11111111-1111-1111-1111-111111111111";
const FABRIKAM: &str = "22222222-2222-2222-2222-222222222222";

/// A folder to work in. The name of the folder is removed from what is printed.
struct Shell {
    folder: TempDir,
    environment: Vec<(&'static str, &'static str)>,
}

struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Shell {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            environment: Vec::new(),
        }
    }

    /// Types `incidentd` with these words.
    #[track_caller]
    fn incidentd(&self, words: &[&str]) -> Ended {
        let output = self.command(words).output().expect("incidentd ends");
        let folder = format!("{}/", self.folder.path().display());
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            assert!(!text.contains("canary"), "a secret is printed: {text}");
            text.replace(&folder, "")
        };
        Ended {
            code: output.status.code().expect("an exit code"),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_incidentd"));
        command
            .args(words)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.environment.iter().copied())
            .stdin(Stdio::null());
        command
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        fs::write(path, text).expect("the file");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).expect(name)
    }

    fn mode(&self, name: &str) -> u32 {
        let there = fs::metadata(self.folder.path().join(name)).expect(name);
        there.permissions().mode() & 0o777
    }

    fn files(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join(name)).expect(name);
        let mut names: Vec<String> = entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }
}

#[test]
fn what_init_writes_can_be_read_by_the_daemons_user_whatever_the_umask() {
    let shell = Shell::new();
    let command = "umask 077; exec \"$0\" init --config etc/incidentd.toml";
    let ended = Command::new("sh")
        .args(["-c", command, env!("CARGO_BIN_EXE_incidentd")])
        .current_dir(shell.folder.path())
        .env_clear()
        .stdout(Stdio::null())
        .status();
    assert!(ended.expect("sh runs").success());
    let modes = ["etc", "etc/tenants.d", "etc/incidentd.toml"].map(|name| shell.mode(name));
    assert_eq!(modes, [0o755, 0o755, 0o644]);
}

#[test]
fn from_nothing_to_a_valid_configuration() {
    let shell = Shell::new();
    let init = shell.incidentd(&["init", "--config", "etc/incidentd.toml"]);
    assert_eq!((init.code, &*init.err), (0, ""));
    assert_eq!(
        init.out,
        "Wrote etc/incidentd.toml, and made the folders etc, etc/tenants.d.\n\
         \n\
         Next:\n\
         \x20 1. Set client_id (line 22) and brokers (line 105) in it, and look through the rest.\n\
         \x20    Paste the client secret's Value (not its ID) into\n\
         \x20      (umask 077; cat > etc/client-secret)\n\
         \x20    and end that with Enter and Ctrl-D.\n\
         \x20 2. Add each customer:\n\
         \x20      incidentd init --tenant TENANT_ID --name NAME --config etc/incidentd.toml\n\
         \x20 3. Try it, then start it:\n\
         \x20      incidentd check --config etc/incidentd.toml\n\
         \x20      incidentd run --config etc/incidentd.toml\n"
    );
    assert_eq!(
        (
            shell.mode("etc/incidentd.toml"),
            shell.mode("etc/tenants.d")
        ),
        (0o644, 0o755)
    );

    // The unchanged file reports only what the steps say is missing.
    let report = shell.incidentd(&["check", "--offline", "--config", "etc/incidentd.toml"]);
    assert_eq!(report.code, 78, "{}", report.err);
    assert!(report.err.contains("3 errors"), "{}", report.err);
    for missing in [
        "etc/incidentd.toml: there is no tenant\n    add each customer with: incidentd init --tenant",
        "etc/incidentd.toml:22: app.client_id: it is still the example's placeholder",
        "etc/incidentd.toml:25: app.client_secret_file: the file can't be read",
    ] {
        assert!(
            report.err.contains(missing),
            "{missing} is not in {}",
            report.err
        );
    }

    let text = shell.read("etc/incidentd.toml");
    let text = text.replace(
        "00000000-0000-0000-0000-000000000000",
        "0f0f0f0f-0000-4000-8000-000000000001",
    );
    shell.write("etc/incidentd.toml", &text);
    shell.write("etc/client-secret", CANARY);
    fs::set_permissions(
        shell.folder.path().join("etc/client-secret"),
        fs::Permissions::from_mode(0o600),
    )
    .expect("the mode");
    let tenant = shell.incidentd(&[
        "init",
        "--tenant",
        CONTOSO,
        "--name",
        "Contoso Ltd.",
        "--config",
        "etc/incidentd.toml",
    ]);
    assert_eq!((tenant.code, &*tenant.err), (0, ""));
    assert_eq!(
        tenant.out,
        "Wrote etc/tenants.d/contoso-ltd.toml.\n\
         \n\
         Next:\n\
         \x20 1. Have the customer's administrator open the link that this prints:\n\
         \x20      incidentd consent 11111111-1111-1111-1111-111111111111 --config etc/incidentd.toml\n\
         \x20 2. See whether it works:\n\
         \x20      incidentd check --tenant 11111111-1111-1111-1111-111111111111 --config etc/incidentd.toml\n\
         \x20 3. If the daemon runs, have it take the customer up:\n\
         \x20      kill -HUP PID\n"
    );
    let nameless = shell.incidentd(&[
        "init",
        "--tenant",
        FABRIKAM,
        "--config",
        "etc/incidentd.toml",
    ]);
    assert_eq!(nameless.code, 0, "{}", nameless.err);
    assert_eq!(
        shell.files("etc/tenants.d"),
        [
            "22222222-2222-2222-2222-222222222222.toml",
            "contoso-ltd.toml"
        ]
    );
    let valid = shell.incidentd(&["config", "--config", "etc/incidentd.toml"]);
    assert_eq!((valid.code, &*valid.err), (0, ""));
    assert!(
        valid.out.contains(
            "name = \"Contoso Ltd.\"                        # tenants.d/contoso-ltd.toml:9"
        ),
        "{}",
        valid.out
    );
}

#[test]
fn init_writes_over_nothing_and_says_what_is_in_the_way() {
    let shell = Shell::new();
    let main = ["init", "--config", "incidentd.toml"];
    assert_eq!(shell.incidentd(&main).code, 0);
    shell.write("incidentd.toml", "tenants_dir = \"tenants.d\"\n# mine\n");
    let again = shell.incidentd(&main);
    assert_eq!((again.code, &*again.out), (1, ""));
    assert!(
        again.err.starts_with(
            "incidentd: incidentd.toml is there already, and stays as it is\n    edit it"
        ),
        "{}",
        again.err
    );
    assert!(shell.read("incidentd.toml").contains("# mine"));

    let tenant = |id: &str, name: &str| {
        shell.incidentd(&[
            "init",
            "--tenant",
            id,
            "--name",
            name,
            "--config",
            "incidentd.toml",
        ])
    };
    assert_eq!(tenant(CONTOSO, "contoso").code, 0);
    for (id, name, expected) in [
        (
            CONTOSO,
            "other",
            "tenants.d/contoso.toml:7 has the tenant 11111111-1111-1111-1111-111111111111 already: \"other\" is not added",
        ),
        (
            FABRIKAM,
            "contoso",
            "the tenant 22222222-2222-2222-2222-222222222222 is not added: tenants.d/contoso.toml:9 has a tenant of the name \
             \"contoso\" already",
        ),
        (
            FABRIKAM,
            "Contoso",
            "tenants.d/contoso.toml is there already, and stays as it is",
        ),
        (
            FABRIKAM,
            "",
            "the name of the tenant 22222222-2222-2222-2222-222222222222: it is empty\n",
        ),
        (FABRIKAM, &"x".repeat(65), "longer than 64 characters\n"),
        (FABRIKAM, "a\u{7f}b", "characters that can't be printed\n"),
        (
            "00000000-0000-0000-0000-000000000000",
            "zero",
            "it is a placeholder",
        ),
    ] {
        let refused = tenant(id, name);
        assert_eq!((refused.code, &*refused.out), (1, ""), "{id} {name}");
        assert!(
            refused.err.contains(expected),
            "{expected} is not in {}",
            refused.err
        );
    }
    assert_eq!(shell.files("tenants.d"), ["contoso.toml"]);
}

#[test]
fn a_name_may_begin_with_a_hyphen() {
    let shell = Shell::new();
    shell.write("incidentd.toml", "tenants_dir = \"tenants.d\"\n");
    let words = ["init", "--config", "incidentd.toml", "--tenant", CONTOSO];
    let added = shell.incidentd(&[&words[..], &["--name", "-dash"]].concat());
    assert_eq!(added.code, 0, "{}", added.err);
    let file = shell.read("tenants.d/dash.toml");
    assert!(file.contains("name = \"-dash\""), "{file}");
}

#[test]
fn init_says_what_it_needs() {
    let shell = Shell::new();
    shell.write("without.toml", "[app]\n");
    shell.write("torn.toml", "[app\n");
    shell.write("file", "");
    let tenant = |config: &str| shell.incidentd(&["init", "--tenant", CONTOSO, "--config", config]);
    for (ended, code, expected) in [
        (
            tenant("without.toml"),
            78,
            "without.toml names no folder for tenants\n    add this line at its top, above the first line in brackets: tenants_dir = \
             \"tenants.d\"",
        ),
        (
            tenant("torn.toml"),
            78,
            "torn.toml:1: the name of the table has no closing bracket",
        ),
        (tenant("nowhere.toml"), 78, "create it with incidentd init"),
        (
            shell.incidentd(&["init", "--config", "file/incidentd.toml"]),
            1,
            "can't write file/incidentd.toml: Not a directory",
        ),
        (
            shell.incidentd(&[
                "init",
                "--tenant",
                CANARY.split('~').next().expect("a word"),
            ]),
            64,
            "not a GUID",
        ),
        (
            shell.incidentd(&["init", "--name", "contoso"]),
            64,
            "--tenant",
        ),
        (
            shell.incidentd(&["init", "--brokers", "kafka"]),
            64,
            "it is not a list of host:port",
        ),
    ] {
        assert_eq!((ended.code, &*ended.out), (code, ""), "{}", ended.err);
        assert!(
            ended.err.contains(expected),
            "{expected} is not in {}",
            ended.err
        );
    }
    // A folder that the configuration names but nobody created.
    shell.write("more.toml", "tenants_dir = \"a/b\"\n");
    let made = tenant("more.toml");
    assert!(
        made.out.starts_with(
            "Wrote a/b/11111111-1111-1111-1111-111111111111.toml, and made the folders a, a/b.\n"
        ),
        "{}",
        made.out
    );
}

const MAIN: &str = r#"tenants_dir = "tenants.d"
[app]
client_id = "0f0f0f0f-0000-4000-8000-000000000001"
client_secret_file = "secret"
client_secret_next_file = "S3cr3t~canary.value"
[api]
cloud = "gcc"
proxy = "http://user:S3cr3t~canary.value@proxy.example.net:3128"
source = "graph"
[kafka.properties]
"compression.type" = "zstd"
"sasl.username" = "S3cr3t~canary.value"
linger.ms = 5
ssl.key.password = 12345
[[tenants]]
id = "11111111-1111-1111-1111-111111111111"
name = "contoso"
"#;

const TENANT: &str = r#"[[tenants]]
id = "22222222-2222-2222-2222-222222222222"
name = "fabrikam"
api.source = "defender"
app.client_secret_env = "FABRIKAM_SECRET"
poll.schedule = "every 5m"
kafka.topic = "fabrikam.incidents"
"#;

fn configured() -> Shell {
    let mut shell = Shell::new();
    shell.write("etc/incidentd.toml", MAIN);
    shell.write("etc/tenants.d/fabrikam.toml", TENANT);
    shell.write("etc/secret", CANARY);
    shell.environment = vec![
        ("FABRIKAM_SECRET", CANARY),
        ("INCIDENTD__POLL__OVERLAP", "20m"),
        ("INCIDENTD__KAFKA__PROPERTIES__SASL__PASSWORD", CANARY),
    ];
    fs::set_permissions(
        shell.folder.path().join("etc/secret"),
        fs::Permissions::from_mode(0o600),
    )
    .expect("the mode");
    shell
}

#[track_caller]
fn same(name: &str, printed: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cli_config")
        .join(name);
    let expected = fs::read_to_string(&path).expect(name);
    assert_eq!(
        printed, expected,
        "it is not what tests/cli_config/{name} has; it reads:\n{printed}"
    );
}

#[test]
fn config_shows_each_value_with_its_origin_and_no_secret() {
    let shell = configured();
    let all = shell.incidentd(&["config", "--config", "etc/incidentd.toml"]);
    assert_eq!(all.code, 0, "{}", all.err);
    same("all.txt", &all.out);
    assert!(
        all.err.starts_with("incidentd: warning: etc/tenants.d/fabrikam.toml:4: tenants[0].api.source: Microsoft documents no token"),
        "{}",
        all.err
    );
    let one = shell.incidentd(&["config", "fabrikam", "--config", "etc/incidentd.toml"]);
    same("fabrikam.txt", &one.out);
    let by_id = shell.incidentd(&["config", FABRIKAM, "--config", "etc/incidentd.toml"]);
    assert_eq!(by_id.out, one.out);
    for line in all.out.lines().chain(one.out.lines()) {
        assert!(
            line.chars().count() <= 100,
            "wider than 100 columns: {line}"
        );
    }
}

#[test]
fn config_ends_with_what_went_wrong() {
    let mut shell = configured();
    let nobody = shell.incidentd(&["config", "nobody", "--config", "etc/incidentd.toml"]);
    assert_eq!((nobody.code, &*nobody.out), (64, ""));
    assert!(
        nobody
            .err
            .contains("there is no tenant of the name or id \"nobody\""),
        "{}",
        nobody.err
    );
    shell
        .environment
        .push(("INCIDENTD__APP__CLIENT_SECRET", CANARY));
    shell.write(
        "etc/tenants.d/b.toml",
        "[[tenants]]\nid = \"S3cr3t~canary.value\n",
    );
    let wrong = shell.incidentd(&["config", "--config", "etc/incidentd.toml"]);
    assert_eq!((wrong.code, &*wrong.out), (78, ""));
    assert!(
        wrong
            .err
            .starts_with("incidentd: the configuration has 2 errors:\n"),
        "{}",
        wrong.err
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let shell = configured();
    let mut child = shell
        .command(&["config", "--config", "etc/incidentd.toml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("incidentd starts");
    drop(child.stdout.take());
    assert!(child.wait().expect("it ends").success());
}
